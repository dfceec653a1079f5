"""Plays the Kafka tasks of a supervisor that tranq-sandbox has.

    puller = Puller(druid, "wikipedia-tq1")     pulls as soon as it is there
    puller.roll()            who reads publishes, others read on
    puller.commit()          who publishes has done so: offsets are stored
    puller.await_events(100)
    puller.stop()            raises what it saw that must never be

As Druid does it reads the supervisor's spec for bootstrap.servers and topic,
asks there for the partitions' leaders, and fetches from where the group's
offsets say; what it got the sandbox notes, offset and events at once. So each
generation of tasks has each event once, unless tranqd serves one twice or
leaves one out: that, and an offset that is not served any more, it keeps in
`complaints`. With `gaps` offsets may be left out or not be there (a log that was
lost or set back goes on by the clock). With `cycle` it commits and rolls by itself, each so many
seconds.

It lives on when tranqd, its feed or its workers die.
"""

import struct
import threading
import time

from kafka_client import (Client, Fetched, Metadata, fetch, list_offsets,
                          listed, metadata)
from sandbox import await_true

OUT_OF_RANGE = 1
FETCH_MS = 200
PAUSE_S = 0.05
WATCH_S = 0.1
EARLIEST, LATEST = -2, -1


class Puller:
    def __init__(self, druid, id, *, cycle=None, gaps=False):
        self.druid, self.id, self.cycle, self.gaps = druid, id, cycle, gaps
        self.complaints = []
        self.out_of_range = 0  # fetches
        self.pulled = 0  # events, also those of tasks that failed later
        self._ends = threading.Event()
        self._held = threading.Event()
        self._partitions = {}  # its thread
        self._told = {}
        self._turned = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(self._watch,))
        self._thread.start()

    # what the sandbox knows

    def supervisor(self):
        """What it really is, or None."""
        return self.druid.supervisors().get(self.id)

    def stored(self, partition=0):
        """Offset that is committed, or None."""
        return (self.supervisor() or {}).get("stored", {}).get(str(partition))

    def _group(self, partition):
        for group in (self.supervisor() or {}).get("groups", []):
            if not group["publishing"] and str(partition) in group["at"]:
                return group
        return None

    # orders

    def roll(self):
        return self.druid.supervisor(self.id, "roll")

    def commit(self, task=""):
        return self.druid.supervisor(self.id, "commit", task=task)

    def fail(self, task=""):
        return self.druid.supervisor(self.id, "fail", task=task)

    def hold(self, held=True):
        """Reads no more, until it is told that it may again."""
        if held:
            self._held.set()
        else:
            self._held.clear()

    def events(self):
        """How many it has brought that no failed task took with it."""
        supervisor = self.supervisor()
        if supervisor is None:
            return 0
        ds = self.druid.stats()["dataSources"].get(supervisor["dataSource"])
        return ds["events"] - ds["lostEvents"] if ds else 0

    def await_events(self, count, seconds=30):
        def are_there():
            assert not self.complaints, self.complaints
            return self.events() >= count
        await_true(are_there, f"{count} events pulled", seconds)

    def stop(self, *, check=True):
        self._ends.set()
        self._thread.join()
        for thread in list(self._partitions.values()):
            thread.join()
        complaints, self.complaints = self.complaints, []
        if check:
            assert not complaints, complaints

    # the supervisor's own looks at the log

    def _metadata(self):
        """Of the first of bootstrap.servers that is there; and the topic."""
        io = self.supervisor()["spec"]["spec"]["ioConfig"]
        servers = io["consumerProperties"]["bootstrap.servers"].split(",")
        for server in servers:
            host, _, port = server.rpartition(":")
            try:
                with Client(int(port), host=host) as c:
                    c.send(metadata(io["topic"]))
                    return Metadata(c.answer()), io["topic"]
            except OSError:
                if server == servers[-1]:
                    raise

    def _leader(self, partition):
        """A connection to it and the topic, or None."""
        found, topic = self._metadata()
        node = found.topics.get(topic, {}).get(partition)
        if node not in found.nodes:
            return None, topic
        host, port = found.nodes[node]
        return Client(port, host=host), topic

    def _tell_place(self, partition):
        client, topic = self._leader(partition)
        if client is None:
            return
        with client:
            for do, when in (("earliest", EARLIEST), ("end", LATEST)):
                client.send(list_offsets(when, topic=topic,
                                         partition=partition))
                offset = listed(client.answer())
                self._tell(do, partition, offset)

    def _tell(self, do, partition, offset):
        """What is new, or is not known any more."""
        known = (do == "earliest"
                 or str(partition) in self.supervisor()["end"])
        if offset < 0 or (
                known and self._told.get((do, partition)) == offset):
            return
        self.druid.supervisor(self.id, do, partition=partition, offset=offset)
        self._told[do, partition] = offset

    def _known_partitions(self):
        found, topic = self._metadata()
        return found.topics.get(topic, {})

    def _run(self, what, *arguments):
        """As long as it lives; a feed that is away is tried again."""
        while not self._ends.is_set():
            try:
                what(*arguments)
            except (OSError, EOFError, KeyError, TypeError):
                self._ends.wait(PAUSE_S)
            except (AssertionError, ValueError, struct.error) as e:
                self._complain(f"{type(e).__name__}: {e}")

    def _watch(self):
        while not self._ends.wait(WATCH_S):
            if self.supervisor() is None:
                continue
            if self.cycle and time.monotonic() >= self._turned + self.cycle:
                self._turned = time.monotonic()
                self.commit()
                self.roll()
            for partition in self._known_partitions():
                self._tell_place(partition)
                if partition not in self._partitions:
                    thread = threading.Thread(
                        target=self._run, args=(self._pull, partition))
                    self._partitions[partition] = thread
                    thread.start()

    # a task

    def _pull(self, partition):
        """What the group that reads it does; the next one may be another
        spec's."""
        group = None if self._held.is_set() else self._group(partition)
        if group is None:
            self._ends.wait(PAUSE_S)
            return
        client, topic = self._leader(partition)
        if client is None:
            raise OSError("nobody leads")
        with client:
            self._read(client, topic, partition, group)

    def _read(self, client, topic, partition, group):
        """Until the group is no longer there."""
        name, at = group["name"], group["at"][str(partition)]
        is_there = True
        while is_there and not self._ends.is_set() and not self._held.is_set():
            client.send(fetch(at, topic=topic, partition=partition,
                              max_wait=FETCH_MS))
            got = Fetched(client.answer())
            if got.error == OUT_OF_RANGE:
                self.out_of_range += 1
                if not self.gaps:
                    self._complain(f"partition {partition}: offset {at} is "
                                   f"not served")
                return
            if got.error:
                raise OSError(f"error {got.error}")
            records = [r for r in got.values() if r[0] >= at]
            if not records:
                group = self._group(partition)
                is_there = group is not None and (
                    group["name"], group["at"][str(partition)]) == (name, at)
                continue
            behind = self._check(partition, at, records)
            is_there = self.druid.read_on(
                self.id, behind, partition=partition, at=at, group=name,
                events=b"[" + b",".join(r[1] for r in records) + b"]")
            if is_there:
                self.pulled += len(records)
                at = behind

    def _check(self, partition, at, records):
        for offset, _ in records:
            if offset < at or (offset > at and not self.gaps):
                self._complain(f"partition {partition}: {offset} came in "
                               f"place of {at}")
            at = offset + 1
        return at

    def _complain(self, text):
        if text not in self.complaints:
            self.complaints.append(text)
        self._ends.wait(PAUSE_S)
