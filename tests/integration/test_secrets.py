#!/usr/bin/env python3
"""What a process that somebody has taken over could read in its own memory: a
receiver no dataSource's secret, a worker its own dataSource's and no other,
and the supervisor, whose memory they inherit, none."""

import json
import os
import re
import resource
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import certificates  # noqa: E402
import drill  # noqa: E402
import harness  # noqa: E402

# All texts that are secrets here begin with it, and nothing else does: it is
# put together so that it stands neither in a name nor in this test's command.
MARK = "".join(("q7J", "xZ", "k9~"))
SECRET = re.compile(re.escape(MARK.encode()) + rb"([a-z0-9-]*[a-z0-9])")
PART = 8 << 20
CAP_SYS_PTRACE = 19
NAMES = ("a", "b", "c")


def scalar(key_file):
    """The private number of an EC key, 32 bytes."""
    text = certificates.run("openssl", "ec", "-in", key_file, "-text",
                            "-noout")
    digits = re.search(r"priv:\n((?:\s+[0-9a-f:]+\n)+)", text).group(1)
    return bytes.fromhex(re.sub(r"[^0-9a-f]", "", digits))[-32:].rjust(
        32, b"\0")


def forms_of(key_file):
    """What an EC key looks like in memory: PEM, DER, and OpenSSL's words."""
    with open(key_file) as f:
        pem = f.read().split("\n")
    number = scalar(key_file)
    return [pem[1].encode(), number, number[::-1]]


def mappings(pid):
    with open(f"/proc/{pid}/maps") as f:
        for line in f:
            words = line.split()
            low, high = (int(n, 16) for n in words[0].split("-"))
            if "r" in words[1]:
                yield low, high


def parts_of(pid):
    """The readable memory, in pieces that overlap."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for low, high in mappings(pid):
            at, tail = low, b""
            while at < high:
                try:
                    memory.seek(at)
                    piece = memory.read(min(PART, high - at))
                except (OSError, ValueError, OverflowError):
                    break  # behind a file's end, or the kernel's own
                if not piece:
                    break
                at += len(piece)
                yield tail + piece
                tail = (tail + piece)[-256:]


def found_in(pid, keys):
    """Names of all secrets that are anywhere in a process's memory."""
    found = set()
    for piece in parts_of(pid):
        if MARK.encode() in piece:
            found.update(m.decode() for m in SECRET.findall(piece))
        found.update(name for name, forms in keys.items()
                     if any(form in piece for form in forms))
    return found


def may_look():
    """Into the memory of a process that hides it."""
    with open("/proc/self/status") as f:
        mine = re.search(r"CapEff:\s*([0-9a-f]+)", f.read()).group(1)
    return bool(int(mine, 16) >> CAP_SYS_PTRACE & 1)


