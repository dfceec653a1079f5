#!/usr/bin/env python3
"""Smile bodies and answers, and what ?detail=true says, by an encoder that is
not ours (tests/helper/smile.py) and by Jackson's own documents."""

import base64
import decimal
import glob
import gzip
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
import smile  # noqa: E402

SMILE = "application/x-jackson-smile"
GOLDEN = os.path.join(os.path.dirname(HERE), "golden", "smile")
DAY = 86400


class SmileCase(drill.Case):
    properties = {}

    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full")
        # what events hold must not be looked at as dimensions
        lenient = drill.data_source("any", dimensions=[], metrics=[])
        lenient["spec"]["dataSchema"]["parser"]["parseSpec"][
            "timestampSpec"]["missingValue"] = harness.iso()
        csv = drill.data_source("csv", dimensions=[], metrics=[])
        csv["spec"]["dataSchema"]["parser"]["parseSpec"].update(
            format="csv", columns=["id", "time"])
        self.server = self.tranqd(drill.config(
            ["wikipedia", "clicks", lenient, csv], self.druid.url,
            properties=self.properties))

    def post(self, ds, body, **how):
        how.setdefault("content_type", SMILE)
        return self.server.post(ds, body, **how)

    def check_result(self, answer, **result):
        """A result in Smile."""
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.headers["Content-Type"], SMILE)
        self.assertEqual(smile.loads(answer.body), {"result": result})

    def check_text(self, answer, status, text):
        self.assertEqual((answer.status, answer.text), (status, text))
        self.assertTrue(answer.headers["Content-Type"].startswith(
            "text/plain"), answer.headers)


