#!/usr/bin/env python3
"""The HTTP API, row by row (reference: Tranquility Server's), from a client's
socket to what Druid got."""

import ctypes
import gzip
import json
import os
import socket
import sys
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

JSON = "Content-Type: application/json\r\n"

ZSTD = ctypes.CDLL("libzstd.so.1")
ZSTD.ZSTD_compress.restype = ctypes.c_size_t
ZSTD.ZSTD_compress.argtypes = [ctypes.c_char_p, ctypes.c_size_t,
                               ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]


def pack_raw(data):
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def pack_zstd(data):
    room = ctypes.create_string_buffer(len(data) + len(data) // 100 + 200)
    used = ZSTD.ZSTD_compress(room, len(room), data, len(data), 3)
    return room.raw[:used]


PACKERS = {"gzip": [gzip.compress], "deflate": [zlib.compress, pack_raw],
           "zstd": [pack_zstd]}
SUMMED = (gzip.compress, zlib.compress)


def head(path="/v1/post/wikipedia", fields=JSON, method="POST",
         version="HTTP/1.1"):
    return f"{method} {path} {version}\r\nHost: t\r\n{fields}".encode()


def whole(body, path="/v1/post/wikipedia", fields=JSON, **how):
    return (head(path, fields, **how)
            + b"Content-Length: %d\r\n\r\n" % len(body) + body)


class Raw:
    """A connection of which every byte is ours."""

    def __init__(self, port, seconds=20):
        self.socket = socket.create_connection(("127.0.0.1", port), seconds)
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _fill(self):
        piece = self.socket.recv(65536)
        if not piece:
            raise ConnectionError("closed")
        self.rest += piece

    def answer(self, has_body=True):
        """(status, fields with small names, body) of the next one."""
        while b"\r\n\r\n" not in self.rest:
            self._fill()
        top, self.rest = self.rest.split(b"\r\n\r\n", 1)
        first, *lines = top.decode().split("\r\n")
        fields = {k.lower(): v.strip() for k, _, v in
                  (line.partition(":") for line in lines)}
        length = int(fields.get("content-length", 0)) if has_body else 0
        while len(self.rest) < length:
            self._fill()
        body, self.rest = self.rest[:length], self.rest[length:]
        return int(first.split()[1]), fields, body

    def is_closed(self):
        """The other side closes, in good order, with nothing more said."""
        return self.rest == b"" and self.socket.recv(1) == b""


class HttpCase(drill.Case):
    properties = {}
    data_sources = ["wikipedia", "clicks"]

    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full")
        self.server = self.tranqd(drill.config(
            self.data_sources, self.druid.url, properties=self.properties))
        self.port = self.server.port

    def connect(self):
        raw = Raw(self.port)
        self.addCleanup(raw.socket.close)
        return raw

    def check_text(self, answer, status, text):
        self.assertEqual(answer.status, status, answer)
        self.assertTrue(answer.headers["Content-Type"].startswith(
            "text/plain"), answer.headers)
        self.assertEqual(answer.text, text)

    def check_result(self, answer, received, sent):
        self.assertEqual(answer.status, 200, answer)
        self.assertTrue(answer.headers["Content-Type"].startswith(
            "application/json;"), answer.headers)
        self.assertEqual(
            answer.body,
            b'{"result":{"received":%d,"sent":%d}}' % (received, sent))


class TestPaths(HttpCase):
    def test_banner(self):
        answer = self.server.request("GET", "/")
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.headers["Content-Type"].startswith(
            "text/plain"))
        self.assertIn("tranqd", answer.text)

    def test_head_of_banner(self):
        with self.connect() as raw:
            raw.send(head("/", "", "HEAD") + b"\r\n")
            status, fields, _ = raw.answer(has_body=False)
            self.assertEqual(status, 200)
            self.assertGreater(int(fields["content-length"]), 0)
            # no body lies between the two
            raw.send(head("/", "", "GET") + b"\r\n")
            status, fields, body = raw.answer()
            self.assertEqual((status, len(body)),
                             (200, int(fields["content-length"])))

    def test_everything_else(self):
        for method, path in (("GET", "/nothing"), ("GET", "/v1/post"),
                             ("GET", "/v1/post/wikipedia"), ("POST", "/"),
                             ("POST", "/v1"), ("POST", "/v2/post"),
                             ("POST", "/v1/post/wikipedia/more"),
                             ("POST", "/v1/postwikipedia"),
                             ("PUT", "/v1/post/wikipedia"),
                             ("DELETE", "/v1/post/wikipedia")):
            with self.subTest(method=method, path=path):
                self.check_text(
                    self.server.request(method, path, b"{}" if
                                        method != "GET" else None),
                    404, "Not found\n")

    def test_data_source_in_the_path(self):
        events = harness.events(100)
        self.check_result(self.server.post("wikipedia", events), 100, 100)
        self.check_ids(self.druid, "wikipedia", drill.ids(events))
        self.check_whole(self.server, self.druid)

    def test_path_wins(self):
        """With the path, a field `dataSource` is a field like others."""
        events = harness.events(3, dataSource="clicks")
        self.check_result(self.server.post("wikipedia", events), 3, 3)
        self.check_ids(self.druid, "wikipedia", drill.ids(events))
        self.assertEqual(self.druid.events("clicks"), [])

    def test_destination_in_each_event(self):
        """`dataSource` is looked at before `feed`."""
        events = (harness.events(5, run="a", dataSource="wikipedia")
                  + harness.events(5, run="b", feed="clicks")
                  + harness.events(5, run="c", dataSource="clicks",
                                   feed="wikipedia"))
        self.check_result(self.server.post(None, events), 15, 15)
        self.check_ids(self.druid, "wikipedia", drill.ids(events[:5]))
        self.check_ids(self.druid, "clicks", drill.ids(events[5:]))
        self.check_whole(self.server, self.druid)

    def test_percent_encoding(self):
        answer = self.server.post("%77ikipedia", harness.events(1))
        self.check_result(answer, 1, 1)
        self.assertEqual(
            self.server.post("%7", harness.events(1)).status, 400)

    def test_no_definition(self):
        self.check_text(self.server.post("nothing", harness.events(1)), 400,
                        "No definition for dataSource 'nothing'\n")
        self.check_text(
            self.server.post(None, harness.events(1, feed="nothing")), 400,
            "No definition for dataSource 'nothing'\n")

    def test_no_destination(self):
        answer = self.server.post(None, harness.events(1))
        self.assertEqual(answer.status, 400)
        self.assertTrue(
            answer.text.startswith("Missing 'dataSource' or 'feed'"), answer)


