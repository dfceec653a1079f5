#!/usr/bin/env python3
"""late.policy append: events outside the window come in by batch tasks, each
once, whatever dies on the way (267 of the original)."""

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


def late_events(count, hours=5, **how):
    return harness.events(count, at=time.time() - hours * HOUR, **how)


class AppendCase(drill.BatchTaskCase):
    properties = {"late.policy": "append", "late.appendPeriod": "PT0.2S"}
    druid_options = ("--batch-delay", "50")

    def late_status(self):
        return self.server.data_source(DS)["beams"]["late"]


class TestAppend(AppendCase):
    def test_late_events(self):
        """They are appended by one task; those of now are pushed."""
        late = late_events(10, run="a") + late_events(5, hours=40, run="b")
        now = harness.events(7, run="now")
        answer = self.server.post(DS, late + now)
        self.assertEqual((answer.received, answer.sent), (22, 7))
        self.assertEqual(answer.headers["X-Tranq-Late"], "15; append=15")
        self.assertEqual(answer.headers["X-Tranq-Spooled"], "15")
        self.await_appended(15)
        self.check_ids(self.druid, DS, drill.ids(late + now))
        self.check_violations(self.druid)
        tasks = self.tasks()
        self.assertEqual([state for _, state in tasks], ["SUCCESS"])
        self.assertRegex(
            tasks[0][0], rf"^append_{DS}_[0-9a-f]{{8}}-\d+_a0$")
        self.assertIn("15 appended", self.server.tranqctl("status").stdout)

    def test_the_task(self):
        """The spec is the dataSource's own, with times in milliseconds."""
        self.server.post(DS, late_events(3))
        self.await_appended(3)
        task_id = self.tasks()[0][0]
        spec = self.ask(f"task/{task_id}")["payload"]["spec"]
        schema = spec["dataSchema"]
        self.assertEqual(schema["timestampSpec"],
                         {"column": "time", "format": "millis"})
        self.assertEqual(schema["dimensionsSpec"],
                         {"dimensions": harness.DIMENSIONS})
        self.assertEqual(schema["metricsSpec"], harness.METRICS)
        self.assertNotIn("parser", schema)
        self.assertEqual(len(schema["granularitySpec"]["intervals"]), 1)
        self.assertTrue(spec["ioConfig"]["appendToExisting"])

    def test_several_tasks_by_size(self):
        self.server.reload(self.document(**{
            "late.appendPeriod": "PT1H", "late.appendBytes": 20000,
            "tranquility.maxBatchBytes": 4096}))
        events = late_events(1000)
        self.server.post(DS, events)
        wait_for(lambda: self.server.accounts(DS)["appended"] > 800)
        self.assertGreater(len(self.tasks()), 4)
        self.assertIn("wait", self.server.tranqctl("status").stdout)
        self.server.reload(self.document())
        self.await_appended(1000)
        self.check_ids(self.druid, DS, drill.ids(events))
        self.check_violations(self.druid)

    def test_from_the_future(self):
        """A realtime task that comes later would overshadow it: it waits for
        its interval to be over."""
        self.server.post(DS, late_events(4, hours=-7))
        self.server.post(DS, late_events(2))
        wait_for(lambda: self.server.accounts(DS)["appended"] == 2)
        self.assertEqual(self.server.accounts(DS)["spool"], 4)
        wait_for(lambda: self.late_status()["waiting"]["early"] == 4,
                 "the status says so")
        self.assertIn("4 of intervals that are not over",
                      self.server.tranqctl("status").stdout)

    def test_out_of_druids_years(self):
        """Microseconds taken for milliseconds are of the year 58879: a task
        with them would fail, or they would wait here for ever."""
        odd = [dict(e, time=ms) for e, ms in zip(
            harness.events(3, run="odd"),
            [time.time() * 1000000 // 1, 253402300800000, -62167219200001])]
        late = late_events(2)
        answer = self.server.post(DS, odd + late, query="detail=true")
        self.assertEqual(answer.headers["X-Tranq-Dropped"], "3; window=3")
        self.assertEqual(answer.headers["X-Tranq-Late"], "2; append=2")
        self.await_appended(2)
        self.check_ids(self.druid, DS, drill.ids(late))
        self.check_violations(self.druid)

    def test_stop_does_not_wait(self):
        self.server.reload(self.document(**{"late.appendPeriod": "PT1H"}))
        self.server.post(DS, late_events(4))
        began = time.monotonic()
        self.server.restart()
        self.assertLess(time.monotonic() - began, 20)
        self.assertEqual(self.server.accounts(DS)["spool"], 4)


class TestTroubles(AppendCase):
    def test_a_task_fails(self):
        """It is tried again under another id; the status says why."""
        self.druid.fault("fail-batch", count=1)
        events = late_events(5)
        self.server.post(DS, events)

        def is_told():
            parcels = self.late_status()["parcels"]
            return parcels and "Told to fail" in parcels[0].get("note", "")
        wait_for(is_told, "the status says why")
        self.await_appended(5)
        self.assertEqual(sorted(s for _, s in self.tasks()),
                         ["FAILED", "SUCCESS"])
        self.assertEqual(sorted(i[-3:] for i, _ in self.tasks()),
                         ["_a0", "_a1"])
        self.check_ids(self.druid, DS, drill.ids(events))

    def test_others_go_on_while_one_rests(self):
        self.druid.fault("fail-batch", count=1)
        self.server.post(DS, late_events(5, run="a"))
        wait_for(lambda: ("FAILED" in [s for _, s in self.tasks()]))
        self.server.post(DS, late_events(5, run="b"))
        wait_for(lambda: self.server.accounts(DS)["appended"] >= 5)
        self.await_appended(10)

    def test_answers_are_lost(self):
        """The submission is done, its answer is not: the same id again is
        known, and no second task is made."""
        self.druid.fault("drop", where="overlord", count=2)
        events = late_events(5)
        self.server.post(DS, events)
        self.await_appended(5)
        self.assertEqual(len(self.tasks()), 1)
        self.check_ids(self.druid, DS, drill.ids(events))
        self.check_violations(self.druid)

    def test_overlord_away(self):
        self.druid.fault("overlord-away")
        events = late_events(5)
        self.assertEqual(self.server.post(DS, events).status, 200)
        wait_for(lambda: self.late_status()["parcels"])
        self.server.kill_worker(DS)
        self.druid.fault("none")
        self.await_appended(5)
        self.check_ids(self.druid, DS, drill.ids(events))

    def test_policy_changes_under_way(self):
        """A task that runs is finished as one, and not archived too; what
        waits is archived."""
        self.druid.fault("no-slots")
        first, second = late_events(5, run="a"), late_events(5, run="b")
        self.server.post(DS, first)
        wait_for(lambda: self.tasks())
        self.server.post(DS, second)
        self.server.reload(self.document(**{
            "late.policy": "archive", "archive.sealPeriod": "PT0.1S"}))
        wait_for(lambda: self.server.accounts(DS)["archived"] == 5)
        self.druid.fault("none")
        wait_for(lambda: self.server.accounts(DS)["appended"] == 5)
        self.check_ids(self.druid, DS, drill.ids(first))

    def test_a_task_fails_behind_a_change(self):
        """Then its events follow the new policy."""
        self.druid.fault("no-slots")
        self.druid.fault("fail-batch")
        self.server.post(DS, late_events(5))
        wait_for(lambda: self.tasks())
        self.server.reload(self.document(**{
            "late.policy": "archive", "archive.sealPeriod": "PT0.1S"}))
        self.druid.fault("no-slots", on=False)
        wait_for(lambda: self.server.accounts(DS)["archived"] == 5)
        self.assertEqual(self.server.accounts(DS)["appended"], 0)
        self.assertEqual(self.druid.events(DS), [])

    def test_refused(self):
        """A definite no: it waits, is told, and is planned anew."""
        self.druid.fault("error", where="overlord", status=400, count=1)
        events = late_events(5)
        self.server.post(DS, events)
        wait_for(lambda: "refuses task" in self.server.log())
        self.await_appended(5, seconds=60)
        self.check_ids(self.druid, DS, drill.ids(events))


class TestKill(AppendCase):
    properties = {"late.policy": "append", "late.appendPeriod": "PT0.05S",
                  "late.appendTasks": 2}
    druid_options = ("--batch-delay", "30")

    def test_killed_around_submissions(self):
        """kill -9 at any moment of collecting, planning, submitting, polling
        and removing: all that was answered 200 is there once."""
        chance = random.Random(3)
        wanted = []
        for n in range(60 if not drill.LONG else 600):
            events = late_events(40, run=f"k{n}", hours=3 + n % 3)
            self.assertEqual(self.server.post(DS, events).status, 200)
            wanted += events
            time.sleep(chance.random() * 0.05)  # any moment will do
            if n % 6 == 5:
                if n % 12 == 5:
                    self.server.kill_worker(DS)
                else:
                    self.server.kill_all()
                    self.server.start()
        self.await_appended(len(wanted), seconds=60)
        self.check_ids(self.druid, DS, drill.ids(wanted))
        self.check_violations(self.druid)


class TestMissedInterval(AppendCase):
    """What Druid did not take while its interval was open."""

    def document(self, **properties):
        properties = dict({"druidBeam.firehoseGracePeriod": "PT0S"},
                          **properties)
        return drill.config(
            [harness.data_source(DS, segment="second", window="PT3S")],
            self.druid.url, properties=dict(self.properties, **properties))

    def test_no_dead_letters(self):
        self.druid.fault("overlord-away")
        events = harness.events(20)
        answer = self.server.post(DS, events, is_async=True)
        self.assertEqual(answer.status, 200)
        wait_for(lambda: "late.policy" in self.server.log(), seconds=30)
        self.druid.fault("none")
        self.await_appended(20, seconds=60)
        self.check_ids(self.druid, DS, drill.ids(events))
        self.assertEqual(self.server.accounts(DS)["deadLetters"], 0)


if __name__ == "__main__":
    drill.main()
