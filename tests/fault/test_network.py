#!/usr/bin/env python3
"""Packets vanish, both ways or one, between tranqd and Druid and between two
tranqds and ZooKeeper; no peer says a word. What is then seen, and that all
goes on by itself, in bounded time, when they come through again."""

import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402
from network import DOWN, UP, Network  # noqa: E402

CUT_SECONDS = 30 if drill.LONG else 3
# behind a cut: the longest pause of ours (15 s) and a session's time-out, or
# the kernel's next try, which is as far away as the cut was long
HEAL_SECONDS = 25 + CUT_SECONDS


class NetworkCase(drill.Case):
    time_bound = 300
    hosts = 1
    # what is not confirmed is held on to 15 times as long, longer than a cut
    properties = {"druidBeam.firehoseRetryPeriod":
                  "PT4S" if drill.LONG else "PT1S",
                  "zookeeper.timeout": "PT2S"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.net = Network(cls.hosts)
        cls.addClassCleanup(cls.net.close)

    def setUp(self):
        super().setUp()
        self.addCleanup(self.net.heal)
        self.sent = {}

    def start(self, host, overlord=None, zookeeper=None, sources=None,
              **properties):
        return self.tranqd(
            drill.config(sources or ["wikipedia"], overlord, zookeeper,
                         properties={**self.properties, **properties}),
            name=f"tranqd{host.number}", within=host.within,
            host=host.address)

    def post(self, server, run, ds="wikipedia", count=50, **members):
        events = harness.events(count, run=run, **members)
        answer = server.post(ds, events, is_async=True)
        self.assertEqual(answer.status, 200, answer)
        self.sent.setdefault(ds, []).extend(drill.ids(events))

    def check_sent(self, seconds=HEAL_SECONDS):
        began = time.monotonic()
        for ds, sent in self.sent.items():
            self.check_ids(self.druid, ds, sent, seconds=max(
                began + seconds - time.monotonic(), 1))

    def beams(self, server, ds="wikipedia"):
        return server.data_source(ds)["beams"]

    def troubles(self, server):
        return [t["trouble"] for b in self.beams(server)["beams"]
                for t in b["tasks"] if t.get("trouble")]

    def tasks(self, ds="wikipedia"):
        found = self.druid.stats()["dataSources"].get(ds, {"tasks": {}})
        return sorted(found["tasks"])


class TestDruidCutOff(NetworkCase):
    """One instance without ZooKeeper."""

    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full", "--address",
                                  self.net.druid)
        self.host = self.net.hosts[0]
        self.server = self.start(self.host, self.druid.url)

    def hold(self, server, seconds, run):
        """Events go on to come; they are durable at once."""
        end = time.monotonic() + seconds
        n = 0
        while time.monotonic() < end:
            began = time.monotonic()
            # a chunk of 64 KiB, that is many packets
            self.post(server, f"{run}{n}", count=100, page="x" * 600)
            self.assertLess(time.monotonic() - began, 20)
            n += 1
            time.sleep(0.2)

    def check_cut(self, way):
        self.post(self.server, "first")
        self.check_sent()
        for n in range(3 if drill.LONG else 1):
            self.post(self.server, f"mid{n}", count=500, page="x" * 600)
            self.net.cut(self.host, way=way)
            self.hold(self.server, CUT_SECONDS / 2, f"cut{n}")
            if n == 0:
                wait_for(lambda: self.troubles(self.server),
                         "the status says so")
                self.assertRegex(self.server.tranqctl("status").stdout,
                                 "(?i)timed? ?out")
            self.check_accounts(self.server)
            self.net.heal()
            self.check_sent()
        wait_for(lambda: not self.troubles(self.server),
                 "the status says that it is over")
        # what the kernel still had of a request that was given up comes late,
        # and is skipped
        self.check_whole(self.server, self.druid, killed=True)
        self.check_no_crash(self.server)
        self.assertEqual(len(self.tasks()), 1)

    def test_both_ways(self):
        self.check_cut(None)

    @drill.long_form
    def test_requests_vanish(self):
        self.check_cut(UP)

    @drill.long_form
    def test_answers_vanish(self):
        self.check_cut(DOWN)

    @drill.long_form
    def test_in_the_middle_of_a_body(self):
        """The task has a body's first half, and with it the sequence, when
        packets vanish; the kernel forgets the rest of what is given up."""
        self.net.slow_down(self.host, "200kbit")
        self.addCleanup(self.net.slow_down, self.host, None)
        self.host.run("sh", "-c",
                      "echo 1 >/proc/sys/net/ipv4/tcp_orphan_retries")
        self.post(self.server, "first")
        self.check_sent()
        self.post(self.server, "mid", count=90, page="x" * 600)
        time.sleep(1)
        self.net.cut(self.host)
        time.sleep(8)
        self.net.heal()
        self.check_sent()
        self.check_whole(self.server, self.druid, killed=True)

    @drill.long_form
    def test_before_the_first_task(self):
        self.net.cut(self.host)
        self.post(self.server, "a")
        time.sleep(CUT_SECONDS)
        wait_for(lambda: re.search("(?i)timed? ?out", self.beams(
            self.server)["overlord"]), "the status says so", 40)
        self.net.heal()
        self.check_sent()
        self.check_whole(self.server, self.druid)
        self.assertEqual(len(self.tasks()), 1)


