#!/usr/bin/env python3
"""All of JSONTestSuite through the HTTP door: what must be refused is refused
with a 400, what must be taken arrives at Druid as it was sent."""

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
        taken, refused = [], 0
        start = b'{"time":%d,"x":' % (time.time() * 1000)
        with self.server.client() as client:
            for name, data in self.documents():
                if not wanted(data):
                    continue
                answer = client.post("any", start + data + b"}",
                                     content_type=content_type)
                expected = {"y": (200,), "n": (400,), "i": (200, 400)}
                self.assertIn(answer.status, expected[name[0]],
                              (name, data[:100], answer))
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

    def test_text(self):
        taken, refused = self.check("text/plain", is_one_line)
        self.assertGreater(len(taken), 80)
        self.assertGreater(refused, 120)
        self.check_arrived(taken)
        self.check_whole(self.server, self.druid)
        self.check_no_crash(self.server)


if __name__ == "__main__":
    drill.main()
