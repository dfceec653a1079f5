#!/usr/bin/env python3
"""task.partitions, task.replicants and task.warmingPeriod, changed by reloads
while an interval is open."""

import collections
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

EVENTS = 300
HOUR = 3600


class PartitionCase(drill.Case):
    segment, window = "DAY", "PT10M"
    properties = {}

    def setUp(self):
        super().setUp()
        self.at = time.time()
        self.druid = self.sandbox("--check", "full")
        self.server = self.tranqd(self.config())

    def config(self, **properties):
        return drill.config(
            [harness.data_source("wikipedia", segment=self.segment,
                                 window=self.window,
                                 dimensions=["channel", "page", "user"])],
            self.druid.url, properties={
                **self.properties,
                **{k.replace("_", "."): v for k, v in properties.items()}})

    def reload(self, **properties):
        ok, text = self.server.reload(self.config(**properties))
        self.assertTrue(ok, text)

    def tasks(self):
        """By the end of their ids: interval, partition and replicant."""
        found = self.druid.stats()["dataSources"].get(
            "wikipedia", {"tasks": {}})["tasks"]
        return {name.split("wikipedia_")[1]: t for name, t in found.items()}

    def send(self, run, at=None):
        events = harness.events(EVENTS, run=run, at=at or self.at)
        answer = self.server.post("wikipedia", events)
        self.assertEqual((answer.status, answer.sent), (200, EVENTS), answer)
        return events

    def partitions(self, run):
        """Of each row of the run, by the row's number."""
        places = {}
        for name in self.tasks():
            _, partition, replicant = name.split("_")[:3]
            for e in self.druid.events(
                    "wikipedia", replicant=replicant,
                    task=f"index_realtime_wikipedia_{name}"):
                at, number = e["id"].rsplit("-", 1)
                if at == run:
                    self.assertEqual(
                        places.setdefault(int(number), int(partition)),
                        int(partition), e["id"])
        self.assertEqual(len(places), EVENTS)
        return places

    def check_end(self, *runs, **how):
        self.check_ids(self.druid, "wikipedia",
                       [e["id"] for run in runs for e in run])
        self.check_whole(self.server, self.druid, killed=True, **how)


class TestScaled(PartitionCase):
    """The rows of all runs have the same time and dimensions."""

    def test_down_to_one(self):
        """All partitions that the interval has go on, and equal rows go
        where they went before."""
        self.reload(task_partitions=3)
        runs = [self.send("three")]
        before = self.partitions("three")
        self.assertEqual(set(before.values()), {0, 1, 2})
        self.reload(task_partitions=1)
        runs.append(self.send("one"))
        self.assertEqual(self.partitions("one"), before)
        self.server.restart()
        runs.append(self.send("again"))
        self.assertEqual(self.partitions("again"), before)
        self.assertEqual(len(self.tasks()), 3, self.tasks())
        self.check_end(*runs)

    def test_down_to_two(self):
        self.reload(task_partitions=3)
        runs = [self.send("three")]
        self.reload(task_partitions=2)
        runs.append(self.send("two"))
        self.assertEqual(self.partitions("two"), self.partitions("three"))
        self.assertEqual(len(self.tasks()), 3, self.tasks())
        self.check_end(*runs)

    def test_up(self):
        """What is there is kept, the missing ones are made; a row stays
        where it was or goes to a new one."""
        runs = [self.send("one")]
        self.assertEqual(len(self.tasks()), 1)
        self.reload(task_partitions=2)
        runs.append(self.send("two"))
        two = self.partitions("two")
        self.assertEqual(set(two.values()), {0, 1})
        self.reload(task_partitions=4)
        runs.append(self.send("four"))
        four = self.partitions("four")
        self.assertEqual(set(four.values()), {0, 1, 2, 3})
        for row, partition in four.items():
            self.assertIn(partition, (two[row], 2, 3))
        self.assertEqual(len(self.tasks()), 4, self.tasks())
        self.check_end(*runs)

    def test_up_and_down_under_load(self):
        running = self.start_load(self.server, compare=self.druid.url,
                                  retry=True, rate=4000, seconds=600,
                                  settle=20)
        most = 1
        for count in 3, 1, 2, 5, 1:
            self.reload(task_partitions=count)
            most = max(most, count)
            had = self.druid.stats()["events"]
            wait_for(lambda: self.druid.stats()["events"] > had + 500)
            wait_for(lambda: len(self.tasks()) == most, f"{most} tasks")
        running.stop()
        self.check_load(running.finish())
        self.assertEqual(len(self.tasks()), 5, self.tasks())
        self.check_whole(self.server, self.druid, killed=True)


