#!/usr/bin/env python3
"""TLS and Basic authentication towards Druid; secrets."""

import json
import os
import random
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402
from tls_front import Certificates, TlsFront, listen  # noqa: E402
from zookeeper import ZooKeeper  # noqa: E402

KILLS = 60 if drill.LONG else 12
USER, PASSWORD = "tranqd", "open sesame"
PASSWORD_BASE64 = "dHJhbnFkOm9wZW4gc2VzYW1l"


class TlsCase(drill.Case):
    def setUp(self):
        super().setUp()
        self.certs = Certificates(os.path.join(self.folder, "certs"))

    def druid(self, *options, certificate=None, client_ca=None):
        """A sandbox that is found behind TLS only, and its front."""
        listener = listen()
        self.addCleanup(listener.close)
        druid = self.sandbox("--check", "full", "--tls-port",
                             str(listener.getsockname()[1]), *options)
        front = TlsFront(
            druid.port,
            certificate or self.certs.signed("druid", "127.0.0.1"),
            client_ca, listener)
        self.addCleanup(front.close)
        return druid, front

    def document(self, front, **properties):
        return drill.config(["a"], front.url, properties={
            "druid.tls.enable": True,
            "druid.tls.trustStorePath": self.certs.ca, **properties})

    def overlord(self, tranqd):
        return tranqd.data_source("a")["beams"]["overlord"]

    def tasks(self, tranqd):
        return [task for beam in tranqd.data_source("a")["beams"]["beams"]
                for task in beam["tasks"]]

    def await_overlord(self, tranqd, *words):
        def is_said():
            text = self.overlord(tranqd)
            assert all(w in text for w in words), text
            return True
        wait_for(is_said, f"{words} in the status")

    def deliver(self, tranqd, druid, run="e", count=300):
        events = harness.events(count, run=run)
        answer = tranqd.post("a", events)
        self.assertEqual((answer.status, answer.sent), (200, count), answer)
        self.check_ids(druid, "a", drill.ids(events))

    def spool(self, tranqd, run, count=50):
        events = harness.events(count, run=run)
        answer = tranqd.post("a", events, is_async=True)
        self.assertEqual(answer.status, 200, answer)
        self.await_spooled(tranqd, "a", count)
        return drill.ids(events)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def check_hidden(self, tranqd, *secrets):
        """In no log, status, command line or shown configuration."""
        shown = subprocess.run(
            [harness.program("tranqd"), "config", "-c", tranqd.config_file],
            capture_output=True, text=True, env=tranqd.environment)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        places = {"log": tranqd.log(), "config": shown.stdout + shown.stderr,
                  "status": json.dumps(tranqd.status())}
        for pid in drill.family(tranqd):
            places[f"ps {pid}"] = harness.command_line(pid)
        for secret in secrets:
            for place, text in places.items():
                self.assertNotIn(secret, text, place)


