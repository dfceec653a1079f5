#!/usr/bin/env python3
"""delivery.mode pull with a Druid beside it: its supervisor is made, updated or
let alone; what Druid has committed leaves the log, and nothing else does.
"""

import json
import os
import shutil
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402
from pull_case import PullCase  # noqa: E402


class TestMade(PullCase):
    def test_made_before_its_first_task(self):
        """Also where supervisors have no ids yet."""
        for version, self.name in (("34.0.0", "a-tq1"), ("33.0.0", "a")):
            with self.subTest(version):
                self.begin(version, name=version)
                start = self.log_start()
                supervisor = self.await_running()
                self.assertEqual(supervisor["posts"], 2)
                self.assertEqual(supervisor["stored"], {"0": start})
                self.assertNotIn("seeded", self.marker(supervisor))
                puller = self.pull()
                self.sent = []
                self.post(100)
                puller.await_events(100)
                self.check_druid()
                said = self.said()["supervisor"]
                self.assertEqual((said["id"], said["care"]),
                                 (self.name, "manage"))
                self.assertIn(f"{self.name} (manage): RUNNING, 0 behind, "
                              "1 tasks read", self.server.tranqctl(
                                  "status").stdout)
                puller.stop()
                self.server.stop()

    def test_updated_only_when_it_differs(self):
        self.begin()
        self.await_running()
        document = self.server.document
        document["properties"]["tranquility.lingerMillis"] = 5
        self.server.reload(document)
        self.await_poll()
        self.assertEqual(self.supervisor()["posts"], 2)
        document["properties"]["pull.completionTimeout"] = "PT7M"
        self.server.reload(document)
        wait_for(lambda: self.supervisor()["posts"] == 3, "an update")
        self.await_poll()
        io = self.supervisor()["spec"]["spec"]["ioConfig"]
        self.assertEqual(io["completionTimeout"], "PT420S")
        self.assertEqual(self.supervisor()["posts"], 3)
        self.assertFalse(self.supervisor()["suspended"])

    def test_more_partitions(self):
        """Theirs alone are seeded."""
        self.begin()
        self.await_running()
        puller = self.pull()
        stored = self.commit_more(puller, 50)
        self.server.reload(self.document(**{"pull.partitions": "2"}))
        wait_for(lambda: puller.commit() and
                 "1" in self.supervisor()["stored"], "it is seeded")
        self.await_running(puller=puller)
        [_, more] = self.said()["log"]["partitions"]
        self.assertEqual(self.supervisor()["stored"],
                         {"0": stored, "1": more["start"]})
        self.post(50)
        puller.await_events(100)
        self.check_druid()

    def test_another_address(self):
        """pull.advertise is global: its workers are told all the same."""
        self.begin()
        self.await_running()
        port = self.server.status()["feed"]["port"]
        document = self.server.document
        document["properties"]["pull.advertise"] = f"localhost:{port}"
        self.server.reload(document)
        wait_for(lambda: self.supervisor()["posts"] == 3, "an update")
        consumer = self.supervisor()["spec"]["spec"]["ioConfig"][
            "consumerProperties"]
        self.assertEqual(consumer["bootstrap.servers"], f"localhost:{port}")

    def test_ended_in_druid(self):
        """It goes on where it was."""
        self.begin()
        self.await_running()
        puller = self.pull()
        stored = self.commit_more(puller, 50)
        self.assertEqual(
            self.druid.ask_supervisor(f"/{self.name}/terminate", {})[0], 200)
        self.await_running()
        self.post(50)
        puller.await_events(100)
        self.assertEqual(puller.stored(), stored)
        self.check_druid()

    def test_suspended_by_somebody(self):
        self.begin()
        self.await_running()
        self.druid.ask_supervisor(f"/{self.name}/suspend", {})
        document = self.server.document
        document["properties"]["pull.completionTimeout"] = "PT7M"
        self.server.reload(document)
        wait_for(lambda: self.supervisor()["spec"]["spec"]["ioConfig"][
            "completionTimeout"] == "PT420S", "an update")
        self.assertTrue(self.supervisor()["suspended"])

    def test_without_the_extension(self):
        self.begin("34.0.0", kafka=False)
        wait_for(lambda: "druid-kafka-indexing-service must be in" in
                 json.dumps(self.said()["notes"]), "a note")
        self.post(10)
        self.druid.druid("34.0.0")
        puller = self.pull()
        puller.await_events(10)


