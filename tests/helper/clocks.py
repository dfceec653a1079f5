"""Clocks that a test moves, in the programs that it starts.

    clocks = Clocks(self.folder)
    tranqd = self.tranqd(document, environment=clocks.environment)
    clocks.jump(3600)        the wall clock, as by an operator's hand
    clocks.pass_time(3600)   an hour goes by: all clocks

Times of events come from clocks.now(). tests/fault/preload_clock.c does it.
"""

import ctypes
import time

from injection import Shared

NS_PER_S = 10**9


class _Moved(ctypes.Structure):
    _fields_ = [("wall", ctypes.c_int64), ("steady", ctypes.c_int64)]


class Clocks(Shared):
    def __init__(self, folder):
        super().__init__(folder, "clock", "TRANQ_TEST_CLOCK", _Moved)

    @property
    def ahead(self):
        """Seconds that the wall clock is ahead of the real one."""
        return self.control.wall / NS_PER_S

    def now(self):
        return time.time() + self.ahead

    def jump(self, seconds):
        self.control.wall += round(seconds * NS_PER_S)

    def set(self, wall):
        """The wall clock shows this time (seconds since 1970)."""
        self.jump(wall - self.now())

    def pass_time(self, seconds):
        self.control.steady += round(seconds * NS_PER_S)
        self.jump(seconds)
