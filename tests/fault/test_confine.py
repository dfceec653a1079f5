#!/usr/bin/env python3
"""A receiver or a worker does what somebody would who has taken it over
(preload_attack.c): it reaches nothing but its rings, its own folders and
Druid, what it tries can be seen, and the others go on."""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from attack import Attacker  # noqa: E402
from harness import wait_for  # noqa: E402

RECEIVERS = 6
SOURCES = [f"s{i}" for i in range(6)]
DEAD = "died"
# the call that its last words name
CALLS = {"change_mode": "chmod", "make_link": "symlink",
         "connect_tcp": "socket", "connect_unix": "socket",
         "bind_tcp": "socket", "raw_socket": "socket",
         "run_program": "execve", "fork_self": "clone",
         "trace_other": "ptrace", "read_other": "process_vm_readv",
         "kill_other": "kill", "kill_all": "kill",
         "kill_thread_of_other": "tgkill",
         "kill_by_descriptor": "pidfd_open", "map_code": "mmap",
         "make_code": "mprotect", "mount_something": "mount",
         "leave_namespace": "unshare", "become_root": "setuid",
         "use_ring": "io_uring_setup"}
# what no process of ours may do; the supervisor is the victim
NEVER = ["change_mode", "make_link", "raw_socket", "run_program", "fork_self",
         "trace_other", "read_other", "kill_other", "kill_all",
         "kill_thread_of_other", "kill_by_descriptor", "map_code",
         "make_code", "mount_something", "leave_namespace", "become_root",
         "use_ring"]
# answered as by a kernel that does not have it
UNKNOWN = ["kill_by_owner", "limit_other", "type_for_others",
           "call_of_the_future"]


def confined(child):
    """What bounds a process, as its part of the status has it."""
    return child["confined"].split(", ")


class ConfineCase(drill.Case):
    properties = {}

    def setUp(self):
        super().setUp()
        # whoever tranqd.user is
        os.chmod(self.folder, 0o755)
        self.attacker = Attacker(self.folder)
        self.druid = self.sandbox()
        self.server = self.tranqd(
            drill.config(SOURCES, self.druid.url, properties=dict(
                {"tranqd.receivers": RECEIVERS, "tranqd.ringBytes": "1MiB"},
                **self.properties)),
            environment=self.attacker.environment)
        self.supervisor = self.server.process.pid
        self.turn = 0
        if "seccomp" not in confined(self.server.status()["receivers"][0]):
            self.unconfined()

    def unconfined(self):
        self.skipTest("this kernel or build has no seccomp for us")

    def receiver(self, index):
        return self.server.status()["receivers"][index]

    def worker(self, index):
        return self.server.data_source(SOURCES[index])["worker"]

    def attack(self, child, what, **how):
        """By a process that has died least lately, so that none is held
        back by its many deaths. Returns what came of it."""
        self.turn += 1
        at = self.turn % min(RECEIVERS, len(SOURCES))
        wait_for(lambda: child(at)["state"] == "ready", "it is ready")
        before = child(at)
        outcome = self.attacker.attack(before["pid"], what, **how)
        if outcome == DEAD:
            wait_for(lambda: child(at)["deathCount"] == before["deathCount"]
                     + 1, "its death is counted")
            self.assertIn(f"system call {CALLS[what]} ",
                          child(at)["lastDeath"]["lastWords"])
        return outcome

    def check_table(self, child, table):
        for what, wanted, how in table:
            with self.subTest(what, **how):
                self.assertEqual(self.attack(child, what, **how), wanted)
        self.assertEqual(self.server.process.pid, self.supervisor)
        self.assertTrue(self.server.is_running)

    def check_service(self, seconds=30):
        """Everybody is up, and events get to Druid."""
        self.server.wait_ready(seconds)
        for ds in SOURCES:
            events = harness.events(20, run=f"{ds}-after")
            answer = self.server.post(ds, events)
            self.assertEqual(answer.status, 200, answer)
            self.check_ids(self.druid, ds, drill.ids(events))

    def everybody(self, outcome):
        return [(what, outcome, {"number": self.supervisor,
                                 "path": self.folder}) for what in NEVER] + [
            (what, "ENOSYS", {"number": self.supervisor}) for what in UNKNOWN]

    def check_receiver(self):
        """It has its rings and its clients, and nothing else."""
        files = [os.path.join(self.server.data_dir, "spool", "s0",
                              "data.mdb"),
                 self.server.config_file, "/etc/passwd",
                 f"/proc/{self.supervisor}/mem", "/proc/self/mem"]
        new = os.path.join(self.folder, "new")
        self.check_table(self.receiver, self.everybody(DEAD) + [
            (what, "ENOENT", {"path": path}) for path in files
            for what in ("read_file", "write_file", "look_at_file")] + [
            ("make_file", "ENOENT", {"path": new}),
            ("make_folder", "ENOENT", {"path": new}),
            ("open_newer", "ENOENT", {"path": "/etc/passwd"}),
            ("list_folder", "ENOENT", {"path": "/"}),
            ("remove_file", "ENOENT", {"path": self.server.config_file}),
            ("connect_tcp", DEAD, {"number": self.server.port}),
            ("connect_unix", DEAD, {"path": self.server.control_socket}),
            ("bind_tcp", DEAD, {"number": 0})])
        self.assertFalse(os.path.exists(new))
        refused = sum(r["refusedCalls"]
                      for r in self.server.status()["receivers"])
        self.assertGreater(refused, 0)
        wait_for(lambda: "system calls were refused" in self.server.log(),
                 "the log tells of it")
        self.check_service()

    def check_worker(self):
        """It has Druid and its own folders; libraries may read theirs."""
        spool = os.path.join(self.server.data_dir, "spool")
        table = self.everybody(DEAD) + [
            ("read_file", "ok", {"path": "/etc/passwd"}),
            ("connect_tcp", "ok", {"number": self.server.port}),
            ("connect_unix", "EACCES", {"path": self.server.control_socket}),
            ("write_file", "EACCES", {"path": self.server.config_file})]
        if "landlock" in self.worker(0)["confined"]:
            table += self.fenced(spool)
        self.check_table(self.worker, table)
        self.check_service()

    def fenced(self, spool):
        """What Landlock adds. The attacker is the worker of s1, s2, … in
        turn; nobody may read s0's."""
        other = os.path.join(spool, "nobody", "data.mdb")
        os.makedirs(os.path.dirname(other))
        with open(other, "w") as f:
            f.write("secret")
        os.chmod(other, 0o666)
        os.chmod(os.path.dirname(other), 0o777)
        os.chmod(spool, 0o755)
        archive = os.path.join(self.server.data_dir, "archive")
        return [
            ("read_file", "EACCES", {"path": other}),
            ("write_file", "EACCES", {"path": other}),
            ("remove_file", "EACCES", {"path": other}),
            ("list_folder", "EACCES", {"path": spool}),
            ("list_folder", "EACCES", {"path": archive}),
            ("make_file", "EACCES", {"path": os.path.join(archive, "x")}),
            ("make_folder", "EACCES", {"path": os.path.join(archive, "d")}),
            ("read_file", "EACCES", {"path": self.server.config_file}),
            ("read_file", "EACCES", {"path": f"/proc/{self.supervisor}/mem"}),
            ("bind_tcp", "EACCES", {"number": self.closed_port()})]


