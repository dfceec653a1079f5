#!/usr/bin/env python3
"""Processes are killed (kill -9) under load: nothing answered 200 is lost, and
nothing is doubled but what the client itself sent twice."""

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
SERIES = 20 if drill.LONG else 1    # each behind a restart of the daemon
BACK_SECONDS = 20


class KillCase(drill.Case):
    time_bound = 180 if not drill.LONG else 1200
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
        for n in range(ROUNDS * SERIES):
            if n > 0 and n % ROUNDS == 0:
                self.server.restart()
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
    def test_killed_again_and_again(self):
        running = self.begin()
        for n in range(ROUNDS):
            self.goes_on()
            self.server.kill_receiver(n % 2)
        self.end(running)

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


class TestBoth(KillCase):
    def test_workers_and_receivers_in_turn(self):
        running = self.begin()
        chance = random.Random(2)
        for n in range(ROUNDS):
            self.goes_on()
            time.sleep(chance.random() * 0.05)
            if chance.random() < 0.5:
                self.server.kill_worker(chance.choice(self.data_sources))
            else:
                self.server.kill_receiver(chance.randrange(2))
        self.end(running)

    def test_all_children_at_once(self):
        running = self.begin()
        for _ in range(2):
            self.goes_on()
            pids = harness.children(self.server.process.pid)
            for pid in pids:
                harness.kill(pid)
            harness.wait_gone(pids)
        self.end(running)


class TestSupervisor(KillCase):
    def restarts(self, kill, rounds):
        running = self.begin()
        for n in range(rounds):
            self.goes_on()
            kill()
            self.assertFalse(harness.is_listening(self.server.port))
            self.server.start()
        return self.end(running)

    def test_supervisor(self):
        """Its children bring what they have to the spool and go."""
        self.restarts(self.server.kill, 3 * SERIES)

    def test_supervisor_and_started_again_at_once(self):
        """As an init system does, while children still see to the end."""
        def kill():
            self.server.process.kill()
            self.server.process.wait()
            self.server.process = None
        running = self.begin()
        for n in range(3 * SERIES):
            self.goes_on()
            kill()
            self.server.start()
        self.end(running)

    def test_all_at_once(self):
        """As a power cut, but for the disk's cache."""
        self.restarts(self.server.kill_all, 3 * SERIES)

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
        self.restarts(self.server.stop, 3 * SERIES)


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
        while time.monotonic() < end:
            self.check_accounts(self.server)
            looks += 1
            if time.monotonic() - killed_at > 1:
                self.server.kill_worker("wikipedia")
                killed_at = time.monotonic()
        self.end(running)
        self.assertGreater(looks, 50)


if __name__ == "__main__":
    drill.main()
