#!/usr/bin/env python3
"""Much of it: large requests, many connections, many dataSources; and
nothing of it: an idle daemon."""

import gzip
import json
import os
import resource
import socket
import sys
import time
import unittest
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

MIB = 1 << 20
CONNECTIONS = 10000
DATA_SOURCES = 60


class TestLarge(drill.Case):
    properties = {}

    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full")
        self.server = self.tranqd(drill.config(
            ["wikipedia"], self.druid.url, properties=dict({
                "druidBeam.firehoseRetryPeriod": "PT60S"},
                **self.properties)))

    def body(self, size):
        """Events of about 4 KiB, filled up to size bytes."""
        count = size // 4096 - 1
        lines = harness.lines(harness.events(count, text="x" * 3900))
        return lines + b" " * (size - len(lines)), count

    def peak(self):
        return max(drill.memory_of(p, "VmHWM")
                   for p in drill.family(self.server))

    def test_64_mib(self):
        """Larger than the ring (16 MiB)."""
        body, count = self.body(64 * MIB)
        answer = self.server.post("wikipedia", body)
        self.assertEqual((answer.status, answer.received, answer.sent),
                         (200, count, count), answer)
        self.check_ids(self.druid, "wikipedia",
                       {f"e-{n}" for n in range(count)})
        self.check_whole(self.server, self.druid)

    def test_64_mib_async(self):
        body, count = self.body(64 * MIB)
        self.assertEqual(self.server.post(
            "wikipedia", body, is_async=True).status, 200)
        self.await_drained(self.server)
        self.assertEqual(self.server.accounts("wikipedia")["sent"], count)

    def test_64_mib_and_one(self):
        body, count = self.body(64 * MIB + 1)
        for is_async in False, True:
            with self.server.client() as client:
                try:
                    answer = client.post("wikipedia", body,
                                         is_async=is_async)
                except (BrokenPipeError, ConnectionResetError):
                    # it was answered before all was sent
                    r = client.connection.response_class(
                        client.connection.sock)
                    r.begin()
                    answer = harness.Answer(r.status, {}, r.read())
            self.assertEqual(answer.status, 413, answer)
            self.assertIn("http.maxBodyBytes", answer.text)
        self.assertEqual(self.server.accounts("wikipedia")["received"], 0)

    def test_chunked_without_end(self):
        with socket.create_connection(("127.0.0.1", self.server.port)) as s:
            s.settimeout(20)
            s.sendall(b"POST /v1/post/wikipedia HTTP/1.1\r\nHost: t\r\n"
                      b"Content-Type: application/json\r\n"
                      b"Transfer-Encoding: chunked\r\n\r\n")
            piece = b"100000\r\n" + b" " * MIB + b"\r\n"
            for _ in range(70):
                s.sendall(piece)
            self.assertTrue(s.recv(1000).startswith(b"HTTP/1.1 413"))
        self.assertLess(self.peak(), 200 * MIB)
        self.assertEqual(
            self.server.post("wikipedia", harness.events(1)).sent, 1)

    def bomb(self, size):
        """Spaces, which pack a thousand to one."""
        packer = zlib.compressobj(9, wbits=31)
        packed = b"".join(packer.compress(b" " * MIB)
                          for _ in range(size // MIB))
        return packed + packer.compress(
            b" " * (size % MIB)) + packer.flush()

    def test_gzip_bombs(self):
        for size in (64 * MIB + 1, 1024 * MIB):
            answer = self.server.post(
                "wikipedia", self.bomb(size),
                headers={"Content-Encoding": "gzip"})
            self.assertEqual(answer.status, 413, answer)
        self.assertLess(self.peak(), 200 * MIB)
        self.assertEqual(
            self.server.post("wikipedia", harness.events(1)).sent, 1)

    def test_gzip_bombs_at_once(self):
        """Memory is bounded for all of them together."""
        bomb = self.bomb(64 * MIB)
        request = (b"POST /v1/post/wikipedia HTTP/1.1\r\nHost: t\r\n"
                   b"Content-Type: application/json\r\n"
                   b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
                   % len(bomb)) + bomb
        sockets = [socket.create_connection(
            ("127.0.0.1", self.server.port), 60) for _ in range(20)]
        for s in sockets:
            s.sendall(request)
        for s in sockets:
            self.assertTrue(s.recv(100).startswith((b"HTTP/1.1 200",
                                                    b"HTTP/1.1 413")))
            s.close()
        self.assertLess(self.peak(), 400 * MIB)

    def test_large_gzip(self):
        body, count = self.body(32 * MIB)
        answer = self.server.post("wikipedia", gzip.compress(body, 1),
                                  headers={"Content-Encoding": "gzip"})
        self.assertEqual((answer.status, answer.sent), (200, count), answer)
        self.check_whole(self.server, self.druid)

    def test_memory_goes_back(self):
        body, count = self.body(60 * MIB)
        for _ in range(3):
            self.assertEqual(self.server.post("wikipedia", body).sent, count)
        self.await_drained(self.server)
        pids = drill.family(self.server)
        wait_for(lambda: all(
            drill.memory_of(p, "RssAnon") < 64 * MIB for p in pids),
            "memory goes back", 20)
        for pid in self.server.receiver_pids():
            self.assertLess(drill.memory_of(pid), 32 * MIB)

    def test_many_small_events(self):
        events = harness.events(100000)
        answer = self.server.post("wikipedia", events)
        self.assertEqual((answer.status, answer.sent), (200, 100000))
        self.check_whole(self.server, self.druid)


class TestBodyMemory(drill.Case):
    """Less memory for bodies than all of them want."""

    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full")
        self.server = self.tranqd(drill.config(
            ["wikipedia"], self.druid.url,
            properties={"http.bodyMemoryBytes": "100MiB"}))

    def test_slow_bodies_together(self):
        """Twenty bodies of 16 MiB that stand still half-way: who comes in
        one piece still gets through."""
        sockets = []
        for _ in range(20):
            s = socket.create_connection(("127.0.0.1", self.server.port), 20)
            self.addCleanup(s.close)
            s.settimeout(2)
            s.sendall(b"POST /v1/post/wikipedia HTTP/1.1\r\nHost: t\r\n"
                      b"Content-Type: application/json\r\n"
                      b"Content-Length: %d\r\n\r\n" % (16 * MIB))
            try:
                s.sendall(b" " * (8 * MIB))
            except TimeoutError:
                pass
            sockets.append(s)
        for n in range(20):
            body = harness.lines(harness.events(1, run=f"s{n}"))
            answer = harness.raw(
                self.server.port, b"POST /v1/post/wikipedia HTTP/1.1\r\n"
                b"Host: t\r\nContent-Type: application/json\r\n"
                b"Connection: close\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body) + body)
            self.assertTrue(answer.startswith(b"HTTP/1.1 200"), answer)
        self.assertLess(max(drill.memory_of(p, "VmHWM")
                            for p in drill.family(self.server)), 250 * MIB)


class TestConnections(drill.Case):
    time_bound = 180

    def setUp(self):
        super().setUp()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < CONNECTIONS + 1000:
            self.skipTest(f"the limit of descriptors is {hard}, too low for "
                          f"{CONNECTIONS} connections")
        resource.setrlimit(resource.RLIMIT_NOFILE,
                           (CONNECTIONS + 1000, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE,
                        (soft, hard))
        self.druid = self.sandbox("--check", "full")

    def connect(self, server, count):
        sockets = []
        self.addCleanup(lambda: [s.close() for s in sockets])
        for _ in range(count):
            s = socket.socket()
            s.settimeout(20)
            s.connect(("127.0.0.1", server.port))
            sockets.append(s)
        return sockets

    def open_now(self, server):
        return sum(r["counters"]["connections"]
                   for r in server.status()["receivers"])

    def test_ten_thousand(self):
        server = self.tranqd(drill.config(["wikipedia"], self.druid.url,
                                          properties={"http.maxConnections":
                                                      CONNECTIONS + 100}))
        sockets = self.connect(server, CONNECTIONS)
        wait_for(lambda: self.open_now(server) == CONNECTIONS)
        idle = {p: drill.memory_of(p) for p in drill.family(server)}
        self.assertLess(max(idle.values()), 24 * MIB)
        # all of them say something, twice, and are answered
        body = harness.lines(harness.events(1))
        head = (b"POST /v1/post/wikipedia%s HTTP/1.1\r\nHost: t\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d"
                b"\r\n\r\n")
        for query in b"", b"?async=true":
            request = head % (query, len(body)) + body
            for s in sockets:
                s.sendall(request)
            for s in sockets:
                self.assertTrue(s.recv(1000).startswith(b"HTTP/1.1 200"))
        self.await_drained(server)
        self.assertEqual(server.accounts("wikipedia")["sent"],
                         2 * CONNECTIONS)
        busy = {p: drill.memory_of(p) for p in drill.family(server)}
        self.assertLess(max(busy.values()), 64 * MIB)
        self.check_no_crash(server)
        for s in sockets:
            s.close()
        wait_for(lambda: self.open_now(server) == 0, "all are closed")

    def test_load_on_many(self):
        server = self.tranqd(drill.config(["wikipedia"], self.druid.url))
        report = self.load(server, self.druid, connections=2000, events=40000,
                           batch=10)
        self.assertEqual(report["load"]["answers"], {"200": 4000})
        self.check_whole(server, self.druid)

    def test_more_than_allowed(self):
        """They wait until others have their answers; nobody whose events are
        under way has to go for them."""
        server = self.tranqd(drill.config(["wikipedia"], self.druid.url,
                                          properties={"http.maxConnections":
                                                      100}))
        self.druid.fault("slow", ms=700)
        sockets = self.connect(server, 150)
        body = harness.lines(harness.events(1))
        request = (b"POST /v1/post/wikipedia HTTP/1.1\r\nHost: t\r\n"
                   b"Content-Type: application/json\r\nContent-Length: %d"
                   b"\r\n\r\n" % len(body)) + body
        for s in sockets:
            s.sendall(request)
        for s in sockets:
            self.assertTrue(s.recv(1000).startswith(b"HTTP/1.1 200"))


class TestDataSources(drill.Case):
    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full")

    def test_many(self):
        """They start within seconds, all of them work, and stop."""
        server = self.tranqd(drill.config(DATA_SOURCES, self.druid.url,
                                          properties={"tranqd.ringBytes":
                                                      "1MiB"}), start=False)
        began = time.monotonic()
        server.start()
        self.assertLess(time.monotonic() - began, 20)
        names = [f"ds{n}" for n in range(DATA_SOURCES)]
        report = self.load(server, self.druid, events=DATA_SOURCES * 100,
                           batch=DATA_SOURCES, mixed=True,
                           data_source=",".join(names))
        self.assertEqual(report["compare"]["misrouted"], 0)
        self.check_whole(server, self.druid)
        memory = {harness.command_line(p): drill.memory_of(p)
                  for p in drill.family(server)}
        self.assertLess(max(memory.values()), 64 * MIB, memory)
        server.kill_all()
        began = time.monotonic()
        server.start()
        self.assertLess(time.monotonic() - began, 20)
        ok, text = server.reload(drill.config(10, self.druid.url))
        self.assertTrue(ok, text)
        self.assertIn("50 removed", text)
        began = time.monotonic()
        self.assertEqual(server.stop(), 0)
        self.assertLess(time.monotonic() - began, 20)

    def test_one_that_cannot_start(self):
        """Its spool is damaged: it is reported, others do not notice, it
        costs nothing."""
        server = self.tranqd(drill.config(
            ["bad", "worse", "good"], self.druid.url), start=False)
        for name, text in ("bad", b"rubbish" * 10000), ("worse", b""):
            spool = os.path.join(server.data_dir, "spool", name)
            os.makedirs(spool)
            path = os.path.join(spool, "data.mdb")
            if text:
                with open(path, "wb") as f:
                    f.write(text)
            else:
                os.makedirs(path)
        server.spawn()
        server.await_status()
        wait_for(lambda: server.data_source("good")["worker"]["state"]
                 == "ready")
        server.port = server.status()["supervisor"]["httpPort"]
        self.assertEqual(server.post("good", harness.events(10)).sent, 10)
        for name in "bad", "worse":
            wait_for(lambda: server.data_source(name)["worker"]["deathCount"]
                     >= 5, f"{name} is tried again", 40)
        for name in "bad", "worse":
            worker = server.data_source(name)["worker"]
            self.assertIsNotNone(worker["lastDeath"], worker)
            self.assertIn(f"spool/{name}", server.log())
        done = server.tranqctl("status")
        self.assertIn("bad", done.stdout)
        # its clients are told to come again, and nothing of theirs is lost
        answer = server.post("good", harness.events(10, run="b"))
        self.assertEqual(answer.sent, 10)
        ticks = sum(map(drill.cpu_ticks, drill.family(server)))
        end = time.monotonic() + 2
        most = ticks
        while time.monotonic() < end:
            most = sum(map(drill.cpu_ticks, drill.family(server)))
            time.sleep(0.2)
        self.assertLess(most - ticks, 10)
        # the operator takes the rubbish away: it starts by itself
        os.unlink(os.path.join(server.data_dir, "spool", "bad", "data.mdb"))
        server.tranqctl("reload")
        wait_for(lambda: server.data_source("bad")["worker"]["state"]
                 == "ready", "it gets on by itself", 40)
        self.assertEqual(server.post("bad", harness.events(10)).sent, 10)
        self.assertEqual(server.stop(), 0)


class TestIdle(drill.Case):
    def check_idle(self, server, seconds=3):
        """No process of it runs."""
        pids = drill.family(server)
        before = {p: drill.cpu_ticks(p) for p in pids}
        time.sleep(seconds)  # what is to be seen is that nothing happens
        after = {p: drill.cpu_ticks(p) for p in pids}
        self.assertLessEqual(
            sum(after.values()) - sum(before.values()), 1,
            {harness.command_line(p): after[p] - before[p] for p in pids})

    def check_small(self, server):
        memory = {harness.command_line(p): drill.memory_of(p)
                  for p in drill.family(server)}
        self.assertLess(max(memory.values()), 8 * MIB, memory)

    def test_fresh(self):
        druid = self.sandbox()
        server = self.tranqd(harness.config(5, druid.url))
        self.check_small(server)
        self.check_idle(server)
        self.check_small(server)

    def test_after_work(self):
        druid = self.sandbox()
        server = self.tranqd(harness.config(["wikipedia"], druid.url))
        with server.client() as client:  # an open connection costs nothing
            client.post("wikipedia", harness.events(100))
            self.load(server, druid, events=20000)
            self.await_drained(server)
            self.check_idle(server)

    def test_overlord_away_and_events_waiting(self):
        """Waiting costs next to nothing."""
        server = self.tranqd(harness.config(
            ["wikipedia"], f"http://127.0.0.1:{self.closed_port()}"))
        server.post("wikipedia", harness.events(1000), is_async=True)
        time.sleep(2)  # the first tries come thick
        self.check_idle(server, 4)

    def test_full_spool(self):
        druid = self.sandbox()
        druid.fault("full")
        server = self.tranqd(harness.config(
            ["wikipedia"], druid.url, properties={
                "spool.bytesMax": MIB, "tranqd.ringBytes": 65536,
                "http.blockTimeout": "PT0.1S"}))
        for n in range(2000):
            if server.post("wikipedia", harness.events(100, n * 100),
                           is_async=True).status == 503:
                break
        self.check_idle(server)


if __name__ == "__main__":
    drill.main()
