#!/usr/bin/env python3
"""http.auth.file: who may send, over HTTP and HTTPS, what the others are told
and when, and what a flood of wrong passwords may cost."""

import base64
import hashlib
import json
import os
import re
import socket
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import certificates  # noqa: E402
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

TOKEN = "5f2b0c64c1e04b3c9f4a2b7d8e6f1a3b"
PASSWORDS = {"alice": "wonder", "bob": "geheim: mit ümlaut", "carol": "x"}


def hashed(password, *options):
    return certificates.run("openssl", "passwd", *(options or ["-6"]),
                            "-salt", "saltsalt", password).strip()


def basic(name, password=None):
    word = f"{name}:{PASSWORDS[name] if password is None else password}"
    return {"Authorization":
            "Basic " + base64.b64encode(word.encode()).decode()}


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


class AuthCase(drill.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lines = ["# who may send", ""] + [
            f"{name}:{hashed(p, '-5' if name == 'bob' else '-6')}"
            for name, p in PASSWORDS.items()]
        cls.lines.append(
            f"robot:sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}")

    def write_lines(self, lines):
        with open(self.file + ".part", "w") as f:
            f.write("\n".join(lines) + "\n")
        os.rename(self.file + ".part", self.file)

    def serve(self, properties=None, lines=None):
        self.file = os.path.join(self.folder, "who")
        self.write_lines(lines or self.lines)
        self.druid = self.sandbox()
        values = dict({"http.auth.file": self.file}, **(properties or {}))
        self.server = self.tranqd(drill.config(
            ["wikipedia"], self.druid.url, properties=values))
        return self.server

    def post(self, headers, run="e", client=None):
        events = harness.events(2, run=run)
        if client is not None:
            return client.post("wikipedia", events, headers=headers)
        return self.server.post("wikipedia", events, headers=headers)

    def check_refused(self, answer, text="Wrong credentials\n"):
        self.assertEqual((answer.status, answer.text), (401, text))
        self.assertTrue(answer.headers["WWW-Authenticate"], answer.headers)

    def counted(self, name):
        return sum(r["counters"][name]
                   for r in self.server.status()["receivers"])


class TestCredentials(AuthCase):
    def test_good(self):
        self.serve()
        for n, headers in enumerate([basic(name) for name in PASSWORDS]
                                    + [bearer(TOKEN)]):
            for again in range(3):
                self.assertEqual(
                    self.post(headers, run=f"r{n}-{again}").sent, 2)
        self.check_whole(self.server, self.druid)

    def test_bad(self):
        self.serve()
        for headers in (basic("alice", "wander"), basic("alice", ""),
                        basic("alice", "wonder "), basic("dave", "wonder"),
                        basic("robot", TOKEN), bearer(TOKEN[:-1]),
                        bearer("wonder"), bearer(""),
                        {"Authorization": "Basic ====="},
                        {"Authorization": "Digest username=alice"},
                        {"Authorization": TOKEN},
                        bearer("x" * 5000)):
            with self.subTest(headers=headers):
                self.check_refused(self.post(headers))
        self.check_refused(self.post({}), "Credentials are needed\n")
        self.assertEqual(self.druid.events("wikipedia"), [])
        self.assertEqual(self.server.accounts("wikipedia")["received"], 0)
        wait_for(lambda: self.counted("unauthorized") == 13, "all counted")
        self.assertIn("127.0.0.1 sends wrong credentials", self.server.log())
        for secret in ("wander", TOKEN, "saltsalt"):
            self.assertNotIn(secret, self.server.log())

    def test_challenges(self):
        self.serve()
        with socket.create_connection(("127.0.0.1", self.server.port)) as s:
            s.sendall(b"POST /v1/post HTTP/1.1\r\nHost: t\r\n"
                      b"Content-Length: 0\r\nConnection: close\r\n\r\n")
            got = s.makefile("rb").read().decode()
        self.assertEqual(re.findall(r"WWW-Authenticate: (.*)\r\n", got),
                         ['Basic realm="tranqd", charset="UTF-8"',
                          'Bearer realm="tranqd"'])

    def test_what_is_open(self):
        """The banner; nothing else tells what there is and what not."""
        self.serve()
        self.assertEqual(self.server.request("GET", "/").status, 200)
        for method, path in (("GET", "/x"), ("POST", "/v1/post/nothing"),
                             ("POST", "/v1/post"), ("PUT", "/")):
            self.assertEqual(
                self.server.request(method, path, b"{}").status, 401, path)
        answer = self.server.post("nothing", harness.events(1),
                                  headers=basic("alice"))
        self.assertEqual(answer.status, 400)

    def test_curl(self):
        """Its own Basic, and what htpasswd makes."""
        self.serve()
        words = ["curl", "-s", "-H", "Content-Type: application/json", "-d",
                 json.dumps(harness.events(1)[0]),
                 self.server.url + "/v1/post/wikipedia"]
        good = '{"result":{"received":1,"sent":1}}'
        self.assertEqual(
            certificates.run(*words, "-u", "alice:wonder"), good)
        self.assertEqual(
            certificates.run(*words, "--oauth2-bearer", TOKEN), good)
        self.assertEqual(certificates.run(*words, "-u", "alice:wander"),
                         "Wrong credentials\n")
        # asks first what is wanted, then sends it on the same connection
        self.assertEqual(
            certificates.run(*words, "--anyauth", "-u", "alice:wonder"), good)

    def test_together_with_https(self):
        store = certificates.Store(self.folder)
        ca = store.authority("ca")
        pair = store.leaf("server", ca)
        self.serve({"https.port": 0, "https.port.enable": True,
                    "https.certificateFile": pair.certificate,
                    "https.keyFile": pair.key})
        port = self.server.status()["supervisor"]["httpsPort"]
        words = ["curl", "-s", "--cacert", ca.certificate, "-H",
                 "Content-Type: application/json", "-d",
                 json.dumps(harness.events(1)[0]),
                 f"https://localhost:{port}/v1/post/wikipedia"]
        self.assertEqual(
            certificates.run(*words, "-u", "carol:x"),
            '{"result":{"received":1,"sent":1}}')
        self.assertEqual(certificates.run(*words),
                         "Credentials are needed\n")
        self.assertEqual(self.post(basic("carol")).sent, 2)


class TestBodies(AuthCase):
    """Refused before the body is read."""

    def ask(self, fields, *, body=b"", credentials=None):
        words = credentials or {}
        s = socket.create_connection(("127.0.0.1", self.server.port), 20)
        self.addCleanup(s.close)
        s.sendall(("POST /v1/post/wikipedia HTTP/1.1\r\nHost: t\r\n"
                   "Content-Type: application/json\r\n" + fields
                   + "".join(f"{k}: {v}\r\n" for k, v in words.items())
                   + "\r\n").encode() + body)
        return s, s.makefile("rb")

    def check_refused_and_closed(self, stream):
        self.assertEqual(stream.readline(), b"HTTP/1.1 401 Unauthorized\r\n")
        rest = stream.read()
        self.assertIn(b"\r\nConnection: close\r\n", rest)
        self.assertTrue(rest.endswith(b"Credentials are needed\n"), rest)

    def test_expect(self):
        self.serve()
        fields = "Content-Length: 1000\r\nExpect: 100-continue\r\n"
        s, stream = self.ask(fields)
        self.check_refused_and_closed(stream)
        s, stream = self.ask(fields, credentials=bearer(TOKEN))
        self.assertEqual(stream.readline(), b"HTTP/1.1 100 Continue\r\n")

    def test_large_body_is_not_awaited(self):
        self.serve()
        s, stream = self.ask("Content-Length: 60000000\r\n", body=b"[")
        self.check_refused_and_closed(stream)
        self.assertLess(self.counted("bytesIn"), 100000)

    def test_chunked(self):
        self.serve()
        s, stream = self.ask("Transfer-Encoding: chunked\r\n",
                             body=b"5\r\n[    \r\n")
        self.check_refused_and_closed(stream)
        body = harness.lines(harness.events(3))
        s, stream = self.ask(
            "Transfer-Encoding: chunked\r\nConnection: close\r\n",
            body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
            credentials=basic("alice"))
        self.assertTrue(
            stream.read().endswith(b'{"result":{"received":3,"sent":3}}'))

    def test_keep_alive(self):
        """A whole request that is refused does not cost the connection; and
        credentials are each request's own."""
        self.serve()
        with self.server.client() as client:
            for n in range(20):
                self.check_refused(self.post({}, client=client),
                                   "Credentials are needed\n")
                self.assertEqual(self.post(
                    basic("alice"), run=f"k{n}", client=client).sent, 2)
                self.check_refused(
                    self.post(basic("alice", "no"), client=client))

    def test_pipelined(self):
        self.serve()
        body = harness.lines(harness.events(1))

        def one(headers):
            return ("POST /v1/post/wikipedia HTTP/1.1\r\nHost: t\r\n"
                    "Content-Type: application/json\r\n"
                    + "".join(f"{k}: {v}\r\n" for k, v in headers.items())
                    + f"Content-Length: {len(body)}\r\n\r\n").encode() + body
        wanted = [200, 401, 200, 401, 401, 200]
        data = b"".join(
            one(basic("bob") if w == 200 else basic("bob", "no"))
            for w in wanted)
        with socket.create_connection(("127.0.0.1", self.server.port)) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            got = s.makefile("rb").read()
        self.assertEqual(
            [int(n) for n in re.findall(rb"HTTP/1\.1 (\d+) ", got)], wanted)


class TestReload(AuthCase):
    def test_reload(self):
        """The file's new lines count from then on, old ones no more."""
        self.serve()
        with self.server.client() as client:
            self.assertEqual(self.post(basic("alice"), client=client).sent, 2)
            self.write_lines([f"alice:{hashed('new')}"])
            # not before
            self.assertEqual(self.post(
                basic("alice"), run="f", client=client).sent, 2)
            good, text = self.server.reload()
            self.assertTrue(good, text)
            self.check_refused(self.post(basic("alice"), client=client))
            self.check_refused(self.post(bearer(TOKEN), client=client))
            self.assertEqual(self.post(
                basic("alice", "new"), run="g", client=client).sent, 2)
            # a wrong file changes nothing
            for lines in (["alice:plain"], ["# nobody"], ["x"]):
                self.write_lines(lines)
                good, text = self.server.reload()
                self.assertFalse(good, lines)
                self.assertIn("nothing was changed", text)
            self.assertIn("http.auth.file", self.server.log())
            self.assertEqual(self.post(
                basic("alice", "new"), run="h", client=client).sent, 2)
            # off
            self.server.document["properties"]["http.auth.file"] = ""
            self.server.write()
            self.assertTrue(self.server.reload()[0])
            self.assertEqual(self.post({}, run="i", client=client).sent, 2)

    def test_check(self):
        file = os.path.join(self.folder, "who")
        document = drill.config(["wikipedia"], "http://127.0.0.1:1",
                                properties={"http.auth.file": file})
        conf = os.path.join(self.folder, "check.json")
        with open(conf, "w") as f:
            json.dump(document, f)
        good = hashed("x")
        dear = "$6$rounds=90000000$saltsalt$" + good.rpartition("$")[2]
        for text, code, said in (
                (None, 78, "cannot be read"), ("", 78, "empty"),
                ("a:b", 78, "line 1"), (f"a:{good}", 0, "good"),
                (f"a:{good}\nb:{good[:-1]}", 78, "line 2"),
                (f"a:{good}\nb:{good}\nb:{good}", 78, "'b' is there twice"),
                (f"a:{good}\nb:{dear}", 78, "takes too long")):
            if text is not None:
                with open(file, "w") as f:
                    f.write(text)
            done = harness.run_program("tranqd", "check", "-c", conf)
            out = done.stdout + done.stderr
            self.assertEqual(done.returncode, code, out)
            self.assertIn(said, out)
            self.assertNotIn(good, out)

    def test_file_that_receivers_may_not_read(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        os.chmod(self.folder, 0o755)
        self.serve({"tranqd.user": "nobody:nogroup"})
        os.chmod(self.file, 0o600)
        self.assertTrue(self.server.reload()[0])
        self.assertEqual(self.post(basic("alice")).sent, 2)
        self.check_refused(self.post(basic("alice", "no")))


class TestFlood(AuthCase):
    def test_flood(self):
        """Ever new wrong passwords: those who are known go on, the others
        are told to come again, and the hashes take a part of the time."""
        self.serve({"tranqd.receivers": 1})
        known = self.server.client()
        self.addCleanup(known.close)
        self.assertEqual(self.post(basic("alice"), client=known).sent, 2)
        over, statuses = threading.Event(), []

        def flood(number):
            n = 0
            with self.server.client() as client:
                while not over.is_set():
                    n += 1
                    statuses.append(self.post(
                        basic("alice", f"no{number}-{n}"),
                        client=client).status)
        threads = [threading.Thread(target=flood, args=(n,))
                   for n in range(3)]
        for t in threads:
            t.start()
        try:
            wait_for(lambda: 503 in statuses, "the budget is used up", 60)
            at = time.monotonic()
            done = 0
            while time.monotonic() - at < 3 or done < 50:
                self.assertEqual(self.post(
                    basic("alice"), run=f"k{done}", client=known).status, 200)
                done += 1
            self.assertLess(time.monotonic() - at, 30)
            # a new one, who comes again as he is told to
            wait_for(lambda: self.post(basic("carol"),
                                       run="carol").status == 200,
                     "carol is let in", 60, step=0.05)
        finally:
            over.set()
            for t in threads:
                t.join()
        self.assertEqual(set(statuses), {401, 503})
        self.check_no_crash(self.server)


if __name__ == "__main__":
    harness.main()
