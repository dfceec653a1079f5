#!/usr/bin/env python3
"""What Tranquility's own tests check, asked of tranqd from outside: servlet,
partitions, writer, names, configuration. Where tranqd differs on purpose (no
500 when Druid fails, no event taken of a request with a bad one, replacements
for tasks that are gone) the other files have the tests; so they have for what
needs time to pass or a ZooKeeper: test_interval, test_partitions, test_faults,
test_zookeeper."""

import datetime
import json
import os
import sys
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
import smile  # noqa: E402

SMILE = "application/x-jackson-smile"
LONG_AGO = 0  # milliseconds; outside of every window
COUNT = [{"type": "count", "name": "count"}]


def now_ms():
    return int(time.time() * 1000)


def entry(name, *, columns=None, **how):
    """A dataSource with the time column ts, any fields as dimensions."""
    made = drill.data_source(name, timestamp=("ts", "auto"), metrics=COUNT,
                             **{"dimensions": [], **how})
    if columns:
        made["spec"]["dataSchema"]["parser"]["parseSpec"].update(
            format="csv", columns=columns)
    return made


class TranquilityCase(drill.Case):
    def serve(self, *entries, **properties):
        self.druid = self.sandbox("--check", "full")
        self.server = self.tranqd(drill.config(
            list(entries), self.druid.url, properties=properties))

    def tasks(self, ds):
        return sorted(self.druid.stats()["dataSources"][ds]["tasks"])

    def task(self, ds):
        """What was submitted for the dataSource's only task."""
        name, = self.tasks(ds)
        return self.druid.get("/druid/indexer/v1/task/"
                              + urllib.parse.quote(name))["payload"]


class TestServlet(TranquilityCase):
    """TranquilityServletTest. An event is dropped when it is too old."""

    def setUp(self):
        super().setUp()
        self.serve(entry("foo"), entry("bar"),
                   entry("lines", columns=["ts", "dataSource", "n"]))
        at = now_ms()
        self.rows = [{"dataSource": "foo", "n": 1, "ts": at},
                     {"dataSource": "foo", "n": 2, "ts": at},
                     {"feed": "bar", "n": 3, "ts": at},
                     {"dataSource": "bar", "n": 4, "ts": LONG_AGO},
                     {"dataSource": "bar", "n": 5, "ts": at}]

    def check(self, answer, sent, content_type="application/json;"):
        self.assertEqual(answer.status, 200, answer)
        self.assertTrue(answer.headers["Content-Type"].startswith(
            content_type), answer.headers)
        read = smile.loads if content_type == SMILE else json.loads
        self.assertEqual(read(answer.body),
                         {"result": {"received": 5, "sent": sent}})
        self.assertEqual(answer.headers["X-Tranq-Dropped"], "1; window=1")

    def check_split(self):
        """By the events' own destinations."""
        self.await_drained(self.server)
        self.assertEqual(self.druid.events("foo"), self.rows[:2])
        self.assertEqual(self.druid.events("bar"),
                         [self.rows[2], self.rows[4]])

    def check_together(self):
        """All in foo, where the path sent them."""
        self.await_drained(self.server)
        self.assertEqual(self.druid.events("foo"),
                         self.rows[:3] + self.rows[4:])
        self.assertEqual(self.druid.events("bar"), [])

    def test_hello_world(self):
        answer = self.server.request("GET", "/")
        self.assertEqual(answer.status, 200)
        self.assertTrue(
            answer.headers["Content-Type"].startswith("text/plain;"))
        self.assertGreater(len(answer.text), 0)

    def test_array(self):
        self.check(self.server.post(None, self.rows, is_array=True), 4)
        self.check_split()

    def test_array_behind_a_byte_order_mark(self):
        body = b"\xef\xbb\xbf" + json.dumps(self.rows).encode()
        self.check(self.server.post(None, body), 4)
        self.check_split()

    def test_newline_delimited(self):
        body = "\n".join(map(json.dumps, self.rows)).encode()
        self.check(self.server.post(None, body), 4)
        self.check_split()

    def test_smile(self):
        self.check(self.server.post(None, smile.dumps(self.rows),
                                    content_type=SMILE), 4, SMILE)
        self.check_split()

    def test_destination_in_the_path(self):
        self.check(self.server.post("foo", self.rows, is_array=True), 4)
        self.check_together()

    def test_async(self):
        self.check(self.server.post(None, self.rows, is_array=True,
                                    is_async=True), 0)
        self.check_split()

    def test_async_with_the_destination_in_the_path(self):
        self.check(self.server.post("foo", self.rows, is_array=True,
                                    is_async=True), 0)
        self.check_together()

    def test_csv(self):
        at = self.rows[0]["ts"]
        body = (f"{at},foo,1\n{at},foo,2\n{at},bar,3\n{LONG_AGO},bar,4\n"
                f"{at},bar,5").encode()
        self.check(self.server.post("lines", body,
                                    content_type="text/plain"), 4)
        self.assertEqual(
            self.druid.events("lines"),
            [{"ts": at, "dataSource": ds, "n": n} for ds, n in
             [("foo", "1"), ("foo", "2"), ("bar", "3"), ("bar", "5")]])

    def test_unrecognized_data_source(self):
        for ds, rows in (None, [{"dataSource": "baz", "n": 1}]), (
                "baz", self.rows):
            answer = self.server.post(ds, rows, is_array=True)
            self.assertEqual(answer.status, 400)
            self.assertTrue(
                answer.headers["Content-Type"].startswith("text/plain;"))
            self.assertEqual(answer.text,
                             "No definition for dataSource 'baz'\n")