class TestLetAlone(PullCase):
    def make_by_hand(self, id="a-tq1", **context):
        port = self.server.status()["feed"]["port"]
        spec = {"type": "kafka", "id": id, "context": context, "spec": {
            "dataSchema": {
                "dataSource": "a",
                "timestampSpec": {"column": "time", "format": "millis"},
                "dimensionsSpec": {"dimensions": ["id"]},
                "granularitySpec": {"segmentGranularity": "DAY"}},
            "ioConfig": {
                "topic": "a", "useEarliestOffset": True,
                "inputFormat": {"type": "json"}, "taskCount": 1,
                "consumerProperties": {
                    "bootstrap.servers": f"127.0.0.1:{port}"}},
            "tuningConfig": {"type": "kafka"}}}
        self.assertEqual(self.druid.ask_supervisor("", spec)[0], 200)

    def test_foreign(self):
        self.begin(**{"pull.supervisor": "off"})
        self.make_by_hand()
        self.server.reload(self.document())
        wait_for(lambda: "has not made it" in json.dumps(
            self.said().get("notes", [])), "a note")
        self.await_poll()
        self.assertEqual(self.supervisor()["posts"], 1)
        self.assertFalse(self.supervisor()["suspended"])

    def test_of_another_tranqd(self):
        self.begin(**{"pull.supervisor": "off"})
        self.make_by_hand(tranqd={"instance": "tq9"})
        self.server.reload(self.document())
        wait_for(lambda: "instance tq9 has made it" in json.dumps(
            self.said().get("notes", [])), "a note")
        self.assertEqual(self.supervisor()["posts"], 1)

    def test_observed(self):
        """One that is made by hand moves the floor as well."""
        self.begin(**{"pull.supervisor": "observe"})
        wait_for(lambda: "there is none" in json.dumps(
            self.said()["notes"]), "a note")
        self.make_by_hand()
        puller = self.pull()
        self.post(100)
        puller.await_events(100)
        self.await_removed(puller, 100)
        self.assertEqual(self.supervisor()["posts"], 1)
        self.assertEqual(self.said()["notes"], [])

    def test_off(self):
        self.begin(**{"pull.supervisor": "off"})
        self.post(10)
        self.assertIn("(off)", self.server.tranqctl("status").stdout)
        self.assertEqual(self.druid.supervisors(), {})

    def test_taken_over(self):
        """Two tranqds of one name: who is second has it, nothing of the first
        one's events is removed."""
        self.begin()
        self.await_running()
        puller = self.pull()
        self.post(10)
        puller.await_events(10)
        puller.hold()
        puller.roll()
        puller.commit()
        other = self.tranqd(self.document(**{
            "pull.listen": f"127.0.0.1:{self.reserved_port()}"}), name="other")
        wait_for(lambda: "was made for another spool" in other.log(),
                 "the second one says so")
        wait_for(lambda: "by another tranqd of the same pull.instance" in
                 json.dumps(self.said()["notes"]), "the first one says so")
        spool = self.server.accounts("a")["spool"]
        wait_for(lambda: puller.commit() and
                 not self.supervisor()["suspended"],
                 "the second one's is begun")
        self.await_poll(4)
        self.assertEqual(self.server.accounts("a")["spool"], spool)
        puller.stop(check=False)


