#!/usr/bin/env python3
"""text/plain bodies, from a client's socket to what Druid got: every format of
parseSpec and inputFormat, what is refused, and what is said of it."""

import concurrent.futures
import copy
import gzip
import json
import os
import sys
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
import test_http  # noqa: E402

TEXT = "text/plain"
TIME = {"column": "time", "format": "auto"}


def now_ms():
    return int(time.time() * 1000)


def parse_spec(column="time", dimensions=(), **members):
    return {"timestampSpec": {"column": column, "format": "auto"},
            "dimensionsSpec": {"dimensions": list(dimensions)}, **members}


def old_form(name, spec, **how):
    """A dataSource with this parseSpec."""
    entry = drill.data_source(name, metrics=[{"type": "count", "name": "n"}],
                              **how)
    entry["spec"]["dataSchema"]["parser"]["parseSpec"] = spec
    return entry


def new_form(name, input_format, in_io=True, column="time", dimensions=()):
    """One of the newer form."""
    entry = drill.data_source(name, metrics=[{"type": "count", "name": "n"}])
    schema = entry["spec"]["dataSchema"]
    del schema["parser"]
    schema["timestampSpec"] = {"column": column, "format": "auto"}
    schema["dimensionsSpec"] = {"dimensions": list(dimensions)}
    if in_io:
        entry["spec"]["ioConfig"] = {"inputFormat": input_format}
    elif input_format is not None:
        schema["inputFormat"] = input_format
    return entry


class TextCase(drill.Case):
    def serve(self, *entries, properties=None):
        self.druid = self.sandbox("--check", "full")
        self.server = self.tranqd(drill.config(
            list(entries), self.druid.url, properties=properties))

    def post(self, ds, body, **how):
        how.setdefault("content_type", TEXT)
        body = body.encode() if isinstance(body, str) else body
        return self.server.post(ds, body, **how)

    def check_arrives(self, ds, body, expected, **how):
        """All lines are sent, and Druid has exactly these events."""
        before = len(self.druid.events(ds))
        answer = self.post(ds, body, **how)
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual((answer.received, answer.sent),
                         (len(expected), len(expected)), answer)
        self.assertEqual(self.druid.events(ds)[before:], expected)

    def check_refused(self, ds, body, text, status=400, **how):
        """… with this text, and nothing of it is taken."""
        before = self.server.accounts(ds)["received"]
        answer = self.post(ds, body, **how)
        self.assertEqual((answer.status, answer.text), (status, text))
        self.assertTrue(answer.headers["Content-Type"].startswith(
            "text/plain"), answer.headers)
        self.assertEqual(self.server.accounts(ds)["received"], before)


class TestCsv(TextCase):
    COLUMNS = ["time", "page", "tags", "added"]

    def test_as_opencsv_read_it(self):
        self.serve(old_form("d", parse_spec(
            format="csv", columns=self.COLUMNS, listDelimiter="|",
            dimensions=["page", "tags"])))
        at = now_ms()
        iso = harness.iso(at / 1000)
        self.check_arrives(
            "d",
            f'{at},"A ""quoted"", page",a|b,17\r\n'
            "\n"
            f"{iso}, \"blank before\",,-1,more,than,columns\n"
            f'{at},back\\\\slash,"a|b|c"\r'
            f"{at}",
            [{"time": at, "page": 'A "quoted", page', "tags": ["a", "b"],
              "added": "17"},
             {"time": at, "page": "blank before", "added": "-1"},
             {"time": at, "page": "back\\slash", "tags": ["a", "b", "c"]},
             {"time": at}])

    def test_the_timestamp_may_be_any_column(self):
        self.serve(old_form("d", parse_spec(
            column="when", format="csv", columns=["page", "when"],
            dimensions=["page"])))
        at = now_ms()
        self.check_arrives("d", f"x,{at}\n", [{"page": "x", "when": at}])

    def test_header_rows(self):
        self.serve(
            old_form("header", parse_spec(format="csv", hasHeaderRow=True)),
            old_form("skipped", parse_spec(
                format="csv", columns=["time", "page"], skipHeaderRows=2)),
            old_form("both", parse_spec(
                format="csv", hasHeaderRow=True, skipHeaderRows=1)))
        at = now_ms()
        self.check_arrives("header", f"page,time\nx,{at}\ny,{at}\n",
                           [{"page": "x", "time": at},
                            {"page": "y", "time": at}])
        # each body has its own
        self.check_arrives("header", f"time,user\n{at},u\n",
                           [{"time": at, "user": "u"}])
        self.check_arrives("header", "time,page\n", [])
        self.check_arrives("skipped", f"any\nthing\n{at},x\n",
                           [{"time": at, "page": "x"}])
        self.check_arrives("both", f"a comment\npage,time\nx,{at}\n",
                           [{"page": "x", "time": at}])

    def test_names_and_values_are_json(self):
        """What is special in JSON, in names and values; what is not UTF-8."""
        self.serve(old_form("d", parse_spec(
            format="csv", columns=["time", "a\"b\\c", "\u00fc"])))
        at = now_ms()
        self.check_arrives(
            "d", f"{at},x\ty\x01z,\u00e4\U0001f600".encode() + b"\xff\n",
            [{"time": at, "a\"b\\c": ["x\ty", "z"],
              "\u00fc": "\u00e4\U0001f600\ufffd"}])