# ---- the partition of an event, as Tranquility reckons it ----

def int32(n):
    return (n & 0xffffffff).to_bytes(4, "little")


def java_hash(text):
    units = text.encode("utf-16-le", "surrogatepass")
    h = 0
    for at in range(0, len(units), 2):
        h = 31 * h + int.from_bytes(units[at:at + 2], "little")
    return h & 0xffffffff


def murmur3(data):
    def turn(n, by):
        return (n << by | n >> 32 - by) & 0xffffffff

    def mix(k):
        return turn(k * 0xcc9e2d51 & 0xffffffff, 15) * 0x1b873593 & 0xffffffff
    h = 0
    for at in range(0, len(data), 4):  # always whole words here
        h ^= mix(int.from_bytes(data[at:at + 4], "little"))
        h = turn(h, 13) * 5 + 0xe6546b64 & 0xffffffff
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85ebca6b & 0xffffffff
    h = (h ^ h >> 13) * 0xc2b2ae35 & 0xffffffff
    return h ^ h >> 16


def consistent(h, buckets):
    state = h if h < 1 << 31 else h - (1 << 32)
    candidate, coming = 0, 0
    while 0 <= coming < buckets:
        candidate = coming
        state = (2862933555777941757 * state + 1) & (1 << 64) - 1
        coming = min(int((candidate + 1) / (((state >> 33) + 1) / 2 ** 31)),
                     2 ** 31 - 1)
    return candidate


