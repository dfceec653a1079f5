#!/usr/bin/env python3
"""From POST to a consumer: what was answered 200 is read from the feed, once
and in the order of its offsets, while workers, receivers, the feed and all of
tranqd are killed."""

import json
import os
import random
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
sys.path.insert(0, HERE)
import drill  # noqa: E402
import harness  # noqa: E402
import kafka_client  # noqa: E402
from harness import wait_for  # noqa: E402
from kafka_client import Client  # noqa: E402
from test_pull import PullCase as LogCase  # noqa: E402

KILLS = 200 if drill.LONG else 12


class Follower(threading.Thread):
    """Reads on and on, as a Druid task does: from where it is, whatever
    happens to its connection."""

    def __init__(self, port, partition=0):
        super().__init__(daemon=True)
        self.port, self.at = port, None
        self.place = {"topic": "a", "partition": partition}
        self.seen, self.errors = [], []
        self.stopped = threading.Event()
        self.start()

    def first_offset(self, client):
        client.send(kafka_client.list_offsets(-2, **self.place))
        offset = kafka_client.listed(client.answer())
        return offset if offset >= 0 else None

    def read(self, client):
        if self.at is None:
            self.at = self.first_offset(client)
            return
        got = client.fetch(self.at, max_wait=200, **self.place)
        if got.error not in (0, 3):
            self.errors.append((self.at, got.error))
        for offset, value in got.values():
            if offset < self.at:
                continue  # of a batch that begins before
            self.seen.append((offset, json.loads(value)["id"],
                              time.monotonic()))
            self.at = offset + 1

    def run(self):
        while not self.stopped.is_set():
            try:
                with Client(self.port) as client:
                    while not self.stopped.is_set():
                        self.read(client)
            except (OSError, EOFError):
                self.stopped.wait(0.02)

    def stop(self):
        self.stopped.set()
        self.join()

    def ids(self):
        return [i for _, i, _ in self.seen]


class FeedCase(LogCase):
    # this client does not unpack
    properties = {"pull.compression": "none"}

    def begin(self, **properties):
        self.start(**properties)
        port = self.server.status()["feed"]["port"]
        self._ports.add(port)
        # the same one after a restart
        self.server.document["properties"]["pull.listen"] = f"127.0.0.1:{port}"
        self.server.write()
        self.follower = Follower(port)
        self.addCleanup(self.follower.stop)

    def check_read(self, sent, unknown=()):
        """The follower has all of the log, which has all that was answered."""
        logged = self.check_log(sent, unknown)
        wait_for(lambda: len(self.follower.seen) >= len(logged),
                 "the follower at the end")
        self.assertEqual(self.follower.ids(), logged)
        offsets = [o for o, _, _ in self.follower.seen]
        self.assertEqual(offsets, sorted(set(offsets)))
        self.assertEqual(self.follower.errors, [])


class TestFeed(FeedCase):
    def test_latency(self):
        self.begin()
        self.server.post("a", harness.events(1, run="first"))
        wait_for(lambda: self.follower.seen)
        taken = []
        for i in range(100):
            began = time.monotonic()
            self.assertEqual(self.server.post(
                "a", harness.events(1, i)).status, 200)
            wait_for(lambda: len(self.follower.seen) > i + 1, step=0.001)
            taken.append(self.follower.seen[-1][2] - began)
        taken.sort()
        # a commit with its fsync, and no clock behind it
        self.assertLess(taken[50], 0.2)

    def test_order(self):
        """Requests of one client come in their order; events of a request,
        too."""
        self.begin()
        sent = []
        for at in range(0, 1000, 50):
            events = harness.events(50, at)
            self.assertEqual(self.server.post("a", events).status, 200)
            sent += drill.ids(events)
        self.check_read(sent)
        self.assertEqual(sorted(self.follower.ids()), sorted(sent))


class TestPartitions(FeedCase):
    def test_spread(self):
        """Each event is in one of them; each is read by itself."""
        self.begin(**{"pull.partitions": 3})
        followers = [Follower(self.follower.port, p) for p in range(3)]
        for f in followers:
            self.addCleanup(f.stop)
        sent = drill.ids(harness.events(900))
        self.assertEqual(
            self.server.post("a", harness.events(900)).status, 200)
        wait_for(lambda: sum(len(f.seen) for f in followers) >= 900)
        self.assertEqual(sorted(i for f in followers for i in f.ids()),
                         sorted(sent))
        for f in followers:
            self.assertGreater(len(f.seen), 100)
            self.assertEqual(f.errors, [])
        with Client(self.follower.port) as c:
            got = c.fetch(0, topic="a", partition=3, max_wait=0)
            self.assertEqual(got.error, 3)


class TestKilled(FeedCase):
    time_bound = 900 if drill.LONG else 200

    def test_random_kills(self):
        self.begin(**{"tranquility.lingerMillis": 0})
        sent, unknown, stop = [], [], threading.Event()
        rnd = random.Random(7)
        threads = [threading.Thread(target=self.post_some, args=(
            sent, unknown, stop, f"r{n}")) for n in range(3)]
        for t in threads:
            t.start()
        try:
            for i in range(KILLS):
                self.server.kill_one(rnd.choice(
                    ["feed", "feed", "worker", "worker", "receiver"]), rnd)
                if i % 6 == 5:
                    self.server.kill_all() if i % 12 == 5 else \
                        self.server.stop()
                    self.server.start()
                before = len(self.follower.seen)
                wait_for(lambda: len(self.follower.seen) > before,
                         "something new for the follower")
        finally:
            stop.set()
            for t in threads:
                t.join()
        wait_for(lambda: self.server.post(
            "a", harness.events(1, run="last")).status == 200, "an answer")
        sent += ["last-0"]
        self.check_read(sent, unknown)
        self.assertGreater(len(sent), 100)


if __name__ == "__main__":
    drill.main()
