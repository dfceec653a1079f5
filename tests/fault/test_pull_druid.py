#!/usr/bin/env python3
"""From POST to what Druid has committed, in pull mode: each event that was
answered 200 is there once, and nothing leaves the log before it is committed,
while workers, receivers, the feed, all of tranqd and Druid's tasks die; with a
spool that was restored from a copy or lost, with a clock that goes back, and
with two tranqds that claim the same supervisor.

tranq-sandbox has the supervisors, tests/helper/puller.py plays the tasks.
"""

import collections
import json
import os
import random
import shutil
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from clocks import Clocks  # noqa: E402
from harness import wait_for  # noqa: E402
from kafka_client import Client, list_offsets, listed  # noqa: E402

KILLS = 150 if drill.LONG else 15
CYCLE_S = 1.0
HOUR = 3600


class Poster:
    """A client that sends each request until it is answered 200, with its
    Idempotency-Key."""

    def __init__(self, server, ds, run="e", at=None):
        self.server, self.ds, self.run, self.at = server, ds, run, at
        self.ids, self.tries = [], 0
        self._ends = threading.Event()
        self.thread = threading.Thread(target=self._post_all)
        self.thread.start()

    def _post_all(self):
        while not self._ends.is_set():
            events = harness.events(
                20, len(self.ids), run=self.run,
                at=self.at and self.at())
            key = {"Idempotency-Key": f"{self.run}-{len(self.ids)}"}
            while not self._try(events, key):
                time.sleep(0.05)
            self.ids += drill.ids(events)

    def _try(self, events, key):
        self.tries += 1
        try:
            return self.server.post(
                self.ds, events, headers=key).status == 200
        except OSError:
            return False

    def end(self):
        """Its last request is answered, too."""
        self._ends.set()
        self.thread.join()
        return self.ids


class Guard:
    """Asks all the time where the log begins, and whether Druid has committed
    what was before."""

    def __init__(self, puller, port, ds):
        self.puller, self.port, self.ds = puller, port, ds
        self.starts, self.trouble = [], []
        self._ends = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _look(self):
        with Client(self.port) as c:
            c.send(list_offsets(-2, topic=self.ds))
            start = listed(c.answer())
        stored = self.puller.stored()
        if start < 0:
            return
        if self.starts and start > self.starts[0] and start > stored:
            self.trouble.append(f"{start - stored} events are gone that "
                                f"Druid has not committed")
        self.starts.append(start)

    def _run(self):
        while not self._ends.wait(0.05):
            try:
                self._look()
            except (OSError, EOFError):
                pass

    def end(self):
        self._ends.set()
        self.thread.join()
        return self.trouble


