"""A tranqd process of its own, with everything it writes in one folder."""

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile

from cluster import Failure, await_true

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BIN = os.environ.get("TRANQ_BIN", os.path.join(ROOT, "build", "bin"))
START_SECONDS = 20
STOP_SECONDS = 60
STATUS_SECONDS = 15
DRAIN = "PT30S"

DIMENSIONS = [
    "id", "channel", "cityName", "comment", "countryIsoCode", "countryName",
    "isAnonymous", "isMinor", "isNew", "isRobot", "isUnpatrolled", "metroCode",
    "namespace", "page", "regionIsoCode", "regionName", "user",
]
SUMS = ["added", "deleted", "delta"]


def spec(name):
    """A minute's interval is over soon, and with the window and the grace
    period behind it there is time enough for a task to start."""
    metrics = [{"type": "count", "name": "count"}]
    metrics += [{"type": "longSum", "name": n, "fieldName": n} for n in SUMS]
    return {
        "dataSchema": {
            "dataSource": name,
            "parser": {"type": "string", "parseSpec": {
                "format": "json",
                "timestampSpec": {"column": "time", "format": "auto"},
                "dimensionsSpec": {"dimensions": DIMENSIONS}}},
            "metricsSpec": metrics,
            "granularitySpec": {"type": "uniform",
                                "segmentGranularity": "MINUTE",
                                "queryGranularity": "none"}},
        "tuningConfig": {"type": "realtime", "windowPeriod": "PT1M"}}


def wide_spec(name):
    """With a minute more, for what has to be over within the window."""
    whole = spec(name)
    whole["tuningConfig"]["windowPeriod"] = "PT2M"
    return whole


def period_spec(name):
    """Intervals of two minutes that start half a minute past an even one."""
    whole = spec(name)
    whole["dataSchema"]["granularitySpec"]["segmentGranularity"] = {
        "type": "period", "period": "PT2M", "timeZone": "Asia/Kathmandu",
        "origin": "2020-01-01T00:00:30Z"}
    return whole


def typed_spec(name):
    """The newer form of a dataSchema, dimensions of several types, a metric
    with a filter on a field that is none, and a transform."""
    whole = spec(name)["dataSchema"]
    return {
        "dataSchema": {
            "dataSource": name,
            "timestampSpec": {"column": "time", "format": "iso"},
            "dimensionsSpec": {"dimensions": [
                "id", "page", {"type": "long", "name": "added"},
                {"type": "float", "name": "deleted"},
                {"type": "double", "name": "delta"},
                {"type": "json", "name": "tree"},
                {"type": "string", "name": "twice",
                 "multiValueHandling": "SORTED_SET",
                 "createBitmapIndex": False}],
                "spatialDimensions": [{"dimName": "at",
                                       "dims": ["lat", "lon"]}]},
            "metricsSpec": [
                {"type": "count", "name": "count"},
                {"type": "filtered", "filter": {
                    "type": "selector", "dimension": "isRobot",
                    "value": "true"},
                 "aggregator": {"type": "count", "name": "robots"}}],
            "transformSpec": {"transforms": [
                {"type": "expression", "name": n, "expression": text}
                for n, text in (("twice", "concat(user, user)"),
                                   ("lat", "added % 90"),
                                   ("lon", "deleted % 180"))]},
            "granularitySpec": whole["granularitySpec"]},
        "tuningConfig": {"type": "realtime", "windowPeriod": "PT1M",
                         "maxRowsInMemory": 50000}}


def die_with_parent():
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


