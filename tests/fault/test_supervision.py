#!/usr/bin/env python3
"""Processes that hang, are stopped, crash under a debugger, cannot be started,
or die all at once; and what is left behind after many of them."""

import fcntl
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
import injection  # noqa: E402
import process  # noqa: E402
from harness import wait_for  # noqa: E402
from loop_disk import LoopDisk  # noqa: E402

MIB = 1 << 20
HANG = {"tranqd.hangTimeout": "PT2S"}
BACK_SECONDS = 40


class SupervisionCase(drill.Case):
    time_bound = 120
    data_sources = ["wikipedia", "clicks"]
    properties = {}
    with_faults = False

    def setUp(self):
        super().setUp()
        how = {}
        if self.with_faults:
            self.faults = injection.Processes(self.folder)
            how["environment"] = self.faults.environment
        self.druid = self.sandbox("--check", "full")
        self.server = self.tranqd(self.document(), **how)

    def document(self, **properties):
        return drill.config(self.data_sources, self.druid.url, properties=dict(
            self.properties, **properties))

    def begin(self, **options):
        return self.start_load(self.server, **dict({
            "data_source": ",".join(self.data_sources), "rate": 4000,
            "compare": self.druid.url, "retry": True, "connections": 8,
            "seconds": 600, "events": None, "settle": 60}, **options))

    def end(self, running):
        running.stop()
        report = self.check_load(running.finish())
        self.assertGreater(report["events"]["answered"], 0)
        self.check_whole(self.server, self.druid, killed=True)
        return report

    def goes_on(self, ds=None):
        def count():
            return (self.druid.stats()["events"] if ds is None
                    else self.counts(self.server, ds)["sent"])
        had = count()
        wait_for(lambda: count() > had, "events go on", BACK_SECONDS)

    def worker(self, ds="wikipedia"):
        return self.server.data_source(ds)["worker"]

    def await_replaced(self, child, pid, seconds=BACK_SECONDS):
        """child() has a successor that is ready; the death of that pid."""
        wait_for(lambda: child()["pid"] not in (0, pid)
                 and child()["state"] == "ready", "it is replaced", seconds)
        return child()["lastDeath"]

    def check_hung(self, death, pid, *words):
        self.assertEqual((death["pid"], death["how"]),
                         (pid, "hung and was killed"), death)
        for word in ("no sign of life",) + words:
            self.assertIn(word, death["lastWords"])
        # it was said before it was done
        said = [line for line in self.server.log().splitlines()
                if f"[{pid}]: no sign of life" in line]
        self.assertGreaterEqual(len(said), 2, said)
        self.assertIn(" warn ", said[0])

    def check_others(self, before):
        """All that were not touched are the same processes."""
        now = self.pids()
        for name, pid in before.items():
            self.assertEqual(now[name], pid, name)

    def pids(self, *without):
        status = self.server.status()
        all_of = {f"receiver {r['index']}": r["pid"]
                  for r in status["receivers"]}
        all_of.update({d["name"]: d["worker"]["pid"]
                       for d in status["dataSources"]})
        return {k: v for k, v in all_of.items() if k not in without}


