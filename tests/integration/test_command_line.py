#!/usr/bin/env python3
"""tranqd's command line: config, and what Tranquility's launcher gives; the
file in YAML."""

import json
import os
import re
import shutil
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402

CONFIGURATION_WRONG = 78
USE_WRONG = 64


def run(*arguments):
    done = subprocess.run([harness.program("tranqd"), *arguments],
                          stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


class ConfigCase(drill.Case):
    def file(self, text, name="t.json"):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text if isinstance(text, str) else json.dumps(text))
        return path

    def test_shown(self):
        document = drill.config(["a"], "http://127.0.0.1:1", properties={
            "task.partitions": 3, "http.threads": 40, "http.port": 0})
        document["dataSources"][0]["properties"]["task.replicants"] = 2
        code, out, err = run("config", "-c", self.file(document))
        self.assertEqual(code, 0, err)
        shown = json.loads(out)
        self.assertEqual(shown["properties"]["http.port"],
                         {"value": 0, "from": "properties"})
        self.assertEqual(shown["properties"]["log.level"],
                         {"value": "info", "from": "default"})
        own = shown["dataSources"][0]["properties"]
        self.assertEqual(own["task.partitions"],
                         {"value": 3, "from": "properties"})
        self.assertEqual(own["task.replicants"], {
            "value": 2, "from": "dataSources[0].properties"})
        self.assertEqual(shown["dataSources"][0]["derived"]["windowPeriod"],
                         "PT10M")
        # said once, and not among what is shown
        self.assertEqual(err.count("http.threads"), 1, err)
        self.assertNotIn("http.threads", out)

    def test_effective_is_the_same(self):
        """What is shown, written as a configuration, shows the same."""
        document = drill.config(["a"], "http://127.0.0.1:1", properties={
            "druidBeam.firehoseGracePeriod": "P1D", "spool.bytesMax": 2 ** 30,
            "task.warmingPeriod": "PT90S"})
        _, out, _ = run("config", "-c", self.file(document))
        shown = json.loads(out)
        again = {"dataSources": document["dataSources"], "properties": {
            name: p["value"] for name, p in shown["properties"].items()}}
        again["dataSources"][0]["properties"] = {
            name: p["value"] for name, p
            in shown["dataSources"][0]["properties"].items()}
        code, out, err = run("config", "-c", self.file(again))
        self.assertEqual(code, 0, err)
        for now, then in ((json.loads(out), shown),
                          (json.loads(out)["dataSources"][0],
                           shown["dataSources"][0])):
            self.assertEqual(
                {n: p["value"] for n, p in now["properties"].items()},
                {n: p["value"] for n, p in then["properties"].items()})
            self.assertEqual(now["derived"], then["derived"])

    def test_wrong(self):
        code, out, err = run("config", "-c", self.file("dataSources: [\n",
                                                       "t.yaml"))
        self.assertEqual((code, out), (CONFIGURATION_WRONG, ""))
        self.assertRegex(err, r"t\.yaml: line \d+, column \d+: ")
        self.assertEqual(run("config", "-c", "/not/there")[0],
                         CONFIGURATION_WRONG)
        self.assertEqual(run("config")[0], USE_WRONG)

    def test_full(self):
        """A shell must not take half of it for the whole."""
        path = self.file(drill.config(["a"], "http://127.0.0.1:1"))
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [harness.program("tranqd"), "config", "-c", path],
                stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(done.returncode, 74)
        self.assertIn("No space left", done.stderr)

    def test_help(self):
        code, out, _ = run("help")
        self.assertEqual(code, 0)
        for word in "start", "check", "config", "server", "-configFile":
            self.assertIn(word, out)


