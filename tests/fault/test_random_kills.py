#!/usr/bin/env python3
"""kill -9 at random moments under load, with a real ZooKeeper and reloads in
between: nothing lost, nothing doubled; with an old Druid, which does not know
producer headers, nothing lost and no more doubled than a killed worker's
successor found in the spool.

TRANQ_KILLS says how many (make fault KILLS=1000), TRANQ_SEED by which chance
(make fault SEED=7); both are printed, with what came of them.
"""

import collections
import os
import random
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

KILLS = int(os.environ.get("TRANQ_KILLS")
            or (1000 if drill.LONG else 16))
SEED = int(os.environ.get("TRANQ_SEED") or random.SystemRandom().randrange(
    1 << 31))
ROUND = 100         # kills of one tranqd and one sandbox
FREE_DEATHS = 5     # of one child; behind them its restarts are throttled
BACK_SECONDS = 60
SUMS = ("answered", "lost", "doubled", "clientDoubled", "foreign")


class RandomKills(drill.ZooKeeperCase):
    time_bound = 120 + 6 * KILLS
    weights = dict(receiver=35, worker=40, supervisor=10, all=15)
    loads = {"sync": dict(batch=50, rate=2000),
             "late": dict(batch=100, rate=2000, **{"async": True}),
             "single": dict(batch=1, rate=200, **{"async": True}),
             "spread": dict(batch=200, rate=2000)}

    def setUp(self):
        super().setUp()
        self.chance = random.Random(SEED)
        self.kills = collections.Counter()
        self.sums = collections.Counter()
        self.reloads = self.bound = 0
        self.began = time.monotonic()

    # one round

    def document(self, *more):
        """Each reload changes `late`, and now and then adds a dataSource or
        takes it away again."""
        sources = ["sync", "single", *more, drill.data_source(
            "late", dimensions=["id", f"d{self.reloads}"])]
        spread = drill.data_source("spread", properties={
            "task.partitions": 2, "task.replicants": 2})
        return drill.config(sources + [spread], None, self.zk.connect,
                            properties={"zookeeper.timeout": "PT1S",
                                        **self.paths})

    def begin(self):
        self.druid.reset()
        self.paths["zookeeper.path"] += "+"
        self.deaths = collections.Counter()
        self.server = self.tranqd(
            self.document(), name=f"tranqd{sum(self.kills.values())}")
        self.running = [self.start_load(
            self.server, data_source=ds, compare=self.druid.url, retry=True,
            connections=4, seconds=3600, events=None, **options)
            for ds, options in self.loads.items()]

    def end(self):
        for running in self.running:
            running.stop()
        reports = [r.finish() for r in self.running]
        for report in reports:
            self.sums["answered"] += report["events"]["answered"]
            self.sums.update({k: report["compare"][k] for k in SUMS[1:]})
            self.judge(report)
        self.await_drained(self.server, seconds=BACK_SECONDS)
        self.check_accounts(self.server)
        self.check_replicants()
        self.server.stop()

    def judge(self, report):
        self.check_load(report)

    def check_replicants(self):
        """Each has the same, what the client sent twice as well."""
        self.check_violations(self.druid, killed=True)
        first, second = [collections.Counter(drill.ids(self.druid.events(
            "spread", replicant=r))) for r in (0, 1)]
        self.assertEqual(first, second)

    # one kill

    def choose(self):
        """Whom: a child that has used up its free deaths is spared by
        killing more than it, so that no restart waits."""
        kind, = self.chance.choices(list(self.weights),
                                    self.weights.values())
        if kind in ("supervisor", "all"):
            return kind, None
        which = (self.chance.choice(list(self.loads)) if kind == "worker"
                 else self.chance.randrange(2))
        if self.deaths[which] >= FREE_DEATHS:
            return self.chance.choice(["supervisor", "all"]), None
        return kind, which

    def kill(self):
        kind, which = self.choose()
        self.kills[kind] += 1
        if kind == "worker":
            self.deaths[which] += 1
            self.server.kill_worker(which)
        elif kind == "receiver":
            self.deaths[which] += 1
            self.server.kill_receiver(which)
        else:
            self.deaths.clear()
            self.kill_daemon(kind)
            self.server.start()

    def kill_daemon(self, kind):
        if kind == "all":
            self.server.kill_all()
        elif self.chance.random() < 0.5:
            self.server.kill()
        else:   # as an init system, which does not wait for its children
            self.server.process.kill()
            self.server.process.wait()
            self.server.process = None

    def await_back(self):
        """Nearly always: one in eight is followed by another at once."""
        if self.chance.randrange(8) > 0:
            wait_for(self.server._is_ready, "all serve again", BACK_SECONDS)

    def maybe_reload(self):
        if self.chance.randrange(10) > 0:
            return
        self.reloads += 1
        more = ["more"] if self.reloads % 2 else []
        ok, text = self.server.reload(self.document(*more))
        self.assertTrue(ok, text)

    def test_random_kills(self):
        try:
            while sum(self.kills.values()) < KILLS:
                self.begin()
                for _ in range(min(ROUND, KILLS - sum(self.kills.values()))):
                    self.maybe_reload()
                    time.sleep(self.chance.random() * 0.2)  # any moment
                    self.kill()
                    self.await_back()
                wait_for(self.server._is_ready, "all serve", BACK_SECONDS)
                self.check_accounts(self.server)
                self.end()
        finally:
            self.tell()

    def tell(self):
        kinds = ", ".join(f"{n} {k}" for k, n in sorted(self.kills.items()))
        s = self.sums
        print(f"{type(self).__name__}: {sum(self.kills.values())} kills "
              f"({kinds}), {self.reloads} reloads, "
              f"{s['answered']} events answered 200, {s['lost']} lost, "
              f"{s['doubled']} doubled"
              f"{self.bound_text()}, {s['foreign']} from nowhere, "
              f"{s['clientDoubled']} sent twice by the client; "
              f"seed {SEED}, {time.monotonic() - self.began:.0f} s",
              flush=True)

    def bound_text(self):
        return ""


class TestRandomKills(RandomKills):
    pass


class TestOldDruid(RandomKills):
    """It does not know producer headers: what it had taken when a worker
    died, the worker's answer with it, comes again."""
    druid_options = ("--no-producer-headers",)

    def judge(self, report):
        c = report["compare"]
        self.assertEqual((c["lost"], c["foreign"]), (0, 0), dict(report))

    def check_replicants(self):
        """What can come again is what the next worker found in the spool."""
        self.bound += sum(map(int, re.findall(
            r"ready: \d+ batches \((\d+) events\)", self.server.log())))
        self.assertLessEqual(self.sums["doubled"], self.bound)

    def bound_text(self):
        return f" (of {self.bound} that waited in the spool)"


del RandomKills


if __name__ == "__main__":
    drill.main()
