#!/usr/bin/env python3
"""An Overlord and tasks whose answers are slow, cut, huge, no JSON, of the
wrong types or somebody else's: events wait, memory and time are bounded, and
when the answers are right again all goes on by itself, each event once."""

import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
import liar  # noqa: E402
from harness import wait_for  # noqa: E402

MiB = 1 << 20
# of a worker: an answer may have 16 MiB, and grows by doubling, so there are
# its buffer and the one before
MEMORY_MAX = 80 * MiB
WRONG_TYPES = [
    "null", "[]", "{}", "true", "17", '"text"', "[[[[]]]]", '{"task":17}',
    '{"task":{"id":"x"}}', '{"status":"RUNNING"}', '{"status":[]}',
    '{"status":{"id":7,"status":9,"statusCode":{},"location":[]}}',
    '{"status":{"status":"RUNNING","location":{"host":7,"port":"x"}}}',
    '{"status":{"status":"RUNNING","location":{"host":"","port":-1}}}',
    '{"status":{"status":"RUNNING","location":'
    '{"host":"127.0.0.1","port":65536}}}',
    '{"status":{"status":"RUNNING","location":'
    '{"host":"127.0.0.1","port":1e99}}}',
    '{"eventCount":"1"}', '{"eventCount":null}', "[" * 100000,
    '{"a":' * 5000, "\x00\x01\x02",
    "<html><body>Sign in to the hotel's network</body></html>", ""]


class LiarCase(drill.Case):
    time_bound = 300
    properties = {"druidBeam.firehoseRetryPeriod": "PT1S"}
    data_sources = ["wikipedia"]

    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full")
        self.front = liar.Liar(self.druid)
        self.addCleanup(self.front.close)
        self.sent = {}

    def tearDown(self):
        self.front.honest()
        super().tearDown()

    def start(self, names, url=None):
        self.server = self.tranqd(drill.config(
            names, url or self.front.url, properties=self.properties))

    def post(self, *names):
        for name in names:
            events = harness.events(50, run=f"{len(self.sent.get(name, []))}")
            answer = self.server.post(name, events, is_async=True)
            self.assertEqual(answer.status, 200, answer)
            self.sent[name] = self.sent.get(name, []) + drill.ids(events)

    def check_sent(self):
        for name, sent in self.sent.items():
            self.check_ids(self.druid, name, sent, seconds=60)

    def beams(self, name):
        return self.server.data_source(name)["beams"]

    def await_lied(self, name, times=2, seconds=60):
        had = self.front.lied[name]
        wait_for(lambda: self.front.lied[name] >= had + times,
                 f"{times} more requests of {name}", seconds)

    def check_end(self):
        """All there, once, by one task each."""
        self.check_sent()
        self.check_whole(self.server, self.druid)
        self.check_no_crash(self.server)
        for name, d in self.druid.stats()["dataSources"].items():
            self.assertEqual(len(d["tasks"]), 1, name)

    def check_memory(self, names):
        for name in names:
            peak = drill.memory_of(self.server.worker_pid(name), "VmHWM")
            self.assertLess(peak, MEMORY_MAX, name)


class ManyCase(LiarCase):
    """A dataSource a lie: each hears its own, all at one time."""

    def run_all(self, kinds, *, spoils=(), path, says=None):
        """All of them, until each has been asked again; the status says so
        of each; then the answers are right again, and all goes on."""
        kinds = {f"ds{n:02}x": k for n, k in enumerate([*kinds, *spoils])}
        spoilt = list(kinds)[len(kinds) - len(spoils):]
        self.start(list(kinds))
        if path == TASK:
            self.post(*kinds)
            self.check_sent()
        for name, kind in kinds.items():
            tell = self.front.spoil if name in spoilt else self.front.lie
            tell(kind, name, path)
        self.post(*kinds)
        for name in kinds:
            wait_for(lambda: self.front.lied[name] >= 2,
                     f"{name} ({kinds[name]}) is asked again", 60)
            if says is not None:
                wait_for(lambda: says(name), f"status of {name}, "
                         f"{kinds[name]}: {self.beams(name)}")
        self.check_accounts(self.server)
        self.check_memory(kinds)
        self.front.honest()
        self.check_end()
        return kinds

    def says_overlord(self, name):
        """Where it was looked for, and why not; or what is not agreed on."""
        b = self.beams(name)
        return b["notes"] and (b["overlord"] != self.front.url
                               or "makes no sense" in b["notes"][0])

    def says_task(self, name):
        return all(t.get("trouble") for beam in self.beams(name)["beams"]
                   for t in beam["tasks"])


