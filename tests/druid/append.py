"""Batch tasks by which tranqd brings all events in, where realtime tasks are
no more."""

import os
import signal

from cluster import Failure, await_true
from pull import kill_workers
from scene import VISIBLE_SECONDS, Run, case


class AppendRun(Run):
    mode = "append"

    def __init__(self, *args):
        super().__init__(*args)
        self.task_types = ["index_parallel"]

    def properties(self, **properties):
        return super().properties(**{
            "delivery_mode": "append", "append_period": "PT2S",
            "druidBeam_overlordPollPeriod": "PT1S", **properties})

    def check(self, tranqd):
        total = self.load.total
        await_true(lambda: tranqd.source()["accounts"]["appended"] == total,
                   f"{total} events appended", VISIBLE_SECONDS, tranqd.where)
        self.check_totals()
        self.check_rows()
        types = {t["type"] for t in self.druid.tasks(self.ds)}
        if types != set(self.task_types):
            raise Failure(f"tasks {types}, not {self.task_types}")


def append_case(name):
    return case(f"append-{name}", 2, AppendRun)


@append_case("plain")
def plain(run):
    with run.daemon() as tranqd:
        run.begin(tranqd)
        run.await_visible(tranqd)
        run.check(tranqd)


@append_case("worker-killed")
def worker_killed(run):
    kill_workers(run)


@append_case("task-killed")
def task_killed(run):
    """The peon under kill -9: another task brings in what it had."""
    with run.daemon() as tranqd:
        run.begin(tranqd)

        def running():
            for task in run.druid.tasks(run.ds):
                if pid := run.druid.peon(task["id"]):
                    return task["id"], pid
        task, pid = await_true(running, "a task that runs", VISIBLE_SECONDS,
                               lambda: run.where(tranqd))
        os.kill(pid, signal.SIGKILL)
        run.killed.append(task)
        run.await_visible(tranqd)
        run.check(tranqd)
    run.notes.append("a task killed")
