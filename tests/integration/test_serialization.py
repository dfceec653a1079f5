#!/usr/bin/env python3
"""serialization.format: what tasks are sent, and that nothing of it changes
on the way."""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

SMILE = {"serialization.format": "smile"}


def wild(n):
    """An event of every kind of value."""
    return {"id": f"w-{n}", "time": harness.iso(), "page": "Ünïcödé 🐘 \"\\\n",
            "added": -n, "big": 2 ** 63 + n, "huge": 10 ** 40 + n,
            "small": 1e-7 * n, "yes": True, "no": None,
            "list": ["a", 1, 2.5, ["b"]], "tree": {"a": {"b": [{}]}},
            "long": "x" * 500, "x" * 80: n, "": "empty"}


class TestSmile(drill.Case):
    def start(self, **properties):
        self.druid = self.sandbox("--check", "full")
        self.server = self.tranqd(drill.config(
            ["a"], self.druid.url, properties=properties))

    def post(self, events, **how):
        answer = self.server.post("a", events, **how)
        self.assertEqual((answer.status, answer.sent),
                         (200, 0 if how.get("is_async") else len(events)))

    def test_every_push_is_smile_and_every_value_the_same(self):
        self.start(**SMILE)
        sent = [wild(n) for n in range(300)]
        self.post(sent)
        found = {e["id"]: e for e in self.druid.events("a")}
        for event in sent:
            other = dict(found[event["id"]])
            self.assertIsInstance(other.pop("time"), int)
            self.assertEqual(other, {k: v for k, v in event.items()
                                     if k != "time"})
        stats = self.druid.stats()
        self.assertGreater(stats["smile"], 1)
        self.assertEqual(stats["smile"], stats["pushes"], stats)
        self.check_whole(self.server, self.druid)

    def test_fractions_that_smile_would_make_longer_go_as_json(self):
        """A request has to go to the kernel whole: 64 KiB are its bound."""
        self.start(**SMILE)
        self.post([{"id": f"f-{n}", "time": harness.iso(),
                    "list": [1.5] * 3000} for n in range(40)])
        self.check_ids(self.druid, "a", {f"f-{n}" for n in range(40)})
        stats = self.druid.stats()
        self.assertLess(stats["smile"], stats["pushes"], stats)
        self.check_whole(self.server, self.druid)

    def test_one_large_event(self):
        self.start(**SMILE)
        self.post([dict(wild(1), text="y" * 3000000)])
        self.assertEqual(self.druid.stats()["smile"], 1)
        self.check_whole(self.server, self.druid)

    def test_two_replicants_lost_answers_and_a_killed_worker(self):
        self.start(**SMILE, **{"task.replicants": 2, "task.partitions": 2,
                               "druidBeam.firehoseChunkSize": 50})
        self.druid.fault("drop", count=10)
        self.druid.fault("error", count=5)
        for n in range(10):
            self.post(harness.events(400, 400 * n), is_async=True)
            if n == 5:
                self.server.kill_worker("a")
                wait_for(self.server._is_ready, "a new worker")
        for replicant in 0, 1:
            self.check_ids(self.druid, "a",
                           {f"e-{n}" for n in range(4000)},
                           replicant=replicant)
        self.check_whole(self.server, self.druid, killed=True)

    def test_reload_from_json_with_batches_in_the_spool(self):
        self.start()
        self.druid.fault("unavailable", dataSource="a")
        self.post(harness.events(500), is_async=True)
        self.server.write(drill.config(["a"], self.druid.url,
                                       properties=SMILE))
        self.server.reload()
        self.druid.fault("unavailable", on=False)
        self.post(harness.events(500, 500))
        self.check_ids(self.druid, "a", {f"e-{n}" for n in range(1000)})
        stats = self.druid.stats()
        self.assertGreater(stats["smile"], 1, stats)
        self.check_whole(self.server, self.druid, killed=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