class TestAsync(HttpCase):
    def test_spellings(self):
        events = harness.events(100)
        at = 0
        for spelling in ("true", "1", "yes", "TRUE", "Yes", "tRuE", "%74rue"):
            with self.subTest(spelling=spelling):
                self.check_result(
                    self.server.post("wikipedia", events[at:at + 2],
                                     query=f"async={spelling}"), 2, 0)
                at += 2
        for spelling in ("false", "0", "no", "", "False", "NO"):
            with self.subTest(spelling=spelling):
                self.check_result(
                    self.server.post("wikipedia", events[at:at + 2],
                                     query=f"async={spelling}"), 2, 2)
                at += 2
        self.check_result(self.server.post("wikipedia", events[at:],
                                           query="async"), 100 - at, 100 - at)
        self.check_ids(self.druid, "wikipedia", drill.ids(events))

    def test_wrong_spelling(self):
        for spelling in ("maybe", "2", "tru", "truee", "x" * 5000):
            with self.subTest(spelling=spelling[:10]):
                self.check_text(
                    self.server.post("wikipedia", harness.events(1),
                                     query=f"async={spelling}"),
                    400, "Expected true or false\n")
        self.assertEqual(self.druid.events("wikipedia"), [])

    def test_other_parameters(self):
        self.check_result(self.server.post(
            "wikipedia", harness.events(1),
            query="x=1&verbose=true&async=true&&y"), 1, 0)

    def test_async_is_durable_before_the_answer(self):
        """Killed right behind the answer, all at once: nothing is lost."""
        self.druid.fault("hang")
        events = harness.events(50)
        self.check_result(
            self.server.post("wikipedia", events, is_async=True), 50, 0)
        self.server.kill_all()
        self.druid.fault("hang", on=False)
        self.server.start()
        self.check_ids(self.druid, "wikipedia", drill.ids(events))
        self.check_whole(self.server, self.druid)


