#!/usr/bin/env python3
"""tranq-sandbox answers as Druid does (druid-api.md 1.2-1.5, 4.3, 5.1, 5.2).

Raw sockets, since the answers to broken, early and doubled requests matter.
"""

import base64
import gzip
import json
import os
import select
import signal
import socket
import struct
import sys
import unittest
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
from sandbox import Sandbox, await_true  # noqa: E402
from zookeeper import ZooKeeper  # noqa: E402

START = "2100-01-01T00:00:00.000Z"
START_MS = 4102444800000
END = "2100-01-01T01:00:00.000Z"
CHAT = "/druid/worker/v1/chat/"
TASK = "/druid/indexer/v1/task"


def service(ds="foo", partition=0, replicant=0, suffix=""):
    return f"firehose:druid:overlord:{ds}-000-{partition:04d}-{replicant:04d}{suffix}"


def task_id(ds="foo", partition=0, replicant=0, suffix=""):
    return f"index_realtime_{ds}_{START}_{partition}_{replicant}{suffix}"


def task_spec(ds="foo", partition=0, replicant=0, suffix="", shutoff=END,
              column="timestamp", **receiver):
    return {
        "type": "index_realtime",
        "id": task_id(ds, partition, replicant, suffix),
        "resource": {"availabilityGroup": f"{ds}-{START}-{partition:04d}",
                     "requiredCapacity": 1},
        "spec": {
            "dataSchema": {
                "dataSource": ds,
                "parser": {"type": "map", "parseSpec": {
                    "format": "json",
                    "timestampSpec": {"column": column, "format": "millis",
                                      "missingValue": None},
                    "dimensionsSpec": {"dimensions": ["page"]}}},
                "metricsSpec": [{"type": "count", "name": "count"}],
                "granularitySpec": {"type": "uniform",
                                    "segmentGranularity": "HOUR",
                                    "queryGranularity": {"type": "none"}}},
            "ioConfig": {"type": "realtime", "plumber": None, "firehose": {
                "type": "clipped", "interval": f"{START}/{END}",
                "delegate": {
                    "type": "timed", "shutoffTime": shutoff,
                    "delegate": dict({
                        "type": "receiver",
                        "serviceName": service(ds, partition, replicant, suffix),
                        "bufferSize": 100000}, **receiver)}}},
            "tuningConfig": {"type": "realtime", "windowPeriod": "PT10M",
                             "shardSpec": {"type": "linear",
                                           "partitionNum": partition},
                             "rejectionPolicy": {"type": "none"}}}}


def event(n, **more):
    return dict(more, timestamp=START_MS + n, page=f"p{n}")


