#!/usr/bin/env python3
"""Instances that agree on tasks in a ZooKeeper that fails them at each step:
one set of tasks, each event once, and no mutex is left behind."""

import os
import re
import signal
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import faults  # noqa: E402
import harness  # noqa: E402
import zk_cutter  # noqa: E402
from clocks import Clocks  # noqa: E402
from harness import wait_for  # noqa: E402

HOUR = 3600
SESSION = "PT1S"


class AgreementCase(drill.ZooKeeperCase):
    time_bound = 240
    properties = {}
    data_sources = ["wikipedia"]

    def setUp(self):
        super().setUp()
        self.sent = {}

    def server(self, name="tranqd", connect=None, **how):
        properties = {"zookeeper.timeout": SESSION, **self.paths,
                      **self.properties, **how.pop("properties", {})}
        return self.tranqd(drill.config(
            self.data_sources, None, connect or self.zk.connect,
            properties=properties), name=name, **how)

    def post(self, server, *names, run, **how):
        for name in names or self.data_sources:
            events = harness.events(20, run=f"{run}-{name}", **how)
            answer = server.post(name, events, is_async=True)
            self.assertEqual(answer.status, 200, answer)
            self.assertNotIn("X-Tranq-Dropped", answer.headers)
            self.sent.setdefault(name, []).extend(drill.ids(events))

    def tasks(self, name="wikipedia"):
        found = self.druid.stats()["dataSources"].get(name, {"tasks": {}})
        return sorted(found["tasks"])

    def held(self, name="wikipedia"):
        """Somebody has the mutex, or wants it."""
        return re.findall(rf"/{name}/mutex/\S+", self.zk.ask("dump"))

    def check_agreed(self, *servers, tasks=1, seconds=60, killed=False):
        for name, sent in self.sent.items():
            self.check_ids(self.druid, name, sent, seconds=seconds)
            self.assertEqual(len(self.tasks(name)), tasks, self.tasks(name))
        for server in servers:
            self.check_whole(server, self.druid, killed=killed)
            self.check_no_crash(server)
        for name in self.sent:
            wait_for(lambda: not self.held(name), f"the mutex of {name}")


