"""delivery.mode auto: what tranqd chooses for the Druid that is there."""

from append import AppendRun
from cluster import await_true, free_port
from pull import PullRun
from scene import SETTLE_SECONDS, case


def await_choice(run, tranqd, mode):
    def chosen():
        delivery = tranqd.source()["beams"].get("delivery") or {}
        return delivery.get("mode") == mode and delivery
    delivery = await_true(chosen, f"auto chooses {mode}", SETTLE_SECONDS,
                          lambda: f"{tranqd.source()['beams']}; "
                          f"{run.where(tranqd)}")
    run.notes.append(f"{mode}: {delivery}")


@case("auto-pull", 2, PullRun)
def auto_pull(run):
    """What comes before tranqd knows its Druid is moved into the log."""
    with run.daemon(delivery_mode="auto") as tranqd:
        run.begin(tranqd)
        await_choice(run, tranqd, "pull")
        run.await_visible(tranqd)
        run.check(tranqd)


@case("auto-append", 2, AppendRun)
def auto_append(run):
    """Nothing to pull from: pull.listen is not set."""
    with run.daemon(delivery_mode="auto") as tranqd:
        run.begin(tranqd)
        await_choice(run, tranqd, "append")
        run.await_visible(tranqd)
        run.check(tranqd)


class WithoutKafka(AppendRun):
    mode = "pull"  # of a Druid that has it


@case("auto-no-extension", 2, WithoutKafka, alone=True)
def auto_no_extension(run):
    """An Overlord that does not load the extension, though all else is
    there for it to pull."""
    run.druid.restart_overlord("--no-kafka")
    try:
        with run.daemon(delivery_mode="auto",
                        pull_listen=f"127.0.0.1:{free_port()}") as tranqd:
            run.begin(tranqd)
            await_choice(run, tranqd, "append")
            run.await_visible(tranqd)
            run.check(tranqd)
    finally:
        run.druid.restart_overlord()
