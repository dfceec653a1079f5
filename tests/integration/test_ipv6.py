#!/usr/bin/env python3
"""Everything over IPv6: clients, ZooKeeper, the Overlord by its URL and by
its announcement, tasks by discovery and by the Overlord's word."""

import os
import socket
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402
from zookeeper import ZooKeeper  # noqa: E402

DS = "wikipedia"
LOOPBACK = "::1"


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind((LOOPBACK, 0))
        return True
    except OSError:
        return False


class IPv6Case(drill.Case):
    def server(self, overlord=None, zookeeper=None, name="tranqd",
               **properties):
        return self.tranqd(drill.config(
            [DS], overlord, zookeeper, properties=properties),
            host=LOOPBACK, name=name)

    def druid6(self, *options):
        druid = self.sandbox("--check", "full", "--address", LOOPBACK,
                             *options)
        self.assertIn("[::1]", druid.url)
        return druid

    def check_delivery(self, server, druid, run="e"):
        events = harness.events(200, run=run)
        answer = server.post(DS, events)
        self.assertEqual((answer.status, answer.sent), (200, 200), answer)
        self.check_ids(druid, DS, drill.ids(events))
        self.check_whole(server, druid)


@unittest.skipUnless(has_ipv6(), "this machine has no IPv6")
class TestUrls(IPv6Case):
    def test_urls(self):
        druid = self.druid6()
        server = self.server(druid.url)
        self.check_delivery(server, druid)
        wait_for(lambda: server.data_source(DS)["beams"]["overlord"]
                 == druid.url, "the status has it")
        self.assertIn("[::1]:", server.log())
        with self.assertRaises(OSError):
            socket.create_connection(("127.0.0.1", server.port)).close()

    def test_peon_port(self):
        druid = self.druid6("--peon-port", "0")
        self.check_delivery(self.server(druid.url), druid)

    def test_leader_elsewhere(self):
        """The URL that an Overlord redirects to."""
        druid = self.druid6()
        elsewhere = self.druid6()
        elsewhere.fault("not-leader", url=druid.url)
        server = self.server(elsewhere.url)
        self.check_delivery(server, druid)

    def test_load(self):
        """tranq-load's URLs."""
        druid = self.druid6()
        server = self.server(druid.url)
        report = self.load(server, druid, events=2000, batch=100)
        self.check_load(report)

    def test_all_addresses(self):
        """Without http.address both kinds of clients get in."""
        druid = self.sandbox("--check", "full")
        server = self.server(druid.url, **{"http.address": ""})
        ids = []
        for host in (LOOPBACK, "127.0.0.1"):
            server.host = host
            events = harness.events(10, run=host)
            self.assertEqual(server.post(DS, events).status, 200)
            ids += drill.ids(events)
        self.check_ids(druid, DS, ids)


@unittest.skipUnless(has_ipv6(), "this machine has no IPv6")
class TestZooKeeper(IPv6Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.zk = ZooKeeper(address=LOOPBACK)
        cls.zk.start()
        cls.addClassCleanup(cls.zk.close)

    def setUp(self):
        super().setUp()
        self.paths = {
            "zookeeper.path": f"/beams/{self.id()}",
            "druid.discovery.curator.path": f"/discovery/{self.id()}"}
        self.druid = self.druid6(
            "--zookeeper", self.zk.connect, "--discovery-path",
            self.paths["druid.discovery.curator.path"])

    def check_found(self, connect, **properties):
        self.assertTrue(connect.startswith("[::1]"), connect)
        server = self.server(None, connect, **self.paths, **properties)
        self.check_delivery(server, self.druid)

        def is_told():
            # what the worker tells of itself may be a moment behind
            beams = server.data_source(DS)["beams"]
            self.assertEqual(beams["zookeeper"], "connected")
            self.assertIn(f"[::1]:{self.druid.port}", beams["overlord"])
            return True
        wait_for(is_told, "the status has both")

    def test_discovery(self):
        self.check_found(self.zk.connect)

    def test_locations(self):
        self.check_found(self.zk.connect,
                         **{"druidBeam.taskLocator": "overlord"})

    def test_several_servers(self):
        """One of them is away; spaces as in a list of Java's."""
        self.check_found(f"[::1]:{self.closed_port(LOOPBACK)}, {self.zk.connect}")

    def test_folder(self):
        folder = f"/v6-{os.getpid()}"
        self.zk.shell(f"create {folder}")
        server = self.server(self.druid.url, self.zk.connect + folder,
                             **self.paths)
        self.check_delivery(server, self.druid)
        wait_for(lambda: "druid:overlord" in self.zk.shell(
            f"ls {folder}{self.paths['zookeeper.path']}"), "the folder")


if __name__ == "__main__":
    drill.main()