class TestZooKeeperCutOff(NetworkCase):
    """Two instances."""
    hosts = 2

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.zk = drill.ZooKeeper(address=cls.net.druid)
        cls.zk.start()
        cls.addClassCleanup(cls.zk.close)

    def setUp(self):
        super().setUp()
        paths = {"zookeeper.path": f"/beams/{self.id()}",
                 "druid.discovery.curator.path": f"/discovery/{self.id()}"}
        self.druid = self.sandbox(
            "--check", "full", "--address", self.net.druid, "--zookeeper",
            self.zk.connect, "--discovery-path",
            paths["druid.discovery.curator.path"])
        # a second one: its beam is wanted while the wire is cut
        self.servers = [
            self.start(h, None, self.zk.connect, ["wikipedia", "second"],
                       **paths) for h in self.net.hosts]

    def zookeeper(self, server, ds="wikipedia"):
        return self.beams(server, ds)["zookeeper"]

    def cut(self, *hosts, way=None):
        for host in hosts:
            self.net.cut(host, port=self.zk.port, way=way)

    def held(self, ds):
        return f"/{ds}/mutex/leases/" in self.zk.ask("dump")

    def check_end(self):
        self.check_sent()
        for server in self.servers:
            self.check_whole(server, self.druid)
            self.check_no_crash(server)
        for ds in self.sent:
            self.assertEqual(len(self.tasks(ds)), 1, ds)

    def check_both_cut(self, way):
        for n, server in enumerate(self.servers):
            self.post(server, f"first{n}")
        self.check_sent()
        self.cut(*self.net.hosts, way=way)
        for server in self.servers:
            wait_for(lambda: self.zookeeper(server) == "not connected",
                     "the status says so", 10)
        for n, server in enumerate(self.servers):
            self.post(server, f"open{n}")  # the open beam goes on
        self.check_sent()
        for n, server in enumerate(self.servers):
            self.post(server, f"new{n}", "second")
        time.sleep(CUT_SECONDS)
        self.assertEqual(self.tasks("second"), [])
        for server in self.servers:
            self.assertEqual(server.accounts("second")["spool"], 50)
        self.net.heal()
        self.check_end()
        for server in self.servers:
            wait_for(lambda: self.zookeeper(server) == "connected")

    @drill.long_form
    def test_both_ways(self):
        self.check_both_cut(None)

    @drill.long_form
    def test_requests_vanish(self):
        self.check_both_cut(UP)

    @drill.long_form
    def test_answers_vanish(self):
        self.check_both_cut(DOWN)

    def check_holder_cut(self, way):
        """The first one holds the mutex when its wire is cut; the second one
        gets it when the session is over."""
        one, two = self.servers
        self.druid.fault("hang", where="overlord")
        self.post(one, "one")
        wait_for(lambda: self.held("wikipedia"), "the mutex is held")
        self.cut(self.net.hosts[0], way=way)
        self.post(two, "two")
        wait_for(lambda: self.zookeeper(one) == "not connected", seconds=10)
        wait_for(lambda: not self.held("wikipedia")
                 or self.beams(two)["notes"], seconds=10)
        self.druid.fault("none")
        self.check_ids(self.druid, "wikipedia", [
            i for i in self.sent["wikipedia"] if i.startswith("two")],
            seconds=HEAL_SECONDS)
        self.assertEqual(len(self.tasks()), 1)
        self.assertEqual(one.accounts("wikipedia")["spool"], 50)
        self.net.heal()
        self.check_end()

    @drill.long_form
    def test_holder_both_ways(self):
        self.check_holder_cut(None)

    @drill.long_form
    def test_holder_requests_vanish(self):
        self.check_holder_cut(UP)

    def test_holder_answers_vanish(self):
        self.check_holder_cut(DOWN)


if __name__ == "__main__":
    drill.main()
