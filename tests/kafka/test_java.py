#!/usr/bin/env python3
"""Kafka's own Java client reads from a feed with Druid's calls and properties
(tests/kafka/java; `make test-kafka` fetches it), in the versions that Druid 31
to 38 bring."""

import glob
import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import certificates  # noqa: E402
import drill  # noqa: E402
import feed_stage  # noqa: E402
from feed_stage import FIRST_MS, value  # noqa: E402
from sandbox import ROOT, program  # noqa: E402

SECONDS = 100
CODECS = ("none", "gzip", "lz4", "zstd")
PASSWORD = "a long one"
JAAS = {"PLAIN": "plain.PlainLoginModule",
        "SCRAM-SHA-256": "scram.ScramLoginModule",
        "SCRAM-SHA-512": "scram.ScramLoginModule"}
FOUND = sorted(glob.glob(os.path.join(ROOT, "build/kafka-clients-*/classes")))


def jaas(mechanism, password=PASSWORD):
    return (f"org.apache.kafka.common.security.{JAAS[mechanism]} required "
            f'username="druid" password="{password}";')


@unittest.skipUnless(FOUND, "the Java clients are not there: make test-kafka")
class JavaCase(feed_stage.Case):
    time_bound = 300

    def reader(self, classes, stage, *words, **settings):
        libraries = os.path.join(os.path.dirname(classes), "lib", "*")
        more = [f"{name.replace('__', '.')}={text}"
                for name, text in settings.items()]
        return subprocess.Popen(
            ["java", "-Xmx256m", "-cp", f"{classes}:{libraries}", "Reader",
             stage.address, "foo", *[str(w) for w in words], *more],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run_reader(self, classes, stage, *words, **settings):
        process = self.reader(classes, stage, *words, **settings)
        try:
            out, error = process.communicate(timeout=SECONDS)
        finally:
            process.kill()
        self.assertEqual(process.returncode, 0,
                         (classes, error.decode()[-2000:]))
        return out.splitlines()

    def check(self, lines, first, count, pad=20, n=0):
        self.assertEqual(
            lines, [b"%d %d %s" % (first + i, FIRST_MS + n + i,
                                   value(n + i, pad)) for i in range(count)])


class TestDruid(JavaCase):
    def test_supervisor(self):
        """Partitions, the first and the last offset; and an empty log."""
        stage = self.stage()
        stage.put(4, 25)
        for classes in FOUND:
            self.assertEqual(
                self.run_reader(classes, stage, "supervise"),
                [b"partitions 1",
                 b"range %d %d" % (stage.start, stage.end), b"topics foo"])
        stage.tell("trim", stage.end)
        for classes in FOUND:
            self.assertIn(b"range %d %d" % (stage.end, stage.end),
                          self.run_reader(classes, stage, "supervise"))

    def test_task(self):
        """All codecs, from the beginning and from within a batch, with small
        bounds and with Druid's."""
        stage = self.stage()
        for codec in CODECS:
            stage.put(10, 100, 50, codec)
        for classes in FOUND:
            self.check(self.run_reader(classes, stage, "read", stage.start,
                                       4000), stage.start, 4000, 50)
            self.check(self.run_reader(
                classes, stage, "read", stage.start + 1550, 2450,
                max__partition__fetch__bytes=100, fetch__max__bytes=1000),
                stage.start + 1550, 2450, 50, 1550)

    def test_out_of_range(self):
        stage = self.stage()
        stage.put(3, 10)
        stage.tell("trim", stage.start + 10)
        for classes in FOUND:
            for offset in (stage.start - 1, stage.end + 1):
                self.assertEqual(self.run_reader(
                    classes, stage, "read", offset, 1), [b"out of range"])

    def test_killed(self):
        """A task goes on while the feed dies, and while its worker is
        away."""
        for classes in FOUND:
            stage = self.stage()
            stage.put(1, 10)
            start = stage.start
            process = self.reader(classes, stage, "read", start, 130,
                                  reconnect__backoff__ms=50)
            lines = [process.stdout.readline() for _ in range(10)]
            for i in range(12):
                if i % 4 == 0:
                    stage.tell("trim", stage.end)
                if i % 4 == 1:
                    stage.tell("kill")
                if i % 4 == 2:
                    stage.tell("stop")
                if i % 4 == 3:
                    stage.tell("away")
                stage.put(1, 10, codec=CODECS[i % 4])
                if i % 4 == 3:
                    stage.tell("back")
                lines += [process.stdout.readline() for _ in range(10)]
            process.communicate(timeout=SECONDS)
            self.assertEqual(process.returncode, 0)
            self.check([line.rstrip(b"\n") for line in lines], start, 130)


class TestSecurity(JavaCase):
    def users(self):
        done = subprocess.run(
            [program("tranqctl"), "password", "druid"], text=True,
            input=PASSWORD + "\n", stdout=subprocess.PIPE, check=True)
        path = os.path.join(self.folder, "users")
        with open(path, "w") as f:
            f.write(done.stdout)
        return path

    def test_mechanisms(self):
        stage = self.stage(pull__auth__file=self.users())
        stage.put(1, 10)
        for classes in FOUND:
            for mechanism in JAAS if drill.LONG else ("SCRAM-SHA-512",):
                how = {"security__protocol": "SASL_PLAINTEXT",
                       "sasl__mechanism": mechanism,
                       "sasl__jaas__config": jaas(mechanism)}
                self.check(self.run_reader(classes, stage, "read",
                                           stage.start, 10, **how),
                           stage.start, 10)
            how["sasl__jaas__config"] = jaas(mechanism, "wrong")
            process = self.reader(classes, stage, "read", stage.start, 1,
                                  **how)
            out, error = process.communicate(timeout=SECONDS)
            self.assertEqual(out, b"")
            self.assertIn(b"SaslAuthenticationException", error)

    def test_tls(self):
        """As Druid's consumerProperties have it: PEM, host names checked."""
        store = certificates.Store(self.folder)
        ca = store.authority("ca")
        leaf = store.leaf("server", ca)
        stage = self.stage(
            pull__tls="true", pull__auth__file=self.users(),
            https__certificateFile=leaf.certificate, https__keyFile=leaf.key)
        stage.put(10, 100, 5000, "zstd")
        for classes in FOUND:
            self.check(self.run_reader(
                classes, stage, "read", stage.start, 1000,
                security__protocol="SASL_SSL",
                sasl__mechanism="SCRAM-SHA-512",
                sasl__jaas__config=jaas("SCRAM-SHA-512"),
                ssl__truststore__type="PEM",
                ssl__truststore__location=ca.certificate),
                stage.start, 1000, 5000)


if __name__ == "__main__":
    feed_stage.harness.main()