class EndCase(drill.Case):
    """A tranqd with one dataSource, whose events a Druid pulls."""
    time_bound = 120
    ds = "wikipedia"
    properties = {"delivery.mode": "pull", "pull.taskDuration": "PT1S",
                  "tranquility.lingerMillis": 0}

    def setUp(self):
        super().setUp()
        self.pull_port = self.reserved_port()
        self.druid = self.sandbox("--check", "full", "--druid", "34.0.0")
        self.server = self.tranqd(self.document())

    def document(self, **properties):
        return drill.config(
            [self.ds], self.druid.url, properties={
                "pull.listen": f"127.0.0.1:{self.pull_port}",
                **self.properties, **properties})

    def pull(self, **how):
        """A puller for the supervisor, as soon as it is there."""
        def reading():
            return [id for id, s in self.druid.supervisors().items()
                    if s["groups"]]
        id, = wait_for(reading, "a supervisor that reads")
        return self.puller(self.druid, id, **how)

    def check_pulled(self, wanted, *, seconds=30):
        """Druid has all of them, each once, and nothing else; what tasks had
        that failed does not count."""
        def found():
            return collections.Counter(
                drill.ids(self.druid.events(self.ds, lost="false")))

        def are_there():
            missing = set(wanted) - set(found())
            assert not missing, (f"{len(missing)} of {len(set(wanted))} "
                                 f"missing, e.g. {sorted(missing)[:5]}")
            return True
        try:
            wait_for(are_there, "all events are pulled", seconds, step=0.1)
        except AssertionError as e:
            self.fail(str(e))
        count = found()
        self.assertEqual(set(count) - set(wanted), set(), "from nowhere")
        twice = {i: n for i, n in count.items() if n > 1}
        self.assertEqual(twice, {}, "doubled")

    def post(self, count, run, server=None, **how):
        """Ids of events that were answered 200."""
        events = harness.events(count, run=run, **how)
        answer = (server or self.server).post(self.ds, events)
        self.assertEqual(answer.status, 200, answer)
        return drill.ids(events)

    def log(self, server=None):
        """The partition's start, end, and what is known to be committed; the
        status follows within a moment."""
        said = (server or self.server).data_source(self.ds)["beams"]
        return said["log"]["partitions"][0]

    def await_second(self):
        """A log that begins then does so elsewhere than one that did now."""
        second = int(time.time())
        wait_for(lambda: int(time.time()) > second)

    def await_end(self, end, server=None):
        wait_for(lambda: self.log(server)["end"] == end, "the log's end")

    def notes(self, server=None):
        said = (server or self.server).data_source(self.ds)["beams"]
        return " ".join(said["notes"])

    def await_trim(self, beyond, server=None):
        """A generation of tasks after another has had something to publish.
        Ids of that."""
        sent = []

        def is_trimmed():
            sent.extend(self.post(1, f"trim{len(sent)}", server))
            return self.log(server)["start"] > beyond
        wait_for(is_trimmed, "what is committed leaves the log", 60, step=0.2)
        return sent


class TestKilled(EndCase):
    time_bound = 900 if drill.LONG else 200

    def strike(self, rnd):
        kind = rnd.choice(["worker", "feed", "receiver", "task", "publishing",
                           "all", "stop"])
        if kind == "all":
            self.server.kill_all()
        elif kind == "stop":
            self.server.stop()
        elif kind == "task":
            self.puller.fail()
        elif kind == "publishing":
            self.fail_publishing()
        else:
            self.server.kill_one(kind, rnd)
        if not self.server.is_running:
            self.server.start()

    def fail_publishing(self):
        groups = self.puller.supervisor()["groups"]
        for group in groups[:1]:
            if group["publishing"]:
                self.puller.fail(group["name"])

    def test_random_kills(self):
        self.puller = self.pull(cycle=CYCLE_S)
        guard = Guard(self.puller, self.pull_port, self.ds)
        posters = [Poster(self.server, self.ds, f"r{n}") for n in range(2)]
        rnd = random.Random(11)
        try:
            for _ in range(KILLS):
                self.strike(rnd)
                before = self.puller.pulled
                wait_for(lambda: self.puller.pulled > before,
                         "something new for Druid")
        finally:
            sent = [i for p in posters for i in p.end()]
            trouble = guard.end()
        self.check_pulled(sent)
        self.assertEqual(trouble, [])
        self.assertGreater(len(sent), KILLS)
        sent += self.await_trim(guard.starts[0])
        self.assertLessEqual(self.log()["start"], self.puller.stored())
        self.check_pulled(sent)
        # it is there once more for nobody
        self.assertEqual(self.druid.violations(), {})