class TestTls(TlsCase):
    def test_pem(self):
        druid, front = self.druid()
        tranqd = self.tranqd(self.document(front))
        self.deliver(tranqd, druid)
        self.await_overlord(tranqd, front.url)
        wait_for(lambda: [t["location"] for t in self.tasks(tranqd)]
                 == [f"127.0.0.1:{front.port}"], "the task's place")
        self.check_whole(tranqd, druid)

    def test_large_batches(self):
        """Chunks that fit into one record, however large the batch; an event
        that does not fit goes all the same."""
        druid, front = self.druid()
        tranqd = self.tranqd(self.document(front))
        events = harness.events(3000)
        self.assertEqual(tranqd.post("a", events).sent, len(events))
        # so that a kill in between cannot cut a request
        self.assertGreater(front.records, 20)
        self.assertEqual(front.torn, 0)
        large = harness.events(3, run="large", page="x" * 40000)
        self.assertEqual(tranqd.post("a", large).sent, 3)
        self.check_ids(druid, "a", drill.ids(events + large))
        self.check_whole(tranqd, druid)

    def test_pkcs12(self):
        druid, front = self.druid()
        tranqd = self.tranqd(self.document(front, **{
            "druid.tls.trustStorePath": self.certs.pkcs12(PASSWORD),
            "druid.tls.trustStoreType": "PKCS12",
            "druid.tls.trustStoreAlgorithm": "SunX509",
            "druid.tls.trustStorePassword": "${env:TRUST_PASSWORD}"}),
            environment={"TRUST_PASSWORD": PASSWORD})
        self.deliver(tranqd, druid)
        self.assertEqual(tranqd.log().count("trustStoreAlgorithm"), 1)
        self.check_hidden(tranqd, PASSWORD)

    def test_jks(self):
        path = os.path.join(harness.ROOT, "tests/golden/trust/store.jks")
        document = drill.config(["a"], "https://127.0.0.1:1", properties={
            "druid.tls.enable": True, "druid.tls.trustStorePath": path})
        checked = subprocess.run(
            [harness.program("tranqd"), "check", "-c",
             self.write("jks.json", json.dumps(document))],
            capture_output=True, text=True)
        self.assertEqual(checked.returncode, 78)
        self.assertIn(f"keytool -importkeystore -srckeystore {path} ",
                      checked.stderr)

    def test_wrong_ca(self):
        """Clear, nothing lost, and mended by a reload with the same path."""
        druid, front = self.druid()
        other = Certificates(os.path.join(self.folder, "other"))
        with open(other.ca) as f:
            path = self.write("trust.pem", f.read())
        tranqd = self.tranqd(self.document(
            front, **{"druid.tls.trustStorePath": path}))
        ids = self.spool(tranqd, "early")
        self.await_overlord(tranqd, "certificate",
                            "druid.tls.trustStorePath")
        self.assertIn("druid.tls.trustStorePath", tranqd.log())
        with open(self.certs.ca) as f:
            self.write("trust.pem", f.read())
        ok, text = tranqd.reload()
        self.assertTrue(ok, text)
        self.assertIn("1 changed (a)", text)
        self.check_ids(druid, "a", ids)
        self.check_whole(tranqd, druid)

    def test_host_name(self):
        druid, front = self.druid(
            certificate=self.certs.signed("druid", host="druid.example"))
        tranqd = self.tranqd(self.document(front))
        ids = self.spool(tranqd, "early")
        self.await_overlord(tranqd, "127.0.0.1", "verifyHostname")
        ok, text = tranqd.reload(self.document(
            front, **{"druid.tls.verifyHostname": False}))
        self.assertTrue(ok, text)
        self.check_ids(druid, "a", ids)

    def test_plain_server(self):
        """A port that speaks no TLS is told as such."""
        druid = self.sandbox()
        document = drill.config(
            ["a"], f"https://127.0.0.1:{druid.port}",
            properties={"druid.tls.enable": True})
        tranqd = self.tranqd(document)
        self.spool(tranqd, "e")
        self.await_overlord(tranqd, "is that a TLS port")

    def test_tasks_without_tls(self):
        """The Overlord speaks TLS, its tasks do not."""
        druid = self.sandbox()
        front = TlsFront(druid.port,
                         self.certs.signed("druid", "127.0.0.1"))
        self.addCleanup(front.close)
        tranqd = self.tranqd(self.document(front))
        self.spool(tranqd, "e")

        wait_for(lambda: any("druid.enableTlsPort" in t.get("trouble", "")
                             for t in self.tasks(tranqd)),
                 "the task's trouble in the status")
        self.assertIn("druid.enableTlsPort",
                      tranqd.tranqctl("status").stdout)
        self.assertEqual(druid.stats()["events"], 0)

    def test_client_certificate(self):
        druid, front = self.druid(client_ca=self.certs.ca)
        tranqd = self.tranqd(self.document(front))
        ids = self.spool(tranqd, "early")
        self.await_overlord(tranqd, front.url, "certificate required")
        certificate, key = self.certs.signed("tranqd")
        with open(certificate) as c, open(key) as k:
            both = self.write("own.pem", c.read() + k.read())
        ok, text = tranqd.reload(self.document(
            front, **{"druid.tls.keyStorePath": both}))
        self.assertTrue(ok, text)
        self.check_ids(druid, "a", ids)

    def test_discovery(self):
        with ZooKeeper() as zookeeper:
            druid, front = self.druid("--zookeeper", zookeeper.connect)
            tranqd = self.tranqd(drill.config(
                ["a"], zookeeper=zookeeper.connect, properties={
                    "druid.tls.enable": True,
                    "druid.tls.trustStorePath": self.certs.ca}))
            self.deliver(tranqd, druid)
            self.await_overlord(tranqd, front.url)
            self.check_whole(tranqd, druid)
            tranqd.stop()

    def test_killed_workers(self):
        """A push that a kill cuts is sent again, and is not skipped."""
        druid, front = self.druid()
        tranqd = self.tranqd(self.document(front))
        load = self.start_load(tranqd, data_source="a", seconds=600,
                               connections=4, rate=4000, batch=400,
                               compare=druid.url)
        for _ in range(KILLS):
            before = self.counts(tranqd, "a")["sent"]
            wait_for(lambda: self.counts(tranqd, "a")["sent"] > before + 500)
            wait_for(lambda: random.random() < 0.3, step=0.003)
            tranqd.kill_worker("a")
        load.stop()
        self.check_load(load.finish())
        self.check_whole(tranqd, druid, killed=True)


