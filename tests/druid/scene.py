"""One case on its way: a tranqd, its load, and what Druid has to say.

    @case("plain", slots=2)
    def plain(run):
        with run.daemon() as tranqd:
            run.begin(tranqd)
            run.await_visible(tranqd)
            run.check(tranqd)
"""

import json
import sys
import threading
import time
import traceback
import uuid

from cluster import Failure, Refused, await_true
from daemon import DIMENSIONS, SUMS, Daemon, spec
from load import Load

SLOT_SECONDS = 240  # tasks of the cases before have to end
VISIBLE_SECONDS = 150
SETTLE_SECONDS = 60
# interval, windowPeriod, firehoseGracePeriod, then publishing and loading
HAND_OFF_SECONDS = 60 + 60 + 20 + 120
CASES = {}

TOTALS = ('SELECT COUNT(*), SUM("count"), SUM(added), SUM(deleted),'
          ' SUM(delta), COUNT(DISTINCT id) FROM "{}"')


class Run:
    """What a case needs, and what it has found out."""

    mode = "push"

    def __init__(self, name, druid, lines, options):
        self.case = name
        self.druid = druid
        self.lines = lines
        self.quick = options.quick
        self.keep = options.keep
        self.ds = f"druid_{name}_{uuid.uuid4().hex[:8]}".replace("-", "_")
        self.load = None
        self.late_sums = [0, 0, 0, 0]  # count, added, deleted, delta
        self.partitions = self.replicants = 1
        self.task_types = ["index_realtime"]
        self.killed = []  # ids of tasks that do not end well
        self.first_s = self.all_s = self.hand_off_s = None
        self.notes = []
        self.error = None
        self.thread = None
        druid.seen.add(self.ds)

    # ---- tranqd and the load ----

    def properties(self, **properties):
        properties = {k.replace("_", "."): v for k, v in properties.items()}
        properties.setdefault("zookeeper.connect", self.druid.zk)
        return properties

    def daemon(self, make_spec=spec, **properties):
        return Daemon(self.ds, self.properties(**properties), self.keep,
                      make_spec)

    def await_slots(self, count):
        def enough():
            free = self.druid.free_slots()
            return sum(free) >= count and min(free) >= count // 2
        await_true(enough, f"{count} free task slots", SLOT_SECONDS,
                   lambda: f"the Overlord's log is in {self.druid.logs}")

    def begin(self, *daemons, allow=None, **how):
        """allow: so many requests, or such a share of them, for now."""
        self.load = Load(self.ds, self.lines, [d.port for d in daemons],
                         **how)
        if isinstance(allow, float):
            allow = max(int(allow * len(self.load.requests)), 1)
        if allow is not None:
            self.load.allow(allow)
        self.load.start()

    def elapsed(self):
        return time.monotonic() - self.load.began

    def count(self):
        rows = self.druid.sql(f'SELECT SUM("count") FROM "{self.ds}"')
        return rows[0][0] or 0 if rows else 0

    def await_visible(self, *daemons):
        """Until SQL shows all of them; more than all is wrong at once."""
        def all_there():
            count = self.count()
            if count > 0 and self.first_s is None:
                self.first_s = self.elapsed()
            if self.load.error:
                raise Failure(f"POST: {self.load.error}; "
                              f"{self.where(*daemons)}")
            return count >= self.load.total
        await_true(all_there, f"{self.load.total} events visible",
                   VISIBLE_SECONDS,
                   lambda: f"{self.count()} are; {self.where(*daemons)}")
        self.all_s = self.elapsed()
        self.load.join()

    def where(self, *daemons):
        return "; ".join([d.where() for d in daemons] + [
            f"Druid's logs are in {self.druid.logs} and "
            f"{self.druid.env['DRUID_DIR']}/var/task*"])

    # ---- what has to hold ----

    def check(self, *daemons):
        """All that can be seen while the tasks run."""
        sources = [await_true(d.settled, "the spool is empty", SETTLE_SECONDS,
                              d.where) for d in daemons]
        try:
            self.check_tasks()
            self.await_replicants()
            self.check_totals()
            self.check_accounts(sources)
        except Failure as e:
            raise Failure(f"{e}; {self.where(*daemons)}") from None

    def check_totals(self):
        rows = self.druid.sql(TOTALS.format(self.ds))
        sums = [a + b for a, b in zip(self.load.sums(), self.late_sums)]
        wanted = [sums[0], *sums, sums[0]]
        if rows is None or rows[0] != wanted:
            raise Failure("rows, count, added, deleted, delta, ids: "
                          f"{rows and rows[0]} and not {wanted}; "
                          f"{self.difference()}")

    def difference(self):
        rows = self.druid.sql(
            f'SELECT id, SUM("count") FROM "{self.ds}" GROUP BY id') or []
        found = dict(rows)
        missing = [e.id for e in self.load.events if e.id not in found]
        twice = [i for i, n in found.items() if n > 1]
        return (f"{len(missing)} missing {missing[:3]}, "
                f"{len(twice)} more than once {twice[:3]}")

    def check_accounts(self, sources):
        """tranqd says of itself what Druid says."""
        accounts = [s["accounts"] for s in sources]
        for a in accounts:
            if not a["holds"] or a["deadLetters"] or a["quarantined"]:
                raise Failure(f"accounts: {a}")
        sent = sum(a["sent"] for a in accounts)
        if sent != self.load.total:
            raise Failure(f"{self.load.total} events, and sent is {sent}")

    def check_tasks(self):
        """Each interval's tasks once, none more, and no replacement."""
        tasks = self.druid.tasks(self.ds)
        found = sorted(t["id"] for t in tasks)
        if self.task_types != ["index_realtime"]:
            types = sorted({t["type"] for t in tasks})
            if types != self.task_types or any("_r1" in i for i in found):
                raise Failure(f"tasks {found}, not {self.task_types}")
            return
        wanted = sorted(
            f"index_realtime_{self.ds}_{start}_{p}_{r}"
            for start in self.load.starts()
            for p in range(self.partitions) for r in range(self.replicants))
        if found != wanted:
            raise Failure(f"tasks {found} and not {wanted}")

    def await_replicants(self):
        """Until every replicant has all of its partition's events: a task
        indexes them some time after it has taken them, and the broker asks
        any one of the replicants."""
        wanted = self.load.sums()

        def in_tasks():
            groups = {}
            for task in self.druid.tasks(self.ds):
                partition, _ = task["id"].rsplit("_", 1)
                groups.setdefault(partition, []).append(
                    self.druid.task_sums(task, self.ds))
            return groups

        def all_there():
            groups = in_tasks()
            whole = [sum(column) for column in
                     zip(*(sums[0] for sums in groups.values()))]
            if whole[0] > wanted[0]:
                raise Failure(f"the tasks have {groups}, and that is more "
                              f"than {wanted}")
            return whole == wanted and groups if all(
                s == sums[0] for sums in groups.values()
                for s in sums) else None

        groups = await_true(
            all_there, f"the tasks have {wanted} together", SETTLE_SECONDS,
            lambda: f"they have {in_tasks()}")
        counts = {g: sums[0][0] for g, sums in groups.items()}
        if not self.quick and len(self.load.starts()) == 1 and \
                0 in counts.values():
            raise Failure(f"events are not spread over partitions: {counts}")

    def check_rows(self):
        """Not the sums alone: every value of every row."""
        columns = ["TIMESTAMP_TO_MILLIS(__time)"]
        columns += [f'"{name}"' for name in DIMENSIONS + SUMS]
        rows = self.druid.sql(
            f'SELECT {", ".join(columns)} FROM "{self.ds}"') or []
        wanted = self.load.rows(DIMENSIONS, SUMS)
        for row in rows:
            if wanted.get(row[1]) != row:
                raise Failure(f"row {row} and not {wanted.get(row[1])}")

    # ---- hand-off, behind the following cases ----

    def not_succeeded(self):
        """Tasks that need not end well."""
        return self.killed

    def await_hand_off(self):
        self.thread = threading.Thread(target=self._hand_off, daemon=True)
        self.thread.start()

    def _hand_off(self):
        try:
            left = HAND_OFF_SECONDS - self.elapsed() + self.all_s
            await_true(
                lambda: self.druid.handed_off(self.ds, self.not_succeeded()),
                "hand-off", left, lambda: self.druid.hand_off_state(self.ds))
            self.hand_off_s = self.elapsed()
            self.check_totals()
        except (Failure, Refused, OSError, KeyError) as e:
            self.error = f"hand-off: {e}"

    def report(self):
        if self.error:
            print(f"FAIL  {self.case:14} {self.error}", flush=True)
            return
        load = self.load
        notes = "".join(f", {n}" for n in self.notes)
        print(f"ok    {self.case:14} {load.total} events in "
              f"{len(load.requests)} requests, {len(load.starts())} "
              f"interval(s){notes}; seconds from the first POST: first row "
              f"visible {self.first_s:.1f}, all {self.all_s:.1f}, handed off "
              f"{self.hand_off_s:.1f}", flush=True)


def case(name, slots, kind=Run, long=False, alone=False):
    """slots: of tasks that have to be free. long: not with --quick. alone:
    what it does to Druid would be felt by the cases before."""
    def add(function):
        function.slots = slots
        function.kind = kind
        function.long = long
        function.alone = alone
        CASES[name] = function
        return function
    return add


def modes(druid):
    """Of delivery that this Druid has, and is tried for."""
    if druid.major < 31:
        return {"push"}
    return {"append", "pull"} if druid.kafka else {"append"}


def run_case(name, druid, lines, options):
    function = CASES[name]
    run = function.kind(name, druid, lines, options)
    print(f"      {name} ...", file=sys.stderr, flush=True)
    try:
        run.await_slots(function.slots)
        function(run)
        run.await_hand_off()
    except (Failure, Refused, OSError) as e:
        run.error = str(e)
    except Exception:  # pylint: disable=broad-except
        run.error = traceback.format_exc()
    if run.error and not run.keep:
        run.druid.forget(run.ds)
    return run
