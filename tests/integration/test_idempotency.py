#!/usr/bin/env python3
"""Idempotency-Key: a request that is sent again is stored once and answered as
the first was, whoever is killed between the two."""

import gzip
import json
import os
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

BACK_SECONDS = 30
DAYS = 86400


class KeyCase(drill.Case):
    data_sources = ["a"]
    properties = {}
    druid_options = ()
    how = {}

    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full", *self.druid_options)
        self.server = self.tranqd(self.document())
        self.wanted = {ds: [] for ds in self.data_sources}

    def document(self, **properties):
        return drill.config(
            [drill.data_source(d, **self.how) for d in self.data_sources],
            self.druid.url, properties=dict(
                {"tranqd.receivers": 2, "druidBeam.firehoseRetryPeriod":
                 "PT20S"}, **dict(self.properties, **properties)))

    def events(self, count=10, ds="a", **how):
        events = harness.events(
            count, run=f"{ds}{len(self.wanted[ds])}", **how)
        self.wanted[ds] += drill.ids(events)
        return events

    def send(self, key, events, path="/v1/post/a", headers=None):
        """On a connection of its own: whichever receiver takes it."""
        body = events if isinstance(events, bytes) else json.dumps(
            events).encode()
        return self.server.request("POST", path, body, dict(
            {"Content-Type": "application/json", "Idempotency-Key": key},
            **(headers or {})))

    def begin(self, *args, **how):
        """In the background; its answer is in .answers afterwards."""
        answers = []

        def run():
            try:
                answers.append(self.send(*args, **how))
            except OSError as e:
                answers.append(e)
        thread = threading.Thread(target=run, daemon=True)
        thread.answers = answers
        thread.start()
        return thread

    def end(self, *threads):
        for thread in threads:
            thread.join(60)
            self.assertFalse(thread.is_alive())
        return [t.answers[0] for t in threads]

    def until_200(self, *args, **how):
        """As a client does that wants to be sure."""
        answers = []

        def is_answered():
            try:
                answers.append(self.send(*args, **how))
            except OSError:
                return False
            self.assertIn(answers[-1].status, (200, 503), answers[-1])
            return answers[-1].status == 200
        wait_for(is_answered, "an answer 200", 60)
        return answers[-1]

    def is_replayed(self, answer):
        return answer.headers.get("Idempotent-Replayed") == "true"

    def check_same(self, first, again):
        self.assertEqual((first.status, first.json()), (200, again.json()), again)
        for name in "X-Tranq-Dropped", "X-Tranq-Late", "X-Tranq-Spooled":
            self.assertEqual(first.headers.get(name),
                             again.headers.get(name), name)
        self.assertTrue(self.is_replayed(again), again)

    def check_once(self, killed=False):
        for ds, wanted in self.wanted.items():
            self.check_ids(self.druid, ds, wanted)
            self.await_drained(self.server, ds)
        self.check_whole(self.server, self.druid, killed=killed)

    def check_twice(self, count):
        """So many events were stored twice, as they should be."""
        self.await_drained(self.server)
        self.check_ids(self.druid, "a", self.wanted["a"], doubled=count)
        self.assertEqual(len(self.druid.events("a")),
                         len(self.wanted["a"]) + count)

    def counter(self, name, ds="a"):
        return self.counts(self.server, ds)[name]

    def await_back(self):
        wait_for(self.server._is_ready, "all serve", BACK_SECONDS)


