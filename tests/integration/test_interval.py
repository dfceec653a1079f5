#!/usr/bin/env python3
"""Intervals begin and end: borders, late events, tasks that end first."""

import os
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

HOUR = 3600


class IntervalCase(drill.Case):
    segment, window = "HOUR", "PT10M"
    properties = {}

    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full", "--handoff-delay", "10")
        self.server = self.tranqd(drill.config(
            [harness.data_source("wikipedia", segment=self.segment,
                                 window=self.window)],
            self.druid.url, properties=self.properties))

    def tasks(self):
        found = self.druid.stats()["dataSources"].get(
            "wikipedia", {"tasks": {}})
        return found["tasks"]


class TestBorders(IntervalCase):
    window = "PT90M"

    def test_first_and_last_millisecond(self):
        """Each event is in the task of its interval; the sandbox judges
        that. One request holds three intervals."""
        start = time.time() // HOUR * HOUR
        events = []
        for n, at in enumerate((start - HOUR, start - 0.001, start,
                                start + HOUR - 0.001, start + HOUR)):
            events += harness.events(10, run=f"b{n}", at=at + 0.00001)
        answer = self.server.post("wikipedia", events)
        self.assertEqual((answer.status, answer.sent), (200, 50), answer)
        counts = sorted(t["events"] for t in self.tasks().values())
        self.assertEqual(counts, [10, 20, 20])
        self.check_ids(self.druid, "wikipedia", drill.ids(events))
        self.check_whole(self.server, self.druid)

    def test_window(self):
        """Whole buckets are accepted, and what lies outside is told."""
        now = time.time()
        start = now // HOUR * HOUR
        lowest = (now - 90 * 60) // HOUR * HOUR
        highest = (now + 90 * 60) // HOUR * HOUR + HOUR
        inside = [lowest + 0.01, start, highest - 0.01]
        outside = [lowest - 0.01, lowest - 86400, highest + 0.01,
                   highest + 86400 * 365]
        events = []
        for at in inside + outside:
            events += harness.events(1, len(events), at=at)
        answer = self.server.post("wikipedia", events)
        if time.time() // HOUR * HOUR != start:
            self.skipTest("the hour has just changed")
        self.assertEqual((answer.received, answer.sent), (7, 3), answer)
        self.assertEqual(answer.headers["X-Tranq-Dropped"], "4; window=4")
        self.check_ids(self.druid, "wikipedia", drill.ids(events[:3]))
        self.await_drained(self.server)
        a = self.server.accounts("wikipedia")
        self.assertEqual((a["received"], a["dropped"]["window"]), (7, 4))


class TestSeconds(IntervalCase):
    """An interval a second: each begins, is served, is closed, and goes."""
    segment, window = "SECOND", "PT8S"
    properties = {"druidBeam.firehoseGracePeriod": "PT2S"}
    time_bound = 180

    def test_load_over_many_intervals(self):
        running = self.start_load(
            self.server, compare=self.druid.url, spread=1, rate=2000,
            batch=20, seconds=60 if drill.LONG else 8, settle=20)
        self.check_load(running.finish())
        self.check_whole(self.server, self.druid)
        self.assertGreater(len(self.tasks()), 7)
        self.check_no_crash(self.server)
        # what is over is forgotten
        wait_for(lambda: not self.server.data_source("wikipedia")["beams"][
            "beams"], "no beam is left", 60)

    def test_killed_workers_over_many_intervals(self):
        running = self.start_load(
            self.server, compare=self.druid.url, spread=1, rate=2000,
            batch=20, seconds=6, settle=20)
        for _ in range(5):
            time.sleep(1)
            self.server.kill_worker("wikipedia")
        self.check_load(running.finish())
        self.check_whole(self.server, self.druid, killed=True)


