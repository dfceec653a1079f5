#!/usr/bin/env python3
"""archive.all: the archive gets a copy of every event besides its delivery,
each once, whatever dies on the way."""

import os
import random
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
sys.path.insert(0, HERE)
import drill  # noqa: E402
import harness  # noqa: E402
from archive import rows_of  # noqa: E402
from harness import wait_for  # noqa: E402
from test_late_archive import DS, late_events  # noqa: E402


class AllCase(drill.OneSourceCase):
    segment = "DAY"
    properties = {"archive.all": True, "archive.sealPeriod": "PT0.1S"}

    def await_copied(self, copied, seconds=30):
        def is_there():
            status = self.server.data_source(DS)
            counters, late = status["counters"], status["beams"].get("late")
            assert counters["copied"] == copied, (counters, late)
            assert status["accounts"]["holds"], status["accounts"]
            return True
        wait_for(is_there, f"{copied} events copied", seconds)

    def check_archive(self, wanted):
        self.assertEqual(sorted(drill.ids(rows_of(self.server))),
                         sorted(drill.ids(wanted)))


class TestAll(AllCase):
    def test_delivered_and_copied(self):
        events = harness.events(50)
        self.assertEqual(self.server.post(DS, events).sent, 50)
        self.await_copied(50)
        self.await_drained(self.server)
        self.check_archive(events)
        self.check_ids(self.druid, DS, drill.ids(events))
        self.assertEqual(self.server.accounts(DS)["archived"], 0)

    def test_copied_before_it_is_delivered(self):
        self.druid.fault("overlord-away")
        events = harness.events(50)
        self.server.post(DS, events, is_async=True)
        self.await_copied(50)
        self.assertEqual(self.server.accounts(DS)["spool"], 50)
        self.server.kill_all()
        self.server.start()
        self.druid.fault("none")
        self.await_drained(self.server)
        self.check_ids(self.druid, DS, drill.ids(events))
        self.check_archive(events)

    def test_delivered_before_it_is_copied(self):
        """The value stays until the copy is made, over a restart too."""
        self.server.reload(self.document(**{"archive.sealPeriod": "PT1H"}))
        events = harness.events(50)
        self.assertEqual(self.server.post(DS, events).sent, 50)
        self.await_drained(self.server)
        wait_for(lambda: self.server.data_source(DS)["beams"].get(
            "late", {}).get("copies") == 50)
        self.server.restart()
        # and what is still to be copied is, though archive.all is off now
        self.server.reload(self.document(**{"archive.all": False}))
        self.await_copied(50)
        self.server.post(DS, harness.events(7, run="more"))
        self.await_drained(self.server)
        self.check_archive(events)

    def test_late_ones_once(self):
        self.server.reload(self.document(**{"late.policy": "archive"}))
        events, late = harness.events(10), late_events(10, 60, run="late")
        self.server.post(DS, events + late)
        self.await_copied(10)
        wait_for(lambda: self.server.accounts(DS)["archived"] == 10)
        self.check_archive(events + late)

    def test_appended_ones_too(self):
        self.server.reload(self.document(**{
            "late.policy": "append", "late.appendPeriod": "PT0.1S"}))
        late = late_events(10, 60, run="late")
        self.server.post(DS, late)
        self.await_copied(10)
        wait_for(lambda: self.server.accounts(DS)["appended"] == 10)
        self.check_archive(late)
        self.check_ids(self.druid, DS, drill.ids(late))


class TestMissed(AllCase):
    properties = {"archive.all": True, "archive.sealPeriod": "PT0.1S",
                  "late.policy": "archive"}

    def document(self, **properties):
        return drill.config(
            [harness.data_source(DS, segment="second", window="PT3S")],
            self.druid.url, properties=dict(self.properties, **properties))

    def test_missed_interval(self):
        """What Druid did not take in time is in the archive already."""
        self.druid.fault("overlord-away")
        events = harness.events(20)
        self.server.post(DS, events, is_async=True)
        wait_for(lambda: self.server.accounts(DS)["archived"] == 20,
                 seconds=60)
        self.await_copied(20)
        self.check_archive(events)


class TestKill(AllCase):
    properties = {"archive.all": True, "archive.sealPeriod": "PT0.05S"}

    def test_killed(self):
        chance = random.Random(5)
        wanted = []
        for n in range(36):
            events = harness.events(50, run=f"k{n}")
            self.assertEqual(
                self.server.post(DS, events, is_async=True).status, 200)
            wanted += events
            time.sleep(chance.random() * 0.05)  # any moment will do
            if n % 6 == 5:
                if n % 12 == 5:
                    self.server.kill_worker(DS)
                else:
                    self.server.kill_all()
                    self.server.start()
        self.await_drained(self.server)
        wait_for(lambda: len(rows_of(self.server)) >= len(wanted), step=0.3)
        self.await_copied(len(wanted))
        self.check_archive(wanted)
        self.check_ids(self.druid, DS, drill.ids(wanted))


if __name__ == "__main__":
    drill.main()