class TestBrokenWire(AgreementCase):
    """The connection breaks at the first request, or the second, … before it
    has left, or when its answer comes: one connection each. Two instances."""
    requests = 40 if drill.LONG else 14

    @property
    def data_sources(self):
        return [f"ds{n:02}x" for n in range(self.requests)]

    def cuts(self, connection, request):
        """Of each number of a request two: two instances have as many."""
        n, which = divmod(connection, 2)
        if n != request or n >= self.requests:
            return None
        return (zk_cutter.LOST, zk_cutter.BEFORE)[(which + n // 2) % 2]

    def test_each_request(self):
        with zk_cutter.Cutter(self.zk.port, self.cuts) as wire:
            servers = [self.server(name, wire.connect)
                       for name in ("one", "two")]
            for n, server in enumerate(servers):
                self.post(server, run=f"{n}")
            self.check_agreed(*servers)
            # the later ones strike those that need so many requests
            self.assertGreater(min(wire.cut[zk_cutter.LOST],
                                   wire.cut[zk_cutter.BEFORE]), 6, wire.cut)
            made = sum(self.counts(s, d)["tasksCreated"]
                       for s in servers for d in self.data_sources)
            self.assertGreaterEqual(made, self.requests)
            for server in servers:
                server.stop()

    @drill.long_form
    def test_each_create(self):
        """Only one instance, so that all the steps are its own; each create
        of each name is told apart by its number."""
        def cuts(connection, request):
            if connection < self.requests and request == connection + 2:
                return zk_cutter.LOST
            return None
        with zk_cutter.Cutter(self.zk.port, cuts) as wire:
            server = self.server(connect=wire.connect)
            self.post(server, run="a")
            self.check_agreed(server)
            self.assertGreater(wire.cut[zk_cutter.LOST], 8)
            server.stop()


class FrozenCase(AgreementCase):
    """One instance stands still (SIGSTOP) with the mutex, for longer than its
    session; the other one takes it; then the first goes on."""
    properties = {"task.partitions": 2, "task.replicants": 2}

    def freeze(self, server):
        for pid in drill.family(server):
            os.kill(pid, signal.SIGSTOP)

    @staticmethod
    def thaw(server):
        if server.is_running:
            for pid in drill.family(server):
                os.kill(pid, signal.SIGCONT)

    def tearDown(self):
        for server in self.tranqds():
            self.thaw(server)
        super().tearDown()

    def await_expired(self):
        wait_for(lambda: not self.held(), "the session is over")


class TestFrozen(FrozenCase):
    @drill.long_form
    def test_while_the_overlord_hangs(self):
        one, two = self.server("one"), self.server("two")
        self.druid.fault("hang", where="overlord")
        self.post(one, run="one")
        wait_for(self.held, "the mutex is held")
        self.freeze(one)
        self.await_expired()
        self.post(two, run="two")
        wait_for(self.held, "the other one has it")
        self.druid.fault("none")
        self.check_ids(self.druid, "wikipedia", [
            i for i in self.sent["wikipedia"] if i.startswith("two")])
        self.thaw(one)
        self.check_agreed(one, two, tasks=4)


@unittest.skipUnless(os.path.exists(faults.FAULT_TRANQD),
                     "`make fault-programs` is wanted")
class TestFrozenAtAStep(FrozenCase):
    """The same with the worker stopped between two lines."""

    def stopped_at(self, point, **properties):
        at = faults.Faults(os.path.join(self.folder, "faults"))
        one = self.server("one", binary=faults.FAULT_TRANQD,
                          environment=at.environment, properties=properties)
        at.stop(point)
        return one, at

    def check_step(self, point):
        with self.subTest(point=point):
            one, at = self.stopped_at(point)
            two = self.server("two")
            self.post(one, run="one")
            at.await_hit(point)
            self.freeze(one)  # its supervisor would replace the worker
            self.await_expired()
            self.post(two, run="two")
            self.check_ids(self.druid, "wikipedia", [
                i for i in self.sent["wikipedia"] if i.startswith("two")])
            self.thaw(one)
            self.check_agreed(one, two, tasks=4)

    @drill.long_form
    def test_lock_is_asked_for(self):
        self.check_step("BEAM_LOCK")

    @drill.long_form
    def test_locked(self):
        self.check_step("BEAM_LOCKED")

    def test_before_the_commit(self):
        """All tasks are with the Overlord, and nobody knows."""
        self.check_step("BEAM_COMMIT")

    @drill.long_form
    def test_behind_the_commit(self):
        self.check_step("BEAM_COMMITTED")

    def test_replacements(self):
        """The tasks are gone, and both make others."""
        one, at = self.stopped_at("BEAM_READ")
        at.disarm("BEAM_READ")
        two = self.server("two")
        for server, run in (one, "a"), (two, "b"):
            self.post(server, run=run)
        self.check_agreed(one, two, tasks=4)
        at.stop("BEAM_COMMIT")
        self.assertEqual(self.druid.fault("kill-task"), 4)
        lost = self.sent.pop("wikipedia")
        self.post(one, run="c")
        at.await_hit("BEAM_COMMIT")
        self.freeze(one)
        self.await_expired()
        self.post(two, run="d")
        self.check_ids(self.druid, "wikipedia", lost + [
            i for i in self.sent["wikipedia"] if i.startswith("d")])
        self.thaw(one)
        self.sent["wikipedia"] += lost
        self.check_agreed(one, two, tasks=8)
        self.assertEqual(sum("_r1" in t for t in self.tasks()), 4)


class TestAnHourWithoutIt(drill.Case):
    """ZooKeeper is down while an hour goes by: the hour's tasks are served to
    their end, the next hour's events wait, and what has missed its interval
    is late."""
    time_bound = 240

    def setUp(self):
        self.zk = drill.ZooKeeper()
        self.addCleanup(self.zk.close)
        self.zk.start()
        super().setUp()
        self.clocks = Clocks(self.folder)
        self.clocks.set(time.time() // HOUR * HOUR + HOUR / 2)
        moved = self.clocks.environment
        self.druid = self.sandbox("--check", "full", "--zookeeper",
                                  self.zk.connect, environment=moved)
        self.server = self.tranqd(drill.config(
            [harness.data_source("wikipedia", window="PT10M")], None,
            self.zk.connect, properties={"zookeeper.timeout": SESSION}),
            environment=moved)
        self.sent = []

    def start_zookeeper(self):
        self.zk.start()
        self._before.add(self.zk.process.pid)  # it outlives the test

    def post(self, run, count=10):
        events = harness.events(count, run=run, at=self.clocks.now())
        answer = self.server.post("wikipedia", events, is_async=True)
        self.assertEqual(answer.status, 200, answer)
        self.assertNotIn("X-Tranq-Dropped", answer.headers)
        self.sent += drill.ids(events)

    def zookeeper(self):
        return self.server.data_source("wikipedia")["beams"]["zookeeper"]

    def check_calm(self):
        pids = drill.family(self.server)
        before = sum(drill.cpu_ticks(p) for p in pids)
        time.sleep(1)
        self.assertLess(sum(drill.cpu_ticks(p) for p in pids) - before, 20,
                        "it spins")

    def test_an_hour(self):
        self.post("before")
        self.check_ids(self.druid, "wikipedia", self.sent)
        wait_for(lambda: self.zookeeper() == "connected")
        self.zk.kill()
        wait_for(lambda: self.zookeeper() == "not connected")
        self.assertIn("not connected",
                      self.server.tranqctl("status").stdout)
        step = 1 if drill.LONG else 5
        for minute in range(step, 30, step):  # the open hour's go on
            self.clocks.pass_time(60 * step)
            if minute == 10:  # where the task is cannot be asked again
                self.druid.fault("unavailable", count=2)
            self.post(f"open{minute}")
            # no minute goes by within a request
            self.await_drained(self.server)
        self.check_ids(self.druid, "wikipedia", self.sent)
        for minute in range(30, 61, step):
            self.clocks.pass_time(60 * step)
            self.post(f"next{minute}")
        self.assertGreaterEqual(
            self.server.accounts("wikipedia")["spool"], 10 * 30 // step)
        self.check_calm()
        self.start_zookeeper()
        began = time.monotonic()
        self.check_ids(self.druid, "wikipedia", self.sent)
        self.assertLess(time.monotonic() - began, 15)
        wait_for(lambda: self.zookeeper() == "connected")
        self.check_whole(self.server, self.druid)
        self.check_no_crash(self.server)
        self.assertEqual(len(self.druid.stats()["dataSources"]["wikipedia"][
            "tasks"]), 2)

    @drill.long_form
    def test_three_hours(self):
        """The whole of an hour has passed with nobody to make its tasks: its
        events are kept, as dead letters, and counted."""
        self.zk.kill()
        self.post("first")
        for _ in range(120):
            self.clocks.pass_time(90)
        self.post("last")
        last = self.sent[-10:]
        self.start_zookeeper()
        self.check_ids(self.druid, "wikipedia", last)
        wait_for(lambda: self.server.accounts("wikipedia")["deadLetters"]
                 == 10, "dead letters", 60)
        self.check_whole(self.server, self.druid, dead=10)


if __name__ == "__main__":
    drill.main()
