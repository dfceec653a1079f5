"""Druid's own Kafka supervisors pull from tranqd's feed: Druid 31 and newer.

tranqd makes the supervisor; what Druid has then is compared with what was
sent, whatever died meanwhile. A case ends with the supervisor's end: its tasks
publish what they have read, and historicals take it over.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from cluster import Failure, Refused, await_true, free_port
from daemon import BIN, DIMENSIONS, ROOT, spec
from scene import SETTLE_SECONDS, VISIBLE_SECONDS, Run, case

sys.path.insert(0, os.path.join(ROOT, "tests", "helper"))
import certificates  # noqa: E402

LONG_TASKS = "PT20M"
SHORT_TASKS = "PT1M"
AHEAD = 6  # requests that may be sent before the next kill
KILLS, KILLS_QUICK = 10, 3
TRIM_SECONDS = 420
DRAIN_SECONDS = 300
DISCOVERED_SECONDS = 420  # Druid reads a new partition after minutes
STORM_SECONDS, STRIKE_SECONDS = 360, 7
SMALL = 40, 80  # events of a request, for there to be many
PROBES, PROBES_QUICK = 400, 100
PROBE_PAUSE = 0.05


def pull_spec(name):
    """Supervisors that look around often, for tasks that live for minutes."""
    whole = spec(name)
    del whole["tuningConfig"]["windowPeriod"]
    whole["tuningConfig"]["offsetFetchPeriod"] = "PT5S"
    whole["ioConfig"] = {"startDelay": "PT1S", "period": "PT5S"}
    return whole


class PullRun(Run):
    mode = "pull"
    task_duration = LONG_TASKS

    def __init__(self, *args):
        super().__init__(*args)
        self.ports = free_port(), free_port()  # they stay the same
        self.may_fail = False  # tasks, when an Overlord dies

    def properties(self, **properties):
        return super().properties(**{
            "delivery_mode": "pull", "http_port": self.ports[0],
            "pull_listen": f"127.0.0.1:{self.ports[1]}",
            "pull_taskDuration": self.task_duration, **properties})

    def daemon(self, make_spec=pull_spec, **properties):
        return super().daemon(make_spec, **properties)

    def check(self, *daemons):
        """All that was sent is there once, and each value is as it was."""
        try:
            self.check_totals()
            self.check_rows()
            self.check_accounts([d.source() for d in daemons])
        except Failure as e:
            raise Failure(f"{e}; {self.where(*daemons)}") from None

    def check_accounts(self, sources):
        accounts = [s["accounts"] for s in sources]
        for a in accounts:
            if not a["holds"] or a["deadLetters"] or a["quarantined"]:
                raise Failure(f"accounts: {a}")
        received = sum(a["received"] for a in accounts)
        if received != self.load.total:
            raise Failure(f"{self.load.total} events, and received is "
                          f"{received}")

    def rows(self):
        """Of all tasks that read or publish."""
        status = self.druid.supervisor(self.ds)
        return status["activeTasks"] + status["publishingTasks"]

    def await_reader(self, tranqd, other_than=None):
        """The id and the peon's pid of the task that reads, once its
        supervisor has heard of it (before, Druid would kill it, or leave it
        alone to read for ever, when the supervisor ends)."""
        def reading():
            with contextlib.suppress(Refused):
                for row in self.druid.supervisor(self.ds)["activeTasks"]:
                    pid = self.druid.peon(row["id"])
                    if pid and row["startTime"] and row["id"] != other_than:
                        return row["id"], pid
        return await_true(reading, "a task that reads", VISIBLE_SECONDS,
                          lambda: self.where(tranqd))

    def await_hand_off(self):
        def knows():
            # none at first, when it was just made anew
            rows = self.rows()
            return rows and all(r["startTime"] for r in rows)
        await_true(knows, "the supervisor knows its tasks", SETTLE_SECONDS,
                   self.where)
        self.druid.order(self.ds, "terminate")
        super().await_hand_off()

    def not_succeeded(self):
        """Tasks that need not end well."""
        if not self.may_fail:
            return self.killed
        return [t["id"] for t in self.druid.tasks(self.ds)
                if t["statusCode"] == "FAILED"]


def pull_case(name, slots=2, **how):
    return case(f"pull-{name}", slots, PullRun, **how)


def per_cent(values, share):
    return values[min(len(values) * share // 100, len(values) - 1)]


# ---- the cases ----


@pull_case("plain")
def plain(run):
    with run.daemon() as tranqd:
        run.begin(tranqd)
        run.await_visible(tranqd)
        run.check(tranqd)


@pull_case("latency")
def latency(run):
    """From the answer to a POST until SQL has it, once a task reads: requests
    of one event, one after the other."""
    run.lines = run.lines[:PROBES_QUICK if run.quick else PROBES]
    with run.daemon() as tranqd:
        run.begin(tranqd, allow=1, connections=1, batch=(1, 1),
                  pause=PROBE_PAUSE)
        await_true(run.count, "the first row", VISIBLE_SECONDS,
                   lambda: run.where(tranqd))
        run.first_s = run.elapsed()
        run.load.allow(len(run.load.requests))
        seen = []

        def all_there():
            count = run.count()
            seen.extend([time.monotonic()] * (count - len(seen)))
            return count >= run.load.total
        await_true(all_there, f"{run.load.total} events visible",
                   VISIBLE_SECONDS, lambda: run.where(tranqd), pause=0)
        run.await_visible(tranqd)
        run.check(tranqd)
    taken = sorted(s - a for s, a in zip(seen[1:], run.load.answers[1:]))
    run.notes.append("ms from answer to query: " + ", ".join(
        f"p{share} {1000 * per_cent(taken, share):.0f}"
        for share in (50, 90, 99)) + f", most {1000 * taken[-1]:.0f}")
    if per_cent(taken, 50) > 1:
        raise Failure(f"more than a second: {run.notes}")


def kill_often(run, pid_of, times):
    """At places in the load by chance. pid_of: of whom to kill; the next one
    is awaited."""
    requests = len(run.load.requests)
    marks = sorted(random.sample(range(1, requests),
                                 min(times, requests) - 1))
    pid = None
    for mark in [1, *marks]:
        run.load.allow(mark + AHEAD)
        run.load.await_answers(mark, VISIBLE_SECONDS)
        pid = await_true(lambda: (p := pid_of()) != pid and p,
                         "the next one", SETTLE_SECONDS)
        os.kill(pid, signal.SIGKILL)
    run.load.allow(requests)
    return 1 + len(marks)


def kills(run):
    return KILLS_QUICK if run.quick else KILLS


def kill_workers(run, **how):
    """All arrives though workers die. how: of Run.begin."""
    with run.daemon() as tranqd:
        run.begin(tranqd, allow=AHEAD, keys=True, batch=SMALL, **how)
        times = kill_often(run, tranqd.worker_pid, kills(run))
        run.await_visible(tranqd)
        run.check(tranqd)
        restarts = tranqd.source()["worker"]["restarts"]
        if restarts < times:
            raise Failure(f"{times} kills, {restarts} restarts; "
                          f"{tranqd.where()}")
    run.notes.append(f"the worker killed {times} times")


@pull_case("worker-killed")
def worker_killed(run):
    kill_workers(run)


@pull_case("feed-killed")
def feed_killed(run):
    """While Druid's tasks read."""
    with run.daemon() as tranqd:
        run.begin(tranqd, allow=AHEAD, batch=SMALL)
        run.await_reader(tranqd)
        times = kill_often(run, tranqd.feed_pid, kills(run))
        run.await_visible(tranqd)
        run.check(tranqd)
    run.notes.append(f"the feed killed {times} times")