class TestSmile(SmileCase):
    def test_every_header(self):
        sent = []
        for flags in range(8):
            how = {"names": flags & 1, "values": flags >> 1 & 1,
                   "raw": flags >> 2}
            events = harness.events(100, run=f"a{flags}")
            more = harness.events(100, run=f"b{flags}")
            self.check_result(
                self.post("wikipedia", smile.dumps(events, **how)),
                received=100, sent=100)
            # one after another, and several documents
            self.check_result(
                self.post("wikipedia", smile.dumps_all(more[:50], **how)
                          + b"\xff" + smile.dumps_all(more[50:], **how)),
                received=100, sent=100)
            sent += events + more
        self.check_ids(self.druid, "wikipedia", drill.ids(sent))
        found = {e["id"]: e for e in self.druid.events("wikipedia")}
        for event in sent:
            arrived = found[event["id"]]
            self.assertEqual({k: v for k, v in arrived.items()
                              if k != "time"},
                             {k: v for k, v in event.items() if k != "time"})
        self.check_whole(self.server, self.druid)

    def test_every_value(self):
        at = int(time.time() * 1000)
        values = {
            "null": None, "true": True, "false": False, "empty": "",
            "": "no name", "ascii": "x" * 32, "ascii33": "x" * 33,
            "long": "y" * 65, "unicode": "\u00e4" * 16,
            "unicode34": "\u00e4" * 17, "long unicode": "\U0001f600" * 100,
            "n" * 64: 1, "n" * 65: 2, "\u00e4" * 28: 3, "\u00e4" * 29: 4,
            "small": [-16, -1, 0, 15], "int": [16, -17, 2**31 - 1, -2**31],
            "int64": [2**31, -2**31 - 1, 2**63 - 1, -2**63],
            "big": [2**63, -2**63 - 1, 3**200, -3**200],
            "double": [0.0, 0.1, -1.5e300, 5e-324],
            "nested": {"a": [{"b": [[], {}]}]},
            "time": at}
        for raw in False, True:
            event = dict(values, bytes=bytes(range(256)))
            answer = self.post("any", smile.dumps([event], raw=raw))
            self.check_result(answer, received=1, sent=1)
            arrived = self.druid.events("any")[-1]
            self.assertEqual(arrived, dict(values, bytes=base64.b64encode(
                bytes(range(256))).decode()))

    def test_decimals(self):
        numbers = ["1.5", "-12345678901234567890.123", "1E+30", "1E-30"]
        answer = self.post("any", smile.dumps(
            [{"n": [decimal.Decimal(n) for n in numbers]}]))
        self.check_result(answer, received=1, sent=1)
        line = self.druid.event_lines("any")[-1]
        found = json.loads(line, parse_float=decimal.Decimal,
                           parse_int=decimal.Decimal)["n"]
        self.assertEqual(found, [decimal.Decimal(n) for n in numbers])

    def test_shared_over_the_limit(self):
        """More names and values than back references can name."""
        events = [{"id": f"s-{i}", "time": harness.iso(),
                   **{f"name {n}": f"value {n * i % 1500}"
                      for n in range(i, i + 700)}} for i in range(9)]
        self.check_result(
            self.post("any", smile.dumps(events, values=True)),
            received=9, sent=9)
        for event, arrived in zip(events, self.druid.events("any")):
            del event["time"], arrived["time"]
            self.assertEqual(arrived, event)

    def test_jacksons_documents(self):
        tried = 0
        for path in sorted(glob.glob(os.path.join(GOLDEN, "*.smile"))):
            with open(path, "rb") as f:
                document = f.read()
            with open(path[:-6] + ".json") as f:
                events = f.read().split("\n")[:-1]
            answer = self.post("any?x=1", document)
            self.assertEqual(answer.status, 200, (path, answer))
            self.assertEqual(smile.loads(answer.body)["result"]["received"],
                             len(events), path)
            tried += 1
        self.assertGreater(tried, 15)

    def test_where_it_goes(self):
        """Each event names its dataSource, too."""
        events = [dict(e, **{name: ds}) for e, name, ds in zip(
            harness.events(4), ("dataSource", "feed") * 2,
            ("wikipedia", "clicks", "clicks", "wikipedia"))]
        self.check_result(self.post(None, smile.dumps(events)),
                          received=4, sent=4)
        self.check_ids(self.druid, "clicks", ["e-1", "e-2"])
        self.check_text(
            self.post(None, smile.dumps(harness.events(1))), 400,
            "Missing 'dataSource' or 'feed': event[0]\n")

    def test_async_and_gzip(self):
        events = harness.events(10)
        body = smile.dumps(events)
        self.check_result(
            self.post("wikipedia", gzip.compress(body[:40])
                      + gzip.compress(body[40:]), is_async=True,
                      headers={"Content-Encoding": "gzip"}),
            received=10, sent=0)
        self.check_ids(self.druid, "wikipedia", drill.ids(events))

    def test_empty(self):
        for body in b"", smile.dumps([]), b":)\n\1":
            self.check_result(self.post("wikipedia", body),
                              received=0, sent=0)

    def test_malformed(self):
        good = smile.dumps(harness.events(3))
        for body, text in (
                (b"[]", "Malformed Smile: event[0], at byte 0: this is JSON "
                 "text, not Smile\n"),
                (good[:-1], f"Malformed Smile: event[3], at byte "
                 f"{len(good) - 1}: the body ends too early\n"),
                (smile.dumps([1]), "Malformed Smile: event[0], at byte 5: "
                 "event is not an object\n")):
            self.check_text(self.post("wikipedia", body), 400, text)
        self.check_text(
            self.post("wikipedia", smile.dumps(
                harness.events(1) + [{"time": "never"}])), 400,
            "Malformed timestamp: event[1]: column 'time' holds 'never', "
            "which is no time in format auto\n")
        self.assertEqual(self.server.accounts("wikipedia")["received"], 0)


class TestSmallBodies(SmileCase):
    properties = {"http.maxBodyBytes": "16KiB"}

    def test_larger_as_json(self):
        """Short values that stand for long ones."""
        events = [{"id": "x" * 60, "page": "y" * 60}] * 1000
        body = smile.dumps(events, values=True)
        self.assertLess(len(body), 16384)
        self.check_text(
            self.post("any", body), 413,
            "The body, written as JSON, is larger than http.maxBodyBytes "
            "(16384 bytes)\n")


