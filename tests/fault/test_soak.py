#!/usr/bin/env python3
"""`make soak`, for a minute (seconds in the short form): it runs to its end,
and all is well."""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402


class TestSoak(drill.Case):
    time_bound = 180

    def test_soak(self):
        done = subprocess.run(
            [os.path.join(HERE, "soak"), "--seconds",
             "60" if drill.LONG else "5"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", preexec_fn=harness.die_with_parent)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn(" 0 problems", done.stdout)
        self.assertIn('"lost": 0, "doubled": 0', done.stdout)


if __name__ == "__main__":
    drill.main()
