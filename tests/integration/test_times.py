#!/usr/bin/env python3
"""Times and buckets: intervals of a zone's days, Joda patterns, zones."""

import datetime
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402

DAY = 86400


def period(text, zone, **more):
    return dict({"type": "period", "period": text, "timeZone": zone}, **more)


class TimesCase(drill.Case):
    def start(self, **how):
        self.druid = self.sandbox("--check", "full", "--handoff-delay", "10")
        self.server = self.tranqd(drill.config(
            [harness.data_source("wikipedia", **how)], self.druid.url))

    def tasks(self):
        return self.druid.stats()["dataSources"]["wikipedia"]["tasks"]

    def post(self, events, sent):
        answer = self.server.post("wikipedia", events)
        self.assertEqual((answer.status, answer.sent), (200, sent), answer)
        self.check_ids(self.druid, "wikipedia", drill.ids(events))
        self.check_whole(self.server, self.druid)


class TestGranularity(TimesCase):
    def test_days_of_a_zone(self):
        """A day in India starts at 18:30 UTC, and so does its interval."""
        self.start(segment=period("P1D", "Asia/Kolkata"), window="P1D")
        shift = int(5.5 * 3600)
        border = (time.time() + shift) // DAY * DAY - shift
        events = (harness.events(10, run="a", at=border - 0.001)
                  + harness.events(20, run="b", at=border))
        self.post(events, 30)
        found = {i: t["events"] for i, t in self.tasks().items()}
        self.assertEqual(found, {
            f"index_realtime_wikipedia_{harness.iso(border - DAY)}_0_0": 10,
            f"index_realtime_wikipedia_{harness.iso(border)}_0_0": 20})

    def test_months_from_an_origin(self):
        """The window is a month by the calendar: what is of this day of the
        month before is taken, what is older is dropped."""
        self.start(segment=period("P1M", "America/New_York",
                                  origin="2020-01-15T05:00:00Z"),
                   query=period("PT15M", "Asia/Kathmandu"), window="P1M")
        now = time.time()
        events = (harness.events(5, run="a", at=now)
                  + harness.events(5, run="b", at=now - 26 * DAY))
        self.post(events, 10)
        old = harness.events(3, run="c", at=now - 70 * DAY)
        answer = self.server.post("wikipedia", old)
        self.assertEqual((answer.received, answer.sent), (3, 0))
        self.assertEqual(answer.headers["X-Tranq-Dropped"], "3; window=3")
        for task in self.tasks():
            self.assertRegex(task, r"_\d{4}-\d\d-15T0[45]:00:00.000Z_0_0$")

    def test_duration_over_two_partitions(self):
        self.druid = self.sandbox("--check", "full", "--handoff-delay", "10")
        self.server = self.tranqd(drill.config(
            [harness.data_source(
                "wikipedia", segment={"type": "duration",
                                      "duration": 45 * DAY * 1000,
                                      "origin": "2020-01-01T00:00:00Z"},
                query=period("P1D", "America/Los_Angeles"))],
            self.druid.url, properties={"task.partitions": 2}))
        self.post(harness.events(200), 200)
        self.assertEqual(len(self.tasks()), 2)


class TestPatterns(TimesCase):
    def now(self, form, zone=datetime.timezone.utc):
        return datetime.datetime.now(zone).strftime(form)

    def events(self, when, run):
        return [dict(e, time=when) for e in harness.events(7, run=run)]

    def test_access_log(self):
        self.start(timestamp=("time", "dd/MMM/yyyy:HH:mm:ss Z"))
        east = datetime.timezone(datetime.timedelta(hours=5, minutes=45))
        events = (self.events(self.now("%d/%b/%Y:%H:%M:%S +0000"), "a")
                  + self.events(self.now("%d/%b/%Y:%H:%M:%S %z", east), "b"))
        self.post(events, 14)
        answer = self.server.post(
            "wikipedia", self.events("32/Jan/2026:10:00:00 +0000", "c"))
        self.assertEqual(answer.status, 400)
        self.assertIn("event[0]", answer.text)
        self.assertIn("holds '32/Jan/2026:10:00:00 +0000', which is no time "
                      "in format dd/MMM/yyyy:HH:mm:ss Z", answer.text)

    def test_zone_behind_a_time(self):
        self.start(timestamp=("time", "auto"))
        tokyo = datetime.timezone(datetime.timedelta(hours=9))
        events = (self.events(self.now("%Y-%m-%d %H:%M:%S Asia/Tokyo", tokyo),
                              "a")
                  + self.events(self.now("%Y-%m-%d %H:%M:%S UTC+9", tokyo),
                                "b")
                  + self.events(self.now("%Y-%m-%d %H:%M:%S"), "c"))
        self.post(events, 21)


if __name__ == "__main__":
    drill.main()
