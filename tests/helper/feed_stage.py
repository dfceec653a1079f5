"""A feed whose log and whose worker the test commands (tests/kafka/feed_stage.c).

    class TestSomething(feed_stage.Case):
        def test_it(self):
            stage = self.stage()
            stage.put(10, 100)                    10 batches of 100 records
            stage.port, stage.start, stage.end

Record n of a stage is stage.value(n, pad), its time feed_stage.FIRST_MS + n.
"""

import json
import os
import subprocess
import unittest

import harness
from machine import die_with_parent
from sandbox import ROOT

PROGRAM = os.path.join(ROOT, os.environ.get("TRANQ_BUILD", "build"), "tests",
                       "feed_stage")
FIRST_MS = 1700000000000
# Debian's packages are of Debian's Python, whichever runs the tests.
PYTHON = "/usr/bin/python3"


def value(n, pad=20):
    return b'{"n":%d,"pad":"%s"}' % (n, b"x" * pad)


def has_module(name):
    done = subprocess.run([PYTHON, "-c", f"import {name}"],
                          stderr=subprocess.DEVNULL, check=False)
    return done.returncode == 0


class Stage:
    def __init__(self, folder, properties=None):
        self.folder = folder
        self.process = None
        os.makedirs(os.path.join(folder, "data"))
        document = harness.config(["foo"], "http://127.0.0.1:1", properties={
            "pull.listen": "127.0.0.1:0",
            "tranqd.dataDir": os.path.join(folder, "data"),
            "tranqd.runDir": os.path.join(folder, "run"),
            **(properties or {})})
        self.file = os.path.join(folder, "stage.json")
        with open(self.file, "w") as f:
            json.dump(document, f)
        self.log_file = os.path.join(folder, "log")
        self.log_to = open(self.log_file, "wb")
        self.process = subprocess.Popen(
            [PROGRAM, self.file], stdin=subprocess.PIPE, text=True,
            stdout=subprocess.PIPE, stderr=self.log_to,
            preexec_fn=die_with_parent)
        self._read()

    def _read(self):
        words = self.process.stdout.readline().split()
        if not words or words[0] != "ok":
            raise AssertionError(f"the stage has ended: {self.log()}")
        self.start, self.end, self.port, self.pid = (
            int(w) for w in words[1:])

    def tell(self, *words):
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.process.stdin.flush()
        self._read()

    def put(self, batches, records, size=20, codec="none", *, quiet=False):
        self.tell("quiet" if quiet else "put", batches, records, size, codec)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def log(self):
        with open(self.log_file, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self):
        self.process.stdin.close()
        code = self.process.wait(harness.STOP_SECONDS)
        self.process.stdout.close()
        self.log_to.close()
        if code != 0:
            raise AssertionError(f"the stage ends with {code}: {self.log()}")


class Case(harness.Case):
    def stage(self, **properties):
        stage = Stage(os.path.join(self.folder, f"stage{len(self._started)}"),
                      {k.replace("__", "."): v
                       for k, v in properties.items()})
        self._started.append(stage)
        return stage

    def _print_logs(self):
        super()._print_logs()
        for thing in self._started:
            if isinstance(thing, Stage):
                print(f"---- {thing.log_file} ----\n{thing.log()[-6000:]}")


needs_kcat = unittest.skipUnless(
    any(os.access(os.path.join(p, "kcat"), os.X_OK)
        for p in os.environ["PATH"].split(":")), "kcat is not there")
