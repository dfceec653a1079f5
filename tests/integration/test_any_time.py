#!/usr/bin/env python3
"""task.type index_realtime_appenderator: events of any time, at once; and
from one type to the other with nothing lost."""

import os
import random
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402
from zookeeper import ZooKeeper  # noqa: E402

DAY = 86400
ANY_TIME = {"task.type": "index_realtime_appenderator"}


class AnyTimeCase(drill.Case):
    segment, window = "HOUR", "PT10M"

    def document(self, properties):
        return drill.config(
            [harness.data_source("a", segment=self.segment,
                                 window=self.window)],
            self.druid.url, properties=properties)

    def start(self, *options, **properties):
        self.druid = self.sandbox("--check", "full", *options)
        self.server = self.tranqd(self.document(properties))

    def reload(self, server=None, **properties):
        server = server or self.server
        worker = server.data_source("a")["worker"]["pid"]
        ok, text = server.reload(self.document(properties))
        self.assertTrue(ok, text)
        wait_for(lambda: server.data_source("a")["worker"]["pid"]
                 != worker and server._is_ready(), "a new worker")

    def post(self, events, server=None, **how):
        answer = (server or self.server).post("a", events, **how)
        self.assertEqual(answer.status, 200, answer)
        self.assertNotIn("X-Tranq-Dropped", answer.headers)
        return drill.ids(events)

    def tasks(self):
        found = self.druid.stats()["dataSources"].get("a", {"tasks": {}})
        return found["tasks"]

    def types(self):
        return sorted({"any" if "_appenderator_" in t else "timed"
                       for t in self.tasks()})


def ages(run, *seconds, count=20):
    """Events of several times at once."""
    now = time.time()
    return [e for n, s in enumerate(seconds)
            for e in harness.events(count, n * count, run=run, at=now - s)]


class TestAnyTime(AnyTimeCase):
    def test_last_week_now_and_next_year(self):
        self.start(**ANY_TIME)
        events = ages("e", 0, 7 * DAY, 400 * DAY, 20000 * DAY, -365 * DAY)
        answer = self.server.post("a", events)
        self.assertEqual((answer.received, answer.sent), (100, 100), answer)
        self.check_ids(self.druid, "a", drill.ids(events))
        task, = self.tasks()
        self.assertTrue(task.startswith("index_realtime_appenderator_a_"))
        self.check_whole(self.server, self.druid)

    def test_years_that_druid_cannot_compare(self):
        self.years()

    def test_and_no_policy_keeps_them(self):
        self.years(**{"late.policy": "archive"})

    def years(self, **properties):
        self.start(**ANY_TIME, **properties)
        events = [{"id": f"y{n}", "time": t} for n, t in enumerate(
            ["-0001-12-31T23:59:59.999Z", "0000-01-01T00:00:00.000Z",
             "9999-12-31T23:59:59.999Z", 253402300800000, 2 ** 62])]
        answer = self.server.post("a", events)
        self.assertEqual((answer.received, answer.sent), (5, 2), answer)
        self.assertEqual(answer.headers["X-Tranq-Dropped"], "3; window=3")
        self.check_ids(self.druid, "a", ["y1", "y2"])

    def test_partitions(self):
        self.start(**ANY_TIME, **{"task.partitions": 3})
        ids = self.post(ages("e", 0, DAY, 30 * DAY, count=200))
        self.check_ids(self.druid, "a", ids)
        self.assertEqual(len(self.tasks()), 3)
        self.assertTrue(all(t["events"] for t in self.tasks().values()))
        self.check_whole(self.server, self.druid)

    def test_killed_worker_and_restart(self):
        self.start(**ANY_TIME)
        ids = self.post(ages("a", 0, DAY))
        self.server.kill_worker("a")
        ids += self.post(ages("b", 0, DAY))
        self.server.restart()
        ids += self.post(ages("c", 0, DAY))
        self.check_ids(self.druid, "a", ids)
        self.assertEqual(len(self.tasks()), 1)
        self.check_whole(self.server, self.druid, killed=True)

    def test_a_failed_task_is_replaced(self):
        self.start(**ANY_TIME)
        self.post(ages("a", 0, DAY))
        self.druid.fault("kill-task", dataSource="a")
        ids = self.post(ages("b", 0, DAY))
        wait_for(lambda: len(self.tasks()) == 2, "a replacement")
        wait_for(lambda: set(ids) <= set(drill.ids(self.druid.events("a"))),
                 "it has the events")
        self.assertTrue(any(t.endswith("_r1") for t in self.tasks()))
        self.check_whole(self.server, self.druid)


