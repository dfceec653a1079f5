"""Realtime tasks that events are pushed to: Druid up to 30."""

import calendar
import json
import os
import random
import signal
import subprocess
import time
import urllib.request

from cluster import Failure, await_true
from daemon import BIN, SUMS, period_spec, typed_spec, wide_spec
from scene import SETTLE_SECONDS, VISIBLE_SECONDS, case

OPEN_SECONDS = 80  # then as much is left of the window of wide_spec
LATE_SECONDS = 240
PARTITIONS, REPLICANTS = 2, 2
ALL_SLOTS = 16  # of both MiddleManagers: nobody else's task runs
KILLS, KILLS_QUICK = 10, 3
AHEAD = 6  # requests that may be sent before the next kill


@case("plain", slots=2)
def plain(run):
    with run.daemon() as tranqd:
        run.begin(tranqd)
        run.await_visible(tranqd)
        run.check(tranqd)
        run.check_rows()


@case("replicants", slots=8)
def replicants(run):
    run.partitions, run.replicants = PARTITIONS, REPLICANTS
    with run.daemon(task_partitions=PARTITIONS,
                    task_replicants=REPLICANTS) as tranqd:
        run.begin(tranqd)
        run.await_visible(tranqd)
        run.check(tranqd)
        run.notes.append(f"{PARTITIONS} partitions, {REPLICANTS} replicants")


def kill_often(run, tranqd, times):
    """Once before there is a task, then wherever the load has come to."""
    pid = await_true(
        lambda: (s := tranqd.source())["counters"]["spoolEvents"] > 0
        and s["worker"]["pid"], "events in the spool", SETTLE_SECONDS,
        tranqd.where)
    requests = len(run.load.requests)
    marks = sorted(random.sample(range(1, requests),
                                 min(times, requests) - 1))
    for mark in [0, *marks]:
        run.load.allow(mark + AHEAD)
        run.load.await_answers(mark, VISIBLE_SECONDS)
        os.kill(pid, signal.SIGKILL)
        pid = tranqd.await_successor(pid)
    run.load.allow(requests)
    return 1 + len(marks)


@case("killed", slots=2)
def killed(run):
    with run.daemon() as tranqd:
        run.begin(tranqd, allow=AHEAD)
        kills = kill_often(run, tranqd, KILLS_QUICK if run.quick else KILLS)
        run.await_visible(tranqd)
        run.check(tranqd)
        restarts = tranqd.source()["worker"]["restarts"]
        if restarts != kills:
            raise Failure(f"{kills} kills, {restarts} restarts; "
                          f"{tranqd.where()}")
        run.notes.append(f"{kills} times kill -9")


@case("two-instances", slots=2)
def two_instances(run):
    with run.daemon() as one, run.daemon() as two:
        run.begin(one, two)
        run.await_visible(one, two)
        run.check(one, two)
        sent = [d.source()["accounts"]["sent"] for d in (one, two)]
        if 0 in sent:
            raise Failure(f"one instance has sent nothing: {sent}")
        run.notes.append(f"{sent[0]} + {sent[1]} by two instances")


@case("no-zookeeper", slots=2)
def no_zookeeper(run):
    with run.daemon(druid_overlord_url=run.druid.overlord,
                    zookeeper_connect="") as tranqd:
        run.begin(tranqd)
        run.await_visible(tranqd)
        run.check(tranqd)


@case("smile", slots=2)
def smile(run):
    with run.daemon(serialization_format="smile") as tranqd:
        run.begin(tranqd)
        run.await_visible(tranqd)
        run.check(tranqd)
        run.check_rows()


@case("typed", slots=2)
def typed(run):
    """What passes through to the task does there what it should."""
    with run.daemon(typed_spec, serialization_format="smile") as tranqd:
        run.begin(tranqd)
        run.await_visible(tranqd)
        run.check(tranqd)
        kinds = dict(run.druid.sql(
            "SELECT COLUMN_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS"
            f" WHERE TABLE_NAME = '{run.ds}'"))
        wanted = {"added": "BIGINT", "deleted": "FLOAT", "delta": "DOUBLE",
                  "page": "VARCHAR", "twice": "VARCHAR"}
        if {k: kinds.get(k) for k in wanted} != wanted:
            raise Failure(f"columns {kinds} and not {wanted}")
        rows = [json.loads(e.row) for e in run.load.events]
        wanted = [sum(r["isRobot"] for r in rows),
                  len({r["user"] * 2 for r in rows}),
                  len({(r["added"] % 90, r["deleted"] % 180) for r in rows})]
        found = run.druid.sql(
            'SELECT SUM(robots), COUNT(DISTINCT twice), COUNT(DISTINCT "at")'
            f' FROM "{run.ds}"')[0]
        if found != wanted:
            raise Failure(f"robots, users, places: {found}, not {wanted}")