class Connection:
    """One raw connection; answers are read one at a time."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _until(self, end):
        while end not in self.rest:
            piece = self.socket.recv(65536)
            if not piece:
                raise ConnectionError("closed")
            self.rest += piece
        piece, self.rest = self.rest.split(end, 1)
        return piece

    def _count(self, n):
        while len(self.rest) < n:
            piece = self.socket.recv(65536)
            if not piece:
                raise ConnectionError("closed")
            self.rest += piece
        piece, self.rest = self.rest[:n], self.rest[n:]
        return piece

    def answer(self):
        """(status, fields, body)"""
        lines = self._until(b"\r\n\r\n").decode().split("\r\n")
        fields = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            fields[name.lower()] = value.strip()
        status = int(lines[0].split()[1])
        if status == 100:
            return status, fields, b""
        if fields.get("transfer-encoding") == "chunked":
            body = b""
            while n := int(self._until(b"\r\n"), 16):
                body += self._count(n)
                self._count(2)
            self._count(2)
            return status, fields, body
        return status, fields, self._count(int(fields["content-length"]))

    def is_silent(self, seconds=0.2):
        """Nothing comes for a while: for what must not be answered yet."""
        return not self.rest and not select.select([self.socket], [], [], seconds)[0]

    def ended(self):
        """How it ended: "closed" or "reset"."""
        try:
            while self.socket.recv(65536):
                pass
            return "closed"
        except ConnectionResetError:
            return "reset"


def head(method, path, fields, body):
    lines = [f"{method} {path} HTTP/1.1", "Host: sandbox"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    if "Transfer-Encoding" not in fields:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def push_request(body, producer=None, seq=None, task=None, name=None,
                 content_type="application/json", action="push-events", **fields):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    fields = {k.replace("_", "-"): v for k, v in fields.items()}
    if content_type is not None:
        fields["Content-Type"] = content_type
    if task is not False:
        fields["X-Druid-Task-Id"] = task or task_id()
    if producer is not None:
        fields["X-Firehose-Producer-Id"] = producer
    if seq is not None:
        fields["X-Firehose-Producer-Seq"] = seq
    return head("POST", f"{CHAT}{name or service()}/{action}", fields, body)


class SandboxTest(unittest.TestCase):
    OPTIONS = ("--check", "full")

    def setUp(self):
        self.druid = Sandbox(*self.OPTIONS)
        self.druid.start()
        self.addCleanup(self.druid.stop)
        self.connection = None

    def connect(self):
        connection = Connection(self.druid.port)
        self.addCleanup(connection.socket.close)
        return connection

    def submit(self, spec=None, expect=200):
        status, _, body = self.druid.request(
            "POST", TASK, task_spec() if spec is None else spec,
            {"Content-Type": "application/json"})
        self.assertEqual(status, expect, body)
        return body

    def push(self, body, **options):
        """(status, fields, body) over one connection that is kept."""
        if self.connection is None:
            self.connection = self.connect()
        self.connection.send(push_request(body, **options))
        return self.connection.answer()

    def pushed(self, body, **options):
        status, _, answer = self.push(body, **options)
        self.assertEqual(status, 200, answer)
        return json.loads(answer)

    def status(self, task=None):
        status, _, body = self.druid.request(
            "GET", f"{TASK}/{task or task_id()}/status")
        self.assertEqual(status, 200)
        return json.loads(body)["status"]

    def await_status(self, code, task=None):
        return await_true(lambda: self.status(task)["status"] == code, code)

    def get(self, path, expect=200):
        status, _, body = self.druid.request("GET", path)
        self.assertEqual(status, expect, body)
        return json.loads(body)

    def assert_violations(self, **kinds):
        self.assertEqual(self.druid.violations(), kinds)


class PushTest(SandboxTest):
    """druid-api.md 1.2 and 1.3"""

    def setUp(self):
        super().setUp()
        self.submit()

    def test_success(self):
        status, fields, body = self.push([event(1), event(2)])
        self.assertEqual((status, body), (200, b'{"eventCount":2}'))
        self.assertEqual(fields["content-type"], "application/json")
        self.assertEqual(fields["x-druid-task-id"],
                         urllib.parse.quote(task_id(), safe=""))
        self.assertEqual(self.druid.events("foo"), [event(1), event(2)])
        self.assert_violations()

    def test_empty_array(self):
        self.assertEqual(self.pushed([]), {"eventCount": 0})
        self.assert_violations()

    def test_trailing_slash_short_and_encoded_names(self):
        short = service().rsplit(":", 1)[1]
        self.pushed([event(1)], action="push-events/")
        self.pushed([event(2)], name=short)
        self.pushed([event(3)], name=urllib.parse.quote(service(), safe=""))
        self.pushed([event(4)], task=urllib.parse.quote(task_id(), safe=""))
        self.assertEqual(len(self.druid.events("foo")), 4)
        self.assert_violations()

    def test_bytes_are_kept_as_they_came(self):
        row = '{ "page":"\u00e9\\u0041" , "timestamp" : %d,"x":1.50e3}' % START_MS
        spread = '{"timestamp":%d,\n"a":\n1}' % START_MS
        self.pushed(f"[{row},{spread}]".encode())
        self.assertEqual(self.druid.event_lines("foo"),
                         [row.encode(), spread.replace("\n", " ").encode()])

    def test_gzip(self):
        body = gzip.compress(json.dumps([event(1), event(2)]).encode())
        self.assertEqual(self.pushed(body, Content_Encoding="gzip"),
                         {"eventCount": 2})
        self.assertEqual(self.druid.stats()["gzip"], 1)

    def test_chunked_and_pipelined(self):
        text = json.dumps([event(1)]).encode()
        chunked = b"%x\r\n%s\r\n5\r\n%s\r\n0\r\n\r\n" % (
            len(text) - 5, text[:-5], text[-5:])
        connection = self.connect()
        connection.send(
            push_request(chunked, Transfer_Encoding="chunked") +
            push_request([event(2)]) + push_request([event(3)]))
        for _ in range(3):
            self.assertEqual(connection.answer()[2], b'{"eventCount":1}')
        self.assertEqual(self.druid.events("foo"), [event(1), event(2), event(3)])

    def test_byte_by_byte(self):
        connection = self.connect()
        for byte in push_request([event(1)]):
            connection.send(bytes([byte]))
        self.assertEqual(connection.answer()[2], b'{"eventCount":1}')

    def test_expect_continue(self):
        request = push_request([event(1)], Expect="100-continue")
        split = request.index(b"\r\n\r\n") + 4
        connection = self.connect()
        connection.send(request[:split])
        self.assertEqual(connection.answer()[0], 100)
        connection.send(request[split:])
        self.assertEqual(connection.answer()[0], 200)

    def test_large_body(self):
        events = [event(n, text="x" * 3000) for n in range(3000)]
        self.assertEqual(self.pushed(events), {"eventCount": 3000})
        self.assertEqual(self.druid.events("foo"), events)
        wrapped = self.druid.events("foo", all="true")
        self.assertEqual([w["event"] for w in wrapped], events)
        self.assertEqual({w["task"] for w in wrapped}, {task_id()})

    def test_content_type(self):
        self.pushed([event(1)], content_type="application/json; charset=utf-8")
        self.assertEqual(self.push([event(2)], content_type="text/plain")[0], 415)
        self.assertEqual(self.push([event(2)], content_type=None)[0], 415)
        self.assertEqual(self.druid.events("foo"), [event(1)])
        self.assert_violations(contentType=3)

    def test_task_id_header(self):
        self.assertEqual(self.push([event(1)], task=False)[0], 200)
        status, _, body = self.push([event(2)], task="another")
        self.assertEqual(status, 400)
        self.assertEqual(json.loads(body), {
            "error": "Requested taskId[another] doesn't match with "
                     f"taskId[{task_id()}]"})
        self.assertEqual(self.druid.events("foo"), [event(1)])
        self.assert_violations(taskIdHeader=1, wrongTask=1)

    def test_unknown_handler(self):
        status, _, body = self.push([event(1)], name="firehose:x:y")
        self.assertEqual(status, 503)
        self.assertEqual(json.loads(body), {
            "error": "Can't find chatHandler for handler[firehose:x:y]"})

    def test_methods_and_paths(self):
        connection = self.connect()
        for method, action, status in (("GET", "push-events", 405),
                                       ("POST", "push-event", 404),
                                       ("POST", "push-events/x", 404)):
            connection.send(head(method, f"{CHAT}{service()}/{action}", {}, b""))
            self.assertEqual(connection.answer()[0], status, (method, action))

    def test_malformed_bodies(self):
        good = json.dumps(event(1))
        for body in (b"", b"{", b"[", b"[}", good.encode(), b"[1]", b'["a"]',
                     b"null", b"[[]]", f"[{good},]".encode(),
                     f"[{good} {good}]".encode(), f"[{good}]x".encode(),
                     b'[{"timestamp":%d,"a":"\xff"}]' % START_MS):
            status, _, answer = self.push(body)
            self.assertEqual(status, 500, body)
            self.assertIn("error", json.loads(answer))
        self.assertEqual(self.druid.events("foo"), [])
        self.assertEqual(set(self.druid.violations()), {"body"})

    def test_bad_row_takes_no_row(self):
        for value in ("2100-01-01", None, True, {}, [1], "", "12x", 1e300):
            status, fields, _ = self.push(
                [event(1), {"timestamp": value, "page": "x"}, event(2)])
            self.assertEqual(status, 500, value)
            self.assertTrue(fields["content-type"].startswith("text/html"))
        self.assertEqual(self.push([{"page": "x"}])[0], 500)
        self.assertEqual(self.druid.events("foo"), [])
        self.assert_violations(timestamp=9)

    def test_timestamps_druid_takes_all_the_same(self):
        self.pushed([{"timestamp": str(START_MS)}, {"timestamp": START_MS + 0.5}])
        self.assertEqual(len(self.druid.events("foo")), 2)
        self.assert_violations(timestamp=2)

    def test_repeated_column_counts_last(self):
        row = '{"timestamp":1,"timestamp":%d}' % START_MS
        self.pushed(f"[{row}]".encode())
        self.assertEqual(self.druid.event_lines("foo"), [row.encode()])
        self.assert_violations()
        self.assertEqual(self.druid.stats()["unjudged"], 1)

    def test_clipped(self):
        rows = [event(-1), event(0), event(3599999), event(3600000)]
        self.assertEqual(self.pushed(rows), {"eventCount": 4})
        self.assertEqual(self.druid.events("foo"), rows[1:3])
        stats = self.druid.stats()
        self.assertEqual(stats["clipped"], 2)
        self.assert_violations(interval=2)

    def test_other_column(self):
        self.submit(task_spec("bar", column="__time\u00e9"))
        rows = [{"__time\u00e9": START_MS}]
        self.assertEqual(self.pushed(rows, name=service("bar"), task=task_id("bar")),
                         {"eventCount": 1})
        self.assert_violations()


class ProducerTest(SandboxTest):
    """druid-api.md 1.4"""

    def setUp(self):
        super().setUp()
        self.submit()

    def test_newer_is_taken_equal_and_older_skipped(self):
        skipped = {"eventCount": 0, "skipped": True}
        self.assertEqual(self.pushed([event(1)], producer="a", seq=5),
                         {"eventCount": 1})
        self.assertEqual(self.pushed([event(1)], producer="a", seq=5), skipped)
        self.assertEqual(self.pushed([event(2)], producer="a", seq=900),
                         {"eventCount": 1})
        self.assertEqual(self.pushed([event(1)], producer="b", seq=-9223372036854775807),
                         {"eventCount": 1})
        self.assert_violations()
        self.assertEqual(self.pushed([event(3)], producer="a", seq=899), skipped)
        self.assertEqual(self.druid.events("foo"), [event(1), event(2), event(1)])
        self.assertEqual(self.druid.stats()["skipped"], 2)
        self.assert_violations(sequenceBackwards=1)

    def test_lowest_sequence_of_all_is_skipped(self):
        self.assertTrue(self.pushed(
            [event(1)], producer="a", seq=-9223372036854775808)["skipped"])

    def test_bad_headers(self):
        self.assertEqual(self.push([event(1)], producer="a")[::2], (
            400, b'{"error":"Producer sequence value is missing"}'))
        for seq in ("x", "1.5", "9223372036854775808", "--1", "1 2"):
            self.assertEqual(self.push([event(1)], producer="a", seq=seq)[::2], (
                400, b'{"error":"Producer sequence must be a number"}'))
        # without an id the sequence is not looked at
        self.pushed([event(1)], seq="x")
        self.assert_violations(header=6)

    def test_retry_with_other_rows(self):
        self.pushed([event(1)], producer="a", seq=1)
        self.pushed([event(2)], producer="a", seq=1)
        self.assert_violations(retryDiffers=1)

    def test_sequence_is_used_up_by_a_failed_push(self):
        self.assertEqual(self.push(b"[", producer="a", seq=1)[0], 500)
        self.assertTrue(self.pushed([event(1)], producer="a", seq=1)["skipped"])
        self.assertEqual(self.druid.events("foo"), [])
        self.assert_violations(body=1, lostAfterError=1)
        self.assertEqual(self.pushed([event(1)], producer="a", seq=2),
                         {"eventCount": 1})

    def test_sequence_is_recorded_before_the_body_is_there(self):
        request = push_request([event(1)], producer="a", seq=1)
        with Connection(self.druid.port) as connection:
            connection.send(request[:-5])
            # the first bytes are read once the second answer is there
            self.pushed([event(9)])
        self.druid.stats()
        self.assertTrue(self.pushed([event(1)], producer="a", seq=1)["skipped"])
        self.assert_violations(lostUnread=1)

    def test_nothing_is_recorded_before_the_first_byte_of_the_body(self):
        request = push_request([event(1)], producer="a", seq=1)
        with Connection(self.druid.port) as connection:
            connection.send(request[:request.index(b"\r\n\r\n") + 4])
            self.pushed([event(9)])
        self.druid.stats()
        self.assertEqual(self.pushed([event(1)], producer="a", seq=1),
                         {"eventCount": 1})
        self.assert_violations()

    def test_two_requests_at_once(self):
        first = self.connect()
        request = push_request([event(1)], producer="a", seq=1)
        first.send(request[:-1])
        self.pushed([event(9)])
        self.pushed([event(2)], producer="a", seq=2)
        self.assert_violations(producerConcurrent=1)
        # other producers may
        self.pushed([event(2)], producer="b", seq=1)
        self.assert_violations(producerConcurrent=1)

    def test_9999_producers(self):
        connection = self.connect()
        requests = b"".join(push_request([], producer=f"p{n}", seq=1)
                            for n in range(9999))
        connection.socket.setblocking(True)
        view, answers = memoryview(requests), 0
        while answers < 9999:
            while view and select.select([], [connection.socket], [], 0)[1]:
                view = view[connection.socket.send(view[:65536]):]
            self.assertEqual(connection.answer()[0], 200)
            answers += 1
        self.assert_violations()
        full = (403, b'{"error":"Too many individual producer IDs for this '
                     b'firehose.  Max is 10000"}')
        self.assertEqual(self.push([], producer="new", seq=1)[::2], full)
        # known ones are refused now, too
        self.assertEqual(self.push([], producer="p0", seq=2)[::2], full)
        self.assertEqual(self.push([event(1)])[0], 200)


class NoProducersTest(SandboxTest):
    OPTIONS = ("--no-producer-headers",)

    def test_ignored(self):
        self.submit()
        self.pushed([event(1)], producer="a", seq=1)
        self.pushed([event(1)], producer="a", seq=1)
        self.assertEqual(self.druid.events("foo"), [event(1), event(1)])


class LifeTest(SandboxTest):
    """From submission to hand-off: druid-api.md 1.5, 2.2, 5.1, 5.2"""

    def test_submission(self):
        self.assertEqual(json.loads(self.submit()), {"task": task_id()})
        status = self.status()
        self.assertEqual(status["location"], {
            "host": "127.0.0.1", "port": self.druid.port, "tlsPort": -1})
        for name, value in {
                "id": task_id(), "groupId": "index_realtime_foo",
                "type": "index_realtime", "statusCode": "RUNNING",
                "status": "RUNNING", "runnerStatusCode": "RUNNING",
                "duration": -1, "dataSource": "foo", "errorMsg": None}.items():
            self.assertEqual(status[name], value, name)
        payload = self.get(f"{TASK}/{urllib.parse.quote(task_id(), safe='')}")
        self.assertEqual(payload, {"task": task_id(), "payload": task_spec()})
        self.assert_violations()

    def test_duplicate(self):
        self.submit()
        body = json.loads(self.submit(expect=400))
        self.assertEqual(body["errorCode"], "entryAlreadyExists")
        self.assertEqual(body["errorMessage"], f"Task[{task_id()}] already exists")
        self.assert_violations()
        self.submit(dict(task_spec(), resource={"availabilityGroup": "x",
                                                "requiredCapacity": 1}), 400)
        self.assert_violations(taskIdReused=1)

    def test_refused_submissions(self):
        def without(*path):
            spec = task_spec()
            inner = spec
            for name in path[:-1]:
                inner = inner[name]
            del inner[path[-1]]
            return spec

        self.submit(without("spec"), 400)
        self.submit(without("spec", "dataSchema"), 400)
        self.submit(without("spec", "dataSchema", "dataSource"), 400)
        self.submit(without("spec", "ioConfig"), 400)
        self.submit(without("spec", "ioConfig", "firehose", "delegate"), 400)
        self.submit(dict(task_spec(), type="index_kafka"), 400)
        self.submit(dict(task_spec(), id="a/b"), 400)
        self.submit(task_spec(serviceName=None), 400)
        self.submit([], 400)
        status, _, _ = self.druid.request(
            "POST", TASK, b"{", {"Content-Type": "application/json"})
        self.assertEqual(status, 500)
        status, _, _ = self.druid.request(
            "POST", TASK, task_spec(), {"Content-Type": "text/plain"})
        self.assertEqual(status, 415)
        self.assertEqual(self.get("/druid/indexer/v1/tasks"), [])

    def test_specs_that_tranquility_would_not_send(self):
        wrong = {
            "an id of another interval": ("taskId", lambda s: s.update(
                id="index_realtime_foo_2100-01-01T01:00:00.000Z_0_0")),
            "an id of another partition": ("taskId", lambda s: s.update(
                id=task_id(partition=1))),
            "no group": ("taskSpec", lambda s: s.pop("resource")),
            "another group": ("taskSpec", lambda s: s["resource"].update(
                availabilityGroup="foo")),
            "timestamps of another format": ("taskSpec", lambda s: s["spec"][
                "dataSchema"]["parser"]["parseSpec"]["timestampSpec"].update(
                format="iso")),
            "another shardSpec": ("taskSpec", lambda s: s["spec"][
                "tuningConfig"]["shardSpec"].update(type="numbered")),
            "another cycle": ("taskSpec", lambda s: s["spec"]["ioConfig"][
                "firehose"]["delegate"]["delegate"].update(
                serviceName="firehose:druid:overlord:foo-001-0000-0000")),
            "shut off before the end": ("taskSpec", lambda s: s["spec"][
                "ioConfig"]["firehose"]["delegate"].update(
                shutoffTime=START)),
        }
        for what, (kind, change) in wrong.items():
            with self.subTest(what):
                spec = task_spec()
                change(spec)
                self.submit(spec)
                self.assertEqual(list(self.druid.violations()), [kind])
                self.druid.reset()

    def test_random_and_attempt_suffixes_are_fine(self):
        self.submit(task_spec(suffix="_abcdefgh"))
        self.submit(task_spec(replicant=1, suffix="_1"))
        self.assert_violations()

    def test_unknown_task(self):
        for path in (f"{TASK}/nosuch/status", f"{TASK}/nosuch"):
            self.get(path, 404)
        self.assertEqual(self.get(f"{TASK}/nosuch/status", 404),
                         {"task": "nosuch", "status": None})

    def test_lists(self):
        self.submit(task_spec("a"))
        self.submit(task_spec("b"))
        base = "/druid/indexer/v1/"

        def ids(path):
            return [t["id"] for t in self.get(base + path)]

        self.assertEqual(ids("runningTasks"), [task_id("a"), task_id("b")])
        self.assertEqual(ids("tasks?datasource=b"), [task_id("b")])
        self.assertEqual(ids("tasks?state=running&type=index_realtime"),
                         [task_id("a"), task_id("b")])
        for path in ("pendingTasks", "waitingTasks", "completeTasks",
                     "tasks?state=pending", "tasks?state=waiting",
                     "tasks?state=complete", "runningTasks?type=index_parallel"
                     "&datasource=c"):
            self.assertEqual(ids(path), [], path)
        status, _, _ = self.druid.request("GET", base + "tasks?state=odd")
        self.assertEqual(status, 400)

    def test_task_status(self):
        self.submit()
        path = "/druid/indexer/v1/taskStatus"
        status, _, body = self.druid.request("POST", path, [task_id(), "nosuch"])
        self.assertEqual(status, 200)
        self.assertEqual(json.loads(body), {task_id(): {
            "id": task_id(), "status": "RUNNING", "duration": -1,
            "errorMsg": None, "location": {
                "host": "127.0.0.1", "port": self.druid.port, "tlsPort": -1}}})
        self.assertEqual(self.druid.request("POST", path, [])[0], 400)

    def test_shutdown_kills(self):
        self.submit()
        self.pushed([event(1)])
        status, _, body = self.druid.request("POST", f"{TASK}/{task_id()}/shutdown")
        self.assertEqual((status, json.loads(body)), (200, {"task": task_id()}))
        self.assertEqual(self.status()["status"], "FAILED")
        self.assertGreaterEqual(self.status()["duration"], 0)
        self.connection = None
        self.assertEqual(self.push([event(2)])[0], 503)
        self.submit(expect=400)
        # what it had is there to be looked at, and marked
        self.assertEqual(self.druid.events("foo"), [event(1)])
        self.assertEqual(self.druid.events("foo", lost="false"), [])
        self.assertEqual(self.druid.stats()["dataSources"]["foo"]["lostEvents"], 1)

    def test_shutdown_of_a_dataSource(self):
        self.submit(task_spec("a"))
        self.submit(task_spec("b"))
        self.druid.request("POST", "/druid/indexer/v1/datasources/a/shutdownAllTasks")
        self.assertEqual(self.status(task_id("a"))["status"], "FAILED")
        self.assertEqual(self.status(task_id("b"))["status"], "RUNNING")

    def test_firehose_shutdown(self):
        self.submit()
        self.pushed([event(1)])
        bad = self.push(b"", action="shutdown?shutoffTime=tomorrow")
        self.assertEqual(bad[0], 400)
        later = self.push(b"", action=f"shutdown?shutoffTime={END}")
        self.assertEqual(later[0], 200)
        self.pushed([event(2)])
        now = self.push(b"", action="shutdown")
        self.assertEqual((now[0], now[2]), (200, b""))
        self.assertEqual(self.push([event(3)])[0], 503)
        self.await_status("SUCCESS")
        self.assertEqual(self.druid.events("foo", lost="false"),
                         [event(1), event(2)])

    def test_shutoff_time_that_is_over(self):
        self.submit(task_spec(shutoff="2020-01-01T00:00:00Z"))
        self.await_status("SUCCESS")
        self.assertEqual(self.push([event(1)])[0], 503)

    def test_idle_time(self):
        self.submit(task_spec(maxIdleTime=100))
        self.await_status("SUCCESS")

    def test_replicants(self):
        self.submit(task_spec())
        self.submit(task_spec(replicant=1))
        for r in (0, 1):
            self.pushed([event(1)], name=service(replicant=r),
                        task=task_id(replicant=r))
        self.assertEqual(self.druid.events("foo"), [event(1)])
        self.assertEqual(self.druid.events("foo", replicant=1), [event(1)])
        self.assertEqual(len(self.druid.events("foo", replicant="any")), 2)
        self.assertEqual(len(self.druid.events("foo", task=task_id()[:-1])), 1)
        stats = self.druid.stats()
        self.assertEqual(stats["events"], 1)
        self.assertEqual(stats["dataSources"]["foo"]["eventsOfAllReplicants"], 2)

    def test_service_name_of_a_living_task(self):
        self.submit()
        spec = task_spec(partition=1)
        receiver = spec["spec"]["ioConfig"]["firehose"]["delegate"]["delegate"]
        receiver["serviceName"] = service()
        self.submit(spec)
        self.assertEqual(self.druid.violations()["serviceNameReused"], 1)
        # the header says which one is meant
        self.pushed([event(1)])
        self.assertEqual(self.druid.events("foo", task=task_id()), [event(1)])

    def test_leader(self):
        self.assertEqual(self.get("/druid/indexer/v1/isLeader"), {"leader": True})
        status, _, body = self.druid.request("GET", "/druid/indexer/v1/leader")
        self.assertEqual((status, body.decode()), (200, self.druid.url))
        self.assertEqual(self.get("/status/health"), True)
        self.assertEqual(self.get("/status")["version"], "30.0.1")
        self.assertEqual(self.get("/druid/coordinator/v1/cluster/overlord"), [
            {"host": "127.0.0.1", "service": "druid/overlord",
             "plaintextPort": self.druid.port}])

    def test_unknown_paths_are_told(self):
        self.assertEqual(self.druid.request("GET", "/druid/indexer/v1/odd")[0], 404)
        self.assertEqual(self.druid.request("GET", "/odd")[0], 404)
        self.assertEqual(self.druid.request("DELETE", TASK)[0], 405)
        self.assert_violations(http=3)

    def test_broken_http_is_refused(self):
        connection = self.connect()
        connection.send(b"nonsense\r\n\r\n")
        self.assertEqual(connection.answer()[0], 400)
        self.assertEqual(connection.ended(), "closed")

    def test_reset(self):
        self.submit()
        self.pushed([event(1)])
        self.druid.fault("slow", ms=1)
        self.druid.reset()
        stats = self.druid.stats()
        self.assertEqual((stats["events"], stats["pushes"], stats["faults"]),
                         (0, 0, []))
        self.assertEqual(self.druid.events("foo"), [])
        self.submit()


class DelayTest(SandboxTest):
    OPTIONS = ("--start-delay", "2000", "--handler-delay", "2000")

    def test_pending_then_running_then_found(self):
        self.submit()
        status = self.status()
        self.assertEqual((status["status"], status["runnerStatusCode"]),
                         ("RUNNING", "PENDING"))
        self.assertEqual(status["location"],
                         {"host": None, "port": -1, "tlsPort": -1})
        self.assertEqual([t["id"] for t in self.get(
            "/druid/indexer/v1/pendingTasks")], [task_id()])
        self.assertEqual(self.get("/druid/indexer/v1/runningTasks"), [])
        await_true(lambda: self.status()["runnerStatusCode"] == "RUNNING")
        self.assertEqual(self.push([event(1)])[0], 503)
        await_true(lambda: self.push([event(1)])[0] == 200)


class QueueTest(SandboxTest):
    OPTIONS = ("--queue", "1")

    def test_full_then_not(self):
        self.submit()
        status, _, body = self.druid.request(
            "POST", TASK, task_spec("bar"), {"Content-Type": "application/json"})
        self.assertEqual((status, json.loads(body)["category"]),
                         (429, "CAPACITY_EXCEEDED"))
        self.druid.request("POST", f"{TASK}/{task_id()}/shutdown")
        self.submit(task_spec("bar"))


class BasicAuthTest(SandboxTest):
    OPTIONS = ("--basic-auth", "user:p\u00e4ss!")

    def test_all_but_the_sandbox_itself(self):
        good = "Basic " + base64.b64encode("user:p\u00e4ss!".encode()).decode()
        for fields, status in (({}, 401), ({"Authorization": "Basic x"}, 401),
                               ({"Authorization": good}, 200)):
            fields["Content-Type"] = "application/json"
            self.assertEqual(self.druid.request(
                "POST", TASK, task_spec(), fields)[0], status)
        self.assertEqual(self.push([event(1)], producer="a", seq=1)[0], 401)
        self.assertEqual(self.push([event(1)], producer="a", seq=1,
                                   Authorization=good)[2], b'{"eventCount":1}')


class BufferTest(SandboxTest):
    OPTIONS = ("--buffer", "10", "--drain", "100")

    def test_blocks_and_goes_on(self):
        self.submit()
        rows = [event(n) for n in range(60)]
        self.assertEqual(self.pushed(rows), {"eventCount": 60})
        self.assertEqual(self.druid.events("foo"), rows)

    def test_rows_go_in_though_the_client_left(self):
        self.submit()
        rows = [event(n) for n in range(40)]
        with Connection(self.druid.port) as connection:
            connection.send(push_request(rows, producer="a", seq=1))
            self.druid.await_stats(lambda s: s["waiting"] == 1)
        self.assertTrue(self.pushed(rows, producer="a", seq=1)["skipped"])
        self.druid.await_stats(lambda s: s["events"] == 40)
        self.assertEqual(self.druid.events("foo"), rows)
        self.assert_violations()

    def test_closed_while_it_waits(self):
        self.submit()
        connection = self.connect()
        connection.send(push_request([event(n) for n in range(5000)]))
        self.druid.await_stats(lambda s: s["waiting"] == 1)
        self.assertEqual(self.push(b"", action="shutdown")[0], 200)
        status, _, body = connection.answer()
        self.assertEqual(status, 500)
        self.assertIn(b"closed firehose", body)
        # those that were in are in
        self.assertGreaterEqual(len(self.druid.events("foo")), 10)


class FaultTest(SandboxTest):
    def setUp(self):
        super().setUp()
        self.submit()

    def test_slow(self):
        self.druid.fault("slow", ms=2000)
        connection = self.connect()
        connection.send(push_request([event(1)]))
        self.druid.await_stats(lambda s: s["events"] == 1)
        self.assertTrue(connection.is_silent(0.05))
        self.assertEqual(connection.answer()[0], 200)
        self.druid.fault("slow", on=False)
        self.pushed([event(2)])

    def test_refuse_and_unreachable(self):
        for fault in ("refuse", "unreachable"):
            self.druid.fault(fault)
            connection = self.connect()
            connection.send(push_request([event(1)], producer="a", seq=1))
            self.assertEqual(connection.ended(), "reset")
            self.assertEqual(self.status()["status"], "RUNNING")
            self.druid.fault(fault, on=False)
        # not even the sequence was seen
        self.assertEqual(self.pushed([event(1)], producer="a", seq=1),
                         {"eventCount": 1})

    def test_refuse_the_overlord(self):
        self.druid.fault("refuse", where="overlord", count=1)
        connection = self.connect()
        connection.send(head("GET", TASK + "/x/status", {}, b""))
        self.assertEqual(connection.ended(), "reset")
        self.pushed([event(1)])

    def test_hang_then_resume(self):
        self.druid.fault("hang")
        with Connection(self.druid.port) as connection:
            connection.send(push_request([event(1)], producer="a", seq=1))
            self.druid.await_stats(lambda s: s["waiting"] == 1)
            self.assertTrue(connection.is_silent())
            self.assertEqual(self.druid.events("foo"), [])
        # the client has left: the task does not know, and takes the rows
        self.druid.fault("hang", on=False)
        self.assertTrue(self.pushed([event(1)], producer="a", seq=1)["skipped"])
        self.assertEqual(self.druid.events("foo"), [event(1)])
        self.assert_violations()

    def test_hang_until_answered(self):
        self.druid.fault("hang", where="all")
        push, ask = self.connect(), self.connect()
        push.send(push_request([event(1)]))
        ask.send(head("GET", f"{TASK}/{task_id()}/status", {}, b""))
        self.druid.await_stats(lambda s: s["waiting"] == 2)
        self.druid.fault("none")
        self.assertEqual(push.answer()[0], 200)
        self.assertEqual(ask.answer()[0], 200)

    def test_error(self):
        self.druid.fault("error", count=1, status=504)
        self.assertEqual(self.push([event(1)], producer="a", seq=1)[0], 504)
        self.assertEqual(self.druid.events("foo"), [])
        # a definite answer: the sequence is used up
        self.assertTrue(self.pushed([event(1)], producer="a", seq=1)["skipped"])
        self.assertEqual(self.pushed([event(1)], producer="a", seq=2),
                         {"eventCount": 1})
        self.assert_violations(lostAfterError=1)

    def test_error_percent(self):
        self.druid.fault("error", percent=30)
        answers = [self.push([event(n)])[0] for n in range(300)]
        self.assertEqual(set(answers), {200, 500})
        self.assertTrue(50 < answers.count(500) < 130, answers.count(500))
        self.assertEqual(len(self.druid.events("foo")), answers.count(200))

    def test_drop(self):
        self.druid.fault("drop", count=1)
        connection = self.connect()
        connection.send(push_request([event(1)], producer="a", seq=1))
        self.assertEqual(connection.ended(), "closed")
        self.assertEqual(self.druid.events("foo"), [event(1)])
        self.assertTrue(self.pushed([event(1)], producer="a", seq=1)["skipped"])
        self.assert_violations()

    def test_drop_before(self):
        self.druid.fault("drop-before", count=1)
        connection = self.connect()
        connection.send(push_request([event(1)], producer="a", seq=1))
        self.assertEqual(connection.ended(), "closed")
        self.assertEqual(self.druid.events("foo"), [])
        self.assertEqual(self.pushed([event(1)], producer="a", seq=1),
                         {"eventCount": 1})
        self.assert_violations()

    def test_submission_whose_answer_is_lost(self):
        self.druid.fault("drop", where="overlord", count=1)
        connection = self.connect()
        connection.send(head("POST", TASK, {"Content-Type": "application/json"},
                             json.dumps(task_spec("bar")).encode()))
        self.assertEqual(connection.ended(), "closed")
        self.submit(task_spec("bar"), 400)
        self.assert_violations()

    def test_kill_task(self):
        self.submit(task_spec(partition=1))
        connection = self.connect()
        connection.send(push_request([event(1)])[:-1])
        self.pushed([event(2)])
        self.assertEqual(self.druid.fault("kill-task", task=task_id()), 1)
        self.assertEqual(connection.ended(), "reset")
        self.assertEqual(self.status()["status"], "FAILED")
        self.assertEqual(self.status(task_id(partition=1))["status"], "RUNNING")
        self.assertEqual(self.push([event(3)])[0], 503)
        self.assertTrue(self.druid.events("foo", all="true")[0]["lost"])
        self.assertEqual(self.druid.fault("kill-task", dataSource="foo"), 1)

    def test_full(self):
        self.druid.fault("full", dataSource="foo")
        connection = self.connect()
        connection.send(push_request([event(1)]))
        self.druid.await_stats(lambda s: s["waiting"] == 1)
        self.assertTrue(connection.is_silent())
        self.druid.fault("full", on=False)
        self.assertEqual(connection.answer()[0], 200)
        self.assertEqual(self.druid.events("foo"), [event(1)])

    def test_overlord_away(self):
        self.druid.fault("overlord-away")
        self.get_status(503)
        self.pushed([event(1)])
        self.druid.fault("overlord-away", on=False)
        self.druid.fault("overlord-away", refused=True, count=1)
        connection = self.connect()
        connection.send(head("GET", "/druid/indexer/v1/isLeader", {}, b""))
        self.assertEqual(connection.ended(), "reset")
        self.get_status(200)

    def get_status(self, expect):
        status, _, _ = self.druid.request("GET", f"{TASK}/{task_id()}/status")
        self.assertEqual(status, expect)

    def test_not_leader(self):
        self.druid.fault("not-leader", url="http://10.0.0.9:8090")
        connection = self.connect()
        connection.send(head("POST", TASK + "?a=b", {}, b"{}"))
        status, fields, body = connection.answer()
        self.assertEqual((status, fields["location"], body), (
            307, "http://10.0.0.9:8090" + TASK + "?a=b", b""))
        self.assertEqual(self.get("/druid/indexer/v1/isLeader", 404),
                         {"leader": False})
        status, _, body = self.druid.request("GET", "/druid/indexer/v1/leader")
        self.assertEqual(body, b"http://10.0.0.9:8090")
        self.assertEqual(self.get("/status/health"), True)

    def test_unavailable(self):
        self.druid.fault("unavailable", count=1)
        status, _, body = self.push([event(1)], producer="a", seq=1)
        self.assertEqual(status, 503)
        self.assertIn(b"Can't find chatHandler", body)
        self.assertEqual(self.pushed([event(1)], producer="a", seq=1),
                         {"eventCount": 1})

    def test_no_slots(self):
        self.druid.fault("no-slots")
        self.submit(task_spec("bar"))
        self.pushed([event(1)])
        self.assertEqual(self.status(task_id("bar"))["runnerStatusCode"], "PENDING")
        self.druid.fault("no-slots", on=False)
        await_true(lambda: self.status(task_id("bar"))["runnerStatusCode"] == "RUNNING")

    def test_aim(self):
        self.submit(task_spec("bar"))
        self.druid.fault("error", dataSource="bar", task=task_id("bar")[:20])
        self.pushed([event(1)])
        self.assertEqual(self.push([event(1)], name=service("bar"),
                                   task=task_id("bar"))[0], 500)
        (fault,) = self.get("/sandbox/fault")
        self.assertEqual((fault["fault"], fault["struck"]), ("error", 1))

    def test_wrong_orders(self):
        for order in (b"{", b"[]", {"fault": "odd"}, {"fault": "slow", "msec": 1},
                      {"fault": "slow", "where": "odd"}, {"fault": "not-leader"}):
            status, _, _ = self.druid.request("POST", "/sandbox/fault", order)
            self.assertEqual(status, 400, order)


class PeonPortTest(SandboxTest):
    OPTIONS = ("--peon-port", "0")

    def test_tasks_have_their_own_port(self):
        self.submit()
        port = self.status()["location"]["port"]
        self.assertNotEqual(port, self.druid.port)

        def push():
            with Connection(port) as connection:
                connection.send(push_request([event(1)]))
                return connection.answer()[0]

        self.assertEqual(push(), 200)
        self.druid.fault("refuse")
        with self.assertRaises(ConnectionRefusedError):
            push()
        self.druid.fault("refuse", on=False)
        self.assertEqual(push(), 200)
        self.assert_violations()

    def test_pushes_to_the_wrong_port(self):
        self.submit()
        self.assertEqual(self.push([event(1)])[0], 404)
        self.assertEqual(list(self.druid.violations()), ["http"])


class AnnounceTest(unittest.TestCase):
    """druid-api.md 4.1; the nodes are read with the test's own client."""

    def test_announces_and_withdraws(self):
        with ZooKeeper() as zk, Sandbox(
                "--zookeeper", zk.connect, "--overlord-service",
                "druid/overlord") as druid:
            def ephemerals():
                dump = zk.ask("dump")
                return sorted(line.strip().rsplit("/", 1)[0]
                              for line in dump.splitlines()
                              if line.strip().startswith("/druid/discovery"))

            overlord = "/druid/discovery/druid:overlord"
            firehoses = ["/druid/discovery/" + service(),
                         "/druid/discovery/" + service().rsplit(":", 1)[1]]
            await_true(lambda: ephemerals() == [overlord], "Overlord")
            druid.request("POST", TASK, task_spec(),
                          {"Content-Type": "application/json"})
            await_true(lambda: ephemerals() == sorted([overlord] + firehoses),
                       "firehose")
            self.assertTrue(druid.stats()["zookeeper"])
            # the server is back: all of it is there, once
            zk.kill()
            await_true(lambda: not druid.stats()["zookeeper"], "disconnected")
            zk.start()
            await_true(lambda: ephemerals() == sorted([overlord] + firehoses),
                       "announced again", 40)
            # a new session, after the old one was given up
            druid.process.send_signal(signal.SIGSTOP)
            await_true(lambda: ephemerals() == [], "session over", 40)
            druid.process.send_signal(signal.SIGCONT)
            await_true(lambda: ephemerals() == sorted([overlord] + firehoses),
                       "announced in the new session", 40)
            druid.fault("kill-task")
            await_true(lambda: ephemerals() == [overlord], "withdrawn")

    def test_instance(self):
        with ZooKeeper() as zk, Sandbox(
                "--zookeeper", zk.connect, "--discovery-path", "/d",
                "--overlord-service", "over/lord") as druid:
            with ZkReader(zk.port) as reader:
                (name,) = await_true(
                    lambda: reader.children("/d/over:lord"), "Overlord")
                data = json.loads(reader.get("/d/over:lord/" + name))
            self.assertIsInstance(data.pop("registrationTimeUTC"), int)
            self.assertEqual(data, {
                "name": "over:lord", "id": name, "address": "127.0.0.1",
                "port": druid.port, "sslPort": -1, "payload": None,
                "serviceType": "DYNAMIC", "uriSpec": None})