class TestHang(SupervisionCase):
    """A loop without an end, a call that does not return, the disk."""
    with_faults = True
    properties = HANG

    def tearDown(self):
        self.faults.release()
        super().tearDown()

    def hang_worker(self, where, how, *words):
        running = self.begin()
        self.goes_on("wikipedia")
        others = self.pids("wikipedia")
        pid = self.worker()["pid"]
        self.faults.hang(pid, where, how)
        began = time.monotonic()
        seen = wait_for(lambda: "silence" in self.worker() and self.worker(),
                        "it is spoken of", 20)
        for word in words:
            self.assertIn(word, seen["silence"])
        self.assertIn("SILENT", self.server.tranqctl("status").stdout)
        self.goes_on("clicks")
        death = self.await_replaced(self.worker, pid)
        self.assertLess(time.monotonic() - began, 30)
        self.check_hung(death, pid, *words)
        self.goes_on("wikipedia")
        self.end(running)
        self.check_others(others)

    def test_worker_in_an_endless_loop(self):
        self.hang_worker("sync", "spin", "commits to the spool",
                         "runs")

    @drill.long_form
    def test_worker_in_a_call_that_does_not_return(self):
        self.hang_worker("sync", "sleep", "commits to the spool",
                         "sleeps")

    def test_receiver_in_an_endless_loop(self):
        running = self.begin()
        self.goes_on()
        others = self.pids("receiver 1")
        pid = self.pids()["receiver 1"]
        self.faults.hang(pid, "loop", "spin")
        death = self.await_replaced(
            lambda: self.server.status()["receivers"][1], pid)
        self.check_hung(death, pid, "runs")
        self.goes_on()
        self.end(running)
        self.check_others(others)

    @drill.long_form
    def test_disk_that_takes_its_time(self):
        """Three times the time-out is borne, for ever it is not."""
        self.server.stop()
        # a confined worker cannot even pretend to be in state D
        self.server.document["properties"]["tranqd.confine"] = False
        self.server.write()
        self.server.start()
        running = self.begin()
        self.goes_on()
        pid = self.worker()["pid"]
        self.faults.hang(pid, "sync", "disk")
        wait_for(lambda: self.worker().get("silentMs", 0) > 2500,
                 "it waits for long", 20)
        self.assertIn("waits for the disk", self.worker()["silence"])
        self.faults.release()
        wait_for(lambda: "silence" not in self.worker(), "it goes on")
        self.assertEqual(self.worker()["pid"], pid)
        self.goes_on("wikipedia")
        self.faults.hang(pid, "sync", "disk")
        began = time.monotonic()
        death = self.await_replaced(self.worker, pid)
        self.assertGreater(time.monotonic() - began, 3)
        self.check_hung(death, pid, "waits for the disk")
        self.faults.release()
        self.end(running)


@drill.long_form
class TestFrozenDisk(drill.Case):
    """A disk that does not answer: a real one, frozen (fsfreeze)."""
    FREEZE, THAW = 0xc0045877, 0xc0045878   # FIFREEZE, FITHAW

    def ice(self, what):
        fd = os.open(self.disk.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, what, 0)
        finally:
            os.close(fd)

    def thaw(self):
        try:
            self.ice(self.THAW)
        except OSError:  # it is not frozen
            pass

    def setUp(self):
        super().setUp()
        self.disk = LoopDisk.make("ext4", self.folder)
        self.addCleanup(self.disk.close)
        self.addCleanup(self.thaw)
        self.druid = self.sandbox("--check", "full")
        self.server = self.tranqd(drill.config(
            ["wikipedia"], self.druid.url, properties=dict(HANG, **{
                "tranqd.dataDir": os.path.join(self.disk.path, "data")})))

    def tearDown(self):
        self.thaw()
        super().tearDown()

    def worker(self):
        return self.server.data_source("wikipedia")["worker"]

    def test_it(self):
        """For a while it is borne. For longer the worker is killed, and its
        successor waits until the kernel has let go of it."""
        running = self.start_load(
            self.server, rate=2000, compare=self.druid.url, retry=True,
            connections=4, seconds=600, events=None, settle=60)
        wait_for(lambda: self.druid.stats()["events"] > 1000)
        pid = self.worker()["pid"]
        self.ice(self.FREEZE)
        wait_for(lambda: self.worker().get("silentMs", 0) > 2500,
                 "it waits for long", 20)
        self.assertIn("waits for the disk", self.worker()["silence"])
        self.thaw()
        had = self.druid.stats()["events"]
        wait_for(lambda: self.druid.stats()["events"] > had)
        self.assertEqual(self.worker()["pid"], pid)
        self.ice(self.FREEZE)
        wait_for(lambda: "it is killed" in self.worker().get("silence", ""),
                 "it is killed", 30)
        self.assertEqual(self.worker()["pid"], pid)
        self.thaw()
        wait_for(lambda: self.worker()["pid"] not in (0, pid)
                 and self.worker()["state"] == "ready", "it is replaced")
        self.assertEqual(self.worker()["lastDeath"]["how"],
                         "hung and was killed")
        had = self.druid.stats()["events"]
        wait_for(lambda: self.druid.stats()["events"] > had)
        running.stop()
        self.check_load(running.finish())
        self.check_whole(self.server, self.druid, killed=True)


