#!/usr/bin/env python3
"""HTTP as attackers write it, row by row: what RFC 9112 (and 9110) wants, what
we answer, and that the connection ends where it must.

Two servers that see different requests in one stream of bytes are how a
request is smuggled past the first of them. So behind each row's bytes comes a
whole request to another dataSource: where the row's request is refused, it
must not be read; where it is taken, it must be the next one, to the byte.
"""

import os
import random
import socket
import sys
from collections import namedtuple

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from test_http import HttpCase, Raw  # noqa: E402

# ends: the connection is closed behind the answer
Row = namedtuple("Row", "what wants sent status ends")

JSON = b"Content-Type: application/json\r\n"
HEAD = b"POST /v1/post/wikipedia HTTP/1.1\r\nHost: t\r\n" + JSON
GET = b"GET / HTTP/1.1\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SIZED = HEAD + b"Content-Length: 2\r\n"


def ends(what, wants, sent, status=400):
    return Row(what, wants, sent, status, True)


def goes_on(what, wants, sent, status=200):
    return Row(what, wants, sent, status, False)


LENGTHS = [
    goes_on("Content-Length", "9112 6.2", SIZED + b"\r\n[]"),
    goes_on("no length, no body", "9112 6.3: length 0", HEAD + b"\r\n"),
    ends("both lengths", "9112 6.1: may be refused, must close",
         SIZED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ends("both lengths, the other way round", "the same",
         HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n[]"),
    ends("two lengths that differ", "9112 6.3: 400, close",
         SIZED + b"Content-Length: 3\r\n\r\n[]"),
    ends("two lengths that agree", "9112 6.3: refuse or take as one",
         SIZED + b"Content-Length: 2\r\n\r\n[]"),
    ends("a list of lengths", "9110 8.6: refuse or take as one",
         HEAD + b"Content-Length: 2, 2\r\n\r\n[]"),
    ends("length with a sign", "9110 8.6: digits",
         HEAD + b"Content-Length: +2\r\n\r\n[]"),
    ends("negative length", "9110 8.6: digits",
         HEAD + b"Content-Length: -2\r\n\r\n[]"),
    ends("length in hex", "9110 8.6: digits",
         HEAD + b"Content-Length: 0x2\r\n\r\n[]"),
    ends("length with a point", "9110 8.6: digits",
         HEAD + b"Content-Length: 2.0\r\n\r\n[]"),
    ends("length with a blank inside", "9110 8.6: digits",
         HEAD + b"Content-Length: 2 2\r\n\r\n[]"),
    ends("no digits", "9110 8.6: digits",
         HEAD + b"Content-Length:\r\n\r\n[]"),
    goes_on("zeros in front", "9110 8.6: 1*DIGIT",
            HEAD + b"Content-Length: 0002\r\n\r\n[]"),
    goes_on("blanks around the length", "9110 5.5: OWS is no part of it",
            HEAD + b"Content-Length: \t 2 \t\r\n\r\n[]"),
    ends("more than 64 bits", "9110 8.6: no overflow",
         HEAD + b"Content-Length: 18446744073709551618\r\n\r\n[]", 413),
    ends("other digits (Arabic)", "9110 8.6: digits",
         HEAD + b"Content-Length: \xd9\xa2\r\n\r\n[]"),
    goes_on("a name that only looks like it", "another field",
            SIZED + b"Content_Length: 9\r\nX-Content-Length: 9\r\n\r\n[]"),
    ends("Content-Length with GET, too large to read", "its body is read",
         GET + b"Host: t\r\nContent-Length: 99999999999\r\n\r\n", 413),
    goes_on("GET with a body", "9112 6: framed as any",
            GET + b"Host: t\r\nContent-Length: 4\r\n\r\nGET "),
]

CODINGS = [
    goes_on("chunked", "9112 7.1", CHUNKED + b"2\r\n[]\r\n0\r\n\r\n"),
    goes_on("Chunked in other letters", "9112 7: case does not count",
            HEAD + b"Transfer-Encoding: cHuNkEd\r\n\r\n2\r\n[]\r\n0\r\n\r\n"),
    ends("chunked twice in a list", "9112 6.1: must not be",
         HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501),
    ends("chunked in two fields", "9112 6.1: must not be",
         HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"
         b"\r\n\r\n0\r\n\r\n"),
    ends("gzip, chunked", "9112 6.1: 501 for unknown codings",
         HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    ends("chunked is not the last", "9112 6.3: 400, close",
         HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 501),
    ends("identity", "9112 7: there is none any more",
         HEAD + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n[]",
         501),
    ends("xchunked", "9112 6.1: 501",
         HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    ends("chunked with a parameter", "9112 7.1: has none",
         HEAD + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 501),
    ends("quoted", "a token",
         HEAD + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 501),
    ends("an empty one", "9110 5.6.1: a sender must not",
         HEAD + b"Transfer-Encoding:\r\n\r\n", 501),
    ends("with a vertical tab", "9110 5.5: no control bytes",
         HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    ends("HTTP/1.0 and chunked", "9112 6.1: faulty framing, close",
         CHUNKED.replace(b"1.1", b"1.0") + b"2\r\n[]\r\n0\r\n\r\n"),
    ends("folded", "9112 5.2: 400; here the empty one is seen first",
         HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 501),
    ends("a blank before the colon", "9112 5.1: 400",
         HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    goes_on("TE is no Transfer-Encoding", "9110 10.1.4: of the answer",
            SIZED + b"TE: chunked, trailers\r\nConnection: TE\r\n\r\n[]"),
]

CHUNKS = [
    goes_on("large and small hex digits", "9112 7.1: HEXDIG",
            CHUNKED + b"a\r\n[]        \r\nA\r\n          \r\n0\r\n\r\n"),
    goes_on("zeros in front", "9112 7.1: 1*HEXDIG",
            CHUNKED + b"0002\r\n[]\r\n000\r\n\r\n"),
    goes_on("extensions", "9112 7.1.1: to be ignored",
            CHUNKED + b'2;a;b=c;d="e;f"\r\n[]\r\n0;z\r\n\r\n'),
    goes_on("blanks before an extension", "9112 7.1.1: BWS is read",
            CHUNKED + b"2 \t;a = b\r\n[]\r\n0\t;z\r\n\r\n"),
    ends("blanks and no extension", "9112 7.1: not in the grammar",
         CHUNKED + b"2 \r\n[]\r\n0\r\n\r\n"),
    ends("a blank in front", "9112 7.1: not in the grammar",
         CHUNKED + b" 2\r\n[]\r\n0\r\n\r\n"),
    ends("an extension of 5,000 bytes", "9112 7.1.1: to be limited",
         CHUNKED + b"2;" + b"a" * 5000 + b"\r\n[]\r\n0\r\n\r\n"),
    ends("a bare LF in an extension", "9112 2.2, 7.1.1: CRLF",
         CHUNKED + b"2;a\n[]\r\n0\r\n\r\n"),
    ends("a bare CR in an extension", "9112 2.2: invalid",
         CHUNKED + b"2;a\rb\r\n[]\r\n0\r\n\r\n"),
    ends("NUL in an extension", "9110 5.5: invalid",
         CHUNKED + b"2;a\0b\r\n[]\r\n0\r\n\r\n"),
    ends("size with 0x", "9112 7.1: HEXDIG",
         CHUNKED + b"0x2\r\n[]\r\n0\r\n\r\n"),
    ends("size with a sign", "9112 7.1: HEXDIG",
         CHUNKED + b"+2\r\n[]\r\n0\r\n\r\n"),
    ends("no size", "9112 7.1: 1*HEXDIG", CHUNKED + b"\r\n[]\r\n0\r\n\r\n"),
    ends("a size of 64 bits and more", "9112 7.1: no overflow",
         CHUNKED + b"10000000000000002\r\n[]\r\n0\r\n\r\n"),
    ends("a size of 60 bits", "larger than any body: 413 at once",
         CHUNKED + b"fffffffffffffff\r\n[]", 413),
    ends("a size in LF", "9112 2.2: CRLF", CHUNKED + b"2\n[]\r\n0\r\n\r\n"),
    ends("data in LF", "9112 7.1: CRLF", CHUNKED + b"2\r\n[]\n0\r\n\r\n"),
    ends("data longer than said", "9112 7.1: CRLF is missing",
         CHUNKED + b"2\r\n[]]\r\n0\r\n\r\n"),
    ends("data shorter than said", "9112 7.1: CRLF is missing",
         CHUNKED + b"3\r\n[]\r\n0\r\n\r\n"),
    goes_on("trailers", "9112 7.1.2: may be discarded",
            CHUNKED + b"2\r\n[]\r\n0\r\nA: b\r\nContent-Length: 99\r\n"
            b"Transfer-Encoding: gzip\r\n\r\n"),
    ends("a trailer that is no field", "9112 7.1.2: field lines",
         CHUNKED + b"2\r\n[]\r\n0\r\nGET / HTTP/1.1\r\n\r\n"),
    ends("a folded trailer", "9112 5.2: 400",
         CHUNKED + b"2\r\n[]\r\n0\r\nA: b\r\n c\r\n\r\n"),
    ends("a trailer with a blank before the colon", "9112 5.1: 400",
         CHUNKED + b"2\r\n[]\r\n0\r\nA : b\r\n\r\n"),
    ends("a trailer in LF", "9112 2.2: CRLF",
         CHUNKED + b"2\r\n[]\r\n0\r\nA: b\n\n"),
    ends("the end in LF", "9112 7.1: CRLF", CHUNKED + b"2\r\n[]\r\n0\n\n"),
    ends("the end in CR", "9112 7.1: CRLF", CHUNKED + b"2\r\n[]\r\n0\r\n\rX"),
    ends("a trailer of 17 KiB", "9112 7.1.2: to be limited",
         CHUNKED + b"2\r\n[]\r\n0\r\nA: " + b"b" * 17408 + b"\r\n\r\n", 431),
]

LINES = [
    ends("bare LFs", "9112 2.2: may be taken", HEAD.replace(b"\r", b"")
         + b"Content-Length: 2\n\n[]"),
    ends("one bare LF", "9112 2.2: may be taken",
         HEAD + b"X: y\nContent-Length: 2\r\n\r\n[]"),
    ends("a bare CR in a value", "9112 2.2: invalid",
         HEAD + b"X: a\rContent-Length: 2\r\n\r\n[]"),
    ends("CR CR LF", "9112 2.2: invalid",
         HEAD + b"Content-Length: 2\r\r\n\r\n[]"),
    ends("a bare LF at the end", "9112 2.2: may be taken",
         HEAD + b"Content-Length: 2\r\n\n[]"),
    ends("a folded line", "9112 5.2: 400 or one blank",
         HEAD + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n[]"),
    ends("folded by a tab", "9112 5.2: 400 or one blank",
         HEAD + b"X: a\r\n\tContent-Length: 2\r\n\r\n[]"),
    ends("a blank before the first field", "9112 2.2: refuse or skip",
         b"POST /v1/post/wikipedia HTTP/1.1\r\n Host: t\r\nHost: t\r\n\r\n"),
    ends("a blank before the colon", "9112 5.1: 400",
         HEAD + b"Content-Length : 2\r\n\r\n[]"),
    ends("a tab before the colon", "9112 5.1: 400",
         HEAD + b"Content-Length\t: 2\r\n\r\n[]"),
    ends("no colon", "9112 5: field-line",
         HEAD + b"Content-Length 2\r\n\r\n[]"),
    ends("no name", "9112 5: a token", HEAD + b": 2\r\n\r\n[]"),
    ends("a name in quotes", "9110 5.6.2: tchar",
         HEAD + b'"X": 2\r\n\r\n[]'),
    ends("a name with a byte over 127", "9110 5.6.2: tchar",
         HEAD + b"X\xff: 2\r\n\r\n[]"),
    goes_on("a value with bytes over 127", "9110 5.5: obs-text, opaque",
            SIZED + b"X: \xff\xfe\r\n\r\n[]"),
    goes_on("an empty value", "9110 5.5", SIZED + b"X:\r\n\r\n[]"),
    ends("NUL in a value", "9110 5.5: invalid",
         HEAD + b"X: a\0b\r\nContent-Length: 2\r\n\r\n[]"),
    ends("NUL in a name", "9110 5.6.2: tchar",
         HEAD + b"X\0: b\r\nContent-Length: 2\r\n\r\n[]"),
    ends("NUL in the target", "9112 3: none",
         b"GET /\0 HTTP/1.1\r\nHost: t\r\n\r\n"),
    ends("DEL in a value", "9110 5.5: invalid",
         HEAD + b"X: \x7f\r\nContent-Length: 2\r\n\r\n[]"),
    goes_on("an empty line in front", "9112 2.2: to be skipped",
            b"\r\n" + SIZED + b"\r\n[]"),
    ends("two empty lines in front", "9112 2.2: one at least",
         b"\r\n\r\n" + SIZED + b"\r\n[]"),
    ends("a header of 17 KiB", "9110 5.4, 6585 5: 431",
         SIZED + b"X: " + b"a" * 17408 + b"\r\n\r\n[]", 431),
    ends("5,000 fields", "6585 5: 431",
         SIZED + b"A: b\r\n" * 5000 + b"\r\n[]", 431),
]

REQUEST_LINES = [
    goes_on("a method in small letters", "9110 9.1: case counts",
            b"post /v1/post/wikipedia HTTP/1.1\r\nHost: t\r\n"
            b"Content-Length: 2\r\n\r\n[]", 404),
    goes_on("a method that nobody knows", "9110 9.1: 501 or as a resource",
            b"BREW / HTTP/1.1\r\nHost: t\r\n\r\n", 404),
    goes_on("absolute form", "9112 3.2.2: must be taken",
            b"POST http://t:1/v1/post/wikipedia HTTP/1.1\r\nHost: t\r\n"
            + JSON + b"Content-Length: 2\r\n\r\n[]"),
    goes_on("absolute form, another Host", "9112 3.2.2: Host is ignored",
            b"POST http://a/v1/post/wikipedia HTTP/1.1\r\nHost: b\r\n"
            + JSON + b"Content-Length: 2\r\n\r\n[]"),
    ends("absolute form, a user", "9110 4.2.4: an error",
         b"GET http://me@t/ HTTP/1.1\r\nHost: t\r\n\r\n"),
    ends("absolute form, no authority", "9110 4.2.1: invalid",
         b"GET http:///v1/post HTTP/1.1\r\nHost: t\r\n\r\n"),
    ends("another scheme", "9112 3.2.2: not ours",
         b"GET ftp://t/ HTTP/1.1\r\nHost: t\r\n\r\n"),
    ends("authority form", "9112 3.2.3: for CONNECT only",
         b"GET t:80 HTTP/1.1\r\nHost: t\r\n\r\n"),
    ends("CONNECT", "9110 9.3.6: no tunnels here",
         b"CONNECT t:80 HTTP/1.1\r\nHost: t\r\n\r\n"),
    goes_on("OPTIONS *", "9112 3.2.4: asterisk form",
            b"OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n", 404),
    ends("GET *", "9112 3.2.4: for OPTIONS only",
         b"GET * HTTP/1.1\r\nHost: t\r\n\r\n"),
    ends("a fragment", "9112 3.2: no part of it",
         b"GET /#a HTTP/1.1\r\nHost: t\r\n\r\n"),
    ends("two blanks", "9112 3: one",
         b"GET  / HTTP/1.1\r\nHost: t\r\n\r\n"),
    ends("a tab", "9112 3: a blank, may be lenient",
         b"GET\t/ HTTP/1.1\r\nHost: t\r\n\r\n"),
    ends("a blank in the target", "9112 3.2: 400",
         b"GET /a b HTTP/1.1\r\nHost: t\r\n\r\n"),
    ends("a blank at the end", "9112 3: CRLF",
         b"GET / HTTP/1.1 \r\nHost: t\r\n\r\n"),
    ends("a blank in front", "9112 3: a method",
         b" GET / HTTP/1.1\r\nHost: t\r\n\r\n"),
    ends("a target of 9,000 bytes", "9112 3: 414",
         b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: t\r\n\r\n", 414),
    ends("a method without end", "9112 3: 400 or 501",
         b"A" * 20000, 414),
]

VERSIONS = [
    ends("HTTP/0.9", "not HTTP any more: 400", b"GET /\r\n\r\n"),
    ends("HTTP/1.0", "9112 9.3: closes", b"GET / HTTP/1.0\r\n\r\n", 200),
    goes_on("HTTP/1.0, keep-alive", "9112 9.3: may go on",
            b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
    ends("HTTP/1.2", "9110 2.5: as 1.1, or 505",
         b"GET / HTTP/1.2\r\nHost: t\r\n\r\n", 505),
    ends("HTTP/2.0", "9110 15.6.6: 505",
         b"GET / HTTP/2.0\r\nHost: t\r\n\r\n", 505),
    ends("HTTP/2's preface", "9113 3.4: an error it can see",
         b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    goes_on("an upgrade to h2c", "9110 7.8: may be ignored",
            GET + b"Host: t\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"),
    ends("http in small letters", "9112 2.3: case counts",
         b"GET / http/1.1\r\nHost: t\r\n\r\n"),
    ends("HTTP/1.10", "9112 2.3: one digit each",
         b"GET / HTTP/1.10\r\nHost: t\r\n\r\n"),
    ends("TLS on the plain port", "nothing of it is HTTP",
         b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    ends("no Host", "9112 3.2: 400", GET + b"\r\n"),
    ends("two Hosts", "9112 3.2: 400", GET + b"Host: a\r\nHost: a\r\n\r\n"),
    ends("an invalid Host", "9112 3.2: 400", GET + b"Host: a b\r\n\r\n"),
    ends("a Host with a user", "9112 3.2: 400", GET + b"Host: a@b\r\n\r\n"),
    goes_on("an empty Host", "9112 3.2: may be", GET + b"Host:\r\n\r\n"),
    ends("Connection: close", "9112 9.6: nothing is read behind it",
         GET + b"Host: t\r\nConnection: close\r\n\r\n", 200),
    ends("close in a list", "9112 9.6: the same",
         GET + b"Host: t\r\nConnection: a,\t CLOSE ,b\r\n\r\n", 200),
    ends("two Content-Types", "9110 8.3: one",
         SIZED + JSON + b"\r\n[]"),
    ends("an expectation nobody knows", "9110 10.1.1: 417",
         SIZED + b"Expect: 200-ok\r\n\r\n[]", 417),
]

# What is wrong with the body is no matter of framing: the connection goes on.
BODIES = [
    goes_on("not JSON", "9110 15.5.1", HEAD + b"Content-Length: 2\r\n\r\n]]",
            400),
    goes_on("not JSON, in chunks", "9110 15.5.1",
            CHUNKED + b"2\r\n]]\r\n0\r\n\r\n", 400),
    goes_on("a request as body", "9112 6.3: it is the body",
            HEAD + b"Content-Length: %d\r\n\r\n" % len(GET) + GET, 400),
    goes_on("not gzip", "9110 8.4",
            SIZED + b"Content-Encoding: gzip\r\n\r\n[]", 400),
]


class TestSmuggling(HttpCase):
    def setUp(self):
        super().setUp()
        self.chance = random.Random(9112)
        self.expected, self.rows = [], 0

    def next_request(self):
        """The one behind: (bytes, the event in it)."""
        self.rows += 1
        event = harness.events(1, run=f"r{self.rows}")
        body = harness.lines(event)
        return (b"POST /v1/post/clicks HTTP/1.1\r\nHost: t\r\n" + JSON
                + b"Content-Length: %d\r\n\r\n" % len(body) + body, event)

    def cuts(self, bytes_before):
        """In one piece, in two, and (some, or all in the long form) a byte
        at a time: how a list of pieces is made of the bytes."""
        at = self.chance.randrange(1, bytes_before + 1)
        yield lambda data: [data]
        yield lambda data: [data[:at], data[at:]]
        if bytes_before < 1000 and (drill.LONG or self.chance.random() < .2):
            yield lambda data: [bytes([b]) for b in data]

    def send(self, raw, pieces):
        raw.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                raw.send(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was answered before all had come

    def check_row(self, row):
        for cut in self.cuts(len(row.sent)):
            behind, event = self.next_request()
            with Raw(self.port) as raw:
                self.send(raw, cut(row.sent + behind))
                self.assertEqual(raw.answer()[0], row.status)
                if row.ends:
                    self.assertTrue(raw.is_closed())
                    continue
                self.assertEqual(raw.answer()[2],
                                 b'{"result":{"received":1,"sent":1}}')
                self.expected += drill.ids(event)

    def check(self, table):
        for row in table:
            with self.subTest(row.what, wants=row.wants):
                self.check_row(row)
        # nothing that stood behind a refused request has come in
        self.await_drained(self.server)
        self.check_ids(self.druid, "clicks", self.expected)
        self.check_no_crash(self.server)

    def test_lengths(self):
        self.check(LENGTHS)

    def test_codings(self):
        self.check(CODINGS)

    def test_chunks(self):
        self.check(CHUNKS)

    def test_lines(self):
        self.check(LINES)

    def test_request_lines(self):
        self.check(REQUEST_LINES)

    def test_versions(self):
        self.check(VERSIONS)

    def test_bodies(self):
        self.check(BODIES)


if __name__ == "__main__":
    drill.main()
