"""What the integration tests of the daemon ask again and again.

    class TestKill(drill.Case):
        def test_it(self):
            druid = self.sandbox()
            tranqd = self.tranqd(drill.config(["a"], druid.url))
            ...
            self.check_ids(druid, "a", ids)     all there, none twice
            self.check_whole(tranqd, druid)     accounts and Druid's view
"""

import collections
import contextlib
import json
import os
import re
import unittest

import harness
from harness import wait_for
from zookeeper import ZooKeeper

LONG = bool(os.environ.get("TRANQ_LONG"))

# A decorator: not in the short form.
long_form = unittest.skipUnless(LONG, "in the long form: make fault")

LMDB_META_BYTES = 2 * 4096

# So that a test sees within a second what takes minutes in production.
QUICK = {"druidBeam.overlordPollPeriod": "PT0.3S",
         "druidBeam.indexRetryPeriod": "PT5S"}


def data_source(name, **how):
    """An interval is a day, so that few tests see its border by chance."""
    return harness.data_source(name, **{"segment": "DAY", **how})


def config(data_sources, overlord=None, zookeeper=None, properties=None):
    if isinstance(data_sources, int):
        data_sources = [f"ds{i}" for i in range(data_sources)]
    data_sources = [data_source(d) if isinstance(d, str) else d
                    for d in data_sources]
    return harness.config(data_sources, overlord, zookeeper,
                          properties=dict(QUICK, **(properties or {})))


def ids(list_of_events):
    return [e["id"] for e in list_of_events]


def cpu_ticks(pid):
    """User and system time of a process, in ticks."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def memory_of(pid, name="VmRSS"):
    """A line of /proc/PID/status in bytes."""
    with open(f"/proc/{pid}/status") as f:
        return 1024 * int(re.search(rf"^{name}:\s+(\d+) kB", f.read(),
                                    re.M).group(1))


def family(tranqd):
    """The daemon's processes."""
    return [tranqd.process.pid] + harness.descendants(tranqd.process.pid)