class TestTsv(TextCase):
    def test_delimiters(self):
        self.serve(
            old_form("tab", parse_spec(
                format="tsv", columns=["time", "page", "tags"])),
            old_form("none", parse_spec(columns=["time", "page"])),
            old_form("bar", parse_spec(
                format="tsv", delimiter="||", listDelimiter=";",
                columns=["time", "page", "tags"])))
        at = now_ms()
        self.check_arrives("tab", f'{at}\t"no quotes"\ta\x01b\n',
                           [{"time": at, "page": '"no quotes"',
                             "tags": ["a", "b"]}])
        # Tranquility's default format
        self.check_arrives("none", f"{at}\tx\n", [{"time": at, "page": "x"}])
        self.check_arrives("bar", f"{at}||a|b||c;d\n",
                           [{"time": at, "page": "a|b", "tags": ["c", "d"]}])


class TestRegex(TextCase):
    def test_groups_and_lists(self):
        self.serve(
            old_form("log", parse_spec(
                column="at", format="regex", columns=["at", "verb", "path"],
                pattern=r"\[(\d+)\] (\p{Upper}+) (\S+)(?: .*)?",
                listDelimiter="/+")),
            old_form("unnamed", parse_spec(
                column="column_2", format="regex", pattern="(.*)@(.*)")))
        at = now_ms()
        self.check_arrives(
            "log", f"[{at}] GET a//b/c HTTP/1.1\n[{at}] PUT x\n",
            [{"at": at, "verb": "GET", "path": ["a", "b", "c"]},
             {"at": at, "verb": "PUT", "path": "x"}])
        self.check_arrives("unnamed", f"x@{at}\n",
                           [{"column_1": "x", "column_2": at}])
        answer = self.post("log", f"[{at}] GET a\nno match\n")
        self.assertEqual(answer.status, 400)
        self.assertTrue(answer.text.startswith(
            "Malformed string on line[2]: "), answer.text)


class TestJson(TextCase):
    FLATTEN = {"useFieldDiscovery": True, "fields": [
        {"type": "root", "name": "page"},
        {"type": "path", "name": "time", "expr": "$.meta.at"},
        {"type": "path", "name": "city",
         "expr": "$['geo'].places[?(@.kind == 'city')].name"},
        {"type": "path", "name": "first", "expr": "$.geo.places[0].name"},
        {"type": "path", "name": "all", "expr": "$..kind"},
        {"type": "jq", "name": "sum", "expr": "[.n[]] | add"},
        {"type": "tree", "name": "deep", "nodes": ["geo", "x", "y"]},
        "absent"]}

    def event(self, at):
        return {"meta": {"at": at}, "page": "P", "flat": [1, "b"],
                "n": [1, 2.5], "nested": [[1]], "object": {"a": 1},
                "geo": {"x": {"y": "z"}, "places": [
                    {"kind": "city", "name": "Bern"},
                    {"kind": "lake", "name": "Thun"}]}}

    def test_flatten_spec(self):
        self.serve(old_form("d", parse_spec(
            format="json", flattenSpec=self.FLATTEN)))
        at = now_ms()
        self.check_arrives(
            "d", json.dumps(self.event(at)) + "\n\n \t\n"
            + json.dumps({"meta": {"at": at}, "page": None}),
            [{"page": "P", "time": at, "city": ["Bern"], "first": "Bern",
              "all": ["city", "lake"], "sum": 3.5, "deep": "z",
              "flat": [1, "b"], "n": [1, 2.5]},
             {"time": at, "city": [], "all": []}])

    def test_only_what_is_listed(self):
        spec = {"useFieldDiscovery": False, "fields": ["time", {
            "type": "path", "name": "y", "expr": "$.x.y"}]}
        self.serve(old_form("d", parse_spec(format="json", flattenSpec=spec)))
        at = now_ms()
        self.check_arrives("d", json.dumps(
            {"time": at, "page": "x", "x": {"y": [1, 2]}}),
            [{"time": at, "y": [1, 2]}])

    def test_json_bodies_are_not_flattened(self):
        """As in Tranquility: they go in at the parser's map side."""
        self.serve(old_form("d", parse_spec(
            format="json", flattenSpec=self.FLATTEN)))
        at = now_ms()
        event = {"time": at, "page": "x", "geo": {"x": {"y": 1}}}
        answer = self.server.post("d", [event])
        self.assertEqual((answer.received, answer.sent), (1, 1))
        self.assertEqual(self.druid.events("d"), [event])

    def test_without_a_spec(self):
        """Scalars and flat lists, as Druid's own discovery has it."""
        self.serve("wikipedia")
        at = now_ms()
        self.check_arrives("wikipedia", json.dumps(
            {"time": at, "page": "x", "list": [1], "deep": {"a": 1},
             "none": None, "big": 2**70}) + "\r\n",
            [{"time": at, "page": "x", "list": [1], "big": 2.0**70}])

    def test_lowercase(self):
        self.serve(old_form("d", parse_spec(format="jsonLowercase")))
        at = now_ms()
        self.check_arrives("d", f'{{"Time": {at}, "PAGE": "X", "no": null}}',
                           [{"time": at, "page": "X"}])


