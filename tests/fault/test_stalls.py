#!/usr/bin/env python3
"""Processes of the cluster that stand still (SIGSTOP) for longer than all
time-outs, ports that other tasks have taken over, replicants that are lost:
each event once, and nobody but its task gets it."""

import http.server
import os
import signal
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
import liar  # noqa: E402
from harness import wait_for  # noqa: E402

STALL_SECONDS = 15 if drill.LONG else 3  # sessions last 1 s, pushes 1 s
HEAL_SECONDS = 20  # the longest pause between two tries is 15 s


class Books:
    """What was posted, and what is said of it."""
    properties = {"druidBeam.firehoseRetryPeriod": "PT1S",
                  "zookeeper.timeout": "PT1S"}

    def setUp(self):
        super().setUp()
        self.sent = []

    def post(self, server, run, count=50):
        events = harness.events(count, run=run)
        answer = server.post("wikipedia", events, is_async=True)
        self.assertEqual(answer.status, 200, answer)
        self.sent += drill.ids(events)

    def check_sent(self, **how):
        self.check_ids(self.druid, "wikipedia", self.sent,
                       seconds=HEAL_SECONDS, **how)

    def task_list(self):
        return sorted(self.druid.stats()["dataSources"]["wikipedia"]["tasks"])

    def beams(self, server):
        return server.data_source("wikipedia")["beams"]

    def troubles(self, server):
        return [t.get("trouble") for b in self.beams(server)["beams"]
                for t in b["tasks"] if t.get("trouble")]


class TestStopped(Books, drill.ZooKeeperCase):
    """kill -STOP of each process that tranqd speaks to, and of tranqd."""
    time_bound = 180

    def server(self, name="tranqd", **properties):
        return self.tranqd(drill.config(
            ["wikipedia"], None, self.zk.connect, properties={
                **self.paths, **self.properties, **properties}), name=name)

    def setUp(self):
        super().setUp()
        self.stopped = []

    def tearDown(self):
        self.go_on(*self.stopped)
        super().tearDown()

    def stop(self, *pids):
        self.stopped += pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

    @staticmethod
    def go_on(*pids):
        for pid in pids:
            if harness.is_alive(pid):
                os.kill(pid, signal.SIGCONT)

    def test_druid(self):
        """Overlord and tasks; before there is a task, then in the middle of
        a load."""
        server = self.server()
        pid = self.druid.process.pid
        for run in "no task", "task":
            self.stop(pid)
            end = time.monotonic() + STALL_SECONDS
            n = 0
            while time.monotonic() < end:
                self.post(server, f"{run}{n}")
                n += 1
                time.sleep(0.2)
            wait_for(lambda: self.beams(server)["notes"] if run == "no task"
                     else self.troubles(server), "the status says so")
            self.go_on(pid)
            self.check_sent()
        self.check_whole(server, self.druid)
        self.check_no_crash(server)
        self.assertEqual(len(self.task_list()), 1)

    @drill.long_form
    def test_druid_and_zookeeper(self):
        server = self.server()
        self.post(server, "a")
        self.check_sent()
        pids = [self.druid.process.pid, self.zk.process.pid]
        self.stop(*pids)
        self.post(server, "b")
        time.sleep(STALL_SECONDS)
        wait_for(lambda: self.beams(server)["zookeeper"] == "not connected")
        wait_for(lambda: self.troubles(server), "the status says so")
        self.go_on(pids[0])  # a known task wants no ZooKeeper
        self.check_sent()
        self.go_on(pids[1])
        wait_for(lambda: self.beams(server)["zookeeper"] == "connected")
        self.check_whole(server, self.druid)
        self.assertEqual(len(self.task_list()), 1)

    @drill.long_form
    def test_all_of_tranqd_under_load(self):
        """It wakes up and goes on, in no order of its processes."""
        server = self.server()
        running = self.start_load(server, compare=self.druid.url, retry=True,
                                  rate=2000, seconds=600, settle=20)
        wait_for(lambda: self.counts(server, "wikipedia")["sent"] > 200)
        for n in range(2):
            pids = drill.family(server)
            self.stop(*pids)
            time.sleep(STALL_SECONDS / 2)
            for pid in reversed(pids) if n else pids:
                self.go_on(pid)
            had = self.counts(server, "wikipedia")["sent"]
            wait_for(lambda: self.counts(server, "wikipedia")["sent"]
                     > had + 500, "it goes on")
        running.stop()
        report = running.finish()
        c = report["compare"]
        self.assertEqual((c["lost"], c["doubled"]), (0, 0), dict(report))
        self.check_whole(server, self.druid, killed=True)