@pull_case("restarted")
def restarted(run):
    """The client tries again until it is answered, with its keys."""
    with run.daemon() as tranqd:
        run.begin(tranqd, allow=0.3, keys=True, batch=SMALL)
        run.await_reader(tranqd)
        requests = len(run.load.requests)
        tranqd.stop()
        tranqd.start()
        run.load.allow(requests * 2 // 3)
        run.load.await_answers(requests // 2, VISIBLE_SECONDS)
        tranqd.kill()
        tranqd.start()
        run.load.allow(requests)
        run.await_visible(tranqd)
        run.check(tranqd)
    run.notes.append("tranqd stopped, and killed")


@pull_case("task-killed")
def task_killed(run):
    """The peon under kill -9 while it reads: its successor reads again what
    was not published."""
    with run.daemon() as tranqd:
        run.begin(tranqd, allow=0.5, batch=SMALL)
        task, pid = run.await_reader(tranqd)
        run.load.await_answers(1, VISIBLE_SECONDS)
        await_true(lambda: run.count() > 0, "first rows", VISIBLE_SECONDS)
        os.kill(pid, signal.SIGKILL)
        run.killed.append(task)
        run.load.allow(len(run.load.requests))
        run.await_reader(tranqd, other_than=task)
        run.await_visible(tranqd)
        run.check(tranqd)
    run.notes.append("the reading task killed")


@pull_case("overlord-killed", alone=True)
def overlord_killed(run):
    run.may_fail = True
    with run.daemon() as tranqd:
        run.begin(tranqd, allow=0.5, batch=SMALL)
        run.await_reader(tranqd)
        run.load.await_answers(1, VISIBLE_SECONDS)
        os.kill(run.druid.service_pid("coordinator"), signal.SIGKILL)
        run.load.allow(len(run.load.requests))
        run.load.await_answers(len(run.load.requests), VISIBLE_SECONDS)
        run.druid.mend()
        run.await_reader(tranqd)
        run.await_visible(tranqd)
        run.check(tranqd)
    run.notes.append("the Overlord killed")


@pull_case("twice")
def twice(run):
    """Each request comes twice with its Idempotency-Key, while workers die."""
    kill_workers(run, twice=True)
    run.notes.append("all sent twice")


@pull_case("handed-off", long=True)
def handed_off(run):
    """Tasks of a minute: segments are published and handed off while events
    come, and the log is trimmed behind them. Then worker and tranqd die."""
    run.task_duration = SHORT_TASKS
    with run.daemon() as tranqd:
        run.begin(tranqd, allow=2, keys=True, batch=SMALL)
        requests = len(run.load.requests)
        run.await_reader(tranqd)
        first = tranqd.pulled()["start"]

        def trimmed():
            run.load.allow(min(run.load.allowed + 1, requests * 9 // 10))
            return tranqd.pulled()["start"] > first
        await_true(trimmed, "the log is trimmed", TRIM_SECONDS,
                   lambda: run.where(tranqd), pause=2)
        start = tranqd.pulled()["start"]
        run.notes.append(f"{start - first} events trimmed after "
                         f"{run.elapsed():.0f} s")
        os.kill(tranqd.worker_pid(), signal.SIGKILL)
        tranqd.kill()
        tranqd.start()
        if tranqd.pulled()["start"] < start:
            raise Failure(f"the log begins at {tranqd.pulled()}, and did at "
                          f"{start}; {run.where(tranqd)}")
        run.load.allow(requests)
        run.await_visible(tranqd)
        run.check(tranqd)


@pull_case("committed", long=True)
def committed(run):
    """By what the metadata store says the log is empty as soon as the last
    task has published, without another one behind it."""
    run.task_duration = SHORT_TASKS
    with run.druid.committed() as url, \
            run.daemon(pull_committed_url=url) as tranqd:
        run.begin(tranqd, keys=True, batch=SMALL)
        run.await_visible(tranqd)
        await_true(lambda: tranqd.source()["accounts"]["sent"]
                   == run.load.total, "all has left the log", TRIM_SECONDS,
                   lambda: run.where(tranqd), pause=1)
        run.notes.append(f"all has left the log after {run.elapsed():.0f} s")
        os.kill(tranqd.worker_pid(), signal.SIGKILL)
        run.await_reader(tranqd)  # a task of a moment is not ended well
        run.check(tranqd)


@pull_case("partitions", slots=8)
def partitions(run):
    """Two partitions, each read by two replicas."""
    with run.daemon(pull_partitions=2, task_replicants=2) as tranqd:
        run.begin(tranqd)
        run.await_visible(tranqd)
        run.await_replicants()
        run.check(tranqd)
        counts = [p["end"] - p["start"] for p in
                  tranqd.source()["beams"]["log"]["partitions"]]
        if 0 in counts or sum(counts) != run.load.total:
            raise Failure(f"the partitions have {counts} events")
        rows = run.druid.supervisor(run.ds)["activeTasks"]
        if len(rows) != 4:
            raise Failure(f"tasks {rows}, not 4")
    run.notes.append(f"{counts[0]} + {counts[1]} events")


def logged_in(folder):
    """What a tranqd needs for consumers over TLS that log in, and Druid to be
    one."""
    store = certificates.Store(folder)
    authority = store.authority("ca")
    pair = store.leaf("server", authority)
    users = store.path("users")
    with open(users, "w", encoding="ascii") as f:
        subprocess.run([os.path.join(BIN, "tranqctl"), "password", "druid"],
                       input=b"secret\n", stdout=f, check=True)
    login = ("org.apache.kafka.common.security.scram.ScramLoginModule"
             ' required username="druid" password="secret";')
    return {"pull.auth.file": users, "pull.tls": True,
            "https.certificateFile": pair.certificate,
            "https.keyFile": pair.key}, {
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "SCRAM-SHA-256",
                "sasl.jaas.config": login,
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": authority.certificate}


@pull_case("login")
def login(run):
    """Druid over TLS, with a password by SCRAM."""
    with tempfile.TemporaryDirectory(prefix="tranqd-druid-") as folder:
        properties, consumer = logged_in(folder)

        def secured(name):
            whole = pull_spec(name)
            whole["ioConfig"]["consumerProperties"] = consumer
            return whole
        with run.daemon(secured, **properties) as tranqd:
            run.begin(tranqd)
            run.await_visible(tranqd)
            run.check(tranqd)


def add_dimension(whole):
    parse = whole["dataSchema"]["parser"]["parseSpec"]
    parse["dimensionsSpec"] = {"dimensions": DIMENSIONS + ["more"]}


@pull_case("reloaded")
def reloaded(run):
    """The spec changes under load: the supervisor is updated, and its tasks
    hand over to others."""
    with run.daemon() as tranqd:
        run.begin(tranqd, allow=0.5, batch=SMALL)
        task, _ = run.await_reader(tranqd)
        add_dimension(tranqd.spec)
        tranqd.reload(run.properties())
        run.load.allow(len(run.load.requests))
        run.await_reader(tranqd, other_than=task)
        run.await_visible(tranqd)
        run.check(tranqd)
        found = run.druid.supervisor_spec(run.ds)
        dimensions = found["spec"]["dataSchema"]["dimensionsSpec"]
        if "more" not in [d["name"] for d in dimensions["dimensions"]]:
            raise Failure(f"the supervisor has {dimensions}")


@pull_case("suspended")
def suspended(run):
    """By an operator, for a while: it stays so, over a restart too; then it
    goes on where it was."""
    with run.daemon() as tranqd:
        run.begin(tranqd, allow=0.5, batch=SMALL, keys=True)
        run.await_reader(tranqd)
        run.druid.order(run.ds, "suspend")
        await_true(lambda: not run.rows(), "no task", VISIBLE_SECONDS)
        run.load.allow(len(run.load.requests))
        run.load.await_answers(len(run.load.requests), VISIBLE_SECONDS)
        tranqd.stop()
        tranqd.start()
        await_true(lambda: tranqd.supervisor().get("state") == "SUSPENDED",
                   "tranqd sees it", SETTLE_SECONDS, tranqd.where)
        if not run.druid.supervisor(run.ds)["suspended"]:
            raise Failure(f"it was resumed; {run.where(tranqd)}")
        run.druid.order(run.ds, "resume")
        run.await_visible(tranqd)
        run.check(tranqd)


@pull_case("drained")
def drain_all(run):
    """tranqctl drain ends when all is in Druid, published."""
    with run.daemon() as tranqd:
        run.begin(tranqd)
        run.load.join()
        done = subprocess.run(
            [os.path.join(BIN, "tranqctl"), "-c", tranqd.file, "drain",
             run.ds], capture_output=True, text=True, check=False,
            timeout=DRAIN_SECONDS)
        if done.returncode != 0:
            raise Failure(f"tranqctl drain: {done}; {run.where(tranqd)}")
        log = tranqd.pulled()
        if log["start"] != log["end"] or run.rows():
            raise Failure(f"{log}, {run.rows()}; {run.where(tranqd)}")
        run.notes.append(f"drained {run.elapsed():.0f} s after the first POST")
        run.await_visible(tranqd)
        run.check(tranqd)


@pull_case("spool-lost")
def spool_lost(run):
    """What Druid had read stays; what comes into the new spool comes once."""
    with run.daemon() as tranqd:
        run.begin(tranqd, allow=0.5, batch=SMALL, keys=True)
        run.await_reader(tranqd)
        half = run.load.allowed
        run.load.await_answers(half, VISIBLE_SECONDS)
        await_true(lambda: run.count() == len(run.load.events),
                   "the first half", VISIBLE_SECONDS, tranqd.where)
        first = tranqd.pulled()
        tranqd.kill()
        shutil.rmtree(os.path.join(tranqd.folder, "data"))
        tranqd.start()
        if tranqd.pulled()["start"] <= first["end"]:
            raise Failure(f"offsets come again: {tranqd.pulled()}")
        run.load.allow(len(run.load.requests))
        run.await_visible(tranqd)
        run.check_totals()
        run.check_rows()


@pull_case("spool-restored")
def spool_restored(run):
    """From a copy that Druid has read beyond: no offset comes twice, and what
    is new is not taken for what Druid has had."""
    with run.daemon() as tranqd, tempfile.TemporaryDirectory() as folder:
        data = os.path.join(tranqd.folder, "data")
        copy = os.path.join(folder, "data")
        run.begin(tranqd, allow=0.3, batch=SMALL, keys=True)
        run.await_reader(tranqd)
        run.load.await_answers(run.load.allowed, VISIBLE_SECONDS)
        tranqd.stop()
        shutil.copytree(data, copy)
        tranqd.start()
        half = len(run.load.requests) // 2
        run.load.allow(half)
        run.load.await_answers(half, VISIBLE_SECONDS)
        await_true(lambda: run.count() == len(run.load.events),
                   "the first half", VISIBLE_SECONDS, tranqd.where)
        tranqd.kill()
        shutil.rmtree(data)
        shutil.copytree(copy, data)
        tranqd.start()
        run.load.allow(len(run.load.requests))
        run.await_visible(tranqd)
        run.check_totals()
        run.check_rows()


def shares(tranqd):
    """Of how many tranqds Druid knows, as this one says that serves."""
    share = tranqd.source()["beams"].get("share") or {}
    there = [m for m in share.get("members", ()) if m["state"] == "there"]
    return len(there) if share.get("serves") else 0


def another():
    """Addresses of a second one."""
    return {"http_port": free_port(),
            "pull_listen": f"127.0.0.1:{free_port()}"}


def await_sharing(*daemons):
    for tranqd in daemons:
        await_true(lambda t=tranqd: shares(t) == len(daemons), "they share",
                   VISIBLE_SECONDS, tranqd.where)


@pull_case("two-instances", long=True, alone=True)
def two_instances(run):
    """One partition of the topic each (before Druid 34). One is away while
    Druid begins its tasks anew: the other one stands in for it, or there would
    be none. Then it is back, with what it had kept."""
    run.may_fail = True  # a partition more ends the task that reads
    with run.daemon() as one, run.daemon(**another()) as two:
        await_sharing(one, two)
        run.begin(one, two, allow=0.5, keys=True, batch=SMALL)
        run.load.await_answers(run.load.allowed, VISIBLE_SECONDS)
        await_true(lambda: run.count() == len(run.load.events),
                   "the first half", DISCOVERED_SECONDS,
                   lambda: run.where(one, two))
        run.first_s = run.elapsed()
        run.notes.append(f"both read after {run.elapsed():.0f} s")
        two.kill()
        run.druid.order(run.ds, "suspend")
        await_true(lambda: not run.rows(), "no task", VISIBLE_SECONDS,
                   one.where)
        run.druid.order(run.ds, "resume")
        began = time.monotonic()
        run.await_reader(one)
        run.notes.append("a task without the other after "
                         f"{time.monotonic() - began:.0f} s")
        two.start()
        run.load.allow(len(run.load.requests))
        run.await_visible(one, two)
        run.check(one, two)
        received = [d.source()["accounts"]["received"] for d in (one, two)]
        run.notes.append(f"{received[0]} + {received[1]} by two instances")


class Storm:
    """What may die, and does."""

    def __init__(self, run, tranqd):
        self.run, self.tranqd = run, tranqd
        self.seed = random.randrange(1 << 32)
        self.random = random.Random(self.seed)
        self.counts = {}

    def strike(self):
        act = self.random.choice([self.worker] * 5 + [self.feed] * 4 +
                                 [self.daemon, self.daemon, self.task])
        with contextlib.suppress(Refused, OSError):
            act()
            self.counts[act.__name__] = self.counts.get(act.__name__, 0) + 1

    def worker(self):
        self._kill(self.tranqd.worker_pid())

    def feed(self):
        self._kill(self.tranqd.feed_pid())

    def daemon(self):
        self.tranqd.kill()
        self.tranqd.start()

    def task(self):
        """One that reads or publishes."""
        rows = self.run.rows()
        if rows:
            self._kill(self.run.druid.peon(self.random.choice(rows)["id"]))

    def overlord(self):
        self._kill(self.run.druid.service_pid("coordinator"))
        self.run.druid.mend()

    def _kill(self, pid):
        if pid:
            os.kill(pid, signal.SIGKILL)


@pull_case("joined", alone=True)
def joined(run):
    """The second one comes when there is a supervisor, and a task that reads,
    which hands over."""
    run.may_fail = True
    with run.daemon() as one:
        run.await_reader(one)
        with run.daemon(**another()) as two:
            await_sharing(one, two)
            run.begin(one, two, keys=True, batch=SMALL)
            run.await_visible(one, two)
            run.check(one, two)


@pull_case("storm", long=True, alone=True)
def storm(run):
    """Tasks of a minute, and all that is there dies at random, while the log
    is trimmed."""
    run.task_duration = SHORT_TASKS
    run.may_fail = True
    with run.daemon() as tranqd:
        run.begin(tranqd, allow=1, keys=True, batch=SMALL)
        storm_ = Storm(run, tranqd)
        run.await_reader(tranqd)
        first = tranqd.pulled()["start"]
        requests = len(run.load.requests)
        for due in range(STORM_SECONDS):
            run.load.allow(max(requests * due // STORM_SECONDS, 1))
            if due == STORM_SECONDS // 2:
                storm_.overlord()
            elif due % STRIKE_SECONDS == 0:
                storm_.strike()
            await_true(lambda d=due: run.elapsed() > d, "a second", 60)
        run.load.allow(requests)
        run.await_visible(tranqd)
        run.check(tranqd)
        trimmed = tranqd.pulled()["start"] - first
    run.notes.append(f"killed: {storm_.counts} and the Overlord, seed "
                     f"{storm_.seed}; {trimmed} events trimmed")