class Case(harness.Case):
    def tranqds(self):
        return [t for t in self._started if isinstance(t, harness.Tranqd)]

    def _formatMessage(self, msg, standard):
        """A failed assertion tells what the daemons said last."""
        text = super()._formatMessage(msg, standard)
        for t in self.tranqds() if hasattr(self, "_started") else []:
            text += (f"\n---- {t.log_file} ----\n"
                     + t.log()[-harness.LOG_TAIL_BYTES:])
        return text

    def counts(self, tranqd, ds):
        return tranqd.data_source(ds)["counters"]

    @contextlib.contextmanager
    def without_worker(self, tranqd, ds):
        """Starts it; the dataSource's worker cannot before the end."""
        spool = f"{tranqd.data_dir}/spool/{ds}/data.mdb"
        with open(spool, "r+b") as f:
            good = f.read(LMDB_META_BYTES)
            f.seek(0)
            f.write(bytes(LMDB_META_BYTES))
        tranqd.spawn()
        tranqd.await_status()
        wait_for(lambda: tranqd.data_source(ds)["worker"]["deathCount"],
                 "its worker cannot open the spool")
        yield
        with open(spool, "r+b") as f:
            f.write(good)
        tranqd.wait_ready()

    def await_spooled(self, tranqd, ds, events, seconds=20):
        """So many events wait in the spool (at least)."""
        return wait_for(
            lambda: tranqd.accounts(ds)["spool"] >= events,
            f"{events} events in the spool of {ds}", seconds)

    def await_drained(self, tranqd, *data_sources, seconds=30):
        """Neither ring nor spool holds anything; accounts hold."""
        def is_drained():
            for d in tranqd.status()["dataSources"]:
                a = d["accounts"]
                if data_sources and d["name"] not in data_sources:
                    continue
                assert a["holds"] and a["spool"] + a["inRings"] == 0, (
                    d["name"], a, d["counters"], d["beams"])
            return True
        wait_for(is_drained, "everything is delivered", seconds)

    def check_ids(self, druid, ds, wanted, *, seconds=30, replicant=0,
                  doubled=0):
        """Druid has all of them and nothing else; at most so many of them
        more than once."""
        wanted = set(wanted)

        def is_there():
            found = set(ids(druid.events(ds, replicant=replicant)))
            missing = wanted - found
            assert not missing, (f"{len(missing)} of {len(wanted)} events "
                                 f"missing, e.g. {sorted(missing)[:5]}")
            return True
        try:
            wait_for(is_there, f"{len(wanted)} events of {ds} in Druid",
                     seconds, step=0.1)
        except AssertionError as e:
            self.fail(str(e))
        count = collections.Counter(
            ids(druid.events(ds, replicant=replicant)))
        self.assertEqual(set(count) - wanted, set(), "events from nowhere")
        twice = {i: n for i, n in count.items() if n > 1}
        self.assertLessEqual(
            sum(n - 1 for n in twice.values()), doubled,
            f"doubled: {list(twice.items())[:5]}")

    def check_accounts(self, tranqd):
        """They hold, now and for every dataSource."""
        for d in tranqd.status()["dataSources"]:
            self.assertTrue(d["accounts"]["holds"],
                            (d["name"], d["accounts"], d["counters"]))

    def check_whole(self, tranqd, druid, *, dead=0, killed=False):
        """All is delivered, the accounts hold, and tranqd has done nothing
        to Druid that it should not have done. killed: a worker was, or it was
        replaced by a reload, so that what Druid had already acknowledged may
        come again."""
        self.await_drained(tranqd)
        for d in tranqd.status()["dataSources"]:
            a = d["accounts"]
            self.assertTrue(a["holds"], a)
            self.assertEqual(a["deadLetters"], dead, a)
            self.assertEqual(a["quarantined"], 0, a)
        self.check_violations(druid, killed=killed)

    def check_violations(self, druid, *, killed=False):
        violations = druid.stats()["violations"]
        kinds = set(violations["byKind"])
        if killed:
            # the worker did not live to note the acknowledgement of a batch
            # or of its first chunks; lower sequences are skipped by Druid and
            # were taken before
            kinds -= {"sequenceBackwards"}
        self.assertEqual(kinds, set(), violations)

    def check_load(self, report, *, compare=True):
        """Nothing lost, nothing doubled beyond what the client sent twice."""
        self.assertEqual(report.code, 0, (dict(report), report.error))
        if compare:
            c = report["compare"]
            self.assertEqual((c["lost"], c["doubled"], c["foreign"]),
                             (0, 0, 0), dict(report))
        return report

    def check_no_crash(self, tranqd, allowed=()):
        """No process has died by itself."""
        status = tranqd.status()
        for child in (status["receivers"]
                      + [d["worker"] for d in status["dataSources"]]):
            self.assertIsNone(child["lastDeath"], child)


class OneSourceCase(Case):
    """A tranqd with one dataSource, and a sandbox that checks all."""
    time_bound = 120
    ds = "wikipedia"
    segment = "HOUR"
    properties = {}
    druid_options = ()

    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full", *self.druid_options)
        self.server = self.tranqd(self.document())

    def document(self, **properties):
        return config(
            [harness.data_source(self.ds, segment=self.segment)],
            self.druid.url, properties=dict(self.properties, **properties))


class BatchTaskCase(OneSourceCase):
    """Events that get into Druid by batch tasks."""

    def await_appended(self, events, seconds=30):
        def is_there():
            status = self.server.data_source(self.ds)
            a = status["accounts"]
            assert (a["appended"], a["spool"], a["inRings"]) == (
                events, 0, 0), (a, status["beams"])
            return True
        wait_for(is_there, f"{events} events appended", seconds)

    def tasks(self, kind="index_parallel"):
        """As the Overlord lists them: (id, state)."""
        return [(t["id"], t["statusCode"])
                for t in self.ask(f"tasks?type={kind}")]

    def ask(self, path):
        status, _, body = self.druid.request(
            "GET", f"/druid/indexer/v1/{path}")
        self.assertEqual(status, 200, body)
        return json.loads(body)


class ZooKeeperCase(Case):
    """A ZooKeeper for the class, folders in it and a sandbox for each test."""
    druid_options = ()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.zk = ZooKeeper()
        cls.zk.start()
        cls.addClassCleanup(cls.zk.close)

    def setUp(self):
        super().setUp()
        # it is left in what state it may be
        self.paths = {
            "zookeeper.path": f"/beams/{self.id()}",
            "druid.discovery.curator.path": f"/discovery/{self.id()}"}
        self.druid = self.sandbox(
            "--check", "full", "--zookeeper", self.zk.connect,
            "--discovery-path", self.paths["druid.discovery.curator.path"],
            *self.druid_options)


main = harness.main
