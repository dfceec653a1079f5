#!/usr/bin/env python3
"""delivery.mode auto where Druid can pull: the log is chosen, and is not left
while it has events. (A tranqd with fault points, since the others do not take
the mode yet.)"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import harness  # noqa: E402
from auto_case import DS, AutoCase  # noqa: E402
from faults import FAULT_TRANQD  # noqa: E402
from harness import wait_for  # noqa: E402

LISTEN = {"pull.listen": "127.0.0.1:0", "pull.advertise": "127.0.0.1:1"}


class TestPull(AutoCase):
    druid_options = ("--druid", "34.0.0")

    def start(self, **properties):
        self.server = self.tranqd(
            self.document(**properties), binary=FAULT_TRANQD)

    def restart(self, **properties):
        self.server.stop()
        given = self.document(**properties)["properties"]
        kept = {k: v for k, v in self.server.document["properties"].items()
                if k not in LISTEN}
        self.server.write(dict(self.server.document,
                               properties=dict(kept, **given)))
        self.server.start()

    def in_log(self):
        said = self.server.data_source(DS)["beams"] or {}
        return sum(p["end"] - p["start"]
                   for p in said.get("log", {}).get("partitions", []))

    def await_log(self, events):
        wait_for(lambda: self.in_log() == events, f"{events} in the log")

    def test_chosen(self):
        self.start(**LISTEN)
        self.await_mode("pull", "Druid 34.0.0 has no realtime tasks, and")
        self.assertEqual(self.post(5, "a", hours=99, is_async=False).sent, 5)
        self.await_log(5)
        self.assertEqual(self.note(), "pull 34.0.0 kafka\n")
        self.assertNotIn("better", self.delivery())

    def test_nobody_listens(self):
        """Then append; and pull as soon as somebody does."""
        self.start()
        d = self.await_mode("append", "Druid 34.0.0 has no realtime tasks")
        self.assertIn("for pull: pull.listen is not set; set it", d["better"])
        self.post(5, "a")
        self.check_all()
        self.restart(**LISTEN)
        self.await_mode("pull")
        self.post(7, "b", is_async=False)
        self.await_log(7)

    def test_upgrade_while_events_wait(self):
        self.druid.druid("30.0.1")
        self.druid.fault("no-slots")
        self.start(**LISTEN)
        self.await_mode("push")
        self.post(50, "a")
        self.await_spooled(self.server, DS, 50)
        self.druid.druid("34.0.0")
        self.await_mode("pull")
        self.post(5, "b", hours=99, is_async=False)
        self.await_log(55)

    def test_not_left(self):
        """Not for a Druid that cannot pull, nor without pull.listen."""
        self.start(**LISTEN)
        self.await_mode("pull")
        self.post(5, "a", is_async=False)
        self.druid.druid("30.0.1")
        d = self.await_mode("pull", "the log has 5 events")
        self.assertIn("without them push: Druid 30.0.1 has", d["why"])
        self.assertIn("set delivery.mode to push", d["better"])
        self.druid.druid("34.0.0")
        self.await_mode("pull", "34.0.0 has no realtime tasks, and Kafka")
        self.restart()
        d = self.await_mode("pull", "the log has 5 events")
        self.assertIn("pull.listen is not set", d["better"])
        self.post(5, "b", is_async=False)
        self.await_log(10)

    def test_left_when_empty(self):
        self.start(**LISTEN)
        self.await_mode("pull")
        self.druid.druid("30.0.1")
        self.await_mode("push", "30.0.1")
        self.post(5, "a", is_async=False)
        self.check_all()

    def test_no_note_but_a_log(self):
        """A spool that was copied without it, say."""
        self.start(**LISTEN)
        self.await_mode("pull")
        self.post(5, "a", is_async=False)
        self.server.stop()
        os.unlink(f"{self.server.data_dir}/spool/{DS}/delivery")
        self.druid.fault("overlord-away")
        self.server.start()
        self.assertEqual(self.delivery()["mode"], "pull")
        self.assertEqual(self.note(), "pull\n")


if __name__ == "__main__":
    harness.main()
