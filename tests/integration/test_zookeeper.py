#!/usr/bin/env python3
"""Several instances on one ZooKeeper, and what becomes of the events when
ZooKeeper or the Overlord is away."""

import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402


class ZooKeeperCase(drill.ZooKeeperCase):
    properties = {}
    data_sources = ["wikipedia"]

    def server(self, name="tranqd", **properties):
        """It finds the Overlord in ZooKeeper."""
        return self.tranqd(drill.config(
            self.data_sources, None, self.zk.connect, properties={
                "zookeeper.timeout": "PT1S", **self.paths,
                **self.properties, **properties}), name=name)

    def tasks(self, ds="wikipedia"):
        found = self.druid.stats()["dataSources"].get(ds, {"tasks": {}})
        return sorted(found["tasks"])

    def check_load_of(self, *running):
        for r in running:
            r.stop()
        reports = [r.finish() for r in running]
        for report in reports:
            c = report["compare"]
            self.assertEqual((c["lost"], c["doubled"]), (0, 0), dict(report))
        return reports


class TestTwoInstances(ZooKeeperCase):
    properties = {"task.partitions": 2, "task.replicants": 2}

    def test_one_set_of_tasks(self):
        """Started together, they agree on two partitions of two tasks."""
        servers = [self.server("one"), self.server("two")]
        events = []
        for n, server in enumerate(servers):
            mine = harness.events(500, run=f"s{n}")
            self.assertEqual(server.post(
                "wikipedia", mine, is_async=True).status, 200)
            events += mine
        for replicant in 0, 1:
            self.check_ids(self.druid, "wikipedia", drill.ids(events),
                           replicant=replicant)
        self.assertEqual(len(self.tasks()), 4, self.tasks())
        for server in servers:
            self.check_whole(server, self.druid)
        self.assertEqual(sum(
            self.counts(s, "wikipedia")["tasksCreated"] for s in servers), 4)

    def test_both_under_load_one_killed(self):
        servers = [self.server("one"), self.server("two")]
        running = [self.start_load(
            s, compare=self.druid.url, retry=True, seconds=600, rate=5000,
            settle=20) for s in servers]
        for s in servers:
            wait_for(lambda: self.counts(s, "wikipedia")["sent"] > 500)
        for _ in range(2):
            servers[0].kill_all()
            had = self.counts(servers[1], "wikipedia")["sent"]
            wait_for(lambda: self.counts(servers[1], "wikipedia")["sent"]
                     > had + 500, "the other one goes on")
            servers[0].start()
            had = self.counts(servers[0], "wikipedia")["sent"]
            wait_for(lambda: self.counts(servers[0], "wikipedia")["sent"]
                     > had + 500, "and this one too")
        self.check_load_of(*running)
        for s in servers:
            self.check_whole(s, self.druid, killed=True)
        self.assertEqual(len(self.tasks()), 4, self.tasks())

    def test_killed_while_it_holds_the_mutex(self):
        """The Overlord hangs while the first one submits; it is killed; the
        second one gets the mutex when the session is over."""
        one = self.server("one")
        self.druid.fault("hang", where="overlord")
        mine = harness.events(100, run="one")
        one.post("wikipedia", mine, is_async=True)
        leases = f"{self.paths['zookeeper.path']}/druid:overlord/wikipedia"
        wait_for(lambda: f"{leases}/mutex/leases/" in self.zk.ask("dump"),
                 "the mutex is held")
        two = self.server("two")
        others = harness.events(100, run="two")
        two.post("wikipedia", others, is_async=True)
        one.kill_all()
        self.druid.fault("none")
        self.check_ids(self.druid, "wikipedia", drill.ids(others))
        one.start()
        self.check_ids(self.druid, "wikipedia", drill.ids(mine + others))
        self.assertEqual(len(self.tasks()), 4, self.tasks())
        for s in one, two:
            self.check_whole(s, self.druid, killed=True)

    def test_worker_killed_while_it_holds_the_mutex(self):
        """Its successor does not wait for the session of the dead one."""
        one = self.server("one", **{"zookeeper.timeout": "PT50S"})
        self.druid.fault("hang", where="overlord")
        events = harness.events(100)
        one.post("wikipedia", events, is_async=True)
        leases = f"{self.paths['zookeeper.path']}/druid:overlord/wikipedia"
        wait_for(lambda: f"{leases}/mutex/leases/" in self.zk.ask("dump"),
                 "the mutex is held")
        one.kill_worker("wikipedia")
        self.druid.fault("none")
        self.check_ids(self.druid, "wikipedia", drill.ids(events), seconds=30)
        self.check_whole(one, self.druid, killed=True)

    def test_replacements_are_agreed_on(self):
        """A beam's tasks die: both use the same replacements."""
        servers = [self.server("one"), self.server("two")]
        events = []
        for n, server in enumerate(servers):
            events += harness.events(50, run=f"a{n}")
            self.assertEqual(server.post("wikipedia", events[-50:]).sent, 50)
            self.await_drained(server)
        self.assertEqual(self.druid.fault("kill-task"), 4)
        for n, server in enumerate(servers):
            events += harness.events(50, run=f"b{n}")
            server.post("wikipedia", events[-50:], is_async=True)
        self.check_ids(self.druid, "wikipedia", drill.ids(events))
        self.assertEqual(len(self.tasks()), 8, self.tasks())
        self.assertEqual(sum("_r1" in t for t in self.tasks()), 4)
        for server in servers:
            self.check_whole(server, self.druid)

    def test_scaling_up_while_the_interval_is_open(self):
        one = self.server("one", **{"task.partitions": 1})
        first = harness.events(100, run="one")
        self.assertEqual(one.post("wikipedia", first).sent, 100)
        self.assertEqual(len(self.tasks()), 2)
        two = self.server("two", **{"task.partitions": 3})
        second = harness.events(300, run="two")
        self.assertEqual(two.post("wikipedia", second).sent, 300)
        self.assertEqual(len(self.tasks()), 6)
        third = harness.events(100, run="three")
        self.assertEqual(one.post("wikipedia", third).sent, 100)
        self.check_ids(self.druid, "wikipedia",
                       drill.ids(first + second + third))
        for s in one, two:
            self.check_whole(s, self.druid)


