#!/usr/bin/env python3
"""The wall clock is moved under load, repeats a second, and goes over the two
days a year that are not 24 hours long: nothing is lost, nothing comes twice,
no process spins or sleeps on."""

import datetime
import os
import sys
import threading
import time
import zoneinfo

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from clocks import Clocks  # noqa: E402
from harness import wait_for  # noqa: E402

HOUR, DAY = 3600, 86400
ROUNDS = 5 if drill.LONG else 1
BUSY_TICKS = 40  # of a process, in two seconds of this load; a busy loop: 200


class Poster:
    """Posts small requests, one behind the other, with the time that it is by
    the moved clock, and keeps the books."""

    def __init__(self, server, clocks):
        self.server, self.clocks = server, clocks
        self.ids, self.dropped, self.error = [], 0, None
        self.is_ending = False
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self):
        try:
            with self.server.client() as client:
                while not self.is_ending:
                    self._post(client)
                    time.sleep(0.01)
        except Exception as e:
            self.error = e

    def _post(self, client):
        events = harness.events(20, first=len(self.ids),
                                at=self.clocks.now())
        answer = client.post("wikipedia", events, is_async=True)
        assert answer.status == 200, answer
        self.ids += drill.ids(events)
        dropped = answer.headers.get("X-Tranq-Dropped", "0").split(";")[0]
        self.dropped += int(dropped)

    def end(self):
        self.is_ending = True
        self.thread.join()
        if self.error is not None:
            raise self.error


class ClockCase(drill.Case):
    properties = {}

    def setUp(self):
        super().setUp()
        self.clocks = Clocks(self.folder)

    def start(self, source, at=None):
        """at: what the clocks show (seconds since 1970)."""
        if at is not None:
            self.clocks.set(at)
        moved = self.clocks.environment
        self.druid = self.sandbox("--check", "full", environment=moved)
        self.server = self.tranqd(
            drill.config([source], self.druid.url,
                         properties=self.properties), environment=moved)

    def sent(self):
        return self.counts(self.server, "wikipedia")["sent"]

    def await_more(self, events=200, seconds=30):
        had = self.sent()
        wait_for(lambda: self.sent() >= had + events,
                 "delivery goes on", seconds)

    def check_ages(self):
        """Nothing in the status is of the future or older than the test."""
        d = self.server.data_source("wikipedia")
        self.assertGreaterEqual(d["oldestAgeMs"], 0)
        self.assertGreaterEqual(
            self.server.status()["supervisor"]["uptimeMs"], 0)
        text = self.server.tranqctl("status").stdout
        self.assertNotRegex(text, r" -\d", "a negative number")

    def check_calm(self):
        pids = drill.family(self.server)
        before = {p: drill.cpu_ticks(p) for p in pids}
        time.sleep(2)
        for p in pids:
            self.assertLess(drill.cpu_ticks(p) - before[p], BUSY_TICKS,
                            harness.command_line(p))

    def check_books(self, poster):
        """What was answered 200 is in Druid once, or a dead letter, or was
        dropped by a rule that the answer counted."""
        def is_settled():
            a = self.server.accounts("wikipedia")
            return a["spool"] + a["inRings"] == 0 and a
        accounts = wait_for(is_settled, "all is delivered", 60)
        found = drill.ids(self.druid.events("wikipedia"))
        self.assertEqual(len(found), len(set(found)), "doubled")
        self.assertEqual(set(found) - set(poster.ids), set())
        self.assertEqual(accounts["received"], len(poster.ids))
        self.assertEqual(
            len(found) + accounts["deadLetters"] + poster.dropped,
            len(poster.ids), accounts)
        self.assertEqual(self.counts(self.server, "wikipedia")["skipped"], 0,
                         "a producer sequence came twice")
        self.check_violations(self.druid)
        self.check_no_crash(self.server)
        return accounts


