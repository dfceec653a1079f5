#!/usr/bin/env python3
"""HTTPS: certificates and where they come from, protocols, clients'
certificates, bodies of every kind, handshakes that do not end, reloads."""

import datetime
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import certificates  # noqa: E402
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402

JSON = "Content-Type: application/json\r\n"


class TlsClient(harness.Client):
    def __init__(self, port, context, timeout=harness.ANSWER_SECONDS):
        self.connection = http.client.HTTPSConnection(
            "localhost", port, timeout=timeout, context=context)


class TlsCase(drill.Case):
    """One authority and one server certificate for all tests of a class."""
    properties = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.mkdtemp(prefix="tranqd-test-certificates-")
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.files = certificates.Store(folder)
        cls.ca = cls.files.authority("ca")
        cls.pair = cls.files.leaf("server", cls.ca)

    def configure(self, properties=None, druid=None, **how):
        values = {"https.port": 0, "https.port.enable": True,
                  "https.certificateFile": self.pair.certificate,
                  "https.keyFile": self.pair.key}
        values.update(self.properties)
        values.update(properties or {})
        values = {k: v for k, v in values.items() if v is not None}
        url = druid.url if druid else "http://127.0.0.1:1"
        return drill.config(["wikipedia"], url, properties=values)

    def serve(self, properties=None, **how):
        """With a Druid; the port of HTTPS is kept for restarts."""
        self.druid = self.sandbox()
        self.server = self.tranqd(
            self.configure(properties, self.druid), **how)
        self.port = self.server.status()["supervisor"]["httpsPort"]
        return self.server

    def context(self, client=None, **how):
        context = ssl.create_default_context(cafile=self.ca.certificate)
        if client is not None:
            context.load_cert_chain(client.certificate, client.key)
        for name, value in how.items():
            setattr(context, name, value)
        return context

    def connect(self, context=None, port=None, **how):
        raw = socket.create_connection(("127.0.0.1", port or self.port), 20)
        self.addCleanup(raw.close)
        s = (context or self.context()).wrap_socket(
            raw, server_hostname="localhost", **how)
        self.addCleanup(s.close)
        return s

    def client(self, context=None):
        client = TlsClient(self.port, context or self.context())
        self.addCleanup(client.close)
        return client

    def post(self, events, context=None, **how):
        with self.client(context) as client:
            return client.post("wikipedia", events, **how)

    def check(self, properties):
        """tranqd check's answer: code and text."""
        file = os.path.join(self.folder, "check.json")
        with open(file, "w") as f:
            json.dump(self.configure(properties), f)
        done = harness.run_program("tranqd", "check", "-c", file)
        return done.returncode, done.stdout + done.stderr

    def check_refused(self, properties, *texts):
        code, text = self.check(properties)
        self.assertEqual(code, 78, text)
        self.assertEqual(len(text.splitlines()), 1, text)
        for t in texts:
            self.assertIn(t, text)

    def is_served(self, subject):
        """The name in the certificate that a new connection gets."""
        with self.connect() as s:
            names = dict(e[0] for e in s.getpeercert()["subject"])
        self.assertEqual(names["commonName"], subject)
        return True


def answer(stream):
    """(status, fields, body) of the next answer on a file of a socket."""
    first = stream.readline()
    if not first:
        raise ConnectionError("closed")
    fields = {}
    while (line := stream.readline().strip()):
        name, _, value = line.decode().partition(":")
        fields[name.lower()] = value.strip()
    length = int(fields.get("content-length", 0))
    return int(first.split()[1]), fields, stream.read(length)


