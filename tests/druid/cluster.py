"""The real Druid of tests/druid/druid, for a test: up, asked, cleaned, down.

    with Cluster() as druid:
        druid.sql("SELECT 1")             rows, each a list
        druid.tasks("wiki")               what the Overlord knows of them
"""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
DRUID = os.path.join(HERE, "druid")
UP_SECONDS = 600  # the first time fetches all jars
ASK_SECONDS = 30
POLL_SECONDS = 0.1


class Failure(Exception):
    """What was expected did not come; the text says where to look."""


def await_true(condition, what, seconds, where=None, pause=POLL_SECONDS):
    """Waits until condition() returns something true, and returns that.
    `where`: a function that says how things are and which logs to read."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"not within {seconds} s: {what}" +
                          (f"; {where()}" if where else ""))
        time.sleep(pause)


def free_port():
    """Of this machine; it may be taken again after a restart, so none of
    those that connections out are given."""
    with open("/proc/sys/net/ipv4/ip_local_port_range",
              encoding="ascii") as f:
        low, high = (int(n) for n in f.read().split())
    while True:
        port = random.randrange(10000, 65000)
        if low <= port <= high:
            continue
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port


class Refused(Exception):
    def __init__(self, status, text):
        super().__init__(f"{status} {text[:300]}")
        self.status = status
        self.text = text


def ask(url, body=None, method=None):
    """The JSON answer of one request; Refused when it is not 200."""
    headers = {}
    if body is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(body).encode()
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=ASK_SECONDS) as answer:
            text = answer.read()
    except urllib.error.HTTPError as e:
        with e:
            raise Refused(e.code, e.read().decode(errors="replace")) from None
    return json.loads(text) if text else None


def _children(pid):
    found = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children",
                  encoding="ascii") as f:
            found += [int(p) for p in f.read().split()]
    return found


class Cluster:
    def __init__(self, keep=False):
        self.keep = keep
        self.was_up = False
        self.env = {}
        self.seen = set()  # dataSources to clean up

    def __enter__(self):
        self.was_up = self._druid("status", subprocess.DEVNULL) == 0
        if self._druid("up", sys.stderr) != 0:
            raise Failure("Druid does not come up; see build/druid/log")
        text = subprocess.run([DRUID, "env"], check=True, text=True,
                              stdout=subprocess.PIPE).stdout
        self.env = dict(line.split("=", 1) for line in text.splitlines())
        return self

    def __exit__(self, *_):
        if self.keep:
            return
        if not self.was_up:
            self._druid("down", sys.stderr)
            return
        for name in self.seen:
            self.forget(name)

    def _druid(self, command, output, *options):
        return subprocess.run([DRUID, command, *options],
                              stdin=subprocess.DEVNULL, stdout=output,
                              stderr=output, timeout=UP_SECONDS,
                              check=False).returncode

    def mend(self, *options):
        """Starts again what has died."""
        if self._druid("up", sys.stderr, *options) != 0:
            raise Failure(f"Druid does not come up again; see {self.logs}")

    def restart_overlord(self, *options):
        pid = self.service_pid("coordinator")
        os.kill(pid, signal.SIGTERM)
        await_true(lambda: not os.path.exists(f"/proc/{pid}"),
                   "the Overlord's end", ASK_SECONDS)
        self.mend(*options)

    def forget(self, name):
        """Ends what runs of it, and has its segments unloaded."""
        if self.major >= 31:
            with contextlib.suppress(Refused, OSError):
                self.order(name, "terminate")
        for url in (f"{self.indexer}/datasources/{name}/shutdownAllTasks",
                    f"{self.env['DRUID_COORDINATOR']}"
                    f"/druid/coordinator/v1/datasources/{name}"):
            try:
                ask(url, method="POST" if url.endswith("s") else "DELETE")
            except (Refused, OSError) as e:
                if getattr(e, "status", None) == 404:
                    continue  # nothing of it is left
                print(f"druid: {name} not cleaned up: {e}", file=sys.stderr)

    @property
    def major(self):
        return int(self.env["DRUID_VERSION"].split(".")[0])

    @property
    def kafka(self):
        """Whether it has the extension whose supervisors pull."""
        return self.env["DRUID_KAFKA"] == "yes"

    @property
    def zk(self):
        return self.env["DRUID_ZK"]

    @property
    def overlord(self):
        return self.env["DRUID_OVERLORD"]

    @property
    def indexer(self):
        return self.overlord + "/druid/indexer/v1"

    @property
    def logs(self):
        return self.env["DRUID_DIR"] + "/log"

    def sql(self, query, *parameters):
        """Rows as lists; None while the broker does not know the table."""
        body = {"query": query, "resultFormat": "array",
                "context": {"useCache": False, "populateCache": False,
                            "useApproximateCountDistinct": False},
                "parameters": [{"type": "VARCHAR", "value": p}
                               for p in parameters]}
        try:
            return ask(self.env["DRUID_BROKER"] + "/druid/v2/sql", body)
        except Refused as e:
            if e.status == 400 and "not found" in e.text:
                return None
            raise

    @contextlib.contextmanager
    def committed(self):
        """A URL that answers with what the metadata store says of
        {supervisor}."""
        with subprocess.Popen(
                ["java", "-Xmx64m", "-cp", self.env["DRUID_LIB"] + "/*",
                 os.path.join(HERE, "Committed.java"),
                 self.env["DRUID_METADATA"]], text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            port = server.stdout.readline().strip()
            if not port:
                raise Failure("Committed.java does not begin")
            yield f"http://127.0.0.1:{port}/?id={{supervisor}}"

    # ---- tasks ----

    def tasks(self, name):
        """Status objects of all tasks of the dataSource, ended ones too."""
        return ask(f"{self.indexer}/tasks?datasource={name}")

    def free_slots(self):
        """Of each MiddleManager."""
        return [w["worker"]["capacity"] - w["currCapacityUsed"]
                for w in ask(self.indexer + "/workers")]

    def service_pid(self, name):
        status = subprocess.run([DRUID, "status"], check=True, text=True,
                                stdout=subprocess.PIPE).stdout
        return next(int(line.split()[-1]) for line in status.splitlines()
                    if line.startswith(name + " "))

    def peon(self, task):
        """The pid of the process that runs this task; None while there is
        none."""
        for pid in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if pid.isdigit() and self._is_peon(pid, task):
                    return int(pid)
        return None

    def _is_peon(self, pid, task):
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            words = f.read().decode(errors="replace").split("\0")
        return "peon" in words and any(
            task in w.split("/") for w in words[words.index("peon"):])

    # ---- supervisors ----

    def supervisor(self, name):
        """The payload of its status."""
        return ask(f"{self.indexer}/supervisor/{name}/status")["payload"]

    def supervisor_spec(self, name):
        return ask(f"{self.indexer}/supervisor/{name}")

    def order(self, name, what):
        """suspend, resume, or terminate: its tasks publish what they have,
        and end."""
        ask(f"{self.indexer}/supervisor/{name}/{what}", method="POST")

    def second_worker(self):
        """The second MiddleManager: the pids of it and of its peons, and the
        ids of the tasks that these run."""
        pid = self.service_pid("middlemanager2")
        # its port follows that of the first
        tasks = max(ask(self.indexer + "/workers"),
                    key=lambda w: w["worker"]["host"])["runningTasks"]
        peons = _children(pid)
        if len(peons) != len(tasks):
            raise Failure(f"peons {peons} of {pid}, and its tasks are "
                          f"{tasks}; see {self.logs}")
        return [pid, *peons], tasks

    def task_sums(self, task, name):
        """[count, added, deleted, delta] as this one task has them."""
        place = task["location"]
        sums = ("count", "added", "deleted", "delta")
        query = {"queryType": "timeseries", "dataSource": name,
                 "intervals": ["2000-01-01/2100-01-01"],
                 "granularity": "all", "context": {"useCache": False},
                 "aggregations": [{"type": "longSum", "name": n,
                                   "fieldName": n} for n in sums]}
        rows = ask(f"http://{place['host']}:{place['port']}/druid/v2/", query)
        result = rows[0]["result"] if rows else {}
        return [result.get(n) or 0 for n in sums]

    # ---- hand-off ----

    def holders(self, name):
        """[(segment, type of a server that has it)], as the Broker knows."""
        rows = self.sql(
            "SELECT x.segment_id, s.server_type FROM sys.server_segments x"
            " JOIN sys.servers s ON s.server = x.server") or []
        return [(segment, kind) for segment, kind in rows
                if segment.startswith(name + "_")]

    def segments(self, name):
        """[(segment, types of the servers that have it)]"""
        found = {}
        for segment, kind in self.holders(name):
            found.setdefault(segment, set()).add(kind)
        return sorted(found.items())

    def handed_off(self, name, killed=()):
        """All tasks but the killed ones have ended well, and historicals
        alone have the rest."""
        tasks = [t for t in self.tasks(name) if t["id"] not in killed]
        bad = [t["id"] for t in tasks if t["statusCode"] == "FAILED"]
        if bad:
            raise Failure(f"task {bad[0]} FAILED; its log is in "
                          f"{self.env['DRUID_DIR']}/var/task-logs")
        if any(t["statusCode"] != "SUCCESS" for t in tasks):
            return False
        segments = self.segments(name)
        return bool(segments) and all(
            kinds == {"historical"} for _, kinds in segments)

    def hand_off_state(self, name):
        tasks = [f"{t['id']}: {t['statusCode']}" for t in self.tasks(name)]
        segments = [f"{s}: {'+'.join(sorted(k))}"
                    for s, k in self.segments(name)]
        return (f"tasks {tasks}, segments {segments}; task logs in "
                f"{self.env['DRUID_DIR']}/var/task-logs, Druid's in "
                f"{self.logs}")
