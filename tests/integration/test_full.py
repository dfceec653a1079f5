#!/usr/bin/env python3
"""Full rings and full spools: clients wait or are told so at once, memory and
disk stay bounded, and when Druid is back everything drains."""

import os
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

SPOOL = 1 << 20
FAULTS = {"full": {}, "hang": {}, "overlord-away": {}, "refuse":
          {"where": "all"}}


class FullCase(drill.Case):
    properties = {}

    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full")
        self.server = self.tranqd(drill.config(
            ["wikipedia", "other"], self.druid.url, properties=dict({
                "spool.bytesMax": SPOOL, "tranqd.ringBytes": 65536,
                "http.blockTimeout": "PT1S",
                "druidBeam.firehoseRetryPeriod": "PT10S"},
                **self.properties)))
        self.sent = []
        self.at = 0

    def events(self, count=100):
        self.at += count
        return harness.events(count, self.at - count)

    def fill(self, **how):
        """Posts until it is refused; the answer to that."""
        for _ in range(2000):
            events = self.events()
            answer = self.server.post("wikipedia", events, is_async=True,
                                      **how)
            if answer.status != 200:
                self.assertEqual(answer.status, 503, answer)
                return answer
            self.sent += drill.ids(events)
        self.fail("it never gets full")

    def check_full(self):
        self.check_accounts(self.server)
        # the receivers hear of it a commit before the status
        wait_for(lambda: self.counts(self.server, "wikipedia")["stopped"]
                 == 1, "the status says so")
        c = self.counts(self.server, "wikipedia")
        self.assertLessEqual(c["spoolBytes"], SPOOL)
        # nobody else notices
        self.assertEqual(self.server.post(
            "other", harness.events(1, run=f"other{self.at}"),
            is_async=True).status, 200)

    def check_drains(self):
        self.druid.fault("none")
        self.check_ids(self.druid, "wikipedia", self.sent)
        self.check_whole(self.server, self.druid)
        self.check_no_crash(self.server)
        # and it goes on as before
        events = self.events()
        self.assertEqual(self.server.post("wikipedia", events).sent, 100)


class TestRefusing(FullCase):
    """tranquility.blockOnFull false: 503 with Retry-After at once."""
    properties = {"tranquility.blockOnFull": False,
                  "http.blockTimeout": "PT20S"}

    def check(self, fault):
        self.druid.fault(fault, **FAULTS[fault])
        began = time.monotonic()
        answer = self.fill()
        self.assertEqual(answer.text,
                         "Buffer full for dataSource 'wikipedia'\n")
        self.assertGreater(int(answer.headers["Retry-After"]), 0)
        began = time.monotonic()
        answer = self.server.post("wikipedia", self.events())
        self.assertEqual(answer.status, 503)
        self.assertLess(time.monotonic() - began, 10)
        self.check_full()
        wait_for(lambda: self.server.data_source("wikipedia")["requests"][
            "refusedFull"] >= 2, "both are counted")
        self.check_drains()

    def test_full(self):
        self.check("full")

    def test_hang(self):
        self.check("hang")

    def test_overlord_away(self):
        self.check("overlord-away")

    def test_refuse(self):
        self.check("refuse")

    def test_larger_than_the_ring(self):
        """It could never be taken whole."""
        answer = self.server.post("wikipedia", self.events(1000))
        self.assertEqual(answer.status, 413)
        self.assertIn("tranqd.ringBytes", answer.text)

    def test_restart_of_a_full_one(self):
        self.druid.fault("overlord-away")
        self.fill()
        for end in self.server.kill_all, self.server.kill:
            end()
            self.server.start()
            self.check_accounts(self.server)
            for event in range(3):
                answer = self.server.post("wikipedia", self.events(),
                                          is_async=True)
                self.assertIn(answer.status, (200, 503))
                if answer.status == 200:
                    self.sent += [f"e-{n}" for n in
                                  range(self.at - 100, self.at)]
        self.druid.fault("none")
        # what was in the ring of a refused answer may come as well
        self.await_drained(self.server)
        found = set(drill.ids(self.druid.events("wikipedia")))
        self.assertEqual(set(self.sent) - found, set())


class TestBlocking(FullCase):
    """tranquility.blockOnFull true (the default)."""

    def check(self, fault):
        self.druid.fault(fault, **FAULTS[fault])
        answer = self.fill()
        self.assertEqual(answer.text,
                         "Buffer full for dataSource 'wikipedia'\n")
        self.assertGreater(int(answer.headers["Retry-After"]), 0)
        began = time.monotonic()
        answer = self.server.post("wikipedia", self.events())
        self.assertEqual(answer.status, 503)
        took = time.monotonic() - began
        self.assertGreater(took, 0.8)
        self.assertLess(took, 9)  # and not druidBeam.firehoseRetryPeriod
        self.check_full()
        self.check_drains()

    def test_full(self):
        self.check("full")

    def test_hang(self):
        self.check("hang")

    def test_overlord_away(self):
        self.check("overlord-away")


