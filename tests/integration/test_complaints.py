#!/usr/bin/env python3
"""What users complained of in Tranquility, one test a complaint: a number is
that of the original's issue."""

import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

DAY = 86400


class Complaint:
    properties = {}
    segment, window = "DAY", "PT10M"

    def config(self, window=None, **properties):
        return drill.config(
            [harness.data_source("wikipedia", segment=self.segment,
                                 window=window or self.window)],
            self.druid.url, properties={**self.properties, **properties})

    def server(self, name="tranqd", **properties):
        return self.tranqd(self.config(**properties), name=name)

    def send(self, server, count, run, **how):
        events = harness.events(count, run=run, **how)
        answer = server.post("wikipedia", events)
        self.assertEqual((answer.status, answer.sent), (200, count), answer)
        return events

    def tasks(self):
        found = self.druid.get("/druid/indexer/v1/tasks")
        return sorted(t["id"] for t in found)

    def task_states(self, server):
        """What tranqd says of each of its tasks, by id."""
        beams = server.data_source("wikipedia")["beams"]["beams"]
        return {t["id"]: t for b in beams for t in b["tasks"]}

    def notes(self, server):
        return server.data_source("wikipedia")["beams"]["notes"]

    def check_dead(self, server, count):
        def is_dead():
            a = server.accounts("wikipedia")
            return a["deadLetters"] == count and a["spool"] == 0
        wait_for(is_dead, f"{count} dead letters", 30)


class ComplaintCase(Complaint, drill.Case):
    druid_options = ()

    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full", *self.druid_options)


class TestAlreadyExists(ComplaintCase):
    """204: the Overlord's "already exists" was taken for a failure, for good.
    The ids are made from the interval: who made the task made this one."""

    def check(self, version):
        """The beams are forgotten while their tasks run."""
        self.druid = self.sandbox("--check", "full", "--druid", version)
        first = self.server(f"first-{version}")
        events = self.send(first, 10, "a")
        self.await_drained(first)
        first.kill_all()
        second = self.server(f"second-{version}")
        events += self.send(second, 10, "b")
        self.assertEqual(len(self.tasks()), 1, self.tasks())
        self.check_ids(self.druid, "wikipedia", drill.ids(events))
        self.check_whole(second, self.druid)

    def test_204_already_exists(self):
        for version in "0.12.3", "26.0.0", "28.0.0", "30.0.1":
            with self.subTest(version=version):
                self.check(version)

    def test_204_already_exists_and_has_failed(self):
        """Then it is replaced."""
        first = self.server("first")
        self.send(first, 10, "lost")
        self.await_drained(first)
        first.kill_all()
        self.assertEqual(self.druid.fault("kill-task"), 1)
        second = self.server("second")
        events = harness.events(10, run="b")
        second.post("wikipedia", events, is_async=True)
        self.await_drained(second)
        self.assertEqual([t[-3:] for t in self.tasks()], ["0_0", "_r1"])
        self.check_whole(second, self.druid)


class ZooKeeperCase(Complaint, drill.ZooKeeperCase):
    def config(self, window=None, **properties):
        return drill.config(
            [harness.data_source("wikipedia", segment=self.segment,
                                 window=window or self.window)],
            None, self.zk.connect, properties={
                "zookeeper.timeout": "PT1S", **self.paths, **self.properties,
                **properties})


