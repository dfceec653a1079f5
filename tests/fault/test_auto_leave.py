#!/usr/bin/env python3
"""delivery.mode auto leaves pull: nothing gets into the log any more behind the
look that found it empty, whatever comes in that moment."""

import concurrent.futures
import os
import re
import signal
import socket
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from auto_case import DS, AutoCase  # noqa: E402
from faults import FAULT_TRANQD, Faults  # noqa: E402
from harness import wait_for  # noqa: E402


def wakes(pid):
    """How often the process has slept."""
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", f.read(),
                             re.M).group(1))


class TestLeave(AutoCase):
    druid_options = ("--druid", "34.0.0")

    def start(self):
        faults = Faults(os.path.join(self.folder, "faults"))
        self.server = self.tranqd(
            self.document(**{"pull.listen": "127.0.0.1:0"}),
            binary=FAULT_TRANQD, environment=faults.environment)
        return faults

    def check_log_is_left(self):
        self.server.restart()   # what it says is of now
        self.await_mode("push")
        self.assertNotIn("log", str(self.server.data_source(DS)["beams"]))

    def test_events_in_that_moment(self):
        faults = self.start()
        self.await_mode("pull")
        faults.stop("CHOSEN")
        self.druid.druid("30.0.1")
        pid = faults.await_hit("CHOSEN")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answer = pool.submit(self.post, 50, "a")
            wait_for(lambda: self.server.accounts(DS)["inRings"] == 50)
            os.kill(pid, signal.SIGCONT)
            answer.result()
        self.await_mode("push")
        self.check_all()
        self.check_log_is_left()

    def test_a_dead_letter_in_that_moment(self):
        """It stays one until the successor is asked, for the log would be
        where a queue goes."""
        self.druid.druid("30.0.1")
        self.druid.fault("bad-row", text="poison")
        faults = self.start()
        events = harness.events(1)
        events[0]["page"] = "poison"
        self.server.post(DS, events, is_async=True)
        wait_for(lambda: self.server.accounts(DS)["deadLetters"] == 1,
                 seconds=40)
        self.druid.fault("none")
        self.druid.druid("34.0.0")
        self.await_mode("pull")
        faults.stop("CHOSEN")
        self.druid.druid("30.0.1")
        pid = faults.await_hit("CHOSEN")
        supervisor = self.server.process.pid
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.server.control_socket)
            s.sendall(f"deadletters requeue {DS} all\n".encode())
            self.assertRegex(s.recv(100), rb"^wait ")
            self.server.status()    # the order is with the worker
            os.kill(supervisor, signal.SIGSTOP)
            try:
                had = wakes(pid)
                os.kill(pid, signal.SIGCONT)
                wait_for(lambda: wakes(pid) > had + 10,
                         "it has asked Druid again and again")
            finally:
                os.kill(supervisor, signal.SIGCONT)
            self.assertIn(b"try again", s.recv(1000))
        self.await_mode("push")
        self.assertEqual(
            self.server.tranqctl("deadletters", "requeue", DS,
                                 "--all").returncode, 0)
        self.sent += drill.ids(events)
        self.check_all()
        self.check_log_is_left()


if __name__ == "__main__":
    harness.main()