class TestDeadLetters(IntervalCase):
    segment, window = "SECOND", "PT1S"
    properties = {"druidBeam.firehoseGracePeriod": "PT0S",
                  "druidBeam.firehoseRetryPeriod": "PT1S"}

    def check_dead(self, count, sent=0):
        def is_dead():
            a = self.server.accounts("wikipedia")
            return a["deadLetters"] == count and a["spool"] == 0 and a
        a = wait_for(is_dead, f"{count} dead letters", 40)
        self.assertEqual(a["sent"], sent)
        for end in self.server.restart, None:
            if end is not None:
                end()
                self.assertEqual(self.server.accounts("wikipedia"), a)
        self.assertIn("dead letters", self.server.log())
        # the next interval is served as if nothing had been
        events = harness.events(10, run="next")
        self.druid.fault("none")
        self.assertEqual(self.server.post(
            "wikipedia", events, is_async=True).status, 200)
        self.check_ids(self.druid, "wikipedia", drill.ids(events) + [
            e["id"] for e in self.druid.events("wikipedia")])

    def test_tasks_never_made(self):
        """The Overlord is away until the interval is closed."""
        self.druid.fault("overlord-away")
        events = harness.events(100, at=time.time() + 1)
        self.assertEqual(self.server.post(
            "wikipedia", events, is_async=True).status, 200)
        # it comes back too late
        time.sleep(4)
        self.druid.fault("none")
        self.check_dead(100)

    def test_tasks_that_end_first(self):
        """They are there but take nothing, until their time is up."""
        self.druid.fault("refuse")
        # of the next interval: this one's could be over before the answer
        events = harness.events(100, at=time.time() + 1)
        answer = self.server.post("wikipedia", events)
        self.assertEqual((answer.status, answer.sent), (200, 0), answer)
        self.assertEqual(answer.headers["X-Tranq-Spooled"], "100")
        self.check_dead(100)

    def test_killed_in_between(self):
        self.druid.fault("refuse")
        events = harness.events(100, at=time.time() + 1)
        self.assertEqual(self.server.post(
            "wikipedia", events, is_async=True).status, 200)
        self.server.kill_all()
        time.sleep(4)
        self.server.start()
        self.check_dead(100)


class TestChange(IntervalCase):
    """Load on both sides of an interval's border."""
    segment, window = "MINUTE", "PT59S"

    def test_minute(self):
        running = self.start_load(
            self.server, compare=self.druid.url, rate=5000,
            seconds=60 if drill.LONG else 3, spread=58, settle=20)
        self.check_load(running.finish())
        self.assertGreaterEqual(len(self.tasks()), 2, self.tasks())
        self.check_whole(self.server, self.druid)


class TestWarming(IntervalCase):
    segment, window = "MINUTE", "PT1S"
    properties = {"task.warmingPeriod": "PT2M"}

    def test_tasks_are_made_ahead(self):
        self.assertEqual(
            self.server.post("wikipedia", harness.events(1)).sent, 1)
        wait_for(lambda: self.druid.stats()["tasks"]["running"] >= 2,
                 "the next interval has its task already")
        self.check_whole(self.server, self.druid)


class TestSlowRequest(IntervalCase):
    segment, window = "SECOND", "PT1S"
    properties = {"druidBeam.firehoseRetryPeriod": "PT20S",
                  "druidBeam.firehoseGracePeriod": "PT0S"}

    def test_synchronous_request_whose_interval_closes(self):
        """It is answered as soon as its events are dead letters, not only
        when its time is up."""
        self.druid.fault("refuse")
        began = time.monotonic()
        answers = []
        thread = threading.Thread(target=lambda: answers.append(
            self.server.post("wikipedia", harness.events(10))))
        thread.start()
        thread.join(30)
        self.assertEqual((answers[0].status, answers[0].sent), (200, 0))
        self.assertLess(time.monotonic() - began, 20)
        wait_for(lambda: self.server.accounts("wikipedia")["deadLetters"]
                 == 10)


if __name__ == "__main__":
    drill.main()