class TestStopped(SupervisionCase):
    """SIGSTOP, and SIGCONT or none."""
    properties = HANG

    def test_idle_worker(self):
        self.server.post("wikipedia", harness.events(10))
        self.await_drained(self.server)
        others = self.pids("wikipedia")
        pid = self.worker()["pid"]
        harness.kill(pid, signal.SIGSTOP)
        death = self.await_replaced(self.worker, pid)
        self.check_hung(death, pid, "is stopped", "sleeps in its loop")
        self.check_others(others)
        self.assertEqual(self.server.post(
            "wikipedia", harness.events(10, 10)).sent, 10)
        self.check_ids(self.druid, "wikipedia",
                       [f"e-{n}" for n in range(20)])

    @drill.long_form
    def test_each_under_load(self):
        """A worker and a receiver are replaced, nothing else is."""
        running = self.begin()
        self.goes_on()
        others = self.pids("wikipedia", "receiver 0")
        pid = self.worker()["pid"]
        harness.kill(pid, signal.SIGSTOP)
        self.check_hung(self.await_replaced(self.worker, pid), pid,
                        "is stopped")
        self.goes_on("wikipedia")
        pid = self.pids()["receiver 0"]
        harness.kill(pid, signal.SIGSTOP)
        self.goes_on()  # there is another one
        self.check_hung(self.await_replaced(
            lambda: self.server.status()["receivers"][0], pid), pid,
            "is stopped")
        self.goes_on()
        self.end(running)
        self.check_others(others)

    def test_supervisor(self):
        """The children go on without it, and are all there afterwards but
        for one that died meanwhile."""
        running = self.begin()
        self.goes_on()
        others = self.pids("wikipedia")
        pid = self.worker()["pid"]
        harness.kill(self.server.process.pid, signal.SIGSTOP)
        had = self.druid.stats()["events"]
        wait_for(lambda: self.druid.stats()["events"] > had + 4000,
                 "events go on", BACK_SECONDS)
        harness.kill(pid)
        time.sleep(3)  # longer than the time-out: that is what is tried
        harness.kill(self.server.process.pid, signal.SIGCONT)
        self.assertEqual(
            self.await_replaced(self.worker, pid)["how"],
            "killed by signal 9 (Killed)")
        self.goes_on("wikipedia")
        self.end(running)
        self.check_others(others)
        for c in (self.server.status()["receivers"]
                  + [self.worker("clicks")]):
            self.assertEqual(c["deathCount"], 0, c)

    @drill.long_form
    def test_all_of_them(self):
        """As a machine that is suspended, or Ctrl-Z: nobody is to blame."""
        running = self.begin()
        self.goes_on()
        before = self.pids()
        family = drill.family(self.server)
        for sig in signal.SIGSTOP, signal.SIGCONT:
            for pid in family:
                harness.kill(pid, sig)
            time.sleep(3 if sig == signal.SIGSTOP else 0)
        self.goes_on()
        self.end(running)
        self.check_others(before)
        self.check_no_crash(self.server)


