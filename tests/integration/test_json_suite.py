#!/usr/bin/env python3
"""All of JSONTestSuite through the HTTP door: what must be refused is refused
with a 400, what must be taken arrives at Druid as it was sent, and what the
suite leaves open is answered as tests/golden/json/suite.txt says (README, "What
is JSON")."""

import glob
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402

SUITE = os.path.join(
    os.environ.get("TRANQ_SHARED",
                   os.path.join(harness.ROOT, os.pardir, "shared")),
    "corpus", "JSONTestSuite", "test_parsing")


GOLDEN = os.path.join(harness.ROOT, "tests", "golden", "json", "suite.txt")


def decided():
    """Name of a file to the statuses as JSON and as text."""
    found = {}
    with open(GOLDEN) as f:
        for line in f:
            if not line.startswith("#"):
                name, as_json, as_text, _ = line.split(None, 3)
                found[name] = (int(as_json), int(as_text))
    return found


def is_one_line(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        return False  # in text it is mended
    return b"\n" not in data and b"\r" not in data


class TestSuite(drill.Case):
    def setUp(self):
        super().setUp()
        self.files = sorted(glob.glob(os.path.join(SUITE, "*.json")))
        if not self.files:
            self.skipTest("TRANQ_SHARED has no JSONTestSuite")
        any_field = drill.data_source("any", dimensions=[], metrics=[])
        spec = any_field["spec"]["dataSchema"]["parser"]["parseSpec"]
        # a nested value of a text's line is kept when it is asked for
        spec["flattenSpec"] = {"fields": ["x"]}
        # jansson, the second of the sandbox's judges, takes no NUL in names
        self.druid = self.sandbox("--check", "fast")
        self.server = self.tranqd(drill.config([any_field], self.druid.url))

    def documents(self):
        for path in self.files:
            with open(path, "rb") as f:
                yield os.path.basename(path), f.read()

    def check(self, content_type, wanted):
        taken, refused, open_ones = [], 0, decided()
        start = b'{"time":%d,"x":' % (time.time() * 1000)
        with self.server.client() as client:
            for name, data in self.documents():
                if not wanted(data):
                    continue
                answer = client.post("any", start + data + b"}",
                                     content_type=content_type)
                expected = {"y": 200, "n": 400}.get(name[0])
                if expected is None:
                    expected = open_ones[name][content_type == "text/plain"]
                self.assertEqual(answer.status, expected,
                                 (name, data[:100], answer))
                if expected == 400:
                    # of text the line is named, else the event and its byte
                    self.assertRegex(answer.text,
                                     r"line\[1\]|event\[\d+\].* byte \d+")
                refused += answer.status == 400
                if name[0] == "y":
                    taken.append((name, json.loads(data)))
        return taken, refused

    def check_arrived(self, taken):
        found = [e["x"] for e in self.druid.events("any") if "x" in e]
        for name, value in taken:
            if value is not None:  # a null of a text's line is left out
                self.assertIn(value, found, name)

    def test_json(self):
        taken, refused = self.check("application/json", lambda data: True)
        self.assertGreater(len(taken), 90)
        self.assertGreater(refused, 180)
        self.check_arrived(taken)
        self.check_whole(self.server, self.druid)
        self.check_no_crash(self.server)

    def open_data(self):
        return [data for name, data in self.documents() if name[0] == "i"]

    def test_limits(self):
        """Beyond them it is a 400 that names the place, never a crash."""
        time_ms = time.time() * 1000
        start = b'{"time":%d,"x":' % time_ms
        too_long = [
            (b"[" * 511 + b"]" * 511, None), (b"[" * 512 + b"]" * 512, "deep"),
            (b"[" * 5000000, "deep"), (b'{"a":' * 1000000, "deep"),
            (b"1" * 1000, None), (b"1" * 1001, "number of more than 1000"),
            (b"[0." + b"1" * 1000000 + b"]", "number of more than 1000"),
            (b'{"' + b"k" * 50001 + b'":1}', "name of more than 50000"),
            (b'"' + b"s" * 20000001 + b'"', "string of more than 20000000"),
        ]
        with self.server.client() as client:
            for value, said in too_long:
                answer = client.post("any", start + value + b"}")
                self.assertEqual(answer.status, 200 if said is None else 400,
                                 (value[:20], answer))
                if said is not None:
                    self.assertIn(said, answer.text)
                    self.assertRegex(answer.text, r"event\[0\].* byte \d+")
            self.assertEqual(client.post("any", start + b"1}").status, 200)
        self.check_no_crash(self.server)

    def test_text(self):
        taken, refused = self.check(
            "text/plain",
            lambda data: b"\n" not in data and b"\r" not in data
            and (is_one_line(data) or data in self.open_data()))
        self.assertGreater(len(taken), 80)
        self.assertGreater(refused, 120)
        self.check_arrived(taken)
        self.check_whole(self.server, self.druid)
        self.check_no_crash(self.server)


if __name__ == "__main__":
    drill.main()