class TestRemoval(PullCase):
    def setUp(self):
        super().setUp()
        self.begin()
        self.await_running()
        self.puller = self.pull()

    def test_committed_events_leave(self):
        self.post(300)
        self.await_removed(self.puller, 300)
        self.check_druid()
        self.check_accounts(self.server)
        self.assertIn("committed to", self.server.tranqctl("status").stdout)
        # and it is known after a kill
        start = self.log_start()
        self.server.kill_all()
        self.server.start()
        wait_for(lambda: self.said().get("log", {}).get("partitions"),
                 "a status")
        self.assertEqual(self.log_start(), start)
        self.assertEqual(self.partition()["committed"], start)

    def test_not_before_the_next_generation(self):
        self.post(100)
        self.puller.await_events(100)
        self.await_poll(4)
        self.puller.roll()
        self.puller.commit()
        self.await_poll(6)
        self.assertEqual(self.server.accounts("a")["spool"], 100)

    def test_nothing_when_set_back(self):
        self.post(100)
        self.await_removed(self.puller, 100)
        start = self.log_start()
        self.puller.hold()
        self.druid.supervisor(self.name, "rewind", partition=0,
                              offset=start - 1)
        wait_for(lambda: "offsets were reset" in json.dumps(
            self.said()["notes"]), "a note")
        for _ in range(3):
            self.puller.roll()
            self.await_poll(3)
        self.assertEqual(self.log_start(), start)

    def test_nothing_when_unknown(self):
        self.post(100)
        self.puller.await_events(100)
        start = self.log_start()
        self.druid.supervisor(self.name, "state", state="UNHEALTHY_TASKS",
                              error="no place")
        wait_for(lambda: "no place" in self.server.tranqctl("status").stdout,
                 "the error in the status")
        for _ in range(3):
            self.generation(self.puller)
        self.assertEqual(self.log_start(), start)
        self.druid.supervisor(self.name, "state")
        self.await_removed(self.puller, 100)

    def test_full(self):
        """Clients have to wait, and go on when Druid has committed."""
        document = self.document(**{"spool.bytesMax": "1MiB",
                                    "pull.compression": "none",
                                    "tranquility.blockOnFull": "false"})
        self.server.reload(document)
        while True:
            events = harness.events(100, len(self.sent), page="x" * 200)
            if self.server.post("a", events).status != 200:
                break
            self.sent += drill.ids(events)
            self.assertLess(len(self.sent), 20000)
        self.assertIn("is full", self.server.tranqctl("status").stdout)
        self.puller.await_events(len(self.sent))
        self.assertEqual(self.server.post("a", events[:1]).status, 503)
        # all is read: the supervisor is suspended until that is known
        wait_for(lambda: self.puller.commit() and self.log_start() ==
                 self.partition()["end"], "all of it is removed")
        self.assertEqual(self.await_running()["stored"]["0"],
                         self.log_start())
        self.post(1)
        self.puller.await_events(len(self.sent))
        self.check_druid()
        self.check_accounts(self.server)

    def test_retained(self):
        self.server.reload(self.document(**{"pull.retain": "PT1H"}))
        start = self.log_start()
        self.post(100)
        self.puller.await_events(100)
        while self.partition().get("committed", 0) < start + 100:
            self.generation(self.puller)
        self.assertEqual(self.log_start(), start)
        self.server.reload(self.document())
        wait_for(lambda: self.log_start() >= start + 100, "removed")


class TestLost(PullCase):
    def test_lost_spool(self):
        """Its tasks publish what they have before the new one begins."""
        self.begin()
        self.await_running()
        puller = self.pull(gaps=True)  # a task may look for what is gone
        self.post(100)
        puller.await_events(100)
        old = self.partition()["end"]
        self.server.stop()
        shutil.rmtree(os.path.join(self.server.data_dir, "spool", "a"))
        wait_for(lambda: time.time() > (old >> 22) + 1, "the clock")
        self.server.start()
        wait_for(lambda: "tasks still publish" in json.dumps(
            (self.said() or {}).get("notes", [])), "it waits")
        self.assertIn("was made for another spool", self.server.log())
        self.assertTrue(self.supervisor()["suspended"])
        self.assertLess(puller.stored(), old)
        self.post(100)
        puller.commit()
        self.await_running()
        puller.await_events(200)
        self.check_druid(moved=1)
        self.assertGreater(puller.stored(), old)

    def test_restored_spool(self):
        """It is the same log, and goes on behind what was read."""
        self.begin()
        self.await_running()
        puller = self.pull()
        self.post(10)
        self.server.stop()
        spool = os.path.join(self.server.data_dir, "spool", "a")
        shutil.copytree(spool, spool + ".copy")
        self.server.start()
        self.post(10)
        puller.await_events(20)
        self.server.stop()
        shutil.rmtree(spool)
        os.rename(spool + ".copy", spool)
        wait_for(lambda: time.time() > (puller.stored() >> 22) + 1,
                 "the clock")
        self.server.start()
        self.post(10)
        wait_for(lambda: puller.events() == 30, "all is pulled")
        self.assertIn("came in place of", puller.complaints[0])  # a gap
        puller.stop(check=False)
        self.check_druid()
        self.assertEqual(self.supervisor()["posts"], 2)


