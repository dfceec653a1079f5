#!/usr/bin/env python3
"""A disk that is full or fails, at each operation in turn: clients wait or
are told so, nobody is answered 200 for what is not durable, nothing crashes
or is lost, and it goes on by itself when the disk does."""

import errno
import json
import os
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
import injection  # noqa: E402
from harness import wait_for  # noqa: E402

N_MAX = 100  # no scenario has that many operations
NO_ROOM = "No space left on device"


class Sender:
    """A post that may have to wait, in a thread."""

    def __init__(self, server, ds, events, **how):
        self.events = events
        self.answer = None
        self._work = threading.Thread(
            target=self._post, args=(server, ds, how), daemon=True)
        self._work.start()

    def _post(self, server, ds, how):
        self.answer = server.post(ds, self.events, **how)

    def wait(self, seconds=harness.ANSWER_SECONDS):
        self._work.join(seconds)
        assert self.answer is not None, f"no answer within {seconds} s"
        return self.answer


class DiskCase(drill.Case):
    properties = {}

    def setUp(self):
        super().setUp()
        self.files = injection.Files(self.folder)
        self.druid = self.sandbox("--check", "full")
        self.sent, self.run = [], 0

    def start(self, **how):
        self.server = self.tranqd(
            self.document(), environment=self.files.environment, **how)
        return self.server

    def document(self, data_sources=("wikipedia",), **properties):
        return drill.config(list(data_sources), self.druid.url, properties={
            "druidBeam.firehoseRetryPeriod": "PT20S",
            "http.blockTimeout": "PT20S", "tranqd.receivers": 1,
            **self.properties, **properties})

    def events(self, count=10):
        self.run += 1
        return harness.events(count, run=f"r{self.run}")

    def stopped(self):
        return self.counts(self.server, "wikipedia")["stopped"]

    def notes(self):
        return str(self.server.data_source("wikipedia")["beams"]["notes"])

    def each(self, operations, error, scenario, **how):
        """The scenario with its first, second, … operation failing, and all
        behind it, until it is through without: it returns whether it has
        met the failure. How many operations there are. The short form takes
        every third."""
        for n in range(0, N_MAX, 1 if drill.LONG else 3):
            self.files.fail(operations, error=error, passes=n, **how)
            met = scenario(n)
            self.files.clear()
            if not met:
                self.assertGreater(n, 0, "nothing has failed")
                return n
        self.fail(f"still failing at operation {N_MAX}")

    def check_end(self, **how):
        self.files.clear()
        self.check_ids(self.druid, "wikipedia", self.sent)
        self.check_whole(self.server, self.druid, **how)


