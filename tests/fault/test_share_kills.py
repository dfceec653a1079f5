#!/usr/bin/env python3
"""Killed at each step of what tranqds agree on, of a supervisor's making and of
its end: each event comes once."""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import faults  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402
from sharing import DS, ShareCase  # noqa: E402

MAKING = ("PULL_POST", "PULL_POSTED", "PULL_SEED", "PULL_SEEDED")
SHARING = ("SHARE_TAKE", "SHARE_TAKEN", "SHARE_HELD")


class KillCase(ShareCase):
    def faulty(self, name, point=None):
        """A server that is killed there."""
        self.faults = faults.Faults(os.path.join(self.folder, f"f-{name}"))
        if point is not None:
            self.faults.kill(point)
        return self.server(name, binary=faults.FAULT_TRANQD,
                           environment=self.faults.environment)


class TestBegin(KillCase):
    def check(self, point):
        """The first of two, and then the second."""
        one = self.faulty("one", point)
        self.faults.await_hit(point)
        self.await_serves(one, 0)
        self.post(one, 10, "one")
        two = self.faulty("two", point)
        if point in SHARING:
            self.faults.await_hit(point)
        self.await_serves(two, 1)
        self.post(two, 10, "two")
        self.post(one, 10, "more")
        self.check_druid()
        self.check_violations(self.druid)


class TestSeedsMore(KillCase):
    def check(self, point):
        """Whoever manages is killed while he seeds the second's partition."""
        one = self.faulty("one")
        self.await_serves(one, 0)
        self.post(one, 10, "one")
        self.check_druid()
        self.faults.kill(point)
        two = self.server("two")
        self.faults.await_hit(point)
        self.post(two, 10, "two")
        self.await_serves(two, 1)
        self.post(one, 10, "more")
        self.check_druid()
        self.check_violations(self.druid)


class TestDrain(KillCase):
    druid_options = ("--druid", "34.0.0")
    supervisor = f"{DS}-tq1"
    properties = {"pull.instance": "tq1"}

    def check(self, point):
        server = self.faulty("one", point)
        self.post(server, 30, "one")
        drain = subprocess.run(
            [harness.program("tranqctl"), "-c", server.config_file, "drain",
             "--timeout", "PT40S", DS], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=60)
        self.faults.await_hit(point)
        self.assertEqual(drain.returncode, 0, drain.stdout)
        self.check_druid()
        wait_for(lambda: self.pulled.supervisor()["spec"] is None)
        self.assertEqual(server.tranqctl("drain", "--undo").returncode, 0)
        self.post(server, 10, "again")
        self.check_druid()


def add(case, point):
    def test(self):
        self.check(point)
    test.__doc__ = case.check.__doc__
    setattr(case, f"test_{point.lower()}", test)


for name in SHARING + MAKING:
    add(TestBegin, name)
for name in "PULL_SEED", "PULL_SEEDED":
    add(TestSeedsMore, name)
for name in "PULL_DRAIN", "PULL_END":
    add(TestDrain, name)


if __name__ == "__main__":
    drill.main()
