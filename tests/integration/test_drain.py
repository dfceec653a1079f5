#!/usr/bin/env python3
"""tranqctl drain: nothing more is taken, all that was goes to Druid, and it says
when that is done; in every mode, and whatever is killed meanwhile."""

import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

HOUR = 3600
DS, OTHER = "wikipedia", "other"


class DrainCase(drill.Case):
    time_bound = 120
    properties = {}

    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full", "--batch-delay", "50")
        self.server = self.tranqd(self.document())

    def document(self, **properties):
        return drill.config(
            [DS, OTHER], self.druid.url,
            properties=dict(self.properties, **properties))

    def drain(self, *arguments, code=0):
        got = self.server.tranqctl("drain", *arguments, seconds=60)
        self.assertEqual(got.returncode, code, got)
        return got

    def post(self, count, ds=DS, run="e", hours=0, **how):
        events = harness.events(count, run=run, at=time.time() - hours * HOUR)
        answer = self.server.post(ds, events, **how)
        self.assertEqual(answer.status, 200, answer)
        return drill.ids(events)

    def check_refused(self, ds=DS):
        answer = self.server.post(ds, harness.events(1, run="refused"))
        self.assertEqual(answer.status, 503, answer)
        self.assertEqual(answer.headers["Retry-After"], "10")
        self.assertIn("is being drained", answer.text)

    def state(self, ds=DS):
        return self.server.data_source(ds)["counters"]["drain"]


