"""Named places at which a tranqd built for tests is killed, stopped or made
to fail (common/fault.h).

    faults = Faults(os.path.join(folder, "faults"))
    tranqd = self.tranqd(document, binary=FAULT_TRANQD,
                         environment=faults.environment)
    faults.kill("COMMIT")               at its next passage, whoever passes
    faults.kill("PUSH", at=5)           at the fifth from now
    faults.stop("SYNC")                 SIGSTOP; it goes on after SIGCONT
    faults.fail("SYNC", errno.EIO, times=3)     where the C code can fail
    faults.await_hit("COMMIT")          returns the pid to whom it happened

What is armed lies in a file that all processes of the tranqd have mapped; it
survives their deaths, and a restart finds it again.
"""

import collections
import mmap
import os
import subprocess

from harness import wait_for
from sandbox import ROOT

FAULT_TRANQD = os.path.join(
    ROOT, os.environ.get("TRANQ_BUILD", "build"), "fault", "bin", "tranqd")

# struct fault_slot of common/fault.c, in words of four bytes
WORDS = 8
LEFT, ACTION, ERROR, TIMES, HITS, PID = 2, 3, 4, 5, 6, 7
KILL, STOP, FAIL = 1, 2, 3

Point = collections.namedtuple("Point", "name scenario text")
_points = []


def points():
    """All points, in the order of common/fault.def."""
    if not _points:
        out = subprocess.run([FAULT_TRANQD, "faults"], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
        _points.extend(Point(*line.split("\t")) for line in out.splitlines())
    return list(_points)


class Faults:
    def __init__(self, path):
        self.path = path
        self.environment = {"TRANQ_FAULT_FILE": path}
        self.index = {p.name: n for n, p in enumerate(points())}
        with open(path, "wb") as f:
            f.truncate(4 * WORDS * len(self.index))
        with open(path, "r+b") as f:
            self.words = memoryview(mmap.mmap(f.fileno(), 0)).cast("I")

    def _at(self, name, word):
        return self.index[name] * WORDS + word

    def _arm(self, name, action, at, error=0, times=1):
        self.disarm(name)
        for word, value in ((ACTION, action), (ERROR, error), (TIMES, times),
                            (HITS, 0), (PID, 0)):
            self.words[self._at(name, word)] = value
        # armed by this alone, when all the rest is there
        self.words[self._at(name, LEFT)] = at

    def kill(self, name, at=1):
        self._arm(name, KILL, at)

    def stop(self, name, at=1):
        self._arm(name, STOP, at)

    def fail(self, name, error, at=1, times=1):
        self._arm(name, FAIL, at, error, times)

    def disarm(self, name):
        self.words[self._at(name, TIMES)] = 0
        self.words[self._at(name, LEFT)] = 0

    def passed(self, name):
        """How often all processes have come by there so far."""
        at = self._at(name, 0)
        return self.words[at] | self.words[at + 1] << 32

    def hits(self, name):
        """How often it has happened since it was armed."""
        return self.words[self._at(name, HITS)]

    def await_hit(self, name, seconds=30):
        wait_for(lambda: self.hits(name) > 0,
                 f"fault point {name} is reached", seconds, step=0.002)
        return self.words[self._at(name, PID)]
