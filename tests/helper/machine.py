"""What a test has of a machine that it shares with others: processes that end
with it, and ports that nobody else gets."""

import ctypes
import signal
import socket

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