def partition(event, dimensions, buckets, unit_ms):
    data = (event["ts"] // unit_ms * unit_ms).to_bytes(8, "little")
    for name in sorted(dimensions):
        value = event.get(name)
        values = value if isinstance(value, list) else [value]
        texts = sorted({str(v) for v in values if v not in (None, "")})
        if texts:
            data += b"".join(int32(java_hash(t)) for t in [name] + texts)
    return consistent(murmur3(data), buckets)


class TestPartitions(TranquilityCase):
    """MapPartitionerTest, InputRowPartitionerTest, HashPartitionBeamTest."""
    BUCKETS = 16
    DIMENSIONS = ["foo", "bar", "baz"]

    def setUp(self):
        super().setUp()
        self.serve(entry("d", dimensions=self.DIMENSIONS, query="minute",
                         properties={"task.partitions": self.BUCKETS}))
        self.minute = now_ms() // 60000 * 60000

    def places(self, rows):
        """Of each row the partition whose task has got it."""
        rows = [dict(row, x=n) for n, row in enumerate(rows)]
        answer = self.server.post("d", rows)
        self.assertEqual((answer.status, answer.sent), (200, len(rows)))
        found = {}
        for name in self.tasks("d"):
            for e in self.druid.events("d", task=name):
                found[e["x"]] = int(name.split("_")[-2])
        self.assertEqual(len(found), len(rows))
        return [found[n] for n in range(len(rows))]

    def row(self, seconds, **fields):
        return dict(fields, ts=self.minute + seconds * 1000)

    def test_same(self):
        """Order, doubles, empty values, one value or a list of it, a number
        or its text, time within a minute: none of them matters."""
        rows = [self.row(3, foo=1, bar=["y", "z"]),
                self.row(3, foo=1, bar=["z", "y", ""]),
                self.row(4, foo=[1], bar=["z", "y"], baz=[]),
                self.row(5, foo=1, bar=["y", "z"], baz=""),
                self.row(6, foo=1, bar=["y", "z", "y"], baz=None),
                self.row(6, foo="1", bar=["y", "z"], other="field"),
                self.row(6, foo=["1"], bar=["z", "y"])]
        self.assertEqual(set(self.places(rows)), {partition(
            rows[0], self.DIMENSIONS, self.BUCKETS, 60000)})

    def test_different(self):
        rows = [self.row(3, foo=1, bar=["y", "z"], baz="buh"),
                self.row(-57, foo=1, bar=["y", "z"]),
                self.row(3, bar=["y", "z"]),
                self.row(3, foo=2, bar=["y", "z"]),
                self.row(3, foo="3", bar=["y", "z"]),
                self.row(6, foo=["1"], bar="y"),
                self.row(6, foo=["1"], bar="z"),
                self.row(6, foo=["1"], bar=["y", "z", "x"]),
                self.row(6, foo=["1"], bar=["z", "x"]),
                self.row(6, foo="z", bar="1"),
                self.row(6, foo="\u00e9\U0001f600", baz=-7)]
        self.assertEqual(self.places(rows), [
            partition(r, self.DIMENSIONS, self.BUCKETS, 60000) for r in rows])

    def test_drops_are_nobodys(self):
        """Events that are dropped do not disturb where the others go."""
        rows = [self.row(3, foo=f"v{n}") for n in range(40)]
        mixed = [e for r in rows for e in (dict(r, ts=LONG_AGO), r)]
        answer = self.server.post("d", mixed)
        self.assertEqual((answer.received, answer.sent), (80, 40))
        for name in self.tasks("d"):
            for e in self.druid.events("d", task=name):
                self.assertEqual(
                    partition(e, self.DIMENSIONS, self.BUCKETS, 60000),
                    int(name.split("_")[-2]), e)


class TestWriter(TranquilityCase):
    """InputRowObjectWriterTest, InputRowTimestamperTest."""

    def check_row(self, **properties):
        self.serve(drill.data_source(
            "d", timestamp=("when", "iso"), dimensions=["foo", "baz"],
            metrics=[{"type": "longSum", "name": "barr",
                      "fieldName": "bar"}]), **properties)
        at = now_ms()
        answer = self.server.post("d", [{
            "when": harness.iso(at / 1000), "foo": "x", "bar": 2,
            "baz": "what"}])
        self.assertEqual(answer.sent, 1)
        self.assertEqual(self.druid.events("d"), [
            {"when": at, "foo": "x", "bar": 2, "baz": "what"}])
        spec = self.task("d")["spec"]["dataSchema"]["parser"]
        self.assertEqual(spec["type"], "map")
        self.assertEqual(spec["parseSpec"]["timestampSpec"]["column"], "when")
        self.assertEqual(spec["parseSpec"]["timestampSpec"]["format"],
                         "millis")
        return self.druid.stats()["smile"]

    def test_json(self):
        self.assertEqual(self.check_row(), 0)

    def test_smile(self):
        self.assertEqual(
            self.check_row(**{"serialization.format": "smile"}), 1)


class TestNames(TranquilityCase):
    """DruidBeamTest, and the names of DirectDruidTest."""

    def test_firehose_ids(self):
        """The cycle is told by the interval's start."""
        now = datetime.datetime.now(datetime.timezone.utc)
        cycles = {
            "MINUTE": lambda t: t.hour % 3 * 60 + t.minute,
            "FIVE_MINUTE": lambda t: t.hour % 3 * 60 + t.minute,
            "TEN_MINUTE": lambda t: t.hour % 3 * 60 + t.minute,
            "FIFTEEN_MINUTE": lambda t: t.hour % 3 * 60 + t.minute,
            "HOUR": lambda t: t.hour, "SIX_HOUR": lambda t: t.hour,
            "DAY": lambda t: t.day, "WEEK": lambda t: t.isocalendar()[1],
            "MONTH": lambda t: t.month, "YEAR": lambda t: t.year % 100}
        self.serve(*[entry(g.lower(), segment=g) for g in cycles])
        ms = int(now.timestamp() * 1000)
        answer = self.server.post(None, [
            {"feed": g.lower(), "ts": ms} for g in cycles])
        self.assertEqual(answer.sent, len(cycles))
        for g, cycle in cycles.items():
            task = self.task(g.lower())
            clipped = task["spec"]["ioConfig"]["firehose"]
            start = clipped["interval"].split("/")[0]
            base = "{}-{:03}-0000".format(g.lower(), cycle(
                datetime.datetime.fromisoformat(start.replace("Z", "+00:00"))))
            self.assertEqual(
                clipped["delegate"]["delegate"]["serviceName"],
                f"firehose:druid:overlord:{base}-0000")
            self.assertEqual(task["id"],
                             f"index_realtime_{g.lower()}_{start}_0_0")
            self.assertEqual(task["resource"]["availabilityGroup"],
                             f"{g.lower()}-{start}-0000")

    def test_slashes_of_the_service_name(self):
        self.serve(entry("d"), **{
            "druid.selectors.indexing.serviceName":
            "druid/tranquility/indexer"})
        self.assertEqual(self.server.post("d", [{"ts": now_ms()}]).sent, 1)
        service = self.task("d")["spec"]["ioConfig"]["firehose"][
            "delegate"]["delegate"]["serviceName"]
        self.assertTrue(service.startswith(
            "firehose:druid:tranquility:indexer:d-"), service)


class TestConfiguration(TranquilityCase):
    """TranquilityConfigTest, PropertiesBasedServerConfigTest,
    DruidRollupTest, ServerMain."""

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text if isinstance(text, str) else json.dumps(text))
        return path

    def effective(self, path):
        done = harness.run_program("tranqd", "config", "-c", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def schema(self, *, dimensions=("dim1", "dim2"), metrics=("count",)):
        return {"dataSource": "foo",
                "parser": {"type": "string", "parseSpec": {
                    "format": "json",
                    "timestampSpec": {"column": "ts", "format": "auto"},
                    "dimensionsSpec": {"dimensions": list(dimensions)}}},
                "metricsSpec": [{"type": "count", "name": m}
                                for m in metrics],
                "granularitySpec": {"type": "uniform",
                                    "segmentGranularity": "hour",
                                    "queryGranularity": "none"}}

    def document(self, **spec):
        spec = {"dataSchema": self.schema(), **spec}
        return {"dataSources": [{
            "spec": spec, "properties": {"task.partitions": "3"}}],
            "properties": {"task.partitions": "2", "http.threads": "2",
                           "zookeeper.connect": "zk.example.com"}}

    def check(self, path, window):
        foo, = self.effective(path)["dataSources"]
        self.assertEqual(foo["dataSource"], "foo")
        values = {k: p["value"] for k, p in foo["properties"].items()}
        self.assertEqual(
            (values["task.partitions"], values["zookeeper.connect"],
             values["druidBeam.firehoseGracePeriod"]),
            (3, "zk.example.com:2181", "PT5M"))
        self.assertEqual(foo["derived"]["windowPeriod"], window)

    def test_forms(self):
        """As a list, by name, in YAML, without a tuningConfig."""
        tuning = {"type": "realtime", "windowPeriod": "PT30s",
                  "maxRowsInMemory": "100000", "buildV9Directly": True}
        listed = self.document(tuningConfig=tuning,
                               ioConfig={"type": "realtime"})
        self.check(self.write("list.json", listed), "PT30S")
        named = dict(listed, dataSources={"foo": listed["dataSources"][0]})
        self.check(self.write("map.json", named), "PT30S")
        self.check(self.write("none.json", self.document()), "PT10M")
        # flow style is YAML too; '#' makes it so
        self.check(self.write("server.yaml", "# YAML\n" + json.dumps(named)),
                   "PT30S")

    def test_tuning_config_goes_to_tasks(self):
        made = entry("d")
        made["spec"]["tuningConfig"].update(
            maxRowsInMemory=100000, buildV9Directly=True,
            intermediatePersistPeriod="PT45S")
        self.serve(made)
        self.assertEqual(self.server.post("d", [{"ts": now_ms()}]).sent, 1)
        tuning = self.task("d")["spec"]["tuningConfig"]
        self.assertEqual(
            {k: tuning[k] for k in ("type", "maxRowsInMemory", "windowPeriod",
                                    "buildV9Directly", "rejectionPolicy",
                                    "intermediatePersistPeriod", "shardSpec")},
            {"type": "realtime", "maxRowsInMemory": 100000,
             "buildV9Directly": True, "intermediatePersistPeriod": "PT45S",
             "windowPeriod": "PT10M", "rejectionPolicy": {"type": "none"},
             "shardSpec": {"type": "linear", "partitionNum": 0}})

    def test_no_granularity_and_no_metrics(self):
        """Druid's defaults; null says nothing."""
        entries = [entry("absent"), entry("null")]
        schemas = [e["spec"]["dataSchema"] for e in entries]
        for name in "metricsSpec", "granularitySpec":
            del schemas[0][name]
            schemas[1][name] = None
        self.serve(*entries)
        for ds in "absent", "null":
            self.assertEqual(self.server.post(ds, [{"ts": now_ms()}]).sent, 1)
            schema = self.task(ds)["spec"]["dataSchema"]
            self.assertEqual(schema["metricsSpec"], [])
            self.assertEqual(
                schema["granularitySpec"],
                {"type": "uniform", "segmentGranularity": "day"})

    def test_order_of_dimensions_is_kept(self):
        order = ["e", "f", "a", "b", "z", "t"]
        self.serve(entry("d", dimensions=order))
        self.assertEqual(self.server.post("d", [{"ts": now_ms()}]).sent, 1)
        self.assertEqual(
            self.task("d")["spec"]["dataSchema"]["parser"]["parseSpec"][
                "dimensionsSpec"]["dimensions"], order)

    def test_columns_that_come_twice(self):
        for dimensions, metrics, name in (
                (["hey", "what"], ["hey"], "hey"),
                (["what"], ["hey", "hey"], "hey"),
                (["what", "what"], ["hey"], "what")):
            document = self.document(dataSchema=self.schema(
                dimensions=dimensions, metrics=metrics))
            done = harness.run_program(
                "tranqd", "check", "-c", self.write("twice.json", document))
            self.assertEqual(done.returncode, 78, done.stdout)
            self.assertIn(f"'{name}'", done.stderr)

    def test_strings_and_numbers_are_the_same(self):
        for value in "4", 4:
            document = self.document()
            document["properties"]["druidBeam.firehoseChunkSize"] = value
            shown = self.effective(self.write("value.json", document))
            self.assertEqual(shown["dataSources"][0]["properties"][
                "druidBeam.firehoseChunkSize"]["value"], 4)


class TestDirectDruid(TranquilityCase):
    """DirectDruidTest: of three events the second is a year old. Text, a
    spatial dimension, Smile to the task."""
    COLUMNS = ["ts", "foo", "bar", "lat", "lon"]
    SPATIAL = [{"dimName": "coord.geo", "dims": ["lat", "lon"]}]

    def serve_xxx(self, **parse_spec):
        made = drill.data_source(
            "xxx", timestamp=("ts", "posix"), query="minute",
            metrics=[{"type": "longSum", "name": "barr", "fieldName": "bar"}])
        parse_spec["dimensionsSpec"] = {
            "dimensions": ["foo"], "spatialDimensions": self.SPATIAL}
        made["spec"]["dataSchema"]["parser"]["parseSpec"].update(parse_spec)
        self.serve(made, **{"serialization.format": "smile",
                            "tranquility.lingerMillis": 1000})

    def rows(self):
        now = int(time.time())
        return [(now, "hey", "2", "37.7833", "-122.4167"),
                (now - 365 * 86400, "hey", "4", "37.7833", "122.4167"),
                (now + 60, "what", "3", "37.7833", "122.4167")]

    def check_text(self, lines, expected):
        answer = self.server.post("xxx", "\n".join(lines).encode(),
                                  content_type="text/plain")
        self.assertEqual((answer.status, answer.received, answer.sent),
                         (200, 3, 2), answer)
        self.await_drained(self.server)
        self.assertEqual(self.druid.events("xxx"), expected)
        stats = self.druid.stats()
        self.assertEqual(stats["smile"], stats["pushes"])

    def arrived(self, rows):
        return [dict(zip(self.COLUMNS, r), ts=r[0] * 1000)
                for r in (rows[0], rows[2])]

    def test_csv(self):
        self.serve_xxx(format="csv", columns=self.COLUMNS)
        rows = self.rows()
        self.check_text([",".join(map(str, r)) for r in rows],
                        self.arrived(rows))
        spec = self.task("xxx")["spec"]["dataSchema"]["parser"]["parseSpec"]
        self.assertEqual(spec["dimensionsSpec"]["spatialDimensions"],
                         self.SPATIAL)

    def test_flatten_spec(self):
        paths = {"lat": "$.geo.lat", "lon": "$.geo.lon", "foo": "$.data.foo",
                 "bar": "$.data.bar"}
        self.serve_xxx(format="json", flattenSpec={
            "useFieldDiscovery": False,
            "fields": [{"type": "path", "name": n, "expr": e}
                       for n, e in paths.items()]
            + [{"type": "root", "name": "ts", "expr": "ts"}]})
        rows = self.rows()
        self.check_text([json.dumps({
            "ts": ts, "geo": {"lat": lat, "lon": lon}, "other": 1,
            "data": {"foo": foo, "bar": bar}})
            for ts, foo, bar, lat, lon in rows], self.arrived(rows))


class TestDocumentation(TranquilityCase):
    """The event and the flattenSpec of Druid's documentation."""

    def test_flatten_spec(self):
        made = entry("d")
        made["spec"]["dataSchema"]["parser"]["parseSpec"].update(
            dimensionsSpec={"dimensions": [],
                            "dimensionsExclusions": ["ignore_me"]},
            flattenSpec={"useFieldDiscovery": True, "fields": [
                {"type": "root", "name": "dim1"}, "dim2",
                {"type": "path", "name": "foo.bar", "expr": "$.foo.bar"},
                {"type": "root", "name": "root-foo.bar", "expr": "foo.bar"},
                {"type": "path", "name": "metric", "expr": "$.nestmet.val"},
                {"type": "path", "name": "hello-4", "expr": "$.hello[4]"},
                {"type": "path", "name": "tree", "expr": "$.world[1].tree"},
                {"type": "path", "name": "food", "expr": "$.thing.food[0]"},
                {"type": "jq", "name": "food-jq", "expr": ".thing.food[1]"},
                {"type": "jq", "name": "total", "expr": ".hello | sum"}]})
        self.serve(made)
        at = now_ms()
        event = {
            "ts": at, "dim1": "qwerty", "dim2": "asdf", "dim3": "zxcv",
            "ignore_me": "ignore this", "metrica": 9999,
            "foo": {"bar": "abc"}, "foo.bar": "def", "nestmet": {"val": 42},
            "hello": [1.0, 2.0, 3.0, 4.0, 5.0],
            "mixarray": [1.0, 2.0, {"last": 5}],
            "world": [{"hey": "there"}, {"tree": "apple"}],
            "thing": {"food": ["sandwich", "pizza"]}}
        answer = self.server.post("d", json.dumps(event).encode(),
                                  content_type="text/plain")
        self.assertEqual((answer.status, answer.sent), (200, 1), answer)
        self.assertEqual(self.druid.events("d"), [{
            "ts": at, "dim1": "qwerty", "dim2": "asdf", "dim3": "zxcv",
            "ignore_me": "ignore this", "metrica": 9999, "foo.bar": "abc",
            "root-foo.bar": "def", "metric": 42, "hello-4": 5.0,
            "hello": [1.0, 2.0, 3.0, 4.0, 5.0], "tree": "apple",
            "food": "sandwich", "food-jq": "pizza", "total": 15}])


class TestTranquilizer(TranquilityCase):
    """TranquilizerTest: batches of any size, whatever they wait for."""

    def check_batches(self, size, linger, pending=1, is_async=False):
        self.serve(entry("d"), **{"tranquility.maxBatchSize": size,
                                  "tranquility.maxPendingBatches": pending,
                                  "tranquility.lingerMillis": linger})
        rows = [{"ts": now_ms(), "n": n} for n in range(5)]
        began = time.monotonic()
        answer = self.server.post("d", rows, is_async=is_async)
        self.assertEqual((answer.status, answer.sent),
                         (200, 0 if is_async else 5))
        self.assertLess(time.monotonic() - began, 10)
        self.await_drained(self.server)
        self.assertEqual(sorted(self.druid.events("d"),
                                key=lambda e: e["n"]), rows)

    def test_full_batches(self):
        self.check_batches(1, 0)

    def test_batches_that_do_not_fill(self):
        self.check_batches(100, 100, 10)

    def test_a_synchronous_request_waits_for_no_other(self):
        self.check_batches(20000, 900000)

    def test_an_asynchronous_one_waits_a_second(self):
        self.check_batches(20000, 900000, is_async=True)


if __name__ == "__main__":
    drill.main()
