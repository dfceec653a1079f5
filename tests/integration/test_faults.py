#!/usr/bin/env python3
"""Whatever Druid does: nothing is lost, nothing comes twice, and tranqd does
to Druid only what it should."""

import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

EVENTS = 200000 if drill.LONG else 20000


class FaultCase(drill.Case):
    properties = {}
    druid_options = ()
    is_with_zookeeper = False

    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full", *self.druid_options)
        self.server = self.start_server()

    def start_server(self):
        properties = dict({"druidBeam.firehoseRetryPeriod": "PT10S"},
                          **self.properties)
        return self.tranqd(drill.config(
            ["wikipedia"], self.druid.url, properties=properties))

    def begin(self, **options):
        options.setdefault("events", EVENTS)
        options.setdefault("batch", 100)
        return self.start_load(self.server, compare=self.druid.url,
                               connections=8, retry=True, **options)

    def end(self, running, **how):
        report = self.check_load(running.finish())
        self.assertEqual(report["compare"]["arrived"],
                         report["events"]["answered"])
        self.check_whole(self.server, self.druid, **how)
        self.check_no_crash(self.server)
        return report

    def under(self, *faults, **options):
        """Load under faults that strike by chance, until it is done."""
        for fault, members in faults:
            self.druid.fault(fault, **members)
        return self.end(self.begin(**options))

    def during(self, fault, **members):
        """Events come before, in and behind a time of it; while it lasts
        they wait in the spool."""
        events = harness.events(100, run="before")
        self.assertEqual(self.server.post("wikipedia", events).sent, 100)
        self.druid.fault(fault, **members)
        more = harness.events(1000, run="in")
        for at in range(0, 1000, 100):
            answer = self.server.post("wikipedia", more[at:at + 100],
                                      is_async=True)
            self.assertEqual(answer.status, 200, answer)
        self.await_spooled(self.server, "wikipedia", 1)
        self.check_accounts(self.server)
        self.druid.fault("none")
        last = harness.events(100, run="behind")
        self.assertEqual(
            self.server.post("wikipedia", last, is_async=True).status, 200)
        self.check_ids(self.druid, "wikipedia",
                       drill.ids(events + more + last))
        self.check_whole(self.server, self.druid)
        self.check_no_crash(self.server)


class TestPushes(FaultCase):
    """The faults of a task's chat handler, for a time."""

    def test_slow(self):
        self.during("slow", ms=500)

    def test_refuse(self):
        self.during("refuse")

    def test_hang(self):
        self.during("hang")

    def test_error(self):
        self.during("error")

    def test_error_of_every_kind(self):
        sent = []
        for status in (400, 401, 403, 404, 408, 415, 429, 500, 502, 503, 504):
            with self.subTest(status=status):
                self.druid.fault("error", status=status, count=2)
                events = harness.events(10, run=f"s{status}")
                self.assertEqual(
                    self.server.post("wikipedia", events).sent, 10)
                self.druid.fault("none")
                sent += drill.ids(events)
        self.check_ids(self.druid, "wikipedia", sent)
        self.check_whole(self.server, self.druid)
        self.check_no_crash(self.server)

    def test_drop(self):
        self.during("drop")
        self.assertGreater(self.counts(self.server, "wikipedia")["skipped"],
                           0)

    def test_drop_before(self):
        self.during("drop-before")

    def test_full(self):
        self.during("full")

    def test_unreachable(self):
        self.during("unreachable")

    def test_unavailable(self):
        self.during("unavailable")


