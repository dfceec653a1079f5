#!/usr/bin/env python3
"""tranqctl archive: what is in the archive's files, and their way into Druid
by batch tasks, each row once, whatever dies on the way."""

import json
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

HOUR = 3600
DS = "wikipedia"
AT = (int(time.time()) // HOUR - 30) * HOUR


class ReindexCase(drill.OneSourceCase):
    properties = {"late.policy": "archive", "archive.sealPeriod": "PT0.1S"}

    def archive(self, count, hour=0, **how):
        """Events of that hour, in a file."""
        events = harness.events(count, at=AT + hour * HOUR + 7, **how)
        before = self.server.accounts(DS)["archived"]
        self.assertEqual(self.server.post(DS, events).status, 200)
        wait_for(lambda: self.server.accounts(DS)["archived"]
                 == before + count, "the file")
        return events

    def interval(self, hour=0):
        return "/".join(harness.iso(AT + h * HOUR) for h in (hour, hour + 1))

    def ctl(self, *words, code=0):
        done = self.server.tranqctl("archive", *words)
        self.assertEqual(done.returncode, code, (done.stdout, done.stderr))
        return done.stdout if code == 0 else done.stderr

    def list(self):
        """{(interval, state): (files, events)}"""
        return {(line["interval"].replace("_", "/"), line["state"]):
                (line["files"], line["events"])
                for line in json.loads(self.ctl("list", DS, "--json"))}


    def check_list(self, wanted):
        """What waits is told by the status, a moment later."""
        wait_for(lambda: self.list() == wanted, f"the list {wanted}")


class TestList(ReindexCase):
    def test_states(self):
        self.check_list({})
        self.archive(10)
        self.archive(5, run="f")
        self.archive(3, hour=1, run="g")
        self.check_list({
            (self.interval(), "sealed"): (2, 15),
            (self.interval(1), "sealed"): (1, 3)})
        text = self.ctl("list")
        self.assertIn("DATASOURCE", text)
        self.assertIn(self.interval().replace("/", "_"), text)
        self.server.reload(self.document(**{"archive.sealPeriod": "PT1H"}))
        self.server.post(DS, harness.events(4, at=AT))
        wait_for(lambda: self.list().get(("-", "open")) == (0, 4))
        self.ctl("reindex", DS, self.interval())
        self.assertEqual(self.list()[(self.interval(), "done")], (2, 15))
        self.server.stop()
        self.check_list({
            (self.interval(), "done"): (2, 15),
            (self.interval(1), "sealed"): (1, 3)})

    def test_wrong_use(self):
        self.assertIn("no dataSource 'other'",
                      self.ctl("list", "other", code=2))
        self.assertIn("usage", self.ctl("reindex", code=2))
        self.assertIn("usage", self.ctl("forget", DS, code=2))


class TestReindex(ReindexCase):
    def test_all_intervals(self):
        events = (self.archive(10) + self.archive(5, run="f")
                  + self.archive(3, hour=1, run="g"))
        self.ctl("reindex", DS)
        self.check_ids(self.druid, DS, drill.ids(events))
        self.check_violations(self.druid)
        self.check_list({
            (self.interval(), "done"): (2, 15),
            (self.interval(1), "done"): (1, 3)})
        self.ctl("reindex", DS)  # nothing is left: nothing comes twice
        more = self.archive(2, run="h")
        self.ctl("reindex", DS)
        self.check_ids(self.druid, DS, drill.ids(events + more))

    def test_shares(self):
        """A task has so many bytes; each row is in one of them."""
        self.server.reload(self.document(**{"late.appendBytes": 20000}))
        events = self.archive(600) + self.archive(300, run="f")
        out = self.ctl("reindex", DS)
        self.assertGreater(out.count("task reindex_"), 5)
        self.check_ids(self.druid, DS, drill.ids(events))
        self.check_violations(self.druid)

    def test_print(self):
        self.archive(3)
        tasks = [json.loads(line) for line in
                 self.ctl("reindex", "--print", DS).splitlines()]
        self.assertEqual(len(tasks), 1)
        spec = tasks[0]["spec"]
        self.assertEqual(spec["dataSchema"]["granularitySpec"]["intervals"],
                         [self.interval()])
        rows = spec["ioConfig"]["inputSource"]["data"].splitlines()
        self.assertEqual([json.loads(r)["id"] for r in rows],
                         ["e-0", "e-1", "e-2"])
        self.check_list({(self.interval(), "sealed"): (1, 3)})
        self.assertEqual(self.druid.events(DS), [])

    def test_replace(self):
        """The files, done ones too, take the place of what is there."""
        first = self.archive(5)
        self.ctl("reindex", DS)
        second = self.archive(5, run="f")
        self.ctl("reindex", "--replace", DS, self.interval())
        rows = self.druid.events(DS, lost=0)
        self.assertEqual(sorted(drill.ids(rows)),
                         sorted(drill.ids(first + second)))
        self.check_list({(self.interval(), "done"): (2, 10)})

    def test_a_task_fails(self):
        events = self.archive(5)
        self.druid.fault("fail-batch", count=2)
        self.ctl("reindex", DS)
        self.check_ids(self.druid, DS, drill.ids(events))

    def test_tasks_fail_again_and_again(self):
        events = self.archive(5)
        self.druid.fault("fail-batch")
        self.assertIn("Told to fail", self.ctl("reindex", DS, code=1))
        self.check_list({(self.interval(), "submitted"): (1, 5)})
        self.druid.fault("none")
        # what has come since is brought in by the same call
        events += self.archive(4, run="f")
        self.ctl("reindex", DS)
        self.check_ids(self.druid, DS, drill.ids(events))
        self.check_list({(self.interval(), "done"): (2, 9)})

    def test_killed(self):
        """kill -9 at any moment, and called again: each row once."""
        self.server.reload(self.document(**{"late.appendBytes": 20000}))
        events = self.archive(600) + self.archive(300, run="f")
        for n in range(8):
            process = subprocess.Popen(
                [harness.program("tranqctl"), "-c", self.server.config_file,
                 "archive", "reindex", DS],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                preexec_fn=harness.die_with_parent)
            try:
                process.wait(0.15 + n * 0.07)  # any moment will do
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
        self.ctl("reindex", DS)
        self.check_ids(self.druid, DS, drill.ids(events))
        self.check_violations(self.druid)
        self.check_list({(self.interval(), "done"): (2, 900)})

    def test_a_plan_that_cannot_be_read(self):
        """Its rows may be in Druid already: no other plan is made."""
        self.archive(5)
        plan = os.path.join(
            self.server.data_dir, "archive", DS,
            self.interval().replace("/", "_"), "reindex.json")
        with open(plan, "w") as f:
            f.write('{"files": [')
        self.assertIn("damaged", self.ctl("reindex", DS, code=1))
        os.remove(plan)
        os.mkdir(plan)
        self.assertIn("Is a directory", self.ctl("reindex", DS, code=1))
        self.assertEqual(self.druid.events(DS), [])
        os.rmdir(plan)
        self.ctl("reindex", DS)
        self.assertEqual(len(self.druid.events(DS)), 5)

    def test_overlord_by_option(self):
        """Where the configuration has no URL."""
        events = self.archive(5)
        document = self.document()
        del document["properties"]["druid.overlord.url"]
        document["properties"]["zookeeper.connect"] = "127.0.0.1:1"
        self.server.stop()
        self.server.write(document)
        self.ctl("reindex", "--overlord", self.druid.url, DS)
        self.check_ids(self.druid, DS, drill.ids(events))


if __name__ == "__main__":
    drill.main()