class TestSpool(DiskCase):
    """The disk fails while clients send."""

    def post_while_it_fails(self, n):
        is_async = n % 2 == 0
        first = Sender(self.server, "wikipedia", self.events(),
                       is_async=is_async)
        wait_for(lambda: self.files.struck() or first.answer,
                 f"operation {n} fails or none does")
        if first.answer:
            self.assertEqual(first.answer.status, 200)
            self.sent += drill.ids(first.events)
            wait_for(lambda: self.counts(self.server, "wikipedia")["stopped"]
                     or self.server.accounts("wikipedia")["spool"] == 0)
            # it was the removal of what Druid has that failed
            return bool(self.files.struck())
        wait_for(lambda: self.stopped() != 0, "no events are taken")
        second = Sender(self.server, "wikipedia", self.events(),
                        is_async=is_async)
        struck = self.files.struck()
        wait_for(lambda: self.files.struck() > struck, "it is retried")
        self.check_accounts(self.server)
        self.assertIn("cannot", self.notes())
        self.assertIsNone(first.answer)
        self.assertIsNone(second.answer)
        self.files.clear()
        for sender in first, second:
            self.assertEqual(sender.wait().status, 200, n)
            self.sent += drill.ids(sender.events)
        return True

    def check(self, operations, error, **how):
        self.start()
        n = self.each(operations, error, self.post_while_it_fails,
                      path="/spool/", kinds="worker", **how)
        wait_for(lambda: self.stopped() == 0, "events are taken")
        self.assertEqual(self.notes(), "[]")
        self.check_end()
        self.check_no_crash(self.server)
        # said once each time, however often it was tried
        log = self.server.log()
        self.assertLessEqual(log.count("no events are taken"), n + 1)
        self.assertLessEqual(log.count("cannot write"), n + 2)

    def test_full(self):
        self.check(injection.ROOM, errno.ENOSPC)
        self.assertIn(NO_ROOM, self.server.log())

    @drill.long_form
    def test_quota(self):
        self.check("write", errno.EDQUOT)

    @drill.long_form
    def test_write_fails(self):
        self.check("write", errno.EIO)

    @drill.long_form
    def test_write_is_cut_short(self):
        self.check("write", errno.EIO, short=True)

    def test_sync_fails(self):
        self.check("sync", errno.EIO)

    def test_refused(self):
        """tranquility.blockOnFull false: 503 with Retry-After at once."""
        self.properties = {"tranquility.blockOnFull": False}
        self.start()
        self.files.fail("sync", path="/spool/", error=errno.EIO)
        first = Sender(self.server, "wikipedia", self.events(),
                       is_async=True)
        wait_for(lambda: self.stopped() == 2, "the disk fails")
        end = time.monotonic() + 2.5  # over two tries
        while time.monotonic() < end:
            answer = self.server.post("wikipedia", self.events(),
                                      is_async=True)
            self.assertEqual(answer.status, 503)
            self.assertGreater(int(answer.headers["Retry-After"]), 0)
        self.assertIsNone(first.answer)
        self.assertIn("takes no events: the disk fails",
                      self.server.tranqctl("status").stdout)
        self.files.clear()
        self.assertEqual(first.wait().status, 200)
        self.sent += drill.ids(first.events)
        self.check_end()
        self.check_no_crash(self.server)

    def test_deadline(self):
        """A client whose time is over is told that nothing is promised."""
        self.properties = {"druidBeam.firehoseRetryPeriod": "PT1S",
                           "http.blockTimeout": "PT1S"}
        self.start()
        self.files.fail("sync", path="/spool/", error=errno.EIO)
        for is_async in True, False:
            answer = self.server.post("wikipedia", self.events(),
                                      is_async=is_async)
            self.assertEqual(answer.status, 503, answer)
            self.assertIn("Retry-After", answer.headers)

    def test_killed_while_it_fails(self):
        """Workers that come and go, and a disk that does: the next one
        delivers."""
        self.start()
        for n in range(3):
            self.files.fail(("write", "sync")[n % 2], path="/spool/",
                            error=errno.EIO, passes=n)
            sender = Sender(self.server, "wikipedia", self.events())
            wait_for(lambda: self.files.struck() or sender.answer)
            pid = self.server.worker_pid("wikipedia")
            if pid and harness.is_alive(pid):  # else the disk was faster
                harness.kill(pid)
                harness.wait_gone(pid)
            self.files.clear()
            self.assertEqual(sender.wait().status, 200)
            self.sent += drill.ids(sender.events)
        self.check_end(killed=True)

    @drill.long_form
    def test_commit_that_seemed_to_fail(self):
        """The meta page is written, the answer is an error, and so is that
        of writing the old one back."""
        self.start()
        self.assertEqual(
            self.server.post("wikipedia", self.events()).status, 200)
        self.sent += [f"r1-{n}" for n in range(10)]
        self.await_drained(self.server)
        seen = self.files.seen
        self.files.fail("write", path="/spool/", error=errno.EIO,
                        strikes=0)
        self.server.post("wikipedia", self.events(), is_async=True)
        self.sent += [f"r2-{n}" for n in range(10)]
        self.await_drained(self.server)
        for n in range(seen()):
            self.files.fail("write", path="/spool/", error=errno.EIO,
                            passes=n, strikes=1, done=True)
            self.files.fail("write", path="/spool/", error=errno.EIO,
                            passes=n, strikes=1, rule=1)
            answer = self.server.post("wikipedia", self.events(),
                                      is_async=True)
            self.assertEqual(answer.status, 200)
            self.sent += [f"r{self.run}-{n}" for n in range(10)]
            self.await_drained(self.server)
        self.assertIn("is on the disk all the same", self.server.log())
        self.check_end(killed=True)