class TestRepeats(KeyCase):
    def test_in_sequence(self):
        events = self.events(100)
        first = self.send("k1", events)
        self.assertEqual((first.received, first.sent), (100, 100), first)
        self.assertFalse(self.is_replayed(first))
        for _ in range(6):      # of both receivers, most likely
            self.check_same(first, self.send("k1", events))
        wait_for(lambda: self.counter("idempotentRepeats") == 6, "repeats")
        self.assertEqual(self.counter("idempotencyKeys"), 1)
        self.assertEqual(self.counter("received"), 100)
        self.check_once()

    def test_the_key_counts_not_the_body(self):
        events = self.events(5)
        self.assertEqual(self.send("one", events).sent, 5)
        second = self.send("two", events)
        self.assertEqual(second.sent, 5)
        self.assertFalse(self.is_replayed(second))
        self.check_twice(5)

    def test_without_a_key_nothing_is_known(self):
        events = self.events(5)
        for _ in range(2):
            self.assertEqual(self.server.post("a", events).sent, 5)
        self.check_twice(5)
        self.assertEqual(self.counter("idempotencyKeys"), 0)

    def test_another_body_is_refused(self):
        first = self.send("k", self.events(5))
        self.assertEqual(first.status, 200, first)
        other = self.send("k", harness.events(5, run="other"))
        self.assertEqual(other.status, 422, other)
        self.assertIn("another body", other.text)
        wait_for(lambda: self.counter("idempotentRefused") == 1, "refused")
        self.check_once()

    def test_what_is_a_key(self):
        events = self.events(3)
        self.assertEqual(self.send('"k 1"', events).sent, 3)
        self.assertTrue(self.is_replayed(self.send("k 1", events)))
        for bad in "", '""', "x" * 256, "\xe4":
            answer = self.send(bad, events)
            self.assertEqual(answer.status, 400, (bad, answer))
            self.assertIn("Idempotency-Key", answer.text)
        body = b"[]"
        answer = harness.raw(self.server.port, (
            b"POST /v1/post/a HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 1\r\n"
            b"Idempotency-Key: 2\r\nContent-Type: application/json\r\n"
            b"Content-Length: 2\r\nConnection: close\r\n\r\n" + body))
        self.assertIn(b" 400 ", answer)
        self.check_once()

    def test_codings_of_one_body(self):
        events = self.events(50)
        plain = json.dumps(events).encode()
        first = self.send("k", plain)
        for level in 1, 9:
            self.check_same(first, self.send(
                "k", gzip.compress(plain, level),
                headers={"Content-Encoding": "gzip"}))
        self.check_once()

    def test_other_ways_to_be_answered(self):
        events = self.events(20)
        first = self.send("k", events, "/v1/post/a?async=true")
        self.assertEqual((first.received, first.sent), (20, 0), first)
        again = self.send("k", events, "/v1/post/a?async=true")
        self.check_same(first, again)
        # who waits for Druid hears of what the other did not wait for
        self.assertEqual(self.send("k", events).sent, 20)
        detail = self.send("k", events, "/v1/post/a?detail=true")
        self.assertEqual(detail.json()["result"],
                         {"received": 20, "sent": 20, "spooled": 0,
                          "dropped": []})
        self.check_once()

    def test_dropped_events(self):
        old = harness.events(3, run="old", at=time.time() - 5 * DAYS)
        events = old + self.events(7)
        first = self.send("k", events)
        self.assertEqual((first.received, first.sent), (10, 7), first)
        self.assertEqual(first.headers["X-Tranq-Dropped"], "3; window=3")
        self.check_same(first, self.send("k", events))
        only = self.send("dropped", old)
        self.assertEqual((only.received, only.sent), (3, 0), only)
        self.check_same(only, self.send("dropped", old))
        self.assertEqual(self.counter("droppedWindow"), 6)
        self.check_once()

    def test_empty_requests(self):
        for _ in range(2):
            self.assertEqual(self.send("k", b"[]").received, 0)
        self.assertEqual(self.counter("idempotencyKeys"), 0)

    def test_large_requests(self):
        events = self.events(30000)
        first = self.send("k", events)
        self.assertEqual((first.received, first.sent), (30000, 30000))
        self.check_same(first, self.send("k", events))
        self.check_once()


class TestAtOnce(KeyCase):
    def test_many_at_once(self):
        events = self.events(200)
        answers = self.end(*[self.begin("k", events) for _ in range(8)])
        for a in answers:
            self.assertEqual((a.status, a.received), (200, 200), a)
        self.assertEqual(sum(not self.is_replayed(a) for a in answers), 1)
        self.check_once()

    def test_while_the_first_is_on_its_way(self):
        """Both wait for Druid, and hear the same."""
        self.druid.fault("overlord-away")
        events = self.events(50)
        first = self.begin("k", events)
        self.await_spooled(self.server, "a", 50)
        again = self.begin("k", events)
        wait_for(lambda: self.counter("idempotentRepeats") == 1, "the repeat")
        self.assertEqual((first.answers, again.answers), ([], []))
        self.druid.fault("none")
        first, again = self.end(first, again)
        self.assertEqual(first.sent, 50)
        self.check_same(first, again)
        self.check_once()

    def test_more_than_may_wait(self):
        """The one that waits longest is told what is known."""
        self.druid.fault("overlord-away")
        events = self.events(50)
        first = self.begin("k", events)
        self.await_spooled(self.server, "a", 50)
        waiting = []
        for n in range(5):
            waiting.append(self.begin("k", events))
            wait_for(lambda: self.counter("idempotentRepeats") == n + 1,
                     "the repeat")
        told, = self.end(waiting[0])
        self.assertEqual((told.status, told.sent), (200, 0), told)
        self.assertEqual(told.headers["X-Tranq-Spooled"], "50")
        self.druid.fault("none")
        for a in self.end(first, *waiting[1:]):
            self.assertEqual((a.status, a.sent), (200, 50), a)
        self.check_once()