class TestReplacement(ZooKeeperCase):
    """9, 270, 282: tasks that were gone were not replaced; their interval was
    closed, and its events dropped."""
    properties = {"task.partitions": 2, "task.replicants": 2}

    def test_9_270_282_replacement_two_instances(self):
        servers = [self.server("one"), self.server("two")]
        events = []
        for n, server in enumerate(servers):
            events += self.send(server, 50, f"a{n}")
            self.await_drained(server)
        for attempt in 1, 2, 3:
            self.assertEqual(self.druid.fault("kill-task"), 4)
            for n, server in enumerate(servers):
                more = harness.events(50, run=f"b{attempt}{n}")
                answer = server.post("wikipedia", more, is_async=True)
                self.assertEqual(answer.status, 200, answer)
                self.assertNotIn("X-Tranq-Dropped", answer.headers)
                events += more
            for server in servers:
                self.await_drained(server)
            # one set of replacements, used by both
            found = self.tasks()
            self.assertEqual(len(found), 4 * (attempt + 1), found)
            self.assertEqual(
                sum(t.endswith(f"_r{attempt}") for t in found), 4, found)
        self.check_ids(self.druid, "wikipedia", drill.ids(events))
        for server in servers:
            self.check_whole(server, self.druid)

    def test_9_killed_with_the_overlord_away(self):
        """The loss is seen when the Overlord is back; nothing is given up."""
        server = self.server()
        events = self.send(server, 50, "a")
        self.await_drained(server)
        self.druid.fault("kill-task")
        self.druid.fault("overlord-away")
        more = harness.events(50, run="b")
        server.post("wikipedia", more, is_async=True)
        self.await_spooled(server, "wikipedia", 50)
        self.druid.fault("none")
        self.check_ids(self.druid, "wikipedia", drill.ids(events + more))
        self.check_whole(server, self.druid)


class TestFirehoseReused(ZooKeeperCase):
    """53: firehose ids come again after some intervals, and an old task of the
    same firehose id, which waits for its hand-off, got the new events."""

    def test_53_old_task_of_the_same_firehose(self):
        """It is still announced, at another place; discovery names both.
        Each push names the task that it means, so the old one refuses it."""
        server = self.server()
        events = self.send(server, 10, "a")
        now = self.druid.get("/druid/indexer/v1/task/" + self.tasks()[0])
        server.kill_all()
        peon = self.sandbox(
            "--check", "full", "--zookeeper", self.zk.connect,
            "--discovery-path", self.paths["druid.discovery.curator.path"],
            "--overlord-service", "druid/another")
        old = now["payload"]
        old["id"] = "index_realtime_wikipedia_of_another_day_0_0"
        status, _, answer = peon.request(
            "POST", "/druid/indexer/v1/task", json.dumps(old).encode(),
            {"Content-Type": "application/json"})
        self.assertEqual(status, 200, answer)
        for n in range(8):  # discovery draws one of the two each time
            server.start()
            more = harness.events(10, run=f"b{n}")
            server.post("wikipedia", more, is_async=True)
            events += more
            self.check_ids(self.druid, "wikipedia", drill.ids(events))
            server.kill_all()
        self.assertEqual(peon.events("wikipedia"), [])
        self.assertEqual(len(self.tasks()), 1, self.tasks())
        refused = peon.stats()["pushesByStatus"]
        self.assertTrue(refused, "no push has gone to the old task")
        self.assertNotIn("200", refused)


class TestUnreachable(ComplaintCase):
    """23: one replicant that could not be reached blocked all."""
    properties = {"task.replicants": 3,
                  "druidBeam.firehoseRetryPeriod": "PT8S"}

    def test_23_one_unreachable_replicant(self):
        server = self.server()
        events = self.send(server, 100, "a")
        lame = [t for t in self.tasks() if t.endswith("_1")][0]
        for fault in "hang", "unreachable":
            self.druid.fault(fault, task=lame)
            for n in range(5):
                began = time.monotonic()
                events += self.send(server, 100, f"{fault}{n}")
                self.assertLess(time.monotonic() - began, 8)
        for replicant in 0, 2:
            self.check_ids(self.druid, "wikipedia", drill.ids(events),
                           replicant=replicant)
        wait_for(lambda: self.counts(server, "wikipedia")["tasksLost"] == 1,
                 "the loss of redundancy is counted", 60)
        self.assertIn("loss of Druid redundancy", server.log())
        self.await_drained(server)
        wait_for(lambda: self.task_states(server)[lame]["state"] == "lost",
                 "the status says which one")