def request(body, fields=JSON, path="/v1/post/wikipedia"):
    return (f"POST {path} HTTP/1.1\r\nHost: t\r\n{fields}"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


class TestProtocol(TlsCase):
    def test_versions(self):
        self.serve()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.context(
                minimum_version=version, maximum_version=version)
            with self.subTest(version=version):
                with self.connect(context) as s:
                    self.assertEqual(s.version(),
                                     version.name.replace("_", "."))
                events = harness.events(10, run=version.name)
                self.assertEqual(self.post(events, context).sent, 10)
                self.check_ids(self.druid, "wikipedia", drill.ids(
                    self.druid.events("wikipedia")))
        self.check_whole(self.server, self.druid)

    def test_old_versions_are_refused(self):
        self.serve()
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}",
             "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=30)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("alert protocol version", done.stdout)

    def test_alpn(self):
        self.serve()
        context = self.context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        with self.connect(context) as s:
            self.assertEqual(s.selected_alpn_protocol(), "http/1.1")
        context = self.context()
        context.set_alpn_protocols(["h2"])
        with self.assertRaises(ssl.SSLError):
            self.connect(context)

    def test_lists(self):
        suite = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
        self.serve({"https.includeProtocols": "TLSv1.2",
                    "https.includeCipherSuites": suite})
        with self.connect() as s:
            self.assertEqual(s.cipher()[:2],
                             ("ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1.2"))
        with self.assertRaises(ssl.SSLError):
            self.connect(self.context(
                minimum_version=ssl.TLSVersion.TLSv1_3))
        other = self.context(maximum_version=ssl.TLSVersion.TLSv1_2)
        other.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
        with self.assertRaises(ssl.SSLError):
            self.connect(other)

    def test_s_client(self):
        """Verified by another program; renegotiation is not had."""
        self.serve()
        for version in ("-tls1_2", "-tls1_3"):
            done = subprocess.run(
                ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}",
                 "-CAfile", self.ca.certificate, "-verify_return_error",
                 version, "-ign_eof"],
                input="GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                timeout=30)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertIn("Verify return code: 0 (ok)", done.stdout)
            self.assertIn("HTTP/1.1 200 OK", done.stdout)
            # it was told good-bye
            self.assertIn("closed", done.stdout)
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}",
             "-tls1_2"], input="R\n", stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=30)
        self.assertIn("RENEGOTIATING", done.stdout)
        self.assertIn("no renegotiation", done.stdout)

    def test_curl(self):
        self.serve()
        url = f"https://localhost:{self.port}/v1/post/wikipedia"
        event = json.dumps(harness.events(1)[0])
        words = ["curl", "-s", "-H", "Content-Type: application/json",
                 "-d", event, url]
        self.assertEqual(
            certificates.run(*words, "--cacert", self.ca.certificate),
            '{"result":{"received":1,"sent":1}}')
        other = self.files.authority("stranger")
        for option in ([], ["--cacert", other.certificate]):
            done = subprocess.run(words + option, stdout=subprocess.PIPE)
            self.assertEqual((done.returncode, done.stdout), (60, b""))

    def test_resumption(self):
        """A ticket of one receiver is good at the other."""
        self.serve()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.context(
                minimum_version=version, maximum_version=version)
            session = None
            for n in range(8):
                with self.connect(context, session=session) as s:
                    self.assertEqual(s.session_reused, n > 0, version)
                    s.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
                    self.assertEqual(answer(s.makefile("rb"))[0], 200)
                    session = s.session
        # what was agreed under the old rules is not taken up under new ones
        self.assertTrue(self.server.reload()[0])
        with self.connect(context, session=session) as s:
            self.assertFalse(s.session_reused)

    def test_plain_http_is_told(self):
        self.serve()
        got = harness.raw(self.port, b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        self.assertTrue(got.startswith(b"HTTP/1.1 400 "), got)
        self.assertIn(b"This port speaks HTTPS", got)
        # and TLS where HTTP is spoken gets an HTTP answer
        got = harness.raw(self.server.port, b"\x16\x03\x01\x00\x05hello\r\n")
        self.assertTrue(got.startswith(b"HTTP/1.1 400 "), got)

    def test_garbage(self):
        self.serve()
        for data in (b"\x16\x03\x01\xff\xff" + b"x" * 5000, b"\0" * 100,
                     b"\x80\x2e\x01\x00\x02" + b"y" * 300, b"\x15\x03"):
            harness.raw(self.port, data, end=True)
        self.assertEqual(self.post(harness.events(3)).sent, 3)
        # counted behind the close that was seen
        wait_for(lambda: sum(r["counters"]["tlsFailures"] for r in
                             self.server.status()["receivers"]) == 4,
                 "all four are counted")
        self.check_no_crash(self.server)


class TestBodies(TlsCase):
    def setUp(self):
        super().setUp()
        self.serve({"tranqd.receivers": 1})

    def test_together_with_http(self):
        """One dataSource, two doors."""
        a, b = harness.events(50, run="a"), harness.events(50, run="b")
        self.assertEqual(self.post(a).sent, 50)
        self.assertEqual(self.server.post("wikipedia", b).sent, 50)
        self.check_ids(self.druid, "wikipedia", drill.ids(a + b))
        self.check_whole(self.server, self.druid)
        with open(os.path.join(self.server.run_dir, "https.port")) as f:
            self.assertEqual(int(f.read()), self.port)

    def test_large(self):
        events = harness.events(60000, filler="x" * 200)
        for is_gzip in (False, True):
            part = events[30000 * is_gzip:30000 * (is_gzip + 1)]
            self.assertEqual(
                self.post(part, is_gzip=is_gzip).received, 30000)
        self.check_ids(self.druid, "wikipedia", drill.ids(events),
                       seconds=60)
        self.check_whole(self.server, self.druid)

    def test_keep_alive_and_sizes(self):
        """Bodies around a record's and a buffer's border."""
        sent = []
        with self.client() as client:
            for n in (1, 100, 16000, 16384, 16385, 32768, 262144, 262145,
                      600000):
                event = harness.events(1, run=f"s{n}", filler="y" * n)
                sent += event
                self.assertEqual(client.post("wikipedia", event).sent, 1, n)
            for n in range(200):
                event = harness.events(1, run=f"k{n}")
                sent += event
                self.assertEqual(client.post("wikipedia", event).sent, 1)
        self.check_ids(self.druid, "wikipedia", drill.ids(sent))

    def test_pipelining(self):
        bodies = [harness.lines(harness.events(3, run=f"p{n}"))
                  for n in range(100)]
        with self.connect() as s:
            s.sendall(b"".join(request(b) for b in bodies))
            stream = s.makefile("rb")
            for _ in bodies:
                status, _, body = answer(stream)
                self.assertEqual(
                    (status, json.loads(body)["result"]["received"]),
                    (200, 3))
        self.check_whole(self.server, self.druid)

    def test_answers_that_nobody_reads_yet(self):
        """The socket is full of answers: they wait, and then they all
        come."""
        count = 40000  # more than both sides' buffers hold
        with self.connect() as s:
            wanted = b"GET /nothing HTTP/1.1\r\nHost: t\r\n\r\n" * count
            sender = threading.Thread(target=s.sendall, args=(wanted,))
            sender.start()
            time.sleep(0.3)  # nothing can be awaited: it may well wait
            stream = s.makefile("rb")
            for _ in range(count):
                self.assertEqual(answer(stream)[0], 404)
            sender.join()

    def test_chunked(self):
        body = harness.lines(harness.events(500))
        with self.connect() as s:
            s.sendall(f"POST /v1/post/wikipedia HTTP/1.1\r\nHost: t\r\n{JSON}"
                      "Transfer-Encoding: chunked\r\n\r\n".encode())
            for at in range(0, len(body), 777):
                piece = body[at:at + 777]
                s.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
            s.sendall(b"0\r\n\r\n")
            self.assertEqual(answer(s.makefile("rb"))[0], 200)

    def test_byte_by_byte(self):
        """Each byte a record of its own."""
        event = harness.events(1)
        with self.connect() as s:
            for byte in request(harness.lines(event)):
                s.sendall(bytes([byte]))
            self.assertEqual(answer(s.makefile("rb"))[0], 200)
        self.check_ids(self.druid, "wikipedia", drill.ids(event))

    def test_keys_are_changed(self):
        """A client of TLS 1.3 that asks for new keys again and again."""
        with open(os.path.join(self.folder, "said"), "w+") as said:
            talker = subprocess.Popen(
                ["openssl", "s_client", "-connect",
                 f"127.0.0.1:{self.port}", "-tls1_3", "-crlf"],
                stdin=subprocess.PIPE, stdout=said, stderr=said, text=True)
            self.addCleanup(talker.wait)
            self.addCleanup(talker.kill)

            def say(text):
                try:
                    talker.stdin.write(text)
                    talker.stdin.flush()
                except BrokenPipeError:
                    pass  # it has ended
            for _ in range(300):
                say("K\n")
            self.assertEqual(self.post(harness.events(3)).sent, 3)
            # it takes what lies behind a K for a part of it
            wait_for(lambda: say("GET / HTTP/1.1\nHost: t\n"
                                 "Connection: close\n\n")
                     or talker.poll() is not None,
                     "the answer's end", step=0.2)
            said.seek(0)
            text = said.read()
        self.assertIn("KEYUPDATE", text)
        self.assertIn("HTTP/1.1 200 OK", text)

    def test_idle_is_idle(self):
        """Connections on which nothing moves cost no time."""
        kept = [self.connect() for _ in range(20)]
        for s in kept:
            s.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            self.assertEqual(answer(s.makefile("rb"))[0], 200)
        kept[0].sendall(request(b"x" * 1000)[:500])
        pid = self.server.receiver_pids()[0]
        before = drill.cpu_ticks(pid)
        time.sleep(1)  # nothing shall happen in it
        self.assertLessEqual(drill.cpu_ticks(pid) - before, 3)

    def test_continue(self):
        body = harness.lines(harness.events(5))
        with self.connect() as s:
            s.sendall(request(body, JSON + "Expect: 100-continue\r\n")
                      [:-len(body)])
            stream = s.makefile("rb")
            self.assertEqual(answer(stream)[0], 100)
            s.sendall(body)
            self.assertEqual(answer(stream)[0], 200)

    def test_cut_short(self):
        """No good-bye in the middle of a body: nothing of it is taken."""
        body = harness.lines(harness.events(100))
        for fields in (JSON, JSON + "Connection: close\r\n"):
            s = self.connect()
            s.sendall(request(body, fields)[:-10])
            s.shutdown(socket.SHUT_RDWR)
            s.close()
        wait_for(lambda: self.connections() == 0, "they are gone")
        self.assertEqual(self.server.accounts("wikipedia")["received"], 0)

    def connections(self):
        return sum(r["counters"]["connections"]
                   for r in self.server.status()["receivers"])


class TestStores(TlsCase):
    """Where the certificate comes from."""

    def store(self, path, **more):
        return dict({"https.certificateFile": None, "https.keyFile": None,
                     "https.keyStorePath": path,
                     "https.keyStorePassword": "open"}, **more)

    def serve_and_check(self, properties, subject="server", **how):
        self.serve(properties, **how)
        self.assertTrue(self.is_served(subject))
        self.assertEqual(self.post(harness.events(3)).sent, 3)

    def test_pem_in_one_file(self):
        whole = self.files.write("whole.pem", self.pair.key,
                                 self.pair.certificate)
        self.serve_and_check(
            {"https.certificateFile": whole, "https.keyFile": None})

    def test_pem_as_key_store(self):
        whole = self.files.write("whole2.pem", self.pair.certificate,
                                 self.pair.key)
        self.serve_and_check(self.store(whole, **{
            "https.keyStoreType": "PEM", "https.keyStorePassword": None}))

    def test_chain(self):
        """An authority between ours and the one that clients know."""
        middle = self.files.leaf("middle", self.ca, is_ca=True)
        leaf = self.files.leaf("below", middle)
        chain = self.files.write("chain.pem", leaf.certificate,
                                 middle.certificate)
        self.serve_and_check({"https.certificateFile": chain,
                              "https.keyFile": leaf.key}, "below")
        store = self.files.pkcs12("below.p12", leaf,
                                  chain=middle.certificate)
        self.serve_and_check(self.store(store), "below", name="second")

    def test_encrypted_key(self):
        key = self.files.path("locked.key")
        certificates.run("openssl", "pkey", "-in", self.pair.key, "-aes128",
                         "-passout", "pass:secret", "-out", key)
        self.check_refused({"https.keyFile": key}, "https.keyFile",
                           "does not open", "https.keyManagerPassword")
        self.check_refused({"https.keyFile": key,
                            "https.keyManagerPassword": "wrong"},
                           "mend https.keyManagerPassword")
        self.serve_and_check({"https.keyFile": key,
                              "https.keyManagerPassword": "secret"})

    def several(self):
        """A store with the entries one, two, three, made by Java's keytool
        as Java users have it, each with a key of its own kind."""
        path = self.files.path("several.p12")
        if os.path.exists(path):
            return path
        for name, kind in (("one", "ec"), ("Two", "rsa"), ("three", "ec")):
            pair = self.files.leaf(name, self.ca, kind=kind)
            single = self.files.pkcs12(name + ".p12", pair, alias=name)
            certificates.run(
                "keytool", "-importkeystore", "-noprompt",
                "-srckeystore", single, "-srcstoretype", "PKCS12",
                "-srcstorepass", "open", "-destkeystore", path,
                "-deststoretype", "PKCS12", "-deststorepass", "opensesame")
        return path

    def test_alias(self):
        store = self.store(self.several(), **{
            "https.keyStorePassword": "opensesame",
            "https.keyStoreType": "jks"})  # the file says what it is
        self.serve_and_check(dict(store, **{"https.certAlias": "TWO"}),
                             "Two")
        self.serve_and_check(dict(store, **{"https.certAlias": "three"}),
                             "three", name="second")
        self.check_refused(dict(store, **{"https.certAlias": "four"}),
                           "https.keyStorePath", "no entry 'four'",
                           "one, two, three")
        code, text = self.check(store)
        self.assertEqual(code, 0, text)
        self.assertIn("several keys (one, two, three)", text)

    def test_passwords(self):
        store = self.store(self.files.pkcs12("plain.p12", self.pair))
        self.serve_and_check(store)
        self.check_refused(dict(store, **{"https.keyStorePassword": "x"}),
                           "mend https.keyStorePassword")
        self.check_refused(dict(store, **{"https.keyStorePassword": None}),
                           "give https.keyStorePassword")
        empty = self.files.pkcs12("empty.p12", self.pair, password="")
        self.assertEqual(self.check(self.store(empty, **{
            "https.keyStorePassword": None}))[0], 0)

    def test_old_encryption(self):
        """As Java wrote them before 8u301."""
        path = self.files.pkcs12(
            "old.p12", self.pair,
            options=["-legacy", "-certpbe", "PBE-SHA1-RC2-40", "-keypbe",
                     "PBE-SHA1-3DES", "-macalg", "sha1"])
        self.serve_and_check(self.store(path))
        key = self.files.path("old.key")
        certificates.run("openssl", "pkcs8", "-topk8", "-in", self.pair.key,
                         "-v1", "PBE-SHA1-RC2-40", "-passout", "pass:secret",
                         "-provider", "default", "-provider", "legacy",
                         "-out", key)
        self.serve_and_check({"https.keyFile": key,
                              "https.keyManagerPassword": "secret"})

    def test_jks(self):
        """Refused, and the command that it is refused with works."""
        jks = self.files.path("store.jks")
        single = self.files.pkcs12("single.p12", self.pair)
        certificates.run(
            "keytool", "-importkeystore", "-noprompt", "-srckeystore",
            single, "-srcstoretype", "PKCS12", "-srcstorepass", "open",
            "-destkeystore", jks, "-deststoretype", "JKS",
            "-deststorepass", "opensesame", "-destkeypass", "opensesame")
        code, text = self.check(self.store(jks))
        self.assertEqual(code, 78)
        command = re.search(r"keytool .*$", text, re.M).group(0)
        self.assertEqual(len(text.splitlines()), 1, text)
        certificates.run(*command.split(), "-noprompt", "-srcstorepass",
                         "opensesame", "-deststorepass", "opensesame")
        self.serve_and_check(self.store(jks + ".p12", **{
            "https.keyStorePassword": "opensesame"}))

    def test_refused(self):
        other = self.files.leaf("other", self.ca)
        broken = self.files.path("broken.pem")
        with open(self.pair.certificate) as f, open(broken, "w") as to:
            to.write(f.read().replace("M", "?", 5))
        with open(self.files.path("noise"), "wb") as f:
            f.write(os.urandom(500))
        with open(self.files.path("nothing"), "wb"):
            pass
        here = self.files.path
        for properties, texts in (
                ({"https.certificateFile": None, "https.keyFile": None},
                 ("https.port.enable", "there is no certificate")),
                ({"https.certificateFile": here("absent")},
                 ("https.certificateFile", "cannot be read", "absent")),
                ({"https.keyFile": other.key}, ("is not that of the",)),
                ({"https.keyFile": self.pair.certificate},
                 ("https.keyFile", "no private key")),
                ({"https.keyFile": None}, ("no private key",
                                           "https.keyFile")),
                ({"https.certificateFile": self.pair.key},
                 ("no certificate is in it",)),
                ({"https.certificateFile": broken}, ("cannot be read",)),
                ({"https.certificateFile": here("noise"),
                  "https.keyFile": None}, ("neither PEM nor PKCS#12",)),
                ({"https.keyFile": here("nothing")}, ("empty",)),
                ({"https.keyStorePath": here("noise")},
                 ("take one of the two out",)),
                (self.store(here("noise"), **{
                    "https.keyStoreType": "BCFKS"}), ("'BCFKS'",)),
                ({"https.clientCA": self.pair.key},
                 ("https.clientCA", "no certificate in it")),
                ({"https.clientCA": here("absent")},
                 ("https.clientCA", "cannot be read"))):
            with self.subTest(properties=properties):
                self.check_refused(properties, *texts)
        # what is not used is not looked at
        self.assertEqual(self.check(
            {"https.port.enable": False, "https.keyFile": "/absent"})[0], 0)

    def test_weak_key(self):
        key = self.files.path("weak.key")
        certificate = self.files.path("weak.pem")
        certificates.run(
            "openssl", "req", "-x509", "-newkey", "rsa:512", "-nodes",
            "-keyout", key, "-out", certificate, "-subj", "/CN=weak")
        self.check_refused({"https.certificateFile": certificate,
                            "https.keyFile": key}, "ee key too small")

    def test_expired(self):
        """A warning, since HTTP must be had all the same; clients refuse
        it."""
        old = self.files.leaf("old", self.ca, dates=("20200101", "20210101"))
        later = self.files.leaf("later", self.ca,
                                dates=("20400101", "20410101"))
        in_days = datetime.date.today() + datetime.timedelta(days=3)
        soon = self.files.leaf("soon", self.ca, dates=(
            "20200101", in_days.strftime("%Y%m%d")))
        for pair, text in ((old, "has expired"), (later, "not valid yet"),
                           (soon, f"until {in_days}T00:00:00Z) expires")):
            code, said = self.check({"https.certificateFile":
                                     pair.certificate,
                                     "https.keyFile": pair.key})
            self.assertEqual(code, 0, said)
            self.assertIn("warning", said)
            self.assertIn(text, said)
        self.serve({"https.certificateFile": old.certificate,
                    "https.keyFile": old.key})
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.connect()
        self.assertEqual(self.server.request("GET", "/").status, 200)


class TestSecrets(TlsCase):
    def test_passwords_are_shown_nowhere(self):
        store = self.files.pkcs12("s.p12", self.pair, password="geheim123")
        properties = {"https.certificateFile": None, "https.keyFile": None,
                      "https.keyStorePath": store,
                      "https.keyStorePassword": "geheim123",
                      "https.keyManagerPassword": "geheim123",
                      "log.level": "debug"}
        self.serve(properties)
        self.assertEqual(self.post(harness.events(3)).sent, 3)
        self.assertTrue(self.server.reload()[0])
        shown = harness.run_program("tranqd", "config", "-c",
                                    self.server.config_file).stdout
        self.assertIn("https.keyStorePassword", shown)
        lines = [harness.command_line(p) for p in drill.family(self.server)]
        for text in (shown, self.server.log(),
                     json.dumps(self.server.status()), *lines):
            self.assertNotIn("geheim123", text)
            self.assertNotIn("PRIVATE KEY", text)

    def test_password_from_a_file(self):
        store = self.files.pkcs12("f.p12", self.pair, password="geheim123")
        with open(self.files.path("password"), "w") as f:
            f.write("geheim123\n")
        self.serve({"https.certificateFile": None, "https.keyFile": None,
                    "https.keyStorePath": store,
                    "https.keyStorePassword":
                        "${file:%s}" % self.files.path("password")})
        self.assertEqual(self.post(harness.events(3)).sent, 3)

    def test_key_that_receivers_may_not_read(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        os.chmod(self.folder, 0o755)
        os.chmod(self.files.folder, 0o700)
        self.serve({"tranqd.user": "nobody:nogroup"})
        self.assertTrue(self.is_served("server"))
        self.assertTrue(self.server.reload()[0])
        self.assertTrue(self.is_served("server"))
        # a receiver that is born later gets them too
        self.server.kill_receiver(0)
        self.server.kill_receiver(1)
        self.server.wait_ready()
        self.assertTrue(self.is_served("server"))
        for pid in self.server.receiver_pids():
            self.assertNotEqual(os.stat(f"/proc/{pid}").st_uid, 0)


class TestClients(TlsCase):
    """https.clientCA."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.known = cls.files.authority("known")
        cls.good = cls.files.leaf("good", cls.known)
        cls.other = cls.files.leaf("stranger", cls.files.authority("unknown"))
        cls.old = cls.files.leaf("old", cls.known,
                                 dates=("20200101", "20210101"))

    def is_let_in(self, client, version):
        """TLS 1.3 tells a client of it with the first bytes only."""
        context = self.context(client, minimum_version=version,
                               maximum_version=version)
        try:
            with self.connect(context) as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
                return answer(s.makefile("rb"))[0] == 200
        except (ssl.SSLError, ConnectionError) as e:
            self.assertIn("alert", str(e).lower())
            return False

    def check_clients(self, **expected):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for name, is_in in expected.items():
                client = getattr(self, name) if name != "none" else None
                with self.subTest(version=version, client=name):
                    self.assertEqual(self.is_let_in(client, version), is_in)

    def test_needed(self):
        self.serve({"https.clientCA": self.known.certificate})
        self.check_clients(good=True, none=False, other=False, old=False)
        self.assertEqual(
            self.post(harness.events(5), self.context(self.good)).sent, 5)
        self.assertRegex(self.server.log(),
                         "TLS handshake with 127.0.0.1 failed: ")

    def test_wanted(self):
        self.serve({"https.clientCA": self.known.certificate,
                    "https.clientAuth": "want"})
        self.check_clients(good=True, none=True, other=False, old=False)

    def test_reload(self):
        """A ticket does not outlive the rules that it was given under."""
        self.serve()
        context = self.context()
        with self.connect(context) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            self.assertEqual(answer(s.makefile("rb"))[0], 200)
            session = s.session
        self.server.document["properties"]["https.clientCA"] = (
            self.known.certificate)
        self.server.write()
        self.assertTrue(self.server.reload()[0])
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            with self.connect(context, session=session) as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
                answer(s.makefile("rb"))
        self.check_clients(good=True, none=False)


class TestHandshakes(TlsCase):
    def test_deadline(self):
        self.serve({"https.handshakeTimeout": "PT2S"})
        for data in (b"", b"\x16\x03\x01\x02"):
            began = time.monotonic()
            self.assertEqual(harness.raw(self.port, data), b"")
            self.assertLess(time.monotonic() - began, 20)
            self.assertGreater(time.monotonic() - began, 1.5)
        # those that came through are not concerned
        with self.connect() as s:
            time.sleep(3)  # longer than the time-out: that is what is tried
            s.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            self.assertEqual(answer(s.makefile("rb"))[0], 200)

    def test_half_handshakes_keep_nobody_out(self):
        """A quarter of the connections may be in their handshakes."""
        self.serve({"http.maxConnections": 80, "tranqd.receivers": 2,
                    "https.handshakeTimeout": "PT2S"})
        hello = self.client_hello()
        flood = []
        for n in range(200):
            s = socket.create_connection(("127.0.0.1", self.port), 20)
            self.addCleanup(s.close)
            s.sendall(hello[:n % len(hello)])
            flood.append(s)
        wait_for(lambda: self.connections() >= 20, "handshakes have begun")
        for _ in range(20):
            self.assertLessEqual(self.connections(), 26)
            self.assertEqual(self.server.post(
                "wikipedia", harness.events(1)).sent, 1)
        # the kernel keeps the others; who waits gets in between
        began = time.monotonic()
        for s in flood:
            s.close()
        self.assertEqual(self.post(harness.events(1)).sent, 1)
        self.assertLess(time.monotonic() - began, 20)

    def client_hello(self):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context().wrap_bio(incoming, outgoing,
                                      server_hostname="localhost")
        with self.assertRaises(ssl.SSLWantReadError):
            tls.do_handshake()
        return outgoing.read()

    def connections(self):
        return sum(r["counters"]["connections"]
                   for r in self.server.status()["receivers"])

    def test_slow_bytes(self):
        """A handshake of one byte at a time is one."""
        self.serve()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context().wrap_bio(incoming, outgoing,
                                      server_hostname="localhost")
        raw = socket.create_connection(("127.0.0.1", self.port), 20)
        self.addCleanup(raw.close)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def flush():
            for byte in outgoing.read():
                raw.sendall(bytes([byte]))

        def pump(step):
            while True:
                try:
                    done = step()
                    flush()
                    return done
                except ssl.SSLWantReadError:
                    flush()
                    incoming.write(raw.recv(65536))
        pump(tls.do_handshake)
        tls.write(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        flush()
        self.assertIn(b"200 OK", pump(lambda: tls.read(1000)))

    def test_idle_memory(self):
        """What an idle connection costs a receiver."""
        with open(harness.program("tranqd"), "rb") as f:
            if b"__asan_init" in f.read():
                self.skipTest("a sanitizer keeps what is freed")
        self.serve({"tranqd.receivers": 1})
        pid = self.server.receiver_pids()[0]
        context = self.context()
        self.post(harness.events(10))
        before = drill.memory_of(pid)
        kept = [self.connect(context) for _ in range(200)]
        for s in kept:
            s.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
            self.assertEqual(answer(s.makefile("rb"))[0], 200)
        each = (drill.memory_of(pid) - before) / len(kept)
        self.assertLess(each, 64 * 1024)


class TestLife(TlsCase):
    def test_https_alone(self):
        self.serve({"http.port.enable": False})
        self.assertEqual(self.post(harness.events(10)).sent, 10)
        run = os.listdir(self.server.run_dir)
        self.assertIn("https.port", run)
        self.assertNotIn("http.port", run)
        self.assertEqual(self.server.status()["supervisor"]["httpPort"], 0)
        self.assertIn(f"HTTPS port {self.port}",
                      self.server.tranqctl("status").stdout)
        self.server.stop()
        self.assertEqual(os.listdir(self.server.run_dir), [])

    def test_port_is_taken(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen(1)
            tranqd = self.tranqd(self.configure(
                {"https.port": s.getsockname()[1]}), start=False)
            done = harness.run_program("tranqd", "start", "-c",
                                       tranqd.config_file)
        self.assertEqual(done.returncode, 69, done.stderr)
        self.assertIn("https.port 127.0.0.1:", done.stderr)
        self.assertIn("another program listens there", done.stderr)

    def test_stop_says_good_bye(self):
        """Idle connections end with a close_notify, one that waits gets its
        answer first. One receiver has both: another may hear of the stop
        later."""
        self.serve({"tranqd.receivers": 1})
        idle = self.connect(suppress_ragged_eofs=False)
        self.druid.fault("hang")
        busy = self.connect(suppress_ragged_eofs=False)
        busy.sendall(request(harness.lines(harness.events(5))))
        wait_for(lambda: self.server.accounts("wikipedia")["received"] == 5,
                 "the request is in")
        stopping = threading.Thread(target=self.server.stop)
        stopping.start()
        try:
            # an end without a good-bye is an SSLEOFError
            self.assertEqual(idle.recv(1), b"")
            self.druid.fault("hang", on=False)
            stream = busy.makefile("rb")
            status, fields, _ = answer(stream)
            self.assertEqual((status, fields["connection"]), (200, "close"))
            self.assertEqual(stream.read(1), b"")
        finally:
            stopping.join()

    def test_renewed_certificate(self):
        """The same file names, the same configuration: no request fails, and
        those who come then get the new one."""
        live = certificates.Pair(self.files.folder, "live")
        second = self.files.leaf("second", self.ca)
        shutil.copy(self.pair.certificate, live.certificate)
        shutil.copy(self.pair.key, live.key)
        self.serve({"https.certificateFile": live.certificate,
                    "https.keyFile": live.key})
        held = self.connect()
        self.assertTrue(self.is_served("server"))
        with self.load_running() as results:
            wait_for(lambda: len(results) > 50, "load")
            # half of a pair: refused, nothing changes
            shutil.copy(second.certificate, live.certificate)
            good, text = self.server.reload()
            self.assertFalse(good)
            self.assertIn("nothing was changed", text)
            self.assertIn("is not that of the certificate",
                          self.server.log())
            self.assertTrue(self.is_served("server"))
            shutil.copy(second.key, live.key)
            for n in range(5):
                good, text = self.server.reload()
                self.assertTrue(good, text)
                self.assertTrue(self.is_served("second"))
            seen = len(results)
            wait_for(lambda: len(results) > seen + 50, "more load")
        self.assertEqual(set(results), {200})
        # one from before goes on
        held.sendall(b"GET / HTTP/1.1\r\nHost: t\r\n\r\n")
        self.assertEqual(answer(held.makefile("rb"))[0], 200)
        # a receiver that dies comes back with the new one
        self.server.kill_receiver(0)
        self.server.kill_receiver(1)
        self.server.wait_ready()
        self.assertTrue(self.is_served("second"))
        self.check_whole(self.server, self.druid)

    def load_running(self):
        """Two clients that keep their connections, one that does not; the
        statuses of their requests."""
        case, results, over = self, [], threading.Event()

        def post(is_kept, run):
            client, n = None, 0
            while not over.is_set():
                try:
                    client = client or TlsClient(case.port, case.context())
                    got = client.post(
                        "wikipedia", harness.events(3, first=n, run=run))
                    results.append(got.status)
                except OSError as e:
                    results.append(repr(e))
                    client = None
                n += 3
                if not is_kept and client is not None:
                    client.close()
                    client = None
            if client is not None:
                client.close()

        class Running:
            def __enter__(self):
                self.threads = [
                    threading.Thread(target=post, args=(kept, f"t{n}"))
                    for n, kept in enumerate((True, True, False))]
                for t in self.threads:
                    t.start()
                return results

            def __exit__(self, *_):
                over.set()
                for t in self.threads:
                    t.join()
        return Running()

    def test_killed_with_events_on_the_way(self):
        """What was answered over TLS is as durable as over HTTP."""
        self.serve()
        self.druid.fault("hang")
        events = harness.events(50)
        self.assertEqual(self.post(events, is_async=True).received, 50)
        self.server.kill_all()
        self.druid.fault("hang", on=False)
        self.server.document["properties"]["https.port"] = self.port
        self.server.write()
        self.server.start()
        self.assertEqual(self.post(harness.events(1, run="x")).sent, 1)
        self.check_ids(self.druid, "wikipedia",
                       drill.ids(events) + ["x-0"])

    def test_enabled_by_a_restart_only(self):
        druid = self.sandbox()
        server = self.tranqd(self.configure(
            {"https.port.enable": False}, druid))
        server.document["properties"]["https.port.enable"] = True
        server.write()
        good, _ = server.reload()
        self.assertTrue(good)
        self.assertIn("https.port.enable", server.log())
        self.assertIn("keeps its old value", server.log())
        server.restart()
        self.port = server.status()["supervisor"]["httpsPort"]
        self.assertTrue(self.is_served("server"))


if __name__ == "__main__":
    harness.main()