class TestDelivery(DiskCase):
    """The disk fails while Druid takes what is in the spool."""

    def deliver(self, n):
        self.files.fail("write", error=0, strikes=0)
        self.druid.fault("unreachable")
        for _ in range(3):
            events = self.events()
            self.sent += drill.ids(events)
            self.assertEqual(self.server.post(
                "wikipedia", events, is_async=True).status, 200)
        self.files.fail(("write", "sync"), path="/spool/", kinds="worker",
                        error=errno.EIO, passes=n)
        self.druid.fault("none")
        # Druid gets it all the same
        self.check_ids(self.druid, "wikipedia", self.sent)
        wait_for(lambda: self.stopped() == 2 or
                 self.server.accounts("wikipedia")["spool"] == 0)
        self.check_accounts(self.server)
        met = bool(self.files.struck())
        self.files.clear()
        self.await_drained(self.server)
        return met

    def test_each(self):
        self.start()
        self.server.post("wikipedia", self.events())
        self.sent += [f"r1-{n}" for n in range(10)]
        self.await_drained(self.server)
        self.each(("write", "sync"), errno.EIO, self.deliver)
        self.check_end()
        self.check_no_crash(self.server)


class TestStart(DiskCase):
    """A disk that is full when tranqd starts."""

    def fresh(self, n):
        self.server.document["properties"]["tranqd.runDir"] = os.path.join(
            self.folder, f"run{n}")
        self.server.document["properties"]["tranqd.dataDir"] = os.path.join(
            self.folder, f"data{n}")
        self.server.document["properties"]["log.file"] = os.path.join(
            self.folder, f"log{n}")
        self.server.write()

    def refused(self, n):
        self.fresh(n)
        done = subprocess.run(
            [harness.program("tranqd"), "start", "-c",
             self.server.config_file, "--pid-file",
             os.path.join(self.folder, f"pid{n}")],
            env=dict(os.environ, **self.files.environment), text=True,
            stdin=subprocess.DEVNULL, capture_output=True,
            timeout=self.patience)
        self.assertGreater(done.returncode, 0, (n, done))
        self.assertIn(f"{self.folder}/", done.stderr)
        self.assertIn(NO_ROOM, done.stderr)

    def test_supervisor(self):
        """A clear refusal, whatever cannot be made."""
        self.start(start=False)
        self.patience = 30
        for n in range(N_MAX):
            self.fresh(n)
            self.files.fail(injection.ROOM, error=errno.ENOSPC, passes=n,
                            kinds="supervisor", path=self.folder)
            self.server.spawn()
            wait_for(lambda: self.server.process.poll() is not None
                     or os.path.exists(self.server.control_socket))
            if self.server.process.poll() is None:
                break
            self.assertGreater(self.server.process.returncode, 0, n)
            self.server.process = None
            self.files.fail(injection.ROOM, error=errno.ENOSPC, passes=n,
                            kinds="supervisor", path=self.folder)
            self.refused(1000 + n)
        self.assertGreater(n, 5)
        # only lines of the log are behind that
        self.files.clear()
        self.server.wait_ready()
        self.sent = drill.ids(events := self.events())
        self.assertEqual(self.server.post("wikipedia", events).sent, 10)
        self.check_end()

    def test_worker(self):
        """It is tried again, and told, until there is room; a full disk
        does not keep what is there from being delivered."""
        self.start(start=False)
        for n in range(N_MAX):
            self.fresh(n)
            self.files.fail(injection.ROOM, error=errno.ENOSPC, passes=n,
                            kinds="worker", path="/spool/")
            self.server.spawn()
            self.server.await_status()
            wait_for(lambda: self.worker()["state"] in ("backoff", "ready"))
            if self.worker()["state"] == "ready":
                break
            death = self.worker()["lastDeath"]
            self.assertEqual(death["how"], "exit status 75")
            with open(self.server.document["properties"]["log.file"]) as f:
                self.assertIn(NO_ROOM, f.read())
            self.files.clear()
            self.server.wait_ready()
            self.server.stop()
        self.assertGreater(n, 2)

    def worker(self):
        return self.server.data_source("wikipedia")["worker"]

    def test_worker_with_a_spool(self):
        self.start()
        for _ in range(2):  # the second with the beam known
            self.sent += drill.ids(events := self.events())
            self.assertEqual(self.server.post(
                "wikipedia", events, is_async=True).status, 200)
            self.check_ids(self.druid, "wikipedia", self.sent[:10])
            if len(self.sent) == 10:
                self.await_drained(self.server)
                self.druid.fault("unreachable")
        self.files.fail(injection.ROOM, error=errno.ENOSPC,
                        kinds="worker", path="/spool/")
        self.server.kill_worker("wikipedia")
        self.druid.fault("none")
        self.check_ids(self.druid, "wikipedia", self.sent)
        self.check_end()


