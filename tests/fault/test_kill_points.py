#!/usr/bin/env python3
"""kill -9 at every named step (common/fault.def): nothing that was answered
200 is lost, nothing comes twice, nothing comes from nowhere, and the accounts
add up.

Each class is a scenario of fault.def and kills at each of its points; one that
is not reached fails the test. The short form kills the one process that is
there and compares at the end of its scenario. The long form also kills all
processes at once, as a power cut would, and compares after each kill.
"""

import concurrent.futures
import contextlib
import os
import socket
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import archive  # noqa: E402
import drill  # noqa: E402
import faults  # noqa: E402
import harness  # noqa: E402
from faults import FAULT_TRANQD, Faults  # noqa: E402
from harness import wait_for  # noqa: E402

BACK_SECONDS = 30
DAYS = 86400
WAYS = ("one", "all") if drill.LONG else ("one",)
ELSEWHERE = {"own"}
# nobody waits for acks of asynchronous requests
NO_ASYNC = {"ACK_TOLD", "ACK_SEEN"}


def strikes(which):
    """Each point and each way to die there."""
    return [(name, way) for way in WAYS for name in which]


@contextlib.contextmanager
def told(name, way):
    """A failure says at which point it was."""
    try:
        yield
    except Exception as e:
        raise AssertionError(f"at {name} ({way}): {e}") from e


def names(*scenarios):
    found = [p.name for p in faults.points() if p.scenario in scenarios]
    assert found, scenarios
    return found


class PointCase(drill.Case):
    time_bound = 120 if not drill.LONG else 1800
    data_sources = ["a", "b", "c", "d"]
    properties = {}
    druid_options = ()
    how = {}    # of a dataSource

    def setUp(self):
        super().setUp()
        self.faults = Faults(os.path.join(self.folder, "faults"))
        self.start_druid()
        self.server = self.tranqd(
            self.document(), binary=FAULT_TRANQD,
            environment=self.faults.environment)

    def start_druid(self):
        self.druid = self.sandbox("--check", "full", *self.druid_options)

    def document(self, data_sources=None, **how):
        return drill.config(
            [drill.data_source(d, **dict(self.how, **how))
             for d in data_sources or self.data_sources],
            self.druid.url, properties=dict(
                {"tranqd.receivers": 3}, **self.properties))

    def load(self, *data_sources, **options):
        options = dict(dict(rate=10000, batch=20, connections=8, seconds=600,
                            events=None), **options)
        return self.start_load(
            self.server, data_source=",".join(data_sources
                                              or self.data_sources),
            compare=self.druid.url, retry=True, **options)

    def answered(self):
        """How many requests, by the receivers that are there."""
        return sum(r["counters"]["answers2xx"]
                   for r in self.server.status()["receivers"])

    def finish(self, running):
        had = self.answered()
        wait_for(lambda: self.answered() > had, "an answer 200", BACK_SECONDS)
        running.stop()
        report = self.check_load(running.finish(), compare=False)
        c = report["compare"]
        # those of an earlier load are foreign to this one
        self.assertEqual((c["lost"], c["doubled"], c["extra"]), (0, 0, 0), c)
        self.assertGreater(report["events"]["answered"], 0)
        self.check_whole(self.server, self.druid, killed=True)

    def goes_on(self):
        had = self.druid.stats()["events"]
        wait_for(lambda: self.druid.stats()["events"] > had,
                 "events go on", BACK_SECONDS)

    def await_back(self, pid):
        """It has a successor, and all serve."""
        def is_back():
            status = self.server._is_ready()
            return status and pid not in (
                [r["pid"] for r in status["receivers"]]
                + [d["worker"]["pid"] for d in status["dataSources"]])
        wait_for(is_back, "the killed one is back", BACK_SECONDS)
        self.check_accounts(self.server)

    def strike(self, name, way, provoke=None, at=1):
        """kill -9 at its `at`th passage from now, and everything is up
        again."""
        with told(name, way):
            self._strike(name, way, provoke, at)

    def _strike(self, name, way, provoke, at):
        arm = self.faults.kill if way == "one" else self.faults.stop
        arm(name, at)
        if provoke is not None:
            provoke()
        pid = self.faults.await_hit(name)
        if way == "all":
            self.server.kill_all()
        elif pid == self.server.process.pid:
            self.server.process.wait(BACK_SECONDS)
            self.server.process = None
        else:
            harness.wait_gone(pid)
        if self.server.process is None:
            self.server.start()
        self.await_back(pid)


