"""Faults in the C library's calls, through the libraries of tests/fault.

    files = injection.Files(self.folder)
    server = self.tranqd(document, environment=files.environment)
    files.fail("write", path="/spool/", error=errno.ENOSPC, passes=3)
    ...
    files.struck()      how many calls have failed
    files.clear()

The rules lie in memory that tranqd's processes share with the test, so that
they hold at once and in all of them. The layouts are those of
tests/fault/preload_io.c and preload_alloc.c.
"""

import ctypes
import mmap
import os
import unittest

from harness import wait_for
from sandbox import ROOT

ALWAYS = 0xffffffff
KINDS = {"supervisor": 1, "receiver": 2, "worker": 4}
OPERATIONS = {"open": 1, "write": 2, "sync": 4, "truncate": 8, "mkdir": 16,
              "rename": 32, "make": 64}
# what asks a disk for room
ROOM = ("make", "write", "truncate", "mkdir", "rename")


def library(name):
    """Path of a preload library."""
    build = os.environ.get("TRANQ_BUILD", "build")
    path = os.path.join(ROOT, build, "tests", f"preload_{name}.so")
    if not os.path.exists(path):
        raise unittest.SkipTest("`make fault-programs` is wanted")
    return path


def mask(table, names):
    names = [names] if isinstance(names, str) else names
    return sum(table[n] for n in names) if names else sum(table.values())


class Shared:
    """A structure in a file that tranqd maps as well."""

    def __init__(self, folder, name, variable, layout):
        path = os.path.join(folder, f"fault-{name}")
        with open(path, "w+b") as f:
            f.truncate(ctypes.sizeof(layout))
            self._map = mmap.mmap(f.fileno(), ctypes.sizeof(layout))
        self.control = layout.from_buffer(self._map)
        self.environment = {"LD_PRELOAD": library(name), variable: path}


class _Rule(ctypes.Structure):
    _fields_ = [("operations", ctypes.c_uint32), ("kinds", ctypes.c_uint32),
                ("passes", ctypes.c_uint32), ("strikes", ctypes.c_uint32),
                ("error", ctypes.c_int32), ("how", ctypes.c_uint32),
                ("seen", ctypes.c_uint32), ("struck", ctypes.c_uint32),
                ("path", ctypes.c_char * 64)]


class _Files(ctypes.Structure):
    _fields_ = [("rules", _Rule * 4)]


class Files(Shared):
    def __init__(self, folder):
        super().__init__(folder, "io", "TRANQ_FAULT_IO", _Files)

    def fail(self, operations, *, error, path="", kinds=(), passes=0,
             strikes=ALWAYS, short=False, done=False, rule=0):
        """The operations on paths with that part in them fail, after so many
        that go well, so many times. short: a write that strikes brings out
        half of its bytes; done: it is done and says that it has failed."""
        r = self.control.rules[rule]
        r.operations = 0  # off while it changes
        r.kinds = mask(KINDS, kinds)
        r.passes, r.strikes, r.error = passes, strikes, error
        r.how = 1 if short else 2 if done else 0
        r.path = path.encode()
        r.seen = r.struck = 0
        r.operations = mask(OPERATIONS, operations)

    def struck(self, rule=0):
        return self.control.rules[rule].struck

    def seen(self, rule=0):
        return self.control.rules[rule].seen

    def clear(self):
        for r in self.control.rules:
            r.operations = 0


class _Memory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in (
        "kinds", "epoch", "next", "step", "last", "strikes", "struck",
        "most")]


class Memory(Shared):
    """The n-th allocation fails: memory.fail("worker", first=0, step=1,
    last=49) gives n = 0 … 49 to the next fifty workers that begin, or to
    those that run (each takes one)."""

    def __init__(self, folder):
        super().__init__(folder, "alloc", "TRANQ_FAULT_ALLOC", _Memory)

    def fail(self, kinds, *, first, step=1, last=None, strikes=1):
        c = self.control
        c.kinds = 0  # off while it changes
        c.next, c.step = first, step
        c.last = first if last is None else last
        c.strikes = strikes
        c.struck = c.most = 0
        c.epoch += 1
        c.kinds = mask(KINDS, kinds)

    def struck(self):
        return self.control.struck

    def most(self):
        """Allocations of the process that had most of them."""
        return self.control.most

    def clear(self):
        self.control.kinds = 0


class _Processes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in (
        "pid", "where", "how", "released", "forks_fail", "memfds_fail",
        "hits")]


class Processes(Shared):
    """A process hangs, in its next sync or turn of its loop; forks and memfds
    fail as long as control.forks_fail or .memfds_fail is 1."""
    WHERE = {"sync": 1, "loop": 2}
    HOW = {"spin": 1, "sleep": 2, "disk": 3}

    def __init__(self, folder):
        super().__init__(folder, "process", "TRANQ_PROCESS_FAULTS",
                         _Processes)

    def hang(self, pid, where, how):
        """Returns when it hangs."""
        c = self.control
        hits = c.hits
        c.released = 0
        c.where, c.how = self.WHERE[where], self.HOW[how]
        c.pid = pid
        wait_for(lambda: c.hits > hits, "it hangs")

    def release(self):
        self.control.released = 1
