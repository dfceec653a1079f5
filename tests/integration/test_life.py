#!/usr/bin/env python3
"""Start, stop and everything that keeps the daemon from starting."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import certificates  # noqa: E402
import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402


class LifeCase(drill.Case):
    def setUp(self):
        super().setUp()
        self.druid = self.sandbox("--check", "full")

    def config(self, **properties):
        return drill.config(["wikipedia"], self.druid.url,
                            properties=properties)

    def start_fails(self, tranqd, *words):
        """It ends by itself: its exit code; the words are in what it said."""
        tranqd.spawn()
        code = tranqd.process.wait(20)
        tranqd.process = None
        for word in words:
            self.assertIn(word, tranqd.log())
        self.assertLess(len(tranqd.log().splitlines()), 10)
        return code


class TestStop(LifeCase):
    def stop_under_load(self, stop, **properties):
        server = self.tranqd(self.config(**properties))
        running = self.start_load(server, compare=self.druid.url, retry=True,
                                  seconds=600, rate=20000, settle=20)
        wait_for(lambda: server.accounts("wikipedia")["sent"] > 1000)
        began = time.monotonic()
        code = stop(server)
        took = time.monotonic() - began
        running.stop()
        self.assertEqual(code, 0)
        self.assertLess(took, 25)  # and not tranqd.drainTimeout
        report = running.finish()
        self.assertEqual(report.code, 0, dict(report))
        self.assertFalse(os.path.exists(server.control_socket))
        self.assertFalse(os.path.exists(
            os.path.join(server.run_dir, "tranqd.pid")))
        server.start()
        a = server.accounts("wikipedia")
        self.assertEqual(a["spool"], 0, a)
        self.assertTrue(a["holds"])
        self.check_violations(self.druid)

    def test_sigterm(self):
        self.stop_under_load(lambda s: s.stop(signal.SIGTERM))

    def test_sigint(self):
        self.stop_under_load(lambda s: s.stop(signal.SIGINT))

    def test_tranqctl(self):
        def stop(server):
            process = server.process
            done = server.tranqctl("stop")
            self.assertEqual(done.returncode, 0, done)
            self.assertEqual(process.wait(harness.STOP_SECONDS), 0)
            return server.stop()
        self.stop_under_load(stop)

    def test_drain_timeout(self):
        """Druid does not take anything: after drainTimeout it ends all the
        same, and the events are delivered after the next start."""
        server = self.tranqd(self.config(**{"tranqd.drainTimeout": "PT2S"}))
        self.druid.fault("hang")
        events = harness.events(100)
        server.post("wikipedia", events, is_async=True)
        began = time.monotonic()
        self.assertEqual(server.stop(), 0)
        took = time.monotonic() - began
        self.assertGreater(took, 1.5)
        self.assertLess(took, 20)
        self.druid.fault("none")
        server.start()
        self.check_ids(self.druid, "wikipedia", drill.ids(events))
        self.check_whole(server, self.druid)

    def test_requests_that_wait_are_answered(self):
        """A synchronous request at the time of the stop gets its answer."""
        server = self.tranqd(self.config())
        self.druid.fault("slow", ms=1000)
        with server.client() as client:
            events = harness.events(10)
            c = client.connection
            c.request("POST", "/v1/post/wikipedia", harness.lines(events),
                      {"Content-Type": "application/json"})
            wait_for(lambda: server.accounts("wikipedia")["received"] == 10)
            server.process.send_signal(signal.SIGTERM)
            answer = c.getresponse()
            self.assertEqual(answer.status, 200)
            self.assertEqual(json.loads(answer.read())["result"],
                             {"received": 10, "sent": 10})
        self.assertEqual(server.stop(), 0)

    def test_new_connections_are_refused_while_it_drains(self):
        server = self.tranqd(self.config())
        self.druid.fault("hang")
        server.post("wikipedia", harness.events(10), is_async=True)
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not harness.is_listening(server.port))
        status = server.status()
        self.assertIn(status["supervisor"]["state"], ("stopping", "draining"))
        ok, text = server.reload()
        self.assertFalse(ok)
        self.assertIn("stopping", text)
        self.druid.fault("none")
        self.assertEqual(server.stop(), 0)

    def test_sigquit(self):
        server = self.tranqd(self.config())
        self.druid.fault("hang")
        events = harness.events(100)
        server.post("wikipedia", events, is_async=True)
        began = time.monotonic()
        self.assertEqual(server.stop(signal.SIGQUIT), 0)
        self.assertLess(time.monotonic() - began, 20)
        self.druid.fault("none")
        server.start()
        self.check_ids(self.druid, "wikipedia", drill.ids(events))
        self.check_accounts(server)

    def test_quit_shortens_a_stop(self):
        server = self.tranqd(self.config())
        self.druid.fault("hang")
        server.post("wikipedia", harness.events(10), is_async=True)
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "SIGTERM" in server.log())
        began = time.monotonic()
        self.assertEqual(server.stop(signal.SIGQUIT), 0)
        self.assertLess(time.monotonic() - began, 20)

    def test_again_and_again(self):
        server = self.tranqd(self.config())
        for n in range(5):
            events = harness.events(10, run=f"r{n}")
            self.assertEqual(server.post("wikipedia", events).sent, 10)
            server.restart()
        self.check_whole(server, self.druid)
        self.assertEqual(server.accounts("wikipedia")["sent"], 50)


class TestStart(LifeCase):
    def test_files(self):
        server = self.tranqd(self.config(**{"http.port": 0}))
        with open(os.path.join(server.run_dir, "tranqd.pid")) as f:
            self.assertEqual(int(f.read()), server.process.pid)
        with open(os.path.join(server.run_dir, "http.port")) as f:
            self.assertEqual(int(f.read()), server.port)
        mode = os.stat(server.control_socket).st_mode & 0o777
        self.assertEqual(mode & 0o007, 0, oct(mode))

    def test_daemonize(self):
        server = self.tranqd(self.config(), start=False)
        pid_file = os.path.join(self.folder, "my.pid")
        log = os.path.join(self.folder, "my.log")
        server.document["properties"]["log.file"] = log
        server.write()
        done = harness.run_program(
            "tranqd", "start", "-c", server.config_file, "--daemonize",
            "--pid-file", pid_file)
        self.assertEqual(done.returncode, 0, done)
        # it is up when the command ends
        with open(pid_file) as f:
            pid = int(f.read())
        try:
            status = server.status()
            self.assertEqual(status["supervisor"]["pid"], pid)
            server.port = status["supervisor"]["httpPort"]
            self.assertEqual(
                server.post("wikipedia", harness.events(1)).sent, 1)
            self.assertEqual(os.getsid(pid), pid)
        finally:
            os.kill(pid, signal.SIGTERM)
            harness.wait_gone(pid)
            harness.reap_orphans()
        self.assertFalse(os.path.exists(pid_file))

    def test_daemonize_with_a_path_from_here(self):
        """A reload finds the file where the start has found it."""
        ca = certificates.Store(self.folder).authority("ca").certificate
        of_one = self.config()
        of_one["dataSources"][0]["properties"] = {
            "druid.tls.trustStorePath": os.path.relpath(ca, self.folder)}
        done = subprocess.run(
            [harness.program("tranqctl"), "password", "druid"],
            input="secret\n", text=True, stdout=subprocess.PIPE, check=True)
        with open(os.path.join(self.folder, "users"), "w") as f:
            f.write(done.stdout)
        for name, document in (
                ("feed", self.config(**{"pull.listen": "127.0.0.1:0",
                                        "pull.auth.file": "users"})),
                ("one", of_one)):
            with self.subTest(name):
                server = self.tranqd(document, name=name, start=False)
                server.document["properties"]["log.file"] = os.path.join(
                    self.folder, f"{name}.log")
                server.write()
                done = harness.run_program(
                    "tranqd", "start", "-c", server.config_file,
                    "--daemonize", cwd=self.folder)
                self.assertEqual(done.returncode, 0, done)
                try:
                    good, text = server.reload()
                finally:
                    os.kill(server.status()["supervisor"]["pid"],
                            signal.SIGTERM)
                    wait_for(lambda: not os.path.exists(
                        server.control_socket), "it is gone")
                    harness.reap_orphans()
                self.assertTrue(good, text)

    def test_daemonize_that_fails(self):
        """The command says why and does not claim to have started."""
        server = self.tranqd(self.config(), start=False)
        with socket.create_server(server.reserved.getsockname()):
            server.document["properties"]["log.file"] = os.path.join(
                self.folder, "my.log")
            server.write()
            done = harness.run_program("tranqd", "start", "-c",
                                       server.config_file, "--daemonize")
        self.assertEqual(done.returncode, 69, done)
        self.assertIn("http.port", done.stderr)

    def test_two_on_one_run_dir(self):
        first = self.tranqd(self.config())
        second = self.tranqd(self.config(), name="second", start=False)
        second.document["properties"]["tranqd.runDir"] = first.run_dir
        second.write()
        self.assertEqual(self.start_fails(
            second, "already running", str(first.process.pid),
            "tranqctl stop"), 69)
        # the first one has lost nothing by it
        self.assertEqual(first.post("wikipedia", harness.events(1)).sent, 1)
        self.assertTrue(os.path.exists(first.control_socket))
        with open(os.path.join(first.run_dir, "tranqd.pid")) as f:
            self.assertEqual(int(f.read()), first.process.pid)

    def test_two_on_one_data_dir(self):
        """One spool has one owner."""
        first = self.tranqd(self.config())
        first.post("wikipedia", harness.events(10))
        second = self.tranqd(self.config(), name="second", start=False)
        second.document["properties"]["tranqd.dataDir"] = first.data_dir
        second.write()
        second.spawn()
        wait_for(lambda: second.process.poll() is not None
                 or "spool" in second.log(), "it is said", 30)
        second.process.poll() is not None or second.stop(signal.SIGQUIT)
        second.process = None
        self.assertEqual(first.post("wikipedia", harness.events(
            10, run="b")).sent, 10)
        self.check_whole(first, self.druid)
        self.check_no_crash(first)

    def test_port_taken(self):
        server = self.tranqd(self.config(), start=False)
        host, port = server.reserved.getsockname()
        with socket.create_server((host, port)):
            self.assertEqual(self.start_fails(
                server, f"{host}:{port}", "http.port",
                "Address already in use"), 69)
        self.assertFalse(os.path.exists(server.control_socket))
        server.start()

    def test_wrong_address(self):
        server = self.tranqd(self.config(), start=False)
        server.document["properties"]["http.address"] = "192.0.2.1"
        server.write()
        self.assertEqual(
            self.start_fails(server, "192.0.2.1", "http.address"), 69)

    def test_data_dir_is_a_file(self):
        server = self.tranqd(self.config(), start=False)
        with open(server.data_dir, "w"):
            pass
        self.assertEqual(
            self.start_fails(server, server.data_dir, "tranqd.dataDir"), 73)

    def test_data_dir_not_writable(self):
        server = self.tranqd(self.config(), start=False)
        os.makedirs(server.data_dir)
        os.makedirs(server.run_dir)
        os.chmod(server.data_dir, 0o555)
        os.chmod(server.run_dir, 0o777)
        done = self.tranqd_as_nobody(server)
        self.assertEqual(done.returncode, 77, done)
        self.assertIn(server.data_dir, done.stdout)
        self.assertIn("Permission denied", done.stdout)

    def test_log_file_not_writable(self):
        server = self.tranqd(self.config(**{
            "log.file": "/nowhere/at/all.log"}), start=False)
        self.assertEqual(
            self.start_fails(server, "/nowhere/at/all.log", "log.file"), 73)

    def test_long_run_dir(self):
        """A socket's path has its limits; that is said by `check`."""
        server = self.tranqd(self.config(**{
            "tranqd.runDir": os.path.join(self.folder, "r" * 120)}),
            start=False)
        self.assertEqual(self.start_fails(server, "tranqd.runDir"), 78)

    def test_stale_files_of_a_killed_one(self):
        server = self.tranqd(self.config())
        server.kill_all()
        self.assertTrue(os.path.exists(server.control_socket))
        server.start()
        self.assertEqual(
            server.post("wikipedia", harness.events(1)).sent, 1)

    @unittest.skipUnless(os.getuid() == 0, "only root can change users")
    def test_user(self):
        os.chmod(self.folder, 0o755)
        server = self.tranqd(self.config(**{"tranqd.user": "nobody"}))
        for pid in harness.children(server.process.pid):
            self.assertEqual(os.stat(f"/proc/{pid}").st_uid, 65534)
        self.assertEqual(
            server.post("wikipedia", harness.events(1)).sent, 1)
        server.kill_worker("wikipedia")
        self.assertEqual(
            server.post("wikipedia", harness.events(1, run="b")).sent, 1)

    def test_names_of_processes(self):
        server = self.tranqd(self.config())
        names = [harness.command_line(p) for p in drill.family(server)]
        self.assertEqual(sum("receiver" in n for n in names), 2, names)
        self.assertEqual(sum("wikipedia" in n for n in names), 1, names)