class TestWindowRaised(ComplaintCase):
    """7: windowPeriod was raised, and the running tasks shut off as they were
    made to."""
    segment, window, window_s = "SECOND", "PT8S", 8
    properties = {"druidBeam.firehoseGracePeriod": "PT0S"}

    def raise_window(self, server):
        ok, text = server.reload(self.config(window="PT1H"))
        self.assertTrue(ok, text)

    def check_late(self, server, events, at):
        """Events that the old task does not take are kept as dead letters;
        a second task would hide what the first one has published."""
        late = harness.events(20, run="late", at=at)
        answer = server.post("wikipedia", late, is_async=True)
        self.assertEqual(answer.status, 200, answer)
        self.check_dead(server, 20)
        self.assertEqual(len(self.tasks()), 1, self.tasks())
        self.check_ids(self.druid, "wikipedia", drill.ids(events))
        # a new interval has the new window
        more = harness.events(20, run="new")
        server.post("wikipedia", more, is_async=True)
        self.check_ids(self.druid, "wikipedia", drill.ids(events + more))
        self.check_whole(server, self.druid, dead=20, killed=True)

    def test_7_window_raised(self):
        server, at = self.server(), time.time()
        events = self.send(server, 20, "a", at=at)
        self.raise_window(server)
        # the running task goes on until its own time
        events += self.send(server, 20, "b", at=at)
        self.assertEqual(len(self.tasks()), 1, self.tasks())
        wait_for(lambda: "has ended" in server.log(), "the task ends", 30)
        self.check_late(server, events, at)


class TestWindowRaisedAndSlowHandOff(TestWindowRaised):
    """The same while the task still runs, with its firehose closed."""
    druid_options = ("--handoff-delay", "600000")

    def test_7_window_raised(self):
        server, at = self.server(), time.time()
        events = self.send(server, 20, "a", at=at)
        self.raise_window(server)
        wait_for(lambda: time.time() > int(at) + 1 + self.window_s + 1,
                 "shutoff", 30)
        self.check_late(server, events, at)
        wait_for(lambda: self.task_states(server)[self.tasks()[0]][
            "state"] == "closed", "the status says so")


class TestNoHandOff(ComplaintCase):
    """263: hand-off never happened, tasks filled all slots, and nobody knew."""
    segment, window = "SECOND", "PT5S"
    druid_options = ("--handoff-delay", "600000")
    properties = {"druidBeam.firehoseGracePeriod": "PT0S",
                  "druid.handoffWarnPeriod": "PT1S"}

    def test_263_no_hand_off_is_seen(self):
        server = self.server()
        self.send(server, 10, "a")
        task = self.tasks()[0]
        note = ("1 task runs on after the shutoff time: the hand-off does "
                "not come")
        wait_for(lambda: note in self.notes(server), "a note", 60)
        state = self.task_states(server)[task]
        self.assertEqual(state["state"], "closed")
        self.assertIn("no hand-off", state["trouble"])
        self.assertIn(f"task {task}: still runs", server.log())
        text = server.tranqctl("status").stdout
        self.assertIn("the hand-off does not come", text)
        self.assertEqual(server.log().count("still runs"), 1)
        # when it comes at last
        self.druid.fault("kill-task", task=task)
        wait_for(lambda: not self.notes(server), "no note any more")
        self.check_accounts(server)

    def test_263_hand_off_in_time_is_no_news(self):
        self.druid = self.sandbox("--handoff-delay", "300")
        server = self.server()
        self.send(server, 10, "a")
        wait_for(lambda: "has ended, its events are handed over"
                 in server.log(), "hand-off", 30)
        self.assertNotIn("still runs", server.log())
        wait_for(lambda: not self.task_states(server), "it is forgotten", 40)
        self.assertEqual(self.counts(server, "wikipedia")["tasksLost"], 0)