class TestStoppedForLong(SupervisionCase):
    """Longer than all that clients and Druid are waited for, and then on."""
    properties = {"tranqd.hangTimeout": "PT0S", "http.blockTimeout": "PT1S",
                  "druidBeam.firehoseRetryPeriod": "PT1S",
                  "http.idleTimeout": "PT2S"}
    pause = 4

    def pause_of(self, pid_of):
        running = self.begin()
        self.goes_on()
        before = self.pids()
        pid = pid_of()
        harness.kill(pid, signal.SIGSTOP)
        time.sleep(self.pause)  # what is tried
        harness.kill(pid, signal.SIGCONT)
        self.goes_on("wikipedia")
        self.goes_on("clicks")
        report = self.end(running)
        self.check_others(before)
        self.check_no_crash(self.server)
        return report

    def test_worker(self):
        self.pause_of(lambda: self.worker()["pid"])

    @drill.long_form
    def test_receiver(self):
        self.pause_of(lambda: self.pids()["receiver 0"])

    @drill.long_form
    def test_druid(self):
        self.pause_of(lambda: self.druid.process.pid)


@unittest.skipUnless(shutil.which("gdb"), "gdb is not installed")
class TestDebugger(SupervisionCase):
    def gdb(self, pid, *commands):
        arguments = ["gdb", "-q", "-nx", "-batch", "-p", str(pid),
                     "-iex", "set debuginfod enabled off",
                     "-iex", "set auto-solib-add off"]
        for c in commands:
            arguments += ["-ex", c]
        done = subprocess.run(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=60,
            preexec_fn=harness.die_with_parent)
        if "ptrace: Operation not permitted" in done.stdout:
            self.skipTest("no process may be traced here")
        return done.stdout

    def crash(self, child, *commands):
        pid = child()["pid"]
        said = self.gdb(pid, *commands)
        wait_for(lambda: child()["pid"] != pid, f"it is dead: {said}")
        death = self.await_replaced(child, pid)
        self.assertEqual(death["pid"], pid)
        return death["how"]

    def test_crashes(self):
        """A worker aborts, jumps to 0, and a receiver does."""
        running = self.begin()
        self.goes_on()
        how = self.crash(self.worker, "signal SIGABRT")
        self.assertIn("Aborted", how)
        self.goes_on("wikipedia")
        how = self.crash(self.worker, "set var $pc = 0", "continue",
                         "continue")
        self.assertIn("Segmentation fault", how)
        self.goes_on("wikipedia")
        how = self.crash(lambda: self.server.status()["receivers"][0],
                         "set var $pc = 0", "continue", "continue")
        self.assertIn("Segmentation fault", how)
        self.goes_on()
        self.end(running)

    @drill.long_form
    def test_held_for_long(self):
        """Who is held too long in a debugger is killed like any other; its
        successor comes when the debugger lets go of what is left."""
        self.server.reload(self.document(**HANG))
        running = self.begin()
        self.goes_on()
        pid = self.worker()["pid"]
        gdb = subprocess.Popen(
            ["gdb", "-q", "-nx", "-p", str(pid),
             "-iex", "set debuginfod enabled off"], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=harness.die_with_parent)
        try:
            wait_for(lambda: process.state(pid) == "t"
                     or gdb.poll() is not None, "it is held")
            if gdb.poll() is not None:
                self.skipTest("no process may be traced here")
            wait_for(lambda: process.state(pid) == "Z", "it is killed", 20)
            self.assertEqual(self.worker()["pid"], pid)
            self.assertIn("it is killed", self.worker()["silence"])
        finally:
            gdb.kill()
            gdb.communicate()
        self.check_hung(self.await_replaced(self.worker, pid), pid,
                        "held by a debugger")
        self.end(running)


