#!/usr/bin/env python3
"""Where random events go: tranqd's receiver and Tranquility's own partitioner
are asked, each with the same configuration."""

import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "helper")]
import drill  # noqa: E402
import harness  # noqa: E402
import jvm  # noqa: E402

ROWS = int(os.environ.get("ROWS", 1000000))
SEED = int(os.environ.get("SEED", time.time()))
METRICS = [{"type": "count", "name": "count"},
           {"type": "longSum", "name": "x", "fieldName": "added"}]
# dimensionsSpec, queryGranularity
SPECS = {
    "schemaless": ({}, "none"),
    "empty": ({"dimensions": []}, "second"),
    "excluding": ({"dimensionExclusions": ["page", "a", "中文", "𐀀"]},
                  "minute"),
    "listed": ({"dimensions": ["user", "page", "b", "～", "😀", "added"]},
               "hour"),
    "few": ({"dimensions": ["A", "b", "ab"]}, "thirty_minute"),
    "fifteen": ({}, "fifteen_minute"),
    "day": ({}, "day"),
    "week": ({}, "week"),
    "month": ({}, "month"),
    "quarter": ({}, "quarter"),
    "year": ({}, "year"),
    "all": ({}, "all"),
    "period": ({}, {"type": "period", "period": "P1D",
                    "timeZone": "America/Los_Angeles"}),
    "origin": ({}, {"type": "period", "period": "PT6H",
                    "origin": "2020-02-29T01:30:00Z"}),
    "weeks": ({}, {"type": "period", "period": "P2W",
                   "timeZone": "Asia/Kolkata"}),
    "months": ({}, {"type": "period", "period": "P5M",
                    "origin": "2011-01-28T05:00:00Z"}),
    "duration": ({}, {"type": "duration", "duration": 7200000}),
    "shifted": ({}, {"type": "duration", "duration": 5400001,
                     "origin": "2015-01-01T00:00:00.123Z"}),
}


def data_source(name, dimensions, granularity):
    entry = harness.data_source(name, metrics=METRICS, query=granularity,
                                window="P400D",
                                properties={"task.partitions": "2"})
    schema = entry["spec"]["dataSchema"]
    schema["parser"]["parseSpec"]["dimensionsSpec"] = dimensions
    return entry


class TestHash(drill.Case):
    time_bound = 600

    def test_random_rows(self):
        file = os.path.join(self.folder, "server.json")
        with open(file, "w") as f:
            json.dump({"dataSources": [data_source(name, *spec)
                                       for name, spec in SPECS.items()],
                       "properties": {"zookeeper.connect": "localhost"}}, f)
        with open(os.path.join(self.folder, "java.log"), "wb") as log:
            java = subprocess.Popen(
                jvm.command("Hashes", file, str(ROWS), str(SEED)),
                stdout=subprocess.PIPE, stderr=log,
                preexec_fn=jvm.die_with_parent)
        ours = subprocess.run(
            [os.path.join(ROOT, "build", "tests", "hash_rows"), file],
            stdin=java.stdout, stdout=subprocess.PIPE, text=True, check=False)
        java.stdout.close()
        java.kill()  # it has ended, but when ours has seen enough
        java.wait()
        self.assertEqual((ours.returncode, ours.stdout.splitlines()[-1]),
                         (0, f"{ROWS} rows, 0 of them differ"),
                         f"SEED={SEED}\n{ours.stdout}")


if __name__ == "__main__":
    drill.main()
