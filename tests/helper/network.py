"""A small network of namespaces, whose wires a test cuts: packets vanish, and
nobody is told.

    net = Network(hosts=2)            skips the test where it cannot be had
    net.druid                         "10.77.0.1": the test itself and all
                                      that it starts without `within`
    host = net.hosts[0]
    self.tranqd(document, within=host.within, host=host.address)
    net.cut(host)                     both ways
    net.cut(host, port=2181, way=UP)  from the host to that port only
    net.heal()
    net.close()

host.address is a second wire between the test and the host that is never cut:
there clients come in. Between the host and net.druid is a router, which drops
by rules; nothing but iproute2 is wanted. The namespaces end with the
processes that hold them, and these with the test.
"""

import ctypes
import os
import shutil
import subprocess
import unittest

from harness import wait_for
from machine import die_with_parent

CLONE_NEWNET = 0x40000000
UP, DOWN = "up", "down"  # to Druid, from Druid


def _ns(pid):
    return os.readlink(f"/proc/{pid}/ns/net")


class _Namespace:
    def __init__(self):
        ours = _ns("self")
        self.holder = subprocess.Popen(
            ["unshare", "--net", "sleep", "infinity"],
            preexec_fn=die_with_parent)
        wait_for(lambda: _ns(self.holder.pid) != ours, "a namespace")
        self.within = ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net"]
        self.run("ip", "link", "set", "lo", "up")

    @property
    def pid(self):
        return self.holder.pid

    def run(self, *words):
        _run(*self.within, *words)

    def close(self):
        self.holder.kill()
        self.holder.wait()


def _run(*words):
    done = subprocess.run([str(w) for w in words], stdin=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr}")


class Host(_Namespace):
    def __init__(self, number):
        super().__init__()
        self.number = number
        self.inner = f"10.77.{number}.1"
        self.address = f"10.78.{number}.2"


class Network:
    druid = "10.77.0.1"

    def __init__(self, hosts=1):
        self.outside = None
        self.spaces, self.rules = [], []
        missing = [p for p in ("ip", "unshare", "nsenter")
                   if shutil.which(p) is None]
        if os.geteuid() != 0 or missing:
            raise unittest.SkipTest(
                f"namespaces want root, and {missing or 'no more'}")
        try:
            self._enter()
            self.router = self._add(_Namespace())
            self._connect_router()
            self.hosts = [self._add(Host(n + 1)) for n in range(hosts)]
            for host in self.hosts:
                self._connect(host)
            self.cut(self.hosts[0])  # the kernel may lack rules
            self.heal()
        except (OSError, RuntimeError) as e:
            self.close()
            raise unittest.SkipTest(f"no network of namespaces here: {e}")

    def _add(self, space):
        self.spaces.append(space)
        return space

    def _enter(self):
        """This process gets a namespace of its own; what it starts is there
        as well."""
        self.outside = os.open("/proc/self/ns/net", os.O_RDONLY)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET) < 0:
            raise OSError(ctypes.get_errno(), "unshare")
        _run("ip", "link", "set", "lo", "up")

    def _connect_router(self):
        _run("ip", "link", "add", "druid", "type", "veth", "peer", "name",
             "druid", "netns", self.router.pid)
        _run("ip", "addr", "add", f"{self.druid}/24", "dev", "druid")
        _run("ip", "link", "set", "druid", "up")
        _run("ip", "route", "add", "10.77.0.0/16", "via", "10.77.0.2")
        self.router.run("ip", "addr", "add", "10.77.0.2/24", "dev", "druid")
        self.router.run("ip", "link", "set", "druid", "up")
        self.router.run("sh", "-c",
                        "echo 1 >/proc/sys/net/ipv4/ip_forward")

    def _connect(self, host):
        n, name = host.number, f"host{host.number}"
        self.router.run("ip", "link", "add", name, "type", "veth", "peer",
                        "name", "druid", "netns", host.pid)
        self.router.run("ip", "addr", "add", f"10.77.{n}.2/24", "dev", name)
        self.router.run("ip", "link", "set", name, "up")
        host.run("ip", "addr", "add", f"{host.inner}/24", "dev", "druid")
        host.run("ip", "link", "set", "druid", "up")
        host.run("ip", "route", "add", "default", "via", f"10.77.{n}.2")
        _run("ip", "link", "add", name, "type", "veth", "peer", "name",
             "clients", "netns", host.pid)
        _run("ip", "addr", "add", f"10.78.{n}.1/24", "dev", name)
        _run("ip", "link", "set", name, "up")
        host.run("ip", "addr", "add", f"{host.address}/24", "dev", "clients")
        host.run("ip", "link", "set", "clients", "up")

    def cut(self, host, *, port=None, way=None):
        """From now on packets vanish: both ways, or one; of one port of
        Druid's side, or of all."""
        for up in (True, False):
            if way is not None and up != (way == UP):
                continue
            ends = [host.inner, self.druid]
            ends = ends if up else reversed(ends)
            rule = [w for pair in zip(("from", "to"), ends) for w in pair]
            if port is not None:
                rule += ["ipproto", "6", "dport" if up else "sport", port]
            rule += ["priority", 100 + len(self.rules), "blackhole"]
            self.router.run("ip", "rule", "add", *rule)
            self.rules.append(rule)

    def slow_down(self, host, rate):
        """What the host sends to Druid, at "200kbit"; None: at full speed."""
        if rate is None:
            host.run("tc", "qdisc", "del", "dev", "druid", "root")
        else:
            host.run("tc", "qdisc", "add", "dev", "druid", "root", "tbf",
                     "rate", rate, "burst", 3000, "limit", 1 << 20)

    def heal(self):
        while self.rules:
            self.router.run("ip", "rule", "del", *self.rules.pop())

    def close(self):
        for space in self.spaces:
            space.close()
        if self.outside is not None:
            ctypes.CDLL(None).setns(self.outside, CLONE_NEWNET)
            os.close(self.outside)
            self.outside = None
