"""A spool that is damaged, looked at, brought out or written anew."""

import collections
import fcntl
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../helper"))

import drill  # noqa: E402
import harness  # noqa: E402
from harness import wait_for  # noqa: E402
from sandbox import program  # noqa: E402

AWAY = "http://127.0.0.1:1/"
PAGE = 4096
LEAF = 2


class SpoolCase(drill.Case):
    time_bound = 120

    def spooled(self, *batches, **properties):
        """A tranqd without a Druid, and a batch of each list of events; ended
        as by a power cut."""
        server = self.tranqd(drill.config(["a", "b"], AWAY,
                                          properties=properties))
        for some in batches:
            answer = server.post("a", some, is_async=True)
            self.assertEqual(answer.status, 200, answer)
        server.kill_all()
        return server

    def start_with_druid(self, server, **properties):
        druid = self.sandbox("--check", "full")
        server.write(drill.config(["a", "b"], druid.url,
                                  properties=properties))
        # what was killed has left its socket
        if os.path.exists(server.control_socket):
            os.unlink(server.control_socket)
        server.spawn()
        server.port = server.await_status()["supervisor"]["httpPort"]
        return druid

    def file(self, server, ds="a"):
        return os.path.join(server.data_dir, "spool", ds, "data.mdb")

    def change(self, server, change):
        """change: takes the file's bytes and changes them."""
        with open(self.file(server), "r+b") as f:
            data = bytearray(f.read())
            change(data)
            f.seek(0)
            f.write(data)
            f.truncate(len(data))

    def flip(self, server, text):
        """One bit of an event, wherever it lies."""
        def change(data):
            at = data.find(text)
            self.assertGreater(at, 0)
            while at >= 0:
                data[at + 1] ^= 1
                at = data.find(text, at + 1)
        self.change(server, change)

    def break_leaf(self, server):
        """A page of each tree is no leaf any more, and no LMDB would say."""
        def change(data):
            for page in range(2, len(data) // PAGE):
                at = page * PAGE + 10
                if int.from_bytes(data[at:at + 2], "little") == LEAF:
                    data[at] ^= 1 << 4
        self.change(server, change)

    def tranqctl(self, server, *words):
        return subprocess.run(
            [program("tranqctl"), "-c", server.config_file, *words],
            text=True, capture_output=True, timeout=60)

    def check(self, done, code, *parts):
        text = done.stdout + done.stderr
        self.assertEqual(done.returncode, code, text[-2000:])
        for part in parts:
            self.assertIn(part, text)


class TestDamagedBatch(SpoolCase):
    """Its bytes do not fit their checksum: it is never sent, by no way, it is
    counted and shown, and the others go on."""

    def check_set_aside(self, server, find, good, bad):
        self.check(self.tranqctl(server, "spool", "verify", "a"), 1,
                   "its bytes do not fit their checksum",
                   f"1 batches ({len(bad)} events)")
        find()
        wait_for(lambda: server.accounts("a")["deadLetters"] == len(bad)
                 and server.accounts("a")["spool"] == 0,
                 "it is a dead letter", 60)
        self.assertIn("is damaged on the disk", server.log())
        self.check(self.tranqctl(server, "status"), 0, "hold")
        self.check(self.tranqctl(server, "spool", "verify", "a"), 1,
                   "its bytes do not fit their checksum")
        letter, = json.loads(self.tranqctl(
            server, "deadletters", "list", "a", "--json").stdout)
        for words in ["show", "a", letter["key"]], ["export", "a", "--all"]:
            done = self.tranqctl(server, "deadletters", *words)
            self.check(done, 1, "cannot be read, it is damaged")
            self.assertNotIn("no such", done.stderr)

    def batches(self, at=None):
        return [harness.events(7, run=run, at=at) for run in ("x", "y", "z")]

    def test_push(self):
        batches = self.batches()
        server = self.spooled(*batches)
        self.flip(server, b'"y-3"')
        druid = self.start_with_druid(server)
        self.check_set_aside(server, lambda: self.check_ids(
            druid, "a", drill.ids(batches[0] + batches[2])),
            batches[0] + batches[2], batches[1])
        self.check_violations(druid)

    def archived(self, server):
        found = []
        for folder, _, names in os.walk(
                os.path.join(server.data_dir, "archive", "a")):
            for name in names:
                if name.endswith(".zst") and not name.startswith("."):
                    text = subprocess.run(
                        ["zstd", "-dcq", os.path.join(folder, name)],
                        check=True, capture_output=True).stdout
                    found += [json.loads(li) for li in text.splitlines()]
        return found

    def test_archive(self):
        how = {"late.policy": "archive", "archive.sealPeriod": "PT5M"}
        batches = self.batches(at=time.time() - 5 * 86400)
        server = self.spooled(*batches, **how)
        self.flip(server, b'"y-3"')
        how["archive.sealPeriod"] = "PT0.2S"
        self.start_with_druid(server, **how)
        self.check_set_aside(server, lambda: wait_for(
            lambda: sorted(drill.ids(self.archived(server)))
            == sorted(drill.ids(batches[0] + batches[2])), "files", 60),
            batches[0] + batches[2], batches[1])

    def test_append(self):
        how = {"late.policy": "append", "late.appendPeriod": "PT1H"}
        batches = self.batches(at=time.time() - 5 * 86400)
        server = self.spooled(*batches, **how)
        self.flip(server, b'"y-3"')
        how["late.appendPeriod"] = "PT0.2S"
        druid = self.start_with_druid(server, **how)
        self.check_set_aside(server, lambda: self.check_ids(
            druid, "a", drill.ids(batches[0] + batches[2]), seconds=60),
            batches[0] + batches[2], batches[1])

    def test_copy(self):
        """The archive's copy of what is pushed too."""
        how = {"archive.all": "true", "archive.sealPeriod": "PT5M"}
        batches = self.batches()
        server = self.spooled(*batches, **how)
        self.flip(server, b'"y-3"')
        how["archive.sealPeriod"] = "PT0.2S"
        druid = self.start_with_druid(server, **how)
        good = drill.ids(batches[0] + batches[2])
        self.check_set_aside(server, lambda: self.check_ids(
            druid, "a", good), good, batches[1])
        wait_for(lambda: sorted(drill.ids(self.archived(server)))
                 == sorted(good), "copies", 60)


class TestDamagedFile(SpoolCase):
    def check_refused(self, server, *parts):
        """It is said, by whom it concerns, and nothing is overwritten."""
        with open(self.file(server), "rb") as f:
            before = f.read()
        druid = self.start_with_druid(server)

        def is_told():
            worker = server.data_source("a")["worker"]
            words = (worker["lastDeath"] or {}).get("lastWords", "")
            return worker["deathCount"] >= 2 and all(
                p in words for p in parts)
        wait_for(is_told, f"the status says {parts}")
        self.check(self.tranqctl(server, "status"), 0, *parts)
        # the others go on
        self.assertEqual(server.post("b", harness.events(5)).sent, 5)
        # and it is no hot loop
        deaths = server.data_source("a")["worker"]["deathCount"]
        self.assertLess(deaths, 12)
        with open(self.file(server), "rb") as f:
            self.assertEqual(f.read(), before)
        self.assertEqual(server.data_source("a")["worker"]["deathCount"]
                         and druid.events("a"), [])
        server.kill_all()

    def test_page(self):
        server = self.spooled(harness.events(50))
        self.break_leaf(server)
        self.check_refused(server, "page ", "tranqctl spool verify a")
        done = self.tranqctl(server, "spool", "verify", "a")
        self.check(done, 1, "is marked", "it is damaged",
                   "its worker does not open it")
        self.check(self.tranqctl(server, "spool", "compact", "a"), 1,
                   "it is damaged")

    def test_cut_off(self):
        batches = [harness.events(500, run=r) for r in "xyz"]
        server = self.spooled(*batches)

        def cut(data):
            del data[len(data) // 2 // PAGE * PAGE:]
        self.change(server, cut)
        self.check_refused(server, "cut off", "tranqctl spool verify a")
        self.check(self.tranqctl(server, "spool", "verify", "a"), 1,
                   "cut off")

    def test_text(self):
        server = self.spooled(harness.events(5))

        def change(data):
            data[:] = b"I am no spool.\n" * 1000
        self.change(server, change)
        self.check_refused(server, "not a spool of this program",
                           "move the directory away")

    def test_free_pages(self):
        """A page in use that is listed as free would be overwritten."""
        server = self.spooled(*[harness.events(20, run=f"r{n}")
                                for n in range(20)])
        text = self.tranqctl(server, "spool", "export", "a").stdout
        self.assertEqual(len(text.splitlines()), 400)

        def change(data):
            meta = max((0, 1), key=lambda n: int.from_bytes(
                data[n * PAGE + 144:n * PAGE + 152], "little"))
            root = int.from_bytes(data[meta * PAGE + 80:meta * PAGE + 88],
                                  "little")
            top = int.from_bytes(data[meta * PAGE + 128:meta * PAGE + 136],
                                 "little")
            at = root * PAGE + int.from_bytes(
                data[root * PAGE + 16:root * PAGE + 18], "little")
            # behind the node's head and key, and how many they are
            data[at + 24:at + 32] = top.to_bytes(8, "little")
        self.change(server, change)
        self.check_refused(server, "is listed as free and in use",
                           "tranqctl spool verify a")
        # all of it can be read, so it can be written anew
        self.assertEqual(
            self.tranqctl(server, "spool", "export", "a").stdout, text)
        self.check(self.tranqctl(server, "spool", "compact", "a"), 0)
        self.check(self.tranqctl(server, "spool", "verify", "a"), 0,
                   "it is whole")
        druid = self.start_with_druid(server)
        self.check_ids(druid, "a", [json.loads(li)["id"]
                                    for li in text.splitlines()])

    def test_owned(self):
        """Somebody else has it: said, and it goes on when he leaves."""
        server = self.spooled(harness.events(5))
        with open(os.path.join(server.data_dir, "spool/a/owner.lock")) as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            druid = self.start_with_druid(server)

            def is_told():
                death = server.data_source("a")["worker"]["lastDeath"] or {}
                return "another process owns it" in death.get("lastWords", "")
            wait_for(is_told, "it says who has it")
        self.check_ids(druid, "a", drill.ids(harness.events(5)))


class TestTools(SpoolCase):
    def test_beside_a_worker(self):
        """verify and export while events come and go."""
        druid = self.sandbox("--check", "full")
        server = self.tranqd(drill.config(["a"], druid.url))
        ids = []
        for n in range(60):
            some = harness.events(50, run=f"r{n}")
            ids += drill.ids(some)
            answer = server.post("a", some, is_async=n % 3 > 0)
            self.assertEqual(answer.status, 200)
            if n % 6 == 0:
                self.check(self.tranqctl(server, "spool", "verify", "a"), 0,
                           "its worker runs", "it is whole")
                done = self.tranqctl(server, "spool", "export", "a")
                self.check(done, 0)
                found = [json.loads(li)["id"]
                         for li in done.stdout.splitlines()]
                self.assertEqual(set(found) - set(ids), set())
        self.check(self.tranqctl(server, "spool", "compact", "a"), 1,
                   "stop tranqd first")
        self.check_ids(druid, "a", ids)
        self.check_whole(server, druid)

    def test_export_and_compact(self):
        batches = [harness.events(n, run=f"r{n}") for n in range(1, 60)]
        server = self.spooled(*batches)
        ids = [i for some in batches for i in drill.ids(some)]
        done = self.tranqctl(server, "spool", "export", "a")
        self.check(done, 0, f"{len(ids)} events of ")
        self.assertEqual(collections.Counter(
            json.loads(li)["id"] for li in done.stdout.splitlines()),
            collections.Counter(ids))
        before = os.path.getsize(self.file(server))
        self.check(self.tranqctl(server, "spool", "compact", "a"), 0,
                   f"{before} before")
        self.assertLess(os.path.getsize(self.file(server)), before)
        self.check(self.tranqctl(server, "spool", "verify", "a"), 0,
                   f"{len(ids)} events", "it is whole")
        druid = self.start_with_druid(server)
        self.check_ids(druid, "a", ids)
        self.check_accounts(server)

    def test_wrong_use(self):
        server = self.spooled()
        for words, code, part in (
                (["verify"], 2, "usage"), (["mend", "a"], 2, "usage"),
                (["verify", "../a"], 2, "no name of a dataSource"),
                (["verify", "nobody"], 1, "No such file")):
            self.check(self.tranqctl(server, "spool", *words), code, part)
        done = subprocess.run([program("tranqctl"), "spool", "verify", "a"],
                              text=True, capture_output=True)
        self.check(done, 2, "-c FILE")


if __name__ == "__main__":
    drill.main()
