#!/usr/bin/env python3
"""No 200 before the fsync: the worker is stopped around it, and no client may
have an answer; nor when it fails."""

import errno
import os
import select
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import faults  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

SILENCE_SECONDS = 0.15
DAYS = 86400


def now(run):
    return harness.events(5, run=run)


def late(run):
    return harness.events(5, run=run, at=time.time() - 5 * DAYS)


# what is sent, and how: a path and events for each dataSource
KINDS = {
    "synchronous": ("/kept", now),
    "async": ("/kept?async=true", now),
    "late": ("/kept", late),
    "late-async": ("/kept?async=true", late),
    "late-and-not": ("/kept?detail=true", lambda r: now(r) + late(r + "l")),
    "dropped": ("/plain", late),
    "dropped-and-not": ("/plain", lambda r: now(r) + late(r + "l")),
    "two-dataSources": ("?async=true", lambda r: [
        dict(e, dataSource=("kept", "plain")[n % 2])
        for n, e in enumerate(now(r))]),
}


class AnswerCase(drill.Case):
    properties = {}

    def setUp(self):
        super().setUp()
        self.faults = faults.Faults(os.path.join(self.folder, "faults"))
        self.druid = self.sandbox("--check", "full")
        self.server = self.tranqd(
            drill.config(["plain", drill.data_source(
                "kept", properties={"late.policy": "archive"})],
                self.druid.url, properties=self.properties),
            binary=faults.FAULT_TRANQD, environment=self.faults.environment)

    def send(self, client, kind, run):
        path, events = KINDS[kind]
        client.connection.request(
            "POST", "/v1/post" + path, harness.lines(events(run)),
            {"Content-Type": "application/json"})

    def await_quiet(self):
        """No commit is to come but those that are asked for."""
        def is_quiet():
            for d in self.server.status()["dataSources"]:
                a = d["accounts"]
                if d["name"] == "plain":
                    assert a["spool"] == 0, a
                assert a["inRings"] == 0, a
            return True
        wait_for(is_quiet, "nothing is under way")
        had = self.faults.passed("SYNC")
        time.sleep(0.05)
        return self.faults.passed("SYNC") == had


class TestAnswers(AnswerCase):
    properties = {"archive.sealPeriod": "PT1H"}

    def check(self, point, kind):
        wait_for(self.await_quiet, "no more commits")
        self.faults.stop(point)
        with self.server.client() as client:
            self.send(client, kind, f"{point}-{kind}")
            pid = self.faults.await_hit(point)
            try:
                early = select.select([client.connection.sock], [], [],
                                      SILENCE_SECONDS)[0]
            finally:
                os.kill(pid, signal.SIGCONT)
            answer = client.connection.getresponse()
            self.assertEqual(answer.status, 200, answer.read())
        self.assertEqual(early, [], "an answer before the commit")

    def test_none_before_the_commit(self):
        for point in ("COMMIT", "SYNC", "SYNCED"):
            for kind in KINDS:
                if point == "SYNC" or drill.LONG or "and" in kind:
                    with self.subTest(point=point, kind=kind):
                        self.check(point, kind)


class TestAccounts(AnswerCase):
    """An event is in a ring or in the spool, at each step between them."""

    def check(self, point):
        wait_for(self.await_quiet, "no more commits")
        had = self.server.accounts("plain")["received"]
        self.faults.stop(point)
        with self.server.client() as client:
            client.connection.request(
                "POST", "/v1/post/plain?async=true",
                harness.lines(now(point)),
                {"Content-Type": "application/json"})
            pid = self.faults.await_hit(point)
            try:
                a = self.server.accounts("plain")
            finally:
                os.kill(pid, signal.SIGCONT)
            answer = client.connection.getresponse()
            self.assertEqual(answer.status, 200, answer.read())
        self.assertEqual((a["received"], a["spool"] + a["inRings"]),
                         (had + 5, 5), a)

    def test_each_step(self):
        for point in ("SEALED", "COMMIT", "SYNC", "SYNCED", "COMMITTED",
                      "ADVANCE", "ADVANCED", "RECEIVER_TOLD"):
            with self.subTest(point=point):
                self.check(point)


class TestFailed(AnswerCase):
    """It fails until the answer's time is up."""
    properties = {"druidBeam.firehoseRetryPeriod": "PT0.4S"}

    def test_none_when_it_fails(self):
        for kind in KINDS if drill.LONG else (
                "synchronous", "late-and-not", "dropped"):
            with self.subTest(kind=kind):
                for ds in "plain", "kept":
                    wait_for(lambda: self.server.post(
                        ds, now(f"{kind}-{ds}")).status == 200, "200 again")
                wait_for(self.await_quiet, "no more commits")
                self.faults.fail("SYNC", errno.EIO, times=1000000)
                with self.server.client() as client:
                    self.send(client, kind, f"failed-{kind}")
                    status = client.connection.getresponse().status
                self.assertEqual(status, 503)
                self.assertGreater(self.faults.hits("SYNC"), 0)
                self.faults.disarm("SYNC")


if __name__ == "__main__":
    drill.main()
