#!/usr/bin/env python3
"""What the network may do to a feed: those who never read, never write, send
anything, ask for one byte at a time. It lives, stays small, and others are
served meanwhile."""

import os
import random
import socket
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import feed_stage  # noqa: E402
import kafka_client  # noqa: E402
from kafka_client import Client, fetch, metadata  # noqa: E402

MANY = 20000 if drill.LONG else 500
MIB = 1 << 20
# with sanitizers everything is larger
GROWTH = 16 * MIB


class HostileCase(feed_stage.Case):
    def setUp(self):
        super().setUp()
        self.clients = []

    def tearDown(self):
        for client in self.clients:
            client.close()
        super().tearDown()

    def client(self, stage, **how):
        client = Client(stage.port, **how)
        self.clients.append(client)
        return client

    def check_alive(self, stage, pid):
        with Client(stage.port) as c:
            first, behind = c.fetch(stage.start).offsets()
        self.assertEqual(first, stage.start)
        self.assertGreater(behind, first)
        stage.tell("tell")
        self.assertEqual(stage.pid, pid)


class TestReaders(HostileCase):
    def test_never_read(self):
        """A hundred clients want 20 MB each and read nothing."""
        stage = self.stage()
        stage.put(20, 100, 10000)
        pid = stage.pid
        self.check_alive(stage, pid)
        before = drill.memory_of(pid, "RssAnon")
        for _ in range(100):
            c = self.client(stage, receive_buffer=4096)
            c.send(fetch(stage.start, partition_bytes=50 * MIB) +
                   metadata() * 100)
        self.check_alive(stage, pid)
        self.assertLess(drill.memory_of(pid, "RssAnon") - before, GROWTH)
        # one of them thinks better of it
        c = self.clients[50]
        f = kafka_client.Fetched(c.answer())
        self.assertEqual(f.offsets(), (stage.start, stage.end))
        for _ in range(100):
            c.answer()

    def test_trimmed_meanwhile(self):
        """What they were promised is removed: they are sent away, and the
        spool's room is not held by them."""
        stage = self.stage()
        stage.put(20, 100, 10000)
        slow = [self.client(stage, receive_buffer=4096) for _ in range(20)]
        for c in slow:
            c.send(fetch(stage.start, partition_bytes=50 * MIB))
        for c in slow:
            c.socket.recv(1, socket.MSG_PEEK)  # the first bytes are there
        stage.tell("trim", stage.end)
        for c in slow:
            with self.assertRaises((EOFError, ConnectionError)):
                c.answer()

    def test_one_byte(self):
        """Each fetch of one byte brings a batch; many of them, at once."""
        stage = self.stage()
        stage.put(MANY, 1)
        pid = stage.pid
        before = drill.memory_of(pid, "RssAnon")
        with Client(stage.port) as c:
            at = stage.start
            while at < stage.end:
                ask = range(at, min(at + 100, stage.end))
                c.send(b"".join(fetch(o, partition_bytes=1, max_bytes=1)
                                for o in ask))
                for o in ask:
                    self.assertEqual(
                        kafka_client.Fetched(c.answer()).offsets(),
                        (o, o + 1))
                at += len(ask)
        self.assertLess(drill.memory_of(pid, "RssAnon") - before, GROWTH)


class TestNoise(HostileCase):
    def test_garbage(self):
        stage = self.stage()
        stage.put(1, 10)
        pid, rnd = stage.pid, random.Random(1)
        for i in range(300):
            c = Client(stage.port)
            try:
                if i % 3 == 0:  # anything
                    c.send(rnd.randbytes(rnd.randrange(1, 2000)))
                elif i % 3 == 1:  # a good head, and then anything
                    c.send(struct.pack(">ihhi", rnd.randrange(8, 100),
                                       rnd.choice([1, 2, 3, 17, 18, 36]),
                                       rnd.randrange(0, 12), i) +
                           rnd.randbytes(100))
                else:  # a good one with some bytes changed
                    raw = bytearray(fetch(stage.start))
                    for _ in range(rnd.randrange(1, 4)):
                        raw[rnd.randrange(4, len(raw))] = rnd.randrange(256)
                    c.send(raw)
            except ConnectionError:
                pass  # it is sent away before it has said all
            c.close()
        self.check_alive(stage, pid)

    def test_oversized(self):
        stage = self.stage()
        stage.put(1, 10)
        for size in (-1, -(1 << 31), 256 * 1024 + 1, (1 << 31) - 1):
            c = self.client(stage)
            c.send(struct.pack(">i", size))
            self.assertTrue(c.is_closed(), size)
        # the largest: whatever is in it, it is read to its end
        c = self.client(stage)
        c.send(struct.pack(">i", 256 * 1024))
        c.send(b"\0" * (256 * 1024))
        self.assertTrue(c.is_closed())

    def test_half_requests(self):
        """Memory for a frame comes with its bytes, not with its size."""
        stage = self.stage()
        stage.put(1, 10)
        pid = stage.pid
        self.check_alive(stage, pid)
        before = drill.memory_of(pid, "RssAnon")
        for _ in range(300):
            self.client(stage).send(struct.pack(">i", 256 * 1024) + b"\0")
        self.check_alive(stage, pid)
        self.assertLess(drill.memory_of(pid, "RssAnon") - before, GROWTH)


