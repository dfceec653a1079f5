"""A process of tranqd does what somebody would who has taken it over.

    attacker = Attacker(self.folder)
    tranqd = self.tranqd(document, environment=attacker.environment)
    attacker.attack(pid, "read_file", path="/etc/passwd")
        -> "ok", "EACCES" and so on, or "died"

tests/fault/preload_attack.c does it; the layout is its struct order.
"""

import errno
import mmap
import os
import struct

from harness import is_alive, wait_for
from injection import library

WAIT_SECONDS = 20
LAYOUT = "=Iiii32s256s"
BYTES = struct.calcsize(LAYOUT)


class Attacker:
    def __init__(self, folder):
        self.path = os.path.join(folder, "attack")
        with open(self.path, "wb") as f:
            f.write(bytes(BYTES))
        # whoever tranqd runs as
        os.chmod(self.path, 0o666)
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), BYTES)

    @property
    def environment(self):
        return {"LD_PRELOAD": library("attack"),
                "TRANQ_TEST_ATTACK": self.path}

    def attack(self, pid, what, *, path="", number=0):
        """What came of it; self.result is what the call returned."""
        struct.pack_into(LAYOUT, self.map, 0, 0, -1, -1, number,
                         what.encode(), os.fsencode(path))
        struct.pack_into("=I", self.map, 0, pid)

        def outcome():
            who, self.result, error = struct.unpack_from("=Iii", self.map, 0)
            if who == 0 and error == -1:
                raise RuntimeError(f"no attack is called {what}")
            if who == 0:
                return ("ok" if self.result >= 0
                        else errno.errorcode.get(error, str(error)))
            return "died" if not is_alive(pid) else None
        return wait_for(outcome, f"{what} by {pid}", WAIT_SECONDS)