class TestFloor(EndCase):
    def test_moves(self):
        """It follows what is committed, and never leads it, also when tasks
        fail and offsets are set back."""
        puller = self.pull()
        sent = self.post(100, "a")
        begin = self.log()["start"]
        puller.await_events(100)
        for n in range(3):
            puller.roll()
            sent += self.post(10, f"b{n}")
            puller.await_events(len(sent))
            wait_for(lambda: self.log().get("committed", 0) <= begin)
        # three publish, none has: nothing is certain
        self.assertEqual(self.log()["start"], begin)

        def trimmed():
            puller.commit()
            puller.roll()
            return self.log()["start"] >= begin + 100
        wait_for(trimmed, "the log without what is committed", 40, step=0.7)
        self.assertLessEqual(self.log()["start"], puller.stored())
        # set back by hand: what is still there is read again, and stays
        start = self.log()["start"]
        puller.hold()
        self.druid.supervisor(puller.id, "rewind", partition=0, offset=start)
        wait_for(lambda: "offsets were reset" in self.notes()
                 or self.log()["start"] == self.log().get("committed"))
        puller.hold(False)
        sent += self.post(10, "c")
        wait_for(lambda: puller.supervisor()["end"]["0"]
                 == self.log()["end"])
        self.assertEqual(self.log()["start"], start)
        self.assertEqual(puller.complaints, [])

    def test_moves_over_gaps(self):
        """The next tasks begin some seconds after the last ones have come to
        their end: in between nobody reads, and at times nobody publishes."""
        puller = self.pull()
        sent = self.post(100, "a")
        begin = self.log()["start"]

        def trimmed():
            puller.await_events(len(sent))
            self.druid.supervisor(puller.id, "pause")
            puller.roll()
            sent.extend(self.post(10, f"b{len(sent)}"))
            time.sleep(0.4)
            puller.commit()
            time.sleep(0.4)
            self.druid.supervisor(puller.id, "start")
            self.assertLessEqual(self.log()["start"], puller.stored())
            return self.log()["start"] >= begin + 100
        wait_for(trimmed, "the log without what is committed", 60, step=0.7)
        self.check_pulled(sent)

    def test_suspended(self):
        """By an operator: nothing is removed before it is certain, and then
        all that was committed is; resumed it goes on."""
        puller = self.pull()
        sent = self.post(100, "a")
        begin = self.log()["start"]
        puller.await_events(100)
        self.druid.ask_supervisor(f"/{puller.id}/suspend", method="POST")
        sent += self.post(50, "b")
        puller.commit()
        # its lag is counted from what is committed
        wait_for(lambda: self.log()["start"] == begin + 100,
                 "the log without what is committed")
        self.await_end(begin + 150)
        self.assertEqual(puller.stored(), begin + 100)
        self.druid.ask_supervisor(f"/{puller.id}/resume", method="POST")
        self.check_pulled(sent)