class TestIntervalsPass(AnyTimeCase):
    """An interval a second: what one's tasks do not take, the next ones do."""
    segment, window = "SECOND", "PT1S"
    grace = {"druidBeam.firehoseGracePeriod": "PT1S"}

    def test_load(self):
        self.start("--handoff-delay", "10", **ANY_TIME, **self.grace)
        ids = []
        for n in range(40):
            ids += self.post(ages(f"r{n}-", 0, 3600, 7 * DAY), is_async=True)
            time.sleep(0.1)
        self.check_ids(self.druid, "a", ids)
        self.assertGreater(len(self.tasks()), 3)
        self.check_whole(self.server, self.druid)

    def test_druid_is_away_for_some_intervals(self):
        self.start("--handoff-delay", "10", **ANY_TIME, **self.grace)
        ids = self.post(ages("a", 0, DAY))
        self.druid.fault("overlord-away")
        for n in range(30):
            ids += self.post(ages(f"b{n}-", 0, DAY, count=100),
                             is_async=True)
            time.sleep(0.2)
        self.druid.fault("overlord-away", on=False)
        self.check_ids(self.druid, "a", ids, seconds=60)
        self.check_whole(self.server, self.druid)

    def test_and_the_worker_is_killed_meanwhile(self):
        self.start("--handoff-delay", "10", **ANY_TIME, **self.grace)
        self.druid.fault("overlord-away")
        ids = []
        for n in range(20):
            ids += self.post(ages(f"b{n}-", 0, DAY, count=100),
                             is_async=True)
            time.sleep(0.15)
        self.druid.fault("overlord-away", on=False)
        for _ in range(6):
            time.sleep(0.4)
            self.server.kill_worker("a")
        self.check_ids(self.druid, "a", ids, seconds=60, doubled=400)
        self.check_whole(self.server, self.druid, killed=True)


class TestMisfortunes(AnyTimeCase):
    """All at random, while intervals pass: killed workers, an Overlord that
    comes and goes, answers that are lost or bad."""
    segment, window = "SECOND", "PT3S"
    time_bound = 300
    seed = 2026

    def misfortune(self, rng):
        kind = rng.randrange(25)
        if kind == 0:
            self.server.kill_worker("a")
        elif kind == 1:
            self.is_away = not self.is_away
            self.druid.fault("overlord-away", on=self.is_away)
        elif kind in (2, 3):
            self.druid.fault("drop" if kind == 2 else "error", count=3)

    def test_all_arrive(self):
        rng = random.Random(self.seed)
        self.is_away = False
        self.start("--handoff-delay", "300", "--start-delay", "50",
                   **ANY_TIME, **{"druidBeam.firehoseGracePeriod": "PT1S",
                                  "task.partitions": 2})
        ids = []
        for n in range(300 if drill.LONG else 60):
            ids += self.post(ages(f"r{n}-", 0, 7200, 7 * DAY,
                                  count=rng.choice([5, 50, 300])),
                             is_async=True)
            time.sleep(rng.random() / 5)
            self.misfortune(rng)
        self.druid.fault("overlord-away", on=False)
        # what a task has taken that ends before it is noted comes again
        self.check_ids(self.druid, "a", ids, seconds=90, doubled=len(ids))
        self.check_whole(self.server, self.druid, killed=True)