OVERLORD, TASK = "/druid/indexer", "/druid/worker"
BROKEN = [
    liar.chunk_garbage, liar.chunk_huge, liar.not_http, liar.raw(b""),
    liar.raw(b"HTTP/1.1 20"), liar.redirect_nowhere,
    liar.redirect("http://null"), liar.redirect("gopher://127.0.0.1:70"),
    liar.raw(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n{"),
    liar.raw(b"HTTP/1.1 200 X\r\nContent-Length: -5\r\n\r\n"),
    liar.answer(502, "Bad Gateway", "text/html")]
ENDLESS = [liar.huge, liar.huge_error, liar.huge_line, liar.huge_head,
           liar.for_ever_100]
WRONG = [liar.answer(200, text) for text in WRONG_TYPES]


class TestOverlord(ManyCase):
    """Before the first task: it has to be made and found."""

    def test_broken_answers(self):
        nobody = f"http://127.0.0.1:{self.closed_port()}"
        self.run_all([*BROKEN, liar.redirect(nobody)], path=OVERLORD,
                     says=self.says_overlord)

    def test_wrong_types(self):
        self.run_all(WRONG, path=OVERLORD, says=self.says_overlord)

    def test_endless_answers(self):
        """Bodies and heads: time and the worker's memory have a bound."""
        self.run_all(ENDLESS, path=OVERLORD, says=self.says_overlord)

    @drill.long_form
    def test_spoilt_answers(self):
        """The task is made, and nobody is told so."""
        self.run_all([], path=OVERLORD, spoils=[
            liar.cut, liar.cut_head, liar.swallow])

    def test_redirected_for_ever(self):
        """Round and round: some hops, then a pause as after any failure."""
        self.start(["wikipedia"])
        self.front.lie(liar.redirect(self.front.url), "wikipedia")
        self.post("wikipedia")
        self.await_lied("wikipedia", 10)
        wait_for(lambda: "307" in self.beams("wikipedia")["overlord"])
        had, began = self.front.lied["wikipedia"], time.monotonic()
        time.sleep(1)
        rate = ((self.front.lied["wikipedia"] - had)
                / (time.monotonic() - began))
        self.assertLess(rate, 50, "requests a second")
        self.front.honest()
        self.check_end()

    @drill.long_form
    def test_slow_answers(self):
        """It accepts and says nothing, or a byte at a time."""
        self.run_all([liar.silence, liar.trickle], path=OVERLORD,
                     spoils=[liar.late(32)])


class TestTwoOverlords(LiarCase):
    """Both see the same tasks, as two Overlords with one metadata store do.
    The leader changes when it has made the task and not said so yet."""

    def setUp(self):
        super().setUp()
        self.other = liar.Liar(self.druid)
        self.addCleanup(self.other.close)
        self.start(["wikipedia"], f"{self.front.url},{self.other.url}")

    def tearDown(self):
        self.other.honest()
        super().tearDown()

    def change(self, then):
        """The answer to the submission is lost; the old leader then says
        `then`; the other one was none so far."""
        self.other.lie(liar.redirect(self.front.url))

        def lost(h, answer):
            self.other.honest()
            self.front.lie(then)
        self.front.spoil(lost, path="/druid/indexer/v1/task", count=1)
        for _ in range(2):
            self.post("wikipedia")
            self.check_sent()
        self.check_end()
        self.assertEqual(
            self.counts(self.server, "wikipedia")["tasksCreated"], 1)

    def test_answers_307_to_the_new_one(self):
        self.change(lambda h: liar.redirect(self.other.url)(h))

    @drill.long_form
    def test_answers_503(self):
        self.change(liar.answer(503, "no leader"))

    def test_is_gone(self):
        self.change(liar.raw(b""))

    def test_hangs(self):
        self.change(liar.silence)

    @drill.long_form
    def test_both_wait_for_a_leader(self):
        """Each names the other one, then nobody; at last one of them leads."""
        self.front.lie(liar.redirect(self.other.url))
        self.other.lie(liar.redirect(self.front.url))
        self.post("wikipedia")
        self.await_lied("", 5)
        self.front.lie(liar.redirect_nowhere)
        self.other.lie(liar.redirect_nowhere)
        self.await_lied("")
        wait_for(lambda: "307" in self.beams("wikipedia")["overlord"])
        self.other.honest()
        self.check_end()


class TestTasks(ManyCase):
    """Of tasks that have worked so far."""

    def test_broken_answers(self):
        self.run_all([*BROKEN, liar.redirect(self.front.url)], path=TASK,
                     says=self.says_task)

    @drill.long_form
    def test_wrong_types(self):
        self.run_all(WRONG, path=TASK, says=self.says_task)

    def test_endless_and_slow_answers(self):
        self.run_all([*ENDLESS, liar.silence, liar.trickle], path=TASK,
                     says=self.says_task)

    def test_taken_and_not_said(self):
        """Or said after our time-out: the task skips them the next time."""
        names = self.run_all([], path=TASK, says=self.says_task, spoils=[
            liar.cut, liar.cut_head, liar.swallow, liar.late(1.5)])
        for name in names:
            self.assertGreater(self.counts(self.server, name)["skipped"], 0)

    def test_refused_and_half_said(self):
        """A refusal uses the sequence up. When its answer breaks off, its
        status alone says so; sent again under the same sequence the events
        would be skipped, and lost."""
        def huge(h, answer):
            assert answer.status == 500
            liar.huge_error(h)
        # no time-out, behind which nobody knows of the refusal
        self.properties = {"druidBeam.firehoseRetryPeriod": "PT30S"}
        self.start(["wikipedia"])
        self.post("wikipedia")
        self.check_sent()
        self.druid.fault("error", status=500)
        for spoil in liar.cut, huge:
            self.front.spoil(spoil, "wikipedia", TASK)
            self.post("wikipedia")
            self.await_lied("wikipedia")
        self.druid.fault("none")
        self.front.honest()
        self.check_end()


if __name__ == "__main__":
    drill.main()
