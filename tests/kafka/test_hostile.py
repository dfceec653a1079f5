#!/usr/bin/env python3
"""What the network may do to a feed: those who never read, never write, send
anything, ask for one byte at a time. It lives, stays small, and others are
served meanwhile."""

import contextlib
import multiprocessing
import os
import random
import resource
import socket
import ssl
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import certificates  # noqa: E402
import drill  # noqa: E402
import feed_stage  # noqa: E402
import kafka_client  # noqa: E402
import kafka_sessions  # noqa: E402
from kafka_client import Client, fetch, metadata  # noqa: E402

MANY = 20000 if drill.LONG else 500
FLOOD = 1000000 if drill.LONG else 20000
SESSIONS = 20000 if drill.LONG else 1000
MIB = 1 << 20
# with sanitizers everything is larger
GROWTH = 16 * MIB
USER = ("druid:SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
        "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n")


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class HostileCase(feed_stage.Case):
    time_bound = 900 if drill.LONG else 120

    def setUp(self):
        super().setUp()
        self.clients = []
        self.tls = None

    def tearDown(self):
        for client in self.clients:
            client.close()
        super().tearDown()

    def client(self, stage, **how):
        client = Client(stage.port, tls=self.tls, **how)
        self.clients.append(client)
        return client

    @contextlib.contextmanager
    def other(self, run, *arguments):
        """`run` in a process of its own, as others' programs are."""
        process = multiprocessing.get_context("fork").Process(
            target=run, args=arguments, daemon=True)
        process.start()
        try:
            yield process
        finally:
            process.kill()
            process.join()

    def latencies(self, stage, count=40):
        """Sorted seconds from a commit to its consumer."""
        taken = []
        with Client(stage.port) as c:
            for _ in range(count):
                c.send(fetch(stage.end, max_wait=60000))
                began = time.monotonic()
                stage.put(1, 1)
                self.assertIsNotNone(
                    kafka_client.Fetched(c.answer()).offsets())
                taken.append(time.monotonic() - began)
        return sorted(taken)

    def check_alive(self, stage, pid):
        with Client(stage.port, tls=self.tls) as c:
            first, behind = c.fetch(stage.start).offsets()
        self.assertEqual(first, stage.start)
        self.assertGreater(behind, first)
        stage.tell("tell")
        self.assertEqual(stage.pid, pid)