class TestOtherType(AnyTimeCase):
    def test_to_any_time_in_a_running_interval(self):
        self.start()
        ids = self.post(ages("a", 0))
        self.reload(**ANY_TIME)
        ids += self.post(ages("b", 0, 7 * DAY))
        self.check_ids(self.druid, "a", ids)
        self.assertEqual(self.types(), ["any", "timed"])
        # what is of now goes to the task that has the interval's lock
        self.assertEqual(sorted(t["events"] for t in self.tasks().values()),
                         [20, 40])
        self.check_whole(self.server, self.druid)

    def test_back_in_a_running_interval(self):
        self.start(**ANY_TIME)
        ids = self.post(ages("a", 0, 7 * DAY))
        self.reload()
        ids += self.post(ages("b", 0))
        self.check_ids(self.druid, "a", ids)
        self.assertEqual(self.types(), ["any"])
        answer = self.server.post("a", ages("c", 7 * DAY))
        self.assertEqual(answer.headers["X-Tranq-Dropped"], "20; window=20")
        self.check_whole(self.server, self.druid)

    def test_with_batches_that_wait(self):
        """Both ways while Druid is away: all arrive, no task fails."""
        self.start()
        self.druid.fault("overlord-away")
        ids = self.post(ages("a", 0), is_async=True)
        self.reload(**ANY_TIME)
        ids += self.post(ages("b", 0, 7 * DAY), is_async=True)
        self.reload()
        ids += self.post(ages("c", 0), is_async=True)
        self.reload(**ANY_TIME)
        ids += self.post(ages("d", 0, 7 * DAY), is_async=True)
        self.druid.fault("overlord-away", on=False)
        self.check_ids(self.druid, "a", ids, seconds=60)
        self.check_whole(self.server, self.druid)

    def test_back_with_batches_that_wait(self):
        self.start(**ANY_TIME)
        self.druid.fault("overlord-away")
        ids = self.post(ages("a", 0, 7 * DAY), is_async=True)
        self.reload()
        ids += self.post(ages("b", 0), is_async=True)
        self.druid.fault("overlord-away", on=False)
        self.check_ids(self.druid, "a", ids, seconds=60)
        self.assertEqual(self.types(), ["any"])
        self.check_whole(self.server, self.druid)


class TestTwoInstances(AnyTimeCase):
    """One set of tasks, agreed on in ZooKeeper."""

    def document(self, properties):
        document = super().document(properties)
        document["properties"]["zookeeper.connect"] = self.zk.connect
        return document

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.zk = ZooKeeper()
        cls.zk.start()
        cls.addClassCleanup(cls.zk.close)

    def start_two(self, **properties):
        paths = {"zookeeper.path": f"/beams/{self.id()}",
                 "druidBeam.taskLocator": "overlord", **properties}
        self.start(**paths)
        self.other = self.tranqd(self.document(paths), name="other")
        self.paths = paths

    def test_one_set_of_tasks(self):
        self.start_two(**ANY_TIME, **{"task.partitions": 2})
        ids = self.post(ages("a", 0, DAY), is_async=True)
        ids += self.post(ages("b", 0, 9 * DAY), self.other, is_async=True)
        self.check_ids(self.druid, "a", ids)
        self.assertEqual(len(self.tasks()), 2)
        for server in self.server, self.other:
            self.check_whole(server, self.druid)

    def test_one_after_the_other_is_reloaded(self):
        """While types differ, what the first one's tasks have locked is
        sent to them by both."""
        self.start_two()
        ids = self.post(ages("a", 0))
        self.reload(**self.paths, **ANY_TIME)
        ids += self.post(ages("b", 0, 7 * DAY))
        for n in range(5):  # what was agreed on is known at once
            ids += self.post(ages(f"b{n}", 0, 7 * DAY))
        ids += self.post(ages("c", 0), self.other)
        self.reload(self.other, **self.paths, **ANY_TIME)
        ids += self.post(ages("d", 0, 7 * DAY), self.other)
        self.check_ids(self.druid, "a", ids)
        self.assertEqual(self.types(), ["any", "timed"])
        self.assertEqual(len(self.tasks()), 2)
        for server in self.server, self.other:
            self.check_whole(server, self.druid)


class TestOtherTypeWhileIntervalsPass(AnyTimeCase):
    segment, window = "SECOND", "PT2S"
    grace = {"druidBeam.firehoseGracePeriod": "PT1S"}

    def test_it(self):
        """Tasks of the other type hold their locks until the hand-off, and
        nothing is sent to where they would make a task fail."""
        self.start("--handoff-delay", "2000", **self.grace,
                   **{"task.partitions": 2})
        ids = []
        for n in range(10):
            ids += self.post(ages(f"a{n}-", 0), is_async=True)
            time.sleep(0.2)
        self.reload(**ANY_TIME, **self.grace, **{"task.partitions": 2})
        for n in range(30):
            ids += self.post(ages(f"b{n}-", 0, 2, 4, 3600), is_async=True)
            time.sleep(0.2)
        self.check_ids(self.druid, "a", ids, seconds=60)
        self.assertEqual(self.types(), ["any", "timed"])
        self.check_whole(self.server, self.druid, killed=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
