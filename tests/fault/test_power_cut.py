"""What was synced, and nothing else, survives: the spool and the archive after
a power cut at any moment.

A run is recorded, every write with its bytes and every sync
(preload_record.c); spool_cuts.c rebuilds what a disk may have kept of it, and
opens each. Beside it real file systems are shut down in the middle."""

import collections
import http.client
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../helper"))

import drill  # noqa: E402
import harness  # noqa: E402
from faults import FAULT_TRANQD  # noqa: E402
from loop_disk import LoopDisk  # noqa: E402
from sandbox import ROOT  # noqa: E402

TESTS = os.path.join(ROOT, os.environ.get("TRANQ_BUILD", "build"), "tests")
PRELOAD = os.path.join(TESTS, "preload_record.so")
CUTS = os.path.join(TESTS, "spool_cuts")
LONG = drill.LONG
AWAY = "http://127.0.0.1:1/"    # no Druid: all stays where it is
SEED = os.environ.get("SEED", "1")


class CutCase(drill.Case):
    time_bound = 900 if LONG else 120

    def environment(self):
        self.record = os.path.join(self.folder, "record")
        return {"LD_PRELOAD": PRELOAD, "TRANQ_RECORD": self.record,
                "TRANQ_RECORD_UNDER": self.folder}

    def check_cuts(self, kind, most, *more):
        """Every image is good. Returns how many there were."""
        # images are many, and nothing of them has to last
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        image = tempfile.mkdtemp(prefix="tranqd-cut-", dir=memory)
        self.addCleanup(shutil.rmtree, image, ignore_errors=True)
        done = subprocess.run(
            [CUTS, kind, self.record, self.folder,
             os.path.join(image, "disk"), str(most), SEED, *more],
            text=True, capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        print(f"  {kind}: {done.stdout.strip()}", file=sys.stderr)
        return int(done.stdout.split()[2])


class TestSpool(CutCase):
    def test_scripted(self):
        """All that a worker does to a spool, without one: each image holds
        exactly a state that was committed, the last or the next."""
        subprocess.run([CUTS, "run", self.folder, "700" if LONG else "80",
                        SEED], check=True,
                       env=dict(os.environ, **self.environment()))
        cuts = self.check_cuts("script", 12000 if LONG else 300)
        self.assertGreater(cuts, 10000 if LONG else 250)


class TestWorker(CutCase):
    """A whole tranqd under load: what was answered 200 is there once."""
    requests, events = (150, 20) if LONG else (25, 10)

    def post(self, at):
        """Half of the events are late. An event is known by its client's
        port, its request and its place in that."""
        with harness.Client(self.server.port) as client:
            client.connection.connect()
            port = client.connection.sock.getsockname()[1]
            for n in range(self.requests):
                body = [dict(e, id=f"{port}-{n}-{i}") for i, e in enumerate(
                    harness.events(self.events // 2)
                    + harness.events(self.events // 2, at=at))]
                answer = client.post("a", body, is_async=True)
                if answer.status != 200:
                    self.failures.append(answer)

    def check_run(self, binary=None, **properties):
        self.failures = []
        self.server = self.tranqd(
            drill.config(["a"], AWAY, properties=properties),
            environment=self.environment(), start=False, binary=binary)
        self.folder_of_record = self.server.folder
        self.server.environment["TRANQ_RECORD_UNDER"] = self.server.folder
        self.server.start()
        threads = [threading.Thread(target=self.post,
                                    args=(time.time() - 7 * 86400,))
                   for _ in range(3)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(self.failures, [])

    def check_cuts(self, kind, most, *more):
        folder, self.folder = self.folder, self.server.folder
        try:
            return super().check_cuts(kind, most, *more)
        finally:
            self.folder = folder

    def test_archive(self):
        """Late events go to files, each file whole when it has its name, and
        leave the spool after that."""
        self.check_run(**{"late.policy": "archive",
                          "archive.sealPeriod": "PT0.2S"})
        harness.wait_for(
            lambda: self.counts(self.server, "a")["archived"]
            == 3 * self.requests * (self.events // 2),
            "late events are in files", 60)
        self.server.kill_all()
        cuts = self.check_cuts("worker", 8000 if LONG else 250,
                               str(self.events))
        self.assertGreater(cuts, 4000 if LONG else 200)

    def test_log(self):
        """What Druid will pull: each image's offsets and accounts are whole."""
        self.check_run(FAULT_TRANQD, **{"delivery.mode": "pull",
                                      "pull.listen": "127.0.0.1:0"})
        self.server.kill_all()
        cuts = self.check_cuts("worker", 8000 if LONG else 250,
                               str(self.events))
        self.assertGreater(cuts, 4000 if LONG else 200)


class TestShutdown(drill.Case):
    """A file system that is shut down under load, mounted again, and tranqd
    started again on it: nothing is lost, nothing is doubled."""
    time_bound = 1200 if LONG else 180

    disk = server = None

    def tearDown(self):
        """The disk before the folder in which it is."""
        if self.server is not None and self.server.is_running:
            self.server.kill_all()
        if self.disk is not None:
            self.disk.close()
        super().tearDown()

    def post(self, client_number):
        run = f"r{self.round}c{client_number}"
        first = 0
        try:
            with harness.Client(self.server.port, timeout=30) as client:
                while not self.is_over:
                    some = harness.events(random.randint(1, 40), first, run)
                    first += len(some)
                    ids = drill.ids(some)
                    self.sent.update(ids)
                    answer = client.post(
                        "a", some, is_async=self.is_away
                        or client_number % 2 == 0)
                    if answer.status == 200:
                        self.answered.update(ids)
                        self.good += 1
        except (OSError, http.client.HTTPException):
            pass    # it was killed: no answer, no promise

    def start(self):
        """Every other time without Druid: all is in the spool then."""
        self.is_away = self.round % 2 == 0 and self.round < self.rounds
        self.server.write(drill.config(
            ["a"], AWAY if self.is_away else self.druid.url, properties={
                "tranqd.dataDir": os.path.join(self.disk.path, "data"),
                "http.blockTimeout": "PT1S"}))
        self.server.start()

    def one_round(self, flags):
        self.is_over, self.good = False, 0
        threads = [threading.Thread(target=self.post, args=(n,))
                   for n in range(4)]
        for t in threads:
            t.start()
        most = random.randint(5, 120)
        try:
            harness.wait_for(lambda: self.good >= most, "answers", 60)
            self.disk.cut(flags)
            time.sleep(random.random() * 0.3)    # it may notice, or not
        finally:
            self.is_over = True
            self.server.kill_all()
            for t in threads:
                t.join()
        self.disk.mount_again()
        self.round += 1
        self.start()

    def check_found(self):
        """All that was answered 200, nothing twice, nothing from nowhere."""
        self.await_drained(self.server, seconds=60)
        count = collections.Counter(drill.ids(self.druid.events("a")))
        lost = self.answered - set(count)
        self.assertEqual((len(lost), sorted(lost)[:5]), (0, []))
        self.assertEqual({i: n for i, n in count.items() if n > 1}, {})
        self.assertEqual(set(count) - self.sent, set())
        self.check_accounts(self.server)

    def check_disk(self, kind, flags, rounds):
        self.disk = LoopDisk.make(kind, self.folder)
        random.seed(SEED)
        self.round, self.sent, self.answered = 0, set(), set()
        self.druid = self.sandbox("--check", "full")
        self.rounds = rounds
        self.server = self.tranqd(drill.config(["a"], AWAY), start=False)
        self.start()
        for _ in range(rounds):
            self.one_round(flags)
        self.check_found()
        print(f"  {kind}: {rounds} cuts, {len(self.answered)} events answered "
              "200, 0 lost, 0 doubled", file=sys.stderr)

    def test_ext4(self):
        self.check_disk("ext4", LoopDisk.NO_LOG_FLUSH, 40 if LONG else 3)

    def test_ext4_with_its_log(self):
        self.check_disk("ext4", LoopDisk.LOG_FLUSH, 20 if LONG else 1)

    def test_xfs(self):
        self.check_disk("xfs", LoopDisk.NO_LOG_FLUSH, 40 if LONG else 3)

    def test_xfs_with_its_log(self):
        self.check_disk("xfs", LoopDisk.LOG_FLUSH, 20 if LONG else 1)


if __name__ == "__main__":
    drill.main()
