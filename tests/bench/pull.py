"""The pull cases of make bench: HTTP in, log, Fetch out.

A consumer reads all that is written while it is written, from the first offset
on, as Druid's task does. Its CPU and that of the load generator do not count.
"""
import datetime
import os
import socket
import statistics
import struct
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helper"))
import kafka_client  # noqa: E402

TOPIC = "wikipedia"
DRUID = "34.0.0"
CODECS = ("lz4", "none", "zstd", "gzip")
GOAL = 1_000_000
ANSWER_MAX = 80 << 20
LATENCIES = 1000
BESIDES = 20_000  # events a second


def batches(records):
    """Base offset, records and bytes of each batch."""
    at = 0
    while at < len(records):
        base, length = struct.unpack_from(">qi", records, at)
        count, = struct.unpack_from(">i", records, at + 57)
        yield base, count, 12 + length
        at += 12 + length


def place(client, time_ms):
    """ListOffsets; OSError while there is no topic yet."""
    client.send(kafka_client.list_offsets(time_ms, topic=TOPIC))
    offset = kafka_client.listed(client.answer())
    if offset < 0:
        raise OSError("no topic yet")
    return offset


class Reader(threading.Thread):
    """Everything from the first offset on, until it is told how much."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.client = kafka_client.Client(port)
        self.buffer = memoryview(bytearray(ANSWER_MAX))
        self.events = self.bytes = self.gaps = 0
        self.wanted = None
        self.at = place(self.client, -2)
        self.start()

    def _take(self, count):
        at = 0
        while at < count:
            got = self.client.socket.recv_into(self.buffer[at:count])
            if got == 0:
                raise EOFError("the feed has closed the connection")
            at += got
        return self.buffer[:count]

    def run(self):
        while self.wanted is None or self.events < self.wanted:
            self.client.send(kafka_client.fetch(
                self.at, topic=TOPIC, max_wait=200, partition_bytes=8 << 20))
            size, = struct.unpack(">i", self._take(4))
            fetched = kafka_client.Fetched(self._take(size))
            for base, count, used in batches(fetched.records):
                self.gaps += base != self.at
                self.at = base + count
                self.events += count
                self.bytes += used

    def finish(self, events, seconds=60):
        """Whether it has read so many, each once."""
        self.wanted = events
        self.join(seconds)
        return self.events == events and self.gaps == 0


def disk_bytes(folder):
    status = os.stat(Path(folder, f"data/spool/{TOPIC}/data.mdb"))
    return status.st_blocks * 512


class Poster:
    """One event a request, on one connection."""

    def __init__(self, url):
        host, port = url.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, text):
        self.socket.sendall(
            (f"POST /v1/post/{TOPIC} HTTP/1.1\r\nHost: a\r\nContent-Type: "
             f"application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}"
             ).encode())

    def answer(self):
        raw = b""
        while b"}" not in raw:  # of its body, which is one object
            raw += self.socket.recv(4096)
        if not raw.startswith(b"HTTP/1.1 200"):
            sys.exit(f"bench: {raw!r}")


def latencies(url, port, count=LATENCIES):
    """Milliseconds from the first byte of a POST until its event has been
    read, one after the other; the log is not compressed."""
    poster, client, taken = Poster(url), kafka_client.Client(port), []
    at = place(client, -1)
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    for n in range(count):
        mark = f"<{os.getpid()}.{n}>"
        began, found = None, False
        while not found:
            client.send(kafka_client.fetch(at, topic=TOPIC, max_wait=10000))
            if began is None:
                began = time.perf_counter()
                poster.send(f'{{"time":"{now}","page":"{mark}"}}')
            records = kafka_client.Fetched(client.answer()).records
            for base, events, _ in batches(records):
                at = base + events
            found = mark.encode() in records
        taken.append((time.perf_counter() - began) * 1000)
        poster.answer()
    return taken


def disk_latencies(folder, count=LATENCIES):
    """What of that is the disk's: a commit of LMDB writes and syncs twice."""
    fd = os.open(Path(folder, "floor"), os.O_RDWR | os.O_CREAT)
    taken = []
    for n in range(count):
        began = time.perf_counter()
        for at in (n + 1, 0):
            os.pwrite(fd, bytes(4096), 4096 * at)
            os.fdatasync(fd)
        taken.append((time.perf_counter() - began) * 1000)
    os.close(fd)
    return taken


def show_latency(name, taken):
    cuts = statistics.quantiles(taken, n=1000)  # the goal is p99 < 10 ms
    print(f"pull: {name}\n    latency ms: p50 "
          f"{cuts[499]:.2f}  p99 {cuts[989]:.2f}  p99.9 "
          f"{cuts[998]:.2f}", flush=True)
