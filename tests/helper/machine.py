"""What a test has of a machine that it shares with others: processes that end
with it, and ports that nobody else gets."""

import ctypes
import signal
import socket
import sys

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


def die_with_parent(sig=signal.SIGKILL):
    """A test that is killed leaves no server behind."""
    libc.prctl(PR_SET_PDEATHSIG, sig)


def reserve_port(address="127.0.0.1"):
    """A socket that keeps a port for a program that binds it with
    SO_REUSEADDR, also while that is not there."""
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, 0))
    return s


def end_on_signals():
    """SIGINT and SIGTERM end this program by way of its `finally`s, which the
    next ones do not disturb."""
    heard = []

    def end(sig, _):
        heard.append(sig)
        if len(heard) == 1:
            sys.exit(128 + sig)
    for each in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(each) != signal.SIG_IGN:
            signal.signal(each, end)
