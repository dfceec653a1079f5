#!/usr/bin/env python3
"""The harness itself: what other tests count on, and the whole path once."""

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import harness  # noqa: E402
from sandbox import ROOT  # noqa: E402


class TestTranqd(harness.Case):
    def setUp(self):
        super().setUp()
        self.druid = self.sandbox()
        self.daemon = self.tranqd(harness.config(2, self.druid.url))

    def arrived(self, ds):
        return {e["id"] for e in self.druid.events(ds)}

    def test_post(self):
        answer = self.daemon.post("ds0", harness.events(100))
        self.assertEqual((answer.status, answer.received, answer.sent),
                         (200, 100, 100))
        self.assertEqual(len(self.arrived("ds0")), 100)
        # the durable accounts follow with the next commit
        harness.wait_for(lambda: self.daemon.accounts("ds0")["sent"] == 100,
                         "100 are accounted for as sent")

    def test_load(self):
        report = self.load(self.daemon, self.druid, events=20000, batch=100,
                           data_source="ds0,ds1")
        self.assertEqual(report["compare"]["arrived"], 20000)

    def test_kill_worker(self):
        self.daemon.kill_worker("ds0")
        self.daemon.wait_ready()
        self.assertEqual(
            self.daemon.post("ds0", harness.events(10)).status, 200)

    def test_kill_all_and_start(self):
        port = self.daemon.port
        self.daemon.post("ds0", harness.events(10), is_async=True)
        self.daemon.kill_all()
        self.assertFalse(harness.is_listening(port))
        self.daemon.start()
        self.assertEqual(self.daemon.port, port)
        harness.wait_for(lambda: len(self.arrived("ds0")) == 10, "all arrived")

    def test_kill_supervisor(self):
        self.daemon.kill()
        self.daemon.start()

    def test_stop(self):
        self.assertEqual(self.daemon.stop(), 0)
        self.assertFalse(self.daemon.is_running)

    def test_reload(self):
        ok, text = self.daemon.reload(
            harness.config(3, self.druid.url))
        self.assertTrue(ok, text)
        self.assertEqual(
            self.daemon.post("ds2", harness.events(5)).status, 200)

    def test_tranqctl(self):
        done = self.daemon.tranqctl("status", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_raw(self):
        answer = harness.raw(self.daemon.port,
                             b"GET / HTTP/1.1\r\nHost: x\r\n"
                             b"Connection: close\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)


class TestRunner(harness.Case):
    """tests/run is ended amid its files."""

    def check_ended(self, sig, expected):
        def begin():
            harness.die_with_parent()
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # not as behind an &
        runner = subprocess.Popen(
            [os.path.join(ROOT, "tests/run"), "--integration", "-k",
             "test_harness.TestTranqd|test_kill"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=begin)
        try:
            harness.wait_for(self.is_amid_it, "a tranqd runs")
            runner.send_signal(sig)
            runner.communicate(timeout=30)
        finally:
            runner.kill()
        self.assertEqual(runner.returncode, expected)
        self.assertFalse(self._left(), "it waits for what it ends")

    def is_amid_it(self):
        return [pid for pid in harness.descendants(os.getpid())
                if harness.command_line(pid).startswith("tranqd: ")]

    def test_sigterm(self):
        self.check_ended(signal.SIGTERM, 143)

    def test_sigint(self):
        self.check_ended(signal.SIGINT, 130)


class TestGuard(unittest.TestCase):
    """The guard finds what a test leaves behind."""

    def failures_of(self, body):
        class Inner(harness.Case):
            def test(self):
                body(self)

        result = unittest.TestResult()
        unittest.TestSuite([Inner("test")]).run(result)
        return [text for _, text in result.failures + result.errors]

    def setUp(self):
        self.seconds = harness.LEFT_SECONDS
        harness.LEFT_SECONDS = 0.5

    def tearDown(self):
        harness.LEFT_SECONDS = self.seconds

    def test_nothing_left(self):
        self.assertEqual(self.failures_of(lambda case: case.sandbox()), [])

    def test_process_left(self):
        """Also one that has gone away from its parents."""
        def leave(_):
            subprocess.run(["setsid", "sh", "-c", "sleep 87 & exit 0"],
                           check=True)

        failures = self.failures_of(leave)
        self.assertEqual(len(failures), 1)
        self.assertIn("processes are left", failures[0])
        self.assertIn("sleep 87", failures[0])
        harness.wait_for(
            lambda: not [p for p in harness.descendants(os.getpid())
                         if harness.is_alive(p)],
            "what was left to be ended by the guard")

    def test_port_left(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
            failures = self.failures_of(lambda case: case._ports.add(port))
        self.assertEqual(len(failures), 1)
        self.assertIn("still listened on", failures[0])

    def test_logs_of_a_failure(self):
        def fail(case):
            case.tranqd(harness.config(1, "http://localhost:1"))
            case.fail("on purpose")

        with contextlib.redirect_stdout(io.StringIO()) as said:
            self.assertEqual(len(self.failures_of(fail)), 1)
        self.assertRegex(said.getvalue(), "(?s)---- end of .*tranqd.log ----"
                         ".* ready: 2 receivers, 1 dataSources")
        with contextlib.redirect_stdout(io.StringIO()) as said:
            self.failures_of(lambda case: case.tranqd(
                harness.config(1, "http://localhost:1")))
        self.assertEqual(said.getvalue(), "")

    def test_folder_of_a_set_up_that_fails(self):
        class Inner(harness.Case):
            def setUp(self):
                super().setUp()
                folders.append(self.folder)
                self.skipTest("on purpose")

            def test(self):
                pass

        folders = []
        unittest.TestSuite([Inner("test")]).run(unittest.TestResult())
        self.assertEqual([os.path.exists(f) for f in folders], [False])

    def test_wait_for(self):
        values = iter([0, None, 7])
        self.assertEqual(harness.wait_for(lambda: next(values)), 7)
        with self.assertRaisesRegex(AssertionError, "not within .*: the moon"):
            harness.wait_for(lambda: False, "the moon", 0.1)

    def test_kill(self):
        child = subprocess.Popen(["sleep", "87"])
        self.assertTrue(harness.is_alive(child.pid))
        harness.kill(child.pid, signal.SIGTERM)
        harness.wait_gone(child.pid)
        child.wait()


if __name__ == "__main__":
    harness.main()