class TestChance(FaultCase):
    """Faults that strike some of the requests under load."""

    def test_slow(self):
        self.under(("slow", dict(ms=100, percent=20)))

    def test_refuse(self):
        self.under(("refuse", dict(percent=20)))

    def test_error(self):
        self.under(("error", dict(percent=20)))

    def test_drop(self):
        self.under(("drop", dict(percent=20)))

    def test_drop_before(self):
        self.under(("drop-before", dict(percent=20)))

    def test_all_of_them(self):
        self.under(("slow", dict(ms=20, percent=10)),
                   ("refuse", dict(percent=5)), ("error", dict(percent=5)),
                   ("drop", dict(percent=5)),
                   ("drop-before", dict(percent=5)),
                   ("error", dict(percent=10, where="overlord")),
                   ("refuse", dict(percent=10, where="overlord")))

    def test_many_of_them_and_killed_workers(self):
        # no "error": that Druid had refused the events behind the producer
        # headers is known to the killed worker alone
        for fault in (("slow", dict(ms=20, percent=10)),
                      ("refuse", dict(percent=5)), ("drop", dict(percent=5)),
                      ("drop-before", dict(percent=5))):
            self.druid.fault(fault[0], **fault[1])
        running = self.begin(rate=20000)
        for _ in range(4):
            had = self.druid.stats()["events"]
            wait_for(lambda: self.druid.stats()["events"] > had + 500)
            self.server.kill_worker("wikipedia")
        self.check_load(running.finish())
        self.check_whole(self.server, self.druid, killed=True)


class TestChanceWithReplicants(TestChance):
    properties = {"task.partitions": 2, "task.replicants": 2,
                  # none is given up in this test
                  "druidBeam.firehoseRetryPeriod": "PT30S"}

    def end(self, running, **how):
        report = super().end(running, **how)
        # each replicant has all of it, once
        self.check_ids(self.druid, "wikipedia",
                       drill.ids(self.druid.events("wikipedia")), replicant=1)
        return report


class TestOverlord(FaultCase):
    """Its faults while tasks have to be made."""

    def check_start(self, fault, **members):
        self.druid.fault(fault, **members)
        events = harness.events(100)
        answer = self.server.post("wikipedia", events, is_async=True)
        self.assertEqual(answer.status, 200)
        self.await_spooled(self.server, "wikipedia", 100)
        wait_for(lambda: self.druid.stats()["faults"][0]["struck"] > 1
                 or fault in ("hang", "no-slots"),
                 "the Overlord is asked again")
        self.assertEqual(self.druid.events("wikipedia"), [])
        self.druid.fault("none")
        self.check_ids(self.druid, "wikipedia", drill.ids(events))
        self.check_whole(self.server, self.druid)
        self.check_no_crash(self.server)
        self.assertEqual(
            self.counts(self.server, "wikipedia")["tasksCreated"], 1)

    def test_away(self):
        self.check_start("overlord-away")

    def test_away_and_refused(self):
        self.check_start("overlord-away", refused=True)

    def test_refuse(self):
        self.check_start("refuse", where="overlord")

    def test_error(self):
        self.check_start("error", where="overlord")

    def test_error_429(self):
        self.check_start("error", where="overlord", status=429)

    def test_hang(self):
        self.check_start("hang", where="overlord")

    def test_no_slots(self):
        self.check_start("no-slots")

    def test_lost_answer_of_a_submission(self):
        """The task is there; the second submission is told so ("already
        exists"): that is success."""
        self.druid.fault("drop", where="overlord", count=1)
        events = harness.events(100)
        self.assertEqual(self.server.post(
            "wikipedia", events, is_async=True).status, 200)
        self.check_ids(self.druid, "wikipedia", drill.ids(events))
        self.check_whole(self.server, self.druid)
        self.assertEqual(len(self.druid.stats()["dataSources"]["wikipedia"]
                             ["tasks"]), 1)

    def test_not_leader(self):
        """307 to the leader, which is another one."""
        leader = self.sandbox("--check", "full")
        self.druid.fault("not-leader", url=leader.url)
        events = harness.events(100)
        self.assertEqual(self.server.post("wikipedia", events).sent, 100)
        self.check_ids(leader, "wikipedia", drill.ids(events))
        self.assertEqual(self.druid.stats()["events"], 0)
        self.check_whole(self.server, leader)
        self.check_violations(self.druid)

    def test_list_of_overlords(self):
        """The first of druid.overlord.url is not there."""
        nobody = f"http://127.0.0.1:{self.closed_port()}"
        server = self.tranqd(drill.config(
            ["wikipedia"], f"{nobody},{self.druid.url}"), name="second")
        events = harness.events(100)
        self.assertEqual(server.post("wikipedia", events).sent, 100)
        self.check_whole(server, self.druid)