class TestLog(DiskCase):
    def test_full(self):
        """Lines are lost, nothing else, and that they were is told."""
        log = os.path.join(self.folder, "the.log")
        self.properties = {"log.file": log}
        self.start()
        self.files.fail("write", path="the.log", error=errno.ENOSPC)
        for _ in range(3):
            events = self.events()
            self.sent += drill.ids(events)
            self.assertEqual(
                self.server.post("wikipedia", events).sent, 10)
        self.server.kill_worker("wikipedia")
        self.server.wait_ready()
        self.assertTrue(self.server.reload(self.document(
            ["wikipedia", "other"]))[0])
        struck = self.files.struck()
        self.assertGreater(struck, 3)
        self.assertGreater(
            self.server.status()["supervisor"]["logLinesLost"], 3)
        self.assertIn("lines could not be written",
                      self.server.tranqctl("status").stdout)
        self.files.clear()
        self.assertTrue(self.server.reload()[0])
        with open(log) as f:
            self.assertIn(f"lines could not be written here: {NO_ROOM}",
                          f.read())
        self.check_end(killed=True)


class TestReload(DiskCase):
    """A reload that needs room for a new dataSource's spool."""

    def test_full(self):
        self.start()
        events = self.events()
        self.sent += drill.ids(events)
        self.assertEqual(self.server.post("wikipedia", events).sent, 10)

        def reload(n):
            self.server.write(self.document(["wikipedia", f"other{n}"]))
            ok, text, report = self.server.control("reload")
            struck = bool(self.files.struck())
            if not ok:  # else it was tried again, and there was room
                self.assertTrue(struck, (text, report))
                self.assertIn(f"other{n}", report.decode())
                self.assertIn(NO_ROOM, report.decode())
                self.assertEqual(len(self.server.status()["dataSources"]), 1)
                self.assertEqual(self.server.post(
                    f"other{n}", self.events()).status, 400)
            return struck
        self.each(injection.ROOM, errno.ENOSPC, reload, path="/spool/",
                  kinds="supervisor", strikes=1)
        self.check_end()

class TestArchive(DiskCase):
    properties = {"late.policy": "archive", "archive.sealPeriod": "PT1S"}

    def archived(self):
        found = []
        for folder, _, names in os.walk(os.path.join(
                self.server.data_dir, "archive")):
            for name in names:
                if name.endswith(".ndjson.zst"):
                    text = subprocess.run(
                        ["zstd", "-dc", os.path.join(folder, name)],
                        check=True, capture_output=True).stdout
                    found += [json.loads(t)["id"] for t in text.splitlines()]
        return sorted(found)

    def late(self, n):
        hour = time.time() - (48 + n) * 3600  # a folder that is not there
        events = harness.events(10, run=f"late{n}", at=hour)
        self.assertEqual(self.server.post(
            "wikipedia", events, is_async=True).status, 200)
        self.sent += drill.ids(events)
        wait_for(lambda: self.files.struck()
                 or self.server.accounts("wikipedia")["archived"]
                 == len(self.sent))
        if not self.files.struck():
            return False
        wait_for(lambda: "archive" in str(
            self.server.data_source("wikipedia")["beams"]), "it is told")
        self.assertEqual(self.server.accounts("wikipedia")["spool"], 10)
        # others do not notice
        self.assertEqual(
            self.server.post("wikipedia", self.events()).sent, 10)
        self.files.clear()
        wait_for(lambda: self.server.accounts("wikipedia")["archived"]
                 == len(self.sent), "it is archived")
        return True

    def check(self, operations, error):
        self.start()
        self.each(operations, error, self.late, path="/archive/",
                  kinds="worker")
        self.assertEqual(self.archived(), sorted(self.sent))
        self.await_drained(self.server)
        self.check_accounts(self.server)
        self.check_no_crash(self.server)

    def test_full(self):
        self.check((*injection.ROOM, "rename"), errno.ENOSPC)

    @drill.long_form
    def test_sync_fails(self):
        self.check("sync", errno.EIO)


if __name__ == "__main__":
    drill.main()