class TestTable(drill.Case):
    def test_every_point_has_a_scenario(self):
        mine = set().union(*(set(c.scenarios) for c in SCENARIOS))
        for point in faults.points():
            self.assertIn(point.scenario, mine | ELSEWHERE, point)


class TestServe(PointCase):
    """Each step of an event's path, under load."""
    scenarios = ("serve",)

    def kill_at_each(self, **options):
        running = self.load(**options)
        which = [name for name in names("serve")
                 if "async" not in options or name not in NO_ASYNC]
        for n, (name, way) in enumerate(strikes(which)):
            self.goes_on()
            self.strike(name, way, self.connect, at=1 + n % 3)
            if drill.LONG:
                with told(name, way):
                    self.finish(running)
                running = self.load(**options)
        self.goes_on()
        self.finish(running)

    def connect(self):
        """For those points that connections which are there never pass."""
        for _ in range(4):
            with socket.create_connection(("127.0.0.1", self.server.port)):
                pass

    def test_each(self):
        self.kill_at_each()

    if drill.LONG:
        def test_each_with_async_requests(self):
            self.kill_at_each(**{"async": True})

        def test_each_with_large_requests(self):
            self.kill_at_each(batch=2000, rate=100000)


@drill.long_form
class TestServeWithReplicants(TestServe):
    properties = {"task.partitions": 2, "task.replicants": 2}


class TestKeys(PointCase):
    """Requests with an Idempotency-Key, each sent twice: every event is there
    exactly once, whoever dies, also those of requests that were not answered
    and sent again."""
    scenarios = ("keys",)

    def load(self, *data_sources, **options):
        return super().load(*data_sources, twice=True, **options)

    def test_each(self):
        running = self.load()
        serve = names("serve")
        for n, (name, way) in enumerate(strikes(
                names("keys") + (serve if drill.LONG else serve[::4]))):
            self.goes_on()
            self.strike(name, way, at=1 + n % 3)
        self.goes_on()
        self.finish(running)
        self.assertGreater(sum(
            d["counters"]["idempotentRepeats"]
            for d in self.server.status()["dataSources"]), 0)

    def finish(self, running):
        super().finish(running)
        for ds in self.data_sources:
            events = drill.ids(self.druid.events(ds))
            self.assertEqual(len(events), len(set(events)), ds)


class TestPartsOfARequest(PointCase):
    """A receiver dies between two blocks of a request: what it left is
    completed by the repeat, not doubled."""
    data_sources = ["a", "b"]
    properties = {"tranqd.ringBytes": 65536, "tranqd.receivers": 2}

    def send(self, events):
        return self.server.post(None, events, headers={
            "Idempotency-Key": f"k{self.key}"})

    def test_each_block(self):
        wanted = {"a": [], "b": []}
        for self.key in range(1, 7):
            events = [dict(e, dataSource=wanted_ds)
                      for e, wanted_ds in zip(
                          harness.events(600, run=f"r{self.key}"),
                          ["a", "b"] * 300)]
            for e in events:
                wanted[e["dataSource"]].append(e["id"])
            self.faults.kill("OFFERED", self.key)
            with self.assertRaises(OSError):
                self.send(events)
            self.await_back(self.faults.await_hit("OFFERED"))
            answer = self.send(events)
            self.assertEqual((answer.status, answer.received), (200, 600))
            self.assertEqual(answer.sent, 600, answer)
        for ds, ids in wanted.items():
            self.check_ids(self.druid, ds, ids)
        self.check_whole(self.server, self.druid, killed=True)


