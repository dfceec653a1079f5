"""JVM Tranquility for a test: an instance that writes, and its hashes.

    with Writer(folder, config, "wikipedia") as jvm:
        jvm.send(events)
        jvm.report()            (sent, dropped, failed) of all so far

TRANQUILITY names the folder that `build` has filled.
"""

import json
import os
import re
import select
import subprocess

from machine import die_with_parent

DIR = os.environ.get("TRANQUILITY", "")
START_SECONDS = 60
ANSWER_SECONDS = 90
STOP_SECONDS = 30
# Guice 4.0, Netty and Finagle reach into the JDK.
OPEN = ["java.lang", "java.util", "java.net", "java.nio", "sun.nio.ch"]


def command(program, *arguments):
    opens = [option for package in OPEN
             for option in ("--add-opens", f"java.base/{package}=ALL-UNNAMED")]
    return ["java", "-Xmx300m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            *opens, "-cp", f"{DIR}/classes:{DIR}/lib/*", program, *arguments]


class Writer:
    """One instance of one dataSource of a server.json."""

    def __init__(self, folder, document, ds, name="jvm"):
        self.ds = ds
        self.file = os.path.join(folder, f"{name}.json")
        self.log_file = os.path.join(folder, f"{name}.log")
        with open(self.file, "w") as f:
            json.dump(document, f)
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self, wait=True):
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                command("Writer", self.file, self.ds), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=log, bufsize=0,
                preexec_fn=die_with_parent)
        if wait:
            self.await_ready()
        return self

    def await_ready(self):
        self._expect("ready", START_SECONDS)

    def _expect(self, pattern, seconds):
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        line = self.process.stdout.readline().decode() if ready else ""
        found = re.match(pattern, line)
        if found is None:
            with open(self.log_file, errors="replace") as f:
                raise AssertionError(
                    f"not within {seconds} s: {pattern}; {line!r}\n"
                    + f.read()[-6000:])
        return found

    def _write(self, text):
        data = memoryview(text.encode())
        while data:
            data = data[self.process.stdin.write(data):]

    def send(self, events):
        self._write("".join(json.dumps(e) + "\n" for e in events))

    def report(self):
        """Waits until each event has its answer."""
        self._write("\n")
        found = self._expect(r"sent (\d+) dropped (\d+) failed (\d+)",
                             ANSWER_SECONDS)
        return tuple(int(n) for n in found.groups())

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self._close()

    def stop(self):
        if self.process is None:
            return
        self.process.stdin.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._close()

    def _close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process = None