class TestSeveral(KeyCase):
    data_sources = ["a", "b", "c"]

    def test_one_request_for_all(self):
        events = [dict(e, dataSource=ds) for n in range(20)
                  for ds in self.data_sources
                  for e in self.events(1, ds)]
        first = self.send("k", events, "/v1/post")
        self.assertEqual((first.received, first.sent), (60, 60), first)
        for _ in range(3):
            self.check_same(first, self.send("k", events, "/v1/post"))
        self.check_once()

    def test_a_key_is_of_its_data_source(self):
        for ds in "a", "b":
            events = self.events(4, ds)
            answer = self.send("k", events, f"/v1/post/{ds}")
            self.assertEqual(answer.sent, 4, answer)
            self.assertFalse(self.is_replayed(answer))
        self.check_once()

    def test_one_worker_dies_between(self):
        events = [dict(e, dataSource=ds) for ds in self.data_sources
                  for e in self.events(10, ds)]
        self.druid.fault("overlord-away")
        first = self.begin("k", events, "/v1/post")
        for ds in self.data_sources:
            self.await_spooled(self.server, ds, 10)
        self.server.kill_receiver(0)
        self.server.kill_receiver(1)
        self.server.kill_worker("b")
        self.end(first)
        self.await_back()
        self.druid.fault("none")
        again = self.until_200("k", events, path="/v1/post")
        self.assertEqual((again.received, again.sent), (30, 30), again)
        self.check_once(killed=True)


class TestKills(KeyCase):
    def each(self, kill):
        """Killed after the answer, and killed before it."""
        events = self.events(30)
        first = self.send("before", events)
        self.assertEqual(first.sent, 30, first)
        kill()
        self.check_same(first, self.until_200("before", events))
        self.druid.fault("overlord-away")
        events = self.events(30)
        waiting = self.begin("amid", events)
        self.await_spooled(self.server, "a", 30)
        kill()
        again = self.begin("amid", events)
        self.druid.fault("none")
        self.end(waiting, again)
        last = self.until_200("amid", events)
        self.assertEqual((last.received, last.sent), (30, 30), last)
        self.check_once(killed=True)

    def kill_receivers(self):
        for n in range(2):
            self.server.kill_receiver(n)
        self.await_back()

    def test_receivers(self):
        self.each(self.kill_receivers)

    def test_worker(self):
        def kill():
            self.server.kill_worker("a")
            self.await_back()
        self.each(kill)

    def test_supervisor(self):
        def kill():
            self.server.kill()
            self.server.start()
        self.each(kill)

    def test_all(self):
        def kill():
            self.server.kill_all()
            self.server.start()
        self.each(kill)

    def test_restart(self):
        """It does not wait for Druid, which is away."""
        ok, text = self.server.reload(
            self.document(**{"tranqd.drainTimeout": "PT0.5S"}))
        self.assertTrue(ok, text)
        self.each(self.server.restart)

    def test_who_waits_hears_of_it_from_the_next_worker(self):
        self.druid.fault("overlord-away")
        events = self.events(30)
        first = self.begin("k", events)
        self.await_spooled(self.server, "a", 30)
        again = self.begin("k", events)
        wait_for(lambda: self.counter("idempotentRepeats") == 1, "the repeat")
        self.server.kill_worker("a")
        self.await_back()
        self.druid.fault("none")
        first, again = self.end(first, again)
        self.assertEqual((first.sent, again.sent), (30, 30), (first, again))
        self.check_once(killed=True)