class TestReaders(HostileCase):
    def never_read(self, stage, growth=GROWTH):
        stage.put(20, 100, 10000)
        pid = stage.pid
        self.check_alive(stage, pid)
        before = drill.memory_of(pid, "RssAnon")
        for _ in range(100):
            c = self.client(stage, receive_buffer=4096)
            c.send(fetch(stage.start, partition_bytes=50 * MIB) +
                   metadata() * 100)
        self.check_alive(stage, pid)
        self.assertLess(drill.memory_of(pid, "RssAnon") - before, growth)
        # one of them thinks better of it
        c = self.clients[50]
        f = kafka_client.Fetched(c.answer())
        self.assertEqual(f.offsets()[0], stage.start)
        self.assertGreater(len(f.records), 7 * MIB)  # of 8 an answer
        for _ in range(100):
            c.answer()

    def test_never_read(self):
        """A hundred clients want 20 MB each and read nothing."""
        self.never_read(self.stage())

    def test_never_read_tls(self):
        """The same, with what a session of OpenSSL takes."""
        store = certificates.Store(self.folder)
        ca = store.authority("ca")
        leaf = store.leaf("server", ca)
        self.tls = ssl.create_default_context(cafile=ca.certificate)
        self.never_read(self.stage(
            pull__tls="true", https__certificateFile=leaf.certificate,
            https__keyFile=leaf.key), growth=2 * GROWTH)

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


    def test_flood_of_one_byte(self):
        """A hundred at a time, as fast as it goes: others do not feel it."""
        stage = self.stage()
        stage.put(50, 10)
        pid, start = stage.pid, stage.start
        before = drill.memory_of(pid, "RssAnon")

        def flood(count):
            many = fetch(start, partition_bytes=1, max_bytes=1) * 100
            with Client(stage.port) as c:
                for _ in range(count // 100):
                    c.send(many)
                    for _ in range(100):
                        c.answer()

        with self.other(flood, FLOOD) as process:
            taken = self.latencies(stage)
            process.join(600)
            self.assertEqual(process.exitcode, 0)
        self.assertLess(taken[len(taken) // 2], 0.1)
        self.assertLess(drill.memory_of(pid, "RssAnon") - before, GROWTH)
        self.check_alive(stage, pid)

    def test_greedy(self):
        """Those who want everything, read none of it and come again, and those
        who wait for more than there is: others do not feel it."""
        stage = self.stage()
        stage.put(MANY, 1)
        stage.put(20, 100, 10000)
        pid, start, end = stage.pid, stage.start, stage.end
        everything = {"partition_bytes": 1 << 30, "max_bytes": 1 << 30}

        def want():
            while True:
                clients = [Client(stage.port, receive_buffer=4096)
                           for _ in range(20)]
                for i, c in enumerate(clients):
                    c.send(fetch(end - 2000 if i % 2 else start,
                                 **everything))
                    c.socket.recv(1)
                for c in clients:
                    c.close()

        for _ in range(50):
            self.client(stage).send(fetch(end - 100, max_wait=60000,
                                          min_bytes=1 << 30, **everything))
        with self.other(want):
            taken = self.latencies(stage)
        self.assertLess(taken[len(taken) // 2], 0.5)
        self.check_alive(stage, pid)


class TestNoise(HostileCase):
    def test_versions(self):
        """Newer versions of ApiVersions are answered as Kafka does, whatever
        is in them; all else that is unknown ends the connection."""
        stage = self.stage()
        stage.put(1, 10)
        pid = stage.pid
        c = self.client(stage)
        for version in (5, 6, 99, 32767):
            c.send(kafka_client.frame(18, version, version, b"\xff" * 20))
            answer = c.answer()
            correlation, error, count = struct.unpack_from(">ihi", answer)
            self.assertEqual((correlation, error), (version, 35))
            self.assertEqual(len(answer), 10 + 6 * count)  # version 0
            self.assertIn(struct.pack(">hhh", 18, 0, 4), answer)
        self.assertIsNotNone(c.fetch(stage.start).offsets())
        unknown = [(api, 0) for api in range(-1, 100) if api not in
                   (1, 2, 3, 17, 18, 36)]
        unknown += [(1, 3), (1, 12), (1, 18), (2, 0), (2, 6), (3, 9),
                    (3, -1), (17, 2), (36, 2), (0, 3), (18, -1),
                    (-32768, 0), (32767, 32767)]
        for api, version in unknown:
            c = self.client(stage)
            c.send(kafka_client.frame(api, version, 1, b"\0" * 20))
            self.assertTrue(c.is_closed(), (api, version))
        self.assertIn("which a feed does not have", stage.log())
        self.check_alive(stage, pid)

    def test_empty_frames(self):
        stage = self.stage()
        stage.put(1, 10)
        pid = stage.pid
        for size in range(12):
            c = self.client(stage)
            c.send(struct.pack(">i", size) + b"\0" * size)
            self.assertTrue(c.is_closed(), size)
        self.check_alive(stage, pid)

    def fuzz(self, **properties):
        """Sessions with some bytes changed, in pieces, while others read."""
        stage = self.stage(**properties)
        stage.put(5, 10)
        pid, start = stage.pid, stage.start

        def one(rnd):
            raw = kafka_sessions.spoilt(
                kafka_sessions.session(start, rnd), rnd)
            c = Client(stage.port)
            c.socket.settimeout(0.02)
            with contextlib.suppress(OSError):
                at = 0
                while at < len(raw):
                    count = rnd.choice([1, 7, 100, len(raw)])
                    c.send(raw[at:at + count])
                    at += count
                while rnd.randrange(3) and c.socket.recv(1 << 16):
                    pass
            c.close()

        def many(seed, count):
            rnd = random.Random(seed)
            for _ in range(count):
                one(rnd)

        many(0, 100)
        before = drill.memory_of(pid, "RssAnon"), open_files(pid)
        with self.other(many, 1, SESSIONS) as process:
            if not properties:
                taken = self.latencies(stage)
                self.assertLess(taken[len(taken) // 2], 0.1)
            process.join(1200)
            self.assertEqual(process.exitcode, 0)
        self.assertLess(drill.memory_of(pid, "RssAnon") - before[0], GROWTH)
        feed_stage.harness.wait_for(
            lambda: open_files(pid) <= before[1] + 2)
        stage.tell("tell")
        self.assertEqual(stage.pid, pid)
        stage.tell("stop")  # its end is an error if it cannot be asked to
        return stage

    def test_fuzz(self):
        stage = self.fuzz()
        self.check_alive(stage, stage.pid)

    def test_fuzz_of_login(self):
        path = os.path.join(self.folder, "users")
        with open(path, "w") as f:
            f.write(USER)
        self.fuzz(pull__auth__file=path)

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
    def test_thousand(self):
        """As many as there may be by default, who say nothing: they cost no
        time and little memory."""
        files = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, files)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
        stage = self.stage()
        stage.put(1, 10)
        pid = stage.pid
        self.check_alive(stage, pid)
        before = drill.memory_of(pid, "RssAnon")
        for _ in range(998):
            c = self.client(stage)
            c.send(metadata("foo"))
            c.answer()
        waiting = self.client(stage)
        waiting.send(fetch(stage.end, max_wait=60000))
        self.assertLess(drill.memory_of(pid, "RssAnon") - before, GROWTH)
        ticks = drill.cpu_ticks(pid)
        time.sleep(1)  # the measurement itself
        self.assertLess(drill.cpu_ticks(pid) - ticks, 10)
        stage.put(1, 10)
        self.assertIsNotNone(kafka_client.Fetched(waiting.answer()).offsets())
        for c in self.clients[:998]:
            c.send(metadata("foo"))
            c.answer()

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
        taken = self.latencies(stage, 200)
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
