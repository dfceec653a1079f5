#!/usr/bin/env python3
"""delivery.mode pull, as far as the feed: what was answered 200 is in the log,
once, under offsets that only grow, whatever dies, and a consumer has it in that
order; what waited for tasks moves into the log.

The log is read by `tranqctl spool export`. There is no Druid: nothing leaves it.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from faults import FAULT_TRANQD, Faults  # noqa: E402
from harness import wait_for  # noqa: E402

OVERLORD = "http://127.0.0.1:1"  # nobody is asked
WORKER_POINTS = ["PEEKED", "TAKEN", "SEAL", "SEALED", "TXN_BEGUN", "COMMIT",
                 "COMMITTED", "ADVANCE", "ADVANCED", "RECEIVER_TOLD"]
RECEIVER_POINTS = ["DURABLE_SEEN"]


class PullCase(drill.Case):
    properties = {}

    def start(self, name="tranqd", **properties):
        self.faults = Faults(os.path.join(self.folder, "faults"))
        self.server = self.tranqd(
            self.document(**properties), binary=FAULT_TRANQD, name=name,
            environment=self.faults.environment)

    def document(self, **properties):
        return drill.config(["a"], OVERLORD, properties=dict(
            {"delivery.mode": "pull", "pull.listen": "127.0.0.1:0",
             **self.properties}, **properties))

    def log(self):
        said = self.server.data_source("a")["beams"] or {}
        return said.get("log", {"partitions": []})

    def await_log(self, events):
        """The status follows within a moment: its partitions."""
        def there():
            partitions = self.log()["partitions"]
            return partitions if partitions and events == sum(
                p["end"] - p["start"] for p in partitions) else None
        return wait_for(there, f"{events} events in the log")

    def post_some(self, sent, unknown, stop, run):
        """Ids of what was answered 200, and of what may be there or not."""
        at = 0
        while not stop.is_set():
            events = harness.events(20, at, run=run)
            at += 20
            try:
                answer = self.server.post("a", events)
            except OSError:
                answer = None
            if answer is not None and answer.status == 200:
                sent += drill.ids(events)
            else:
                unknown += drill.ids(events)
                stop.wait(0.05)

    def spool(self, what):
        return self.server.tranqctl("spool", what, "a")

    def exported(self):
        done = self.spool("export")
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def check_log(self, sent, unknown=()):
        """All that was answered is there once, nothing from nowhere."""
        got = drill.ids(self.exported())
        self.assertEqual(len(got), len(set(got)))
        self.assertEqual(set(sent) - set(got), set())
        self.assertEqual(set(got) - set(sent) - set(unknown), set())
        done = self.spool("verify")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn(f"{len(got)} events", done.stdout)
        return got


class TestLog(PullCase):
    def test_answered_by_the_commit(self):
        self.start()
        before = harness.events(50)
        answer = self.server.post("a", before)
        self.assertEqual((answer.status, answer.received, answer.sent),
                         (200, 50, 50), answer)
        answer = self.server.post("a", harness.events(50, 50), is_async=True)
        self.assertEqual((answer.status, answer.received, answer.sent),
                         (200, 50, 0), answer)
        [first] = self.await_log(100)
        self.assertEqual(first["start"] % (1 << 22), 0)
        self.check_log(drill.ids(before + harness.events(50, 50)))
        self.check_accounts(self.server)
        # Druid has nothing of it to do with a stop
        self.server.restart()
        answer = self.server.post("a", harness.events(1, 100))
        self.assertEqual((answer.status, answer.sent), (200, 1), answer)
        [then] = self.await_log(101)
        self.assertEqual(then["start"], first["start"])

    def test_events_of_any_time(self):
        self.start()
        old = harness.events(3, at=86400.0)
        answer = self.server.post("a", old)
        self.assertEqual((answer.status, answer.sent), (200, 3), answer)
        self.check_log(drill.ids(old))

    def test_compressed_and_spread(self):
        for codec in ("none", "gzip", "lz4", "zstd"):
            with self.subTest(codec):
                self.start(codec, **{"pull.compression": codec,
                                     "pull.partitions": 3})
                sent = harness.events(900)
                self.assertEqual(self.server.post("a", sent).sent, 900)
                self.check_log(drill.ids(sent))
                self.assertEqual([p["partition"] for p in
                                  self.await_log(900)], [0, 1, 2])
                self.server.stop()

    def test_from_push_to_pull(self):
        self.start(**{"delivery.mode": "push",
                      "druidBeam.firehoseRetryPeriod": "PT0.1S"})
        waiting = harness.events(300)
        for at in range(0, 300, 100):
            self.assertEqual(self.server.post(
                "a", waiting[at:at + 100]).status, 200)
        self.faults.kill("COMMITTED", at=2)
        self.server.reload(self.document())
        wait_for(lambda: "log" in (self.server.data_source("a")["beams"] or
                                   ""), "the log")
        more = harness.events(100, 300)
        wait_for(lambda: self.server.post("a", more[:1]).status == 200,
                 "an answer")
        self.assertEqual(self.server.post("a", more[1:]).status, 200)
        wait_for(lambda: len(self.exported()) >= 400, "all of it in the log")
        self.check_log(drill.ids(waiting + more))
        self.await_log(400)
        self.check_accounts(self.server)
        # and back again: what is in the log stays there, and says so
        for mode, member in (("append", "append"), ("push", "beams")):
            self.server.reload(self.document(**{"delivery.mode": mode}))
            wait_for(lambda: member in (
                self.server.data_source("a")["beams"] or {}), mode)
            said = self.server.data_source("a")["beams"]
            self.assertTrue(any("400 events are in the spool's log" in note
                                for note in said["notes"]), said)
        self.check_accounts(self.server)
        self.server.stop()


class TestKilled(PullCase):
    """At each step of an event, while clients post."""
    time_bound = 300

    def strike(self, point):
        self.faults.kill(point, at=3)
        self.faults.await_hit(point)

    def test_points(self):
        self.start()
        sent, unknown, stop = [], [], threading.Event()
        threads = [threading.Thread(target=self.post_some, args=(
            sent, unknown, stop, f"r{n}")) for n in range(3)]
        for t in threads:
            t.start()
        try:
            for point in WORKER_POINTS + RECEIVER_POINTS:
                with self.subTest(point):
                    self.strike(point)
        finally:
            stop.set()
            for t in threads:
                t.join()
        wait_for(lambda: self.server.post(
            "a", harness.events(1, run="last")).status == 200, "an answer")
        sent += ["last-0"]
        self.check_log(sent, unknown)
        self.assertGreater(len(sent), 100)
        self.await_log(len(self.exported()))
        self.check_accounts(self.server)


@unittest.skipUnless(shutil.which("kcat"), "kcat is not there")
class TestPulled(TestKilled):
    """A consumer reads along, while workers, receivers and the feed die."""

    def document(self, **properties):
        self.address = f"127.0.0.1:{self.reserved_port()}"
        return super().document(**{"pull.listen": self.address}, **properties)

    def setUp(self):
        super().setUp()
        self.start()
        self.await_log(0)
        self.seen, self.is_over, self.kcat = [], False, None
        self.reader = threading.Thread(target=self.read_along)
        self.reader.start()

    def tearDown(self):
        self.is_over = True
        while self.reader.is_alive():
            if self.kcat is not None:
                self.kcat.kill()
            self.reader.join(0.1)
        super().tearDown()

    def read_along(self):
        """kcat gives up when its broker is gone; another one goes on."""
        while not self.is_over:
            at = self.seen[-1][0] + 1 if self.seen else "beginning"
            self.kcat = subprocess.Popen(
                ["kcat", "-b", self.address, "-C", "-t", "a", "-o", str(at),
                 "-q", "-u", "-f", "%o %s\\n", "-X", "check.crcs=true"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL)
            with self.kcat:
                for line in self.kcat.stdout:
                    if line.endswith(b"\n"):
                        offset, value = line.split(b" ", 1)
                        self.seen.append(
                            (int(offset), json.loads(value)["id"]))

    def rows(self):
        return list(self.seen)

    def kill_feed(self):
        harness.kill(self.server.status()["feed"]["pid"])

    def strike(self, point):
        super().strike(point)
        if point in ("SEAL", "COMMITTED"):
            self.kill_feed()

    def start(self, **properties):
        if not hasattr(self, "server"):
            super().start(**properties)

    def check_log(self, sent, unknown=()):
        got = super().check_log(sent, unknown)
        wait_for(lambda: len(self.rows()) >= len(got), "the consumer has all")
        rows = self.rows()
        self.assertEqual([i for _, i in rows], got)
        first = rows[0][0]
        self.assertEqual([o for o, _ in rows],
                         list(range(first, first + len(rows))))
        return got

    def test_seen_at_once(self):
        """From the answer to the consumer's line."""
        delays = []
        for n in range(60):
            self.assertEqual(self.server.post(
                "a", harness.events(1, n)).status, 200)
            began = time.monotonic()
            wait_for(lambda: len(self.rows()) > n, "the consumer has it")
            delays.append(time.monotonic() - began)
        delays.sort()
        print(f"  seen after {delays[30] * 1000:.1f} ms (median), "
              f"{delays[-1] * 1000:.1f} ms (last)", file=sys.stderr)
        self.assertLess(delays[30], 1)


