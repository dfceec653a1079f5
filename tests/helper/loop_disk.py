"""A file system in a file, that can be shut down as a power cut would; and one
in memory.

    disk = LoopDisk.make("ext4", folder)    unittest.SkipTest where the machine
    disk.path                               does not allow it
    disk.cut(LoopDisk.NO_LOG_FLUSH)         from now on nothing gets to the disk
    disk.mount_again()                      what is on it, after its recovery
    disk.close()

They are mounted for this process alone and those that it starts, and go away
with them, however they end.
"""

import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import unittest

from harness import wait_for

# EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN: _IOR('X', 125, __u32)
SHUTDOWN = 2 << 30 | 4 << 16 | ord("X") << 8 | 125
MEGABYTES = {"ext4": 64, "xfs": 320, "tmpfs": 64}
MAKE = {"ext4": ["mkfs.ext4", "-q", "-m", "0"], "xfs": ["mkfs.xfs", "-q"]}
CLONE_NEWNS = 0x20000


def run(*command):
    done = subprocess.run(command, text=True, stdin=subprocess.DEVNULL,
                          capture_output=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


_own_mounts = []


def have_own_mounts():
    if _own_mounts:
        return
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) < 0:
        raise OSError(ctypes.get_errno(), "unshare")
    run("mount", "--make-rprivate", "/")
    _own_mounts.append(True)


class LoopDisk:
    FLUSH, LOG_FLUSH, NO_LOG_FLUSH = 0, 1, 2

    def __init__(self, kind, folder, megabytes):
        self.kind, self.megabytes = kind, megabytes
        self.image = os.path.join(folder, f"{kind}.img")
        self.path = os.path.join(folder, kind)
        self.is_mounted = False
        os.makedirs(self.path)
        if kind in MAKE:
            with open(self.image, "wb") as f:
                f.truncate(megabytes << 20)
            run(*MAKE[kind], self.image)
        self.mount()

    @classmethod
    def make(cls, kind, folder, megabytes=None):
        if os.geteuid() != 0:
            raise unittest.SkipTest("mounting needs root")
        if kind in MAKE and shutil.which(MAKE[kind][0]) is None:
            raise unittest.SkipTest(f"no {MAKE[kind][0]}")
        try:
            have_own_mounts()
            return cls(kind, folder, megabytes or MEGABYTES[kind])
        except OSError as e:
            raise unittest.SkipTest(f"{kind} cannot be mounted: {e}")

    def mount(self):
        if self.kind in MAKE:
            run("mount", "-o", "loop", self.image, self.path)
        else:
            run("mount", "-t", self.kind, "-o", f"size={self.megabytes}m",
                "none", self.path)
        self.is_mounted = True

    def cut(self, flags):
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", flags))
        finally:
            os.close(fd)

    def unmount(self):
        def is_gone():
            try:
                run("umount", self.path)
            except OSError as e:
                raise AssertionError(e)
            return True
        if self.is_mounted:
            wait_for(is_gone, f"{self.path} is not busy", 20)
            self.is_mounted = False

    def mount_again(self):
        self.unmount()
        self.mount()

    def close(self):
        self.unmount()
        if os.path.exists(self.image):
            os.unlink(self.image)