class TestDetail(SmileCase):
    properties = {"http.maxDetailEvents": 3}

    @staticmethod
    def old(count, run="old"):
        return harness.events(count, run=run, at=time.time() - 3 * DAY)

    @staticmethod
    def entry(index, event, **more):
        return {"index": index, **more, "reason": "window",
                "timestamp": event["time"]}

    def test_json(self):
        now = harness.events(2)
        old = self.old(2)
        answer = self.server.post("wikipedia",
                                  [now[0], old[0], now[1], old[1]],
                                  query="detail=true")
        self.assertTrue(answer.headers["Content-Type"].startswith(
            "application/json;"), answer.headers)
        self.assertEqual(answer.headers["X-Tranq-Dropped"], "2; window=2")
        self.assertEqual(answer.json(), {"result": {
            "received": 4, "sent": 2, "spooled": 0,
            "dropped": [self.entry(1, old[0]), self.entry(3, old[1])]}})

    def test_spellings(self):
        for word in "true", "1", "YES":
            answer = self.server.post("wikipedia", harness.events(1),
                                      query=f"detail={word}")
            self.assertEqual(answer.json()["result"]["dropped"], [])
        for word in "false", "0", "no", "":
            answer = self.server.post("wikipedia", harness.events(1),
                                      query=f"detail={word}")
            self.assertEqual(answer.body,
                             b'{"result":{"received":1,"sent":1}}')
        answer = self.server.post("wikipedia", [], query="detail=maybe")
        self.check_text(answer, 400, "Expected true or false\n")

    def test_cut(self):
        events = self.old(9)
        answer = self.server.post("wikipedia", events, query="detail=1")
        self.assertEqual(answer.json()["result"], {
            "received": 9, "sent": 0, "spooled": 0,
            "dropped": [self.entry(i, events[i]) for i in range(3)],
            "droppedNotListed": 6})

    def test_async(self):
        self.druid.fault("overlord-away")
        old = self.old(1)
        answer = self.server.post("wikipedia", harness.events(2) + old,
                                  is_async=True, query="detail=true")
        self.assertEqual(answer.json()["result"], {
            "received": 3, "sent": 0, "spooled": 2,
            "dropped": [self.entry(2, old[0])]})

    def test_of_all_events(self):
        answer = self.server.post("wikipedia", b"", query="detail=true")
        self.assertEqual(answer.json()["result"], {
            "received": 0, "sent": 0, "spooled": 0, "dropped": []})
        old = self.old(1)
        answer = self.server.post("wikipedia", old, query="detail=true")
        self.assertEqual(answer.json()["result"], {
            "received": 1, "sent": 0, "spooled": 0,
            "dropped": [self.entry(0, old[0])]})

    def test_several_data_sources(self):
        old = [dict(e, feed=ds) for e, ds in
               zip(self.old(2), ("clicks", "wikipedia"))]
        events = [dict(harness.events(1)[0], feed="clicks")]
        answer = self.server.post(None, old + events, query="detail=true")
        self.assertEqual(answer.json()["result"]["dropped"],
                         [self.entry(0, old[0]), self.entry(1, old[1])])

    def test_smile(self):
        old = self.old(1)
        self.check_result(
            self.post("wikipedia", smile.dumps(harness.events(1) + old),
                      query="detail=true"),
            received=2, sent=1, spooled=0, dropped=[self.entry(1, old[0])])

    def test_lines(self):
        old = self.old(3)
        now = harness.iso()
        lines = [f"a,{now}", "", f"b,{old[0]['time']}", "", f"c,{now}",
                 f"d,{old[1]['time']}", f"e,{old[2]['time']}"]
        answer = self.server.post("csv", "\r\n".join(lines).encode(),
                                  content_type="text/plain",
                                  query="detail=true")
        self.assertEqual(answer.json()["result"], {
            "received": 5, "sent": 2, "spooled": 0,
            "dropped": [self.entry(1, old[0], line=3),
                        self.entry(3, old[1], line=6),
                        self.entry(4, old[2], line=7)]})


class TestLateDetail(SmileCase):
    properties = {"late.policy": "archive"}

    def test_kept(self):
        old = TestDetail.old(2)
        answer = self.server.post(
            "wikipedia", harness.events(1) + old, query="detail=true")
        self.assertEqual(answer.json()["result"], {
            "received": 3, "sent": 1, "spooled": 2, "dropped": [],
            "late": [{"index": i + 1, "policy": "archive",
                      "timestamp": old[i]["time"]} for i in range(2)]})


class TestLongDetail(SmileCase):
    properties = {"http.maxDetailEvents": 100000}

    def test_larger_than_the_output(self):
        """… and read slowly, while others are answered."""
        events = TestDetail.old(20000)
        answers = [self.server.post("wikipedia", events, query="detail=true")
                   for _ in range(2)]
        for answer in answers:
            dropped = answer.json()["result"]["dropped"]
            self.assertEqual([d["index"] for d in dropped],
                             list(range(20000)))
        self.assertEqual(
            self.server.post("clicks", harness.events(1)).sent, 1)
        self.check_no_crash(self.server)


if __name__ == "__main__":
    drill.main()