class TestSynchronous(HttpCase):
    properties = {"druidBeam.firehoseRetryPeriod": "PT3S"}

    def test_waits_no_longer_than_firehose_retry_period(self):
        """Druid does not answer: 200, for the events are on disk."""
        self.druid.fault("hang")
        events = harness.events(10)
        began = time.monotonic()
        answer = self.server.post("wikipedia", events)
        self.assertLess(time.monotonic() - began, 20)
        self.check_result(answer, 10, 0)
        self.assertEqual(answer.headers["X-Tranq-Spooled"], "10")
        self.druid.fault("hang", on=False)
        self.check_ids(self.druid, "wikipedia", drill.ids(events))
        self.check_whole(self.server, self.druid)

    def test_sent_so_far(self):
        self.druid.fault("hang", dataSource="clicks")
        events = (harness.events(4, run="w", feed="wikipedia")
                  + harness.events(6, run="c", feed="clicks"))
        answer = self.server.post(None, events)
        self.check_result(answer, 10, 4)
        self.assertEqual(answer.headers["X-Tranq-Spooled"], "6")
        self.druid.fault("hang", on=False)
        self.check_ids(self.druid, "clicks", drill.ids(events[4:]))

    def test_dropped_events_are_counted(self):
        events = (harness.events(3, run="now")
                  + harness.events(2, run="old", at=time.time() - 2 * 86400)
                  + harness.events(1, run="new", at=time.time() + 2 * 86400))
        answer = self.server.post("wikipedia", events)
        self.check_result(answer, 6, 3)
        self.assertEqual(answer.headers["X-Tranq-Dropped"], "3; window=3")
        self.assertNotIn("X-Tranq-Spooled", answer.headers)
        self.check_ids(self.druid, "wikipedia", drill.ids(events[:3]))
        self.await_drained(self.server)
        accounts = self.server.accounts("wikipedia")
        self.assertEqual((accounts["received"], accounts["sent"],
                          accounts["dropped"]["window"]), (6, 3, 3))

    def test_all_dropped(self):
        for is_async in False, True:
            answer = self.server.post(
                "wikipedia", harness.events(2, at=0), is_async=is_async)
            self.check_result(answer, 2, 0)
            self.assertEqual(answer.headers["X-Tranq-Dropped"],
                             "2; window=2")
        wait_for(lambda: self.server.accounts("wikipedia")["dropped"]
                 ["window"] == 4)


