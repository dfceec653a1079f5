#!/usr/bin/env python3
"""Reloads under load: not one request notices."""

import copy
import json
import os
import signal
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

RELOADS = 200 if drill.LONG else 24


class ReloadCase(drill.Case):
    time_bound = 1200 if drill.LONG else 120
    properties = {}

    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full")
        self.server = self.tranqd(self.document(["same", "changed"]))

    def document(self, data_sources, **properties):
        """same_async is unchanged always, changed_small as `changed` is."""
        both = ["same_async"]
        for d in data_sources:
            both.append(d)
            if d == "changed":
                both.append("changed_small")
            elif not isinstance(d, str) and (
                    d["spec"]["dataSchema"]["dataSource"] == "changed"):
                small = copy.deepcopy(d)
                small["spec"]["dataSchema"]["dataSource"] = "changed_small"
                both.append(small)
        return drill.config(both, self.druid.url, properties=dict(
            self.properties, **properties))

    def changed(self, n):
        """The dataSource `changed` as its n-th configuration has it."""
        return drill.data_source(
            "changed", dimensions=["id", "page", f"d{n}"],
            properties={"tranquility.maxBatchSize": 100 + n})

    def reload(self, document=None, seconds=30):
        ok, text = self.server.reload(document)
        self.assertTrue(ok, text)
        return text

    def load_on(self, ds, **options):
        return self.start_load(
            self.server, data_source=ds, compare=self.druid.url, seconds=600,
            connections=4, rate=options.pop("rate", 3000), **options)

    def finish(self, running):
        """Not one request has failed."""
        running.stop()
        report = self.check_load(running.finish())
        load = report["load"]
        self.assertEqual(set(load["answers"]), {"200"}, dict(report))
        self.assertEqual((load["broken"], load["refusedConnections"],
                          load["timeouts"], load["badAnswers"],
                          load["dropped"]), (0, 0, 0, 0, 0), dict(report))
        # what was on its way when the load ended is unknown
        self.assertEqual(report["events"]["refused"], 0)
        self.assertLessEqual(report["events"]["unknown"],
                             4 * report["batch"])
        return report