class TestJumps(ClockCase):
    """An hour forward, an hour back, under load."""
    time_bound = 300
    # a task lives as long as its interval and little more
    properties = {"druidBeam.firehoseGracePeriod": "PT0S"}

    def jump(self, *hours):
        # well within an hour, so that the hours are the test's
        at = time.time() // HOUR * HOUR + HOUR / 2
        self.start(harness.data_source("wikipedia", window="PT1M"), at)
        poster = Poster(self.server, self.clocks)
        try:
            self.await_more()
            for h in hours * ROUNDS:
                self.clocks.jump(h * HOUR)
                wait_for(lambda: len(poster.ids) == self.counts(
                    self.server, "wikipedia")["received"], step=0)
                self.check_ages()
                self.check_calm()
        finally:
            poster.end()
        return poster

    def test_forward_and_back(self):
        """The first hour's interval was closed too early: what comes for it
        when the clock is back is kept, as dead letters."""
        poster = self.jump(1, -1)
        accounts = self.check_books(poster)
        self.assertGreater(self.sent(), 400, accounts)
        self.check_restart()

    @drill.long_form
    def test_back_and_forward(self):
        poster = self.jump(-1, 1)
        self.check_books(poster)
        self.assertGreater(self.sent(), 400)
        self.check_restart()

    def test_back_and_started_anew(self):
        """The spool's keys and the producer sequences go on from where they
        were; a new generation is one all the same."""
        self.start(harness.data_source("wikipedia", segment="DAY",
                                       window="PT2H"),
                   time.time() // DAY * DAY + DAY / 2)
        self.druid.fault("unreachable")
        events = harness.events(50, run="a", at=self.clocks.now())
        self.server.post("wikipedia", events, is_async=True)
        self.await_spooled(self.server, "wikipedia", 50)
        for n in range(3):
            self.server.kill_all()
            self.clocks.jump(-HOUR / 3)
            self.server.start()
            more = harness.events(50, run=f"b{n}", at=self.clocks.now())
            self.assertEqual(self.server.post(
                "wikipedia", more, is_async=True).status, 200)
            events += more
            self.await_spooled(self.server, "wikipedia", 50 * (n + 2))
            self.check_ages()
        self.druid.fault("none")
        self.check_ids(self.druid, "wikipedia", drill.ids(events))
        self.check_whole(self.server, self.druid)

    def test_back_while_late_events_wait(self):
        """Their file is due by its period, not by the old clock's."""
        self.properties = {"late.policy": "archive",
                           "archive.sealPeriod": "PT2S"}
        self.start(harness.data_source("wikipedia", window="PT1M"),
                   time.time() // HOUR * HOUR + HOUR / 2)
        events = harness.events(10, at=self.clocks.now() - 3 * HOUR)
        self.assertEqual(self.server.post(
            "wikipedia", events, is_async=True).status, 200)
        self.await_spooled(self.server, "wikipedia", 10)
        self.clocks.jump(-HOUR)
        wait_for(lambda: self.server.accounts("wikipedia")["archived"] == 10,
                 "they are in a file")

    def check_restart(self):
        """Behind it all a new interval is served at once."""
        self.clocks.jump(2 * HOUR)
        events = harness.events(50, run="new", at=self.clocks.now())
        self.assertEqual(self.server.post(
            "wikipedia", events, is_async=True).status, 200)
        wait_for(lambda: set(drill.ids(events)) <= set(drill.ids(
            self.druid.events("wikipedia"))), "the next interval's events")


class TestRepeatedSecond(ClockCase):
    """A leap second, as kernels have it: the last second of a day twice."""

    @drill.long_form
    def test_at_midnight(self):
        midnight = (time.time() // DAY + 1) * DAY
        self.start(drill.data_source("wikipedia"), midnight - 1.5)
        poster = Poster(self.server, self.clocks)
        wait_for(lambda: self.clocks.now() >= midnight, step=0.001)
        self.clocks.jump(-1)
        wait_for(lambda: self.clocks.now() >= midnight + 1)
        poster.end()
        accounts = self.check_books(poster)
        self.assertEqual((accounts["deadLetters"], poster.dropped), (0, 0))
        days = {t.split("_")[3] for t in self.druid.stats()[
            "dataSources"]["wikipedia"]["tasks"]}
        self.assertEqual(days, {harness.iso(midnight - DAY),
                                harness.iso(midnight)})

    def test_second_60(self):
        """Druid has no such second; the client learns of it."""
        self.start(drill.data_source("wikipedia"))
        events = harness.events(3)
        events[1]["time"] = "2016-12-31T23:59:60Z"
        answer = self.server.post("wikipedia", events)
        self.assertEqual(answer.status, 400, answer)
        self.assertIn("event[1]", answer.text)
        self.assertIn("2016-12-31T23:59:60Z", answer.text)


def spans(zone, year):
    """The days of a year's changes in a zone, as (start, end) since 1970."""
    zone = zoneinfo.ZoneInfo(zone)
    found = []
    for n in range(365):
        first = (datetime.datetime(year, 1, 1)
                 + datetime.timedelta(days=n)).replace(tzinfo=zone)
        # on the wall: the next midnight, whatever lies between
        last = (first.replace(tzinfo=None)
                + datetime.timedelta(days=1)).replace(tzinfo=zone)
        at = first.timestamp(), last.timestamp()
        if at[1] - at[0] != DAY:
            found.append(at)
    return found


class TestSummerTime(ClockCase):
    """Buckets of a zone over its changes, with the clock going over them."""
    time_bound = 180

    def walk(self, zone, period, moments):
        """Posts three events at each of them: of just before, of it, of just
        behind. Returns the events of the tasks by their starts."""
        source = harness.data_source("wikipedia", segment={
            "type": "period", "period": period, "timeZone": zone},
            window="PT10M")
        self.start(source, moments[0] - 60)
        ids = []
        for n, at in enumerate(moments):
            self.clocks.set(at)
            events = (harness.events(1, run=f"{n}before", at=at - 0.002)
                      + harness.events(1, run=f"{n}at", at=at)
                      + harness.events(1, run=f"{n}behind", at=at + 0.002))
            answer = self.server.post("wikipedia", events, is_async=True)
            self.assertEqual(answer.status, 200, answer)
            self.assertNotIn("X-Tranq-Dropped", answer.headers)
            ids += drill.ids(events)
            wait_for(lambda: set(ids) <= set(drill.ids(
                self.druid.events("wikipedia"))), "delivery")
        self.check_violations(self.druid)
        self.check_accounts(self.server)
        return {name.split("_")[3]: t["events"] for name, t in
                self.druid.stats()["dataSources"]["wikipedia"][
                    "tasks"].items()}

    def check_day(self, zone, which, hours):
        """The year's first or second change."""
        start, end = spans(zone, 2024)[which]
        self.assertEqual(end - start, hours * HOUR)
        found = self.walk(zone, "P1D", [start, start + 12 * HOUR, end])
        # at a border: one event before it, two in what begins there
        self.assertEqual(found, {
            harness.iso(start - DAY): 1, harness.iso(start): 2 + 3 + 1,
            harness.iso(end): 2})

    def test_day_of_23_hours(self):
        self.check_day("Europe/Paris", 0, 23)

    def test_day_of_25_hours(self):
        self.check_day("Europe/Paris", 1, 25)

    @drill.long_form
    def test_day_of_half_an_hour_less(self):
        self.check_day("Australia/Lord_Howe", 1, 23.5)

    def test_hours_that_come_twice(self):
        """02:00 to 03:00 twice: two buckets, of an hour each."""
        change = datetime.datetime(2024, 10, 27, 1, tzinfo=(
            datetime.timezone.utc)).timestamp()
        found = self.walk("Europe/Paris", "PT1H",
                          [change - HOUR, change, change + HOUR])
        self.assertEqual(found, {
            harness.iso(change - 2 * HOUR): 1, harness.iso(change - HOUR): 3,
            harness.iso(change): 3, harness.iso(change + HOUR): 2})


if __name__ == "__main__":
    drill.main()