class TestCommitted(PullCase):
    """A source that knows what is committed."""

    def begin(self, **properties):
        self.druid = self.sandbox("--druid", "34.0.0")
        self.server = self.tranqd(self.document(**{
            "pull.committed.url":
                f"{self.druid.url}/sandbox/committed?id={{supervisor}}",
            **properties}))
        self.await_running()

    def await_sent(self, count):
        wait_for(lambda: self.server.accounts("a")["sent"] == count,
                 f"{count} have left the log")

    def test_leaves_when_it_is_committed(self):
        """No later generation is waited for."""
        self.begin()
        puller = self.pull()
        self.post(100)
        puller.await_events(100)
        self.await_poll(8)
        self.assertEqual(self.server.accounts("a")["sent"], 0)
        puller.roll()
        self.await_poll(8)
        self.assertEqual(self.server.accounts("a")["sent"], 0)
        puller.commit()
        self.await_sent(100)
        self.post(50)
        self.commit_more(puller, 50)
        self.await_sent(200)
        self.server.kill_worker("a")
        self.commit_more(puller, 10)
        self.await_sent(210)
        self.check_druid()

    def test_does_not_answer(self):
        """Nothing leaves, and the status says why."""
        self.begin(**{"pull.committed.url":
                      f"http://127.0.0.1:{self.closed_port()}/"})
        puller = self.pull()
        self.commit_more(puller, 20)
        for _ in range(3):
            self.generation(puller)
        self.assertEqual(self.server.accounts("a")["sent"], 0)
        wait_for(lambda: "pull.committed.url: " in self.server.tranqctl(
            "status").stdout, "a note")
        self.server.reload(self.document())
        self.await_removed(puller, 20)
        self.check_druid()


class TestConfiguration(PullCase):
    def check(self, document, part):
        path = os.path.join(self.folder, "check.json")
        with open(path, "w") as f:
            json.dump(document, f)
        done = harness.run_program("tranqd", "check", "-c", path)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(part, done.stderr + done.stdout)

    def test_check(self):
        self.druid = self.sandbox()
        for members, part in (
                ({"pull.listen": ""}, "needs the global property pull.listen"),
                ({"pull.advertise": "0.0.0.0:9"}, "no address that anybody"),
                ({"pull.instance": "a/b"}, "'a/b' is no name"),
                ({"pull.retain": "much"}, "neither a time nor a size"),
                ({"pull.retain": "5GiB"}, "would fill the spool"),
                ({"pull.committed.url": "db:5432"}, "is no URL; give one"),
                ({"pull.committed.authorization": "Bearer a\r\nHost: b"},
                 "it has a control character"),
                ({"pull.supervisor": "yes"}, "manage, observe or off")):
            with self.subTest(part):
                self.check(self.document(**members), part)
        document = self.document()
        spec = document["dataSources"][0]["spec"]
        spec["ioConfig"] = {"topic": "x", "useEarliestOffset": False}
        self.check(document, "dataSource 'a': spec.ioConfig.topic: tranqd "
                             "names the topic itself")
        self.check(document, "spec.ioConfig.useEarliestOffset")
        spec.pop("ioConfig")
        spec["tuningConfig"]["type"] = "kafka"
        self.check(dict(document, properties=dict(
            document["properties"], **{"delivery.mode": "push"})),
            "'kafka' goes with the property delivery.mode pull")

    def test_spec_of_kafka(self):
        """A spec that was written for Druid's Kafka ingestion."""
        self.druid = self.sandbox("--druid", "34.0.0")
        document = self.document()
        spec = document["dataSources"][0]["spec"]
        spec["ioConfig"] = {"type": "kafka", "taskCount": 2,
                            "consumerProperties": {"fetch.min.bytes": "2"}}
        spec["tuningConfig"] = {"type": "kafka", "maxRowsInMemory": 1000}
        self.server = self.tranqd(document)
        self.await_running()
        made = self.supervisor()["spec"]["spec"]
        self.assertEqual(made["ioConfig"]["taskCount"], 2)
        self.assertEqual(made["ioConfig"]["consumerProperties"][
            "fetch.min.bytes"], "2")
        self.assertEqual(made["tuningConfig"]["maxRowsInMemory"], 1000)

    def test_removed(self):
        """A dataSource that is taken out leaves what is Druid's."""
        self.begin()
        self.await_running()
        self.post(10)
        document = self.document()
        document["dataSources"].append(drill.data_source("b"))
        self.server.reload(document)
        self.name = "b-tq1"
        self.await_running("b")
        document["dataSources"].pop(0)
        self.assertIn("its supervisor stays in Druid",
                      self.reload_says(document))
        self.name = "a-tq1"
        self.assertFalse(self.supervisor()["suspended"])
        self.server.reload(self.document())
        wait_for(lambda: self.server.accounts("a")["spool"] == 10, "it is back")

    def reload_says(self, document):
        self.server.write(document)
        done = self.server.tranqctl("reload")
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout + done.stderr


if __name__ == "__main__":
    drill.main()
