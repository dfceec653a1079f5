#!/usr/bin/env python3
"""delivery.mode auto: the way that this Druid takes, remembered, and changed
when Druid becomes another one; each event arrives once."""

import concurrent.futures
import itertools
import os
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
import liar  # noqa: E402
from auto_case import DS, AutoCase  # noqa: E402
from harness import wait_for  # noqa: E402

LISTEN = {"pull.listen": "127.0.0.1:0", "pull.instance": "tq1"}


class TestChoice(AutoCase):
    def test_push(self):
        """Up to Druid 30: as ever."""
        self.start()
        self.assertEqual(self.post(10, "a", is_async=False).sent, 10)
        d = self.await_mode("push", "Druid 30.0.1 has realtime tasks")
        self.assertEqual((d["auto"], d["druid"]), (True, "30.0.1"))
        self.assertNotIn("better", d)
        late = self.server.post(DS, harness.events(1, at=0))
        self.assertEqual(late.headers["X-Tranq-Dropped"], "1; window=1")
        self.check_all()
        self.assertEqual(len(self.tasks("index_realtime")), 1)
        self.assertEqual(self.note(), "push 30.0.1 kafka\n")
        self.assertIn("delivery    push (auto): Druid 30.0.1 has realtime",
                      self.server.tranqctl("status").stdout)
        self.assertEqual(self.server.log().count("delivery.mode auto"), 1)

    def test_append_without_the_extension(self):
        self.druid.druid("31.0.1", kafka=False)
        self.start()
        d = self.await_mode("append", "Kafka ingestion is not loaded")
        self.assertIn("load druid-kafka-indexing-service", d["better"])
        # answered at the commit, of any time
        self.assertEqual(self.post(5, "a", is_async=False).sent, 5)
        self.assertEqual(self.post(5, "old", hours=99, is_async=False).sent, 5)
        self.check_all()
        self.assertEqual(self.tasks("index_realtime"), [])
        self.assertEqual(self.note(), "append 31.0.1\n")
        self.assertIn("delivery.mode auto: append from now on: Druid 31.0.1",
                      self.server.log())
        self.assertIn("load druid-kafka-indexing-service",
                      self.server.tranqctl("status").stdout)

    def test_what_is_given_is_not_asked_for(self):
        self.druid.druid("31.0.1", kafka=False)
        self.start(**{"delivery.mode": "push"})
        self.await_mode("push")
        self.post(3, "a")
        wait_for(lambda: "index_realtime" in self.server.log())
        self.assertEqual(self.delivery(), {"mode": "push", "auto": False})
        self.assertEqual(self.note(), "push\n")


class TestDiscovery(drill.ZooKeeperCase):
    def test_by_discovery(self):
        self.druid.druid("31.0.1", kafka=False)
        server = self.tranqd(drill.config(
            [DS], zookeeper=self.zk.connect,
            properties=dict(self.paths, **AutoCase.properties)))
        events = harness.events(5)
        self.assertEqual(server.post(DS, events, is_async=True).status, 200)
        self.check_ids(self.druid, DS, drill.ids(events))
        self.assertEqual(
            server.data_source(DS)["beams"]["delivery"]["mode"], "append")