class TestKilledTasks(FaultCase):
    """A task that fails while its interval is open is replaced."""

    def tasks(self):
        sources = self.druid.stats()["dataSources"]
        return sorted(sources.get("wikipedia", {}).get("tasks", []))

    def test_replacement(self):
        first = harness.events(100, run="first")
        self.assertEqual(self.server.post("wikipedia", first).sent, 100)
        for attempt in 1, 2:
            self.assertEqual(self.druid.fault("kill-task"), 1)
            events = harness.events(100, run=f"a{attempt}")
            self.server.post("wikipedia", events, is_async=True)
            wait_for(lambda: len(self.tasks()) == attempt + 1,
                     f"replacement {attempt}", 20)
            self.assertTrue(self.tasks()[-1].endswith(f"_r{attempt}"),
                            self.tasks())
            self.check_ids(
                self.druid, "wikipedia", drill.ids(events)
                + drill.ids(first) + [f"a1-{n}" for n in range(100)])
        self.check_whole(self.server, self.druid)
        self.assertEqual(
            self.counts(self.server, "wikipedia")["tasksLost"], 2)
        self.check_no_crash(self.server)

    def test_under_load(self):
        running = self.begin(rate=10000)
        for n in range(3):
            had = self.druid.stats()["events"]
            wait_for(lambda: self.druid.stats()["events"] > had + 500)
            self.assertEqual(self.druid.fault("kill-task"), 1)
        report = running.finish()
        c = report["compare"]
        self.assertEqual((c["arrived"], c["lost"], c["foreign"]),
                         (EVENTS, 0, 0), dict(report))
        # what a killed task had taken, its answer not read yet, is gone with
        # it and goes to its replacement; the sandbox shows both
        self.assertLessEqual(c["doubled"],
                             self.druid.stats()["dataSources"]["wikipedia"][
                                 "lostEvents"], dict(report))
        self.check_whole(self.server, self.druid)
        self.assertEqual(len(self.tasks()), 4)

    def test_soon_gone_again(self):
        """Each set of tasks waits longer than the one before."""
        began = time.monotonic()
        for n in range(5):
            events = harness.events(10, run=f"r{n}")
            self.server.post("wikipedia", events, is_async=True)
            wait_for(lambda: len(self.tasks()) == n + 1, f"tasks {n}", 30)
            if n < 4:
                self.assertEqual(self.druid.fault("kill-task"), 1)
        # at once, then behind 0.5 to 1 s, 1 to 2 s, 2 to 4 s
        self.assertGreaterEqual(time.monotonic() - began, 3.5)
        self.assertIn("4 times in a row", self.server.log())
        self.await_drained(self.server)
        self.check_whole(self.server, self.druid)

    def test_replacement_is_known_after_a_restart(self):
        self.assertEqual(
            self.server.post("wikipedia", harness.events(10)).sent, 10)
        self.druid.fault("kill-task")
        self.server.post("wikipedia", harness.events(10, run="b"))
        wait_for(lambda: len(self.tasks()) == 2)
        self.await_drained(self.server)
        self.server.kill_all()
        self.server.start()
        events = harness.events(10, run="c")
        self.assertEqual(self.server.post("wikipedia", events).sent, 10)
        self.assertEqual(len(self.tasks()), 2)
        self.check_whole(self.server, self.druid, killed=True)


