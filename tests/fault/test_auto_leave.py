#!/usr/bin/env python3
"""delivery.mode auto leaves pull: nothing gets into the log any more behind the
look that found it empty, whatever comes in that moment."""

import concurrent.futures
import os
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import harness  # noqa: E402
from auto_case import DS, AutoCase  # noqa: E402
from faults import FAULT_TRANQD, Faults  # noqa: E402
from harness import wait_for  # noqa: E402


class TestLeave(AutoCase):
    druid_options = ("--druid", "34.0.0")

    def test_events_in_that_moment(self):
        faults = Faults(os.path.join(self.folder, "faults"))
        self.server = self.tranqd(
            self.document(**{"pull.listen": "127.0.0.1:0"}),
            binary=FAULT_TRANQD, environment=faults.environment)
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
        self.server.restart()   # what it says is of now
        self.await_mode("push")
        self.assertNotIn("log", str(self.server.data_source(DS)["beams"]))


if __name__ == "__main__":
    harness.main()