@unittest.skipUnless(may_look(), "needs CAP_SYS_PTRACE, to read others' memory")
class TestSecrets(drill.Case):
    def setUp(self):
        super().setUp()
        self.druid = self.sandbox()
        self.store = certificates.Store(self.folder)
        self.ca = self.store.authority("ca")
        self.keys, self.environment = {}, {}
        # what a reload will ask for
        for name in NAMES + ("later",):
            self.environment[f"SECRET_OF_{name}"] = f"u:{MARK}{name}-env"
        self.web = self.store.leaf("web", self.ca)
        self.keys["web-key"] = forms_of(self.web.key)

    def path_of(self, name):
        return os.path.join(self.folder, f"secret.{name}")

    def write_file(self, name, kind="file"):
        with open(self.path_of(name), "w") as f:
            f.write(f"{MARK}{name}-{kind}\n")

    def entry(self, name, literal="literal"):
        """A dataSource with a secret of each kind, and a key."""
        key = self.store.path(f"ds-{name}.key")
        if not os.path.exists(key):
            pair = self.store.leaf(f"ds-{name}", self.ca)
            self.store.write(f"ds-{name}.both", pair.certificate, pair.key)
            self.keys[f"{name}-key"] = forms_of(key)
            self.write_file(name)
        return drill.data_source(name, properties={
            "druidBeam.basicAuthUser": "tranqd",
            "druidBeam.basicAuthPass": f"{MARK}{name}-{literal}",
            "zookeeper.auth.scheme": "digest",
            "zookeeper.auth.credentials": f"${{env:SECRET_OF_{name}}}",
            "druid.tls.trustStorePath": self.ca.certificate,
            "druid.tls.trustStorePassword": f"${{file:{self.path_of(name)}}}",
            "druid.tls.keyStorePath": self.store.path(f"ds-{name}.both")})

    def configuration(self, entries, **properties):
        return drill.config(entries, self.druid.url, properties={
            "tranqd.ringBytes": "64KiB", "spool.bytesMax": "4MiB",
            "https.port.enable": True, "https.port": 0,
            "https.certificateFile": self.web.certificate,
            "https.keyFile": self.web.key,
            "https.keyStorePassword": f"{MARK}web-literal",
            # of Tranquility's other program, without effect
            "kafka.sasl.jaas.config": f"{MARK}kafka-literal",
            **properties})

    def own(self, name, literal="literal", kind="file"):
        return {f"{name}-{k}" for k in (literal, "env", kind, "key")}

    def in_child(self, pid):
        self.assertEqual(
            [e for e in self.environ_of(pid) if MARK.encode() in e], [])
        return found_in(pid, self.keys)

    def environ_of(self, pid):
        with open(f"/proc/{pid}/environ", "rb") as f:
            return f.read().split(b"\0")

    def check(self, server, wanted):
        for pid in server.receiver_pids():
            # what it serves HTTPS with, and that is all
            self.assertEqual(self.in_child(pid) - {"web-key"}, set(),
                             "a receiver")
        for name, secrets in wanted.items():
            self.assertEqual(self.in_child(server.worker_pid(name)), secrets,
                             f"worker {name}")

    def check_supervisor(self, server):
        """Its environment alone, which a reload reads."""
        found = found_in(server.process.pid, self.keys)
        self.assertEqual({s for s in found if not s.endswith("-env")}, set())
        self.assertIn("a-env", found)

    def test_memory(self):
        wanted = {name: self.own(name) for name in NAMES}
        server = self.tranqd(
            self.configuration([self.entry(n) for n in NAMES]),
            environment=self.environment)
        self.check(server, wanted)
        self.check_supervisor(server)
        self.assertIn("web-key", set().union(
            *(found_in(p, self.keys) for p in server.receiver_pids())),
            "the search finds keys")

        # a password by its literal, one in its file, a new dataSource
        self.write_file("b", "changed")
        before = {n: server.worker_pid(n) for n in NAMES}
        good, text = server.reload(self.configuration(
            [self.entry("a", literal="changed"), self.entry("b"),
             self.entry("c"), self.entry("later")],
            **{"tranqd.ringBytes": "128KiB"}))
        self.assertTrue(good, text)
        self.assertIn("1 added (later), 2 changed (a, b)", text)
        self.assertIn("keeps its old value", server.log())
        self.assertEqual(server.worker_pid("c"), before["c"])
        wanted.update(a=self.own("a", literal="changed"),
                      b=self.own("b", kind="changed"),
                      later=self.own("later"))
        server.wait_ready()
        self.check(server, wanted)
        self.check_supervisor(server)

        for again in ("a", "c", "later"):
            server.kill_worker(again)
        for index in range(2):
            server.kill_receiver(index)
        server.wait_ready()
        self.check(server, wanted)
        self.check_supervisor(server)

        self.assertEqual(
            server.post("a", harness.events(3)).sent, 3)
        self.check_ids(self.druid, "a", drill.ids(harness.events(3)))

    def test_of_the_whole_file(self):
        """Global ones are each worker's own, and still no receiver's."""
        self.write_file("all")
        document = self.configuration(list(NAMES), **{
            "druidBeam.basicAuthUser": "tranqd",
            "druidBeam.basicAuthPass": f"${{file:{self.path_of('all')}}}"})
        server = self.tranqd(document, environment=self.environment)
        self.check(server, {name: {"all-file"} for name in NAMES})
        good, text = server.reload(document)
        self.assertTrue(good, text)
        self.assertIn("3 unchanged", text)
        self.write_file("all", "changed")
        good, text = server.reload(document)
        self.assertTrue(good, text)
        self.assertIn("3 changed", text)
        server.wait_ready()
        self.check(server, {name: {"all-changed"} for name in NAMES})

    def leave_descriptors(self, server, soft, hard=None):
        """So many more than the supervisor has open."""
        pid = server.process.pid
        has = len(os.listdir(f"/proc/{pid}/fd"))
        now = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (
            has + soft, now if hard is None else has + hard))

    def test_few_descriptors(self):
        """One more for each secret that a reload brings: the limit is raised
        as far as may be, and no worker starts without what is its own."""
        self.write_file("all")
        more = [f"d{n}" for n in range(9)]
        common = {
            "druidBeam.basicAuthUser": "tranqd",
            "druidBeam.basicAuthPass": f"${{file:{self.path_of('all')}}}"}
        server = self.tranqd(self.configuration(list(NAMES), **common),
                             environment=self.environment)
        self.leave_descriptors(server, 8)
        good, text = server.reload(
            self.configuration([*NAMES, *more], **common))
        self.assertTrue(good, text)
        wanted = {name: {"all-file"} for name in (*NAMES, *more)}
        self.check(server, wanted)

        before = {n: server.worker_pid(n) for n in wanted}
        self.leave_descriptors(server, 8, 8)
        good, text = server.reload()
        self.assertFalse(good, text)
        self.assertIn("no descriptors for all that was read of it; raise",
                      server.log())
        self.assertEqual({n: server.worker_pid(n) for n in wanted}, before)


if __name__ == "__main__":
    harness.main()