class Daemon:
    def __init__(self, name, properties, keep=False, make_spec=spec):
        if not os.access(os.path.join(BIN, "tranqd"), os.X_OK):
            raise Failure(f"no tranqd in {BIN}; run make all")
        self.name = name
        self.spec = make_spec(name)
        self.keep = keep
        self.folder = tempfile.mkdtemp(prefix="tranqd-druid-")
        self.log = os.path.join(self.folder, "tranqd.log")
        self.file = os.path.join(self.folder, "tranqd.json")
        self.process = None
        self.port = None
        self._write(properties)

    def _write(self, properties):
        everything = {
            "tranqd.runDir": os.path.join(self.folder, "run"),
            "tranqd.dataDir": os.path.join(self.folder, "data"),
            "tranqd.drainTimeout": DRAIN,
            "http.address": "127.0.0.1", "http.port": 0,
            "druidBeam.firehoseGracePeriod": "PT20S", **properties}
        with open(self.file, "w", encoding="utf-8") as f:
            json.dump({"dataSources": [{"spec": self.spec}],
                       "properties": everything}, f, indent=1)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.keep = True
            self._end()
            raise
        return self

    def start(self):
        """Its state is that of its last life. A port that it was given stays
        the same."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [os.path.join(BIN, "tranqd"), "start", "-c", self.file],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=die_with_parent)
        await_true(self._is_up, "tranqd starts", START_SECONDS, self.where)

    def stop(self):
        if not self._end():
            raise Failure(f"tranqd did not end well; {self.where()}")
        self._forget_port()

    def kill(self):
        """With kill -9: its children go with it."""
        self.process.kill()
        self.process.wait()
        self._forget_port()

    def _forget_port(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.folder, "run", "http.port"))

    def __exit__(self, kind, *_):
        self.keep |= kind is not None
        ended_well = self._end()
        if ended_well and not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        if not ended_well and kind is None:
            raise Failure(f"tranqd did not end well; {self.where()}")

    def _end(self):
        """True when it drained and left in time by itself, with 0."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS) == 0
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False

    def reload(self, properties):
        """The same with other properties, in force when this returns."""
        pid = self.source()["worker"]["pid"]
        self._write(properties)
        done = subprocess.run(
            [os.path.join(BIN, "tranqctl"), "-c", self.file, "reload"],
            text=True, check=False, timeout=STOP_SECONDS,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise Failure(f"tranqctl reload: {done.stdout}; {self.where()}")
        self.await_successor(pid)

    def _is_up(self):
        code = self.process.poll()
        if code is not None:
            raise Failure(f"tranqd ended with {code}; {self.where()}")
        try:
            with open(os.path.join(self.folder, "run", "http.port"),
                      encoding="ascii") as f:
                self.port = int(f.read())
        except (OSError, ValueError):
            return False
        return self._worker_runs()

    def _worker_runs(self):
        with contextlib.suppress(Failure):
            return self.source()["worker"]["state"] == "ready"

    def where(self):
        return f"tranqd's log is {self.log}"

    # ---- what it says of itself ----

    def status(self):
        done = subprocess.run(
            [os.path.join(BIN, "tranqctl"), "-c", self.file, "--json",
             "status"], text=True, check=False, timeout=STATUS_SECONDS,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise Failure(f"tranqctl status: {done.stderr.strip()};"
                          f" {self.where()}")
        return json.loads(done.stdout)

    def source(self):
        """Its only dataSource's part of the status document."""
        return self.status()["dataSources"][0]

    def settled(self):
        """The source when nothing waits any more, else None."""
        source = self.source()
        counters = source["counters"]
        waits = counters["spoolEvents"] or counters["inFlight"] \
            or source["inRings"]
        return None if waits else source

    def worker_pid(self):
        """Of one that is ready; else None."""
        worker = self.source()["worker"]
        return worker["pid"] if worker["state"] == "ready" else None

    def feed_pid(self):
        feed = self.status()["feed"]
        return feed["pid"] if feed["state"] == "ready" else None

    def supervisor(self):
        """What tranqd says of the one in Druid."""
        return self.source()["beams"].get("supervisor") or {}

    def pulled(self):
        """Start and end of the only partition of what Druid pulls."""
        return self.source()["beams"]["log"]["partitions"][0]

    def await_successor(self, pid):
        """The pid of the worker that has taken the place of this one."""
        def there():
            worker = self.source()["worker"]
            return worker["state"] == "ready" and worker["pid"] != pid \
                and worker["pid"]
        return await_true(there, f"a worker after {pid}", START_SECONDS,
                          self.where)
