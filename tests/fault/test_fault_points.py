#!/usr/bin/env python3
"""The fault points themselves: armed, they kill, stop and fail; else they are
nothing, and the program that is installed has none."""

import errno
import os
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import faults  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402
from sandbox import program  # noqa: E402


class TestFaultPoints(drill.Case):
    def setUp(self):
        super().setUp()
        self.faults = faults.Faults(os.path.join(self.folder, "faults"))
        self.druid = self.sandbox("--check", "full")
        self.server = self.tranqd(
            drill.config(["wikipedia"], self.druid.url),
            binary=faults.FAULT_TRANQD,
            environment=self.faults.environment)

    def test_kill_stop_and_fail(self):
        old = self.server.worker_pid("wikipedia")
        self.faults.kill("COMMIT", at=2)
        self.server.post("wikipedia", harness.events(3, run="a"))
        self.assertEqual(self.faults.await_hit("COMMIT"), old)
        wait_for(lambda: self.server.worker_pid("wikipedia") not in (0, old),
                 "a new worker")
        self.await_drained(self.server)
        passed = self.faults.passed("SYNC")
        self.faults.stop("SYNC")
        with self.server.client() as client:
            client.connection.request(
                "POST", "/v1/post/wikipedia?async=true",
                harness.lines(harness.events(3, run="b")),
                {"Content-Type": "application/json"})
            pid = self.faults.await_hit("SYNC")
            self.assertEqual(pid, self.server.worker_pid("wikipedia"))
            os.kill(pid, signal.SIGCONT)
            self.assertEqual(client.connection.getresponse().status, 200)
        self.assertGreater(self.faults.passed("SYNC"), passed)
        self.faults.fail("SYNC", errno.EIO)
        self.assertEqual(self.server.post(
            "wikipedia", harness.events(3, run="c")).status, 200)
        self.assertEqual(self.faults.hits("SYNC"), 1)
        self.check_ids(self.druid, "wikipedia",
                       [f"{r}-{n}" for r in "abc" for n in range(3)])
        self.check_whole(self.server, self.druid, killed=True)

    def test_the_installed_program_has_none(self):
        done = subprocess.run([program("tranqd"), "faults"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 64)
        with open(program("tranqd"), "rb") as f:
            self.assertNotIn(b"TRANQ_FAULT_FILE", f.read())


if __name__ == "__main__":
    drill.main()
