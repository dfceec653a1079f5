#!/usr/bin/env python3
"""What happens to the spool beneath a feed: it is compacted, an old copy takes
its place, it is lost, it has left the memory; and slow consumers hold none of
its pages."""

import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import feed_stage  # noqa: E402
import kafka_client  # noqa: E402
from feed_stage import value  # noqa: E402
from kafka_client import Client, fetch  # noqa: E402
from sandbox import program  # noqa: E402

MIB = 1 << 20
OUT_OF_RANGE = 1


class SpoolCase(feed_stage.Case):
    def folder_of(self, stage):
        return os.path.join(stage.folder, "data/spool/foo")

    def file_of(self, stage):
        return os.path.join(self.folder_of(stage), "data.mdb")

    def read(self, client, at, end):
        """Offsets and values."""
        seen = []
        while at < end:
            got = [r for r in client.fetch(at).values()
                   if at <= r[0] < end]
            self.assertTrue(got)
            seen += got
            at = got[-1][0] + 1
        return seen

    def check(self, rows, start, first, count):
        wanted = [(start + n, value(n)) for n in range(first, first + count)]
        self.assertEqual((len(rows), rows[:1]), (count, wanted[:1]))
        self.assertTrue(rows == wanted)  # which ones would be pages of text


class TestReplaced(SpoolCase):
    def test_compacted(self):
        """A consumer sees nothing of it, but that it waits."""
        stage = self.stage()
        stage.put(20, 50)
        start = stage.start
        with Client(stage.port) as c:
            self.check(self.read(c, start, start + 500), start, 0, 500)
            stage.tell("trim", start + 500)
            stage.tell("leave")
            done = subprocess.run(
                [program("tranqctl"), "-c", stage.file, "spool", "compact",
                 "foo"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.check(self.read(c, start + 500, start + 700), start, 500,
                       200)
            stage.tell("open")
            stage.put(20, 50)
            self.check(self.read(c, start + 700, stage.end), start, 700,
                       1300)
        self.assertEqual(stage.end, start + 2000)

    def test_old_copy(self):
        """What is read ends where the copy does, loudly."""
        stage = self.stage()
        stage.put(5, 10)
        stage.tell("leave")
        shutil.copytree(self.folder_of(stage), stage.folder + "/copy")
        stage.tell("open")
        stage.put(5, 10)
        start, end = stage.start, stage.end
        with Client(stage.port) as c:
            self.check(self.read(c, start, end), start, 0, 100)
            stage.tell("leave")
            shutil.rmtree(self.folder_of(stage))
            shutil.copytree(stage.folder + "/copy", self.folder_of(stage))
            stage.tell("open")
            self.assertEqual(stage.end, start + 50)
            self.assertEqual(c.fetch(end, max_wait=0).error, OUT_OF_RANGE)
            self.assertIn("knows another log", stage.log())
            self.check(self.read(c, start, stage.end), start, 0, 50)

    def test_lost(self):
        """A new log begins behind all that the old one can have had, and who
        is in the middle of an answer of the old one gets none of the new."""
        stage = self.stage()
        stage.put(20, 100, 10000)
        start, end = stage.start, stage.end
        with Client(stage.port, receive_buffer=4096) as slow, \
                Client(stage.port) as c:
            slow.send(fetch(start, partition_bytes=50 * MIB))
            self.assertIsNotNone(c.fetch(end - 1).offsets())
            stage.tell("leave")
            shutil.rmtree(self.folder_of(stage))
            while time.time() < (start >> 22) + 1:
                time.sleep(0.01)  # offsets begin with the second
            stage.tell("open")
            self.assertGreater(stage.start, end)
            stage.put(20, 100, 10000)
            self.assertEqual(c.fetch(end, max_wait=0).error, OUT_OF_RANGE)
            self.assertIn("was removed, or never was", stage.log())
            self.assertEqual(c.fetch(stage.start).offsets()[0], stage.start)
            with self.assertRaises((EOFError, ConnectionError)):
                slow.answer()


class TestPages(SpoolCase):
    def test_not_held(self):
        """Pages that slow consumers were promised are used again: the file
        does not grow by what is trimmed."""
        stage = self.stage()
        stage.put(20, 100, 10000)
        slow, sizes = [], []
        for _ in range(5):
            client = Client(stage.port, receive_buffer=4096)
            self.addCleanup(client.close)
            client.send(fetch(stage.start, partition_bytes=50 * MIB))
            client.socket.recv(1)  # it is being sent
            slow.append(client)
            stage.tell("trim", stage.end)
            stage.put(20, 100, 10000)
            sizes.append(os.path.getsize(self.file_of(stage)))
        # LMDB keeps the pages of the last two commits; all together are 100
        self.assertLess(sizes[-1], 70 * MIB)

    def test_cold(self):
        """A log that is not in memory is not read page by page."""
        stage = self.stage()
        stage.put(60, 1000, 1000)
        stage.tell("stop")  # nobody has it mapped
        size = os.path.getsize(self.file_of(stage))
        fd = os.open(self.file_of(stage), os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
        cached = int(subprocess.run(
            ["fincore", "-n", "-b", "-r", "-o", "RES", self.file_of(stage)],
            stdout=subprocess.PIPE, check=True).stdout)
        if cached > size / 4:
            self.skipTest("this disk's files do not leave the memory")
        before = self.faults(stage)
        with Client(stage.port) as c:
            at = stage.start
            while at < stage.end:
                at = c.fetch(at, partition_bytes=8 * MIB).offsets()[1]
        self.assertLess(self.faults(stage) - before, size / 4096 / 8)

    def faults(self, stage):
        """Those that went to the disk."""
        with open(f"/proc/{stage.pid}/stat") as f:
            return int(f.read().rpartition(")")[2].split()[9])


if __name__ == "__main__":
    feed_stage.harness.main()
