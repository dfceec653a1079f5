#!/usr/bin/env python3
"""The feed in the daemon: its birth, death and reload, what it may do, and what
of a configuration is refused. (What it serves: tests/kafka.)"""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402
from kafka_client import Client, Fetched, fetch, frame, metadata  # noqa: E402
from sandbox import program  # noqa: E402

IS_ROOT = os.geteuid() == 0
NOBODY = 65534


class FeedCase(drill.Case):
    def begin(self, *, topics=("a", "b"), **properties):
        named = {k.replace("__", "."): v for k, v in properties.items()}
        named.setdefault("pull.listen", "127.0.0.1:0")
        server = self.tranqd(drill.config(
            list(topics), "http://127.0.0.1:1", properties=named))
        self.port = self.feed(server)["port"]
        self._ports.add(self.port)
        return server

    def feed(self, server):
        return server.status()["feed"]

    def await_feed(self, server, before=0):
        """Another one than that, which serves."""
        def is_there():
            feed = self.feed(server)
            return (feed["state"] == "ready" and feed["pid"] != before
                    and feed)
        return wait_for(is_there, "the feed")

    def is_served(self):
        try:
            with Client(self.port) as c:
                c.send(metadata(correlation=7))
                return c.answer()[:4] == b"\0\0\0\7"
        except (OSError, EOFError):
            return False


class TestLife(FeedCase):
    def test_killed(self):
        server = self.begin()
        self.assertTrue(self.is_served())
        for _ in range(3):
            pid = self.feed(server)["pid"]
            harness.kill(pid)
            self.assertNotEqual(self.await_feed(server, pid)["pid"], pid)
            wait_for(self.is_served)
        self.assertEqual(self.feed(server)["restarts"], 3)
        self.assertEqual(self.feed(server)["port"], self.port)
        # nobody else minds
        self.assertEqual(
            [r["restarts"] for r in server.status()["receivers"]], [0, 0])

    def test_hangs(self):
        server = self.begin(tranqd__hangTimeout="PT1S")
        pid = self.feed(server)["pid"]
        harness.kill(pid, signal.SIGSTOP)
        self.await_feed(server, pid)
        wait_for(self.is_served)
        self.assertIn("hung", server.log())

    def test_reload(self):
        """Another feed with the new configuration, at the same port."""
        server = self.begin()
        pid = self.feed(server)["pid"]
        done = subprocess.run(
            [program("tranqctl"), "password", "druid"], input="secret\n",
            text=True, stdout=subprocess.PIPE, check=True)
        users = os.path.join(self.folder, "users")
        with open(users, "w") as f:
            f.write(done.stdout)
        server.document["properties"]["pull.auth.file"] = users
        server.write()
        ok, text, _ = server.control("reload")
        self.assertTrue(ok, text)
        self.await_feed(server, pid)
        # whoever does not log in is sent away
        wait_for(lambda: not self.is_served())
        with Client(self.port) as c:
            c.send(frame(18, 0, 3))  # versions are told to all
            self.assertEqual(c.answer()[:6], b"\0\0\0\3\0\0")
        # a file that is bad is refused, and all stays as it was
        with open(users, "a") as f:
            f.write("druid:secret\n")
        pid = self.feed(server)["pid"]
        ok, text, body = server.control("reload")
        self.assertFalse(ok)
        self.assertIn("line 3", body.decode())
        self.assertNotIn("secret", body.decode())
        self.assertEqual(self.feed(server)["pid"], pid)

    def test_supervisor_is_killed(self):
        server = self.begin()
        server.kill()
        self.assertFalse(harness.is_listening(self.port))
        server.start()
        self.port = self.feed(server)["port"]
        self.assertTrue(self.is_served())

    def test_stop(self):
        """No client that is connected holds it up. (Who waits for events is
        answered: tests/kafka.)"""
        server = self.begin()
        with Client(self.port) as c:
            # no such partition (yet): he is told in a minute, or at the end;
            # both come at once, so the feed has both when it answers one
            c.send(metadata() + fetch(0, topic="a", max_wait=60000))
            c.answer()
            self.assertEqual(server.stop(), 0)
            self.assertEqual(Fetched(c.answer()).error, 3)
            self.assertTrue(c.is_closed())

    def test_many_topics(self):
        """More than can be described: the status says how many there are."""
        server = self.begin(topics=[f"t{n}" for n in range(18)],
                            delivery__mode="pull", pull__partitions=64)

        def left_out():
            self.is_served()  # it is described when somebody has come
            return self.feed(server)["log"].get("topicsLeftOut") == 18
        wait_for(left_out, "topics that are left out")
        self.assertIn("18 topics are too many to be listed", subprocess.run(
            [program("tranqctl"), "-c", server.config_file, "status"],
            stdout=subprocess.PIPE, text=True, check=True).stdout)

    def test_not_asked_for(self):
        server = self.tranqd(drill.config(["a"], "http://127.0.0.1:1"))
        self.assertIsNone(server.status()["feed"])
        self.assertFalse(os.path.exists(
            os.path.join(server.run_dir, "pull.port")))


