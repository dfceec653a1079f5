#!/usr/bin/env python3
"""The care for Druid's supervisor, killed at each of its steps: one supervisor,
seeded at the log's beginning, and each event in Druid once.
"""

import os
import shutil
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from faults import FAULT_TRANQD, Faults  # noqa: E402
from harness import wait_for  # noqa: E402
from pull_case import PullCase  # noqa: E402

# A point, and at which passage: a supervisor is posted twice.
MAKING = [("COMMITTED", 2), ("PULL_POST", 1), ("PULL_POSTED", 1),
          ("PULL_SEED", 1), ("PULL_SEEDED", 1), ("COMMITTED", 3),
          ("PULL_POST", 2), ("PULL_POSTED", 2)]
REMOVING = ["COMMIT", "SYNC", "COMMITTED"]


class CareCase(PullCase):
    time_bound = 240

    def setUp(self):
        super().setUp()
        self.faults = Faults(os.path.join(self.folder, "faults"))

    def begin(self, version="34.0.0", **properties):
        super().begin(version, binary=FAULT_TRANQD,
                      environment=self.faults.environment, **properties)


class TestMaking(CareCase):
    def check_made(self, point, at):
        self.sent = []
        self.faults.kill(point, at=at)
        self.begin(name=f"{point}-{at}")
        self.faults.await_hit(point)
        start = wait_for(lambda: self.partition()["start"], "a log")
        supervisor = self.await_running()
        self.assertNotIn("seeded", self.marker(supervisor))
        self.assertEqual(supervisor["stored"], {"0": start})
        self.assertEqual(list(self.druid.supervisors()), [self.name])
        puller = self.pull()
        self.post(50)
        puller.await_events(50)
        self.check_druid()
        puller.stop()
        self.server.stop()

    def test_points(self):
        for point, at in MAKING:
            with self.subTest(f"{point} {at}"):
                self.check_made(point, at)


class TestRunning(CareCase):
    def test_points(self):
        """Removal and updates, while it is killed."""
        self.begin()
        self.await_running()
        puller = self.pull()
        self.post(50)
        for n, point in enumerate(REMOVING + ["PULL_POST", "PULL_POSTED"]):
            with self.subTest(point):
                self.faults.kill(point)
                if point.startswith("PULL"):
                    self.server.reload(self.document(
                        **{"pull.completionTimeout": f"PT{n + 10}M"}))
                while not self.faults.hits(point):
                    self.post_some(puller)
                wait_for(lambda: self.server.data_source("a")["worker"][
                    "state"] == "ready", "a worker")
        self.await_removed(puller, len(self.sent) - 1)
        self.check_druid()
        self.check_accounts(self.server)
        puller.stop()
        posts = self.supervisor()["posts"]
        self.await_poll()
        self.assertEqual(self.supervisor()["posts"], posts)

    def post_some(self, puller):
        """With keys, so that what is not answered can be sent again."""
        events = harness.events(5, len(self.sent))
        key = {"Idempotency-Key": f"k{len(self.sent)}"}

        def is_taken():
            try:
                return self.server.post(
                    "a", events, headers=key).status == 200
            except OSError:
                return False
        wait_for(is_taken, "an answer")
        self.sent += drill.ids(events)
        puller.await_events(len(self.sent))
        puller.roll()
        puller.commit()


class TestLost(CareCase):
    def test_points(self):
        """A new spool for a supervisor of another one."""
        for point, at in (("PULL_POST", 1), ("PULL_POSTED", 1),
                          ("PULL_SEED", 1), ("PULL_SEEDED", 1),
                          ("PULL_POST", 2)):
            with self.subTest(point):
                self.sent = []
                self.begin(name=f"{point}-{at}")
                self.await_running()
                puller = self.pull(gaps=True)  # it may look for what is gone
                self.post(50)
                puller.await_events(50)
                old = self.partition()["end"]
                self.server.stop()
                shutil.rmtree(os.path.join(
                    self.server.data_dir, "spool", "a"))
                wait_for(lambda: time.time() > (old >> 22) + 1, "the clock")
                self.faults.kill(point, at=at)
                self.server.start()
                wait_for(lambda: puller.commit() and self.faults.hits(point),
                         "it is killed")
                self.await_running(puller=puller)
                self.post(50)
                puller.await_events(100)
                self.check_druid(moved=self.moved())
                puller.stop()
                self.server.stop()

    def moved(self):
        """At least once; as often as it was killed after it."""
        count = self.druid.stats()["violations"]["byKind"]["offsetsMoved"]
        self.assertGreaterEqual(count, 1)
        return count


if __name__ == "__main__":
    drill.main()