class TestPush(DrainCase):
    def test_drain_and_undo(self):
        """Of one dataSource: the other goes on."""
        sent = self.post(100)
        self.assertIn("drained", self.drain(DS).stdout)
        self.check_refused()
        self.check_ids(self.druid, DS, sent)
        self.post(1, OTHER)
        text = self.server.tranqctl("status").stdout
        self.assertRegex(text, rf"{DS} +drained ")
        self.assertIn("1 refused (draining)", text)
        # no restart takes events again, of whatever process
        for end in (lambda: self.server.kill_worker(DS),
                    self.server.kill_receiver, self.server.restart,
                    self.server.kill_all):
            end()
            if not self.server.is_running:
                self.server.start()
            self.check_refused()
        self.server.reload(self.document(**{"tranquility.maxBatchSize": 10}))
        self.check_refused()
        wait_for(lambda: self.state() == 2)
        self.assertIn("takes events again", self.drain("--undo", DS).stdout)
        self.post(1, run="again")
        self.server.restart()
        self.post(1, run="restarted")
        self.assertEqual(self.state(), 0)

    def test_nothing_before_the_worker(self):
        """A start whose worker comes late: receivers know already."""
        self.drain(DS)
        self.server.stop()
        with self.without_worker(self.server, DS):
            self.check_refused()
        self.check_refused()
        wait_for(lambda: self.state() == 2)

    def test_what_is_left(self):
        """While Druid takes nothing it is not drained, and says why."""
        self.druid.fault("refuse", where="all")
        sent = self.post(50, is_async=True)
        got = self.drain("--timeout", "PT1S", DS, code=1)
        self.assertIn("50 in the spool", got.stdout)
        self.assertIn("not drained in time", got.stderr)
        self.assertEqual(self.state(), 1)
        self.check_refused()
        self.druid.fault("none")
        self.drain(DS)
        self.check_ids(self.druid, DS, sent)

    def test_whole_instance(self):
        """Also while clients post and processes are killed: what was answered
        200 is in Druid when it ends, once."""
        sent = {DS: [], OTHER: []}
        for i in range(40):
            for ds in sent:
                sent[ds] += self.post(20, ds, run=f"{ds}{i}",
                                      is_async=i % 2 == 0)
        drain = subprocess.Popen(
            [harness.program("tranqctl"), "-c",
             self.server.config_file, "drain"], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        try:
            # a worker that ends amid the order is ordered again, by hand
            wait_for(lambda: all(self.state(ds) > 0 for ds in sent))
            self.server.kill_worker(DS)
            self.server.kill_receiver()
            out, _ = drain.communicate(timeout=60)
        finally:
            drain.kill()
        self.assertEqual(drain.returncode, 0, out)
        for ds, events in sent.items():
            self.check_refused(ds)
            self.check_ids(self.druid, ds, events)
            a = self.server.accounts(ds)
            self.assertEqual((a["spool"], a["inRings"], a["holds"]),
                             (0, 0, True), a)

    def test_words(self):
        self.assertIn("no such dataSource",
                      self.drain("nobody", code=1).stderr)
        self.assertIn("PT10M", self.drain("--timeout", "10", DS,
                                          code=2).stderr)
        self.drain(DS, OTHER, code=2)
        self.assertEqual(self.server.control("drain")[0], False)
        self.assertEqual(self.state(), 0)
        self.drain("--undo")
        # a disk that takes no mark changes nothing
        folder = os.path.join(self.server.data_dir, "spool", DS)
        os.mkdir(os.path.join(folder, "draining"))
        self.drain("--undo", DS, code=1)
        os.rmdir(os.path.join(folder, "draining"))
        self.post(1)
        self.server.stop()
        self.drain(code=3)

    def test_dead_letters(self):
        """They cannot be delivered: it ends, and says so."""
        self.druid.fault("bad-row", text="poison")
        events = harness.events(3)
        events[1]["page"] = "poison"
        self.server.post(DS, events, is_async=True)
        wait_for(lambda: self.server.accounts(DS)["deadLetters"] == 1,
                 seconds=40)
        got = self.drain(DS, code=1)
        self.assertIn("1 dead letters (1 events) stay", got.stderr)
        self.assertEqual(self.state(), 2)


class TestLate(DrainCase):
    """They wait for no more."""
    properties = {"late.policy": "append", "late.appendPeriod": "PT1H"}

    def test_late_ones_leave_at_once(self):
        sent = self.post(5) + self.post(7, run="late", hours=50)
        wait_for(lambda: self.server.accounts(DS)["spool"] == 7)
        self.drain(DS)
        self.check_ids(self.druid, DS, sent)
        self.assertEqual(self.server.accounts(DS)["appended"], 7)


class TestArchive(DrainCase):
    properties = {"archive.all": True, "archive.sealPeriod": "PT1H"}

    def test_copies_are_made(self):
        self.post(5)
        wait_for(lambda: self.server.accounts(DS)["spool"] == 0)
        got = self.drain(DS)
        self.assertIn("archive", got.stdout)
        self.assertEqual(self.server.data_source(DS)["counters"]["copied"], 5)


class TestAppend(DrainCase):
    properties = {"delivery.mode": "append", "append.period": "PT1H"}

    def test_append(self):
        """It is drained when the tasks are in; killed in between, too."""
        sent = self.post(30) + self.post(10, run="old", hours=500)
        self.assertEqual(self.server.accounts(DS)["spool"], 40)
        got = self.drain("--timeout", "PT0S", DS, code=1)
        self.assertIn("40 in the spool", got.stdout)
        self.server.kill_worker(DS)
        self.drain(DS)
        self.check_refused()
        self.check_ids(self.druid, DS, sent)
        self.assertEqual(self.server.accounts(DS)["appended"], 40)
        self.check_violations(self.druid)


class PullCase(drill.Case):
    time_bound = 120
    version = "34.0.0"
    name = f"{DS}-tq1"

    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full", "--druid", self.version)
        self.server = self.tranqd(drill.config(
            [DS], self.druid.url, properties={
                "delivery.mode": "pull", "pull.instance": "tq1",
                "pull.listen": f"127.0.0.1:{self.reserved_port()}",
                "pull.taskDuration": "PT1S", "pull.retain": "P1D",
                "pull.compression": "none"}))
        self.pulled = self.puller(self.druid, self.name)
        self.sent = []

    def post(self, count, run="e"):
        events = harness.events(count, run=run)
        answer = self.server.post(DS, events)
        self.assertEqual(answer.status, 200, answer)
        self.sent += drill.ids(events)

    def begin_drain(self):
        drain = subprocess.Popen(
            [harness.program("tranqctl"), "-c", self.server.config_file,
             "drain", DS], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True)
        self.addCleanup(drain.stdout.close)
        self.addCleanup(drain.wait)
        self.addCleanup(drain.kill)
        return drain

    def end_drain(self, drain):
        out, _ = drain.communicate(timeout=60)
        self.assertEqual(drain.returncode, 0, out)
        return out

    def is_suspended(self):
        s = self.pulled.supervisor()
        return s["spec"] is not None and s["suspended"]

    def await_suspended(self):
        wait_for(self.is_suspended, "it is suspended")

    def state(self):
        return self.server.data_source(DS)["counters"]["drain"]

    def check_druid(self):
        self.assertEqual(
            sorted(drill.ids(self.druid.events(DS, lost="false"))),
            sorted(self.sent))
        self.check_accounts(self.server)


class TestPull(PullCase):
    def test_drain_and_undo(self):
        self.post(100)
        self.pulled.await_events(50)
        drain = self.begin_drain()
        self.await_suspended()
        self.assertEqual(self.state(), 1)
        self.assertEqual(self.server.post(DS, harness.events(1)).status, 503)
        self.pulled.commit()
        self.assertIn("publishes", self.end_drain(drain))
        self.check_druid()
        self.assertIsNone(self.pulled.supervisor()["spec"])
        a = self.server.accounts(DS)
        self.assertEqual((a["spool"], a["sent"]), (0, 100))
        # nothing makes it again, until that is undone
        self.server.restart()
        wait_for(lambda: self.state() == 2)
        self.assertIsNone(self.pulled.supervisor()["spec"])
        self.assertEqual(self.server.tranqctl("drain", DS).returncode, 0)
        self.assertEqual(
            self.server.tranqctl("drain", "--undo", DS).returncode, 0)
        self.post(50, "again")
        self.pulled.await_events(150)
        self.check_druid()

    def test_a_task_fails(self):
        """Its events are read again, and come once."""
        self.post(100)
        self.pulled.await_events(100)
        drain = self.begin_drain()
        self.await_suspended()
        self.pulled.fail(self.publishing())
        wait_for(lambda: not self.is_suspended(), "it is resumed")
        self.pulled.await_events(100)
        self.await_suspended()
        self.pulled.commit()
        self.end_drain(drain)
        self.check_druid()

    def publishing(self):
        return wait_for(lambda: [
            g["name"] for g in self.pulled.supervisor()["groups"]
            if g["publishing"]])[0]

    def test_killed_and_undone_amid_it(self):
        self.post(100)
        self.pulled.await_events(100)
        drain = self.begin_drain()
        self.await_suspended()
        self.server.kill_worker(DS)
        drain.kill()
        self.assertEqual(
            self.server.tranqctl("drain", "--undo", DS).returncode, 0)
        wait_for(lambda: not self.is_suspended(), "it is resumed")
        self.pulled.commit()
        self.post(20, "more")
        self.pulled.await_events(120)
        drain = self.begin_drain()
        self.await_suspended()
        self.server.kill_all()
        self.server.start()
        self.pulled.commit()
        self.end_drain(self.begin_drain())
        self.check_druid()
        self.assertIsNone(self.pulled.supervisor()["spec"])

    def test_suspended_by_somebody_else(self):
        """It stays so; what is to be done is said."""
        wait_for(lambda: self.pulled.supervisor())
        wait_for(lambda: not self.is_suspended())
        self.druid.ask_supervisor(f"/{self.name}/suspend", body={})
        self.post(10)
        got = self.server.tranqctl("drain", "--timeout", "PT2S", DS)
        self.assertEqual(got.returncode, 1, got)
        self.assertIn("resume it", got.stdout)
        self.druid.ask_supervisor(f"/{self.name}/resume", body={})
        drain = self.begin_drain()
        self.pulled.await_events(10)
        self.await_suspended()
        self.pulled.commit()
        self.end_drain(drain)
        self.check_druid()

    def test_nothing_was_sent(self):
        self.end_drain(self.begin_drain())
        # one that was being made at that moment is ended, too
        def is_ended():
            supervisor = self.pulled.supervisor() or {}
            if supervisor.get("groups"):
                self.pulled.commit()
            return supervisor.get("spec") is None
        wait_for(is_ended, "it is ended")


class TestPullByName(PullCase):
    """Before Druid 34 it has the dataSource's name: it stays, suspended."""
    version = "31.0.0"
    name = DS

    def test_drain_and_undo(self):
        self.post(100)
        self.pulled.await_events(100)
        drain = self.begin_drain()
        self.await_suspended()
        self.pulled.commit()
        self.end_drain(drain)
        self.check_druid()
        self.server.restart()
        wait_for(lambda: self.state() == 2)
        self.assertTrue(self.is_suspended())
        self.assertEqual(
            self.server.tranqctl("drain", "--undo", DS).returncode, 0)
        self.post(50, "again")
        self.pulled.await_events(150)
        self.check_druid()


if __name__ == "__main__":
    drill.main()