class YamlCase(drill.Case):
    def write(self, server, document):
        """JSON behind a document's start is YAML."""
        with open(server.config_file, "w") as f:
            f.write("# in YAML\n---\n")
            json.dump(document, f)

    def test_both_forms(self):
        """One file after the other: a form is no change, a value is."""
        druid = self.sandbox()
        server = self.tranqd(drill.config(["a"], druid.url), start=False)
        self.write(server, server.document)
        server.start()  # which writes it as JSON, with the port
        worker = server.worker_pid("a")
        receivers = server.receiver_pids()
        for write in (server.write, lambda: self.write(server,
                                                       server.document)):
            write()
            ok, text = server.reload()
            self.assertTrue(ok, text)
            self.assertEqual(server.worker_pid("a"), worker)
        entry = server.document["dataSources"][0]
        entry["properties"]["task.partitions"] = 2
        self.write(server, server.document)
        ok, text = server.reload()
        self.assertTrue(ok, text)
        self.assertNotEqual(server.worker_pid("a"), worker)
        self.assertEqual(server.receiver_pids(), receivers)
        answer = server.post("a", harness.lines(harness.events(3)))
        self.assertEqual((answer.status, answer.sent), (200, 3), answer)
        with open(server.config_file, "a") as f:
            f.write("\n--- {}\n")
        ok, text, body = server.control("reload")
        self.assertFalse(ok, text)
        self.assertIn(b"a second document begins", body)


class Server(harness.Tranqd):
    """Started as Tranquility's launcher does."""
    arguments = ()

    def spawn(self):
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [harness.program("tranqd"), "server",
                 *(a.replace("FILE", self.config_file)
                   for a in self.arguments)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.folder, env=self.environment,
                preexec_fn=harness.die_with_parent)


class CheckCase(drill.Case):
    def check(self, path):
        return run("check", "-c", os.path.join(harness.ROOT, path))

    def test_examples(self):
        """Ours, and what Tranquility's users have."""
        folder = "tests/golden/tranquility"
        for path in ["conf/tranqd.yaml.example", "conf/tranqd.json.example",
                     "conf/quickstart.json", "conf/quickstart.yaml"] + [
                         os.path.join(folder, name) for name
                         in os.listdir(os.path.join(harness.ROOT, folder))]:
            code, out, err = self.check(path)
            self.assertEqual(code, 0, f"{path}: {err}")
            self.assertIn("good, 1 dataSource", out)

    def test_what_auto_means(self):
        given = {"delivery.mode": "push"}
        document = drill.config(
            ["a", "b", harness.data_source("c", properties=given)],
            "http://127.0.0.1:1")
        path = os.path.join(self.folder, "tranqd.json")
        with open(path, "w") as f:
            json.dump(document, f)
        code, out, err = self.check(path)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(out.count("delivery.mode auto"), 1, out)
        self.assertIn("delivery.mode auto (2 dataSources): push up to Druid "
                      "30, from 31 on append; for pull: ", out)

    def test_all_at_once(self):
        """Of the properties, the spec, the parser and the files."""
        document = drill.config(["a", "b", "b"], "http://127.0.0.1:1",
                                properties={
            "http.prot": 1, "task.partitions": 0,
            "druidBeam.basicAuthUser": "u",
            "druidBeam.basicAuthPass": "${file:/not/there}",
            "druid.tls.trustStorePath": "/not/there.pem",
            "https.port.enable": True, "https.keyStorePath": "/not/there.p12",
            "zookeeper.timeout": "${env:TRANQ_NOT_THERE}"})
        parse_spec = (document["dataSources"][0]["spec"]["dataSchema"]
                      ["parser"]["parseSpec"])
        parse_spec.update(format="regex", columns=["x"], pattern="(")
        path = os.path.join(self.folder, "t.json")
        with open(path, "w") as f:
            json.dump(document, f)
        code, out, err = self.check(path)
        self.assertEqual((code, out), (CONFIGURATION_WRONG, ""))
        for words in ("did you mean 'http.port'", "task.partitions: '0'",
                      "properties.druidBeam.basicAuthPass: ${file:/not/there}",
                      "zookeeper.timeout: ${env:TRANQ_NOT_THERE}",
                      "druid.tls.trustStorePath: /not/there.pem",
                      "https.keyStorePath", "parseSpec",
                      "dataSource 'b' is in dataSources[1] already"):
            self.assertIn(words, err)


