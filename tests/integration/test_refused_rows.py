#!/usr/bin/env python3
"""Druid refuses a request for a row in it: that row alone becomes a dead letter,
the others are delivered once, whatever is killed meanwhile."""

import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

BAD = "poison"


class RefusedRows(drill.OneSourceCase):
    segment = "DAY"
    # small chunks, and several of them in a batch
    properties = {"druidBeam.firehoseChunkSize": "32"}

    def events(self, count, bad, run="e"):
        some = harness.events(count, run=run)
        for i in bad:
            some[i]["page"] = BAD
        return some

    def await_dead(self, count, seconds=40):
        wait_for(lambda: self.server.accounts(self.ds)["deadLetters"] == count,
                 f"{count} dead letters", seconds)

    def check_good(self, sent, bad, **how):
        good = {e["id"] for i, e in enumerate(sent) if i not in bad}
        self.check_ids(self.druid, self.ds, good, **how)
        self.await_drained(self.server)
        a = self.server.accounts(self.ds)
        self.assertTrue(a["holds"], a)
        self.assertEqual(a["deadLetters"], len(bad), a)
        self.assertEqual(a["sent"], len(sent) - len(bad), a)

    def send(self, sent, *, is_async=True):
        answer = self.server.post(self.ds, harness.lines(sent),
                                  is_async=is_async)
        self.assertEqual(answer.status, 200, answer)
        return answer

    def test_rows_alone(self):
        """First, last, neighbours, at the borders of chunks; who waits is told
        how many Druid has."""
        self.druid.fault("bad-row", text=BAD)
        bad = {0, 31, 32, 100, 101, 199}
        sent = self.events(200, bad)
        answer = self.send(sent, is_async=False)
        self.assertEqual((answer.received, answer.sent), (200, 194), answer)
        self.check_good(sent, bad)
        self.check_violations(self.druid)
        # narrowing is over: the next go as ever
        more = self.events(50, (), run="more")
        pushes = self.druid.stats()["pushes"]
        self.send(more, is_async=False)
        self.assertLessEqual(self.druid.stats()["pushes"] - pushes, 4)

    def test_all_bad(self):
        self.druid.fault("bad-row", text=BAD)
        sent = self.events(40, range(40))
        answer = self.send(sent, is_async=False)
        self.assertEqual((answer.received, answer.sent), (40, 0), answer)
        self.check_good(sent, range(40))

    def test_without_a_reason(self):
        """Druid may be told to keep quiet about errors: a row is given up when
        it fails again and again and what is around it is taken."""
        self.druid.fault("bad-row", text=BAD, quiet=True)
        sent = self.events(9, {5})
        self.send(sent)
        self.await_dead(1, seconds=60)
        self.check_good(sent, {5})

    def test_an_outage_is_none(self):
        """Errors for everything, however long, are no refusal of a row."""
        self.send(self.events(1, (), run="first"), is_async=False)
        self.druid.fault("error", status=500)
        sent = self.events(40, ())
        for i in range(0, 40, 10):
            self.send(sent[i:i + 10])
        wait_for(lambda: self.counters()["pushRetries"] > 60, "many retries",
                 60)
        self.assertEqual(self.server.accounts(self.ds)["deadLetters"], 0)
        self.druid.fault("error", on=False)
        self.await_drained(self.server)
        self.assertEqual(self.server.accounts(self.ds)["deadLetters"], 0)
        ids = {e["id"] for e in sent} | {"first-0"}
        found = drill.ids(self.druid.events(self.ds))
        self.assertEqual(len(found), 41)
        self.assertLessEqual({e["id"] for e in sent}, set(found), ids)

    def counters(self):
        return self.server.data_source(self.ds)["counters"]


class Killed(RefusedRows):
    time_bound = 180

    def test_killed_while_narrowing(self):
        self.druid.fault("bad-row", text=BAD)
        bad = set(range(7, 400, 60))
        sent = self.events(400, bad)
        self.send(sent)
        for _ in range(12 if not drill.LONG else 100):
            before = self.druid.stats()["pushes"]
            wait_for(lambda: self.druid.stats()["pushes"] > before
                     or self.server.accounts(self.ds)["spool"] == 0,
                     "a step", 40, step=0.001)
            if self.server.accounts(self.ds)["spool"] == 0:
                break
            self.server.kill_worker(self.ds)
        self.await_dead(len(bad), seconds=90)
        self.check_good(sent, bad)

    test_rows_alone = test_all_bad = None
    test_without_a_reason = test_an_outage_is_none = None


if __name__ == "__main__":
    drill.main()
