#!/usr/bin/env python3
"""The n-th allocation fails, for every n (the short form: for some), in every
kind of process, while it starts and while it works: a clean refusal, or a
clean end of that process with its reason; never a crash, and nothing that was
acknowledged is lost."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
import injection  # noqa: E402
import smile  # noqa: E402
from harness import wait_for  # noqa: E402

REASON = re.compile("memory|limits|cannot be initialised", re.IGNORECASE)
WRONG_REMEDY = re.compile("spool verify|damaged|look at the disk")
MODES = (1, injection.ALWAYS)  # one fails, or it and all behind it
A_DAEMON = 60  # processes of one kind that one daemon starts


class MemoryCase(drill.Case):
    time_bound = 1800 if drill.LONG else 180

    def setUp(self):
        super().setUp()
        self.memory = injection.Memory(self.folder)
        self.druid = self.sandbox("--check", "full")

    def start(self, document, **how):
        return self.tranqd(document, environment=self.memory.environment,
                           **how)

    def check_deaths(self, tranqd):
        """No process was killed by a signal."""
        status = tranqd.status()
        for child in (status["receivers"]
                      + [d["worker"] for d in status["dataSources"]]):
            for death in child["deaths"]:
                self.assertEqual(death["status"] & 0x7f, 0,
                                 (child, tranqd.log()[-2000:]))


class TestStart(MemoryCase):
    def run_tranqd(self, server, n, strikes):
        """A start that gives up says why; True: it has not met the n-th."""
        with open(server.log_file, "w"):
            pass
        self.memory.fail("supervisor", first=n, strikes=strikes)
        server.spawn()
        wait_for(lambda: server.process.poll() is not None
                 or "HTTP port" in server.log())
        code = server.process.poll()
        if code is None:
            self.memory.clear()
            self.assertEqual(server.stop(signal.SIGQUIT), 0)
            return self.memory.struck() == 0
        server.process = None
        self.assertGreater(code, 0, (n, server.log()))
        self.assertRegex(server.log(), REASON, n)
        return False

    def test_supervisor(self):
        server = self.start(drill.config(1, self.druid.url), start=False)
        for strikes in MODES:
            n = 0
            while not self.run_tranqd(server, n, strikes):
                n += 1 if drill.LONG else 397
            self.assertGreater(n, 300)
            print(f"{n} allocations of a start, {strikes} fail")

    def test_commands(self):
        server = self.start(drill.config(1, self.druid.url), start=False)
        for command in "check", "config":
            for n in range(0, 10000, 1 if drill.LONG else 37):
                self.memory.fail("supervisor", first=n)
                done = subprocess.run(
                    [harness.program("tranqd"), command, "-c",
                     server.config_file], env=server.environment, text=True,
                    stdin=subprocess.DEVNULL, capture_output=True)
                if not self.memory.struck():
                    break
                self.assertGreaterEqual(done.returncode, 0, (n, done))
                if done.returncode > 0:
                    self.assertRegex(done.stderr, REASON, (n, done))
            self.assertEqual(done.returncode, 0, done)
            self.assertGreater(n, 100)

    def children(self, kind, document, where, offset, strikes, step=1,
                 starts=1):
        server = self.start(document, name=f"{kind}{offset}-{strikes}",
                            start=False)
        for _ in range(starts):
            self.memory.fail(kind, first=offset, step=step,
                             last=offset + (A_DAEMON - 1) * step,
                             strikes=strikes)
            server.start()
            met = self.memory.struck()
            self.check_deaths(server)
            for child in where(server.status()):
                self.check_last_words(child["lastDeath"], server)
            self.memory.clear()
            self.assertEqual(server.stop(), 0)
        return met > 0

    def check_last_words(self, death, server):
        if death is None:
            return
        self.assertEqual(death["how"], "exit status 75")
        # before it has where to keep them, they are in the log
        self.assertRegex(death["lastWords"] or server.log(), REASON)
        self.assertNotRegex(death["lastWords"], WRONG_REMEDY)

    def test_workers(self):
        def where(status):
            return [d["worker"] for d in status["dataSources"]]
        document = drill.config(A_DAEMON, self.druid.url, properties={
            "tranqd.ringBytes": "64KiB", "tranqd.receivers": 1})
        for strikes in MODES if drill.LONG else MODES[:1]:
            offset, step = 0, 1 if drill.LONG else 67
            while self.children("worker", document, where, offset, strikes,
                                step):
                offset += A_DAEMON * step
            self.assertGreater(offset, 0)
            print(f"{offset} allocations of a worker's start")

    def test_openings(self):
        """The first of a worker, which open its spool, a new one and one
        that is there: nothing is told of as damage."""
        def where(status):
            return [d["worker"] for d in status["dataSources"]]
        document = drill.config(A_DAEMON, self.druid.url, properties={
            "tranqd.ringBytes": "64KiB", "tranqd.receivers": 1})
        for offset in 0, A_DAEMON:
            self.assertTrue(self.children("worker", document, where, offset,
                                          1, starts=2))

    def test_receivers(self):
        document = drill.config(1, self.druid.url, properties={
            "tranqd.receivers": A_DAEMON, "tranqd.ringBytes": "64KiB"})
        for strikes in MODES:
            self.assertTrue(self.children(
                "receiver", document, lambda s: s["receivers"], 0, strikes))


class TestWork(MemoryCase):
    """While it works. A process that ended is started again, and what was
    answered 200 is in Druid at the end."""

    def setUp(self):
        super().setUp()
        self.run, self.sent = 0, []
        self.ds = "wikipedia"
        self.begin()

    def begin(self):
        self.run += 1
        self.server = self.start(self.document(), name=f"t{self.run}")

    def await_all(self):
        """Whoever died has been replaced; a death is noticed a moment
        later."""
        def is_up():
            status = self.server.wait_ready()
            return all(harness.is_alive(c["pid"]) for c in status["receivers"]
                       + [d["worker"] for d in status["dataSources"]])
        wait_for(is_up)

    def document(self):
        lines = drill.data_source("lines", timestamp=("time", "auto"))
        parser = lines["spec"]["dataSchema"]["parser"]["parseSpec"]
        parser["flattenSpec"] = {"fields": [
            {"type": "path", "name": "deep", "expr": "$.at[0].x"},
            {"type": "jq", "name": "sum", "expr": ".added + 1"}]}
        words = drill.data_source("words", dimensions=["id"], timestamp=(
            "time", "yyyy-MM-dd'T'HH:mm:ss.SSSZ"))
        words["spec"]["dataSchema"]["parser"]["parseSpec"].update(
            format="regex", pattern="(\\S+) (\\S+)", columns=["time", "id"])
        rows = drill.data_source("rows", dimensions=["id"])
        rows["spec"]["dataSchema"]["parser"]["parseSpec"].update(
            format="csv", columns=["time", "id"])
        data_sources = {"lines": lines, "words": words, "rows": rows}
        return drill.config(
            [data_sources.get(self.ds, self.ds)], self.druid.url, properties={
                "tranqd.receivers": 1, "tranqd.ringBytes": "256KiB",
                "druidBeam.firehoseRetryPeriod": "PT5S",
                "http.blockTimeout": "PT1S"})

    def end(self):
        self.memory.clear()
        self.await_all()
        self.check_deaths(self.server)
        self.await_drained(self.server)
        self.server.stop()

    def deaths(self):
        status = self.server.status()
        return sum(c["deathCount"] for c in status["receivers"]
                   + [d["worker"] for d in status["dataSources"]])

    def post(self, body, headers):
        """The status, or None when there was no answer."""
        try:
            return self.server.request("POST", f"/v1/post/{self.ds}", body,
                                       headers).status
        except (OSError, harness.http.client.HTTPException):
            return None

    def each(self, kind, body, headers, step, patience=400):
        """One request with the n-th allocation of the kind failing, until
        there are fewer. A daemon whose process has died several times waits
        before it starts the next, so another daemon goes on."""
        for strikes in MODES if drill.LONG else MODES[:1]:
            n = 0
            while n < patience:
                self.run += 1
                events = harness.events(5, run=f"{self.ds}{self.run}")
                self.memory.fail(kind, first=n, strikes=strikes)
                status = self.post(body(events), headers)
                self.assertIn(status, (200, 400, 413, 503, None), n)
                if status == 200:
                    self.sent += [(self.ds, e["id"]) for e in events]
                    if kind == "worker":
                        self.settle()
                struck = self.memory.struck()
                self.memory.clear()
                if not struck:
                    break
                if self.deaths() > (0 if drill.LONG else 2):
                    self.end()
                    self.begin()
                self.await_all()
                n += 1 if drill.LONG else step
            self.assertLess(n, patience)
            print(f"{kind}, {self.ds}: {n} allocations, {strikes} fail, {headers}")

    def settle(self):
        """Until the worker has nothing to do, or is gone."""
        def is_quiet():
            d = self.server.data_source(self.ds)
            a = d["accounts"]
            return (d["worker"]["state"] != "ready"
                    or a["spool"] + a["inRings"] == 0)
        try:
            wait_for(is_quiet)
        except AssertionError as e:
            self.fail(f"{e}: {self.server.data_source(self.ds)}")

    def check_sent(self):
        self.end()
        found = {(ds, e["id"]) for ds in ("wikipedia", "lines", "words",
                                          "rows") for e in self.druid.events(ds)}
        self.assertEqual(set(self.sent) - found, set())
        self.assertGreater(len(self.sent), 0)

    def test_receiver(self):
        """Each kind of body, the first of its kind in that process."""
        plain = {"Content-Type": "text/plain"}
        json_type = {"Content-Type": "application/json"}

        def text(events):
            return json.dumps(events).encode()

        def lines(form):
            return lambda events: "".join(
                form.format(**e) for e in events).encode()
        kinds = [
            (text, json_type, "wikipedia"),
            (lambda e: gzip.compress(text(e)),
             {**json_type, "Content-Encoding": "gzip"}, "wikipedia"),
            (lambda e: zlib.compress(text(e)),
             {**json_type, "Content-Encoding": "deflate"}, "wikipedia"),
            (lambda e: subprocess.run(["zstd", "-c"], input=text(e),
                                      stdout=subprocess.PIPE).stdout,
             {**json_type, "Content-Encoding": "zstd"}, "wikipedia"),
            (smile.dumps, {"Content-Type": "application/x-jackson-smile"},
             "wikipedia"),
            (harness.lines, plain, "lines"),
            (lines("{time} {id}\n"), plain, "words"),
            (lines("{time},{id}\n"), plain, "rows")]
        for body, headers, ds in kinds:
            self.end()
            self.ds = ds
            self.begin()
            self.each("receiver", body, headers, 29 if ds == "lines" else 3)
            self.await_all()
            self.check_deaths(self.server)
        self.check_sent()

    def test_worker(self):
        self.each("worker", lambda e: json.dumps(e).encode(),
                  {"Content-Type": "application/json"}, 13, patience=3000)
        self.check_sent()


if __name__ == "__main__":
    drill.main()