class BeamCase:
    """Each step of making beams and tasks; each point has a dataSource of its
    own, whose beam is made at that moment."""

    def kill_at_each(self, which):
        for name, way in strikes(which):
            ds = f"{name}_{way}"
            ok, text = self.server.reload(self.document([ds]))
            self.assertTrue(ok, text)
            running = []
            self.strike(name, way, lambda: running.append(self.load(
                ds, events=200, rate=0)))
            self.check_load(running[0].finish())
            self.check_whole(self.server, self.druid, killed=True)
            self.assertEqual(len(self.tasks(ds)), 1)

    def tasks(self, ds):
        return self.druid.stats()["dataSources"][ds]["tasks"]


class TestBeams(BeamCase, PointCase):
    scenarios = ("beam",)

    def test_each(self):
        self.kill_at_each(names("beam"))


class TestBeamsInZooKeeper(BeamCase, PointCase, drill.ZooKeeperCase):
    scenarios = ("zookeeper",)

    def start_druid(self):
        """drill.ZooKeeperCase has done it."""

    def document(self, data_sources=None, **how):
        document = super().document(data_sources, **how)
        del document["properties"]["druid.overlord.url"]
        document["properties"].update(
            self.paths, **{"zookeeper.connect": self.zk.connect})
        return document

    def test_each(self):
        self.kill_at_each(names("zookeeper")
                          + (names("beam") if drill.LONG else []))


class TestLife(PointCase):
    """A process dies, and its successor too, at each step of its start."""
    scenarios = ("life",)

    def test_each(self):
        running = self.load()
        for n, (name, way) in enumerate(strikes(names("life"))):
            self.goes_on()
            if name.startswith("RECEIVER"):
                def provoke():
                    self.server.kill_receiver(n % 3)
            else:
                def provoke():
                    self.server.kill_worker(self.data_sources[n % 4])
            self.strike(name, way, provoke)
        self.goes_on()
        self.finish(running)


class ReloadingCase(PointCase):
    """Each reload adds, changes and removes a dataSource."""
    data_sources = ["same", "changed"]

    def setUp(self):
        super().setUp()
        self.reloads = 0

    def reload(self):
        """Whether it becomes good depends on who is killed meanwhile."""
        self.reloads += 1
        document = self.document(["same", f"added{self.reloads}"])
        document["dataSources"].append(drill.data_source(
            "changed", dimensions=["id", f"d{self.reloads}"]))
        try:
            self.server.reload(document)
        except OSError:
            pass    # the supervisor itself was killed

    def check_a_reload(self):
        """Whatever came of those before."""
        self.reloads += 1
        ds = f"added{self.reloads}"
        ok, text = self.server.reload(
            self.document(["same", "changed", ds]))
        self.assertTrue(ok, text)
        self.assertEqual(
            self.server.post(ds, harness.events(5)).sent, 5)


class TestReload(ReloadingCase):
    scenarios = ("reload",)

    def test_each(self):
        running = self.load()
        for name, way in strikes(names("reload")):
            self.goes_on()
            self.strike(name, way, self.begin)
            self.asked.join()
        self.check_a_reload()
        self.finish(running)

    def begin(self):
        """In the background: a stopped process would hold it up."""
        self.asked = threading.Thread(target=self.reload)
        self.asked.start()


class TestSupervisor(ReloadingCase):
    """It is killed at each step of its start, of a reload and of its stop."""
    scenarios = ("supervisor",)

    def test_each(self):
        running = self.load()
        for name, way in strikes(names("supervisor")):
            self.goes_on()
            self.strike(name, way, lambda: self.provoke(name))
        self.goes_on()
        self.check_a_reload()
        self.finish(running)

    def provoke(self, name):
        if name == "REAPED":
            harness.kill(self.server.worker_pid("same"))
        elif name.startswith("RELOAD"):
            threading.Thread(target=self.reload, daemon=True).start()
        elif name.startswith("STOP"):
            self.server.process.terminate()
        else:
            self.server.kill_all()
            self.server.spawn()