class TestNoBirth(SupervisionCase):
    """What a process needs is not to be had."""
    with_faults = True

    def test_no_fork(self):
        running = self.begin(data_source="wikipedia")
        wait_for(lambda: self.counts(self.server, "wikipedia")["sent"] > 4000)
        others = self.pids("wikipedia")
        self.faults.control.forks_fail = 1
        self.server.kill_worker("wikipedia")
        worker = wait_for(lambda: self.worker()["deathCount"] > 3
                          and self.worker(), "it is tried again")
        self.assertEqual(worker["state"], "backoff")
        self.assertEqual(worker["lastDeath"]["how"], "could not be started")
        self.assertIn("Resource temporarily unavailable",
                      worker["lastDeath"]["lastWords"])
        self.assertLessEqual(worker["nextStartMs"], 30000)
        said = self.server.tranqctl("status").stdout
        self.assertRegex(said, r"next start +in ")
        self.assertEqual(self.server.post("clicks", harness.events(5)).sent, 5)
        # the pauses grow: 100 ms, 200, 400, …
        time.sleep(1)
        self.assertLess(self.faults.control.hits, 10)
        self.faults.control.forks_fail = 0
        wait_for(lambda: self.worker()["state"] == "ready", "it is back",
                 BACK_SECONDS)
        self.goes_on("wikipedia")
        self.end(running)
        self.check_others(others)

    def test_no_memory_for_a_reload(self):
        before = self.pids()
        held = {p: process.holdings(p) for p in drill.family(self.server)}
        self.faults.control.memfds_fail = 1
        document = self.document()
        self.data_sources = self.data_sources + ["third"]
        ok, text = self.server.reload(self.document())
        self.assertFalse(ok, text)
        self.assertIn("nothing was changed", text)
        self.assertIn("third", self.server.log())
        self.assertIn("ulimit", self.server.log())
        self.faults.control.memfds_fail = 0
        self.check_others(before)
        for pid, h in held.items():
            self.assertEqual(process.difference(h, process.holdings(pid)), {})
        self.assertTrue(self.server.reload(self.document())[0])
        self.assertEqual(self.server.post("third", harness.events(5)).sent, 5)
        self.assertTrue(self.server.reload(document)[0])


class TestTwoOwners(drill.Case):
    def test_worker_outlives_its_supervisor(self):
        """It is stopped with events in its rings, and its supervisor is
        killed: the next tranqd says who has the spool, and goes on when it
        is free; nothing is lost."""
        druid = self.sandbox("--check", "full")
        server = self.tranqd(drill.config(["wikipedia", "clicks"], druid.url))
        server.post("wikipedia", harness.events(10))
        old = server.worker_pid("wikipedia")
        harness.kill(old, signal.SIGSTOP)
        self.addCleanup(lambda: harness.is_alive(old)
                        and harness.kill(old, signal.SIGCONT))
        with server.client() as client:
            # it waits in the ring; nobody has promised anything
            client.connection.request(
                "POST", "/v1/post/wikipedia?async=true",
                harness.lines(harness.events(10, 10)),
                {"Content-Type": "application/json"})
            wait_for(lambda: server.data_source("wikipedia")["inRings"] == 10)
        server.process.kill()
        server.process.wait()
        server.process = None
        server.spawn()

        def refused():
            try:
                worker = server.data_source("wikipedia")["worker"]
            except OSError:  # the socket of the one that was killed
                return False
            return worker["lastDeath"] and worker["lastDeath"]["lastWords"]
        words = wait_for(refused, "it is refused", 30)
        self.assertIn(f"pid {old};", words)
        self.assertIn("another process owns it", words)
        server.port = server.status()["supervisor"]["httpPort"]
        self.assertEqual(server.post("clicks", harness.events(5)).sent, 5)
        harness.kill(old, signal.SIGCONT)
        server.wait_ready(60)
        self.assertEqual(
            server.post("wikipedia", harness.events(10, 20)).sent, 10)
        self.check_ids(druid, "wikipedia", [f"e-{n}" for n in range(30)])
        self.check_whole(server, druid, killed=True)
        harness.wait_gone(old)