class TestLate(KeyCase):
    properties = {"late.policy": "archive", "archive.sealPeriod": "PT0.1S"}

    def test_late_events(self):
        late = harness.events(4, run="late", at=time.time() - 5 * DAYS)
        events = self.events(6) + late
        first = self.send("k", events)
        self.assertEqual((first.received, first.sent), (10, 6), first)
        self.assertEqual(first.headers["X-Tranq-Late"], "4; archive=4")
        self.check_same(first, self.send("k", events))
        self.assertEqual(self.counter("late"), 4)
        wait_for(lambda: self.counter("archived") == 4, "the archive")
        self.check_same(first, self.send("k", events))
        self.check_ids(self.druid, "a", self.wanted["a"])

    def test_what_is_late_only_at_the_repeat(self):
        """The window has moved on: what the first request brought in time is
        not brought once more as late."""
        self.server.stop()
        self.server.write(drill.config([drill.data_source(
            "a", segment="SECOND", window="PT2S")], self.druid.url,
            properties=dict(self.properties, **{
                "druidBeam.firehoseGracePeriod": "PT0S"})))
        self.server.start()
        events = self.events(5)
        first = self.send("k", events)
        self.assertEqual(first.sent, 5, first)
        time.sleep(4)   # what is awaited is the clock
        again = self.send("k", events)
        self.check_same(first, again)
        self.assertEqual(self.counter("late"), 0)
        self.check_ids(self.druid, "a", self.wanted["a"])


class TestRefusedRows(KeyCase):
    def test_a_dead_letter_is_counted_as_the_first_time(self):
        self.druid.fault("bad-row", text="poison")
        events = self.events(20)
        events[7]["page"] = "poison"
        del self.wanted["a"][7]
        first = self.send("k", events)
        self.assertEqual((first.received, first.sent), (20, 19), first)
        wait_for(lambda: self.counter("deadLetters") == 1, "a dead letter")
        self.check_same(first, self.send("k", events))
        self.check_ids(self.druid, "a", self.wanted["a"])
        self.druid.fault("none")
        ok = self.server.tranqctl("deadletters", "requeue", "a",
                                   "--all")
        self.assertEqual(ok.returncode, 0, ok)
        self.wanted["a"].append(events[7]["id"])
        self.check_ids(self.druid, "a", self.wanted["a"])
        self.check_same(first, self.send("k", events))
        self.check_ids(self.druid, "a", self.wanted["a"])


class TestBounds(KeyCase):
    def test_too_many_keys(self):
        ok, text = self.server.reload(
            self.document(**{"http.idempotencyKeys": 3}))
        self.assertTrue(ok, text)
        events = {k: self.events(2) for k in "abcdef"}
        for k, e in events.items():
            self.assertEqual(self.send(k, e).sent, 2)
        wait_for(lambda: self.counter("idempotencyKeys") == 3, "three keys")
        self.assertEqual(self.counter("idempotencyKeysForgotten"), 3)
        self.assertIn("http.idempotencyKeys", self.server.log())
        self.assertTrue(self.is_replayed(self.send("f", events["f"])))
        self.check_once()
        # the oldest is a new one
        self.assertFalse(self.is_replayed(self.send("a", events["a"])))
        self.check_twice(2)

    def test_keys_that_are_over(self):
        events = self.events(2)
        self.assertEqual(self.send("k", events).sent, 2)
        self.assertTrue(self.is_replayed(self.send("k", events)))
        ok, text = self.server.reload(
            self.document(**{"http.idempotencyWindow": "PT0.5S"}))
        self.assertTrue(ok, text)

        def is_new():
            answer = self.send("k", events)
            self.assertEqual(answer.sent, 2, answer)
            return not self.is_replayed(answer)
        wait_for(is_new, "it is over")
        self.check_twice(2)

    def test_switched_off(self):
        ok, text = self.server.reload(
            self.document(**{"http.idempotencyWindow": "PT0S"}))
        self.assertTrue(ok, text)
        events = self.events(2)
        for _ in range(2):
            answer = self.send("k", events)
            self.assertEqual(answer.sent, 2, answer)
            self.assertFalse(self.is_replayed(answer))
        self.check_twice(2)


class TestSpool(KeyCase):
    def test_verify_and_compact(self):
        events = self.events(20)
        first = self.send("k", events)
        self.assertEqual(first.sent, 20, first)
        self.check_once()
        self.server.stop()
        for verb in "verify", "compact", "verify":
            done = self.server.tranqctl("spool", verb, "a")
            self.assertEqual(done.returncode, 0, done)
        self.server.start()
        self.check_same(first, self.send("k", events))
        self.check_once()


if __name__ == "__main__":
    drill.main()
