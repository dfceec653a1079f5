"""What the kernel says of a process: memory, descriptors, mappings, CPU.

    before = process.holdings(pid)
    ...
    process.difference(before, process.holdings(pid))    {} when nothing is left
"""

import collections
import os
import re

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def _read(pid, name):
    with open(f"/proc/{pid}/{name}", errors="replace") as f:
        return f.read()


def state(pid):
    """R, S, D, T, t, Z; None: there is none of that pid."""
    try:
        return _read(pid, "stat").rpartition(")")[2].split()[0]
    except OSError:
        return None


def cpu_seconds(pid):
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def memory(pid):
    """Bytes: Rss, Pss, Anonymous (its own memory) and so on."""
    return {name: 1024 * int(kib) for name, kib in re.findall(
        r"^(\w+):\s+(\d+) kB", _read(pid, "smaps_rollup"), re.M)}


def descriptors(pid):
    """How many of each kind: socket, pipe, anon_inode:[eventpoll],
    memfd:tranqd-channel, a file's path."""
    kinds = collections.Counter()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            to = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:  # closed meanwhile
            continue
        to = to.removeprefix("/").removesuffix(" (deleted)")
        kinds[re.sub(r"^(socket|pipe):\[\d+\]$", r"\1", to)] += 1
    return kinds


def mappings(pid):
    """How many of each kind: a file's path, a memfd's name, "anonymous"."""
    kinds = collections.Counter()
    for line in _read(pid, "maps").splitlines():
        fields = line.split(None, 5)
        name = fields[5] if len(fields) > 5 else "anonymous"
        kinds[name.removesuffix(" (deleted)")] += 1
    return kinds


def holdings(pid):
    """All that may leak but memory; malloc makes and joins mappings of its
    own as it likes."""
    kinds = mappings(pid)
    for name in "anonymous", "[heap]":
        kinds.pop(name, None)
    return {("fd", k): n for k, n in descriptors(pid).items()} | {
        ("map", k): n for k, n in kinds.items()}


def difference(before, after):
    """What there is more or less of."""
    return {k: after.get(k, 0) - before.get(k, 0)
            for k in before.keys() | after.keys()
            if after.get(k, 0) != before.get(k, 0)}


def zombies(pid):
    """Children that are dead and not waited for."""
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(c) for c in f.read().split() if state(int(c)) == "Z"]


def watches(pid):
    """How many descriptors its epoll sets watch."""
    count = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            if "eventpoll" in os.readlink(f"/proc/{pid}/fd/{fd}"):
                count += _read(pid, f"fdinfo/{fd}").count("tfd:")
        except OSError:
            pass
    return count