WEEK = 7 * 86400


@case("any-time", slots=2)
def any_time(run):
    run.task_types = ["index_realtime_appenderator"]
    with run.daemon(task_type=run.task_types[0]) as tranqd:
        run.begin(tranqd, ages=(0, WEEK, 400 * 86400, -86400))
        run.await_visible(tranqd)
        run.check(tranqd)
        run.check_rows()


@case("other-type", slots=4)
def other_type(run):
    """task.type is changed while tasks of the first type run: their interval
    is locked, and no task fails."""
    run.task_types = ["index_realtime", "index_realtime_appenderator"]
    with run.daemon() as tranqd:
        half = len(run.lines) // 1500
        run.begin(tranqd, allow=half)
        run.load.await_answers(half, VISIBLE_SECONDS)
        await_true(lambda: run.count() > 0, "first rows", VISIBLE_SECONDS,
                   tranqd.where)
        run.load.ages = (0, WEEK)
        tranqd.reload(run.properties(task_type=run.task_types[1]))
        run.load.allow(len(run.load.requests))
        run.await_visible(tranqd)
        run.check(tranqd)
        run.check_rows()


LATE = 200


def post_late(run, tranqd):
    """Events of times that have been, when their interval is closed."""
    rows = [dict(json.loads(e.row), id=f"late-{n}", time=e.ms)
            for n, e in enumerate(run.load.events[:LATE])]
    request = urllib.request.Request(
        f"http://127.0.0.1:{tranqd.port}/v1/post/{run.ds}",
        "\n".join(map(json.dumps, rows)).encode(),
        {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        late = answer.headers["X-Tranq-Late"]
    if late != f"{LATE}; append={LATE}":
        raise Failure(f"X-Tranq-Late: {late}; {tranqd.where()}")
    run.late_sums = [LATE] + [sum(r[n] for r in rows) for n in SUMS]


@case("late", slots=2)
def late(run):
    """Late events are appended to what the realtime tasks have handed off,
    and to intervals that Druid has never seen; a worker is killed meanwhile."""
    with run.daemon(late_policy="append", late_appendPeriod="PT1S",
                    druidBeam_overlordPollPeriod="PT1S") as tranqd:
        run.begin(tranqd)
        run.await_visible(tranqd)
        run.check(tranqd)
        closes = max(e.ms for e in run.load.events) // 60000 * 60 + 120
        await_true(lambda: time.time() > closes + 1, "the window is over",
                   VISIBLE_SECONDS)
        post_late(run, tranqd)
        total = run.load.total + LATE
        await_true(lambda: tranqd.source()["beams"]["late"]["parcels"],
                   "a batch task", VISIBLE_SECONDS, tranqd.where)
        pid = tranqd.source()["worker"]["pid"]
        os.kill(pid, signal.SIGKILL)
        tranqd.await_successor(pid)
        await_true(lambda: tranqd.source()["accounts"]["appended"] == LATE,
                   f"{LATE} events appended", LATE_SECONDS, tranqd.where)
        await_true(lambda: run.count() == total, f"{total} events visible",
                   LATE_SECONDS, lambda: f"{run.count()} are")
        run.check_totals()
        run.notes.append(f"{LATE} appended")


def reindex(run, tranqd, *words):
    done = subprocess.run(
        [os.path.join(BIN, "tranqctl"), "-c", tranqd.file, "archive",
         "reindex", *words], capture_output=True, text=True, check=False,
        timeout=LATE_SECONDS)
    if done.returncode != 0:
        raise Failure(f"tranqctl archive reindex {words}: {done}")


@case("reindex", slots=1)
def archive_reindex(run):
    """Late events become files, and those come in by tranqctl; again, in the
    place of what is there."""
    with run.daemon(late_policy="archive", archive_sealPeriod="PT1S",
                    druidBeam_overlordPollPeriod="PT1S") as tranqd:
        run.begin(tranqd, ages=(WEEK,))
        run.load.join()
        total = run.load.total
        await_true(lambda: tranqd.source()["accounts"]["archived"] == total,
                   f"{total} events archived", SETTLE_SECONDS, tranqd.where)
        reindex(run, tranqd, run.ds)
        run.await_visible(tranqd)
        run.check_totals()
        run.check_rows()
        before = {s for s, _ in run.druid.segments(run.ds)}
        for start in sorted(run.load.starts()):
            end = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(
                calendar.timegm(time.strptime(start[:19],
                                              "%Y-%m-%dT%H:%M:%S")) + 60))
            reindex(run, tranqd, "--replace", run.ds, f"{start}/{end}")
        # the old ones stay loaded for a quarter of an hour, overshadowed
        await_true(lambda: {s for s, _ in
                            run.druid.segments(run.ds)} - before,
                   "segments in the place of the first", LATE_SECONDS)
        await_true(lambda: run.count() == total, f"{total} events visible",
                   LATE_SECONDS, lambda: f"{run.count()} are")
        run.notes.append("brought in, and replaced, by tranqctl")


def all_open(run, tranqd):
    """Each replicant's task runs and has what was sent."""
    source = tranqd.settled()
    return source is not None and ["open"] * run.replicants == [
        t["state"] for b in source["beams"]["beams"] for t in b["tasks"]]


def kill_worker(run):
    """In the middle of the load, once some of it has been answered."""
    pids, run.killed = run.druid.second_worker()
    if len(run.killed) != 1:
        raise Failure(f"the second MiddleManager runs {run.killed}")
    run.load.allow(len(run.load.requests))
    run.load.await_answers(2, VISIBLE_SECONDS)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    run.notes.append("a MiddleManager and its peon killed after "
                     f"{run.load.answered} answers")


def check_survivor(run, tranqd):
    """One task is lost, and the other one has all."""
    run.load.await_answers(len(run.load.requests), VISIBLE_SECONDS)
    source = await_true(tranqd.settled, "the spool is empty", VISIBLE_SECONDS,
                        tranqd.where)
    await_true(lambda: len(run.druid.holders(run.ds)) == 1,
               "the Broker asks the survivor alone", VISIBLE_SECONDS,
               lambda: f"{run.druid.holders(run.ds)}; {run.where(tranqd)}")
    run.await_visible(tranqd)
    run.check_totals()
    run.check_rows()
    run.check_tasks()
    run.check_accounts([source])
    lost = source["counters"]["tasksLost"]
    if lost != len(run.killed):
        raise Failure(f"killed were {run.killed}, and tasksLost is {lost}; "
                      f"{run.where(tranqd)}")


@case("worker-killed", slots=ALL_SLOTS)
def worker_killed(run):
    """A MiddleManager and the one replicant that it runs die under load, in
    the middle of small batches that either may have first; the other replicant
    gets all events, and hands them over. They are of one interval: the tasks
    of another one would have nowhere to run."""
    run.replicants = REPLICANTS
    with run.daemon(wide_spec, task_replicants=REPLICANTS,
                    tranquility_maxBatchSize=100,
                    druidBeam_firehoseRetryPeriod="PT30S") as tranqd:
        await_true(lambda: 5 < time.time() % 60 < 15, "a minute begins", 60)
        run.begin(tranqd, allow=1, now_ms=time.time_ns() // 1000000)
        await_true(lambda: run.count() > 0 and all_open(run, tranqd),
                   "first rows, and all tasks run", OPEN_SECONDS,
                   lambda: run.where(tranqd))
        run.first_s = run.elapsed()
        try:
            kill_worker(run)
            check_survivor(run, tranqd)
        finally:
            run.druid.mend()


@case("period", slots=2)
def period(run):
    """Intervals of a zone and an origin: the tasks are for them, and Druid's
    own segments in the tasks too, else events would be thrown away."""
    with run.daemon(period_spec) as tranqd:
        run.begin(tranqd)
        run.load.interval_ms = 120000, 1577836830000
        run.await_visible(tranqd)
        run.check(tranqd)
        run.check_rows()
    run.notes.append("intervals start at " + ", ".join(
        sorted(run.load.starts())))