class TestCommands(LifeCase):
    def check(self, text):
        path = os.path.join(self.folder, "check.json")
        with open(path, "w") as f:
            f.write(text)
        return harness.run_program("tranqd", "check", "-c", path)

    def test_check(self):
        document = self.config()
        done = self.check(json.dumps(document))
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        self.assertIn("good, 1 dataSource", done.stdout)

    def test_check_tells_all_problems(self):
        document = self.config()
        document["properties"]["task.partitions"] = "many"
        document["properties"]["http.prot"] = 1
        document["dataSources"][0]["spec"]["tuningConfig"][
            "windowPeriod"] = "ten minutes"
        del document["dataSources"][0]["spec"]["dataSchema"]["parser"]
        done = self.check(json.dumps(document))
        self.assertEqual(done.returncode, 78, done)
        for word in ("task.partitions", "http.prot", "windowPeriod",
                     "parser"):
            self.assertIn(word, done.stderr)
        for line in done.stderr.splitlines():
            self.assertIn("check.json", line)

    def test_check_of_no_file(self):
        done = harness.run_program("tranqd", "check", "-c", "/not/there")
        self.assertEqual(done.returncode, 78, done)
        self.assertIn("/not/there", done.stderr)

    def test_start_with_a_bad_file(self):
        server = self.tranqd(self.config(), start=False)
        with open(server.config_file, "w") as f:
            f.write("{")
        self.assertEqual(self.start_fails(server, "tranqd.json"), 78)

    def test_wrong_use(self):
        for arguments in ([], ["start"], ["frob"], ["check"],
                          ["start", "-x"], ["check", "-c"]):
            done = harness.run_program("tranqd", *arguments)
            self.assertEqual(done.returncode, 64, (arguments, done))
            self.assertTrue(done.stderr)

    def test_version_and_help(self):
        for arguments in (["version"], ["--version"], ["help"], ["--help"]):
            for program in "tranqd", "tranqctl":
                done = harness.run_program(program, *arguments)
                self.assertEqual((done.returncode, done.stderr), (0, ""),
                                 (program, done))
                self.assertTrue(done.stdout)

    def test_tranqctl_codes(self):
        server = self.tranqd(self.config())
        done = server.tranqctl("status")
        self.assertEqual((done.returncode, done.stderr), (0, ""), done)
        self.assertIn("wikipedia", done.stdout)
        done = server.tranqctl("status", "--json")
        self.assertEqual(json.loads(done.stdout)["dataSources"][0]["name"],
                         "wikipedia")
        self.assertEqual(server.tranqctl("reload").returncode, 0)
        for arguments in ([], ["frob"], ["status", "more"], ["-x"],
                          ["-s", "a", "-c", "b", "status"]):
            done = harness.run_program("tranqctl", *arguments)
            self.assertEqual(done.returncode, 2, (arguments, done))
        self.assertEqual(server.tranqctl("stop").returncode, 0)
        server.process.wait(harness.STOP_SECONDS)
        server.process = None
        for command in "status", "reload", "stop":
            done = server.tranqctl(command)
            self.assertEqual(done.returncode, 3, done)
            self.assertIn(server.control_socket, done.stderr)

    def test_many_ask_for_the_status(self):
        server = self.tranqd(self.config())
        asked = [subprocess.Popen(
            [harness.program("tranqctl"), "-c", server.config_file,
             "status"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            preexec_fn=harness.die_with_parent) for _ in range(20)]
        for process in asked:
            error = process.communicate(timeout=30)[1]
            self.assertEqual(process.returncode, 0, error)

    def test_rude_clients_of_the_control_socket(self):
        """They neither stop others nor the daemon."""
        server = self.tranqd(self.config())
        rude = []
        for n in range(8):
            s = socket.socket(socket.AF_UNIX)
            s.connect(server.control_socket)
            s.sendall((b"status\n" * 100, b"x" * 10000, b"", b"sta")[n % 4])
            rude.append(s)
        wait_for(lambda: server.tranqctl("status").returncode == 0,
                 "a good client is answered", 15)
        for s in rude:
            s.close()
        self.assertTrue(re.search(r"pid|wikipedia",
                                  server.tranqctl("status").stdout))


if __name__ == "__main__":
    drill.main()