class ChainCase(PointCase):
    """What happens seldom: all its points are armed at once, so that each
    successor is killed one step further on; in the long form, each alone."""
    data_sources = ["a"]

    def chain(self, which, provoke, check):
        for n, chosen in enumerate([which] + (
                [[name] for name in which] if drill.LONG else [])):
            for name in chosen:
                self.faults.kill(name)
            events = harness.events(60, run=f"r{n}", at=self.at())
            provoke(events)
            for name in chosen:
                self.faults.await_hit(name, 60)
            with told(chosen, "one"):
                check(events)
            if drill.LONG:
                self.server.restart()   # so that no death waits for others
        if drill.LONG:
            for name in which:
                events = harness.events(60, run=name, at=self.at())
                self.strike(name, "all", lambda: provoke(events))
                with told(name, "all"):
                    check(events)

    def at(self):
        return None

    def await_accounts(self, seconds=60, **wanted):
        def are_there():
            a = self.server.accounts("a")
            found = {k: a[k] for k in wanted}
            assert found == wanted and a["spool"] + a["inRings"] == 0, a
            return True
        wait_for(are_there, f"accounts {wanted}", seconds)

    def post(self, events, **how):
        answer = self.server.post("a", events, **how)
        self.assertEqual(answer.status, 200, answer)


class TestDead(ChainCase):
    scenarios = ("dead",)
    how = dict(segment="SECOND", window="PT1S")
    properties = {"druidBeam.firehoseGracePeriod": "PT0S"}

    def test_each(self):
        self.sum = 0
        self.druid.fault("overlord-away")
        self.chain(names("dead"), lambda e: self.post(e, is_async=True),
                   self.check_dead)

    def check_dead(self, events):
        self.sum += len(events)
        self.await_accounts(received=self.sum, deadLetters=self.sum)


class TestRefused(ChainCase):
    """A row that Druid refuses becomes a dead letter alone. To the task, what
    it has refused is a chunk that it has seen, whoever dies before the spool
    knows of it."""
    scenarios = ("refused",)

    def test_each(self):
        self.wanted, self.bad = [], 0
        self.druid.fault("bad-row", text="poison")
        self.chain(names("refused"), self.provoke, self.check_refused)

    def provoke(self, events):
        for e in events[7], events[30]:
            e["page"] = "poison"
        self.druid.fault("drop", count=1)   # so that something is skipped
        self.post(events, is_async=True)

    def check_refused(self, events):
        self.bad += 2
        self.wanted += [e["id"] for e in events if e["page"] != "poison"]
        self.await_accounts(deadLetters=self.bad, sent=len(self.wanted))
        self.check_ids(self.druid, "a", self.wanted)
        # a chunk goes out once more under a sequence that was refused, since
        # nobody is left who knows; it is not lost by it
        self.assertLessEqual(set(self.druid.violations()),
                             {"lostAfterError", "sequenceBackwards"})


class TestArchive(ChainCase):
    scenarios = ("archive",)
    properties = {"late.policy": "archive", "archive.sealPeriod": "PT0.1S"}

    def setUp(self):
        super().setUp()
        self.wanted = []

    def at(self):
        return time.time() - 5 * DAYS

    def test_each(self):
        self.chain(names(*self.scenarios), self.provoke, self.check_archived)

    def provoke(self, events):
        self.post(events)

    def check_archived(self, events):
        self.wanted += drill.ids(events)
        self.await_accounts(received=len(self.wanted),
                            archived=len(self.wanted))
        self.assertEqual(
            sorted(drill.ids(archive.rows_of(self.server, "a"))),
            sorted(self.wanted))


class TestAdopt(TestArchive):
    """What missed its interval is late."""
    scenarios = ("adopt",)
    how = dict(segment="SECOND", window="PT1S")
    properties = dict(TestArchive.properties,
                      **{"druidBeam.firehoseGracePeriod": "PT0S"})

    def at(self):
        return None

    def provoke(self, events):
        self.druid.fault("overlord-away")
        self.post(events, is_async=True)


class TestAppend(ChainCase):
    scenarios = ("append",)
    properties = {"late.policy": "append", "late.appendPeriod": "PT0.05S"}
    druid_options = ("--batch-delay", "20")

    def at(self):
        return time.time() - 5 * DAYS

    def test_each(self):
        self.wanted = []
        self.chain(names("append"), self.post, self.check_appended)

    def check_appended(self, events):
        self.wanted += drill.ids(events)
        self.await_accounts(appended=len(self.wanted))
        self.check_ids(self.druid, "a", self.wanted)
        self.check_violations(self.druid)