class TestWithoutZooKeeper(ComplaintCase):
    """251: no ZooKeeper is wanted."""

    def test_251_without_zookeeper(self):
        """One instance, Overlords by their URLs: the first is away, the
        second is not the leader and names the one that is. The beams are
        known after a restart."""
        away = f"http://127.0.0.1:{self.closed_port()}"
        follower = self.sandbox("--check", "full")
        follower.fault("not-leader", url=self.druid.url)
        server = self.server(
            **{"druid.overlord.url": f"{away},{follower.url}"})
        events = self.send(server, 50, "a")
        self.assertEqual(
            server.data_source("wikipedia")["beams"]["zookeeper"],
            "not used")
        server.kill_all()
        server.start()
        events += self.send(server, 50, "b")
        self.assertEqual(len(self.tasks()), 1, self.tasks())
        self.assertEqual(follower.stats()["events"], 0)
        self.check_ids(self.druid, "wikipedia", drill.ids(events))
        self.check_whole(server, self.druid, killed=True)


class TestServiceName(ZooKeeperCase):
    """296: a service name that is not there was hard to see."""

    def test_296_wrong_service_name(self):
        name = "druid/overlrod"
        server = self.server(
            **{"druid.selectors.indexing.serviceName": name})
        events = harness.events(10)
        server.post("wikipedia", events, is_async=True)

        path = self.paths["druid.discovery.curator.path"]
        parts = (f"service {name}", path, self.zk.connect,
                 "services there: druid:overlord")

        def is_told():
            where = server.data_source("wikipedia")["beams"]["overlord"]
            return all(p in where for p in parts)
        wait_for(is_told, f"the status tells {parts}")
        for part in parts:
            wait_for(lambda: part in server.log(), f"the log tells {part}")
            self.assertIn(part, server.tranqctl("status").stdout)
        # mended by a reload
        ok, text = server.reload(self.config())
        self.assertTrue(ok, text)
        self.check_ids(self.druid, "wikipedia", drill.ids(events))

    def test_296_wrong_discovery_path(self):
        server = self.server(**{"druid.discovery.curator.path": "/nowhere"})
        server.post("wikipedia", harness.events(10), is_async=True)
        wait_for(lambda: "/nowhere" in server.data_source("wikipedia")[
            "beams"]["overlord"], "the status tells where it looks")
        wait_for(lambda: "under /nowhere" in server.log(), "so does the log")


class TestDrops(ComplaintCase):
    """157, 194, 212: events were dropped without a reason."""

    def test_157_194_212_every_drop_has_a_reason(self):
        server = self.server()
        old = time.time() - 3 * DAY
        sent, dropped, began = 0, 0, time.monotonic()
        for n in range(50):
            events = harness.events(3, run=f"good{n}") + harness.events(
                2, run=f"old{n}", at=old)
            answer = server.post("wikipedia", events)
            self.assertEqual((answer.status, answer.received, answer.sent),
                             (200, 5, 3), answer)
            self.assertEqual(answer.headers["X-Tranq-Dropped"],
                             "2; window=2")
            sent += 3
            dropped += 2
        self.await_drained(server)
        a = server.accounts("wikipedia")
        self.assertEqual((a["received"], a["sent"], a["dropped"]["window"]),
                         (sent + dropped, sent, dropped))
        most = 2 * (2 + (time.monotonic() - began) // 10)
        lines = [line for line in server.log().splitlines()
                 if "outside of windowPeriod" in line]
        # a sample: each of the receivers at most once in ten seconds
        self.assertGreater(len(lines), 0)
        self.assertLessEqual(len(lines), most, lines)
        self.assertIn("dataSource 'wikipedia': dropped 2 events", lines[0])
        self.assertIn(harness.iso(old)[:16], lines[0])
        self.assertIn("dropped", server.tranqctl("status").stdout)


if __name__ == "__main__":
    drill.main()