class TestAsRoot(ConfineCase):
    """Or as whoever runs the tests."""

    def test_receiver(self):
        self.check_receiver()

    def test_worker(self):
        self.check_worker()

    def test_own_folders(self):
        """A worker reads and writes its own."""
        for ds in SOURCES:
            pid = self.server.worker_pid(ds)
            for folder in ("spool", "quarantine", "archive"):
                path = os.path.join(self.server.data_dir, folder, ds, "mine")
                for what in ("make_file", "write_file", "read_file",
                             "remove_file"):
                    self.assertEqual(
                        self.attacker.attack(pid, what, path=path), "ok",
                        (what, path))

    def test_nonsense(self):
        """To the supervisor: it parts with who talks it."""
        for child in (self.receiver, self.worker):
            before = child(0)
            self.assertEqual(
                self.attacker.attack(before["pid"], "talk_nonsense"), "ok")
            self.assertGreater(self.attacker.result, 0)
            wait_for(lambda: child(0)["deathCount"] > before["deathCount"]
                     and child(0)["state"] == "ready", "it was replaced")
        self.assertEqual(self.server.process.pid, self.supervisor)
        self.check_service()

    def test_scribble(self):
        """A receiver writes over all the memory that it shares: the workers
        and the supervisor go on, and so do all when it is gone."""
        taken = self.receiver(0)["pid"]
        self.attacker.attack(taken, "scribble")
        self.assertTrue(self.server.is_running)
        if harness.is_alive(taken):
            harness.kill(taken)
        wait_for(lambda: self.receiver(0)["pid"] not in (0, taken)
                 and self.receiver(0)["state"] == "ready", "its successor")
        self.check_service(seconds=60)
        self.assertEqual(self.server.process.pid, self.supervisor)


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class TestAsUser(ConfineCase):
    properties = {"tranqd.user": "nobody"}

    def test_receiver(self):
        self.check_receiver()

    def test_worker(self):
        self.check_worker()


class TestWithout(ConfineCase):
    """That the attacks are attacks: without confinement they succeed."""
    properties = {"tranqd.confine": False}

    def unconfined(self):
        pass

    def test_attacks(self):
        new = os.path.join(self.folder, "new")
        with open(os.path.join(self.folder, "victim"), "w") as f:
            f.write("x")
        self.check_table(self.receiver, [
            ("read_file", "ok", {"path": "/etc/passwd"}),
            ("write_file", "ok", {"path": f.name}),
            ("make_file", "ok", {"path": new}),
            ("look_at_file", "ok", {"path": new}),
            ("list_folder", "ok", {"path": "/"}),
            ("make_folder", "ok", {"path": new + "-folder"}),
            ("remove_file", "ok", {"path": new}),
            ("connect_tcp", "ok", {"number": self.server.port}),
            ("connect_unix", "ok", {"path": self.server.control_socket}),
            ("bind_tcp", "ok", {"number": 0}),
            ("listen_tcp", "ok", {}), ("fork_self", "ok", {}),
            ("map_code", "ok", {}), ("make_code", "ok", {}),
            ("kill_by_owner", "ok", {"number": self.supervisor})])
        self.assertIn("not confined", self.server.log())
        self.assertEqual({r["confined"] for r in
                          self.server.status()["receivers"]}, {""})


if __name__ == "__main__":
    unittest.main()