class TestAppendDelivery(TestAppend):
    """All events by batch tasks."""
    properties = {"delivery.mode": "append", "append.period": "PT0.05S"}

    def at(self):
        return None

    def test_each(self):
        self.wanted = []
        self.chain(["PARCEL_PLANNED", *names("append"), "PARCEL_DONE"],
                   self.post, self.check_appended)


class TestReroute(TestAppendDelivery):
    """What waits for realtime tasks when delivery.mode becomes append."""
    scenarios = ("reroute",)

    def test_each(self):
        self.wanted = []
        self.chain(names("reroute"), self.provoke, self.check_appended)

    def test_who_waits(self):
        """For realtime tasks hears at once that the events go another way, and
        by whoever comes after a worker that dies of it."""
        self.wanted = []
        for name in names("reroute"):
            events = harness.events(60, run=name)
            with self.subTest(name), \
                    concurrent.futures.ThreadPoolExecutor() as pool:
                self.faults.kill(name)
                self.begin_waiting()
                waits = pool.submit(self.server.post, "a", events)
                self.go_on(events)
                self.faults.await_hit(name, 60)
                answer = waits.result(30)
                self.assertEqual((answer.status, answer.sent), (200, 60))
                self.check_appended(events)

    def begin_waiting(self):
        self.druid.fault("no-slots")
        self.mode("push")

    def go_on(self, events):
        wait_for(lambda: self.server.accounts("a")["spool"] == len(events))
        self.mode("append")
        self.druid.request(
            "POST", "/druid/indexer/v1/datasources/a/shutdownAllTasks")
        self.druid.fault("none")

    def provoke(self, events):
        self.begin_waiting()
        for n in range(0, len(events), 20):
            self.post(events[n:n + 20], is_async=True)
        self.go_on(events)

    def mode(self, mode):
        document = self.document()
        document["properties"]["delivery.mode"] = mode
        self.server.reload(document)


class TestChoose(TestAppendDelivery):
    """The same by delivery.mode auto, since Druid has become another one."""
    scenarios = ("choose",)
    properties = {"append.period": "PT0.05S"}

    def test_each(self):
        self.wanted = []
        self.chain(names("choose"), self.provoke, self.check_appended)

    def provoke(self, events):
        self.druid.fault("no-slots")
        for n in range(0, len(events), 20):
            self.post(events[n:n + 20], is_async=True)
        wait_for(lambda: self.server.accounts("a")["spool"] == len(events))
        self.druid.druid("31.0.1", kafka=False)

    def check_appended(self, events):
        self.await_mode("append")
        self.druid.request(
            "POST", "/druid/indexer/v1/datasources/a/shutdownAllTasks")
        self.druid.fault("none")
        super().check_appended(events)
        self.druid.druid("30.0.1", kafka=False)
        self.await_mode("push")

    def await_mode(self, mode):
        def there():
            said = self.server.data_source("a")["beams"] or {}
            assert said.get("delivery", {}).get("mode") == mode, said
            return True
        wait_for(there, f"delivery {mode}", 60)


class TestMove(ChainCase):
    """Batches of any time whose interval passes while Druid is away."""
    scenarios = ("move",)
    how = dict(segment="SECOND", window="PT1S")
    properties = {"task.type": "index_realtime_appenderator",
                  "druidBeam.firehoseGracePeriod": "PT1S"}
    druid_options = ("--handoff-delay", "10")

    def test_each(self):
        self.wanted = []
        self.chain(names("move"), self.provoke, self.check_moved)

    def provoke(self, events):
        self.druid.fault("overlord-away")
        time.sleep(1.1)     # an interval without tasks
        self.post(events, is_async=True)
        time.sleep(2.5)     # and it is over
        self.druid.fault("none")

    def check_moved(self, events):
        self.wanted += drill.ids(events)
        self.check_ids(self.druid, "a", self.wanted, seconds=60)
        self.check_whole(self.server, self.druid, killed=True)


SCENARIOS = [c for c in list(globals().values())
             if isinstance(c, type) and hasattr(c, "scenarios")]


if __name__ == "__main__":
    drill.main()
