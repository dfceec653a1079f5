#!/usr/bin/env python3
"""Several tranqds share a topic and its supervisor, as Druid before 34 wants it:
a partition each, agreed on in ZooKeeper; who is away is stood in for."""

import os
import shutil
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402
from kafka_client import Client  # noqa: E402
from sharing import DS, ShareCase  # noqa: E402


class TestShare(ShareCase):
    def test_two(self):
        one = self.server("one")
        self.await_serves(one, 0)
        self.post(one, 50, "first")
        self.pulled.await_events(50)
        two = self.server("two")
        self.await_serves(two, 1)
        self.await_leaders("one", "one", "two")
        self.await_leaders("two", "one", "two")
        for n in range(5):
            self.post(one, 20, f"one{n}")
            self.post(two, 20, f"two{n}")
        self.check_druid()
        wait_for(lambda: self.pulled.supervisor()["spec"]["spec"]["ioConfig"][
            "consumerProperties"]["bootstrap.servers"].count("127.0.0.1") == 2)
        self.assertEqual(set(self.pulled.supervisor()["stored"]), {"0", "1"})
        wait_for(lambda: [self.share(s)["manages"] for s in (one, two)]
                 == [True, False], "one of them manages")
        # each removes what is committed of its own
        def are_trimmed():
            for s in one, two:
                self.post(s, 1, f"{s.process.pid}-{len(self.sent)}")
            assert all(s.accounts(DS)["sent"] > 20 for s in (one, two)), [
                (s.accounts(DS), s.data_source(DS)["beams"])
                for s in (one, two)]
            return True
        wait_for(are_trimmed, "what is committed leaves", 40, step=0.3)
        self.check_druid()
        self.check_violations(self.druid)

    def test_one_is_away(self):
        """The other stands in within seconds, and has nothing to give; when it
        is back all of its events come, once."""
        one, two = self.server("one"), self.server("two")
        wait_for(lambda: self.share(one)["serves"] and
                 self.share(two)["serves"])
        first, second = sorted(
            (one, two), key=lambda s: self.share(s)["partition"])
        names = ["one" if s is one else "two" for s in (first, second)]
        self.await_leaders(names[1], *names)
        self.post(first, 30, "before")
        self.pulled.hold()
        self.post(first, 40, "not-read")
        self.post(second, 10, "other")
        start, _ = self.log(first)
        first.kill_all()
        self.await_leaders(names[1], names[1], names[1], seconds=10)
        self.assertEqual(self.place(names[1], 0, -2), start)
        with Client(self.ports[names[1]]) as c:
            got = c.fetch(start + 12, topic=DS, partition=0, max_wait=100)
            self.assertEqual((got.error, got.records), (0, b""))
        wait_for(lambda: self.share(second)["manages"])
        self.pulled.hold(False)
        self.post(second, 10, "meanwhile")
        wait_for(lambda: "meanwhile-9" in drill.ids(
            self.druid.events(DS, lost="false")))
        first.start()
        self.await_leaders(names[1], *names)
        self.await_leaders(names[0], *names)
        self.post(first, 10, "back")
        self.check_druid()
        text = second.tranqctl("status").stdout
        self.assertIn("partition 1 of 2 is ours", text)
        self.assertRegex(text, r"partition 0 at [0-9.:]+: there")
        with Client(self.ports[names[1]]) as c:
            self.assertEqual(c.fetch(start, topic=DS, partition=0,
                                     max_wait=50).error, 6)

    def test_a_copy(self):
        """Of a spool: the second to come serves nothing, and says so."""
        one = self.server("one")
        self.await_serves(one, 0)
        self.post(one, 20, "one")
        self.check_druid()
        one.stop()
        copy = self.server("copy", start=False)
        shutil.copytree(one.data_dir, copy.data_dir, dirs_exist_ok=True)
        one.start()
        self.await_leaders("one", "one")
        copy.start()
        wait_for(lambda: "one of the two spools is a copy" in copy.log())
        wait_for(lambda: "one of the two spools is a copy"
                 in copy.tranqctl("status").stdout)
        self.post(one, 20, "more")
        self.await_leaders("copy", "one")
        self.check_druid()
        self.assertFalse(self.share(copy)["serves"])
        self.assertEqual(copy.post(DS, harness.events(
            3, run="kept")).status, 200)
        self.check_druid()

    def test_lost_spool(self):
        """Its number is not used again; it is stood in for, for ever."""
        one, two = self.server("one"), self.server("two")
        wait_for(lambda: self.share(one)["serves"] and
                 self.share(two)["serves"])
        lost = next(s for s in (one, two) if self.share(s)["partition"] == 1)
        other, kept = (("two", one) if lost is two else ("one", two))
        name = "one" if kept is one else "two"
        self.post(lost, 10, "lost")
        self.check_druid()
        lost.stop()
        shutil.rmtree(os.path.join(lost.data_dir, "spool", DS))
        lost.start()
        self.await_serves(lost, 2)
        self.await_leaders(name, name, name, other)
        self.post(lost, 10, "new")
        self.post(kept, 10, "kept")
        self.check_druid()

    def test_lost_spool_that_was_read(self):
        """What a task has read from it and not published is nowhere else."""
        self.pulled.cycle = None
        lost = self.server("one")
        self.await_serves(lost, 0)
        self.post(lost, 10, "lost")
        self.check_druid()
        lost.stop()
        shutil.rmtree(os.path.join(lost.data_dir, "spool", DS))
        lost.start()

        def is_read_on():
            self.pulled.commit()
            return "1" in self.pulled.supervisor()["stored"]
        wait_for(is_read_on, "Druid has the new spool's offset")
        self.await_serves(lost, 1)
        self.post(lost, 10, "new")
        self.check_druid()
        self.check_violations(self.druid)

    def test_zookeeper_is_away(self):
        """All goes on as it was agreed."""
        one = self.server("one")
        self.await_serves(one, 0)
        two = self.server("two")
        self.await_serves(two, 1)
        self.await_leaders("two", "one", "two")
        self.post(one, 10, "one")
        self.post(two, 10, "two")
        self.check_druid()
        self.zk.pause()
        try:
            self.post(one, 10, "away1")
            self.post(two, 10, "away2")
            self.check_druid()
        finally:
            self.zk.resume()
        self.post(two, 10, "back")
        self.check_druid()
        wait_for(lambda: self.share(one)["serves"] and
                 self.share(two)["serves"])

    def test_zookeeper_has_lost_all(self):
        """Spools know their numbers, and Druid its offsets: none is set anew, or
        what is still in a log would come twice."""
        one = self.server("one")
        self.await_serves(one, 0)
        two = self.server("two")
        self.await_serves(two, 1)
        self.post(one, 30, "one")
        self.post(two, 30, "two")
        self.check_druid()
        for server in one, two:
            server.stop()
        self.zk.shell(f"deleteall {self.paths['zookeeper.path']}/tranqd")
        two.start()
        wait_for(lambda: "knows less partitions" in two.log())
        one.start()
        self.await_serves(one, 0)
        self.await_serves(two, 1)
        self.await_leaders("one", "one", "two")
        self.post(one, 10, "again-one")
        self.post(two, 10, "again-two")
        self.check_druid()
        self.check_violations(self.druid)

    def test_another_agreement(self):
        """Who does not know of the others, by another ZooKeeper, say, does not
        take the supervisor, with the offsets of their logs, for its own."""
        one = self.server("one")
        self.await_serves(one, 0)
        self.post(one, 30, "one")
        self.check_druid()
        one.stop()
        agreed = f"deleteall {self.paths['zookeeper.path']}/tranqd"
        self.zk.shell(agreed)
        spec = self.pulled.supervisor()["spec"]
        other = self.server("other")
        wait_for(lambda: self.share(other)["serves"], "it has partition 0")
        self.assertEqual(other.post(DS, harness.events(
            3, run="kept")).status, 200)
        wait_for(lambda: "agree on it elsewhere"
                 in other.tranqctl("status").stdout)
        self.assertEqual(self.pulled.supervisor()["spec"], spec)
        other.stop()
        self.zk.shell(agreed)
        one.start()
        self.await_serves(one, 0)
        self.post(one, 10, "again")
        self.check_druid()

    def test_drain(self):
        """What it has is in Druid when it ends, the others go on: their events
        come once, too. It may go then."""
        one = self.server("one")
        self.await_serves(one, 0)
        two = self.server("two")
        self.await_serves(two, 1)
        for drained, kept, partition in (two, one, 1), (one, two, 0):
            self.post(drained, 50, f"drained{partition}")
            self.post(kept, 50, f"kept{partition}")
            got = drained.tranqctl("drain", DS, seconds=60)
            self.assertEqual(got.returncode, 0, got)
            self.assertEqual(drained.accounts(DS)["spool"], 0)
            self.post(kept, 10, f"after{partition}")
            self.check_druid()
            drained.stop()
            wait_for(lambda: self.share(kept)["members"][partition]["state"]
                     == "away")
            self.post(kept, 10, f"alone{partition}")
            self.check_druid()
            drained.start()
            self.assertEqual(
                drained.tranqctl("drain", "--undo", DS).returncode, 0)
            self.await_serves(drained, partition)
            self.post(drained, 10, f"back{partition}")
            self.check_druid()
        self.check_violations(self.druid)

    def test_druid_is_upgraded(self):
        """To one where each has a supervisor of its own: those who share go on
        so, with what they have kept, and who comes new does not."""
        one = self.server("one")
        self.await_serves(one, 0)
        two = self.server("two")
        self.await_serves(two, 1)
        self.post(one, 20, "one")
        self.post(two, 20, "two")
        self.check_druid()
        self.pulled.hold()
        self.post(one, 20, "kept-one")
        self.post(two, 20, "kept-two")
        self.druid.druid("34.0.0")
        for server in one, two:
            server.restart()
        self.pulled.hold(False)
        self.await_serves(one, 0)
        self.await_serves(two, 1)
        self.check_druid()
        three = self.server("three")
        wait_for(lambda: self.druid.supervisors().keys() > {DS},
                 "a supervisor of its own")
        [own] = self.druid.supervisors().keys() - {DS}
        self.puller(self.druid, own, cycle=0.7)
        for n in range(4):
            for server in one, two, three:
                self.post(server, 10, f"{n}-{server.process.pid}")
        self.check_druid()
        self.assertIsNone(self.share(three)["partition"])
        self.assertEqual(set(self.pulled.supervisor()["stored"]), {"0", "1"})
        # and it is drained alone
        self.post(three, 10, "drained")
        got = three.tranqctl("drain", DS, seconds=60)
        self.assertEqual(got.returncode, 0, got)
        self.post(one, 10, "after")
        self.check_druid()
        self.check_violations(self.druid)

    def test_workers_killed(self):
        """Its feed goes on, with what was agreed on."""
        one = self.server("one")
        self.await_serves(one, 0)
        two = self.server("two")
        self.await_serves(two, 1)
        self.await_leaders("two", "one", "two")
        for _ in range(2):
            two.kill_worker(DS)
            end = time.monotonic() + 1.5
            while time.monotonic() < end: # its successor comes meanwhile
                self.assertEqual(self.leaders("two")[0], self.ports["one"])
            self.await_leaders("two", "one", "two")
            self.await_serves(two, 1)

    def test_killed(self):
        """Whoever, at whatever time: each event once."""
        one = self.server("one")
        self.await_serves(one, 0)
        two = self.server("two")
        for n in range(8):
            for server in one, two:
                self.post(server, 10, f"{n}-{server.process.pid}")
            server = (one, two)[n % 2]
            if n % 4 < 2:
                server.kill_worker(DS)
            else:
                server.kill_all()
                server.start()
        self.check_druid(60)
        self.check_violations(self.druid)


if __name__ == "__main__":
    drill.main()
