#!/usr/bin/env python3
"""What kills its worker three times running is set aside in a file; what is
around it is delivered; kills from outside condemn nothing."""

import glob
import json
import os
import random
import signal
import stat
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import faults  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

DS = "wikipedia"
KILLS = 12 if not drill.LONG else 200


class QuarantineCase(drill.Case):
    time_bound = 180

    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full")
        self.server = self.tranqd(
            drill.config([DS], self.druid.url, properties=self.properties),
            binary=faults.FAULT_TRANQD)

    properties = {}

    def send(self, list_of_events):
        with self.server.client() as client:
            client.post(DS, harness.lines(list_of_events), is_async=True)

    def poisoned(self, place, count, at, run="e"):
        some = harness.events(count, run=run)
        for i in at:
            some[i]["page"] = f"poison-{place}"
        return some

    def files(self):
        found = []
        for path in sorted(glob.glob(os.path.join(
                self.server.data_dir, "quarantine", DS, "*"))):
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
            with open(path) as f:
                lines = [json.loads(line) for line in f]
            found.append((os.path.basename(path), lines[0], lines[1:]))
        return found

    def await_quarantined(self, events, seconds=60):
        wait_for(lambda: self.server.accounts(DS)["quarantined"] == events,
                 f"{events} quarantined events", seconds)

    def check(self, sent, bad):
        """The bad ones are in files, once; all others in Druid, once."""
        self.await_quarantined(len(bad))
        self.check_ids(self.druid, DS, set(drill.ids(sent)) - set(bad),
                       seconds=60)
        self.await_drained(self.server)
        self.check_accounts(self.server)
        aside = [e["id"] for _, head, events in self.files()
                 for e in events]
        self.assertEqual(sorted(aside), sorted(bad))
        for _, head, events in self.files():
            self.assertEqual(head["dataSource"], DS)
            self.assertEqual(head["deaths"], 3)
            self.assertEqual(head["events"], len(events))
            self.assertIn("signal 4", head["lastDeath"])


class TestPoison(QuarantineCase):
    def test_one_event_of_a_block(self):
        sent = self.poisoned("ring", 50, {20})
        self.send(sent)
        self.check(sent, {"e-20"})
        self.assertIn("1 quarantined", self.server.tranqctl("status").stdout)
        listed = json.loads(self.server.tranqctl(
            "deadletters", "list", "--json").stdout)
        self.assertEqual([(x["reason"], x["events"]) for x in listed],
                         [("quarantined", 1)])
        self.assertIn("signal 4", listed[0]["text"])
        more = harness.events(5, run="more")
        self.send(more)
        self.check(sent + more, {"e-20"})

    def test_two_events_of_a_block(self):
        sent = self.poisoned("ring", 10, {2, 7})
        self.send(sent)
        self.check(sent, {"e-2", "e-7"})

    def test_found_at_the_seal(self):
        """It dies with a group of blocks in hand: then they go one by one, and
        the block that it is alone is set aside."""
        for i in range(20):
            some = self.poisoned("seal", 3, {1} if i == 13 else (),
                                 run=f"b{i}")
            self.send(some)
        sent = [e for i in range(20)
                for e in harness.events(3, run=f"b{i}")]
        self.check(sent, {"b13-0", "b13-1", "b13-2"})

    def test_a_batch(self):
        self.send(self.poisoned("batch", 4, {1}, run="bad"))
        self.await_quarantined(4)
        good = harness.events(30, run="good")
        self.send(good)
        sent = harness.events(4, run="bad") + good
        self.check(sent, {f"bad-{i}" for i in range(4)})


    def test_a_batch_that_is_answered(self):
        """It can be sent each time; Druid has it when it kills."""
        self.send(self.poisoned("answer", 4, {1}, run="bad"))
        self.await_quarantined(4)
        self.assertEqual([(head["was"], len(events))
                          for _, head, events in self.files()],
                         [("batch of the spool", 4)])
        good = harness.events(30, run="good")
        self.send(good)
        self.check_ids(self.druid, DS, set(
            drill.ids(harness.events(4, run="bad") + good)))
        self.await_drained(self.server)
        self.check_accounts(self.server)


class TestLinger(QuarantineCase):
    properties = {"tranquility.lingerMillis": "50"}

    def test_found_at_a_later_seal(self):
        """What was read turns ago kills when its batch is sealed."""
        self.send(self.poisoned("seal", 3, {1}, run="bad"))
        self.await_quarantined(3)
        good = harness.events(3, run="good")
        self.send(good)
        self.check(harness.events(3, run="bad") + good,
                   {f"bad-{i}" for i in range(3)})


class TestOutside(QuarantineCase):
    def test_kills_condemn_nothing(self):
        """At any moment under load, crashes by a debugger's hand too."""
        sent = []
        chance = random.Random(7)
        for n in range(KILLS):
            some = harness.events(40, run=f"r{n}")
            self.send(some)
            sent += some
            time.sleep(chance.random() * 0.003)
            self.server.kill_worker(DS, chance.choice(
                [signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV]))
            if n % 4 == 3:
                self.server.restart()
        self.check(sent, set())
        self.assertEqual(self.files(), [])


class TestFull(QuarantineCase):
    properties = {"quarantine.bytesMax": "0"}

    def test_nothing_goes_on_without_its_file(self):
        sent = self.poisoned("ring", 5, {2})
        with self.server.client() as client:
            client.connection.request(  # its answer waits
                "POST", f"/v1/post/{DS}?async=true", harness.lines(sent),
                {"Content-Type": "application/json"})
            wait_for(lambda: "is full" in self.server.log(), "said so", 60)
            self.assertEqual(self.files(), [])
            self.assertEqual(self.server.accounts(DS)["quarantined"], 0)
            self.server.reload(drill.config([DS], self.druid.url))
            self.assertEqual(client.connection.getresponse().status, 200)
        self.check(sent, {"e-2"})

    def test_its_worker_says_so(self):
        self.send(self.poisoned("batch", 2, {1}))

        def is_said():
            death = self.server.data_source(DS)["worker"]["lastDeath"]
            return death is not None and "is full" in death["lastWords"]
        wait_for(is_said, "the reason as last words", 60)
        self.assertEqual(self.files(), [])
        self.assertEqual(self.server.accounts(DS)["spool"], 2)


if __name__ == "__main__":
    drill.main()
