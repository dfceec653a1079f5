"""What integration tests have in common: tranqd, clients, and a guard.

    class TestSomething(harness.Case):
        def test_it(self):
            druid = self.sandbox()
            tranqd = self.tranqd(harness.config(["wikipedia"], druid.url))
            answer = tranqd.post("wikipedia", harness.events(100))
            self.assertEqual(answer.sent, 100)
            harness.wait_for(lambda: len(druid.events("wikipedia")) == 100)

Each test has a folder of its own (self.folder) and ends all it has started.
At its end a guard fails it when a process is left (children that went away
from their parents too) or a port is still listened on. The folder goes away,
but for TRANQ_KEEP=1; the logs of a test that failed are printed.

Programs are found in TRANQ_BIN (default build/bin).
"""

import ctypes
import datetime
import gzip
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from machine import die_with_parent, reserve_port
from puller import Puller
from sandbox import ROOT, Sandbox, program  # noqa: F401

WAIT_SECONDS = 30
START_SECONDS = 30
STOP_SECONDS = 60
ANSWER_SECONDS = 90
LOAD_SECONDS = 600
LEFT_SECONDS = 10     # that children of a killed supervisor have to go away
LOG_TAIL_BYTES = 6000

PR_SET_CHILD_SUBREAPER = 36


# ---- waiting, ports, processes ----

def wait_for(condition, what="the condition", seconds=WAIT_SECONDS,
             step=0.02):
    """Waits until condition() is true and returns what it returned. An
    AssertionError of the condition counts as not yet."""
    end = time.monotonic() + seconds
    while True:
        error = ""
        try:
            value = condition()
            if value:
                return value
        except AssertionError as e:
            error = f": {e}"
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}{error}")
        time.sleep(step)


def is_listening(port):
    """Whether somebody listens on the port (connections that are ending do
    not count)."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            s.listen(1)
        except OSError:
            return True
    return False


def is_alive(pid):
    """A zombie is not."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def kill(pid, sig=signal.SIGKILL):
    assert pid > 0, "it does not run now"  # 0 would be all of us
    os.kill(pid, sig)


def wait_gone(pids, seconds=STOP_SECONDS):
    pids = [pids] if isinstance(pids, int) else list(pids)
    wait_for(lambda: not any(is_alive(p) for p in pids),
             f"processes {pids} gone", seconds)


def children(pid):
    found = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as f:
                found += [int(p) for p in f.read().split()]
    except OSError:
        pass
    return found


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child] + descendants(child)
    return found


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def adopt_orphans():
    """Processes whose parents end become children of this one."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_orphans():
    """Zombies that no Popen waits for."""
    active = {p.pid for p in getattr(subprocess, "_active", [])}
    for pid in children(os.getpid()):
        if pid not in active and not is_alive(pid):
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


# ---- configurations and events ----

DIMENSIONS = ["channel", "page", "user", "id"]
METRICS = [{"type": "count", "name": "count"},
           {"type": "longSum", "name": "added", "fieldName": "added"}]


def data_source(name, *, dimensions=DIMENSIONS, metrics=METRICS,
                timestamp=("time", "auto"), segment="HOUR", query="none",
                window="PT10M", properties=None):
    """An entry of the configuration's dataSources."""
    return {
        "spec": {
            "dataSchema": {
                "dataSource": name,
                "parser": {"type": "string", "parseSpec": {
                    "format": "json",
                    "timestampSpec": {"column": timestamp[0],
                                      "format": timestamp[1]},
                    "dimensionsSpec": {"dimensions": list(dimensions)}}},
                "metricsSpec": list(metrics),
                "granularitySpec": {"type": "uniform",
                                    "segmentGranularity": segment,
                                    "queryGranularity": query}},
            "tuningConfig": {"type": "realtime", "windowPeriod": window}},
        "properties": dict(properties or {})}


def config(data_sources, overlord=None, zookeeper=None, **properties):
    """A configuration. data_sources: a number (ds0, ds1, …), or a list of
    names and entries. Properties are written with '_' for '.' where that is
    no doubt, or given as a dict: properties={"task.partitions": 2}."""
    if isinstance(data_sources, int):
        data_sources = [f"ds{i}" for i in range(data_sources)]
    entries = [data_source(d) if isinstance(d, str) else d
               for d in data_sources]
    values = dict(properties.pop("properties", {}))
    values.update({k.replace("_", "."): v for k, v in properties.items()})
    if overlord is not None:
        values["druid.overlord.url"] = overlord
    if zookeeper is not None:
        values["zookeeper.connect"] = zookeeper
    return {"dataSources": entries, "properties": values}


