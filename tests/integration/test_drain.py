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
        spool = os.path.join(self.server.data_dir, "spool", DS, "data.mdb")
        with open(spool, "r+b") as f:
            good = f.read(8192)
            f.seek(0)
            f.write(bytes(8192))
        self.server.spawn()
        wait_for(lambda: os.path.exists(self.server.control_socket))
        wait_for(lambda: self.server.data_source(DS)["worker"]["deathCount"],
                 "its worker cannot open the spool")
        self.check_refused()
        with open(spool, "r+b") as f:
            f.write(good)
        self.server.wait_ready()
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
            wait_for(lambda: self.state(OTHER) > 0)
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


if __name__ == "__main__":
    drill.main()