class TestPrivileges(FeedCase):
    def status_of(self, pid):
        with open(f"/proc/{pid}/status") as f:
            return dict(line.rstrip("\n").split(":\t", 1)
                        for line in f if ":\t" in line)

    @unittest.skipUnless(IS_ROOT, "needs root")
    def test_user(self):
        os.chmod(self.folder, 0o755)
        server = self.begin(tranqd__user="nobody")
        self.assertTrue(self.is_served())
        found = self.status_of(self.feed(server)["pid"])
        self.assertEqual(found["Uid"].split(), [str(NOBODY)] * 4)
        self.assertEqual(int(found["CapEff"], 16), 0)
        self.assertEqual(found["NoNewPrivs"], "1")

    def test_confined(self):
        server = self.begin()
        feed = self.feed(server)
        if "not confined" in server.log():
            self.skipTest("this program is not confined")
        self.assertIn("seccomp", feed["confined"])
        self.assertEqual(self.status_of(feed["pid"])["Seccomp"], "2")
        self.assertTrue(self.is_served())
        self.assertEqual(self.feed(server)["refusedCalls"], 0)

    def test_descriptors(self):
        """What is others' is not the feed's: no ring, no HTTP port."""
        server = self.begin()
        pid = self.feed(server)["pid"]
        names = [os.readlink(f"/proc/{pid}/fd/{fd}")
                 for fd in os.listdir(f"/proc/{pid}/fd")]
        self.assertFalse([n for n in names if "channel" in n or "ring" in n],
                         names)
        self.assertEqual(len([n for n in names if n.startswith("socket")]),
                         2, names)  # its port, and the supervisor


class TestPassword(unittest.TestCase):
    """tranqctl password at a terminal."""

    def shows_what_is_typed(self, terminal):
        return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)

    def ask(self, *keys):
        """Returns its exit status and what it wrote; afterwards the terminal
        must show what is typed."""
        ours, terminal = pty.openpty()
        self.addCleanup(os.close, ours)
        self.addCleanup(os.close, terminal)

        def become_its_owner():
            os.setsid()
            fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        process = subprocess.Popen(
            [program("tranqctl"), "password", "druid"], stdin=terminal,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            preexec_fn=become_its_owner)
        with process:
            wait_for(lambda: not self.shows_what_is_typed(terminal))
            for key in keys:
                os.write(ours, key)
            said = process.stdout.read()
        self.assertTrue(self.shows_what_is_typed(terminal))
        return process.returncode, said

    def test_twice(self):
        code, said = self.ask(b"secret\n", b"secret\n")
        self.assertEqual((code, said.count("druid:SCRAM-")), (0, 2), said)

    def test_not_the_same(self):
        code, said = self.ask(b"secret\n", b"sceret\n")
        self.assertEqual(code, 1)
        self.assertEqual(said.splitlines()[2:], [
            "tranqctl: password: the two are not the same"], said)

    def test_broken_off(self):
        code, _ = self.ask(b"sec\x03")
        self.assertEqual(code, -signal.SIGINT)


class TestRefused(FeedCase):
    def refused(self, **properties):
        server = self.tranqd(drill.config(
            ["a"], "http://127.0.0.1:1",
            properties={k.replace("__", "."): v
                        for k, v in properties.items()}), start=False)
        done = subprocess.run(
            [program("tranqd"), "check", "-c", server.config_file],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, 78, done.stdout)
        return done.stdout

    def test_open_to_all(self):
        self.assertIn("lets everybody in the network read",
                      self.refused(pull__listen="10.0.0.1:9094"))

    def test_no_address(self):
        self.assertIn("pull.advertise: not set", self.refused(
            pull__listen=":9094", pull__insecure="true"))
        self.assertIn("no address that anybody", self.refused(
            pull__listen=":9094", pull__insecure="true",
            pull__advertise="0.0.0.0"))

    def test_no_certificate(self):
        self.assertIn("pull.tls: there is no certificate", self.refused(
            pull__listen="127.0.0.1:9094", pull__tls="true"))

    def test_no_users(self):
        self.assertIn("pull.auth.file: /none: cannot be read", self.refused(
            pull__listen="127.0.0.1:9094", pull__auth__file="/none"))

    def test_taken_port(self):
        first = self.begin()
        other = self.tranqd(drill.config(
            ["a"], "http://127.0.0.1:1",
            properties={"pull.listen": f"127.0.0.1:{self.port}"}),
            name="other", start=False)
        other.spawn()
        wait_for(lambda: other.process.poll() is not None)
        self.assertEqual(other.process.returncode, 69)
        other.process = None
        self.assertIn(f"pull.listen 127.0.0.1:{self.port} cannot be opened",
                      other.log())
        self.assertTrue(first.is_running)


if __name__ == "__main__":
    harness.main()