class ReplicantCase(FaultCase):
    properties = {"task.replicants": 2,
                  "druidBeam.firehoseRetryPeriod": "PT3S"}

    def tasks(self):
        return self.druid.stats()["dataSources"]["wikipedia"]["tasks"]

    def task(self, replicant):
        """The id of the beam's task number so and so."""
        for name, t in self.tasks().items():
            if t["replicant"] == replicant:
                return name
        raise AssertionError("no such task")

    def begin_with_both(self):
        """What both have got."""
        events = harness.events(100, run="first")
        self.send(events)
        self.await_drained(self.server)
        return events

    def send(self, events):
        """Nobody waits: while one of them is away, it may take longer than
        firehoseRetryPeriod until they are sent."""
        answer = self.server.post("wikipedia", events, is_async=True)
        self.assertEqual(answer.status, 200, answer)

    def await_lost(self, tasks):
        wait_for(lambda: self.counts(self.server, "wikipedia")["tasksLost"]
                 == tasks, "the loss of redundancy is counted", 60)


class TestReplicantAway(ReplicantCase):
    properties = {"task.replicants": 2,
                  "druidBeam.firehoseRetryPeriod": "PT8S"}

    def test_unreachable_replicant_holds_up_nobody(self):
        first = self.begin_with_both()
        for fault in "unreachable", "hang":
            with self.subTest(fault=fault):
                self.druid.fault(fault, task=self.task(1))
                began = time.monotonic()
                events = harness.events(100, run=fault)
                answer = self.server.post("wikipedia", events)
                self.assertEqual(answer.sent, 100)
                self.assertLess(time.monotonic() - began, 8)
                first += events
                self.check_ids(self.druid, "wikipedia", drill.ids(first))
        # it is given up, counted, and no longer waited for
        self.await_lost(1)
        self.await_drained(self.server)
        self.assertIn("loss of Druid redundancy", self.server.log())
        self.check_violations(self.druid)