def iso(seconds=None):
    """Now, or seconds since 1970, as 2026-11-22T10:00:00.000Z."""
    at = datetime.datetime.fromtimestamp(
        time.time() if seconds is None else seconds, datetime.timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"


def events(count, first=0, run="e", at=None, **members):
    """Events with the ids RUN-FIRST … of a time (seconds since 1970)."""
    when = iso(at)
    return [dict({"id": f"{run}-{n}", "time": when, "channel": "#en.wikipedia",
                  "page": f"Page {n % 97}", "user": f"user{n % 31}",
                  "added": n % 1000}, **members)
            for n in range(first, first + count)]


def lines(list_of_events):
    return b"".join(json.dumps(e, ensure_ascii=False).encode() + b"\n"
                    for e in list_of_events)


# ---- HTTP ----

class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)

    @property
    def received(self):
        return self.json()["result"]["received"]

    @property
    def sent(self):
        return self.json()["result"]["sent"]

    def __repr__(self):
        return f"<{self.status} {self.body[:200]!r}>"


class Client:
    """One connection, kept open over requests."""

    def __init__(self, port, timeout=ANSWER_SECONDS, host="127.0.0.1"):
        self.connection = http.client.HTTPConnection(
            host, port, timeout=timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.connection.close()

    def request(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body, headers or {})
        response = self.connection.getresponse()
        return Answer(response.status, dict(response.getheaders()),
                      response.read())

    def post(self, ds, body, *, is_async=False, is_gzip=False, is_array=False,
             content_type="application/json", headers=None, query=""):
        """ds: None posts to /v1/post. body: events, or bytes as they are."""
        if not isinstance(body, bytes):
            body = (json.dumps(body, ensure_ascii=False).encode() if is_array
                    else lines(body))
        fields = {"Content-Type": content_type}
        if is_gzip:
            body = gzip.compress(body, 1)
            fields["Content-Encoding"] = "gzip"
        fields.update(headers or {})
        if is_async:
            query = (query + "&" if query else "") + "async=true"
        path = "/v1/post" + (f"/{ds}" if ds is not None else "")
        return self.request(
            "POST", path + (f"?{query}" if query else ""), body, fields)


def raw(port, data, *, seconds=ANSWER_SECONDS, end=False):
    """Sends bytes as they are; returns all that comes until the other side
    closes. end: no more is sent (half closed)."""
    with socket.create_connection(("127.0.0.1", port), seconds) as s:
        s.settimeout(seconds)
        try:
            s.sendall(data)
            if end:
                s.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = b""
        try:
            while piece := s.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


# ---- tranqd ----

class Tranqd:
    """One instance in a folder of its own, on a port that nobody else gets
    while it is stopped. within: a command that it is started by, with its
    address there."""

    def __init__(self, folder, document, *, environment=None,
                 binary=None, within=(), host="127.0.0.1"):
        self.folder = folder
        self.binary = binary or program("tranqd")
        self.within, self.host = list(within), host
        self.document = json.loads(json.dumps(document))
        self.environment = dict(os.environ, **(environment or {}))
        self.process = None
        self.port = None
        # a namespace of its own has no others who might take it
        self.reserved = None if within else reserve_port(host)
        os.makedirs(folder, exist_ok=True)
        for name, value in {
                "http.address": host,
                "http.port": 0 if within else self.reserved.getsockname()[1],
                "tranqd.runDir": os.path.join(folder, "run"),
                "tranqd.dataDir": os.path.join(folder, "data"),
                "tranqd.receivers": 2}.items():
            self.document.setdefault("properties", {}).setdefault(name, value)
        self.write()

    # the files

    @property
    def config_file(self):
        return os.path.join(self.folder, "tranqd.json")

    @property
    def run_dir(self):
        return self.document["properties"]["tranqd.runDir"]

    @property
    def data_dir(self):
        return self.document["properties"]["tranqd.dataDir"]

    @property
    def control_socket(self):
        return (self.document["properties"].get("tranqd.controlSocket")
                or os.path.join(self.run_dir, "control.sock"))

    @property
    def log_file(self):
        return os.path.join(self.folder, "tranqd.log")

    def log(self):
        try:
            with open(self.log_file, errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def write(self, document=None):
        """Writes the configuration, a new one with the old paths and port."""
        if document is not None:
            mine = {k: v for k, v in self.document["properties"].items()
                    if k.startswith(("tranqd.", "http."))}
            self.document = json.loads(json.dumps(document))
            self.document["properties"] = dict(
                mine, **self.document.get("properties", {}))
        with open(self.config_file, "w") as f:
            json.dump(self.document, f, indent=1)

    # its life

    def spawn(self):
        """Starts it and does not wait."""
        assert self.process is None, "tranqd runs already"
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                self.within
                + [self.binary, "start", "-c", self.config_file],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.folder, env=self.environment,
                preexec_fn=die_with_parent)

    def start(self, seconds=START_SECONDS):
        self.spawn()
        self.wait_ready(seconds)
        return self

    def _is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(
                f"tranqd ended with {self.process.returncode}:\n"
                + self.log()[-LOG_TAIL_BYTES:])
        try:
            status = self.status()
        except OSError:
            return False
        return (status["supervisor"]["state"] == "running"
                and all(r["state"] == "ready" for r in status["receivers"])
                and all(d["worker"]["state"] == "ready"
                        for d in status["dataSources"]) and status)

    def await_status(self):
        """Its first; the socket's file is there before anybody listens."""
        def status():
            try:
                return self.status()
            except OSError:
                return None
        return wait_for(status, "it says how it is", START_SECONDS)

    def wait_ready(self, seconds=START_SECONDS):
        """All receivers and workers are up. Returns the status."""
        status = wait_for(self._is_ready, "tranqd is ready", seconds)
        self.port = status["supervisor"]["httpPort"]
        self.document["properties"]["http.port"] = self.port
        self.write()
        return status

    def stop(self, sig=signal.SIGTERM, seconds=STOP_SECONDS):
        """Ends it in good order; returns the exit code."""
        left = descendants(self.process.pid)
        self.process.send_signal(sig)
        return self._ended(left, seconds)

    def kill(self):
        """Ends the supervisor at once and waits until its children, which
        notice it, are gone too."""
        left = descendants(self.process.pid)
        self.process.kill()
        return self._ended(left, STOP_SECONDS)

    def kill_all(self):
        """As a power cut would: all processes at once."""
        left = descendants(self.process.pid)
        # none may see another one die
        for pid in [self.process.pid] + left:
            _signal(pid, signal.SIGSTOP)
        for pid in [self.process.pid] + left:
            _signal(pid, signal.SIGKILL)
        return self._ended(left, STOP_SECONDS)

    def kill_one(self, kind, rnd):
        """One of its processes of that kind: feed, worker or receiver."""
        status = self.status()
        pids = {"feed": [status["feed"]["pid"]],
                "worker": [d["worker"]["pid"] for d in status["dataSources"]],
                "receiver": [r["pid"] for r in status["receivers"]]}[kind]
        pids = [p for p in pids if p > 0]
        if pids:
            # it may have died by itself of the last one
            _signal(rnd.choice(pids), signal.SIGKILL)

    def _ended(self, left, seconds):
        try:
            code = self.process.wait(seconds)
        finally:
            if self.process.poll() is not None:
                self.process = None
        wait_gone(left)
        reap_orphans()
        return code

    def restart(self):
        self.stop()
        return self.start()

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    # asking it

    def control(self, line, seconds=STOP_SECONDS):
        """(ok, text, body) of a request on the control socket."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(seconds)
            s.connect(self.control_socket)
            s.sendall(line.encode() + b"\n")
            answer = b""
            while piece := s.recv(65536):
                answer += piece
        head, _, rest = answer.partition(b"\n")
        while head.startswith(b"wait"):
            head, _, rest = rest.partition(b"\n")
        word, _, text = head.decode().partition(" ")
        return word == "ok", text, rest

    def status(self):
        ok, text, body = self.control("status")
        assert ok, text
        return json.loads(body)

    def data_source(self, ds):
        """Its part of the status."""
        for d in self.status()["dataSources"]:
            if d["name"] == ds:
                return d
        raise AssertionError(f"no dataSource {ds} in the status")

    def accounts(self, ds):
        """Where its events are; that they add up is asserted."""
        accounts = self.data_source(ds)["accounts"]
        assert accounts["holds"], f"accounts of {ds} do not add up: {accounts}"
        return accounts

    def worker_pid(self, ds):
        return self.data_source(ds)["worker"]["pid"]

    def receiver_pids(self):
        return [r["pid"] for r in self.status()["receivers"]]

    def _kill_child(self, pid_of, sig):
        """The pid that is told may be that of one who has just died, or 0
        until there is another: it is waited for. Returns when the status
        no longer says that it is there."""
        def killed():
            pid = pid_of()
            if pid == 0 or not is_alive(pid):
                return 0
            try:
                kill(pid, sig)
            except ProcessLookupError:
                return 0
            return pid

        def is_noticed():
            try:
                return pid_of() != pid
            except OSError:
                return True  # nor is the supervisor there any more
        pid = wait_for(killed, "there is one to be killed", START_SECONDS)
        wait_gone(pid)
        wait_for(is_noticed, "its death is noticed")
        return pid

    def kill_worker(self, ds, sig=signal.SIGKILL):
        """Kills a dataSource's worker; returns when it is gone."""
        return self._kill_child(lambda: self.worker_pid(ds), sig)

    def kill_receiver(self, index=0, sig=signal.SIGKILL):
        return self._kill_child(lambda: self.receiver_pids()[index], sig)

    def reload(self, document=None):
        """Writes the configuration, when there is a new one, and has it
        read. (ok, text)."""
        if document is not None:
            self.write(document)
        return self.control("reload")[:2]

    def tranqctl(self, *arguments, seconds=STOP_SECONDS):
        return run_program("tranqctl", "-c", self.config_file, *arguments,
                           seconds=seconds)

    # clients

    def client(self, timeout=ANSWER_SECONDS):
        return Client(self.port, timeout, self.host)

    def post(self, ds, body, **how):
        with self.client() as client:
            return client.post(ds, body, **how)

    def request(self, method, path, body=None, headers=None):
        with self.client() as client:
            return client.request(method, path, body, headers)

    @property
    def url(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def _signal(pid, sig):
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


# ---- other programs ----

def run_program(name, *arguments, seconds=STOP_SECONDS, **how):
    """A program of ours to its end: a CompletedProcess with text."""
    return subprocess.run(
        [program(name), *map(str, arguments)], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        errors="replace", timeout=seconds, preexec_fn=die_with_parent, **how)


def _load_arguments(arguments, options):
    words = [str(a) for a in arguments] + ["--json"]
    for name, value in options.items():
        name = "--" + name.replace("_", "-")
        if value is True:
            words.append(name)
        elif value is not None and value is not False:
            words += [name, str(value)]
    return words


class LoadReport(dict):
    """tranq-load's report, its exit code beside it."""
    code = None


class Load:
    """tranq-load in the background: options as keywords (batch=100,
    retry=True, compare=sandbox.url)."""

    def __init__(self, *arguments, environment=None, **options):
        self.process = subprocess.Popen(
            [program("tranq-load")] + _load_arguments(arguments, options),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent,
            env=dict(os.environ, **(environment or {})))

    def finish(self, patience=LOAD_SECONDS):
        out, error = self.process.communicate(timeout=patience)
        if not out.strip():
            raise AssertionError(
                f"tranq-load ended with {self.process.returncode}: {error}")
        report = LoadReport(json.loads(out))
        report.code = self.process.returncode
        report.error = error
        return report

    def stop(self):
        """No more requests; finish() tells what was done."""
        self.process.send_signal(signal.SIGTERM)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()


def load(*arguments, patience=LOAD_SECONDS, **options):
    """Runs tranq-load to its end and returns its report."""
    running = Load(*arguments, **options)
    try:
        return running.finish(patience)
    finally:
        running.close()


# ---- tests ----

class Case(unittest.TestCase):
    """The base of all integration tests. time_bound (seconds) may be set in
    a class or on a method; the runner ends what takes longer."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        adopt_orphans()

    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix="tranqd-test-")
        self.addCleanup(self._remove_folder)  # behind a set-up that fails too
        self._started = []
        self._ports = set()
        # a class may have some running that all its tests share
        self._before = set(descendants(os.getpid()))

    def tranqd(self, document, *, name="tranqd", start=True, **how):
        """A tranqd that ends with the test."""
        tranqd = Tranqd(os.path.join(self.folder, name), document, **how)
        if tranqd.reserved is not None:
            self.addCleanup(tranqd.reserved.close)
        self._started.append(tranqd)
        return tranqd.start() if start else tranqd

    def sandbox(self, *options, **how):
        """A stand-in Druid that ends with the test."""
        sandbox = Sandbox(*options, **how)
        self.addCleanup(sandbox.reserved.close)
        sandbox.start()
        self._started.append(sandbox)
        self._ports.add(sandbox.port)
        return sandbox

    def puller(self, druid, id, **how):
        """Plays the tasks of that Kafka supervisor until the test's end."""
        puller = Puller(druid, id, **how)
        self._started.append(puller)
        return puller

    def closed_port(self, address="127.0.0.1"):
        """A port on which nobody listens, nor can before the test's end."""
        s = socket.socket(socket.AF_INET6 if ":" in address
                          else socket.AF_INET)
        self.addCleanup(s.close)
        s.bind((address, 0))
        return s.getsockname()[1]

    def reserved_port(self):
        """A port for a program that is started again and again, and binds
        with SO_REUSEADDR; nobody else gets it meanwhile."""
        s = reserve_port()
        self.addCleanup(s.close)
        return s.getsockname()[1]

    def load(self, tranqd, druid=None, **options):
        """tranq-load against it, compared with what druid has; a good end is
        asserted."""
        if druid is not None:
            options["compare"] = druid.url
        report = load(url=tranqd.url, **options)
        self.assertEqual(report.code, 0, f"{dict(report)} {report.error}")
        return report

    def start_load(self, tranqd, **options):
        """The same in the background; it ends with the test."""
        running = Load(url=tranqd.url, **options)
        self._started.append(running)
        return running

    def _failed(self):
        result = self._outcome.result
        return any(getattr(test, "test_case", test) is self
                   for test, _ in result.errors + result.failures)

    def _print_logs(self):
        for thing in self._started:
            if isinstance(thing, Tranqd):
                print(f"---- end of {thing.log_file} ----")
                print(thing.log()[-LOG_TAIL_BYTES:])

    def _end(self, thing):
        if isinstance(thing, Tranqd):
            if thing.port is not None:
                self._ports.add(thing.port)
            if thing.is_running:
                thing.stop(signal.SIGQUIT)
        elif isinstance(thing, Load):
            thing.close()
        elif isinstance(thing, Puller):
            thing.stop(check=not self._failed())
        elif thing.process is not None and thing.process.poll() is None:
            thing.stop()

    def tranqd_as_nobody(self, server, prepare=lambda: None):
        """tranqd's end with a server's configuration, run by an ordinary
        user, for whom rights and limits count. prepare() is called in the
        process that becomes it, as whoever runs the test."""
        os.chmod(self.folder, 0o755)
        # the source tree may be where that user may not go
        copy = shutil.copy(program("tranqd"),
                           os.path.join(self.folder, "program"))

        def become_nobody():
            prepare()
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            die_with_parent()  # what setuid would undo
        return subprocess.run(
            [copy, "start", "-c", server.config_file],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=20,
            preexec_fn=become_nobody)

    def _left(self):
        reap_orphans()
        return [p for p in descendants(os.getpid())
                if p not in self._before and is_alive(p)]

    def _guard(self):
        try:
            wait_for(lambda: not self._left(), seconds=LEFT_SECONDS)
        except AssertionError:
            left = self._left()
            names = [f"{p} {command_line(p)}" for p in left]
            for pid in left:
                _signal(pid, signal.SIGKILL)
            self.fail(f"processes are left: {names}")
        taken = [p for p in self._ports if is_listening(p)]
        self.assertFalse(taken, "ports are still listened on")

    def _remove_folder(self):
        if os.environ.get("TRANQ_KEEP"):
            print(f"kept: {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def tearDown(self):
        problems = []
        if self._failed():
            self._print_logs()
        for thing in reversed(self._started):
            try:
                self._end(thing)
            except Exception as e:  # all others are to be ended too
                problems.append(f"{type(e).__name__}: {e}")
        self._guard()
        self.assertFalse(problems, "at the test's end")
        super().tearDown()


def main():
    """For a test file that is run by itself."""
    unittest.main()