class TestBodies(HttpCase):
    def check_body(self, body, events, **how):
        self.check_result(self.server.post("wikipedia", body, **how),
                          len(events), len(events))
        self.check_ids(self.druid, "wikipedia", drill.ids(events))
        self.druid.reset()
        # tasks and all are forgotten there; a new daemon makes new ones
        self.server.stop()
        self.server.start()

    def test_array(self):
        events = harness.events(20)
        self.check_body(events, events, is_array=True)

    def test_array_over_lines(self):
        events = harness.events(20)
        self.check_body(json.dumps(events, indent=2).encode(), events)

    def test_sequences(self):
        events = harness.events(4)
        texts = [json.dumps(e).encode() for e in events]
        for between in (b"\n", b"", b" ", b"\r\n", b"\n\n\t "):
            with self.subTest(between=between):
                answer = self.server.post("wikipedia", between.join(texts))
                self.check_result(answer, 4, 4)

    def test_nothing(self):
        for body in (b"", b"[]", b" \n", b" [ ] "):
            with self.subTest(body=body):
                self.check_result(self.server.post("wikipedia", body), 0, 0)

    def test_compressed(self):
        events = harness.events(1000)
        body = harness.lines(events)
        for name in ("gzip", "x-gzip", "GZIP", "deflate", "zstd",
                     "gzip, identity", "identity,zstd"):
            kind = next(k for k in PACKERS if k in name.lower())
            for pack in PACKERS[kind]:
                with self.subTest(name=name, pack=pack):
                    self.check_result(self.server.post(
                        "wikipedia", pack(body),
                        headers={"Content-Encoding": name}), 1000, 1000)

    def test_compressed_members(self):
        events = harness.events(20)
        for name, packers in PACKERS.items():
            for pack in packers:
                body = (pack(harness.lines(events[:10])) + pack(b"")
                        + pack(harness.lines(events[10:])))
                with self.subTest(name=name, pack=pack):
                    self.check_result(self.server.post(
                        "wikipedia", body,
                        headers={"Content-Encoding": name}), 20, 20)

    def test_many_members(self):
        body = harness.lines(harness.events(20))
        for name, packers in PACKERS.items():
            for pack in packers:
                bytes_alone = [pack(body[i:i + 1]) for i in range(len(body))]
                members = pack(b"") * 50000 + b"".join(bytes_alone)
                with self.subTest(name=name, pack=pack):
                    self.check_result(self.server.post(
                        "wikipedia", members,
                        headers={"Content-Encoding": name}), 20, 20)

    def test_identity(self):
        self.check_result(self.server.post(
            "wikipedia", harness.events(1),
            headers={"Content-Encoding": "identity"}), 1, 1)

    def test_bad_compressed(self):
        plain = harness.lines(harness.events(50))
        for name, packers in PACKERS.items():
            for pack in packers:
                good = pack(plain)
                damaged = bytearray(good)
                damaged[len(good) // 2] ^= 0x55
                if pack not in SUMMED:
                    damaged = b"x"
                for body in (b"", b"x", good[:-1], good[:20], bytes(damaged),
                             good + b"rubbish", good + good[:-1],
                             good + b"\0", plain):
                    with self.subTest(name=name, pack=pack, body=body[:12]):
                        self.check_refused(name, body, 400)
                # it says what was wrong
                self.check_refused(name, good[:-1], 400,
                                   f"Malformed {name} body: ")
        for name, other in (("gzip", "deflate"), ("gzip", "zstd"),
                            ("deflate", "gzip"), ("zstd", "gzip")):
            with self.subTest(name=name, other=other):
                self.check_refused(name, PACKERS[other][0](plain), 400)
        self.assertEqual(self.druid.events("wikipedia"), [])

    def check_refused(self, name, body, status, text=""):
        answer = self.server.post("wikipedia", body,
                                  headers={"Content-Encoding": name})
        self.assertEqual(answer.status, status, answer)
        self.assertIn(text, answer.text)

    def test_bombs(self):
        """Many times http.maxBodyBytes, and more than the ratio allows."""
        for name, packers in PACKERS.items():
            for pack in packers:
                with self.subTest(name=name, pack=pack):
                    # 100 of them: no more than a few MB on the way
                    self.check_refused(name, pack(b" " * 2000000) * 100, 413,
                                       "http.max")
        self.check_refused("zstd", pack_zstd(b" " * 60000000), 413,
                           "http.maxInflationRatio (1000)")
        self.check_refused("gzip", gzip.compress(b" " * 60000000), 413,
                           "http.maxInflationRatio (1000)")
        self.check_result(self.server.post("wikipedia", harness.events(1)),
                          1, 1)

    def test_other_encoding(self):
        for name in ("br", "compress", "gzip, gzip", "zstd, gzip", "gzip;q=1",
                     "deflate,identity,deflate", "gzip identity"):
            with self.subTest(name=name):
                self.check_text(
                    self.server.post("wikipedia", harness.events(1),
                                     headers={"Content-Encoding": name}),
                    400, "Unrecognized request Content-Encoding\n")

    def test_content_types(self):
        for kind in ("application/json; charset=utf-8", "APPLICATION/JSON",
                     "application/json;charset=UTF-8", "application/json ;x"):
            with self.subTest(kind=kind):
                self.check_result(self.server.post(
                    "wikipedia", harness.events(1), content_type=kind), 1, 1)

    def test_other_content_type(self):
        expected = ("Expected contentType application/json, "
                    "application/x-jackson-smile, or text/plain\n")
        for kind in ("application/xml", "text/html", "json", "",
                     "application/jsonx", "application/x-www-form-urlencoded"):
            with self.subTest(kind=kind):
                self.check_text(self.server.post(
                    "wikipedia", harness.events(1), content_type=kind),
                    400, expected)
        with self.connect() as raw:
            raw.send(whole(b"{}", fields=""))
            status, _, body = raw.answer()
            self.assertEqual((status, body.decode()), (400, expected))

    def test_text_plain_wants_the_path(self):
        self.check_text(
            self.server.post(None, b"x\n", content_type="text/plain"), 400,
            "Must include dataSource in URL for contentType[text/plain]\n")

    def test_events_come_as_they_were(self):
        """But for the timestamp, which is in milliseconds."""
        event = {"id": "ä\u2028€😀\"\\\n\x7f", "time": "2026-01-01", "page":
                 "Zürich", "user": "", "channel": None, "added": -12,
                 "deep": {"a": [1, {"b": None}], "x": 1.5e-7},
                 "large": 123456789012345678901234567890, "no": False,
                 "list": ["b", "a", "b"], "zero": -0.0}
        now = int(time.time() * 1000)
        event["time"] = harness.iso(now / 1000)
        for ascii_only in True, False:
            text = json.dumps(event, ensure_ascii=ascii_only)
            self.check_result(
                self.server.post("wikipedia", text.encode()), 1, 1)
            line = self.druid.event_lines("wikipedia")[-1].decode()
            ms = json.loads(line)["time"]
            self.assertLessEqual(abs(ms - now), 1)
            self.assertEqual(json.loads(line), dict(event, time=ms))
            self.assertEqual(line.replace(str(ms), json.dumps(event["time"])),
                             text)

    def test_timestamps(self):
        now = int(time.time())
        day = time.strftime("%Y-%m-%dT%H", time.gmtime(now))
        for value, ms in ((now * 1000, now * 1000),
                          (str(now * 1000), now * 1000),
                          (day + ":00:00Z", now // 3600 * 3600000),
                          (day + ":00:00.007+00:00",
                           now // 3600 * 3600000 + 7),
                          (day + ":00", now // 3600 * 3600000)):
            with self.subTest(value=value):
                self.check_result(self.server.post(
                    "wikipedia", harness.events(1, **{"time": value})), 1, 1)
                self.assertEqual(self.druid.events("wikipedia")[-1]["time"],
                                 ms)


class TestMalformed(HttpCase):
    """400, and nothing of the request is taken."""

    def check_refused(self, body, *words, ds="wikipedia", status=400):
        answer = self.server.post(ds, body)
        self.assertEqual(answer.status, status, answer)
        self.assertTrue(answer.text.endswith("\n"), answer)
        self.assertEqual(answer.text.count("\n"), 1, answer)
        for word in words:
            self.assertIn(word, answer.text)

    def tearDown(self):
        try:
            if not self._failed():
                self.assertEqual(self.druid.events("wikipedia"), [])
                self.assertEqual(
                    self.server.accounts("wikipedia")["received"], 0)
        finally:
            super().tearDown()

    def test_json(self):
        good = harness.lines(harness.events(3))
        for bad in (b"{", b'{"a":}', b"nonsense", b"[{}", b'{"a":1,}',
                    b'{"a":01}', b"{'a':1}", b'{"a":"\xff"}', b"[1]", b"null",
                    b'"x"', b'{"a":"\n"}', b"{}}", b"{}]", b"[{} {}]",
                    b'{"a":NaN}', b'{"a":"\\u12"}', b"\x00"):
            with self.subTest(bad=bad):
                self.check_refused(bad, "Malformed")
                self.check_refused(good + bad.replace(b"{}", good),
                                   "Malformed JSON")

    def test_json_in_deep(self):
        self.check_refused(b'{"a":' * 100000, "Malformed JSON")
        self.check_refused(b'[' * 100000, "Malformed JSON")

    def test_timestamp(self):
        events = harness.events(7)
        for value in ("yesterday", "", {}, [], True, "2026-13-01",
                      "2026-11-22T25:00Z", "2026-11-22T10:00:00+99:00"):
            with self.subTest(value=value):
                events[5]["time"] = value
                self.check_refused(harness.lines(events), "event[5]", "'time'")
        events[5]["time"] = "v" * 100000
        self.check_refused(harness.lines(events), "event[5]", "vvv")
        del events[5]["time"]
        self.check_refused(harness.lines(events), "event[5]", "'time'")

    def test_one_of_two_data_sources(self):
        events = (harness.events(3, feed="wikipedia")
                  + harness.events(3, feed="nothing"))
        self.check_refused(harness.lines(events), "No definition", "nothing",
                           ds=None)

    def test_an_event_too_large_for_the_ring(self):
        self.check_refused(
            harness.lines(harness.events(1, page="x" * (5 << 20))),
            "event[0]", "tranqd.ringBytes", status=413)


class TestProtocol(HttpCase):
    def test_chunked(self):
        events = harness.events(300)
        body = harness.lines(events)
        with self.connect() as raw:
            raw.send(head() + b"Transfer-Encoding: chunked\r\n\r\n")
            for at in range(0, len(body), 1111):
                piece = body[at:at + 1111]
                raw.send(b"%X;ext=1\r\n" % len(piece) + piece + b"\r\n")
            raw.send(b"0\r\nX-Trailer: x\r\n\r\n")
            self.assertEqual(raw.answer()[0], 200)
            # the connection goes on behind the trailer
            raw.send(whole(b"[]"))
            self.assertEqual(raw.answer()[0], 200)
        self.check_ids(self.druid, "wikipedia", drill.ids(events))

    def test_chunked_gzip(self):
        body = gzip.compress(harness.lines(harness.events(50)))
        with self.connect() as raw:
            raw.send(head(fields=JSON + "Content-Encoding: gzip\r\n"
                          "Transfer-Encoding: chunked\r\n") + b"\r\n")
            for byte in body:
                raw.send(b"1\r\n%c\r\n" % byte)
            raw.send(b"0\r\n\r\n")
            self.assertEqual(json.loads(raw.answer()[2]),
                             {"result": {"received": 50, "sent": 50}})

    def test_byte_by_byte(self):
        events = harness.events(1)
        with self.connect() as raw:
            raw.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in whole(harness.lines(events)):
                raw.send(bytes([byte]))
            self.assertEqual(raw.answer()[0], 200)
        self.check_ids(self.druid, "wikipedia", drill.ids(events))

    def test_continue(self):
        body = harness.lines(harness.events(10))
        with self.connect() as raw:
            raw.send(head(fields=JSON + "Expect: 100-continue\r\n")
                     + b"Content-Length: %d\r\n\r\n" % len(body))
            self.assertEqual(raw.answer(), (100, {}, b""))
            raw.send(body)
            self.assertEqual(raw.answer()[0], 200)

    def test_continue_refused(self):
        """The body of what is refused anyhow is not wanted."""
        for path, status in (("/v1/post/nothing", 400), ("/nowhere", 404),
                             ("/v1/post/wikipedia?async=x", 400)):
            with self.subTest(path=path), self.connect() as raw:
                raw.send(head(path, JSON + "Expect: 100-continue\r\n")
                         + b"Content-Length: 1000\r\n\r\n")
                self.assertEqual(raw.answer()[0], status)

    def test_continue_when_the_body_is_there(self):
        body = harness.lines(harness.events(1))
        with self.connect() as raw:
            raw.send(whole(body, fields=JSON + "Expect: 100-continue\r\n"))
            status = raw.answer()[0]
            self.assertIn(status, (100, 200))
            if status == 100:
                self.assertEqual(raw.answer()[0], 200)

    def test_other_expectation(self):
        with self.connect() as raw:
            raw.send(whole(b"[]", fields=JSON + "Expect: a miracle\r\n"))
            self.assertEqual(raw.answer()[0], 417)

    def test_pipelining(self):
        """Answers in the order of the requests, whatever is waited for."""
        requests, expected = b"", []
        for n in range(200):
            if n % 5 == 4:
                requests += head("/", "", "GET") + b"\r\n"
                expected.append(None)
                continue
            count = n % 7
            path = ("/v1/post/wikipedia", "/v1/post/clicks?async=1")[n % 2]
            requests += whole(harness.lines(
                harness.events(count, run=f"p{n}")), path)
            expected.append((count, 0 if n % 2 else count))
        with self.connect() as raw:
            raw.send(requests)
            for n, want in enumerate(expected):
                status, _, body = raw.answer()
                self.assertEqual(status, 200, body)
                if want is None:
                    self.assertIn(b"tranqd", body)
                else:
                    r = json.loads(body)["result"]
                    self.assertEqual((r["received"], r["sent"]), want, n)
        self.check_whole(self.server, self.druid)

    def test_keep_alive(self):
        with self.server.client() as client:
            for n in range(20):
                answer = client.post("wikipedia",
                                     harness.events(1, run=f"k{n}"))
                self.check_result(answer, 1, 1)
                self.assertNotIn("Connection", answer.headers)

    def test_close(self):
        with self.connect() as raw:
            raw.send(whole(b"[]", fields=JSON + "Connection: close\r\n"))
            _, fields, _ = raw.answer()
            self.assertEqual(fields["connection"], "close")
            self.assertTrue(raw.is_closed())

    def test_http_1_0(self):
        events = harness.events(2)
        with self.connect() as raw:
            raw.send(whole(harness.lines(events[:1]), version="HTTP/1.0"))
            status, fields, _ = raw.answer()
            self.assertEqual(status, 200)
            self.assertTrue(raw.is_closed())
        with self.connect() as raw:
            raw.send(whole(harness.lines(events[1:]), version="HTTP/1.0",
                           fields=JSON + "Connection: keep-alive\r\n"))
            status, fields, _ = raw.answer()
            self.assertEqual((status, fields["connection"].lower()),
                             (200, "keep-alive"))
            raw.send(b"GET / HTTP/1.0\r\n\r\n")
            self.assertEqual(raw.answer()[0], 200)
            self.assertTrue(raw.is_closed())
        self.check_ids(self.druid, "wikipedia", drill.ids(events))

    def test_half_closed(self):
        """A client that says no more (nc -N) is answered."""
        for is_async in "0", "1":
            events = harness.events(1, run=f"h{is_async}")
            answer = harness.raw(self.port, whole(
                harness.lines(events),
                f"/v1/post/wikipedia?async={is_async}"), end=True)
            self.assertTrue(answer.startswith(b"HTTP/1.1 200"), answer)

    def test_half_closed_while_waiting(self):
        self.druid.fault("slow", ms=700)
        answer = harness.raw(self.port, whole(
            harness.lines(harness.events(1))), end=True)
        self.assertTrue(answer.startswith(b"HTTP/1.1 200"), answer)

    def test_body_that_never_comes(self):
        answer = harness.raw(
            self.port, head() + b"Content-Length: 10\r\n\r\n{}", end=True)
        self.assertEqual(int(answer.split()[1]), 400, answer)

    def test_clients_that_go_away(self):
        """In all places of a request; nobody else notices."""
        body = harness.lines(harness.events(100, run="gone"))
        request = whole(body)
        for at in (1, 20, len(request) - len(body), len(request) - 5,
                   len(request)):
            for reset in False, True:
                raw = Raw(self.port)
                raw.send(request[:at])
                if reset:
                    raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                          b"\1\0\0\0\0\0\0\0")
                raw.socket.close()
        events = harness.events(100)
        self.check_result(self.server.post("wikipedia", events), 100, 100)
        self.check_no_crash(self.server)
        self.await_drained(self.server)
        wait_for(lambda: sum(r["counters"]["connections"] for r in
                             self.server.status()["receivers"]) == 0,
                 "all connections are closed")


class TestIdle(HttpCase):
    properties = {"http.idleTimeout": "PT2S"}

    def test_idle_connections_are_closed(self):
        with self.connect() as raw:
            raw.send(whole(b"[]"))
            raw.answer()
            began = time.monotonic()
            self.assertTrue(raw.is_closed())
            self.assertGreater(time.monotonic() - began, 0.8)

    def test_a_request_that_stands_still(self):
        with self.connect() as raw:
            raw.send(head() + b"Content-Length: 10\r\n\r\n{")
            self.assertEqual(raw.answer()[0], 408)

    def test_a_head_that_trickles(self):
        """One byte now and then does not keep a connection for ever."""
        with self.connect() as raw:
            end = time.monotonic() + 30
            try:
                raw.send(b"GET / HTTP/1.1\r\n")
                while time.monotonic() < end:
                    raw.send(b"X")
                    raw.socket.settimeout(0.1)
                    try:
                        if raw.socket.recv(1000) is not None:
                            break
                    except socket.timeout:
                        pass
            except ConnectionError:
                pass
            self.assertLess(time.monotonic(), end)

    def test_who_waits_for_druid_is_not_idle(self):
        self.druid.fault("slow", ms=4000)
        self.check_result(
            self.server.post("wikipedia", harness.events(1)), 1, 1)


if __name__ == "__main__":
    drill.main()