class TestInputFormat(TextCase):
    def test_every_type(self):
        self.serve(
            new_form("json", {"type": "json", "flattenSpec": {"fields": [
                {"type": "path", "name": "y", "expr": "$.x.y"}]}}),
            new_form("csv", {"type": "csv", "findColumnsFromHeader": True,
                             "tryParseNumbers": True}),
            new_form("tsv", {"type": "tsv", "columns": ["time", "page"],
                             "delimiter": ";"}, in_io=False),
            new_form("regex", {"type": "regex", "pattern": "(.)=(.*)",
                               "columns": ["page", "time"]}),
            new_form("none", None, in_io=False, dimensions=[
                "page", {"type": "json", "name": "deep"}]))
        at = now_ms()
        self.check_arrives("json", f'{{"time":{at},"x":{{"y":1}}}}',
                           [{"y": 1, "time": at}])
        self.check_arrives("csv", f"time,a,b\n{at},\"1.5\",\"x\"\"\"\n",
                           [{"time": at, "a": 1.5, "b": 'x"'}])
        self.check_arrives("tsv", f"{at};x", [{"time": at, "page": "x"}])
        self.check_arrives("regex", f"x={at}", [{"page": "x", "time": at}])
        # a dimension that may hold nested values is kept
        self.check_arrives("none", f'{{"time":{at},"deep":{{"a":[1]}}}}',
                           [{"deep": {"a": [1]}, "time": at}])


class TestErrors(TextCase):
    def setUp(self):
        super().setUp()
        self.serve(
            old_form("json", parse_spec(format="json")),
            old_form("csv", parse_spec(
                format="csv", columns=["time", "page"])),
            properties={"http.maxBodyBytes": "64KiB",
                        "http.maxRequestEvents": 1000})
        self.at = now_ms()

    def test_malformed_lines(self):
        good = json.dumps({"time": self.at})
        self.check_refused(
            "json", f"{good}\n\n{good}\n{{\"time\": oops}}\n{good}",
            "Malformed string on line[4]: expected a value (byte 10 "
            "of the line)\n")
        self.check_refused("json", f"{good} {good}\n",
                           "Malformed string on line[1]: text follows the "
                           f"line's object (byte {len(good) + 2})\n")
        for line in "[]", "5", '"x"', good[:-1]:
            answer = self.post("json", f"{good}\r\n{line}\r\n")
            self.assertEqual(answer.status, 400)
            self.assertTrue(answer.text.startswith(
                "Malformed string on line[2]: "), answer.text)

    def test_bad_times(self):
        self.check_refused(
            "csv", f"{self.at},x\n\n\nyesterday,y\n",
            "Malformed string on line[4]: column 'time' holds 'yesterday', "
            "which is no time in format auto\n")
        self.check_refused(
            "csv", f"{self.at},x\n,y\n",
            "Malformed string on line[2]: column 'time' is missing\n")
        self.check_refused(
            "json", "{}\n",
            "Malformed string on line[1]: column 'time' is missing\n")

    def test_counted(self):
        self.post("csv", "never,x\n")
        self.post("json", "{\n")
        for ds in "csv", "json":
            harness.wait_for(lambda: self.server.data_source(ds)["requests"]
                             ["refusedMalformed"] == 1, ds)

    def test_too_large(self):
        line = f"{self.at},{'x' * 45}\n"
        # as JSON each line is longer by the columns' names
        self.check_refused(
            "csv", line * 990,
            "The body, written as JSON, is larger than http.maxBodyBytes "
            "(65536 bytes)\n", status=413)
        self.check_refused(
            "csv", f"{self.at},\n" * 1001,
            "More events in the request than http.maxRequestEvents (1000)\n",
            status=413)

    def test_where_it_goes(self):
        self.assertEqual(self.post(None, "x").text,
                         "Must include dataSource in URL for "
                         "contentType[text/plain]\n")
        self.assertEqual(self.post("none", "x").text,
                         "No definition for dataSource 'none'\n")

    def test_empty(self):
        for body in "", "\n", "\r\n\r\n", "\ufeff":
            answer = self.post("json", body)
            self.assertEqual((answer.status, answer.received), (200, 0))

    def test_content_types(self):
        for kind in ("TEXT/PLAIN", "text/plain;charset=UTF-8",
                     "text/plain ; charset=\"utf-8\"; x=y"):
            answer = self.post("csv", f"{self.at},x\n", content_type=kind)
            self.assertEqual((answer.status, answer.sent), (200, 1), answer)


