#!/usr/bin/env python3
"""delivery.mode append: all events come in by batch tasks, each once, whatever
dies on the way."""

import json
import os
import random
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

HOUR = 3600
DS = "wikipedia"
QUICK = {"delivery.mode": "append", "append.period": "PT0.2S"}


class AppendCase(drill.BatchTaskCase):
    properties = QUICK
    druid_options = ("--batch-delay", "50", "--druid", "31.0.0")

    def counters(self):
        return self.server.data_source(DS)["counters"]

    def pile_status(self):
        return self.server.data_source(DS)["beams"]["append"]

    def check_all(self, events):
        self.check_ids(self.druid, DS, drill.ids(events))
        self.check_accounts(self.server)
        self.check_violations(self.druid)

    def post(self, count, hours=0, **how):
        events = harness.events(count, at=time.time() - hours * HOUR, **how)
        answer = self.server.post(DS, events)
        self.assertEqual((answer.status, answer.received, answer.sent),
                         (200, count, count))
        return events


class TestAppend(AppendCase):
    def test_events_of_any_time(self):
        """One task, several intervals; answered as soon as they are durable;
        no realtime task."""
        events = (self.post(10, run="now") + self.post(5, 40, run="old")
                  + self.post(3, -30, run="future"))
        self.await_appended(18)
        self.check_all(events)
        self.assertEqual({s for _, s in self.tasks()}, {"SUCCESS"})
        self.assertEqual(self.tasks("index_realtime"), [])
        self.assertEqual(self.counters()["late"], 0)
        self.assertEqual(self.counters()["tasksCreated"],
                         len(self.tasks()))
        self.assertIn("18 appended", self.server.tranqctl("status").stdout)

    def test_the_task(self):
        self.server.reload(self.document(**{"append.period": "PT1H"}))
        self.post(4)
        self.post(2, 50)
        wait_for(lambda: "6 events of 2 intervals wait"
                 in self.server.tranqctl("status").stdout)
        self.server.reload(self.document())
        self.await_appended(6)
        (task_id, _), = self.tasks()
        self.assertRegex(task_id, rf"^append_{DS}_[0-9a-f]{{8}}-\d+_a0$")
        task = self.ask(f"task/{task_id}")["payload"]
        self.assertTrue(task["context"]["useConcurrentLocks"])
        self.assertTrue(task["spec"]["ioConfig"]["appendToExisting"])
        self.assertEqual(len(task["spec"]["dataSchema"]["granularitySpec"]
                             ["intervals"]), 2)

    def test_another_segment_granularity(self):
        """Its day has what was taken before; none is outside of the task's
        intervals, which begin together."""
        slow = self.document(**{"append.period": "PT1H"})
        day = time.time() // (24 * HOUR) * 24 * HOUR - 48 * HOUR
        for segment in "DAY", "HOUR":
            slow["dataSources"] = [harness.data_source(DS, segment=segment)]
            self.server.reload(slow)
            self.server.post(DS, harness.events(3, run=segment, at=day))
        slow["dataSources"] = [harness.data_source(DS, segment="DAY")]
        self.server.reload(slow)
        events = harness.events(2, run="late", at=day + 5 * HOUR)
        self.server.post(DS, events)
        wait_for(lambda: "8 events of 2 intervals wait"
                 in self.server.tranqctl("status").stdout)
        self.server.reload(self.document())
        self.await_appended(8)
        (task_id, _), = self.tasks()
        spec = self.ask(f"task/{task_id}")["payload"]["spec"]
        self.assertEqual(
            spec["dataSchema"]["granularitySpec"]["intervals"],
            [f"{harness.iso(day)}/{harness.iso(day + 24 * HOUR)}"])
        self.check_all(events + harness.events(3, run="DAY")
                       + harness.events(3, run="HOUR"))

    def test_by_size(self):
        """append.bytes do not wait for append.period."""
        self.server.reload(self.document(**{
            "append.period": "PT1H", "append.bytes": 20000,
            "tranquility.maxBatchBytes": 4096}))
        events = self.post(1000)
        wait_for(lambda: self.server.accounts(DS)["appended"] > 800)
        self.assertGreater(len(self.tasks()), 4)
        self.server.reload(self.document())
        self.await_appended(1000)
        self.check_all(events)

    def test_out_of_druids_years(self):
        odd = [dict(e, time=ms) for e, ms in zip(
            harness.events(2, run="odd"),
            [time.time() * 1000000 // 1, 253402300800000])]
        events = harness.events(2)
        answer = self.server.post(DS, odd + events)
        self.assertEqual(answer.headers["X-Tranq-Dropped"], "2; window=2")
        self.await_appended(2)
        self.check_all(events)

    def test_stop_does_not_wait(self):
        """They are on the disk."""
        self.server.reload(self.document(**{"append.period": "PT1H"}))
        events = self.post(4)
        began = time.monotonic()
        self.server.restart()
        self.assertLess(time.monotonic() - began, 20)
        self.assertEqual(self.server.accounts(DS)["spool"], 4)
        self.server.reload(self.document())
        self.await_appended(4)
        self.check_all(events)

    def test_copies_for_the_archive(self):
        self.server.reload(self.document(**{
            "archive.all": True, "archive.sealPeriod": "PT0.1S"}))
        events = self.post(6, run="now") + self.post(3, 30)
        self.await_appended(9)
        wait_for(lambda: self.counters()["copied"] == 9)
        self.check_all(events)

    def test_what_has_no_effect_is_said(self):
        warned = self.server.tranqctl(
            "status").returncode    # it runs
        self.assertEqual(warned, 0)
        self.server.reload(self.document(**{"late.policy": "archive"}))
        wait_for(lambda: "has no effect with delivery.mode append"
                 in self.server.log())
        events = self.post(3, 20)
        self.await_appended(3)
        self.check_all(events)


class TestTroubles(AppendCase):
    def test_a_task_fails(self):
        """It is tried again under another id; the status says why."""
        self.druid.fault("fail-batch", count=1)
        events = self.post(5)

        def is_told():
            parcels = self.pile_status()["parcels"]
            return parcels and "Told to fail" in parcels[0].get("note", "")
        wait_for(is_told, "the status says why")
        self.assertIn("Told to fail", self.server.tranqctl("status").stdout)
        self.await_appended(5)
        self.assertEqual(sorted(i[-3:] for i, _ in self.tasks()),
                         ["_a0", "_a1"])
        self.check_all(events)

    def test_a_task_fails_behind_its_publication(self):
        """Its report says so: its rows are not sent again."""
        self.druid.fault("fail-late", count=1)
        events = self.post(5)
        self.await_appended(5)
        self.assertEqual([s for _, s in self.tasks()], ["FAILED"])
        self.assertIn("had published before", self.server.log())
        self.check_all(events)

    def test_others_go_on_while_one_rests(self):
        self.druid.fault("fail-batch", count=1)
        events = self.post(5, run="a")
        wait_for(lambda: "FAILED" in [s for _, s in self.tasks()])
        events += self.post(5, run="b")
        wait_for(lambda: self.server.accounts(DS)["appended"] >= 5)
        self.await_appended(10)
        self.check_all(events)

    def test_rows_that_druid_cannot_read(self):
        """They are told: Druid leaves them out and calls it a success."""
        events = harness.events(10)
        events[4]["page"] = "poison"
        self.druid.fault("bad-row", text="poison")
        self.server.post(DS, events)
        self.await_appended(10)
        wait_for(lambda: self.pile_status()["unread"] == 1)
        self.assertIn("Druid could not read 1",
                      self.server.tranqctl("status").stdout)
        self.assertIn("of 10 events Druid could not read 1",
                      self.server.log())
        self.server.restart()
        wait_for(lambda: self.pile_status()["unread"] == 1)
        self.check_ids(self.druid, DS, drill.ids(
            [e for e in events if e["page"] != "poison"]))

    def test_answers_are_lost(self):
        """The submission is done, its answer is not: the same id again exists
        already, and no second task is made."""
        self.druid.fault("drop", where="overlord", count=2)
        events = self.post(5)
        self.await_appended(5)
        self.assertEqual(len(self.tasks()), 1)
        self.check_all(events)

    def test_overlord_away(self):
        """Events are taken and answered; a worker's death changes nothing."""
        self.druid.fault("overlord-away")
        events = self.post(5)
        wait_for(lambda: self.pile_status()["parcels"])
        self.server.kill_worker(DS)
        events += self.post(5, run="b")
        self.druid.fault("none")
        self.await_appended(10)
        self.check_all(events)

    def test_refused(self):
        """A definite no: it waits, is told, and is planned anew."""
        self.druid.fault("error", where="overlord", status=400, count=1)
        events = self.post(5)
        wait_for(lambda: "refuses task" in self.server.log())
        self.assertIn("or append.bytes and reload", self.server.log())
        self.await_appended(5, seconds=60)
        self.check_all(events)


class TestFull(AppendCase):
    properties = dict(QUICK, **{
        "spool.bytesMax": "1MiB", "append.bytes": "256KiB",
        "tranqd.ringBytes": 65536, "tranquility.blockOnFull": False})

    def test_spool_full(self):
        """Then clients are told; when Druid takes events again, so do we."""
        self.druid.fault("no-slots")
        events, more = [], []
        for n in range(200):
            more = harness.events(200, run=f"f{n}")
            answer = self.server.post(DS, more)
            if answer.status == 503:
                break
            self.assertEqual(answer.status, 200)
            events += more
        self.assertEqual(answer.status, 503)
        self.assertGreater(len(events), 3000)
        self.assertIn("spool.bytesMax is reached", self.server.log())
        self.druid.fault("none")
        wait_for(lambda: self.server.post(DS, more).status == 200,
                 "room again", 60)
        self.await_appended(len(events) + len(more), 60)
        self.check_all(events + more)


class TestReload(AppendCase):
    """What waits when delivery.mode becomes another one."""
    druid_options = ("--batch-delay", "50")

    def push(self, **properties):
        return self.document(**dict({"delivery.mode": "push"}, **properties))

    def test_from_push(self):
        """The queue's batches go to the piles; who waits for them is
        answered."""
        self.server.reload(self.push())
        self.druid.fault("no-slots")
        events = harness.events(5, run="waits")
        with self.server.client() as client:
            client.connection.request(
                "POST", f"/v1/post/{DS}", harness.lines(events),
                {"Content-Type": "application/json"})
            more = harness.events(5, run="queued")
            self.server.post(DS, more, is_async=True)
            wait_for(lambda: self.server.accounts(DS)["spool"] == 10)
            self.server.reload(self.document())
            answer = client.connection.getresponse()
            self.assertEqual(answer.status, 200)
            self.assertEqual(json.loads(answer.read()),
                             {"result": {"received": 5, "sent": 5}})
        events += more + self.post(5, run="now")
        for task in self.ask("pendingTasks"):   # of the mode before
            if not task["id"].startswith("append"):
                self.druid.request("POST", "/druid/indexer/v1/task/"
                                   f"{task['id']}/shutdown")
        self.druid.fault("none")
        self.await_appended(15)
        self.check_all(events)

    def test_from_push_of_any_time(self):
        """Their batches have no interval that a task could be given."""
        self.server.reload(self.push(
            **{"task.type": "index_realtime_appenderator"}))
        self.druid.fault("no-slots")
        events = (harness.events(5, run="a")
                  + harness.events(5, run="b", at=time.time() - 9 * HOUR))
        self.server.post(DS, events, is_async=True)
        wait_for(lambda: self.server.accounts(DS)["spool"] == 10)
        self.server.reload(self.document())
        self.druid.request(
            "POST", f"/druid/indexer/v1/datasources/{DS}/shutdownAllTasks")
        self.druid.fault("none")
        self.await_appended(10)
        self.check_ids(self.druid, DS, drill.ids(events))
        tasks = self.tasks()
        self.assertEqual(len(tasks), 1)
        spec = self.ask(f"task/{tasks[0][0]}")["payload"]["spec"]
        self.assertNotIn("intervals", spec["dataSchema"]["granularitySpec"])

    def test_to_push(self):
        """What was taken is appended, whatever late.policy is; of intervals
        that realtime tasks may still have, when those are over."""
        self.server.reload(self.document(**{"append.period": "PT1H"}))
        events = self.post(5, 9, run="old") + self.post(5, run="now")
        self.server.reload(self.push(**{"late.appendPeriod": "PT0.1S"}))
        wait_for(lambda: self.server.accounts(DS)["appended"] == 5)
        now = harness.events(5, run="pushed")
        self.assertEqual(self.server.post(DS, now).sent, 5)

        def is_early():
            status = self.server.data_source(DS)
            late = status["beams"]["late"]
            return (status["accounts"]["spool"] == 5
                    and late["policy"] == "append"
                    and late["waiting"]["early"] == 5)
        wait_for(is_early)
        self.server.restart()
        self.assertEqual(self.server.accounts(DS)["spool"], 5)
        self.assertEqual(self.server.accounts(DS)["deadLetters"], 0)
        self.server.reload(self.document())
        self.druid.request(
            "POST", f"/druid/indexer/v1/datasources/{DS}/shutdownAllTasks")
        self.await_appended(10)
        self.check_accounts(self.server)
        self.assertLessEqual(
            set(drill.ids(events)),
            set(drill.ids(self.druid.events(DS))))

    def test_to_push_and_done(self):
        """When all of it is in Druid, late.policy counts again."""
        self.server.reload(self.document(**{"append.period": "PT1H"}))
        events = self.post(5, 9)
        self.server.reload(self.push(**{
            "late.appendPeriod": "PT0.1S", "late.policy": "archive",
            "archive.sealPeriod": "PT0.1S"}))
        self.await_appended(5)
        wait_for(lambda: "taken by delivery.mode append is in Druid"
                 in self.server.log())
        self.server.post(DS, harness.events(
            3, run="late", at=time.time() - 9 * HOUR))
        wait_for(lambda: self.server.accounts(DS)["archived"] == 3)
        self.check_all(events)


class TestKill(AppendCase):
    properties = dict(QUICK, **{"append.period": "PT0.05S"})
    druid_options = ("--batch-delay", "30")

    def test_killed_around_submissions(self):
        """kill -9 at any moment of taking, collecting, planning, submitting,
        polling and removing: all that was answered 200 is there once."""
        chance = random.Random(5)
        wanted = []
        for n in range(60 if not drill.LONG else 600):
            wanted += self.post(40, n % 3, run=f"k{n}")
            time.sleep(chance.random() * 0.05)  # any moment will do
            if n % 6 == 5:
                if n % 12 == 5:
                    self.server.kill_worker(DS)
                else:
                    self.server.kill_all()
                    self.server.start()
        self.await_appended(len(wanted), seconds=60)
        self.check_all(wanted)


if __name__ == "__main__":
    drill.main()
