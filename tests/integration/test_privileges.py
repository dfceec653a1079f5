#!/usr/bin/env python3
"""Who the processes run as, what they keep to themselves, who may ask them,
and how the programs were built."""

import os
import re
import shutil
import stat
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402
from sandbox import ROOT, program  # noqa: E402

NOBODY = 65534
STRANGER = 4242  # nobody has this id
IS_ROOT = os.geteuid() == 0


def process_status(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(re.findall(r"^(\w+):\t(.*)$", f.read(), re.M))


class PrivilegesCase(drill.Case):
    def setUp(self):
        super().setUp()
        # for whoever tranqd.user is
        os.chmod(self.folder, 0o755)
        self.druid = self.sandbox()

    def begin(self, **properties):
        return self.tranqd(drill.config(
            ["a", "b"], self.druid.url, properties={
                k.replace("_", "."): v for k, v in properties.items()}))

    def children(self, server):
        return harness.children(server.process.pid)


class TestUser(PrivilegesCase):
    def check_stripped(self, server):
        children = self.children(server)
        self.assertEqual(len(children), 4)
        for pid in children:
            found = process_status(pid)
            for set_of in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                self.assertEqual(int(found[set_of], 16), 0, set_of)
            if IS_ROOT:
                self.assertEqual(int(found["CapBnd"], 16), 0)
            self.assertEqual(found["NoNewPrivs"], "1")
            if "seccomp" in server.status()["receivers"][0]["confined"]:
                self.assertEqual(found["Seccomp"], "2")
                self.assertIn("(seccomp", server.log())
        return children

    def test_no_capabilities(self):
        self.check_stripped(self.begin())

    @unittest.skipUnless(IS_ROOT, "needs root")
    def test_root_is_told(self):
        server = self.begin()
        self.assertIn("run as root", server.log())
        self.assertIn("tranqd.user", server.log())

    @unittest.skipUnless(IS_ROOT, "needs root")
    def test_tranqd_user(self):
        server = self.begin(tranqd_user="nobody:daemon")
        for pid in self.check_stripped(server):
            found = process_status(pid)
            self.assertEqual(found["Uid"].split(), [str(NOBODY)] * 4)
            self.assertEqual(found["Gid"].split(), ["1"] * 4)
            self.assertEqual(found["Groups"].split(), ["1"])
        self.assertNotIn("run as root", server.log())
        self.assertEqual(process_status(server.process.pid)["Uid"].split(),
                         ["0"] * 4)
        answer = server.post("a", harness.events(50))
        self.assertEqual((answer.status, answer.sent), (200, 50))

    @unittest.skipUnless(IS_ROOT, "needs root")
    def test_from_user_to_root(self):
        """What was another user's is read without capabilities too."""
        server = self.begin(tranqd_user="nobody")
        server.post("a", harness.events(10), is_async=True)
        server.stop()
        del server.document["properties"]["tranqd.user"]
        server.write()
        server.start()
        self.await_drained(server)
        self.assertEqual(self.counts(server, "a")["sent"], 10)


class TestSecrets(PrivilegesCase):
    """Core files, and debuggers of the same user."""

    def limit(self, pid):
        with open(f"/proc/{pid}/limits") as f:
            return re.search(r"^Max core file size\s+(\S+)", f.read(),
                             re.M).group(1)

    def owners(self, server):
        """Of what a debugger needs; root's when the process is hidden."""
        return {os.stat(f"/proc/{pid}/mem").st_uid
                for pid in self.children(server)}

    def test_none(self):
        server = self.begin(**({"tranqd_user": "nobody"} if IS_ROOT else {}))
        for pid in drill.family(server):
            self.assertEqual(self.limit(pid), "0")
        # a sanitizer must be able to look into its own process
        if "not confined" not in server.log():
            self.assertEqual(self.owners(server), {0})

    def test_asked_for(self):
        server = self.begin(tranqd_coreDumps=True, **(
            {"tranqd_user": "nobody"} if IS_ROOT else {}))
        for pid in drill.family(server):
            with open(f"/proc/{pid}/limits") as f:
                _, now, most = re.search(
                    r"^(Max core file size)\s+(\S+)\s+(\S+)", f.read(),
                    re.M).groups()
            self.assertEqual(now, most)
        self.assertEqual(self.owners(server),
                         {NOBODY if IS_ROOT else os.geteuid()})


class TestModes(PrivilegesCase):
    def check_modes(self, server):
        for top in (server.data_dir, server.run_dir):
            for folder, folders, files in os.walk(top):
                for path in [folder] + [os.path.join(folder, f)
                                        for f in files]:
                    mode = stat.S_IMODE(os.lstat(path).st_mode)
                    self.assertEqual(mode & 0o007, 0, f"{path}: {mode:o}")
                    if "/spool/" in path:
                        self.assertEqual(mode & 0o077, 0,
                                         f"{path}: {mode:o}")

    def run_all(self, **properties):
        """Everything that makes files: spool, archive, ports, socket."""
        old = os.umask(0)
        try:
            server = self.begin(late_policy="archive", archive_all=True,
                                archive_sealPeriod="PT1S", **properties)
        finally:
            os.umask(old)
        server.post("a", harness.events(100))
        wait_for(lambda: list(harness_files(server, "archive", ".zst")),
                 "a file of the archive")
        self.check_modes(server)
        server.restart()
        self.check_modes(server)
        return server

    def test_modes(self):
        self.run_all()

    @unittest.skipUnless(IS_ROOT, "needs root")
    def test_modes_as_user(self):
        server = self.run_all(tranqd_user="nobody")
        for folder in ("spool/a", "archive/a", "quarantine/a"):
            self.assertEqual(
                os.stat(os.path.join(server.data_dir, folder)).st_uid,
                NOBODY)


def harness_files(server, folder, end):
    for at, _, files in os.walk(os.path.join(server.data_dir, folder)):
        yield from (os.path.join(at, f) for f in files if f.endswith(end))


@unittest.skipUnless(IS_ROOT, "needs root")
class TestControlSocket(PrivilegesCase):
    def setUp(self):
        super().setUp()
        # where everybody finds it
        self.tools = os.path.join(self.folder, "tranqctl")
        shutil.copy(program("tranqctl"), self.tools)

    def ask(self, server, user, group, groups=()):
        """tranqctl's exit code and text, as another user."""
        done = subprocess.run(
            [self.tools, "-s", server.control_socket, "status"],
            user=user, group=group, extra_groups=list(groups),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=60)
        return done.returncode, done.stdout

    def test_mode(self):
        server = self.begin(tranqd_user="nobody:daemon")
        found = os.stat(server.control_socket)
        self.assertEqual(stat.S_IMODE(found.st_mode), 0o660)
        self.assertEqual((found.st_uid, found.st_gid), (0, 1))

    def test_who_may(self):
        server = self.begin(tranqd_user="nobody:daemon")
        for user, group, groups in ((0, 0, ()), (NOBODY, 1, ()),
                                    (STRANGER, 1, ()),
                                    (STRANGER, STRANGER, (7, 1, 8))):
            code, text = self.ask(server, user, group, groups)
            self.assertEqual(code, 0, (user, group, groups, text))
        code, text = self.ask(server, STRANGER, STRANGER)
        self.assertNotEqual(code, 0, text)

    def test_credentials(self):
        """They count even when the file lets everybody in."""
        server = self.begin(tranqd_user="nobody:daemon")
        os.chmod(server.run_dir, 0o755)
        os.chmod(server.control_socket, 0o666)
        code, text = self.ask(server, STRANGER, STRANGER)
        self.assertEqual(code, 1, text)
        self.assertIn("permission denied", text)
        self.assertIn(f"uid {STRANGER}", server.log())
        # tranqd.user, whatever his group is now
        self.assertEqual(self.ask(server, NOBODY, STRANGER)[0], 0)


class TestBuild(unittest.TestCase):
    """What the compiler and the linker were told arrives in the programs."""
    PROGRAMS = ("tranqd", "tranqctl", "tranq-sandbox", "tranq-load")

    def setUp(self):
        if shutil.which("readelf") is None:
            self.skipTest("readelf (binutils) is not there")
        if "asan" in program("tranqd") or "tsan" in program("tranqd"):
            self.skipTest("a sanitizer's build")

    def readelf(self, option, path):
        return subprocess.run(["readelf", "-W", option, path], check=True,
                              stdout=subprocess.PIPE, text=True).stdout

    def test_position_independent(self):
        for name in self.PROGRAMS:
            self.assertRegex(self.readelf("-h", program(name)),
                             r"Type:\s+DYN", name)
            self.assertRegex(self.readelf("-d", program(name)),
                             r"FLAGS_1.*PIE", name)

    def test_relocations_read_only(self):
        for name in self.PROGRAMS:
            self.assertIn("GNU_RELRO", self.readelf("-l", program(name)))
            self.assertRegex(self.readelf("-d", program(name)),
                             r"BIND_NOW|FLAGS.*NOW", name)
            self.assertNotIn("TEXTREL", self.readelf("-d", program(name)))

    def test_nothing_written_and_run(self):
        for name in self.PROGRAMS:
            headers = self.readelf("-l", program(name))
            stack, = re.findall(r"GNU_STACK.*?(\bR[W ][E ])", headers)
            self.assertEqual(stack.strip(), "RW", name)
            for flags in re.findall(r"^\s+LOAD\s.*?\s(R[W ][E ])\s", headers,
                                    re.M):
                self.assertNotEqual(flags, "RWE", name)

    def test_stack_protector_and_fortify(self):
        for name in self.PROGRAMS:
            symbols = self.readelf("--dyn-syms", program(name))
            self.assertIn("__stack_chk_fail", symbols, name)
            # printf and memcpy with a check
            self.assertRegex(symbols, r"__\w+_chk@", name)

    def test_no_search_path(self):
        for name in self.PROGRAMS:
            self.assertNotRegex(self.readelf("-d", program(name)),
                                r"RPATH|RUNPATH", name)

    @unittest.skipUnless(os.uname().machine == "x86_64", "x86-64 has CET")
    def test_control_flow(self):
        """All objects are ready for it (the whole program is when the C
        library's start files are too)."""
        build = os.path.dirname(os.path.dirname(program("tranqd")))
        objects = []
        for folder in ("common", "supervisor", "receiver", "worker"):
            at = os.path.join(build, "obj", folder)
            if os.path.isdir(at):
                objects += [os.path.join(at, o) for o in os.listdir(at)
                            if o.endswith(".o")]
        if not objects:
            self.skipTest("the objects are not there")
        for path in objects:
            self.assertRegex(self.readelf("-n", path), r"IBT, SHSTK", path)


class TestUnit(unittest.TestCase):
    """conf/tranqd.service."""
    path = os.path.join(ROOT, "conf", "tranqd.service")

    def test_lets_us_confine_ourselves(self):
        with open(self.path) as f:
            allowed, = re.findall(r"^SystemCallFilter=(.*)$", f.read(), re.M)
        for call in ("seccomp", "landlock_create_ruleset",
                     "landlock_add_rule", "landlock_restrict_self"):
            self.assertIn(call, allowed.split())

    def test_exposure(self):
        if shutil.which("systemd-analyze") is None:
            self.skipTest("systemd-analyze is not there")
        done = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", self.path],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        found = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
        if found is None:
            self.skipTest("this systemd-analyze cannot: " + done.stderr)
        self.assertLessEqual(float(found.group(1)), 2.0, done.stdout)


if __name__ == "__main__":
    unittest.main()