class TestSpoolOfYesterday(EndCase):
    def setUp(self):
        super().setUp()
        self.copy = os.path.join(self.folder, "copy")

    def read_beyond(self, puller):
        """A copy of the spool, and what Druid has committed by now."""
        sent = self.post(100, "old")
        puller.await_events(100)
        self.server.stop()
        shutil.copytree(self.server.data_dir, self.copy)
        self.server.start()
        sent += self.post(200, "gone")
        puller.await_events(300)
        end = puller.supervisor()["end"]["0"]
        wait_for(lambda: puller.stored() == end, "all is committed")
        self.server.stop()
        return sent, end

    def check_goes_on(self, puller, sent, end):
        sent += self.post(100, "new")
        self.check_pulled(sent)
        self.assertGreater(puller.supervisor()["end"]["0"], end + 100)
        sent += self.post(100, "next")
        self.check_pulled(sent)
        self.assertEqual(self.druid.violations(), {})

    def test_restored(self):
        """A copy of the spool that Druid has read beyond: what was in between
        is lost with the disk, what comes after it is not taken for that."""
        puller = self.pull(cycle=CYCLE_S, gaps=True)
        sent, end = self.read_beyond(puller)
        shutil.rmtree(self.server.data_dir)
        shutil.copytree(self.copy, self.server.data_dir)
        self.server.start()
        self.check_goes_on(puller, sent, end)
        self.assertIn("restored from one", self.server.log())

    def test_set_back(self):
        """The same in the same files, as by a snapshot of the whole machine:
        only what Druid asks for tells."""
        puller = self.pull(cycle=CYCLE_S, gaps=True)
        sent, end = self.read_beyond(puller)
        for folder, _, names in os.walk(self.copy):
            there = os.path.join(self.server.data_dir,
                                 os.path.relpath(folder, self.copy))
            for name in names:
                with open(os.path.join(folder, name), "rb") as f, \
                        open(os.path.join(there, name), "r+b") as to:
                    to.truncate(0)
                    shutil.copyfileobj(f, to)
        asked = puller.out_of_range
        self.server.start()
        wait_for(lambda: puller.out_of_range > asked)
        self.check_goes_on(puller, sent, end)
        self.assertIn("has been set back", self.server.log())

    def test_lost(self):
        """A new spool: its supervisor is led to its beginning, when tasks of
        the old one have published what they had."""
        puller = self.pull(gaps=True)
        sent = self.post(100, "old")
        puller.await_events(100)
        end = puller.supervisor()["end"]["0"]
        identity = self.server.data_source(self.ds)["beams"]["log"]["identity"]
        self.server.stop()
        shutil.rmtree(self.server.data_dir)
        self.await_second()
        self.server.start()
        # its tasks still publish: it waits
        wait_for(lambda: puller.supervisor()["suspended"])
        sent += self.post(100, "new")
        wait_for(lambda: "still publish" in self.notes())
        self.assertIn("made for another spool", self.notes())
        self.assertNotEqual(
            self.server.data_source(self.ds)["beams"]["log"]["identity"],
            identity)
        self.assertTrue(puller.supervisor()["suspended"])
        puller.commit()
        self.assertEqual(puller.stored(), end)
        self.check_pulled(sent)
        self.assertGreaterEqual(self.log()["start"], end)
        self.assertIn("another spool", self.server.log())


class TestClockBack(EndCase):
    def setUp(self):
        # the daemon is made with its clock
        self.clocks = None
        super().setUp()

    def tranqd(self, *arguments, **how):
        self.clocks = Clocks(self.folder)
        return super().tranqd(
            *arguments, environment=self.clocks.environment, **how)

    def test_an_hour(self):
        """Offsets go on; what the log keeps and what leaves it does not follow
        the clock."""
        puller = self.pull(cycle=CYCLE_S)
        guard = Guard(puller, self.pull_port, self.ds)
        poster = Poster(self.server, self.ds, at=self.clocks.now)
        try:
            for jump in -HOUR, None, HOUR, -HOUR:
                if jump is None:
                    self.server.restart()
                else:
                    self.clocks.jump(jump)
                before = puller.pulled
                wait_for(lambda: puller.pulled > before + 200,
                         "Druid goes on")
                self.server.kill_worker(self.ds)
                before = puller.pulled
                wait_for(lambda: puller.pulled > before + 200,
                         "Druid goes on")
        finally:
            sent, trouble = poster.end(), guard.end()
        self.check_pulled(sent)
        self.assertEqual(trouble, [])
        self.check_pulled(sent + self.await_trim(guard.starts[0]))

    def test_restored(self):
        """A copy of a spool that has begun within that hour: the clock is
        behind what Druid has read, and what Druid asks for is the measure."""
        puller = self.pull(cycle=CYCLE_S, gaps=True)
        sent = self.post(100, "old")
        puller.await_events(100)
        self.server.stop()
        copy = os.path.join(self.folder, "copy")
        shutil.copytree(self.server.data_dir, copy)
        self.server.start()
        sent += self.post(200, "gone")
        puller.await_events(300)
        self.server.stop()
        shutil.rmtree(self.server.data_dir)
        shutil.copytree(copy, self.server.data_dir)
        self.clocks.jump(-HOUR)
        self.server.start()
        wait_for(lambda: puller.out_of_range, "Druid asks beyond the end")
        for run in "new", "next":
            sent += self.post(100, run, at=self.clocks.now())
            self.check_pulled(sent)
        self.assertEqual(self.druid.violations(), {})

    def test_lost_spool(self):
        """A new log begins before the old one: its offsets have been there
        before. Its supervisor is led to its beginning, so that nothing is left
        out."""
        puller = self.pull(gaps=True)
        sent = self.post(100, "old")
        puller.await_events(100)
        old = puller.supervisor()["end"]["0"]
        puller.roll()
        puller.commit()
        self.server.stop()
        shutil.rmtree(self.server.data_dir)
        self.clocks.jump(-HOUR)
        self.server.start()
        sent += self.post(100, "new", at=self.clocks.now())
        self.assertLess(self.log()["end"], old)
        wait_for(lambda: puller.supervisor()["suspended"])
        puller.commit()
        self.check_pulled(sent)