class TestAway(Books, drill.Case):
    """A place that is doubted while nobody can say where the task is."""

    def test_overlord_away(self):
        self.druid = self.sandbox("--check", "full")
        server = self.tranqd(drill.config(
            ["wikipedia"], self.druid.url, properties=self.properties))
        self.post(server, "a")
        self.check_sent()
        self.druid.fault("overlord-away", refused=True)
        self.druid.fault("unavailable", count=3)
        self.post(server, "b")
        self.check_sent()
        wait_for(lambda: self.beams(server)["overlord"] != self.druid.url,
                 "the status says so")
        self.druid.fault("none")
        self.check_whole(server, self.druid)


class _ItWorks(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


class TestPortTakenOver(Books, drill.Case):
    """The task's process is gone, and another program has its port."""
    properties = {"druidBeam.firehoseRetryPeriod": "PT1S"}

    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full")
        self.front = liar.Liar(self.druid)
        self.addCleanup(self.front.close)
        self.server = self.tranqd(drill.config(
            ["wikipedia"], self.front.url, properties=self.properties))
        self.post(self.server, "a")
        self.check_sent()

    def divert(self, to_port):
        """Pushes to the known place reach another process."""
        other = type("Druid", (), {"port": to_port})
        through = liar.Liar(other)
        self.addCleanup(through.close)

        def lie(h):
            answer = through.ask("POST", h.path, h.headers, h.request_body)
            h.wfile.write(answer.whole())
        self.front.lie(lie, path="/druid/worker")

    def test_a_task_of_the_same_dataSource(self):
        """It has a firehose of the very name, as tasks of another day have;
        only the task's id tells them apart. It gets nothing."""
        foreign = self.sandbox("--check", "full")
        task = self.druid.get("/druid/indexer/v1/task/"
                              + self.task_list()[0])["payload"]
        task["id"] = "index_realtime_wikipedia_of_another_day_0_0"
        status, _, answer = foreign.request(
            "POST", "/druid/indexer/v1/task", task,
            {"Content-Type": "application/json"})
        self.assertEqual(status, 200, answer)
        self.divert(foreign.port)
        self.post(self.server, "b")
        wait_for(lambda: foreign.stats()["pushesByStatus"],
                 "a push goes there")
        wait_for(lambda: self.troubles(self.server), "the status says so")
        self.assertEqual(foreign.events("wikipedia"), [])
        self.assertNotIn("200", foreign.stats()["pushesByStatus"])
        self.front.honest()
        self.check_sent()
        self.check_whole(self.server, self.druid)
        self.assertEqual(foreign.events("wikipedia"), [])

    def test_another_program(self):
        """It says 200 to everything."""
        other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _ItWorks)
        thread = threading.Thread(target=other.serve_forever, args=(0.05,))
        thread.start()
        try:
            self.divert(other.server_address[1])
            self.post(self.server, "b")
            wait_for(lambda: "what answers 200 there is no firehose"
                     in self.troubles(self.server))
            self.assertEqual(self.server.accounts("wikipedia")["spool"], 50)
            self.front.honest()
            self.check_sent()
            self.check_whole(self.server, self.druid)
        finally:
            other.shutdown()
            thread.join()
            other.server_close()


class TestReplicantLost(Books, drill.Case):
    """One of two hangs for good: the other goes on, the spool does not grow,
    the status tells which one; killed, nothing waits for it."""
    properties = {"task.replicants": 2,
                  "druidBeam.firehoseRetryPeriod": "PT1S"}

    def test_hangs_then_fails(self):
        self.druid = self.sandbox("--check", "full")
        server = self.tranqd(drill.config(
            ["wikipedia"], self.druid.url, properties=self.properties))
        self.post(server, "a")
        for replicant in 0, 1:
            self.check_sent(replicant=replicant)
        lame = [t for t in self.task_list() if t.endswith("_1")][0]
        self.druid.fault("hang", task=lame)
        for n in range(5):
            self.post(server, f"b{n}")
        self.check_sent()
        wait_for(lambda: [t["state"] for b in self.beams(server)["beams"]
                          for t in b["tasks"]] == ["open", "lost"],
                 "the status tells which one")
        self.await_drained(server)
        self.druid.fault("kill-task", task=lame)
        self.druid.fault("none")
        self.post(server, "c")
        self.check_sent()
        self.await_drained(server)
        self.check_violations(self.druid)
        self.assertEqual(self.counts(server, "wikipedia")["tasksLost"], 1)


if __name__ == "__main__":
    drill.main()
