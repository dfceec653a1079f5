"""Tranqds that are pulled from by one supervisor, as Druid before 34 has it, and a
ZooKeeper in which they agree on it."""

import drill
import harness
from harness import wait_for
from kafka_client import Client, Metadata, list_offsets, listed, metadata

DS = "wikipedia"


class ShareCase(drill.ZooKeeperCase):
    time_bound = 180
    druid_options = ("--druid", "33.0.0")
    supervisor = DS
    properties = {}

    def setUp(self):
        super().setUp()
        self.ports = {}
        self.sent = []
        self.pulled = self.puller(self.druid, self.supervisor, cycle=0.7)

    def server(self, name, **how):
        self.ports[name] = self.reserved_port()
        document = drill.config([DS], None, self.zk.connect, properties={
            "zookeeper.timeout": "PT1S", "delivery.mode": "pull",
            "pull.listen": f"127.0.0.1:{self.ports[name]}",
            "pull.taskDuration": "PT1S", "pull.compression": "none",
            **self.paths, **self.properties})
        return self.tranqd(document, name=name, **how)

    def post(self, server, count, run):
        events = harness.events(count, run=run)
        answer = server.post(DS, events)
        self.assertEqual(answer.status, 200, answer)
        self.sent += drill.ids(events)

    def check_druid(self, seconds=30):
        def is_there():
            assert not self.pulled.complaints, self.pulled.complaints
            found = drill.ids(self.druid.events(DS, lost="false"))
            missing = set(self.sent) - set(found)
            assert not missing, (len(missing), sorted(missing)[:5])
            return True
        wait_for(is_there, "all is pulled", seconds)
        self.assertEqual(
            sorted(drill.ids(self.druid.events(DS, lost="false"))),
            sorted(self.sent))

    def share(self, server):
        """What it says of it; nothing before it has begun."""
        text = server.data_source(DS)["beams"] or {}
        return text.get("share", {"partition": None, "serves": False,
                                  "manages": False, "members": []})

    def await_serves(self, server, partition):
        def serves():
            s = self.share(server)
            return (s["partition"] == partition and s["serves"]
                    and s["members"][partition]["state"] == "there")
        wait_for(serves, f"partition {partition} is served")

    def leaders(self, name):
        """{partition: port of the leader, or None}, as this one says it."""
        with Client(self.ports[name]) as c:
            c.send(metadata(DS))
            found = Metadata(c.answer())
        return {p: found.nodes.get(node, (None, None))[1]
                for p, node in found.topics[DS].items()}

    def await_leaders(self, name, *wanted, seconds=20):
        """The names of those who lead partitions 0, 1, …"""
        wanted = {p: self.ports[w] for p, w in enumerate(wanted)}

        def are():
            got = self.leaders(name)
            assert got == wanted, (got, wanted)
            return True
        wait_for(are, f"leaders by {name}", seconds)

    def place(self, name, partition, when):
        with Client(self.ports[name]) as c:
            c.send(list_offsets(when, topic=DS, partition=partition))
            return listed(c.answer())

    def log(self, server):
        log = server.data_source(DS)["beams"]["log"]["partitions"][0]
        return log["start"], log["end"]