class TestBasic(TlsCase):
    def test_over_tls(self):
        druid, front = self.druid("--basic-auth", f"{USER}:{PASSWORD}")
        tranqd = self.tranqd(self.document(front, **{
            "druidBeam.basicAuthUser": USER,
            "druidBeam.basicAuthPass": PASSWORD}))
        self.deliver(tranqd, druid)
        self.check_hidden(tranqd, PASSWORD, PASSWORD_BASE64)

    def test_password_in_a_file(self):
        """Wrong at first: the status says so, and a reload after the file was
        mended is enough."""
        druid = self.sandbox("--basic-auth", f"{USER}:{PASSWORD}")
        path = self.write("password", "wrong\n")
        tranqd = self.tranqd(drill.config(["a"], druid.url, properties={
            "druidBeam.basicAuthUser": USER,
            "druidBeam.basicAuthPass": "${file:%s}" % path}))
        ids = self.spool(tranqd, "early")
        self.await_overlord(tranqd, "answered 401", f"'{USER}'",
                            "druidBeam.basicAuthPass")
        self.assertIn("answered 401", tranqd.tranqctl("status").stdout)
        self.assertIn("answered 401", tranqd.log())
        ok, text = tranqd.reload()
        self.assertIn("1 unchanged", text)
        self.write("password", PASSWORD + "\n")
        ok, text = tranqd.reload()
        self.assertTrue(ok, text)
        self.assertIn("1 changed (a)", text)
        self.check_ids(druid, "a", ids)
        self.check_hidden(tranqd, PASSWORD, PASSWORD_BASE64)

    def test_password_changes_in_druid(self):
        """Tasks that refuse from now on: seen, and nothing is lost."""
        druid = self.sandbox("--basic-auth", f"{USER}:{PASSWORD}")
        path = self.write("password", PASSWORD)
        tranqd = self.tranqd(drill.config(["a"], druid.url, properties={
            "druidBeam.basicAuthUser": USER,
            "druidBeam.basicAuthPass": "${file:%s}" % path}))
        tranqd.post("a", harness.events(10, run="first"))
        self.write("password", "old")
        self.assertTrue(tranqd.reload()[0])
        ids = self.spool(tranqd, "denied")
        self.await_overlord(tranqd, "answered 401")
        self.write("password", PASSWORD)
        self.assertTrue(tranqd.reload()[0])
        self.check_ids(druid, "a", ids
                       + [f"first-{n}" for n in range(10)])
        self.check_whole(tranqd, druid, killed=True)

    def test_late_events(self):
        """The daemon's batch tasks and tranqctl's go the same way."""
        druid, front = self.druid("--basic-auth", f"{USER}:{PASSWORD}")
        path = self.write("password", PASSWORD)
        document = self.document(front, **{
            "druidBeam.basicAuthUser": USER,
            "druidBeam.basicAuthPass": "${file:%s}" % path,
            "late.policy": "archive", "archive.sealPeriod": "PT0.1S"})
        tranqd = self.tranqd(document)
        week_ago = time.time() - 7 * 86400
        events = harness.events(20, run="archived", at=week_ago)
        self.assertEqual(tranqd.post("a", events).status, 200)
        wait_for(lambda: tranqd.accounts("a")["archived"] == 20, "the file")
        done = tranqd.tranqctl("archive", "reindex", "a")
        self.assertEqual(done.returncode, 0, done.stderr)
        ids = drill.ids(events)
        self.check_ids(druid, "a", ids)
        document["properties"].update({
            "late.policy": "append", "late.appendPeriod": "PT0.1S"})
        self.assertTrue(tranqd.reload(document)[0])
        events = harness.events(20, run="appended", at=week_ago)
        self.assertEqual(tranqd.post("a", events).status, 200)
        self.check_ids(druid, "a", ids + drill.ids(events))

    def test_tasks_deny(self):
        """What the task lacks stands beside it in the status."""
        druid = self.sandbox()
        tranqd = self.tranqd(drill.config(["a"], druid.url))
        tranqd.post("a", harness.events(10, run="first"))
        druid.fault("error", where="push", status=403)
        ids = self.spool(tranqd, "denied")
        wait_for(lambda: any("answered 403" in t.get("trouble", "")
                             for t in self.tasks(tranqd)),
                 "the task's trouble in the status")
        self.assertIn("write this dataSource in Druid",
                      tranqd.tranqctl("status").stdout)
        druid.fault("error", on=False)
        self.check_ids(druid, "a", ids
                       + [f"first-{n}" for n in range(10)])
        wait_for(lambda: not any("trouble" in t for t in self.tasks(tranqd)))

    def test_file_gone(self):
        """A reload without its secret changes nothing."""
        druid = self.sandbox("--basic-auth", f"{USER}:{PASSWORD}")
        path = self.write("password", PASSWORD)
        tranqd = self.tranqd(drill.config(["a"], druid.url, properties={
            "druidBeam.basicAuthUser": USER,
            "druidBeam.basicAuthPass": "${file:%s}" % path}))
        os.unlink(path)
        ok, text = tranqd.reload()
        self.assertFalse(ok)
        self.assertIn("${file:%s}: cannot be read" % path, tranqd.log())
        # tranqctl needs it not
        self.assertEqual(tranqd.tranqctl("status").returncode, 0)
        self.assertEqual(tranqd.post("a", harness.events(5)).sent, 5)


if __name__ == "__main__":
    unittest.main()