class TestCodings(TextCase):
    def test_members_that_cut_a_line(self):
        self.serve(old_form("d", parse_spec(
            format="csv", columns=["time", "page"])))
        at = now_ms()
        lines = [f"{at},page {i}" for i in range(1000)]
        text = "\n".join(lines).encode()
        expected = [{"time": at, "page": f"page {i}"} for i in range(1000)]
        for coding, pack in (("gzip", gzip.compress),
                             ("deflate", zlib.compress),
                             ("zstd", test_http.pack_zstd)):
            packed = b"".join(pack(text[i:i + 777])
                              for i in range(0, len(text), 777))
            self.check_arrives("d", packed, expected,
                               headers={"Content-Encoding": coding})

    def test_errors_after_inflation(self):
        self.serve("wikipedia")
        self.check_refused(
            "wikipedia", gzip.compress(b'{"time":0}\n') + gzip.compress(b"x"),
            "Malformed string on line[2]: the line is not one JSON object\n",
            headers={"Content-Encoding": "gzip"})


class TestRoom(TextCase):
    """Bodies that wait for room are kept as the JSON that they became."""

    def test_kept(self):
        self.serve(
            old_form("d", parse_spec(format="csv", columns=["time", "id"])),
            properties={"tranqd.ringBytes": 65536,
                        "spool.bytesMax": 1 << 20,
                        "http.blockTimeout": "PT60S",
                        "druidBeam.firehoseRetryPeriod": "PT60S"})
        at = now_ms()
        self.druid.fault("overlord-away")
        sent = [[f"{i}-{n}" for n in range(1000)] for i in range(40)]
        with concurrent.futures.ThreadPoolExecutor(len(sent)) as pool:
            answers = [pool.submit(self.post, "d", "".join(
                f"{at},{name}\n" for name in ids)) for ids in sent]
            harness.wait_for(
                lambda: self.server.data_source("d")["counters"]["stopped"],
                "full")
            self.druid.fault("none")
            for answer in answers:
                answer = answer.result()
                self.assertEqual((answer.status, answer.received),
                                 (200, 1000), answer)
        self.check_ids(self.druid, "d", sum(sent, []))
        self.check_whole(self.server, self.druid)
        self.check_no_crash(self.server)


class TestLoad(TextCase):
    """Every format by the load generator, each event once, workers killed
    in between."""
    COLUMNS = ["id", "time", "channel", "cityName", "countryIsoCode",
               "countryName", "comment", "isAnonymous", "isMinor", "isNew",
               "isRobot", "isUnpatrolled", "metroCode", "namespace", "page",
               "regionIsoCode", "regionName", "user", "delta", "added",
               "deleted"]

    def check_format(self, name, **members):
        self.serve(old_form("wikipedia", parse_spec(**members)))
        load = self.start_load(
            self.server, compare=self.druid.url, format=name, events=40000,
            batch=500, connections=4, retry=True, gzip=name == "tsv")
        self.server.kill_worker("wikipedia")
        self.check_load(load.finish())
        self.check_whole(self.server, self.druid, killed=True)

    def test_text(self):
        self.check_format("text", format="json")

    def test_csv(self):
        self.check_format("csv", format="csv", columns=self.COLUMNS)

    def test_tsv(self):
        self.check_format("tsv", format="tsv", columns=self.COLUMNS)

    def test_smile(self):
        self.check_format("smile", format="json")


