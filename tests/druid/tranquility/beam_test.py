#!/usr/bin/env python3
"""tranqd and JVM Tranquility write to one dataSource: they agree on one set of
tasks through ZooKeeper, and send equal events to the same one."""

import collections
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "helper")]
import drill  # noqa: E402
import harness  # noqa: E402
import jvm  # noqa: E402

HOUR = 3600
# JVM Tranquility does not name the task that it means.
FOREIGN = {"taskIdHeader"}


class InteropCase(drill.ZooKeeperCase):
    partitions, replicants = 3, 2
    segment, window = "HOUR", "PT1H"

    def setUp(self):
        super().setUp()
        self.at = time.time()

    def config(self, ds="wikipedia", **properties):
        """What both of them read, word for word."""
        entry = harness.data_source(
            ds, segment=self.segment, window=self.window,
            dimensions=["page", "user", "size"], query="minute",
            metrics=[{"type": "count", "name": "count"},
                     # so that ids come along, and no hash depends on them
                     {"type": "hyperUnique", "name": "ids",
                      "fieldName": "id"}])
        return harness.config([entry], zookeeper=self.zk.connect, properties={
            "zookeeper.timeout": "PT5S", **self.paths,
            "task.partitions": str(self.partitions),
            "task.replicants": str(self.replicants),
            **{k.replace("_", "."): v for k, v in properties.items()}})

    def server(self, ds="wikipedia", **properties):
        document = self.config(ds, **properties)
        document["properties"].update(drill.QUICK)
        return self.tranqd(document, name=f"tranqd-{ds}")

    def writer(self, ds="wikipedia", name="jvm", start=True, **properties):
        w = jvm.Writer(self.folder, self.config(ds, **properties), ds,
                       f"{name}-{ds}")
        self._started.append(w)
        return w.start() if start else w

    def rows(self, run, count=300, hours=(0,)):
        """Rows that are equal in each run, but for their ids; of several
        hours in turn."""
        events = harness.events(count, run=run)
        for n, e in enumerate(events):
            e["time"] = harness.iso(self.at + hours[n % len(hours)] * HOUR)
            e["size"] = (n * 1234567 % 1000) / 8 * 10 ** (n % 30)
        return events

    def tasks(self, ds="wikipedia"):
        running = self.druid.get("/druid/indexer/v1/runningTasks")
        return sorted(t["id"] for t in running
                      if t["id"].startswith(f"index_realtime_{ds}_"))

    def one_set(self, ds="wikipedia", hours=(0,)):
        """The ids of the tasks that there ought to be."""
        starts = [harness.iso((self.at // HOUR + h) * HOUR) for h in hours]
        return sorted(f"index_realtime_{ds}_{start}_{p}_{r}"
                      for start in starts for p in range(self.partitions)
                      for r in range(self.replicants))

    def places(self, ds="wikipedia"):
        """The task of each event that replicant 0 of it has, by its id."""
        found = {}
        for task in self.tasks(ds):
            if not task.endswith("_0"):
                continue
            for e in self.druid.events(ds, task=task):
                self.assertNotIn(e["id"], found)
                found[e["id"]] = task
        return found

    def check_together(self, ours, theirs, ds="wikipedia"):
        """All is there, once, and equal rows are in the same task."""
        wanted = [e["id"] for e in ours + theirs]
        for replicant in range(self.replicants):
            self.check_ids(self.druid, ds, wanted, replicant=replicant)
        places = self.places(ds)
        for a, b in zip(ours, theirs):
            self.assertEqual(places[a["id"]], places[b["id"]], (a, b))
        spread = collections.Counter(places.values())
        self.assertEqual(len(spread) % self.partitions, 0, spread)

    def check_violations(self, druid, **_):
        kinds = set(druid.stats()["violations"]["byKind"])
        self.assertEqual(kinds - FOREIGN, set())


class TestJoin(InteropCase):
    def test_tranqd_uses_the_tasks_of_the_jvm(self):
        theirs, ours = self.rows("jvm"), self.rows("tranqd")
        jvm_writer = self.writer()
        jvm_writer.send(theirs)
        self.assertEqual(jvm_writer.report(), (300, 0, 0))
        self.assertEqual(self.tasks(), self.one_set())
        server = self.server()
        self.assertEqual(server.post("wikipedia", ours).sent, 300)
        self.assertEqual(self.tasks(), self.one_set())
        self.assertEqual(self.counts(server, "wikipedia")["tasksCreated"], 0)
        self.check_together(ours, theirs)
        self.check_whole(server, self.druid)

    def test_the_jvm_uses_the_tasks_of_tranqd(self):
        theirs, ours = self.rows("jvm"), self.rows("tranqd")
        server = self.server()
        self.assertEqual(server.post("wikipedia", ours).sent, 300)
        self.assertEqual(self.tasks(), self.one_set())
        jvm_writer = self.writer()
        jvm_writer.send(theirs)
        self.assertEqual(jvm_writer.report(), (300, 0, 0))
        self.assertEqual(self.tasks(), self.one_set())
        self.check_together(ours, theirs)
        self.check_whole(server, self.druid)

    def test_each_makes_the_next_interval_in_turn(self):
        """Each reads and writes what the other one has written."""
        server, jvm_writer = self.server(), self.writer()
        ours, theirs, sent = [], [], 0
        for n, hour in enumerate((-1, 0, 1)):
            mine = self.rows(f"tranqd{n}", 60, [hour])
            other = self.rows(f"jvm{n}", 60, [hour])
            for step in (0, 1) if n % 2 == 0 else (1, 0):
                if step == 0:
                    self.assertEqual(server.post("wikipedia", mine).sent, 60)
                else:
                    jvm_writer.send(other)
                    sent += 60
                    self.assertEqual(jvm_writer.report(), (sent, 0, 0))
            ours += mine
            theirs += other
        self.assertEqual(self.tasks(), self.one_set(hours=(-1, 0, 1)))
        self.check_together(ours, theirs)
        self.check_whole(server, self.druid)


class TestAtOnce(InteropCase):
    """Both begin in the same moment, with an Overlord that takes its time, so
    that they meet at the mutex."""
    time_bound = 300
    hours = (-1, 0, 1)

    def meet(self, ds, lead):
        server, jvm_writer = self.server(ds), self.writer(ds)
        theirs = self.rows("jvm", 300, self.hours)
        ours = self.rows("tranqd", 300, self.hours)
        jvm_writer.send(theirs)
        if lead:
            harness.wait_for(lambda: self.tasks(ds), "the first task")
        answer = server.post(ds, ours, is_async=True)
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(jvm_writer.report(), (300, 0, 0))
        self.check_together(ours, theirs, ds)
        self.assertEqual(self.tasks(ds), self.one_set(ds, self.hours))
        self.await_drained(server)
        self.check_accounts(server)
        made = self.counts(server, ds)["tasksCreated"]
        server.stop()
        jvm_writer.stop()
        return made

    def test_one_set_of_tasks(self):
        self.druid.fault("slow", where="overlord", ms=30)
        made = [self.meet(f"ds{n}", n % 2 == 0) for n in range(4)]
        print("tasks that tranqd made of 18:", made)
        self.assertLess(min(made), 18)
        self.check_violations(self.druid)

    def test_two_of_each(self):
        self.druid.fault("slow", where="overlord", ms=30)
        servers = [self.tranqd(dict(self.config()), name=f"tranqd{n}")
                   for n in range(2)]
        writers = [self.writer(name=f"jvm{n}") for n in range(2)]
        ours, theirs = [], []
        for n in range(2):
            theirs.append(self.rows(f"jvm{n}", 300, self.hours))
            ours.append(self.rows(f"tranqd{n}", 300, self.hours))
            writers[n].send(theirs[n])
            servers[n].post("wikipedia", ours[n], is_async=True)
        for w in writers:
            self.assertEqual(w.report(), (300, 0, 0))
        self.check_together(ours[0] + ours[1], theirs[0] + theirs[1])
        self.assertEqual(self.tasks(), self.one_set(hours=self.hours))
        for s in servers:
            self.check_whole(s, self.druid)


class TestChanges(InteropCase):
    replicants = 1

    def test_tranqd_scales_up_what_the_jvm_made(self):
        first = self.rows("first")
        one = self.writer(name="one", task_partitions="1")
        one.send(first)
        self.assertEqual(one.report(), (300, 0, 0))
        one.stop()
        server = self.server()
        ours, theirs = self.rows("tranqd"), self.rows("jvm")
        self.assertEqual(server.post("wikipedia", ours).sent, 300)
        self.assertEqual(self.tasks(), self.one_set())
        # an instance that still wants one partition takes all there are
        two = self.writer(name="two", task_partitions="1")
        two.send(theirs)
        self.assertEqual(two.report(), (300, 0, 0))
        self.check_ids(self.druid, "wikipedia", drill.ids(
            first + ours + theirs))
        places = self.places()
        for a, b in zip(ours, theirs):
            self.assertEqual(places[a["id"]], places[b["id"]])
        self.check_whole(server, self.druid)

    def test_the_jvm_scales_up_what_tranqd_made(self):
        """And tranqd, which wants one partition, uses all there are."""
        server = self.server(task_partitions="1")
        first = self.rows("first")
        self.assertEqual(server.post("wikipedia", first).sent, 300)
        self.assertEqual(len(self.tasks()), 1)
        ours, theirs = self.rows("tranqd"), self.rows("jvm")
        jvm_writer = self.writer()
        jvm_writer.send(theirs)
        self.assertEqual(jvm_writer.report(), (300, 0, 0))
        self.assertEqual(self.tasks(), self.one_set())

        def is_known():
            probe = self.rows(f"probe{time.monotonic_ns()}")
            first.extend(probe)
            server.post("wikipedia", probe)
            places = self.places()
            return len({places.get(e["id"]) for e in probe}) == 3
        harness.wait_for(is_known, "tranqd knows of the new partitions")
        self.assertEqual(server.post("wikipedia", ours).sent, 300)
        self.check_ids(self.druid, "wikipedia", drill.ids(
            first + ours + theirs))
        places = self.places()
        for a, b in zip(ours, theirs):
            self.assertEqual(places[a["id"]], places[b["id"]])
        self.check_whole(server, self.druid)

    def test_a_jvm_finds_replacements(self):
        """Names with _r1 are names like others."""
        server = self.server()
        first = self.rows("first")
        self.assertEqual(server.post("wikipedia", first).sent, 300)
        self.await_drained(server)
        self.assertEqual(self.druid.fault("kill-task"), 3)
        ours, theirs = self.rows("tranqd"), self.rows("jvm")
        server.post("wikipedia", ours, is_async=True)
        self.await_drained(server)
        jvm_writer = self.writer()
        jvm_writer.send(theirs)
        self.assertEqual(jvm_writer.report(), (300, 0, 0))
        self.assertEqual(self.tasks(), sorted(
            t + "_r1" for t in self.one_set()))
        self.check_ids(self.druid, "wikipedia",
                       drill.ids(first + ours + theirs))
        self.check_whole(server, self.druid)

    def test_a_jvm_that_sees_its_tasks_gone(self):
        """It closes the interval for all and drops its own events, as ever.
        tranqd has made replacements before that, which go on, or it has not,
        and keeps its events as dead letters."""
        server, jvm_writer = self.server(), self.writer()
        first, second = self.rows("first"), self.rows("second")
        self.assertEqual(server.post("wikipedia", first).sent, 300)
        jvm_writer.send(second)
        self.assertEqual(jvm_writer.report(), (300, 0, 0))
        self.await_drained(server)
        self.assertEqual(self.druid.fault("kill-task"), 3)
        jvm_writer.send(self.rows("dropped"))
        self.assertEqual(sum(jvm_writer.report()), 600)
        ours = self.rows("tranqd")
        server.post("wikipedia", ours, is_async=True)
        self.await_drained(server)
        there = {e["id"] for e in self.druid.events("wikipedia")}
        self.assertEqual(len([e for e in ours if e["id"] not in there]),
                         server.accounts("wikipedia")["deadLetters"])

    def test_a_jvm_dies_with_the_mutex(self):
        """tranqd goes on when the session of the dead one is over."""
        self.druid.fault("hang", where="overlord")
        jvm_writer = self.writer()
        jvm_writer.send(self.rows("lost"))
        leases = f"{self.paths['zookeeper.path']}/druid:overlord/wikipedia"
        harness.wait_for(
            lambda: f"{leases}/mutex/leases/" in self.zk.ask("dump"),
            "the mutex is held")
        server = self.server()
        ours = self.rows("tranqd")
        server.post("wikipedia", ours, is_async=True)
        jvm_writer.kill()
        self.druid.fault("none")
        self.check_ids(self.druid, "wikipedia", drill.ids(ours))
        self.check_whole(server, self.druid)

    def test_tranqd_dies_with_the_mutex(self):
        self.druid.fault("hang", where="overlord")
        server = self.server()
        ours, theirs = self.rows("tranqd"), self.rows("jvm")
        server.post("wikipedia", ours, is_async=True)
        leases = f"{self.paths['zookeeper.path']}/druid:overlord/wikipedia"
        harness.wait_for(
            lambda: f"{leases}/mutex/leases/" in self.zk.ask("dump"),
            "the mutex is held")
        jvm_writer = self.writer()
        jvm_writer.send(theirs)
        server.kill_all()
        self.druid.fault("none")
        self.assertEqual(jvm_writer.report(), (300, 0, 0))
        server.start()
        self.check_together(ours, theirs)
        self.assertEqual(self.tasks(), self.one_set())
        self.await_drained(server)


if __name__ == "__main__":
    drill.main()
