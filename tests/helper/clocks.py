"""Clocks that a test moves, in the programs that it starts.

    clocks = Clocks(self.folder)
    tranqd = self.tranqd(document, environment=clocks.environment)
    clocks.jump(3600)        the wall clock, as by an operator's hand
    clocks.pass_time(3600)   an hour goes by: all clocks

Times of events come from clocks.now(). tests/fault/preload_clock.c does it.
"""

import mmap
import os
import struct
import time
import unittest

from sandbox import ROOT

NS_PER_S = 10**9


def library():
    build = os.path.dirname(os.environ.get(
        "TRANQ_BIN", os.path.join(ROOT, "build", "bin")))
    return os.path.join(build, "tests", "preload_clock.so")


class Clocks:
    def __init__(self, folder):
        if not os.path.exists(library()):
            raise unittest.SkipTest("`make fault-programs` is wanted")
        self.path = os.path.join(folder, "clocks")
        with open(self.path, "wb") as f:
            f.write(bytes(16))
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 16)

    @property
    def environment(self):
        return {"LD_PRELOAD": library(), "TRANQ_TEST_CLOCK": self.path}

    def _add(self, at, seconds):
        before, = struct.unpack_from("q", self.map, at)
        struct.pack_into("q", self.map, at,
                         before + round(seconds * NS_PER_S))

    @property
    def ahead(self):
        """Seconds that the wall clock is ahead of the real one."""
        return struct.unpack_from("q", self.map, 0)[0] / NS_PER_S

    def now(self):
        return time.time() + self.ahead

    def jump(self, seconds):
        self._add(0, seconds)

    def set(self, wall):
        """The wall clock shows this time (seconds since 1970)."""
        self.jump(wall - self.now())

    def pass_time(self, seconds):
        self._add(8, seconds)
        self._add(0, seconds)