class ManualCase(drill.Case):
    """Manual pages and completions, made from what the programs say."""

    def setUp(self):
        super().setUp()
        subprocess.run([os.path.join(harness.ROOT, "tools/manual"),
                        os.path.dirname(harness.program("tranqd")),
                        self.folder], check=True)

    def page(self, name):
        with open(os.path.join(self.folder, "man", name)) as f:
            return f.read()

    def test_every_property(self):
        page = self.page("tranqd.conf.5")
        names = re.findall(r"^\| `([^`]+)` \|", run("properties")[1], re.M)
        self.assertGreater(len(names), 50)
        for name in names:
            self.assertIn("\n.TP\n\\fB%s\\fR\n" % name, page)

    def test_commands(self):
        for command in ("start", "check", "config", "server"):
            self.assertIn(f"\n  {command} ", self.page("tranqd.8"))
        for command in ("status", "reload", "stop"):
            self.assertIn(f"\n  {command} ", self.page("tranqctl.8"))

    def test_roff(self):
        if shutil.which("groff") is None:
            self.skipTest("no groff here")
        for name in ("tranqd.8", "tranqctl.8", "tranqd.conf.5"):
            path = os.path.join(self.folder, "man", name)
            done = subprocess.run(
                ["groff", "-man", "-ww", "-Tutf8", "-z", path],
                capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))

    def complete(self, program, *words):
        script = (f"source {self.folder}/completions/{program}; "
                  f"COMP_WORDS=({program} {' '.join(words)}); "
                  f"COMP_CWORD={len(words)}; _{program}; "
                  'echo "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "-c", script], check=True, text=True,
                              capture_output=True)
        return done.stdout.split()

    def test_completions(self):
        self.assertEqual(self.complete("tranqd", "sta"), ["start"])
        self.assertEqual(self.complete("tranqd", "v"), ["version"])
        self.assertEqual(self.complete("tranqd", "server", "-conf"),
                         ["-configFile"])
        self.assertEqual(self.complete("tranqd", "check", "-c",
                                       self.folder + "/ma"),
                         [self.folder + "/man"])
        self.assertEqual(self.complete("tranqctl", "rel"), ["reload"])
        self.assertEqual(self.complete("tranqctl", "status", "--j"),
                         ["--json"])


class ServerCase(drill.Case):
    def check_serves(self, *arguments):
        druid = self.sandbox()
        server = Server(os.path.join(self.folder, "server"),
                        drill.config(["a"], druid.url))
        server.arguments = arguments
        self._started.append(server)
        server.start()
        answer = server.post("a", harness.lines(harness.events(3)))
        self.assertEqual((answer.status, answer.sent), (200, 3), answer)
        self.assertEqual(server.stop(), 0)

    def test_config_file(self):
        self.check_serves("-configFile", "FILE")

    def test_config_file_equals(self):
        self.check_serves("-configFile=FILE")

    def test_ours(self):
        self.check_serves("-c", "FILE")

    def test_wrong(self):
        self.assertEqual(run("server")[0], USE_WRONG)
        self.assertEqual(run("server", "-configFile")[0], USE_WRONG)
        self.assertEqual(run("server", "-configFil", "x", "y")[0], USE_WRONG)
        code, _, err = run("server", "-configFile", "/not/there")
        self.assertEqual(code, CONFIGURATION_WRONG)
        self.assertIn("/not/there: cannot be read", err)
        for arguments in ([], ["-configFile", "conf/kafka.json"]):
            code, _, err = run("kafka", *arguments)
            self.assertEqual(code, USE_WRONG)
            self.assertIn("kafka: reading topics is not in this version", err)
        # the option, and none that begins like -c
        self.assertIn("requires an argument", run("start", "-configFile")[2])


if __name__ == "__main__":
    unittest.main()
