#!/usr/bin/env python3
"""tranqctl deadletters: list, show, export, requeue, drop, with a daemon and
without one; whatever is killed, the accounts add up."""

import json
import os
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

BAD = "poison"


class DeadLetters(drill.OneSourceCase):
    segment = "DAY"

    def dead(self, *words, code=0):
        done = self.server.tranqctl("-c", self.server.config_file,
                                    "deadletters", *words)
        self.assertEqual(done.returncode, code, done)
        return done.stdout

    def listed(self, *words):
        return json.loads(self.dead("list", *words, "--json"))

    def make(self, bad, good=0, run="e"):
        """So many dead letters, each an event of its own."""
        self.druid.fault("bad-row", text=BAD)
        events = harness.events(bad + good, run=run)
        for e in events[:bad]:
            e["page"] = BAD
        before = self.server.accounts(self.ds)["deadLetters"]
        answer = self.server.post(self.ds, harness.lines(events),
                                  is_async=True)
        self.assertEqual(answer.status, 200, answer)
        wait_for(lambda: self.server.accounts(self.ds)["deadLetters"]
                 == before + bad, f"{bad} dead letters", 60)
        self.await_drained(self.server)
        return events

    def mend(self):
        self.druid.fault("bad-row", on=False)

    def account(self, **wanted):
        def is_so():
            a = self.server.accounts(self.ds)
            self.assertTrue(a["holds"], a)
            a["dropped"] = a["dropped"]["deadLetters"]
            return {k: a[k] for k in wanted} == wanted
        wait_for(is_so, f"accounts with {wanted}", 30)

    def test_looking(self):
        self.assertEqual(self.listed(), [])
        events = self.make(3, good=2)
        letters = self.listed(self.ds)
        self.assertEqual(len(letters), 3)
        for letter in letters:
            self.assertEqual(letter["reason"], "refused")
            self.assertIn("ParseException", letter["text"])
            self.assertEqual(letter["events"], 1)
            self.assertGreater(letter["bytes"], 0)
            self.assertTrue(letter["at"].endswith("Z"), letter)
            self.assertIn("T00:00:00.000Z/", letter["interval"])
        table = self.dead("list").splitlines()
        self.assertEqual(len(table), 4, table)
        self.assertIn(letters[0]["key"], table[1])
        shown = self.dead("show", self.ds, letters[0]["key"])
        self.assertEqual(json.loads(shown.splitlines()[-1])["id"],
                         events[0]["id"])
        lines = self.dead("export", self.ds, "--all").splitlines()
        self.assertEqual([json.loads(x)["id"] for x in lines],
                         drill.ids(events[:3]))
        self.account(deadLetters=3, sent=2)
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [harness.program("tranqctl"), "-c", self.server.config_file,
                 "deadletters", "export", self.ds, "--all"],
                stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(done.returncode, 1, done)
        self.assertEqual(done.stderr, "tranqctl: cannot write the events: "
                         "No space left on device\n")

    def test_requeue_and_drop(self):
        events = self.make(4, good=1)
        self.mend()
        keys = [x["key"] for x in self.listed()]
        self.assertIn("requeued 1 dead letters (1 events)",
                      self.dead("requeue", self.ds, keys[1]))
        self.account(deadLetters=3, sent=2)
        self.assertIn("dropped 1 dead letters (1 events)",
                      self.dead("drop", self.ds, keys[0]))
        self.account(deadLetters=2, dropped=1)
        self.assertIn("requeued 2 ", self.dead("requeue", self.ds, "--all"))
        self.account(deadLetters=0, sent=4, dropped=1)
        self.assertEqual(self.listed(), [])
        self.check_ids(self.druid, self.ds,
                       {e["id"] for e in events[1:]})
        self.check_violations(self.druid)

    def test_refused_again(self):
        """It becomes a dead letter once more, and the accounts do not grow."""
        self.make(1)
        self.dead("requeue", self.ds, "--all")
        wait_for(lambda: self.listed(), "a dead letter again", 20)
        self.account(deadLetters=1, sent=0, received=1)

    def test_stopped(self):
        events = self.make(3)
        self.mend()
        self.server.stop()
        keys = [x["key"] for x in self.listed()]
        self.assertEqual(len(keys), 3)
        self.assertIn("dropped 1 ", self.dead("drop", self.ds, keys[2]))
        self.assertIn("requeued 1 ", self.dead("requeue", self.ds, keys[0]))
        self.assertEqual([x["key"] for x in self.listed()], [keys[1]])
        self.server.start()
        self.account(deadLetters=1, sent=1, dropped=1)
        self.check_ids(self.druid, self.ds, {events[0]["id"]})

    def test_wrong_use(self):
        for words in (["list", "a", "b"], ["drop", self.ds], ["nonsense"],
                      ["drop", self.ds, "x"], ["show", "../x", "1"],
                      ["drop", "other", "1"], ["drop", self.ds, "1", "--all"],
                      ["list", "other"], ["export", "other", "--all"], []):
            self.dead(*words, code=2)
        self.dead("drop", self.ds, "77", code=1)
        self.dead("show", self.ds, "77", code=1)
        self.assertIn("0 dead letters", self.dead("drop", self.ds, "--all"))
        self.account(deadLetters=0, dropped=0, received=0)

    def test_killed(self):
        """A worker killed at any moment of a requeue: what has left the dead
        letters is delivered, the rest is there still."""
        count = 150
        events = self.make(count)
        self.mend()
        control = f"deadletters requeue {self.ds} all"
        for _ in range(30):
            left = len(self.listed())
            if left == 0:
                break
            t = threading.Thread(target=lambda: self.server.control(control))
            t.start()
            wait_for(lambda: len(self.listed()) < left or not t.is_alive(),
                     "some of them go", 20, step=0.001)
            if len(self.listed()) > 0:
                self.server.kill_worker(self.ds)
            t.join()
            wait_for(lambda: self.server.data_source(self.ds)["worker"]
                     ["state"] == "ready", "a worker", 40)
        self.account(deadLetters=0, sent=count)
        self.check_ids(self.druid, self.ds, {e["id"] for e in events})


if __name__ == "__main__":
    drill.main()