class TestNoAnswer(AutoCase):
    """Who is no Druid that says its version is pushed to as ever."""

    def setUp(self):
        super().setUp()
        self.front = liar.Liar(self.druid)
        self.addCleanup(self.front.close)

    def document(self, **properties):
        return drill.config(
            [harness.data_source(DS)], self.front.url,
            properties=dict(self.properties, **properties))

    def check_lie(self, lie, why):
        self.front.lie(lie, path="/status")
        self.start()
        d = self.await_mode("push", why)
        self.assertIn("set delivery.mode to push, pull or append", d["better"])
        self.assertNotIn("druid", d)
        self.assertEqual(self.post(3, why, is_async=False).sent, 3)
        self.check_all()
        self.assertEqual(self.note(), "push\n")

    def test_forbidden(self):
        self.check_lie(liar.answer(403, "no"), "/status answered 403")

    def test_not_there(self):
        self.check_lie(liar.answer(404, "<html>", "text/html"),
                       "/status answered 404")

    def test_no_druid(self):
        self.check_lie(liar.answer(200, '{"hello":1}'), "no version of Druid")

    def test_a_vendors_numbers(self):
        self.front.lie(liar.answer(200, '{"version":"2024.05.0-iap"}'),
                       path="/status")
        self.start()
        d = self.await_mode("push", "'2024.05.0-iap' does not say which")
        self.assertIn("set delivery.mode", d["better"])
        self.assertEqual(self.post(3, "a", is_async=False).sent, 3)
        self.check_all()

    def test_no_answer_yet(self):
        """Nothing waits for it; what is refused does."""
        asked, answers = threading.Event(), threading.Event()

        def slow(handler):
            asked.set()
            answers.wait(30)
            liar.answer(200, '{"version":"31.0.1"}')(handler)
        self.front.lie(slow, path="/status")
        self.addCleanup(answers.set)
        self.start()
        self.assertTrue(asked.wait(30))
        self.assertEqual(self.post(5, "a", is_async=False).sent, 5)
        self.druid.druid("31.0.1", kafka=False)
        self.druid.fault("kill-task")
        self.post(5, "b")
        wait_for(lambda: "Could not resolve type id" in self.server.log())
        answers.set()
        self.await_mode("append")
        self.check_all()

    def test_known_before(self):
        """It goes on, with what was chosen."""
        self.druid.druid("31.0.1", kafka=False)
        self.start()
        self.await_mode("append")
        self.front.lie(liar.answer(403, "no"), path="/status")
        self.server.restart()
        self.post(3, "a", hours=99)
        self.await_mode("append", "31.0.1")
        wait_for(lambda: "answered 403" in self.delivery().get("silence", ""))
        self.assertIn("append goes on; which Druid it is now cannot be seen",
                      self.server.log())
        self.assertIn("/status answered 403",
                      self.server.tranqctl("status").stdout)
        self.check_all()
        self.front.honest()
        wait_for(lambda: "silence" not in self.delivery())


class TestMemory(AutoCase):
    druid_options = ("--druid", "31.0.1", "--no-kafka")

    def restart_druid(self, *options):
        """Another one at its place, of an empty cluster."""
        self.druid.stop()
        self.druid.options = ("--check", "full", *options)
        return self.druid.start

    def test_overlord_away_at_the_start(self):
        self.start()
        self.await_mode("append")
        back = self.restart_druid(*self.druid_options)
        self.server.restart()
        self.assertEqual(self.delivery()["mode"], "append")
        # receivers know it before the worker does
        self.assertEqual(self.post(5, "a", hours=99, is_async=False).sent, 5)
        self.server.kill_all()
        self.server.start()
        self.assertEqual(self.post(5, "b", hours=99, is_async=False).sent, 5)
        back()
        self.check_all()
        self.assertNotIn("from now on: Druid has not", self.server.log())

    def test_receivers_know_before_the_worker(self):
        """What it will take is not dropped while it cannot be asked."""
        self.start()
        self.await_mode("append")
        self.post(5, "a", hours=99)
        self.check_all()
        self.server.stop()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            with self.without_worker(self.server, DS):
                answer = pool.submit(self.post, 5, "b", hours=99)
                wait_for(lambda: self.server.accounts(DS)["inRings"] == 5)
            answer.result()
        self.check_all()

    def test_fresh_and_overlord_away(self):
        """Events wait as those to push do, and move when it is known."""
        back = self.restart_druid(*self.druid_options)
        self.start(**{"druidBeam.firehoseRetryPeriod": "PT30S"})
        d = self.await_mode("push", "not said its version: http")
        self.assertIn("push goes on", d["better"])
        self.post(20, "a")
        self.await_spooled(self.server, DS, 20)
        self.server.kill_worker(DS)
        self.post(20, "b")
        self.await_spooled(self.server, DS, 40)
        back()
        # one that waits for Druid is answered when they move
        self.assertEqual(self.post(5, "c", is_async=False).sent, 5)
        self.await_mode("append", "31.0.1")
        self.check_all()
        self.assertEqual(self.tasks("index_realtime"), [])
        self.assertNotIn("death", self.server.log().replace(
            "death 1", "", 1))

    def test_what_cannot_be_remembered_is_not_chosen(self):
        self.druid.druid("30.0.1")
        self.start()
        self.await_mode("push", "30.0.1")
        in_the_way = f"{self.server.data_dir}/spool/{DS}/delivery.new"
        os.mkdir(in_the_way)
        self.druid.druid("31.0.1", kafka=False)
        wait_for(lambda: f"{DS}/delivery cannot be written: Is a directory"
                 in self.server.log())
        self.assertEqual(self.delivery()["mode"], "push")
        os.rmdir(in_the_way)
        self.await_mode("append", "31.0.1")

    def test_a_spool_from_before(self):
        """That had events, and no note: it was push."""
        self.druid.druid("30.0.1")
        self.start()
        self.post(5, "a", is_async=False)
        self.server.stop()
        os.unlink(f"{self.server.data_dir}/spool/{DS}/delivery")
        self.server.start()
        self.post(5, "b", is_async=False)
        self.check_all()


