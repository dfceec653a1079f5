#!/usr/bin/env python3
"""tranq-load finds what a server loses, doubles, refuses and misroutes.

The server is a stand-in for tranqd and tranq-sandbox in one, which does wrong
what it is told to do wrong.
"""

import gzip
import http.server
import json
import os
import socket
import struct
import sys
import threading
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import harness  # noqa: E402


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, judge=None, port=0):
        """judge(number of the request, its events) says what to do: "take"
        (default), "refuse", "malformed", "lose", "double", "misroute", "cut"
        (taken, no answer) or "cut before"."""
        super().__init__(("127.0.0.1", port), Handler)
        self.judge = judge or (lambda n, events: "take")
        self.events = {}
        self.paths, self.posts, self.dropped = set(), 0, 0
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self.serve_forever,
                                       args=(0.02,))
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def close(self):
        self.shutdown()
        self.thread.join()
        self.server_close()

    def store(self, ds, events):
        for event in events:
            name = ds or event["dataSource"]
            self.events.setdefault(name, []).append(event)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def read_events(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if body.startswith(b"["):
            return json.loads(body)
        return [json.loads(line) for line in body.splitlines()]

    def answer(self, status, body, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def cut(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def do_POST(self):
        server = self.server
        events = self.read_events()
        path = urllib.parse.urlparse(self.path)
        ds = path.path[len("/v1/post/"):]
        with server.lock:
            number = server.posts
            server.posts += 1
            server.paths.add(self.path)
            verdict = server.judge(number, events)
            if verdict in ("take", "cut", "double"):
                server.store(ds, events)
            if verdict == "double":
                server.store(ds, events[:1])
            if verdict in ("lose", "drop"):
                server.store(ds, events[1:])
            if verdict == "misroute":
                server.store("elsewhere", events)
        if verdict.startswith("cut"):
            self.cut()
        elif verdict == "refuse":
            self.answer(503, b"Buffer full\n", Retry_After="1")
        elif verdict == "malformed":
            self.answer(400, b"Malformed JSON\n")
        else:
            n = len(events)
            self.answer(
                200, json.dumps({"result": {"received": n, "sent": n}},
                                separators=(",", ":")).encode(),
                X_Tranq_Dropped="1; window=1" if verdict == "drop" else "0")

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
        with self.server.lock:
            events = list(self.server.events.get(query["dataSource"][0], []))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        body = harness.lines(events)
        for at in range(0, len(body), 5000):
            piece = body[at:at + 5000]
            self.wfile.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")


def every(count, verdict):
    return lambda n, events: verdict if n % count == count - 1 else "take"


class TestLoad(harness.Case):
    def run_load(self, judge=None, **options):
        server = Server(judge)
        self.addCleanup(server.close)
        self.server = server
        options.setdefault("events", 2000)
        options.setdefault("batch", 10)
        options.setdefault("settle", 2)
        return harness.load(url=server.url, compare=server.url, **options)

    def check(self, report, code=0, **compare):
        self.assertEqual(report.code, code, dict(report))
        for name, value in compare.items():
            self.assertEqual(report["compare"][name], value,
                             (name, dict(report)))

    def test_good(self):
        report = self.run_load()
        self.check(report, arrived=2000, lost=0, doubled=0, foreign=0)
        self.assertEqual(report["events"]["answered"], 2000)
        self.assertEqual(report["load"]["answers"], {"200": 200})
        self.assertEqual(report["load"]["received"], 2000)
        self.assertEqual(self.server.paths, {"/v1/post/wikipedia"})

    def test_each_event_once_and_whole(self):
        self.run_load(events=1005, connections=3, array=True)
        events = self.server.events["wikipedia"]
        self.assertEqual(len({e["id"] for e in events}), 1005)
        self.assertEqual({len(e) for e in events}, {len(events[0])})

    def test_gzip_async_mixed(self):
        report = self.run_load(gzip=True, mixed=True, data_source="a,b,c",
                               **{"async": True})
        self.check(report, arrived=2000, misrouted=0)
        self.assertEqual(self.server.paths, {"/v1/post?async=true"})
        self.assertEqual({n: len(e) for n, e in self.server.events.items()},
                         {"a": 667, "b": 667, "c": 666})

    def test_data_sources_in_turn(self):
        report = self.run_load(data_source="a,b")
        self.check(report, arrived=2000, misrouted=0)
        self.assertEqual(len(self.server.events["a"]), 1000)

    def test_rate(self):
        report = self.run_load(events=500, rate=500)
        self.check(report, arrived=500)
        self.assertGreater(report["load"]["wallSeconds"], 0.8)

    def test_seconds(self):
        report = self.run_load(events=None, seconds=0.5, connections=2)
        self.check(report)
        self.assertEqual(report["compare"]["arrived"],
                         report["events"]["total"])
        self.assertGreater(report["events"]["total"], 0)

    def test_replay(self):
        path = os.path.join(self.folder, "replay.json.gz")
        events = harness.events(50, at=0)
        for event in events:
            event["number"] = event.pop("id")
        with gzip.open(path, "wb") as f:
            f.write(harness.lines(events))
        report = self.run_load(events=200, replay=path)
        self.check(report, arrived=200)
        self.assertTrue(all(e["time"] > "2020" and e["page"].startswith("Pa")
                            for e in self.server.events["wikipedia"]))

    def test_replay_with_ids(self):
        path = os.path.join(self.folder, "replay.json")
        with open(path, "wb") as f:
            f.write(harness.lines(harness.events(2)))
        done = harness.run_program("tranq-load", "--replay", path)
        self.assertEqual(done.returncode, 2)
        self.assertIn("line 1 has an `id` of its own", done.stderr)

    def test_lost(self):
        self.check(self.run_load(every(50, "lose")), 1, lost=4, missing=4)

    def test_dropped_is_not_lost(self):
        report = self.run_load(every(50, "drop"))
        self.check(report, lost=0, missing=4)
        self.assertEqual(report["load"]["dropped"], 4)

    def test_doubled(self):
        self.check(self.run_load(every(50, "double")), 1, doubled=4, lost=0)

    def test_misrouted(self):
        report = self.run_load(lambda n, events: "misroute", events=10,
                               data_source="wikipedia,elsewhere")
        self.check(report, 1, misrouted=10, lost=0)

    def test_unknown(self):
        report = self.run_load(every(20, "cut"))
        self.check(report, lost=0, doubled=0, unknownArrived=100)
        self.assertEqual(report["events"]["unknown"], 100)
        self.assertEqual(report["load"]["broken"], 10)

    def test_unknown_and_gone(self):
        report = self.run_load(every(20, "cut before"))
        self.check(report, lost=0, unknownArrived=0, arrived=1900)

    def test_refused(self):
        report = self.run_load(every(4, "refuse"))
        self.check(report, lost=0, arrived=1500, refusedArrived=0)
        self.assertEqual(report["events"]["refused"], 500)
        self.assertEqual(report["load"]["answers"], {"200": 150, "503": 50})

    def test_retry_refused(self):
        report = self.run_load(every(4, "refuse"), retry=True)
        self.check(report, lost=0, arrived=2000, clientDoubled=0)
        self.assertEqual(report["events"]["answered"], 2000)

    def test_retry_broken(self):
        report = self.run_load(every(20, "cut"), retry=True)
        self.check(report, lost=0, doubled=0, arrived=2000)
        self.assertEqual(report["events"]["answered"], 2000)
        self.assertEqual(report["compare"]["clientDoubled"],
                         10 * report["load"]["broken"])

    def test_retry_is_not_for_malformed(self):
        report = self.run_load(every(4, "malformed"), retry=True)
        self.check(report, arrived=1500)
        self.assertEqual(report["events"]["refused"], 500)

    def test_record_and_check(self):
        record = os.path.join(self.folder, "record")
        report = self.run_load(every(20, "cut"), record=record)
        again = harness.load(check=record, compare=self.server.url, settle=1)
        self.assertEqual(again.code, 0)
        self.assertEqual(again["compare"], report["compare"])
        self.assertEqual(again["events"], report["events"])
        self.server.events["wikipedia"].clear()
        again = harness.load(check=record, compare=self.server.url, settle=0)
        self.assertEqual(again.code, 1)
        self.assertEqual(again["compare"]["lost"], 1900)

    def test_nobody_there(self):
        done = harness.run_program(
            "tranq-load", "--url", f"http://127.0.0.1:{self.closed_port()}",
            "--seconds", "0.3", "--json")
        self.assertEqual(done.returncode, 3)
        self.assertIn("takes no connection", done.stderr)
        self.assertEqual(json.loads(done.stdout)["events"]["total"], 0)

    def test_comes_later(self):
        """Connections that break or are refused are tried again."""
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
            running = harness.Load(url=f"http://127.0.0.1:{port}", events=100,
                                   batch=10, retry=True)
            self._started.append(running)
            s.accept()[0].close()
        server = Server(port=port)
        self.addCleanup(server.close)
        report = running.finish()
        self.assertEqual(report["events"]["answered"], 100)
        self.assertGreater(report["load"]["broken"]
                           + report["load"]["refusedConnections"], 0)

    def test_reset_before_it_sends(self):
        """They go on to come: none is counted as connecting for ever."""
        with socket.create_server(("127.0.0.1", 0), backlog=512) as s:
            s.settimeout(20)
            running = harness.Load(
                url=f"http://127.0.0.1:{s.getsockname()[1]}", events=100000,
                batch=20, connections=200, retry=True)
            self._started.append(running)
            for _ in range(5000):
                with s.accept()[0] as c:
                    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                 struct.pack("ii", 1, 0))

    def test_timeout(self):
        with socket.create_server(("127.0.0.1", 0), backlog=64) as s:
            report = harness.load(
                url=f"http://127.0.0.1:{s.getsockname()[1]}", events=50,
                batch=10, connections=5, timeout=1, seconds=30)
        self.assertEqual(report.code, 3)
        self.assertEqual(report["load"]["timeouts"], 5)
        self.assertEqual(report["events"]["unknown"], 50)

    def test_other_hosts_are_refused(self):
        for option in "--url", "--compare":
            done = harness.run_program("tranq-load", option,
                                       "http://192.0.2.1:8200")
            self.assertEqual(done.returncode, 2)
            self.assertIn("is not on this machine", done.stderr)

    def test_options(self):
        for arguments in (["--batch", "0"], ["--events", "x"], ["--frob"],
                          ["--url", "localhost:8200"], ["nothing"],
                          ["--data-source", "a b"], ["--check", "x"],
                          ["--replay", "/not/there"]):
            done = harness.run_program("tranq-load", *arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn("tranq-load: ", done.stderr)
            self.assertEqual(done.stdout, "")


if __name__ == "__main__":
    harness.main()
