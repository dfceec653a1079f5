"""The stand-in Druid, tranq-sandbox, for a test.

    with Sandbox("--check", "full") as druid:
        ... druid.url ...                 the Overlord
        druid.events("wikipedia")         what arrived, parsed, in order
        druid.stats()["violations"]       what tranqd should not have done
        druid.fault("drop", count=1)      see tools/sandbox_fault.h
        druid.await_stats(lambda s: s["events"] == 100)

The program is found in TRANQ_BIN (default build/bin).
"""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from machine import die_with_parent, reserve_port

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
AWAIT_SECONDS = 30
STOP_SECONDS = 30


def program(name):
    return os.path.join(
        os.environ.get("TRANQ_BIN", os.path.join(ROOT, "build", "bin")), name)


def await_true(condition, what="condition", seconds=AWAIT_SECONDS):
    """Waits until condition() is true, and returns what it returned."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


class Sandbox:
    def __init__(self, *options, environment=None):
        self.options = options
        self.environment = dict(os.environ, **(environment or {}))
        self.process = None
        self.url = None
        self.reserved = reserve_port()  # also for another start

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        self.reserved.close()

    def start(self):
        """On the port it had before, too."""
        port = self.reserved.getsockname()[1]
        self.process = subprocess.Popen(
            [program("tranq-sandbox"), "--port", str(port), *self.options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            env=self.environment, preexec_fn=die_with_parent)
        line = self.process.stdout.readline().decode().strip()
        if not line.startswith("http://"):
            self.process.wait(STOP_SECONDS)
            raise RuntimeError("tranq-sandbox does not start")
        self.url = line

    @property
    def port(self):
        return int(self.url.rsplit(":", 1)[1])

    def stop(self):
        """Ends it in good order; an unclean end (a sanitizer's) is an error."""
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        status = self.process.wait(STOP_SECONDS)
        self.process.stdout.close()
        if status != 0:
            raise RuntimeError(f"tranq-sandbox ended with {status}")

    def kill(self):
        """Ends it at once, with all that it knew."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def request(self, method, path, body=None, headers=None):
        """(status, headers, body) of one request."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, body, headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=AWAIT_SECONDS) as r:
                return r.status, r.headers, r.read()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.headers, e.read()

    def _json(self, method, path, body=None):
        status, _, answer = self.request(method, path, body)
        if status != 200:
            raise AssertionError(f"{method} {path}: {status} {answer!r}")
        return json.loads(answer)

    def get(self, path):
        """The JSON answer."""
        return self._json("GET", path)

    def stats(self):
        return self._json("GET", "/sandbox/stats")

    def await_stats(self, condition, what="statistics", seconds=AWAIT_SECONDS):
        """Waits until condition(statistics) is true; returns them."""
        def reached():
            stats = self.stats()
            return stats if condition(stats) else None
        return await_true(reached, what, seconds)

    def violations(self):
        """Kind and count of what tranqd should not have done."""
        return self.stats()["violations"]["byKind"]

    def events(self, ds, **query):
        """The dataSource's events, parsed, in order of arrival."""
        return [json.loads(line) for line in self.event_lines(ds, **query)]

    def event_lines(self, ds, **query):
        """The same as bytes, as they came."""
        query = urllib.parse.urlencode(dict(query, dataSource=ds))
        status, _, answer = self.request("GET", "/sandbox/events?" + query)
        if status != 200:
            raise AssertionError(f"events: {status} {answer!r}")
        return answer.splitlines()

    def fault(self, fault, on=True, **members):
        """Begins or ends a fault; how many were changed."""
        return self._json("POST", "/sandbox/fault",
                          dict(members, fault=fault, on=on))["changed"]

    def reset(self):
        self._json("POST", "/sandbox/reset", {})

    # Kafka supervisors: tools/sandbox_supervisor.h

    def druid(self, version, kafka=True):
        """From now on it is that one."""
        status, _, answer = self.request(
            "POST", "/sandbox/druid", {"version": version, "kafka": kafka})
        if status != 200:
            raise AssertionError(f"druid {version}: {status} {answer!r}")

    def supervisors(self):
        """By id, what they are: spec, stored offsets, groups …"""
        return self._json("GET", "/sandbox/supervisor")

    def supervisor(self, id, do, **members):
        """One of the commands; what became of it."""
        return self._json("POST", "/sandbox/supervisor",
                          dict(members, id=id, do=do))

    def ask_supervisor(self, path="", body=None, method=None):
        """Druid's own API: (status, JSON or text). A body, or a method that
        is given, makes it a POST."""
        status, _, answer = self.request(
            method or ("GET" if body is None else "POST"),
            "/druid/indexer/v1/supervisor" + path, body,
            {"Content-Type": "application/json"})
        try:
            return status, json.loads(answer)
        except ValueError:
            return status, answer.decode()

    def read_on(self, id, to, *, partition=0, at=None, group=None,
                events=b""):
        """A group of the supervisor's has read on, to before that offset.
        False: none reads there (any more)."""
        query = {"supervisor": id, "partition": partition, "to": to}
        if at is not None:
            query["from"] = at
        if group is not None:
            query["group"] = group
        status, _, answer = self.request(
            "POST", "/sandbox/read?" + urllib.parse.urlencode(query), events)
        if status not in (200, 409):
            raise AssertionError(f"read: {status} {answer!r}")
        return status == 200