@unittest.skipUnless(shutil.which("kcat"), "kcat is not there")
class TestSetBack(PullCase):
    """A spool that is put back to an earlier state, or lost: no offset is given
    to two events, and what comes then is read by who has read on."""

    def document(self, **properties):
        self.address = f"127.0.0.1:{self.reserved_port()}"
        return super().document(**{"pull.listen": self.address}, **properties)

    def setUp(self):
        super().setUp()
        self.start()
        self.await_log(0)
        self.spools = os.path.join(self.server.data_dir, "spool", "a")
        self.copy = os.path.join(self.folder, "copy")

    def post(self, first, count):
        events = harness.events(count, first)
        self.assertEqual(self.server.post("a", events).status, 200)
        return drill.ids(events)

    def read(self, offset="beginning"):
        done = subprocess.run(
            ["kcat", "-b", self.address, "-C", "-t", "a", "-o", str(offset),
             "-q", "-e", "-f", "%o %s\\n"], text=True, timeout=30,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
        rows = [line.split(" ", 1) for line in done.stdout.splitlines()]
        return [(int(o), json.loads(v)["id"]) for o, v in rows]

    def await_clock(self, offset):
        """It is the measure of a jump, by seconds."""
        wait_for(lambda: int(time.time()) > offset >> 22)

    def test_restored(self):
        before = self.post(0, 100)
        self.server.stop()
        shutil.copytree(self.spools, self.copy)
        self.server.start()
        lost = self.post(100, 50)
        seen = self.read()
        self.assertEqual([i for _, i in seen], before + lost)
        self.server.stop()
        shutil.rmtree(self.spools)
        shutil.copytree(self.copy, self.spools)
        self.await_clock(seen[-1][0])
        self.server.start()
        self.assertIn("is not the file that its log was written to last",
                      self.server.log())
        new = self.post(200, 10)
        then = self.read(seen[-1][0] + 1)
        self.assertEqual([i for _, i in then], new)
        self.assertGreater(then[0][0], seen[-1][0])
        self.assertEqual([i for _, i in self.read()], before + new)

    def test_lost(self):
        self.post(0, 100)
        seen = self.read()
        self.server.stop()
        shutil.rmtree(self.spools)
        self.await_clock(seen[-1][0])
        self.server.start()
        new = self.post(200, 10)
        then = self.read()
        self.assertEqual([i for _, i in then], new)
        self.assertGreater(then[0][0], seen[-1][0])

    def test_asked_beyond(self):
        """A snapshot of the whole machine was put back: nothing tells it but
        its consumer, who has read on."""
        self.post(0, 10)
        last = self.read()[-1][0]
        subprocess.run(
            ["timeout", "3", "kcat", "-b", self.address, "-C", "-t", "a",
             "-o", str(last + 1000), "-q", "-e", "-X",
             "auto.offset.reset=error"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.await_clock(last + 1000)
        new = self.post(10, 10)
        wait_for(lambda: "a consumer asks for offset" in self.server.log(),
                 "an alarm")
        then = self.read(last + 1)
        self.assertEqual([i for _, i in then], new)
        self.assertGreater(then[0][0], last + 1000)


class TestIdempotencyKeys(PullCase):
    def send(self, key, events):
        return self.server.post("a", events, headers={"Idempotency-Key": key})

    def test_a_request_is_in_the_log_once(self):
        self.start()
        events = harness.events(50)
        first = self.send("k", events)
        self.assertEqual((first.received, first.sent), (50, 50), first)
        for _ in range(2):
            for _ in range(3):
                again = self.send("k", events)
                self.assertEqual(again.json(), first.json())
                self.assertEqual(again.headers["Idempotent-Replayed"], "true")
            self.await_log(50)
            self.server.kill_all()
            self.server.start()
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(
            self.send("k2", events))) for _ in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual([a.sent for a in answers], [50] * 6)
        self.await_log(100)


if __name__ == "__main__":
    drill.main()