class ZkReader:
    """As much of ZooKeeper's protocol as reading takes."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.xid = 0

    def __enter__(self):
        self._send(struct.pack(">iqiqi16s?", 0, 0, 10000, 0, 16, bytes(16), False))
        self._receive()
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _send(self, data):
        self.socket.sendall(struct.pack(">i", len(data)) + data)

    def _exactly(self, n):
        data = b""
        while len(data) < n:
            piece = self.socket.recv(n - len(data))
            if not piece:
                raise ConnectionError("closed")
            data += piece
        return data

    def _receive(self):
        return self._exactly(struct.unpack(">i", self._exactly(4))[0])

    def _call(self, opcode, path):
        self.xid += 1
        path = path.encode()
        self._send(struct.pack(">iii", self.xid, opcode, len(path)) + path + b"\0")
        answer = self._receive()
        error = struct.unpack(">i", answer[12:16])[0]
        return None if error else answer[16:]

    def get(self, path):
        answer = self._call(4, path)
        return answer[4:4 + struct.unpack(">i", answer[:4])[0]]

    def children(self, path):
        answer = self._call(8, path) or bytes(4)
        names, at = [], 4
        for _ in range(struct.unpack(">i", answer[:4])[0]):
            n = struct.unpack(">i", answer[at:at + 4])[0]
            names.append(answer[at + 4:at + 4 + n].decode())
            at += 4 + n
        return names


class CountTest(SandboxTest):
    OPTIONS = ("--events", "count", "--chunk-events", "2")

    def test_digest_knows_no_order(self):
        digests = []
        for rows in ([event(1), event(2)], [event(2), event(1)], [event(2), event(3)]):
            self.submit()
            for row in rows:
                self.pushed([row])
            digests.append(self.druid.stats()["dataSources"]["foo"]["digest"])
            self.druid.reset()
        self.assertEqual(digests[0], digests[1])
        self.assertNotEqual(digests[0], digests[2])

    def test_events_are_not_kept(self):
        self.submit()
        self.pushed([event(1)] * 3)
        self.assertEqual(self.druid.stats()["events"], 3)
        self.assertEqual(
            self.druid.request("GET", "/sandbox/events?dataSource=foo")[0], 400)
        self.assert_violations(chunk=1)


class VersionTest(unittest.TestCase):
    """The table of druid-api.md 5.1 and what else depends on the release."""

    def answers(self, version):
        with Sandbox("--druid", version) as druid:
            fields = {"Content-Type": "application/json"}
            first = druid.request("POST", TASK, task_spec(), fields)
            again = druid.request("POST", TASK, task_spec(), fields)
            unknown = druid.request("GET", TASK + "/nosuch/status")
            status = druid.request("GET", f"{TASK}/{task_id()}/status")
            with Connection(druid.port) as connection:
                connection.send(push_request([event(1)], name="nosuch"))
                handler = connection.answer()
                connection.send(push_request([event(1)], task="other"))
                other = connection.answer()
                connection.send(push_request(
                    gzip.compress(json.dumps([event(1)]).encode()),
                    Content_Encoding="gzip"))
                zipped = connection.answer()
            return first, again, unknown, status, handler, other, zipped

    def test_0_12(self):
        first, again, unknown, status, handler, other, zipped = self.answers("0.12.3")
        self.assertEqual(first[0], 200)
        self.assertEqual(json.loads(again[2]), {
            "error": f"Task[{task_id()}] already exists!"})
        self.assertEqual(json.loads(unknown[2]), {"task": "nosuch", "status": None})
        self.assertEqual(json.loads(status[2]), {"task": task_id(), "status": {
            "id": task_id(), "status": "RUNNING", "duration": -1}})
        self.assertEqual((handler[0], other[0], zipped[0]), (404, 404, 500))

    def test_0_9(self):
        _, _, unknown, status, _, _, _ = self.answers("0.9.2")
        self.assertEqual(json.loads(unknown[2]), {"task": "nosuch"})
        self.assertEqual(json.loads(status[2])["status"]["status"], "RUNNING")

    def test_0_18(self):
        _, again, _, status, handler, other, zipped = self.answers("0.18.0")
        self.assertEqual(json.loads(again[2]), {
            "error": f"Task[{task_id()}] already exists!"})
        self.assertEqual(json.loads(status[2])["status"]["groupId"],
                         "index_realtime_foo")
        self.assertEqual((handler[0], other[0], zipped[0]), (400, 400, 200))

    def test_27(self):
        _, again, _, _, handler, _, _ = self.answers("27.0.0")
        self.assertEqual(json.loads(again[2]), {
            "error": f"Task [{task_id()}] already exists."})
        self.assertEqual(handler[0], 400)

    def test_29(self):
        _, again, _, _, handler, _, _ = self.answers("29.0.1")
        self.assertEqual(json.loads(again[2]), {
            "error": f"Task [{task_id()}] already exists."})
        self.assertEqual(handler[0], 503)

    def test_31_has_no_realtime_tasks(self):
        first = self.answers("31.0.0")[0]
        self.assertEqual(first[0], 400)
        self.assertIn(b"Could not resolve type id", first[2])


def supervisor_spec(topic="foo", **more):
    return dict({
        "type": "kafka", "spec": {
            "dataSchema": {"dataSource": "foo", "timestampSpec": {
                "column": "timestamp", "format": "millis"},
                "granularitySpec": {"segmentGranularity": "hour"}},
            "ioConfig": {"topic": topic, "inputFormat": {"type": "json"},
                         "useEarliestOffset": True, "consumerProperties": {
                             "bootstrap.servers": "127.0.0.1:9"}}}}, **more)


def offsets(topic="foo", **offset):
    return {"type": "kafka", "partitions": {
        "type": "end", "stream": topic, "partitionOffsetMap": offset}}


class SupervisorTest(SandboxTest):
    """kafka-pull.md 5.2 over HTTP; the model behind it has unit tests."""
    OPTIONS = ("--druid", "34.0.0")

    def ask(self, *path, **how):
        return self.druid.ask_supervisor(*path, **how)

    def post(self, path):
        return self.ask(path, method="POST")

    def make(self, **more):
        self.assertEqual(self.ask(body=supervisor_spec(**more)),
                         (200, {"id": more.get("id", "foo")}))

    def test_life(self):
        absent = 404, "Cannot find any supervisor with id: [foo]"
        self.assertEqual(self.ask("/foo"), absent)
        self.assertEqual(self.post("/foo/suspend"), absent)
        self.make()
        self.assertEqual(self.ask(), (200, ["foo"]))
        self.assertEqual(self.ask("/foo")[1]["spec"]["ioConfig"]["topic"],
                         "foo")
        self.assertEqual(self.ask("?state=true")[1][0]["id"], "foo")
        self.assertNotIn("spec", self.ask("?state=true")[1][0])
        self.assertEqual(self.ask("?full")[1][0]["spec"]["type"], "kafka")
        self.assertEqual(self.ask("/foo/health"), (200, {"healthy": True}))
        self.assertEqual(self.post("/foo/suspend")[1]["suspended"], True)
        self.assertEqual(self.post("/foo/suspend"),
                         (400, {"error": "[foo] is already suspended"}))
        self.assertEqual(self.post("/foo/resume")[1]["suspended"], False)
        self.assertEqual(self.post("/foo/resume"),
                         (400, {"error": "[foo] is already running"}))
        self.assertEqual(self.post("/foo/reset"), (200, {"id": "foo"}))
        self.assertEqual(len(self.ask("/foo/history")[1]), 3)
        self.assertEqual(self.post("/foo/terminate"), (200, {"id": "foo"}))
        self.assertEqual(self.ask("/foo/status"), absent)
        self.assertEqual(self.ask(), (200, []))
        self.assert_violations()

    def test_offsets(self):
        self.make()
        self.assertEqual(self.ask("/foo/resetOffsets", body=offsets(**{"0": 7})),
                         (200, {"id": "foo"}))
        self.assertEqual(
            self.druid.supervisors()["foo"]["stored"], {"0": 7})
        status, answer = self.ask("/foo/resetOffsets",
                                  body=offsets("bar", **{"0": 8}))
        self.assertEqual((status, "bar" in answer["error"]), (400, True))
        self.assert_violations()
        self.ask("/foo/resetOffsets", body=offsets(**{"0": 8}))
        self.assert_violations(offsetsMoved=1)

    def test_read(self):
        """Offset and events at once, or neither."""
        self.make()
        self.ask("/foo/resetOffsets", body=offsets(**{"0": 7}))
        row = json.dumps([event(1)]).encode()
        self.assertFalse(self.druid.read_on("foo", 9, at=8, events=row))
        self.assertFalse(self.druid.read_on("bar", 8, at=7, events=row))
        self.assertFalse(self.druid.read_on("foo", 8, partition=1, events=row))
        self.assertFalse(
            self.druid.read_on("foo", 8, at=7, group="x", events=row))
        self.assertEqual(self.druid.stats()["events"], 0)
        group, = self.druid.supervisors()["foo"]["groups"]
        self.assertTrue(self.druid.read_on(
            "foo", 8, at=7, group=group["name"], events=row))
        self.assertFalse(self.druid.read_on("foo", 8, at=7, events=row))
        self.assertEqual(self.druid.stats()["events"], 1)
        self.assertEqual(self.druid.events("foo"), [event(1)])
        with self.assertRaises(AssertionError):
            self.druid.read_on("foo", 9, events=b"[1]")
        self.assertEqual(self.druid.supervisors()["foo"]["end"], {"0": 8})
        self.assert_violations(body=1)

    def test_task(self):
        self.make()
        self.ask("/foo/resetOffsets", body=offsets(**{"0": 7}))
        task, = self.druid.supervisors()["foo"]["tasks"]
        status = self.druid.get(f"{TASK}/{task}/status")["status"]
        self.assertEqual((status["statusCode"], status["type"]),
                         ("RUNNING", "index_kafka"))
        tasks = "/druid/indexer/v1/tasks?type=index_kafka&datasource="
        self.assertEqual(self.druid.get(tasks + "foo"), [status])
        self.assertEqual(self.druid.get(tasks + "bar"), [])
        self.druid.supervisor("foo", "roll")
        self.druid.supervisor("foo", "commit")
        status = self.druid.get(f"{TASK}/{task}/status")["status"]
        self.assertEqual(status["statusCode"], "SUCCESS")
        self.assertEqual(len(self.druid.get(tasks + "foo")), 2)
        self.assertEqual(
            len(self.druid.get(tasks + "foo&state=complete")), 1)
        self.assertEqual(len(self.druid.get(tasks + "foo&max=0")), 1)

    def test_refused(self):
        for spec in ({}, {"type": "kafka"}, {"type": "kinesis"},
                     supervisor_spec(topic="")):
            status, answer = self.ask(body=spec)
            self.assertEqual(status, 400, answer)
            self.assertIn("error", answer)
        self.assertEqual(self.ask(), (200, []))

    def test_overlord_is_away(self):
        self.make()
        self.druid.fault("overlord-away")
        self.assertEqual(self.ask("/foo/status")[0], 503)


class SupervisorVersionTest(unittest.TestCase):
    """What depends on the release."""

    def sandbox(self, *options):
        druid = Sandbox(*options)
        druid.start()
        self.addCleanup(druid.stop)
        return druid

    def status(self, druid):
        return json.loads(druid.request("GET", "/status")[2])

    def modules(self, druid):
        return {m["name"].rpartition(".")[2]: m["artifact"]
                for m in self.status(druid)["modules"]}

    def test_status(self):
        druid = self.sandbox("--druid", "31.0.2")
        self.assertEqual(self.status(druid)["version"], "31.0.2")
        self.assertEqual(self.modules(druid)["KafkaIndexTaskModule"],
                         "druid-kafka-indexing-service")
        druid.druid("37.0.0", kafka=False)
        self.assertEqual(self.status(druid)["version"], "37.0.0")
        self.assertNotIn("KafkaIndexTaskModule", self.modules(druid))

    def test_no_extension(self):
        druid = self.sandbox("--druid", "34.0.0", "--no-kafka")
        status, answer = druid.ask_supervisor(body=supervisor_spec())
        self.assertEqual(status, 400)
        self.assertIn("Could not resolve type id 'kafka'", answer["error"])

    def test_id(self):
        druid = self.sandbox("--druid", "33.0.0")
        spec = supervisor_spec(id="foo-tq1")
        self.assertEqual(druid.ask_supervisor(body=spec), (200, {"id": "foo"}))
        self.assertNotIn("id", druid.ask_supervisor("/foo/status")[1]["payload"])
        druid.druid("34.0.0")
        self.assertEqual(druid.ask_supervisor(body=spec),
                         (200, {"id": "foo-tq1"}))
        self.assertEqual(
            druid.ask_supervisor("/foo-tq1/status")[1]["payload"]["id"],
            "foo-tq1")

    def test_topic(self):
        druid = self.sandbox("--druid", "33.0.0")
        druid.ask_supervisor(body=supervisor_spec())
        self.assertEqual(
            druid.ask_supervisor(body=supervisor_spec("bar"))[0], 200)
        druid.druid("34.0.0")
        status, answer = druid.ask_supervisor(body=supervisor_spec())
        self.assertEqual(status, 400)
        self.assertIn("from [bar] to [foo]", answer["errorMessage"])

    def test_unmodified(self):
        """Without the flag, and where it is not known, it starts again."""
        druid = self.sandbox("--druid", "32.0.0")
        flag = "?skipRestartIfUnmodified=true"
        for version, path, groups in (("32.0.0", flag, 2), ("33.0.0", "", 3),
                                      ("33.0.0", flag, 3)):
            druid.druid(version)
            druid.ask_supervisor(path, supervisor_spec())
            if groups == 2:
                druid.ask_supervisor("/foo/resetOffsets", offsets(**{"0": 7}))
                druid.ask_supervisor(path, supervisor_spec())
            self.assertEqual(len(druid.supervisors()["foo"]["groups"]), groups)
        druid.druid("38.0.0")
        druid.ask_supervisor(body=supervisor_spec())
        self.assertEqual(
            druid.ask_supervisor(flag, supervisor_spec())[1],
            {"id": "foo", "modified": False, "restarted": False})

    def test_hand_off(self):
        druid = self.sandbox("--druid", "35.0.0")
        druid.ask_supervisor(body=supervisor_spec())
        path = "/foo/taskGroups/handoff"
        self.assertEqual(druid.ask_supervisor(path, {"taskGroupIds": []})[0],
                         400)
        druid.ask_supervisor("/foo/resetOffsets", offsets(**{"0": 7}))
        for version, status in (("35.0.0", 200), ("36.0.0", 202)):
            druid.druid(version)
            self.assertEqual(
                druid.ask_supervisor(path, {"taskGroupIds": [0]}),
                (status, ""))
        self.assertEqual(
            [g["publishing"] for g in druid.supervisors()["foo"]["groups"]],
            [True, True, False])


if __name__ == "__main__":
    unittest.main()
