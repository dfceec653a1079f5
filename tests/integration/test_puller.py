#!/usr/bin/env python3
"""The helper that plays Druid's Kafka tasks (tests/helper/puller.py), against a
feed of its own: what it must notice, and what must not disturb it."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import feed_stage  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

ID = "foo-tq1"


class TestPuller(feed_stage.Case):
    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--druid", "34.0.0")
        self.log = self.stage()

    def post(self, **io):
        status, answer = self.druid.ask_supervisor(body={
            "type": "kafka", "id": ID, "spec": {
                "dataSchema": {
                    "dataSource": "foo",
                    "timestampSpec": {"column": "n", "format": "millis"},
                    "granularitySpec": {}},
                "ioConfig": dict({
                    "topic": "foo", "inputFormat": {"type": "json"},
                    "useEarliestOffset": True, "consumerProperties": {
                        "bootstrap.servers": self.log.address}}, **io)}})
        self.assertEqual(status, 200, answer)

    def numbers(self):
        return sorted(e["n"] for e in self.druid.events("foo", lost="false"))

    def test_reads_all(self):
        """Each codec, from the beginning, in several generations."""
        self.post()
        puller = self.puller(self.druid, ID)
        count = 0
        for codec in "none", "gzip", "lz4", "zstd":
            self.log.put(5, 20, 20, codec)
            count += 100
            puller.await_events(count)
            self.assertEqual(puller.roll()["changed"], 1)
            self.assertEqual(puller.commit()["changed"], 1)
            self.assertEqual(puller.stored(), self.log.start + count)
        self.assertEqual(self.numbers(), list(range(count)))

    def test_task_fails(self):
        """What it had is read again; nothing is there twice."""
        self.post()
        puller = self.puller(self.druid, ID)
        self.log.put(5, 20)
        puller.await_events(100)
        puller.roll()
        puller.commit()
        self.log.put(1, 50)
        puller.await_events(150)
        self.assertEqual(puller.fail()["changed"], 1)
        puller.await_events(150)
        self.assertEqual(puller.pulled, 200)
        self.assertEqual(self.numbers(), list(range(150)))

    def test_held(self):
        self.post()
        puller = self.puller(self.druid, ID)
        puller.hold()
        self.log.put(5, 20)
        wait_for(
            lambda: puller.supervisor()["end"].get("0") == self.log.end)
        self.assertEqual(puller.events(), 0)
        status = self.druid.ask_supervisor(f"/{ID}/status")[1]["payload"]
        self.assertEqual(status["aggregateLag"], 100)
        puller.hold(False)
        puller.await_events(100)

    def test_offset_is_not_served(self):
        """Behind the end: the log was rewound, or is another one."""
        self.log.put(1, 10)
        self.post()
        puller = self.puller(self.druid, ID)
        puller.await_events(10)
        self.druid.supervisor(ID, "rewind", partition=0,
                              offset=self.log.end + 5)
        wait_for(lambda: puller.complaints)
        self.assertIn(f"offset {self.log.end + 5} is not served",
                      puller.complaints[0])
        with self.assertRaises(AssertionError):
            puller.await_events(10)
        puller.stop(check=False)


if __name__ == "__main__":
    harness.main()
