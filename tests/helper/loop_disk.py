"""A file system in a file, that can be shut down as a power cut would.

    disk = LoopDisk.make("ext4", folder)    unittest.SkipTest where the machine
    disk.path                               does not allow it
    disk.cut(LoopDisk.NO_LOG_FLUSH)         from now on nothing gets to the disk
    disk.mount_again()                      what is on it, after its recovery
    disk.close()
"""

import fcntl
import os
import shutil
import struct
import subprocess
import unittest

from harness import wait_for

# EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN: _IOR('X', 125, __u32)
SHUTDOWN = 2 << 30 | 4 << 16 | ord("X") << 8 | 125
MEGABYTES = {"ext4": 64, "xfs": 320}


class LoopDisk:
    FLUSH, LOG_FLUSH, NO_LOG_FLUSH = 0, 1, 2

    def __init__(self, kind, folder):
        self.image = os.path.join(folder, f"{kind}.img")
        self.path = os.path.join(folder, kind)
        self.is_mounted = False
        os.makedirs(self.path)
        with open(self.image, "wb") as f:
            f.truncate(MEGABYTES[kind] << 20)
        self._run(f"mkfs.{kind}", "-q", self.image)
        self.mount()

    @classmethod
    def make(cls, kind, folder):
        if os.geteuid() != 0:
            raise unittest.SkipTest("mounting needs root")
        if shutil.which(f"mkfs.{kind}") is None:
            raise unittest.SkipTest(f"no mkfs.{kind}")
        try:
            return cls(kind, folder)
        except OSError as e:
            raise unittest.SkipTest(f"{kind} cannot be mounted: {e}")

    def _run(self, *command):
        done = subprocess.run(command, text=True, capture_output=True)
        if done.returncode != 0:
            raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")

    def mount(self):
        self._run("mount", "-o", "loop", self.image, self.path)
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
                self._run("umount", self.path)
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
        os.unlink(self.image)