class TestTwo(EndCase):
    def second(self, **properties):
        port = self.reserved_port()
        document = self.document(**{
            "pull.listen": f"127.0.0.1:{port}", **properties})
        return self.tranqd(document, name="second")

    def test_two_names(self):
        """Each has its own supervisor; Druid has the events of both."""
        other = self.second()
        ids = wait_for(lambda: len(self.druid.supervisors()) == 2
                       and list(self.druid.supervisors()))
        for id in ids:
            wait_for(lambda: self.druid.supervisors()[id]["groups"])
            self.puller(self.druid, id, cycle=CYCLE_S)
        sent = self.post(100, "a") + self.post(100, "b", other)
        self.check_pulled(sent)
        other.kill_all()
        sent += self.post(100, "c")
        self.check_pulled(sent)
        other.start()
        sent += self.post(100, "d", other)
        self.check_pulled(sent)

    def test_two_copies(self):
        """The one that was started last has the supervisor: they do not take
        it from each other for ever. The other one keeps what was not read."""
        puller = self.pull(cycle=CYCLE_S, gaps=True)
        sent = self.post(100, "a")
        puller.await_events(100)
        self.server.stop()
        shutil.copytree(self.server.data_dir,
                        os.path.join(self.folder, "second", "data"))
        self.server.start()
        sent += self.post(50, "b")
        self.check_pulled(sent)
        self.await_second()
        other = self.second()
        wait_for(lambda: "a copy of our spool" in self.notes(),
                 "the first one complains")
        posts = puller.supervisor()["posts"]
        unread = self.post(30, "unread")
        start = self.log()["start"]
        sent += self.post(50, "c", other)
        self.check_pulled(sent)
        sent += self.await_trim(self.log(other)["start"], other)
        self.check_pulled(sent)
        self.assertEqual(self.log()["start"], start)
        done = self.server.tranqctl("spool", "export", self.ds)
        self.assertEqual(set(unread) - {
            json.loads(line)["id"] for line in done.stdout.splitlines()},
            set())
        self.assertEqual(puller.supervisor()["posts"], posts)
        self.assertEqual(self.notes(other), "")

    def test_one_name(self):
        """The second one takes the supervisor over; the first complains, and
        keeps what was not read."""
        puller = self.pull(gaps=True)
        sent = self.post(100, "a")
        puller.await_events(100)
        kept = self.log()
        self.await_second()
        other = self.second(**{
            "pull.instance": f"127.0.0.1-{self.pull_port}"})
        wait_for(lambda: puller.supervisor()["suspended"])
        sent += self.post(30, "b", other)
        puller.commit()
        self.check_pulled(sent)
        self.post(50, "unread")
        wait_for(lambda: "of the same pull.instance" in self.notes(),
                 "the first one complains")
        puller.cycle = CYCLE_S
        sent += self.await_trim(self.log(other)["start"], other)
        self.check_pulled(sent)
        # what the second one's supervisor commits is not of the first's log
        self.assertEqual(self.log()["start"], kept["start"])
        self.await_end(kept["start"] + 150)
        # and it does not take it back
        self.assertIn(str(other.document["properties"]["pull.listen"]), str(
            puller.supervisor()["spec"]["spec"]["ioConfig"]))


if __name__ == "__main__":
    drill.main()