class TestReplicants(ReplicantCase):
    def lose(self, replicant, fault="unreachable"):
        """It is given up, for its sibling has what it does not take."""
        self.druid.fault(fault, task=self.task(replicant))
        events = harness.events(100, run=f"without-{replicant}")
        self.send(events)
        self.await_lost(1)
        self.await_drained(self.server)
        return events

    def alternate(self, fault):
        """One is away, then the other, and nobody says so: who was given up
        is needed again. What each of them was to have."""
        first = self.begin_with_both()
        got = [first + self.lose(1, fault), first]
        for n in range(4 if drill.LONG else 2):
            there, away = (n + 1) % 2, n % 2
            self.druid.fault(fault, on=False, task=self.task(there))
            self.druid.fault(fault, task=self.task(away))
            events = harness.events(1000, run=f"round-{n}")
            for at in range(0, 1000, 100):
                self.server.post("wikipedia", events[at:at + 100],
                                 is_async=True)
            got[there] = got[there] + events
            # the other one is behind when this one has it all
            self.await_lost(n + 2)
            self.await_drained(self.server)
            self.check_accounts(self.server)
        self.druid.fault("none")
        self.assertEqual(len(self.tasks()), 2)
        self.check_violations(self.druid)
        self.check_no_crash(self.server)
        return [set(drill.ids(g)) for g in got]

    def test_alternately_unreachable(self):
        for replicant, got in enumerate(self.alternate("unreachable")):
            self.check_ids(self.druid, "wikipedia", got, replicant=replicant)

    def test_alternately_hanging(self):
        """What hangs may be taken when it goes on, and was sent again."""
        for replicant, got in enumerate(self.alternate("hang")):
            found = drill.ids(self.druid.events("wikipedia",
                                                replicant=replicant))
            self.assertEqual(got - set(found), set(), "lost")
            self.assertEqual(len(found), len(set(found)), "doubled")

    def test_killed_while_one_is_tried_again(self):
        first = self.begin_with_both()
        missed = self.lose(1)
        self.druid.fault("unreachable", task=self.task(0))
        more = harness.events(1000, run="more")
        for at in range(0, 1000, 100):
            self.server.post("wikipedia", more[at:at + 100], is_async=True)
        wait_for(lambda: "tried again" in self.server.log(), "a try", 60)
        self.server.kill_worker("wikipedia")
        self.druid.fault("unreachable", on=False, task=self.task(1))
        self.check_ids(self.druid, "wikipedia", drill.ids(first + more),
                       replicant=1)
        self.await_lost(1)  # of the new one
        self.check_ids(self.druid, "wikipedia", drill.ids(first + missed))
        self.check_whole(self.server, self.druid, killed=True)

    def test_tried_before_others_take_its_place(self):
        """Its last sibling has FAILED: what both had is in the one that was
        given up, and others would hide it."""
        first = self.begin_with_both()
        self.lose(1)
        last = self.task(0)
        self.druid.fault("none")
        self.druid.fault("kill-task", task=last)
        more = harness.events(100, run="more")
        self.send(more)
        self.check_ids(self.druid, "wikipedia", drill.ids(first + more),
                       replicant=1)
        self.await_drained(self.server)
        self.assertEqual(len(self.tasks()), 2)
        self.assertEqual(self.counts(self.server, "wikipedia")["tasksLost"], 2)
        self.check_accounts(self.server)
        self.check_violations(self.druid)

    def test_all_unreachable(self):
        """None is given up because of another that takes nothing either."""
        first = self.begin_with_both()
        self.druid.fault("unreachable")
        events = harness.events(100, run="in")
        self.server.post("wikipedia", events, is_async=True)
        pushes = self.counts(self.server, "wikipedia")["pushes"]
        wait_for(lambda: self.counts(self.server, "wikipedia")["pushes"]
                 > pushes + 11, "it is tried for long", 60)
        self.druid.fault("none")
        for replicant in 0, 1:
            self.check_ids(self.druid, "wikipedia", drill.ids(first + events),
                           replicant=replicant)
        self.check_whole(self.server, self.druid)
        self.assertEqual(self.counts(self.server, "wikipedia")["tasksLost"], 0)

    def test_given_up_and_gone(self):
        """What is tried again and takes nothing does not keep a beam without
        tasks from getting others."""
        self.begin_with_both()
        self.lose(1)
        last = self.task(0)
        self.druid.fault("unreachable", task=last)
        events = harness.events(100, run="more")
        self.server.post("wikipedia", events, is_async=True)
        wait_for(lambda: "tried again" in self.server.log(), "a try", 60)
        self.druid.fault("kill-task", task=last)
        wait_for(lambda: len(self.tasks()) == 4, "others are made", 60)
        self.druid.fault("none")
        self.await_drained(self.server)
        self.check_accounts(self.server)

    def test_killed_replicant(self):
        first = self.begin_with_both()
        killed = self.task(0)
        self.druid.fault("kill-task", task=killed)
        events = harness.events(100, run="b")
        self.send(events)
        self.check_ids(self.druid, "wikipedia",
                       drill.ids(first + events), replicant=1)
        self.await_lost(1)
        self.await_drained(self.server)
        self.check_violations(self.druid)

    def test_a_replicant_that_comes_back_catches_up(self):
        first = self.begin_with_both()
        self.druid.fault("unreachable", task=self.task(1))
        events = harness.events(100, run="b")
        self.send(events)
        self.check_ids(self.druid, "wikipedia", drill.ids(first + events))
        self.druid.fault("none")
        for replicant in 0, 1:
            self.check_ids(self.druid, "wikipedia", drill.ids(first + events),
                           replicant=replicant)
        self.check_whole(self.server, self.druid)


class TestOldDruid(FaultCase):
    """A Druid before 0.12 knows no producer headers: at least once."""
    druid_options = ("--druid", "0.11.0")

    def test_lost_answers(self):
        self.druid.fault("drop", count=3)
        events = harness.events(300)
        for at in range(0, 300, 100):
            self.server.post("wikipedia", events[at:at + 100], is_async=True)
        self.check_ids(self.druid, "wikipedia", drill.ids(events),
                       doubled=300)
        self.check_whole(self.server, self.druid)


class TestSlowStart(FaultCase):
    """Tasks need their time, as in a real Druid."""
    druid_options = ("--start-delay", "700", "--handler-delay", "700",
                     "--buffer", "5000", "--drain", "20000")

    def test_load(self):
        self.end(self.begin())


if __name__ == "__main__":
    drill.main()
