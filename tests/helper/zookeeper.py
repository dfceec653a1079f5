"""A real ZooKeeper for a test, from Debian's packages (zookeeper, java).

    with ZooKeeper() as zk:
        ... zk.connect ...            "127.0.0.1:PORT"
        zk.kill(); zk.start()         same port, same data

    python3 tests/helper/zookeeper.py run -- COMMAND ARGUMENT...

The second form starts one, runs the command with TRANQ_TEST_ZK=127.0.0.1:PORT
in its environment, stops it, and exits as the command did. The command may
write the lines kill, stop, start, pause and resume into the named pipe that
TRANQ_TEST_ZK_CONTROL names. Everything lies in a temporary folder that goes
away with it.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from machine import die_with_parent, end_on_signals, reserve_port

JARS = "/usr/share/java"
CLASSPATH = [
    "zookeeper", "zookeeper-jute", "slf4j-api", "slf4j-nop", "netty-all",
    "netty-buffer", "netty-codec", "netty-common", "netty-handler",
    "netty-resolver", "netty-transport", "netty-transport-native-epoll",
    "netty-transport-native-unix-common", "metrics-core", "snappy-java",
    "commons-cli", "commons-io", "jackson-annotations", "jackson-core",
    "jackson-databind", "audience-annotations",
]
START_SECONDS = 60
STOP_SECONDS = 20
COMMAND_SECONDS = 3600


class ZooKeeper:
    """tick_ms bounds session timeouts: a session lasts 2 to 20 ticks unless
    session_ms, the shortest allowed, says otherwise."""

    def __init__(self, tick_ms=200, session_ms=400, address="127.0.0.1"):
        self.address = address
        self.tick_ms = tick_ms
        self.session_ms = session_ms
        self.folder = tempfile.mkdtemp(prefix="tranqd-zookeeper-")
        self.port = None
        self.reserved = None
        self.process = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def connect(self):
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"

    def start(self):
        """Starts it, on the port it had before, and waits until it answers."""
        if self.process is not None:
            raise RuntimeError("ZooKeeper runs already")
        if self.reserved is None:
            self.reserved = reserve_port(self.address)
            self.port = self.reserved.getsockname()[1]
        self._spawn()
        if not self._wait_until_up():
            self._reap()
            raise RuntimeError("ZooKeeper does not start:\n" + self.output())

    def stop(self):
        """Lets it end in good order."""
        self._end(signal.SIGTERM)

    def kill(self):
        """Ends it at once; its clients see their connections break."""
        self._end(signal.SIGKILL)

    def pause(self):
        """It keeps its connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def ask(self, word, timeout=5):
        """One of its four-letter words, for instance ruok, stat, dump, cons."""
        with socket.create_connection((self.address, self.port),
                                      timeout) as s:
            s.settimeout(timeout)
            s.sendall(word.encode())
            answer = b""
            while piece := s.recv(65536):
                answer += piece
        return answer.decode()

    def shell(self, *lines, seconds=60):
        """What ZooKeeper's own shell says to such lines as "ls /"."""
        done = subprocess.run(
            ["java", "-Xmx64m", "-XX:TieredStopAtLevel=1", "-cp",
             self._classpath(), "org.apache.zookeeper.ZooKeeperMain",
             "-server", self.connect],
            input="\n".join(lines + ("quit", "")), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=seconds)
        return done.stdout

    def output(self):
        try:
            with open(os.path.join(self.folder, "output"), errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def close(self):
        if self.process is not None:
            self.kill()
        if self.reserved is not None:
            self.reserved.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _spawn(self):
        config = os.path.join(self.folder, "zoo.cfg")
        with open(config, "w") as f:
            f.write(
                f"tickTime={self.tick_ms}\n"
                f"dataDir={self.folder}/data\n"
                f"clientPortAddress={self.address}\n"
                f"clientPort={self.port}\n"
                f"minSessionTimeout={self.session_ms}\n"
                "maxSessionTimeout=60000\n"
                "maxClientCnxns=0\n"
                "4lw.commands.whitelist=*\n"
                "admin.enableServer=false\n")
        with open(os.path.join(self.folder, "output"), "ab") as output:
            self.process = subprocess.Popen(
                ["java", "-Xms16m", "-Xmx96m", "-XX:+UseSerialGC",
                 "-XX:TieredStopAtLevel=1", "-Dzookeeper.admin.enableServer=false",
                 # a test wants its writes at once, not after a disk's flush
                 "-Dzookeeper.forceSync=no",
                 "-Dzookeeper.jmx.log4j.disable=true",
                 "-cp", self._classpath(),
                 "org.apache.zookeeper.server.quorum.QuorumPeerMain", config],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, preexec_fn=die_with_parent)

    @staticmethod
    def _classpath():
        jars = [f"{JARS}/{name}.jar" for name in CLASSPATH]
        return ":".join(j for j in jars if os.path.exists(j))

    def _wait_until_up(self):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                # ruok is answered before sessions are taken
                if self.ask("srvr", 1).startswith("Zookeeper version"):
                    return True
            except OSError:
                pass
            time.sleep(0.05)
        return False

    def _end(self, sig):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(sig)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        self._reap()

    def _reap(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process = None


def run(command):
    with ZooKeeper() as zk:
        pipe = os.path.join(zk.folder, "control")
        os.mkfifo(pipe)
        environment = dict(os.environ, TRANQ_TEST_ZK=zk.connect,
                           TRANQ_TEST_ZK_CONTROL=pipe)
        # both ways, so that it has no end: an order that came between the end
        # of the one before and the next opening was lost
        control = os.open(pipe, os.O_RDWR)
        obeyer = threading.Thread(target=obey, args=(zk, control))
        obeyer.start()
        try:
            # with a bound, it looks up now and then: a signal may have come
            # to the other thread
            status = subprocess.run(
                command, env=environment, timeout=COMMAND_SECONDS,
                preexec_fn=die_with_parent).returncode
        finally:
            os.write(control, b"end\n")
            obeyer.join()
            os.close(control)
    return status if status >= 0 else 128 - status


def obey(zk, control):
    """Orders from the pipe, one a line, until `end`."""
    orders = {"kill": zk.kill, "stop": zk.stop, "start": zk.start,
              "pause": zk.pause, "resume": zk.resume}
    with os.fdopen(control, closefd=False) as f:
        for line in f:
            order = line.strip()
            if order == "end":
                return
            if order in orders:
                orders[order]()


def main(arguments):
    if len(arguments) < 3 or arguments[:2] != ["run", "--"]:
        print("usage: zookeeper.py run -- COMMAND ARGUMENT...", file=sys.stderr)
        return 2
    end_on_signals()
    return run(arguments[2:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
