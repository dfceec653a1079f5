#!/usr/bin/env python3
"""Clients that others have made read from a feed: kcat (librdkafka), Debian's
python3-confluent-kafka (librdkafka) and python3-kafka. Every record, in its
order, whatever is killed meanwhile."""

import hashlib
import json
import os
import subprocess
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import certificates  # noqa: E402
import feed_stage  # noqa: E402
from feed_stage import FIRST_MS, PYTHON, has_module, value  # noqa: E402
from sandbox import ROOT, program  # noqa: E402

SECONDS = 60
CODECS = ("none", "gzip", "lz4", "zstd")
PASSWORD = "it's = a, long one"

needs_confluent = unittest.skipUnless(
    has_module("confluent_kafka"), "python3-confluent-kafka is not there")
needs_python_kafka = unittest.skipUnless(
    has_module("kafka"), "python3-kafka is not there")


def kcat(stage, *words, **settings):
    options = [w for name, text in settings.items()
               for w in ("-X", f"{name.replace('__', '.')}={text}")]
    return subprocess.run(
        ["kcat", "-b", stage.address, *options, *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=SECONDS, check=False)


def read_all(stage, offset="beginning", **settings):
    """Offsets, times and values up to the end."""
    done = kcat(stage, "-C", "-t", "foo", "-o", str(offset), "-e", "-q", "-f",
                "%o %T %s\\n", **settings)
    if done.returncode != 0:
        raise AssertionError(done.stderr.decode())
    rows = [line.split(b" ", 2) for line in done.stdout.splitlines()]
    return [(int(o), int(t), v) for o, t, v in rows]


class ClientCase(feed_stage.Case):
    def check(self, rows, first, count, pad=20, n=0):
        """Exactly these records: n is that of the first one."""
        self.assertEqual([r[0] for r in rows],
                         list(range(first, first + count)))
        self.assertEqual([r[1] for r in rows],
                         [FIRST_MS + n + i for i in range(count)])
        self.assertEqual(
            hashlib.sha256(b"\n".join(r[2] for r in rows)).hexdigest(),
            hashlib.sha256(b"\n".join(
                value(n + i, pad) for i in range(count))).hexdigest())


@feed_stage.needs_kcat
class TestKcat(ClientCase):
    def test_metadata(self):
        stage = self.stage()
        stage.put(1, 1)
        found = json.loads(kcat(stage, "-L", "-J").stdout)
        self.assertEqual([(t["topic"], len(t["partitions"]))
                          for t in found["topics"]], [("foo", 1)])
        self.assertEqual(found["brokers"][0]["name"], stage.address)

    def test_codecs(self):
        for codec in CODECS:
            with self.subTest(codec):
                stage = self.stage()
                stage.put(20, 100, 50, codec)
                self.check(read_all(stage, check__crcs="true"), stage.start,
                           2000, 50)

    def test_places(self):
        """From any offset on, from a time on, and the last ones."""
        stage = self.stage()
        stage.put(10, 100)
        at_once = {"fetch__wait__max__ms": 10}  # at the end
        for place in (0, 1, 99, 100, 550, 999):
            self.check(read_all(stage, stage.start + place, **at_once),
                       stage.start + place, 1000 - place, n=place)
        for n in (0, 1, 350, 399, 400, 999):
            self.check(read_all(stage, f"s@{FIRST_MS + n}", **at_once),
                       stage.start + n, 1000 - n, n=n)
        self.check(read_all(stage, -10, **at_once), stage.end - 10, 10,
                   n=990)
        self.assertEqual(read_all(stage, "end", **at_once), [])

    def test_sizes(self):
        """Bounds smaller than a batch, and batches larger than a bound."""
        stage = self.stage()
        stage.put(20, 10, 1000)
        self.check(read_all(stage, fetch__message__max__bytes=100,
                            message__max__bytes=1000,
                            fetch__max__bytes=1000,
                            receive__message__max__bytes=100000),
                   stage.start, 200, 1000)
        stage.put(1, 1, 3000000)
        self.assertEqual(read_all(stage, stage.end - 1)[0][2],
                         value(200, 3000000))

    def test_partitions(self):
        """Each record is in one of them, and read once; whoever has one of
        them assigned reads that."""
        stage = self.stage(pull__partitions=3)
        stage.put(30, 20)
        found = json.loads(kcat(stage, "-L", "-J").stdout)
        self.assertEqual([p["partition"] for p in
                          found["topics"][0]["partitions"]], [0, 1, 2])
        done = kcat(stage, "-C", "-t", "foo", "-o", "beginning", "-e", "-q",
                    "-f", "%p %o %s\\n")
        rows = [line.split(b" ", 2) for line in done.stdout.splitlines()]
        self.assertEqual(sorted(v for _, _, v in rows),
                         sorted(value(n) for n in range(600)))
        for p in range(3):
            batches = [n for n in range(30) if n % 3 == p]
            self.assertEqual(
                [(int(o), v) for q, o, v in rows if int(q) == p],
                [(stage.start + 20 * i + k, value(20 * n + k))
                 for i, n in enumerate(batches) for k in range(20)])
        alone = kcat(stage, "-C", "-t", "foo", "-p", "2", "-o", "beginning",
                     "-e", "-q", "-f", "%p %o %s\\n")
        self.assertEqual(alone.stdout.splitlines(),
                         [b" ".join(r) for r in rows if r[0] == b"2"])

    def test_trimmed(self):
        stage = self.stage()
        stage.put(10, 100)
        stage.tell("trim", stage.start + 250)
        # a batch is whole, so it begins at that of the floor
        self.assertEqual(stage.start % 100, (stage.end - 800) % 100)
        self.check(read_all(stage), stage.start, 800, n=200)
        done = kcat(stage, "-C", "-t", "foo", "-o", str(stage.start - 1),
                    "-e", "-q", topic__auto__offset__reset="error")
        self.assertIn(b"out of range", (done.stdout + done.stderr).lower())
        self.assertIn("was removed", stage.log())

    def test_beyond(self):
        """A consumer of another log is an error in the log."""
        stage = self.stage()
        stage.put(1, 10)
        done = kcat(stage, "-C", "-t", "foo", "-o", str(stage.end + 5), "-e",
                    "-q", topic__auto__offset__reset="error")
        self.assertIn(b"out of range", (done.stdout + done.stderr).lower())
        self.assertIn(" error ", stage.log())
        self.assertIn("knows another log", stage.log())


@feed_stage.needs_kcat
class TestSecurity(ClientCase):
    def users(self, name="druid"):
        done = subprocess.run(
            [program("tranqctl"), "password", name], text=True,
            input=PASSWORD + "\n", stdout=subprocess.PIPE, check=True)
        path = os.path.join(self.folder, "users")
        with open(path, "w") as f:
            f.write(done.stdout)
        self.assertNotIn(PASSWORD, done.stdout)
        return path

    def login(self, mechanism, **more):
        return {"security__protocol": "SASL_PLAINTEXT",
                "sasl__mechanisms": mechanism, "sasl__username": "druid",
                "sasl__password": PASSWORD, **more}

    def test_mechanisms(self):
        stage = self.stage(pull__auth__file=self.users())
        stage.put(5, 10)
        for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
            with self.subTest(mechanism):
                self.check(read_all(stage, **self.login(mechanism)),
                           stage.start, 50)

    def test_refused(self):
        stage = self.stage(pull__auth__file=self.users())
        stage.put(5, 10)
        hows = (self.login("PLAIN", sasl__password="no"),
                self.login("SCRAM-SHA-512", sasl__password="no"),
                self.login("SCRAM-SHA-256", sasl__username="nobody"), {})

        def run(how):
            return kcat(stage, "-C", "-t", "foo", "-o", "beginning", "-e",
                        "-q", "-m", "3", **how)
        with ThreadPoolExecutor(len(hows)) as pool:  # each waits 3 s
            for done in pool.map(run, hows):
                self.assertEqual(done.stdout, b"")
                self.assertNotEqual(done.returncode, 0)
        self.assertIn("cannot log in", stage.log())
        self.assertNotIn(PASSWORD, stage.log())

    def test_tls(self):
        store = certificates.Store(self.folder)
        ca = store.authority("ca")
        leaf = store.leaf("server", ca)
        stage = self.stage(
            pull__tls="true", pull__auth__file=self.users(),
            https__certificateFile=leaf.certificate, https__keyFile=leaf.key)
        stage.put(10, 100, 5000, "zstd")
        stage.put(30, 100, 5000)  # more than a socket takes at once
        how = self.login("SCRAM-SHA-512", security__protocol="SASL_SSL",
                         ssl__ca__location=ca.certificate,
                         ssl__endpoint__identification__algorithm="https")
        self.check(read_all(stage, **how), stage.start, 4000, 5000)
        # whoever speaks no TLS, or does not know our CA, gets nothing
        self.assertNotEqual(kcat(stage, "-L", "-m", "2").returncode, 0)
        self.assertIn("TLS", stage.log())

    def test_client_certificates(self):
        """Who has one of the CA that is asked for, and nobody else."""
        store = certificates.Store(self.folder)
        ca, others = store.authority("ca"), store.authority("others")
        leaf = store.leaf("server", ca)
        stage = self.stage(
            pull__tls="true", https__clientCA=ca.certificate,
            https__certificateFile=leaf.certificate, https__keyFile=leaf.key)
        stage.put(1, 10)
        how = {"security__protocol": "SSL", "ssl__ca__location":
               ca.certificate}
        mine, foreign = store.leaf("druid", ca), store.leaf("no", others)
        self.check(read_all(
            stage, ssl__certificate__location=mine.certificate,
            ssl__key__location=mine.key, **how), stage.start, 10)
        self.assertNotEqual(kcat(stage, "-L", "-m", "2", **how).returncode, 0)
        self.assertNotEqual(kcat(
            stage, "-L", "-m", "2",
            ssl__certificate__location=foreign.certificate,
            ssl__key__location=foreign.key, **how).returncode, 0)

    def test_plain_port(self):
        """TLS where there is none is named in the log."""
        stage = self.stage()
        stage.put(1, 1)
        self.assertNotEqual(kcat(stage, "-L", "-m", "2",
                                 security__protocol="SSL").returncode, 0)
        self.assertIn("pull.tls is not set", stage.log())



CONFLUENT = '''
c = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "unused",
              "enable.auto.commit": False, "auto.offset.reset": "error",
              "reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 500})
c.assign([TopicPartition("foo", 0, int(sys.argv[2]))])
left = int(sys.argv[3])
while left > 0:
    m = c.poll(1)
    if m is None or m.error() is not None:
        continue
    print(m.offset(), m.timestamp()[1], m.value().decode(), flush=True)
    left -= 1
c.close()
'''

PYTHON_KAFKA = '''
c = KafkaConsumer(bootstrap_servers=sys.argv[1], enable_auto_commit=False,
                  auto_offset_reset="none", reconnect_backoff_ms=50,
                  reconnect_backoff_max_ms=500)
p = TopicPartition("foo", 0)
c.assign([p])
c.seek(p, int(sys.argv[2]))
left = int(sys.argv[3])
while left > 0:
    for m in c.poll(1000).get(p, []):
        print(m.offset, m.timestamp, m.value.decode(), flush=True)
        left -= 1
c.close()
'''


class TestFollow(ClientCase):
    """A consumer that stays, while records come, those that it has leave, and
    the feed dies."""

    def follow(self, text, codecs=CODECS):
        stage = self.stage()
        stage.put(1, 10)
        start, rounds = stage.start, 15
        process = subprocess.Popen(
            [PYTHON, "-c", "import sys\n" + text, stage.address,
             str(start), str(10 * (rounds + 1))],
            stdout=subprocess.PIPE)
        rows = []

        def take(count):
            for _ in range(count):
                line = process.stdout.readline()
                self.assertTrue(line, "the consumer has ended")
                o, t, v = line.rstrip(b"\n").split(b" ", 2)
                rows.append((int(o), int(t), v))

        try:
            take(10)
            for i in range(rounds):
                if i % 5 == 1:
                    stage.tell("trim", stage.end)
                if i % 5 == 2:
                    stage.tell("kill")
                if i % 5 == 3:
                    stage.tell("stop")
                if i % 5 == 4:
                    stage.tell("away")
                stage.put(1, 10, codec=codecs[i % len(codecs)])
                if i % 5 == 4:
                    stage.tell("back")
                take(10)
            self.assertEqual(process.wait(SECONDS), 0)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        self.check(rows, start, 10 * (rounds + 1))

    @needs_confluent
    def test_confluent(self):
        self.follow("from confluent_kafka import Consumer, TopicPartition\n" +
                    CONFLUENT)

    @needs_python_kafka
    def test_python_kafka(self):
        self.follow("from kafka import KafkaConsumer, TopicPartition\n" +
                    PYTHON_KAFKA, ("none", "gzip"))


if __name__ == "__main__":
    feed_stage.harness.main()
