#!/usr/bin/env python3
"""Bodies made to cost more than they weigh: time and memory are bounded by
what came over the wire."""

import gzip
import os
import socket
import sys
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402

MIB = 1 << 20
SIZE = (64 if drill.LONG else 8) * MIB - 4096
# Ten times what was measured for the dearest of them, on a busy machine.
MICROSECONDS_A_BYTE = 0.1
JSON = b"Content-Type: application/json\r\n"
PACKED = JSON + b"Content-Encoding: %s\r\n"


def fill(piece, before=b"", after=b""):
    count = (SIZE - len(before) - len(after)) // len(piece)
    return before + piece * count + after


def bomb(bits, size=16 * SIZE):
    """Spaces, which pack a thousand to one."""
    packer = zlib.compressobj(9, wbits=bits)
    return b"".join([packer.compress(b" " * MIB)
                     for _ in range(size // MIB)] + [packer.flush()])


# (what, the fields in front, the body, the answers that may be)
BODIES = [
    ("brackets", JSON, lambda: fill(b"["), {400}),
    ("objects in objects", JSON, lambda: fill(b'{"a":'), {400}),
    ("nested as deep as may be", JSON,
     lambda: fill(b'{"a":' * 500 + b"1" + b"}" * 500), {400}),
    ("blanks", JSON, lambda: fill(b" "), {200}),
    ("empty objects", JSON, lambda: fill(b"{}"), {400}),
    ("empty lists of events", JSON, lambda: fill(b"[]\n"), {200, 400}),
    ("one string, all escapes", JSON,
     lambda: fill(b'\\"', b'{"a":"', b'"}'), {400}),
    ("one number", JSON, lambda: fill(b"1", b'{"a":', b"}"), {400}),
    ("one name again and again", JSON,
     lambda: fill(b'"a":1,', b"{", b'"b":1}'), {400}),
    ("gzip of blanks", PACKED % b"gzip", lambda: bomb(31), {413}),
    ("zlib of blanks", PACKED % b"deflate", lambda: bomb(15), {413}),
    ("raw deflate of blanks", PACKED % b"deflate", lambda: bomb(-15), {413}),
    ("gzip members of one byte", PACKED % b"gzip",
     lambda: fill(gzip.compress(b" ", 1)), {200}),
    ("gzip members of nothing", PACKED % b"gzip",
     lambda: fill(gzip.compress(b"", 1)), {200}),
    ("zlib members of one byte", PACKED % b"deflate",
     lambda: fill(zlib.compress(b" ")), {200}),
    ("stored blocks of nothing", PACKED % b"gzip",
     lambda: fill(b"\0\0\0\xff\xff", gzip.compress(b"")[:10],
                  b"\3\0" + b"\0" * 8), {200}),
    ("zstd frames of nothing", PACKED % b"zstd",
     lambda: fill(bytes.fromhex("28b52ffd2000010000")), {200}),
    ("zstd frames to be skipped", PACKED % b"zstd",
     lambda: fill(bytes.fromhex("502a4d1800000000")), {200, 400}),
]
CHUNKED = JSON + b"Transfer-Encoding: chunked\r\n\r\n"
STREAMS = [
    ("chunks of one byte", fill(b"1\r\n \r\n") + b"0\r\n\r\n", {200}),
    ("chunks of one byte with extensions",
     fill(b"1;a=b\r\n \r\n") + b"0\r\n\r\n", {400}),
]


class TestBodies(drill.OneSourceCase):
    time_bound = 300
    properties = {"tranqd.receivers": 1, "druidBeam.firehoseRetryPeriod":
                  "PT60S"}

    def post(self, data):
        """The answer's status and the receiver's CPU seconds."""
        pid = self.server.receiver_pids()[0]
        ticks = drill.cpu_ticks(pid)
        with socket.create_connection(("127.0.0.1", self.server.port),
                                      60) as s:
            try:
                s.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it is answered already
            answer = s.recv(1000)
        spent = drill.cpu_ticks(pid) - ticks
        return int(answer.split()[1]), spent / os.sysconf("SC_CLK_TCK")

    def check(self, data, statuses):
        status, seconds = self.post(
            b"POST /v1/post/wikipedia HTTP/1.1\r\nHost: t\r\n" + data)
        self.assertIn(status, statuses)
        self.assertLess(seconds, 0.5 + MICROSECONDS_A_BYTE * SIZE / 1e6)
        # bodies inflate to http.maxBodyBytes at most
        pid = self.server.receiver_pids()[0]
        self.assertLess(drill.memory_of(pid, "VmHWM"), 200 * MIB)

    def check_alive(self):
        self.assertEqual(
            self.server.post("wikipedia", harness.events(1)).sent, 1)
        self.check_whole(self.server, self.druid)
        self.check_no_crash(self.server)

    def test_bodies(self):
        for what, fields, make, statuses in BODIES:
            with self.subTest(what):
                body = make()
                self.check(fields + b"Content-Length: %d\r\n\r\n" % len(body)
                           + body, statuses)
        self.check_alive()

    def test_chunks(self):
        for what, stream, statuses in STREAMS:
            with self.subTest(what):
                self.check(CHUNKED + stream, statuses)
        self.check_alive()


if __name__ == "__main__":
    drill.main()