class TestUnderLoad(ReloadCase):
    def begin(self):
        names = ["same", "changed", "same_async", "changed_small"]
        self.running = [self.load_on(names[0]), self.load_on(names[1]),
                        self.load_on(names[2], **{"async": True}),
                        self.load_on(names[3], batch=1, rate=200)]
        for name in names:
            wait_for(lambda: self.counts(self.server, name)["received"] > 0)

    def end(self):
        for running in self.running:
            self.finish(running)
        self.check_whole(self.server, self.druid, killed=True)
        self.check_no_crash(self.server)

    def test_nothing_changes(self):
        self.begin()
        for _ in range(RELOADS):
            self.assertIn("4 unchanged", self.reload())
        self.end()

    def test_add_change_remove(self):
        """An added one gets load from its first moment to its last."""
        self.begin()
        for n in range(RELOADS):
            name = f"added{n}"
            self.assertIn("1 added", self.reload(self.document(
                ["same", self.changed(n), name])))
            load = self.load_on(name)
            wait_for(lambda: self.counts(self.server, name)["sent"] > 50)
            text = self.reload(self.document(
                ["same", self.changed(n + 1000), name]))
            self.assertIn("2 changed (changed, changed_small)", text)
            self.finish(load)
            text = self.reload(self.document(["same", self.changed(n)]))
            self.assertIn("1 removed", text)
        self.end()

    def test_removed_while_it_gets_load(self):
        """Requests before are answered 200, those behind it 400; nothing
        that was answered is lost."""
        self.begin()
        self.reload(self.document(["same", "changed", "going"]))
        load = self.load_on("going", rate=5000)
        wait_for(lambda: self.counts(self.server, "going")["received"] > 500)
        self.reload(self.document(["same", "changed"]))
        load.stop()
        report = self.check_load(load.finish())
        self.assertLessEqual(set(report["load"]["answers"]), {"200", "400"})
        self.assertEqual(report["load"]["broken"], 0)
        self.end()

    def test_by_signal(self):
        self.begin()
        for n in range(RELOADS // 2):
            self.server.write(self.document(["same", self.changed(n)]))
            before = self.server.status()["supervisor"]["reloads"]
            self.server.process.send_signal(signal.SIGHUP)
            wait_for(lambda: self.server.status()["supervisor"]["reloads"]
                     > before and not
                     self.server.status()["supervisor"]["reloading"])
            self.assertTrue(
                self.server.status()["supervisor"]["lastReload"]["ok"])
        self.end()

    def test_many_ask_at_once(self):
        """Eight at a time, and signals in between."""
        self.begin()
        answers = []

        def ask():
            for _ in range(RELOADS // 4):
                answers.append(self.server.control("reload")[:2])
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        while any(t.is_alive() for t in threads):
            self.server.process.send_signal(signal.SIGHUP)
            time.sleep(0.01)
        for thread in threads:
            thread.join()
        self.assertTrue(all(ok for ok, _ in answers), answers)
        self.end()

    def test_killed_workers_in_between(self):
        self.begin()
        for n in range(5):
            self.server.kill_worker("changed")
            self.reload(self.document(["same", self.changed(n)]))
        for running in self.running:
            self.finish(running)
        self.check_whole(self.server, self.druid, killed=True)

    def test_killed_receivers_in_between(self):
        load = self.start_load(self.server, data_source="same", retry=True,
                               compare=self.druid.url, seconds=600, rate=3000)
        for n in range(5):
            self.server.kill_receiver(n % 2)
            self.reload(self.document(["same", self.changed(n)]))
        load.stop()
        self.check_load(load.finish())
        self.check_whole(self.server, self.druid)
        # both have the latest
        self.reload(self.document(["same", "changed", "late"]))
        for _ in range(20):
            self.assertEqual(
                self.server.post("late", harness.events(1)).status, 200)


class TestConnections(ReloadCase):
    def test_idle_connections_survive(self):
        clients = [self.server.client() for _ in range(100)]
        for client in clients:
            self.addCleanup(client.close)
            self.assertEqual(client.request("GET", "/").status, 200)
        sockets = [c.connection.sock for c in clients]
        for n in range(5):
            self.reload(self.document(["same", self.changed(n), f"new{n}"]))
        for client, sock in zip(clients, sockets):
            answer = client.post("new4", harness.events(
                1, run=f"c{clients.index(client)}"))
            self.assertEqual((answer.status, answer.sent), (200, 1))
            self.assertIs(client.connection.sock, sock)

    def test_a_request_over_a_reload(self):
        """Its body comes before and behind it."""
        events = harness.events(10)
        body = harness.lines(events)
        with self.server.client() as client:
            c = client.connection
            c.putrequest("POST", "/v1/post/same")
            c.putheader("Content-Type", "application/json")
            c.putheader("Content-Length", str(len(body)))
            c.endheaders(body[:100])
            self.reload(self.document(["same", self.changed(1)]))
            c.send(body[100:])
            answer = c.getresponse()
            self.assertEqual(answer.status, 200, answer.read())
            answer.read()
        self.check_ids(self.druid, "same", drill.ids(events))

    def test_a_request_that_waits_over_a_reload(self):
        """Druid takes its time, its dataSource is changed or removed."""
        for ds, to in (("changed", ["same", self.changed(1)]),
                       ("changed", ["same"])):
            with self.subTest(to=len(to)):
                self.druid.fault("slow", ms=1000)
                events = harness.events(10, run=f"w{len(to)}")
                had = self.server.accounts(ds)["received"]
                answers = []
                thread = threading.Thread(target=lambda: answers.append(
                    self.server.post(ds, events)))
                thread.start()
                wait_for(lambda: self.server.accounts(ds)["received"]
                         == had + 10, "the request is in")
                self.reload(self.document(to))
                thread.join()
                self.druid.fault("none")
                self.assertEqual(answers[0].status, 200, answers)
                self.check_ids(
                    self.druid, ds, {f"w{k}-{n}" for n in range(10)
                                     for k in range(2, len(to) - 1, -1)})


class TestWhatChanges(ReloadCase):
    def test_a_changed_window(self):
        self.reload(self.document([
            "same", harness.data_source("changed", window="PT10M")]))
        old = harness.events(5, run="old", at=time.time() - 3 * 3600)
        self.assertEqual(self.server.post("changed", old).sent, 0)
        self.reload(self.document([
            "same", harness.data_source("changed", window="PT4H")]))
        self.assertEqual(self.server.post("changed", old).sent, 5)

    def test_live_properties(self):
        self.reload(self.document(["same", "changed"],
                                  **{"http.maxBodyBytes": 5000,
                                     "log.level": "debug"}))
        answer = self.server.post("same", harness.events(1000))
        self.assertEqual(answer.status, 413, answer)
        self.server.kill_worker("same")
        wait_for(lambda: " debug " in self.server.log())

    def test_restart_properties_are_told(self):
        ok, text, body = False, "", b""
        self.server.write(self.document(["same", "changed"],
                                        **{"tranqd.ringBytes": "1MiB"}))
        ok, text, body = self.server.control("reload")
        self.assertTrue(ok, text)
        self.assertIn(b"tranqd.ringBytes", body)
        self.assertEqual(
            self.server.post("same", harness.events(1)).sent, 1)

    def test_removed_with_events_that_wait(self):
        """They are told of, and delivered when it is configured again."""
        self.druid.fault("overlord-away", dataSource="changed")
        self.druid.fault("overlord-away")
        events = harness.events(100)
        self.assertEqual(self.server.post(
            "changed", events, is_async=True).status, 200)
        self.server.write(self.document(
            ["same"], **{"tranqd.drainTimeout": "PT1S"}))
        ok, text, body = self.server.control("reload")
        self.assertTrue(ok, text)
        self.assertIn(b"100 events still wait", body)
        self.druid.fault("none")
        self.reload(self.document(["same", "changed"]))
        self.check_ids(self.druid, "changed", drill.ids(events))
        self.check_whole(self.server, self.druid)


class TestRefused(ReloadCase):
    """Nothing changes, every problem is said, exit code 1."""

    def ask(self, *words):
        before = self.server.status()
        # the file is not good, so -c cannot say where the socket is
        done = harness.run_program(
            "tranqctl", "-s", self.server.control_socket, "reload")
        self.assertEqual(done.returncode, 1, done)
        for word in words:
            self.assertIn(word, done.stderr)
        after = self.server.status()
        for key in "receivers", "dataSources":
            self.assertEqual([c.get("pid", c.get("worker", {}).get("pid"))
                              for c in after[key]],
                             [c.get("pid", c.get("worker", {}).get("pid"))
                              for c in before[key]])
        self.assertFalse(after["supervisor"]["lastReload"]["ok"])
        self.assertEqual(after["supervisor"]["configurationNumber"],
                         before["supervisor"]["configurationNumber"])
        self.assertEqual(
            self.server.post("same", harness.events(1)).sent, 1)

    def test_no_json(self):
        with open(self.server.config_file, "w") as f:
            f.write('{"dataSources": [}')
        self.ask("tranqd.json", "nothing was changed")

    def test_no_file(self):
        os.unlink(self.server.config_file)
        self.ask("tranqd.json", "nothing was changed")

    def test_every_problem(self):
        document = self.document(["same", "changed", "same"])
        document["dataSources"][1]["spec"]["tuningConfig"][
            "windowPeriod"] = "soon"
        document["properties"]["task.partitions"] = -1
        document["properties"]["nonsense.x"] = 1
        self.server.write(document)
        self.ask("windowPeriod", "task.partitions", "nonsense.x", "same",
                 "nothing was changed")

    def test_under_load(self):
        running = self.load_on("same")
        wait_for(lambda: self.counts(self.server, "same")["sent"] > 0)
        good = copy.deepcopy(self.server.document)
        for n in range(5):
            with open(self.server.config_file, "w") as f:
                f.write("nonsense")
            ok, _ = self.server.reload()
            self.assertFalse(ok)
            with open(self.server.config_file, "w") as f:
                json.dump(good, f)
            self.reload()
        self.finish(running)
        self.check_whole(self.server, self.druid)

    @drill.long_form
    def test_a_worker_that_cannot_start(self):
        """Its spool is garbage: the reload is undone, behind 30 s."""
        spool = os.path.join(self.server.data_dir, "spool", "bad")
        os.makedirs(spool)
        with open(os.path.join(spool, "data.mdb"), "wb") as f:
            f.write(b"rubbish" * 10000)
        self.server.write(self.document(["same", "changed", "bad"]))
        running = self.load_on("same")
        began = time.monotonic()
        ok, text = self.server.reload()
        self.assertFalse(ok, text)
        self.assertIn("bad", text)
        self.assertLess(time.monotonic() - began, 60)
        self.finish(running)
        self.assertEqual([d["name"] for d in
                          self.server.status()["dataSources"]],
                         ["changed", "changed_small", "same", "same_async"])

    @drill.long_form
    def test_a_file_that_comes_late(self):
        """The time that the disk takes is none of the new worker's."""
        server, path = self.server, self.server.config_file
        server.write(self.document(["same", "changed", "late"]))
        os.rename(path, path + ".whole")
        os.mkfifo(path)
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "SIGHUP" in server.log(), "the reload begins")
        time.sleep(35)  # more than a worker has to become ready
        with open(path + ".whole") as f, open(path, "w") as late:
            late.write(f.read())
        wait_for(lambda: "reloaded: 1 added (late)" in server.log(),
                 "the reload is done", 30)


class TestLog(ReloadCase):
    properties = {}

    def test_reopening(self):
        """SIGUSR1, as logrotate sends it; all processes change over."""
        path = os.path.join(self.folder, "my.log")
        server = self.tranqd(drill.config(
            ["wikipedia"], self.druid.url, properties={"log.file": path}),
            name="second")
        os.rename(path, path + ".1")
        server.process.send_signal(signal.SIGUSR1)
        wait_for(lambda: os.path.exists(path) and open(path).read())
        self.assertEqual(
            server.post("wikipedia", harness.events(1)).sent, 1)
        pid = server.worker_pid("wikipedia")
        self.druid.fault("kill-task")
        wait_for(lambda: f"worker[{pid}]" in open(path).read(),
                 "the worker writes to the new one")
        size = os.path.getsize(path + ".1")
        server.kill_worker("wikipedia")
        wait_for(lambda: "killed by signal 9" in open(path).read())
        self.assertEqual(os.path.getsize(path + ".1"), size)
        server.stop()
        self.assertIn("stopped", open(path).read())


if __name__ == "__main__":
    drill.main()