class TestWaiting(FullCase):
    properties = {"http.blockTimeout": "PT30S",
                  "druidBeam.firehoseRetryPeriod": "PT60S"}

    def waiting(self):
        return sum(r["counters"]["requests"] for r in
                   self.server.status()["receivers"]) - sum(
            r["counters"]["answers2xx"] + r["counters"]["answers4xx"]
            + r["counters"]["answers5xx"] for r in
            self.server.status()["receivers"])

    def test_goes_on_when_room_comes(self):
        """Many clients wait; all are answered 200 when Druid is back."""
        self.druid.fault("full")
        answers, threads = [], []
        batches = [self.events() for _ in range(40)]

        def work(mine, is_async):
            with self.server.client() as client:
                for events in mine:
                    answers.append(client.post("wikipedia", events,
                                               is_async=is_async))
        for n in range(8):
            thread = threading.Thread(
                target=work, args=(batches[n::8], n % 2 == 0))
            thread.start()
            threads.append(thread)
        more = []

        def flood():
            with self.server.client() as client:
                while len(more) < 200:
                    events = harness.events(100, len(more) * 100, run="f")
                    more.append(events)
                    answers.append(client.post("wikipedia", events,
                                               is_async=True))
        threads.append(threading.Thread(target=flood))
        threads[-1].start()
        wait_for(lambda: self.counts(self.server, "wikipedia")["stopped"]
                 == 1, "the spool is full")
        had = len(answers)
        wait_for(lambda: self.waiting() > 4, "clients wait")
        self.check_accounts(self.server)
        self.assertLess(had, 240)
        self.druid.fault("none")
        for thread in threads:
            thread.join(60)
        self.assertEqual({a.status for a in answers}, {200})
        self.assertEqual(len(answers), 240)
        for events in batches + more:
            self.sent += drill.ids(events)
        self.check_drains()

    def test_larger_than_the_ring(self):
        """Piece by piece."""
        events = self.events(5000)
        answer = self.server.post("wikipedia", events)
        self.assertEqual((answer.status, answer.sent), (200, 5000), answer)
        self.sent += drill.ids(events)
        self.check_drains()

    def test_one_goes_away_while_it_waits(self):
        self.druid.fault("full")
        fill = []
        with self.server.client(timeout=1) as client:
            try:
                for _ in range(1000):
                    fill.append(self.events())
                    client.post("wikipedia", fill[-1], is_async=True)
            except TimeoutError:
                pass
        self.assertLess(len(fill), 1000)
        for events in fill[:-1]:
            self.sent += drill.ids(events)
        self.druid.fault("none")
        self.await_drained(self.server)
        found = set(drill.ids(self.druid.events("wikipedia")))
        self.assertEqual(set(self.sent) - found, set())

    def test_reload_with_more_room(self):
        """spool.bytesMax is raised while clients wait."""
        self.druid.fault("overlord-away")
        running = self.start_load(
            self.server, data_source="wikipedia", events=10000, batch=100,
            connections=4, compare=self.druid.url, **{"async": True})
        wait_for(lambda: self.counts(self.server, "wikipedia")["stopped"]
                 == 1, "the spool is full")
        document = self.server.document
        document["properties"]["spool.bytesMax"] = "64MiB"
        ok, text = self.server.reload(document)
        self.assertTrue(ok, text)
        self.await_spooled(self.server, "wikipedia", 9000)
        self.druid.fault("none")
        report = self.check_load(running.finish())
        self.assertEqual(report["load"]["answers"], {"200": 100})
        self.check_whole(self.server, self.druid)

    def test_killed_while_full(self):
        self.druid.fault("full")
        running = self.start_load(
            self.server, data_source="wikipedia", events=10000, batch=100,
            connections=4, compare=self.druid.url, retry=True,
            **{"async": True})
        for _ in range(3):
            wait_for(lambda: self.counts(self.server, "wikipedia")["stopped"]
                     == 1, "the spool is full")
            self.server.kill_worker("wikipedia")
            self.server.kill_receiver(0)
            wait_for(lambda: all(
                c["state"] == "ready" for c in
                self.server.status()["receivers"]
                + [d["worker"] for d in self.server.status()["dataSources"]]))
        self.druid.fault("none")
        self.check_load(running.finish())
        self.check_whole(self.server, self.druid, killed=True)


class TestSlowDruid(FullCase):
    """A Druid slower than its clients: they are slowed down, no one fails."""
    properties = {"http.blockTimeout": "PT60S",
                  "druidBeam.firehoseRetryPeriod": "PT60S"}

    def test_load(self):
        druid = self.sandbox("--buffer", "1000", "--drain", "10000")
        server = self.tranqd(drill.config(
            ["wikipedia"], druid.url, properties=dict({
                "spool.bytesMax": SPOOL, "tranqd.ringBytes": 65536},
                **self.properties)), name="second")
        report = self.load(server, druid, events=30000, batch=100,
                           connections=20, **{"async": True})
        self.assertEqual(report["load"]["answers"], {"200": 300})
        self.check_whole(server, druid)


if __name__ == "__main__":
    drill.main()
