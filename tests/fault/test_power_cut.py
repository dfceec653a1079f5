"""What was synced, and nothing else, survives: the spool and the archive after
a power cut at any moment.

A run is recorded, every write with its bytes and every sync
(preload_record.c); spool_cuts.c rebuilds what a disk may have kept of it, and
opens each. Beside it real file systems are shut down in the middle."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../helper"))

import drill  # noqa: E402
import harness  # noqa: E402
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

    def check_run(self, **properties):
        self.failures = []
        self.server = self.tranqd(
            drill.config(["a"], AWAY, properties=properties),
            environment=self.environment(), start=False)
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


if __name__ == "__main__":
    drill.main()