class TestMany(drill.Case):
    """200 dataSources."""
    time_bound = 180
    count = 200 if drill.LONG else 90

    def names(self, count):
        return [f"ds{n}" for n in range(count)]

    def figures(self, server, what, began):
        own = sum(process.memory(p)["Pss"] for p in drill.family(server))
        print(f"    {what}: {time.monotonic() - began:.1f} s, all processes "
              f"together {own / MIB:.0f} MiB (PSS)")

    def test_start_reload_death(self):
        druid = self.sandbox()
        server = self.tranqd(drill.config(self.count, druid.url), start=False)
        began = time.monotonic()
        server.start(60)
        self.assertLess(time.monotonic() - began, 20)
        self.figures(server, f"start of {self.count}", began)
        supervisor = server.process.pid
        receiver = server.receiver_pids()[0]
        # one receiver's descriptors: two a dataSource
        self.assertLess(sum(process.descriptors(receiver).values()),
                        2 * self.count + 30)
        for p in drill.family(server):
            self.assertLess(drill.memory_of(p), 24 * MIB)
        self.all_die(server)
        # the log comes by a descriptor of its own from the first reload on
        self.assertTrue(server.reload()[0])
        held = process.holdings(supervisor), process.holdings(receiver)
        began = time.monotonic()
        ok, text = server.reload(drill.config(1, druid.url))
        self.assertTrue(ok, text)
        self.assertLess(time.monotonic() - began, 20)
        self.figures(server, f"reload, {self.count - 1} removed", began)
        began = time.monotonic()
        ok, text = server.reload(drill.config(self.count, druid.url))
        self.assertTrue(ok, text)
        self.assertLess(time.monotonic() - began, 20)
        self.figures(server, f"reload, {self.count - 1} added", began)
        server.wait_ready()
        for pid, before in zip((supervisor, receiver), held):
            self.assertEqual(
                process.difference(before, process.holdings(pid)), {})
        self.assertEqual(server.receiver_pids()[0], receiver)
        self.assertEqual(server.post("ds7", harness.events(7)).sent, 7)
        self.assertEqual(server.post(
            f"ds{self.count - 1}", harness.events(7)).sent, 7)

    def all_die(self, server):
        """At once: 64 of them are back at once, then one every 25 ms."""
        workers = [d["worker"]["pid"]
                   for d in server.status()["dataSources"]]
        # it hears of all of them in one go
        harness.kill(server.process.pid, signal.SIGSTOP)
        for pid in workers:
            harness.kill(pid)
        wait_for(lambda: all(process.state(p) == "Z" for p in workers),
                 "all are dead")
        began = time.monotonic()
        harness.kill(server.process.pid, signal.SIGCONT)
        server.wait_ready(60)
        self.figures(server, f"{self.count} deaths at once", began)
        self.assertLess(time.monotonic() - began, 30)
        born = sorted(re.findall(
            r"T(\d\d:\d\d:\d\d\.\d+)Z info supervisor\[\d+\]: worker \S+: "
            r"ready after", server.log()))
        self.assertEqual(len(born), 2 * self.count)
        queued = [int(ms) for ms in re.findall(
            r"died together; started again in (\d+) ms", server.log())]
        self.assertEqual(sorted(queued), [
            25 * n for n in range(1, self.count - 64 + 1)])
        for d in server.status()["dataSources"]:
            self.assertEqual(d["worker"]["deathCount"], 1)

    def test_too_few_descriptors(self):
        server = self.tranqd(drill.config(self.count, "http://localhost:1"),
                             start=False)
        for folder in server.data_dir, server.run_dir:
            os.makedirs(folder)
            os.chmod(folder, 0o777)
        done = self.tranqd_as_nobody(server, lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (300, 300)))
        self.assertEqual(done.returncode, 71, done)
        self.assertRegex(done.stdout, rf"{self.count} dataSources and 2 "
                         r"receivers need \d+ descriptors, the limit is 300; "
                         r"raise it")