class TestWaiting(PartitionCase):
    properties = {"task.partitions": 4, "tranquility.maxBatchSize": 10}

    def test_down_to_one_before_there_is_a_task(self):
        """Batches of four partitions wait, and one task gets them all: each
        partition's sequences go through a producer of their own."""
        self.druid.fault("overlord-away")
        runs = []
        for n in range(6):
            runs.append(harness.events(EVENTS, run=f"w{n}", at=self.at))
            self.server.post("wikipedia", runs[-1], is_async=True)
        self.reload(task_partitions=1)
        self.druid.fault("overlord-away", on=False)
        self.check_end(*runs)
        self.assertEqual(len(self.tasks()), 1)
        self.assertEqual(self.druid.stats()["skipped"], 0)


class TestNextInterval(PartitionCase):
    """What an interval has, it keeps; the next one begins with what is
    configured then."""
    segment, window = "HOUR", "PT1H"

    def count(self, start):
        return sum(name.startswith(start) for name in self.tasks())

    def check_change(self, before, after, **properties):
        now = time.time()
        hours = [harness.iso(t // HOUR * HOUR)[:13]
                 for t in (now, now + HOUR)]
        self.reload(**properties[str(before)])
        runs = [self.send("first", at=now)]
        self.reload(**properties[str(after)])
        runs.append(self.send("second", at=now))
        self.assertEqual(self.count(hours[0]), before, self.tasks())
        runs.append(self.send("next", at=now + HOUR))
        self.assertEqual(self.count(hours[1]), after, self.tasks())
        self.check_end(*runs)

    def change_of(self, name, before, after):
        self.check_change(before, after, **{
            str(n): {name: n} for n in (before, after)})

    def test_fewer_partitions(self):
        self.change_of("task_partitions", 3, 1)

    def test_more_replicants(self):
        self.change_of("task_replicants", 1, 3)

    def test_fewer_replicants(self):
        """Both of the first interval have all of its events."""
        self.change_of("task_replicants", 2, 1)
        self.assertEqual(
            {e["id"] for e in self.druid.events("wikipedia", replicant=1)},
            {f"{run}-{n}" for run in ("first", "second")
             for n in range(EVENTS)})


class TestWarming(PartitionCase):
    segment, window = "HOUR", "PT10M"

    def test_begun_by_a_reload(self):
        """All intervals up to then get their tasks, once."""
        runs = [self.send("before")]
        wait_for(lambda: len(self.tasks()) == 1)
        self.reload(task_warmingPeriod="PT3H", task_partitions=2,
                    task_replicants=2)
        now = time.time()
        runs.append(self.send("after"))
        hours = [harness.iso((now // HOUR + n) * HOUR)[:13]
                 for n in range(1, 4)]
        wanted = sorted(f"{hour}:00:00.000Z_{p}_{r}" for hour in hours
                        for p in range(2) for r in range(2))

        def ahead():
            # tasks without an event are none of the statistics' dataSource
            tasks = self.druid.get("/druid/indexer/v1/runningTasks")
            ids = [t["id"].split("wikipedia_")[1] for t in tasks]
            return sorted(i for i in ids if i[:13] in hours)
        wait_for(lambda: ahead() == wanted, f"tasks {wanted}")
        runs.append(self.send("more"))
        self.assertEqual(ahead(), wanted)
        self.check_end(*runs)


if __name__ == "__main__":
    drill.main()
