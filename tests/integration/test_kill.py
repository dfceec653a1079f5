#!/usr/bin/env python3
"""Processes are killed (kill -9) under loads of all kinds: nothing answered
200 is lost, and nothing is doubled but what the client itself sent twice. At
each step, and at random: tests/fault/test_kill_points.py, test_random_kills.py.
"""

import os
import random
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

ROUNDS = 6      # more kills in a row and restarts are throttled
BACK_SECONDS = 40


class KillCase(drill.Case):
    time_bound = 180
    data_sources = ["wikipedia", "clicks"]
    properties = {}
    druid_options = ()

    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full", *self.druid_options)
        self.server = self.tranqd(drill.config(
            self.data_sources, self.druid.url, properties=self.properties))

    def begin(self, **options):
        options.setdefault("rate", 20000)
        return self.start_load(
            self.server, data_source=",".join(self.data_sources),
            compare=self.druid.url, retry=True, connections=8, seconds=600,
            events=None, **options)

    def end(self, running):
        wait_for(lambda: any(r["counters"]["answers2xx"] for r in
                             self.server.status()["receivers"]),
                 "an answer 200", BACK_SECONDS)
        running.stop()
        report = self.check_load(running.finish())
        self.assertGreater(report["events"]["answered"], 0)
        self.check_whole(self.server, self.druid, killed=True)
        return report

    def goes_on(self):
        """Druid gets more than it has now."""
        had = self.druid.stats()["events"]
        wait_for(lambda: self.druid.stats()["events"] > had,
                 "events go on", BACK_SECONDS)

    def await_back(self, **was):
        """The process of that pid has a successor that is ready."""
        def is_back():
            status = self.server.status()
            all_of = (status["receivers"]
                      + [d["worker"] for d in status["dataSources"]])
            return all(c["state"] == "ready" and c["pid"] not in was.values()
                       for c in all_of)
        wait_for(is_back, "the killed one is back", BACK_SECONDS)


class TestWorker(KillCase):
    def test_killed_once(self):
        running = self.begin()
        self.goes_on()
        pid = self.server.kill_worker("wikipedia")
        self.await_back(pid=pid)
        self.goes_on()
        self.end(running)
        death = self.server.data_source("wikipedia")["worker"]["lastDeath"]
        self.assertEqual(death["pid"], pid)
        self.assertIn("9", death["how"])

    def test_killed_again_and_again(self):
        """At any moment of its work; throttled restarts are waited for."""
        self.hunt(self.begin())

    def test_killed_with_large_requests(self):
        self.hunt(self.begin(batch=2000, rate=100000))

    def test_killed_with_small_requests(self):
        self.hunt(self.begin(batch=1, rate=3000))

    def test_killed_with_async_requests(self):
        self.hunt(self.begin(**{"async": True}))

    def hunt(self, running):
        chance = random.Random(1)
        for n in range(ROUNDS):
            self.goes_on()
            time.sleep(chance.random() * 0.05)  # any moment will do
            self.server.kill_worker(self.data_sources[n % 2])
        self.end(running)

    def test_killed_in_all_phases_of_a_push(self):
        """While Druid is slow, so that a push is always on its way."""
        self.druid.fault("slow", ms=30)
        self.hunt(self.begin(batch=500))


class TestWorkerWithReplicants(TestWorker):
    properties = {"task.partitions": 2, "task.replicants": 2}


class TestReceiver(KillCase):
    def test_others_go_on(self):
        """A connection of the other receiver does not notice."""
        clients = []
        for _ in range(50):
            client = self.server.client()
            self.addCleanup(client.close)
            client.request("GET", "/")
            clients.append(client)
        pid = self.server.kill_receiver(0)
        alive = 0
        for n, client in enumerate(clients):
            try:
                answer = client.connection.sock and client.post(
                    "wikipedia", harness.events(1, run=f"o{n}"))
                alive += answer.status == 200
            except OSError:
                pass
            except Exception as e:
                self.assertIn("Remote", type(e).__name__)
        self.assertGreater(alive, 0)
        self.assertLess(alive, 50)
        self.await_back(pid=pid)
        self.check_whole(self.server, self.druid)


class TestRestarts(KillCase):
    def test_all_at_once_while_druid_is_away(self):
        """All that was answered waits in the spool over many restarts."""
        self.druid.fault("refuse", where="all")
        running = self.begin(batch=100, rate=5000, **{"async": True})
        for _ in range(3):
            had = self.server.accounts("wikipedia")["spool"]
            self.await_spooled(self.server, "wikipedia", had + 500)
            self.check_accounts(self.server)
            self.server.kill_all()
            self.server.start()
            self.check_accounts(self.server)
            self.assertGreaterEqual(
                self.server.accounts("wikipedia")["spool"], had + 500)
        self.druid.fault("none")
        self.end(running)

    def test_good_restarts(self):
        """SIGTERM and a new start, under load."""
        running = self.begin()
        for _ in range(3):
            self.goes_on()
            self.server.stop()
            self.assertFalse(harness.is_listening(self.server.port))
            self.server.start()
        self.end(running)


class TestAccounts(KillCase):
    """They add up at each look, whatever happens."""

    def test_over_restarts(self):
        sent = 0
        for n, end in enumerate((self.server.stop, self.server.kill,
                                 self.server.kill_all)):
            events = harness.events(100, run=f"r{n}")
            old = harness.events(7, run=f"old{n}", at=0)
            self.assertEqual(
                self.server.post("wikipedia", events + old).sent, 100)
            self.await_drained(self.server)
            sent += 100
            before = self.server.accounts("wikipedia")
            self.assertEqual((before["received"], before["sent"]),
                             (sent + 7 * (n + 1), sent))
            self.assertEqual(before["dropped"]["window"], 7 * (n + 1))
            end()
            self.server.start()
            self.assertEqual(self.server.accounts("wikipedia"), before)

    def test_at_each_look_under_load_and_kills(self):
        running = self.begin()
        end = time.monotonic() + (60 if drill.LONG else 4)
        looks, killed_at = 0, time.monotonic()
        while time.monotonic() < end or looks < 50:
            self.check_accounts(self.server)
            looks += 1
            if time.monotonic() - killed_at > 1:
                self.server.kill_worker("wikipedia")
                killed_at = time.monotonic()
        self.end(running)


if __name__ == "__main__":
    drill.main()