class Outage(ZooKeeperCase):
    """One ZooKeeper of its own a class, since it is ended here."""

    def check_goes_on(self, server, *, waits):
        """The open interval's tasks are served; a new interval waits."""
        events = harness.events(100, run=f"open{waits}")
        answer = server.post("wikipedia", events)
        self.assertEqual((answer.status, answer.sent), (200, 100), answer)
        return events

    def new_interval(self, server, run):
        """Events of the hour before: its beam does not exist yet."""
        at = time.time() // 3600 * 3600 - 1800
        events = harness.events(50, run=run, at=at)
        answer = server.post("wikipedia", events, is_async=True)
        self.assertEqual(answer.status, 200)
        self.assertNotIn("X-Tranq-Dropped", answer.headers)
        return events

    def start_zookeeper(self):
        self.zk.start()
        self._before.add(self.zk.process.pid)  # it outlives the test

    def setUp(self):
        super().setUp()
        if self.zk.process is None:
            self.start_zookeeper()
        self.data_sources = [harness.data_source("wikipedia", window="PT2H")]

    def tearDown(self):
        if self.zk.process is not None:
            self.zk.resume()
        super().tearDown()

    def drill(self, away, back, settle=0):
        server = self.server()
        sent = harness.events(100, run="first")
        self.assertEqual(server.post("wikipedia", sent).sent, 100)
        away()
        end = time.monotonic() + settle
        n = 0
        while n == 0 or time.monotonic() < end:
            sent += self.check_goes_on(server, waits=n)
            n += 1
            time.sleep(0.1)
        waiting = self.new_interval(server, "late")
        self.await_spooled(server, "wikipedia", 50)
        self.check_accounts(server)
        # a killed worker comes back all the same
        server.kill_worker("wikipedia")
        wait_for(lambda: server.data_source("wikipedia")["worker"]["state"]
                 == "ready", "the worker starts without it")
        back()
        self.check_ids(self.druid, "wikipedia", drill.ids(sent + waiting),
                       seconds=40)
        self.check_whole(server, self.druid, killed=True)
        self.assertEqual(len(self.tasks()), 2, self.tasks())


class TestZooKeeperKilled(Outage):
    def test_killed_and_started(self):
        self.drill(self.zk.kill, self.start_zookeeper)

    def test_started_without_it(self):
        """tranqd starts while ZooKeeper is away and takes events."""
        self.zk.kill()
        server = self.server()
        events = harness.events(100)
        self.assertEqual(server.post(
            "wikipedia", events, is_async=True).status, 200)
        wait_for(lambda: server.data_source("wikipedia")["beams"]["zookeeper"]
                 == "not connected", "the status says so")
        self.start_zookeeper()
        self.check_ids(self.druid, "wikipedia", drill.ids(events),
                       seconds=40)
        self.check_whole(server, self.druid)


class TestZooKeeperPaused(Outage):
    def test_paused_beyond_the_session(self):
        self.drill(self.zk.pause, self.zk.resume, settle=4)

    def test_paused_again_and_again_under_load(self):
        server = self.server()
        running = self.start_load(server, compare=self.druid.url, rate=3000,
                                  seconds=600, settle=20)
        wait_for(lambda: self.counts(server, "wikipedia")["sent"] > 100)
        for _ in range(3):
            self.zk.pause()
            time.sleep(1.5)  # beyond the session
            self.zk.resume()
            had = self.counts(server, "wikipedia")["sent"]
            wait_for(lambda: self.counts(server, "wikipedia")["sent"] > had)
        report = self.check_load_of(running)[0]
        self.assertEqual(set(report["load"]["answers"]), {"200"})
        self.check_whole(server, self.druid)
        self.assertEqual(len(self.tasks()), 1)


class TestOverlordAway(Outage):
    def test_away(self):
        self.drill(lambda: self.druid.fault("overlord-away"),
                   lambda: self.druid.fault("none"))


class TestSandboxRestarted(drill.Case):
    """Overlord and all tasks end and come back with no memory."""

    def test_killed_and_started(self):
        druid = self.sandbox("--check", "full")
        server = self.tranqd(drill.config(
            ["wikipedia"], druid.url,
            properties={"druidBeam.firehoseRetryPeriod": "PT6S"}))
        self.assertEqual(
            server.post("wikipedia", harness.events(100, run="a")).sent, 100)
        druid.kill()
        events = harness.events(100, run="b")
        answer = server.post("wikipedia", events)
        self.assertEqual((answer.status, answer.sent), (200, 0), answer)
        self.check_accounts(server)
        druid.start()
        # the Overlord does not know the task: after a while it is lost, and
        # replaced
        self.check_ids(druid, "wikipedia", drill.ids(events), seconds=60)
        self.check_whole(server, druid)
        self.check_no_crash(server)


if __name__ == "__main__":
    drill.main()
