#!/usr/bin/env python3
"""A file system of a few MiB that really is full: tmpfs, and ext4 on a loop
device where the machine has them. Clients are told so, nothing crashes (LMDB
maps its files: a block that cannot be had is a SIGBUS), nothing is lost, and
it goes on when there is room."""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
import loop_disk  # noqa: E402
from harness import wait_for  # noqa: E402
from loop_disk import LoopDisk  # noqa: E402

BLOCK = 4096


class SmallDisk(drill.Case):
    kind, megabytes = "tmpfs", 4
    properties = {}

    def setUp(self):
        super().setUp()
        mounted = LoopDisk.make(self.kind, self.folder, self.megabytes)
        self.addCleanup(mounted.close)
        self.disk = mounted.path
        self.druid = self.sandbox("--check", "full")
        self.sent, self.at = [], 0

    def document(self, names=("wikipedia",)):
        return drill.config(list(names), self.druid.url, properties={
            "tranqd.dataDir": os.path.join(self.disk, "data"),
            "tranqd.ringBytes": "256KiB", "tranqd.receivers": 1,
            "tranquility.blockOnFull": False,
            "druidBeam.firehoseRetryPeriod": "PT2S", **self.properties})

    def free_blocks(self):
        return os.statvfs(self.disk).f_bavail

    def fill(self, leave=0):
        """A file of somebody else takes all but so many blocks."""
        path = os.path.join(self.disk, "filler")
        with open(path, "ab", buffering=0) as f:
            try:
                while self.free_blocks() > leave:
                    f.write(bytes(BLOCK))
                    os.fsync(f.fileno())
            except OSError:
                pass
        return path

    def post(self, count=200):
        """A request's status; its events are noted when it was 200."""
        self.at += count
        events = harness.events(count, self.at - count)
        answer = self.server.post("wikipedia", events, is_async=True)
        if answer.status == 200:
            self.sent += drill.ids(events)
        else:
            self.assertEqual(answer.status, 503, answer)
            self.assertIn("Retry-After", answer.headers)
        return answer.status

    def check_goes_on(self):
        wait_for(lambda: self.post() == 200, "it takes events again")
        self.await_drained(self.server)
        # a request that was answered 503 may be there as well
        found = drill.ids(self.druid.events("wikipedia"))
        self.assertEqual(set(self.sent) - set(found), set())
        self.assertEqual(len(found), len(set(found)))
        self.check_violations(self.druid)
        self.check_no_crash(self.server)

    def stopped(self):
        return self.counts(self.server, "wikipedia")["stopped"]


class TestTmpfs(SmallDisk):
    def test_filled_by_the_spool(self):
        """spool.bytesMax is larger than the disk."""
        self.druid.fault("overlord-away")
        self.server = self.tranqd(self.document())
        for _ in range(2000):
            if self.post() != 200 and self.is_full():
                break
        else:
            self.fail("it never gets full")
        self.check_accounts(self.server)
        text = self.server.tranqctl("status").stdout
        self.assertIn("the spool or its disk is full", text)
        self.assertIn("No space left on device", text)
        # over a restart of the worker too; what is there is not lost
        self.server.kill_worker("wikipedia")
        wait_for(lambda: self.server.data_source("wikipedia")["worker"][
            "state"] == "ready")
        self.assertEqual(self.server.accounts("wikipedia")["spool"],
                         len(self.sent))
        self.make_room()
        self.druid.fault("none")
        wait_for(lambda: self.post() == 200, "it takes events again")
        self.await_drained(self.server)
        found = drill.ids(self.druid.events("wikipedia"))
        self.assertEqual(set(self.sent) - set(found), set())
        self.assertEqual(len(found), len(set(found)))

    def is_full(self):
        """For good: a try that failed leaves blocks, with which the next,
        of less, may go well."""
        try:
            wait_for(lambda: self.stopped() == 0, seconds=3)
        except AssertionError:
            return self.stopped() == 1
        return False

    def make_room(self):
        loop_disk.run("mount", "-o",
                      f"remount,size={4 * self.megabytes}m", self.disk)

    def test_filled_by_others(self):
        self.server = self.tranqd(self.document())
        for _ in range(2):
            self.assertEqual(self.post(), 200)
            self.await_drained(self.server)
            filler = self.fill()
            # what is delivered would give room back
            self.druid.fault("unreachable")
            for _ in range(600):
                if self.post() != 200:
                    break
            else:
                self.fail("it never gets full")
            wait_for(lambda: self.stopped() != 0)
            os.unlink(filler)
            self.druid.fault("none")
            self.check_goes_on()

    def test_start(self):
        """With 0, 1, 2, … blocks left: refused with the reason, or up."""
        refused, n = 0, 0
        for n in range(0, 64, 1 if drill.LONG else 4):
            filler = self.fill(leave=n)
            server = self.tranqd(self.document(), name=f"n{n}", start=False)
            server.spawn()

            def ended():
                if server.process.poll() is not None:
                    return True
                try:
                    d = server.data_source("wikipedia")["worker"]
                except OSError:
                    return False
                return d["state"] in ("ready", "backoff")
            wait_for(ended)
            if server.process.poll() is None:
                worker = server.data_source("wikipedia")["worker"]
                for death in worker["deaths"]:  # no SIGBUS
                    self.assertEqual(death["status"] & 0x7f, 0, worker)
                if worker["state"] != "ready":
                    refused += 1
                    self.assertIn("No space left", server.log())
                os.unlink(filler)
                server.wait_ready()
                self.server = server
                wait_for(lambda: self.post(10) == 200)
                server.stop()
            else:
                self.assertGreater(server.process.returncode, 0)
                self.assertIn("No space left", server.log())
                server.process = None
                refused += 1
                os.unlink(filler)
            subprocess.run(["rm", "-rf", os.path.join(self.disk, "data")],
                           check=True)
        self.assertGreater(refused, 0)

    def test_archive(self):
        self.properties = {"late.policy": "archive",
                           "archive.sealPeriod": "PT1S",
                           "tranqd.dataDir": os.path.join(
                               self.folder, "data"),
                           "archive.dir": os.path.join(
                               self.disk, "archive")}
        self.server = self.tranqd(self.document())
        filler = self.fill()
        events = harness.events(50, run="late", at=1600000000)
        self.assertEqual(self.server.post(
            "wikipedia", events, is_async=True).status, 200)
        wait_for(lambda: "No space left" in self.server.log(), "it is told")
        self.assertEqual(self.server.accounts("wikipedia")["spool"], 50)
        os.unlink(filler)
        wait_for(lambda: self.server.accounts("wikipedia")["archived"] == 50,
                 "it is archived")
        self.check_no_crash(self.server)


@drill.long_form
class TestExt4(TestTmpfs):
    """Blocks are given out late there: a write that went well may have none
    at the sync."""
    kind, megabytes = "ext4", 16
    time_bound = 300

    def make_room(self):
        """Deliveries give room back by themselves."""


if __name__ == "__main__":
    drill.main()
