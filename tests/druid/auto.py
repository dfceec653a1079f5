"""delivery.mode auto: what tranqd chooses for the Druid that is there."""

from append import AppendRun
from cluster import await_true, free_port
from pull import PullRun
from scene import SETTLE_SECONDS, case


def choose(run, mode, **properties):
    """What comes before tranqd knows its Druid arrives, too."""
    def chosen():
        delivery = tranqd.source()["beams"].get("delivery") or {}
        return delivery.get("mode") == mode and delivery
    with run.daemon(delivery_mode="auto", **properties) as tranqd:
        run.begin(tranqd)
        delivery = await_true(chosen, f"auto chooses {mode}", SETTLE_SECONDS,
                              lambda: f"{tranqd.source()['beams']}; "
                              f"{run.where(tranqd)}")
        run.await_visible(tranqd)
        run.check(tranqd)
    run.notes.append(f"{mode}: {delivery}")


@case("auto-pull", 2, PullRun)
def auto_pull(run):
    choose(run, "pull")


@case("auto-append", 2, AppendRun)
def auto_append(run):
    """Nothing to pull from: pull.listen is not set."""
    choose(run, "append")


class WithoutKafka(AppendRun):
    mode = "pull"  # of a Druid that has it


@case("auto-no-extension", 2, WithoutKafka, alone=True)
def auto_no_extension(run):
    """An Overlord that does not load the extension, though all else is
    there for it to pull."""
    run.druid.restart_overlord("--no-kafka")
    try:
        choose(run, "append", pull_listen=f"127.0.0.1:{free_port()}")
    finally:
        run.druid.restart_overlord()