class TestConfiguration(drill.Case):
    def problems(self, *entries):
        path = os.path.join(self.folder, "bad.json")
        with open(path, "w") as f:
            json.dump(drill.config(list(entries), "http://localhost:1"), f)
        done = harness.run_program("tranqd", "check", "-c", path)
        self.assertEqual(done.returncode, 78, done)
        return [line.partition(": ")[2] for line in done.stderr.splitlines()]

    def test_every_problem_at_once(self):
        both = new_form("both", {"type": "json"})
        both["spec"]["dataSchema"]["inputFormat"] = {"type": "json"}
        beside = old_form("beside", parse_spec(format="json"))
        beside["spec"]["ioConfig"] = {"inputFormat": {"type": "json"}}
        wrong = copy.deepcopy(both)
        wrong["spec"]["dataSchema"].update(
            dataSource="wrong", timestampSpec=5)
        del wrong["spec"]["ioConfig"]
        at = "dataSources[{}].spec.dataSchema.parser.parseSpec."
        found = self.problems(
            old_form("js", parse_spec(format="javascript", function="f")),
            old_form("csv", parse_spec(format="csv")),
            old_form("regex", parse_spec(format="regex", pattern="(a")),
            old_form("path", parse_spec(format="json", flattenSpec={
                "fields": [{"type": "path", "name": "x", "expr": "$.a["}]})),
            old_form("jq", parse_spec(format="json", flattenSpec={
                "fields": [{"type": "jq", "name": "x", "expr": ".["}]})),
            new_form("new", {"type": "avro_ocf"}), both, beside, wrong)
        expected = [
            (at.format(0) + "format: javascript is not run here", "regex"),
            (at.format(1) + "columns: missing", "hasHeaderRow"),
            (at.format(2) + "pattern: \"(a\" cannot be used", "parenthesis"),
            (at.format(3) + "flattenSpec.fields[0].expr: ", "$.a["),
            (at.format(4) + "flattenSpec.fields[0].expr: ", ".["),
            ("dataSources[5].spec.ioConfig.inputFormat.type: "
             "\"avro_ocf\" is not supported", "json, csv, tsv or regex"),
            ("dataSources[6].spec.ioConfig.inputFormat: given beside", ""),
            ("dataSources[7].spec.ioConfig.inputFormat: given beside", ""),
            ("dataSources[8].spec.dataSchema.timestampSpec: a number", "")]
        for start, inside in expected:
            self.assertTrue(
                any(p.startswith(start) and inside in p for p in found),
                (start, inside, found))
        self.assertEqual(len(found), len(expected), found)


    def test_every_problem_of_one_spec(self):
        found = self.problems(
            old_form("csv", parse_spec(
                format="csv", columns=["time", 5, "a,b"], listDelimiter="",
                hasHeaderRow="maybe", skipHeaderRows=-1)),
            old_form("json", parse_spec(
                format="json", featureSpec={"ALLOW_COMMENTS": True},
                flattenSpec={"useFieldDiscovery": 1, "fields": [
                    {"type": "path", "name": "x", "expr": "$.a["}, "y", 7,
                    "y", {"type": "no", "name": "z"}]})))
        at = "dataSources[{}].spec.dataSchema.parser.parseSpec."
        expected = [at.format(0) + p for p in (
            "columns[1]", "columns[2]", "listDelimiter", "hasHeaderRow",
            "skipHeaderRows")] + [at.format(1) + p for p in (
                "featureSpec.ALLOW_COMMENTS", "flattenSpec.useFieldDiscovery",
                "flattenSpec.fields[0].expr", "flattenSpec.fields[2]",
                "flattenSpec.fields[3]", "flattenSpec.fields[4].type")]
        self.assertEqual(sorted(p.partition(": ")[0] for p in found),
                         sorted(expected), found)


class TestReload(TextCase):
    def test_another_format(self):
        self.serve(old_form("d", parse_spec(
            format="csv", columns=["time", "page"])))
        at = now_ms()
        self.check_arrives("d", f"{at},x\n", [{"time": at, "page": "x"}])
        config = drill.config([old_form("d", parse_spec(
            format="csv", columns=["page", "time"]))], self.druid.url)
        self.server.reload(config)
        self.check_arrives("d", f"x,{at}\n", [{"time": at, "page": "x"}])


if __name__ == "__main__":
    drill.main()