class TestUpgrade(AutoCase):
    def test_while_events_wait(self):
        self.druid.fault("no-slots")
        self.start()
        self.await_mode("push")
        self.post(50, "a")
        self.await_spooled(self.server, DS, 50)
        self.druid.druid("34.0.0", kafka=False)
        self.await_mode("append", "34.0.0")
        self.druid.request(
            "POST", f"/druid/indexer/v1/datasources/{DS}/shutdownAllTasks")
        self.druid.fault("none")
        self.post(5, "b", hours=99)
        self.check_all(seconds=60)

    def test_under_load_with_killed_workers(self):
        """No request fails, and nothing that was answered is missing. (What a
        task had in part goes the new way whole.)"""
        self.start()
        self.await_mode("push")
        ends, answered = threading.Event(), []

        def send(name):
            for n in itertools.count():
                if ends.is_set():
                    return
                events = harness.events(20, run=f"{name}.{n}")
                answer = self.server.post(DS, events, is_async=n % 2 == 0)
                self.assertEqual((answer.status, answer.received), (200, 20))
                answered.extend(drill.ids(events))
        with concurrent.futures.ThreadPoolExecutor() as pool:
            senders = [pool.submit(send, name) for name in "abcd"]
            try:
                wait_for(lambda: len(answered) > 1000)
                self.server.kill_worker(DS)
                self.druid.druid("31.0.1", kafka=False)
                self.druid.request("POST", "/druid/indexer/v1/datasources/"
                                   f"{DS}/shutdownAllTasks")
                self.server.kill_worker(DS)
                self.await_mode("append")
                had = len(answered)
                self.server.kill_worker(DS)
                wait_for(lambda: len(answered) > had + 1000)
            finally:
                ends.set()
            for sender in senders:
                sender.result()
        self.await_drained(self.server)
        there = {e["id"] for e in self.druid.events(DS)}
        self.assertEqual(set(answered) - there, set())

    def test_and_back(self):
        """What was taken to be appended is appended."""
        self.druid.druid("31.0.1", kafka=False)
        self.start(**{"append.period": "PT1H", "late.appendPeriod": "PT1S"})
        self.await_mode("append")
        self.post(5, "a", hours=99)
        self.await_spooled(self.server, DS, 5)
        self.druid.druid("30.0.1")
        self.await_mode("push", "30.0.1")
        self.post(5, "b")
        self.check_all()
        self.assertEqual(self.note(), "push 30.0.1 kafka\n")

    def test_given_instead(self):
        self.druid.druid("31.0.1", kafka=False)
        self.start()
        self.await_mode("append")
        self.druid.druid("30.0.1")
        self.assertTrue(self.server.reload(
            self.document(**{"delivery.mode": "append"}))[0])
        self.post(5, "a", hours=99)
        self.check_all()
        self.assertEqual(self.tasks("index_realtime"), [])
        self.assertTrue(self.server.reload(self.document())[0])
        self.await_mode("push", "30.0.1")


class TestPull(AutoCase):
    """Where Druid can pull: that is chosen, and not left while the log has
    events."""
    druid_options = ("--druid", "34.0.0")

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
        self.puller(self.druid, "wikipedia-tq1")
        self.post(5, "b")
        self.check_ids(self.druid, DS, self.sent)

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
        self.puller(self.druid, "wikipedia-tq1")
        self.check_ids(self.druid, DS, self.sent)

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

    def test_another_way_is_given(self):
        """The supervisor that was made, and has something to read, is nobody's
        then, and auto's again."""
        def reload(**properties):
            self.server.write(self.document(**LISTEN, **properties))
            done = self.server.tranqctl("reload")
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout + done.stderr
        self.start(**LISTEN)
        self.await_mode("pull")
        self.post(5, "a", is_async=False)
        self.await_log(5)
        stays = f"{DS}: its supervisor stays in Druid"
        self.assertNotIn(stays, reload(**{"delivery.mode": "pull"}))
        self.assertNotIn(stays, reload())
        self.await_mode("pull")
        self.assertIn(stays, reload(**{"delivery.mode": "append"}))
        self.assertNotIn(stays, reload())
        self.await_mode("pull")

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