class TestNothingIsLeft(drill.Case):
    """No zombie, descriptor, mapping or watch is left, and no memory."""
    time_bound = 120 if not drill.LONG else 1800
    workers, kills, reloads = (200, 5, 1000) if drill.LONG else (6, 5, 30)

    def setUp(self):
        super().setUp()
        self.druid = self.sandbox()

    def holdings(self, server):
        """Of the processes that live on, and of one worker."""
        family = {"supervisor": server.process.pid,
                  "worker": server.worker_pid("ds0")}
        for n, pid in enumerate(server.receiver_pids()):
            family[f"receiver {n}"] = pid
        held = {}
        for name, pid in family.items():
            held[name] = process.holdings(pid)
            held[name]["watches"] = process.watches(pid)
        return held, {n: process.memory(p)["Anonymous"]
                      for n, p in family.items()}

    def settled(self, server):
        """Whatever closes connections or is told later has come to rest."""
        return wait_for(lambda: (h := self.holdings(server)) and
                        h[0] == self.holdings(server)[0] and h,
                        "nothing changes any more")

    def check_same(self, server, before, memory_bound=2 * MIB):
        def same():
            held, memory = self.holdings(server)
            for name in held:
                more = {k: n for k, n in process.difference(
                    before[0][name], held[name]).items() if n > 0}
                if name == "worker":  # connections to tasks, as it has need
                    more.pop(("fd", "socket"), None)
                    more.pop("watches", None)
                assert more == {}, (name, more)
                grown = memory[name] - before[1][name]
                assert grown < memory_bound, (name, grown)
            return True
        wait_for(same, "nothing is left", 20)
        self.assertEqual(process.zombies(server.process.pid), [])
        self.assertEqual(
            len(harness.children(server.process.pid)),
            len(server.status()["dataSources"]) + 2)

    def test_restarts(self):
        server = self.tranqd(drill.config(
            self.workers, self.druid.url, properties={
                "tranqd.ringBytes": "64KiB"}))
        def deaths():
            return sum(d["worker"]["deathCount"]
                       for d in server.status()["dataSources"])
        for n in range(self.workers):  # all have once done all they do
            server.kill_worker(f"ds{n}")
        server.wait_ready(60)
        before = self.settled(server)
        for n in range(1, self.kills):
            pids = [d["worker"]["pid"]
                    for d in server.status()["dataSources"]]
            for pid in pids:
                harness.kill(pid)
            wait_for(lambda: deaths() == self.workers * (n + 1),
                     "all deaths are noticed")
            server.wait_ready(60)
        self.check_same(server, before)

    def test_receiver_restarts(self):
        """More than five in a row wait, so few in the short form."""
        server = self.tranqd(drill.config(3, self.druid.url))
        server.kill_receiver(1)
        server.wait_ready()
        before = self.settled(server)
        for _ in range(4 if not drill.LONG else 12):
            server.kill_receiver(1)
            server.wait_ready(60)
        self.check_same(server, before)

    def test_reloads(self):
        """Added, changed, removed, refused, under load."""
        def variant(n):
            names = ["ds0"] + [f"ds{i}" for i in range(1, 1 + n % 4)]
            entries = [harness.data_source(name) for name in names]
            entries[-1]["properties"]["tranquility.lingerMillis"] = n % 3
            return drill.config(entries, self.druid.url)
        server = self.tranqd(variant(3))
        running = self.start_load(
            server, data_source="ds0", rate=500, retry=True, seconds=3600,
            connections=4, compare=self.druid.url, events=None)
        for n in range(8):
            self.assertTrue(server.reload(variant(n))[0])
        running.stop()
        self.check_load(running.finish(), compare=False)
        before = self.settled(server)
        running = self.start_load(
            server, data_source="ds0", rate=500, retry=True, seconds=3600,
            connections=4, compare=self.druid.url, events=None)
        for n in range(self.reloads):
            if n % 10 == 9:
                server.document["dataSources"] = []
                server.write()
                ok, text = server.reload()
                self.assertFalse(ok, text)
            ok, text = server.reload(variant(n))
            self.assertTrue(ok, text)
        self.assertTrue(server.reload(variant(7))[0])
        running.stop()
        self.check_load(running.finish(), compare=False)
        self.check_same(server, before)
        self.check_no_crash(server)


if __name__ == "__main__":
    drill.main()