class TestCrowd(HostileCase):
    def test_idle_connections(self):
        """More than there may be: whoever waits for events stays, whoever
        stands still goes."""
        stage = self.stage(pull__maxConnections=200)
        stage.put(1, 10)
        waiting = self.client(stage)
        waiting.send(fetch(stage.end, max_wait=60000))
        for _ in range(600):
            self.client(stage)
        with Client(stage.port) as c:
            self.assertIsNotNone(c.fetch(stage.start).offsets())
        stage.put(1, 10)
        f = kafka_client.Fetched(waiting.answer())
        self.assertEqual(f.offsets(), (stage.end - 10, stage.end))

    def test_idle_timeout(self):
        stage = self.stage(pull__idleTimeout="PT0.5S")
        stage.put(1, 10)
        waiting = self.client(stage)
        waiting.send(fetch(stage.end, max_wait=60000))
        self.assertTrue(self.client(stage).is_closed())
        stage.put(1, 10)
        self.assertIsNotNone(
            kafka_client.Fetched(waiting.answer()).offsets())


class TestStop(HostileCase):
    def test_who_waits_is_answered(self):
        stage = self.stage()
        stage.put(1, 10)
        waiting = self.client(stage)
        waiting.send(fetch(stage.end, max_wait=60000))
        self.check_alive(stage, stage.pid)  # it has come to that by now
        stage.tell("stop")
        f = kafka_client.Fetched(waiting.answer())
        self.assertEqual((f.error, f.offsets()), (0, None))
        self.assertTrue(waiting.is_closed())


class TestValues(HostileCase):
    def test_values(self):
        """Each record as it was put, read by nobody's library."""
        stage = self.stage()
        stage.put(5, 20, 100)
        with Client(stage.port) as c:
            c.send(kafka_client.list_offsets(-2))
            self.assertEqual(kafka_client.listed(c.answer()), stage.start)
            self.assertEqual(
                c.fetch(stage.start).values(),
                [(stage.start + n, feed_stage.value(n, 100))
                 for n in range(100)])


class TestTime(HostileCase):
    def test_latency(self):
        """From the worker's commit to the consumer, without a clock in
        between."""
        stage = self.stage()
        stage.put(1, 1)
        taken = []
        with Client(stage.port) as c:
            for _ in range(200):
                c.send(fetch(stage.end, max_wait=60000))
                began = time.monotonic()
                stage.put(1, 1)
                self.assertIsNotNone(
                    kafka_client.Fetched(c.answer()).offsets())
                taken.append(time.monotonic() - began)
        taken.sort()
        # fsync and all; a machine may be busy, but no timer is in it
        self.assertLess(taken[len(taken) // 2], 0.1)

    def test_error_storm(self):
        """A client that asks again at once is held back."""
        stage = self.stage()
        stage.put(1, 10)
        with Client(stage.port) as c:
            began, count = time.monotonic(), 0
            while time.monotonic() - began < 1:
                self.assertEqual(
                    c.fetch(stage.end + 1, max_wait=0).error, 1)
                count += 1
        self.assertLessEqual(count, 11)

    def test_feed_that_is_killed(self):
        """A consumer that asks again where it was has everything, once."""
        stage = self.stage()
        stage.put(1, 10)
        at, seen = stage.start, []
        for i in range(10):
            stage.put(3, 10, quiet=i % 2 == 1)
            if i % 2 == 1:
                stage.tell("kill")
                stage.tell("tell")
            with Client(stage.port) as c:
                while at < stage.end:
                    first, behind = c.fetch(at).offsets()
                    self.assertEqual(first, at)
                    seen.append((first, behind))
                    at = behind
        self.assertEqual(at, stage.end)


if __name__ == "__main__":
    feed_stage.harness.main()
