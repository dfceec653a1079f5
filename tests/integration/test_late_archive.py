#!/usr/bin/env python3
"""late.policy archive: events outside the window become files, each once,
whatever dies on the way (267 of the original)."""

import collections
import glob
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "helper"))
import drill  # noqa: E402
import harness  # noqa: E402
from archive import files_of, rows_of  # noqa: E402
from harness import wait_for  # noqa: E402

HOUR = 3600
DS = "wikipedia"


def late_events(count, hours=5, **how):
    return harness.events(count, at=time.time() - hours * HOUR, **how)


class LateCase(drill.OneSourceCase):
    properties = {"late.policy": "archive", "archive.sealPeriod": "PT0.2S"}

    def await_archived(self, events, seconds=20):
        def is_there():
            a = self.server.accounts(DS)
            assert (a["archived"], a["spool"], a["inRings"]) == (
                events, 0, 0), a
            return True
        wait_for(is_there, f"{events} events in the archive", seconds)

    def check_archive(self, wanted):
        """These and no others, each once."""
        found = collections.Counter(e["id"] for e in rows_of(self.server))
        self.assertEqual(found, collections.Counter(drill.ids(wanted)))


class TestArchive(LateCase):
    def test_late_and_early_events(self):
        """What is outside the window on either side is kept, with its time
        in milliseconds; the answer says so and does not wait."""
        late = late_events(10, run="late")
        early = late_events(3, hours=-5, run="early")
        now = harness.events(7, run="now")
        answer = self.server.post(DS, late + now + early)
        self.assertEqual((answer.status, answer.received, answer.sent),
                         (200, 20, 7))
        self.assertEqual(answer.headers["X-Tranq-Late"], "13; archive=13")
        self.assertEqual(answer.headers["X-Tranq-Spooled"], "13")
        self.assertNotIn("X-Tranq-Dropped", answer.headers)
        self.await_archived(13)
        self.check_archive(late + early)
        self.check_ids(self.druid, DS, drill.ids(now))
        row = next(e for e in rows_of(self.server) if e["id"] == "late-0")
        self.assertEqual(harness.iso(row["time"] / 1000), late[0]["time"])
        self.assertEqual(dict(row, time=late[0]["time"]), late[0])

    def test_detail(self):
        late = late_events(2, run="late")
        answer = self.server.post(
            DS, harness.events(1) + late, query="detail=true")
        result = answer.json()["result"]
        self.assertEqual((result["received"], result["sent"],
                          result["spooled"], result["dropped"]),
                         (3, 1, 2, []))
        self.assertEqual(result["late"], [
            {"index": n, "policy": "archive",
             "timestamp": late[0]["time"]} for n in (1, 2)])
        result = self.server.post(
            DS, harness.events(1), query="detail=true").json()["result"]
        self.assertNotIn("late", result)

    def test_a_folder_an_interval(self):
        at = (int(time.time()) // HOUR - 30) * HOUR
        for hour in range(3):
            self.server.post(DS, harness.events(
                2, run=f"h{hour}", at=at + hour * HOUR + 5))
        self.await_archived(6)
        names = files_of(self.server)
        self.assertEqual([os.path.dirname(n) for n in names], [
            f"{harness.iso(at + h * HOUR)}_{harness.iso(at + (h + 1) * HOUR)}"
            for h in range(3)])
        for name in names:
            self.assertRegex(os.path.basename(name),
                             r"^\d{20}-[0-9a-f]{8}-2\.ndjson\.zst$")

    def test_left_over(self):
        """What a killed worker was writing is removed by the next one."""
        top = os.path.join(self.server.data_dir, "archive", DS, "a_b")
        os.makedirs(top)
        left = os.path.join(top, ".x.ndjson.zst.tmp")
        with open(left, "w") as f:
            f.write("half")
        self.server.post(DS, late_events(5))
        self.await_archived(5)
        self.assertFalse(os.path.exists(left))

    def test_async(self):
        answer = self.server.post(DS, late_events(5), is_async=True)
        self.assertEqual(answer.headers["X-Tranq-Late"], "5; archive=5")
        self.assertEqual(answer.headers["X-Tranq-Spooled"], "5")
        self.await_archived(5)

    def test_many_intervals(self):
        """One request with an event of each of 500 hours."""
        now = time.time()
        events = [e for n in range(500)
                  for e in harness.events(1, first=n, at=now - n * HOUR - 9000)]
        self.assertEqual(self.server.post(DS, events).status, 200)
        self.await_archived(500, seconds=60)
        self.check_archive(events)
        self.assertEqual(len(files_of(self.server)), 500)

    def test_lines_within_an_event(self):
        text = ('{"id": "a\\n{]\\"",\n "time":\r\n "%s", "n": [1,\n{}]}'
                % harness.iso(time.time() - 9 * HOUR))
        self.server.post(DS, text.encode())
        self.await_archived(1)
        self.assertEqual(rows_of(self.server)[0]["id"], 'a\n{]"')


class TestSize(LateCase):
    properties = {"late.policy": "archive", "archive.sealPeriod": "PT1H",
                  "archive.segmentBytes": 20000,
                  "tranquility.maxBatchBytes": 4096}

    def test_sealed_by_size(self):
        """Small files are not made: what is left waits in the spool, also
        over a stop, which does not wait for it."""
        events = late_events(1000)
        self.server.post(DS, events)
        def is_archived():
            status = self.server.data_source(DS)
            assert status["accounts"]["archived"] > 900, status
            return True
        wait_for(is_archived, "full segments are in the archive")
        before = self.server.accounts(DS)
        self.assertEqual(before["spool"] + before["archived"], 1000)
        self.assertGreater(len(files_of(self.server)), 4)
        self.assertGreater(before["spool"], 0)
        began = time.monotonic()
        self.server.restart()
        self.assertLess(time.monotonic() - began, 20)
        self.assertEqual(self.server.accounts(DS), before)
        self.server.reload(self.document(**{"archive.sealPeriod": "PT0.1S"}))
        self.await_archived(1000)
        self.check_archive(events)


class TestFull(LateCase):
    properties = {"late.policy": "archive", "archive.sealPeriod": "PT0.1S",
                  "archive.bytesMax": "1MiB"}

    def test_full(self):
        """No file more beyond the bound: they wait, and are seen to."""
        top = os.path.join(self.server.data_dir, "archive", DS, "x_y", "done")
        os.makedirs(top)
        ballast = os.path.join(top, "old.ndjson.zst")
        with open(ballast, "wb") as f:
            f.write(b"x" * 1048577)
        self.server.post(DS, late_events(5))

        def is_told():
            late = self.server.data_source(DS)["beams"]["late"]
            return "archive.bytesMax" in late.get("note", "")
        wait_for(is_told, "the status says why")
        self.assertIn("archive.bytesMax",
                      self.server.tranqctl("status").stdout)
        self.assertEqual(self.server.accounts(DS)["spool"], 5)
        os.unlink(ballast)
        self.await_archived(5, seconds=30)


class TestPolicyChanges(LateCase):
    properties = {"late.policy": "archive", "archive.sealPeriod": "PT1H"}

    def test_to_drop(self):
        """What was promised to be kept becomes dead letters."""
        self.server.post(DS, late_events(5))
        ok, text = self.server.reload(self.document(
            **{"late.policy": "drop"}))
        self.assertTrue(ok, text)
        wait_for(lambda: self.server.accounts(DS)["deadLetters"] == 5)
        answer = self.server.post(DS, late_events(2, run="more"))
        self.assertEqual(answer.headers["X-Tranq-Dropped"], "2; window=2")
        self.assertNotIn("X-Tranq-Late", answer.headers)
        wait_for(lambda: self.server.accounts(DS)["dropped"]["window"] == 2,
                 "they are counted")

    def test_a_wrong_policy(self):
        ok, text = self.server.reload(self.document(
            **{"late.policy": "keep"}))
        self.assertFalse(ok)
        self.assertEqual(self.server.post(
            DS, late_events(1)).headers["X-Tranq-Late"], "1; archive=1")


class TestKill(LateCase):
    properties = {"late.policy": "archive", "archive.sealPeriod": "PT0.05S",
                  "archive.segmentBytes": 20000,
                  "tranquility.maxBatchBytes": 4096}

    def test_killed_while_it_archives(self):
        """kill -9 at any moment of collecting, planning, writing, sealing
        and removing: all that was answered 200 is there once."""
        wanted = []
        for n in range(60):
            events = late_events(60, run=f"k{n}", hours=3 + n % 3)
            self.assertEqual(self.server.post(DS, events).status, 200)
            wanted += events
            if n % 6 == 5:
                time.sleep((n % 7) * 0.011)  # any moment will do
                if n % 12 == 5:
                    self.server.kill_worker(DS)
                else:
                    self.server.kill_all()
                    self.server.start()
        self.await_archived(len(wanted), seconds=60)
        self.check_archive(wanted)
        self.assertEqual(
            [p for p in glob.glob(os.path.join(
                self.server.data_dir, "archive", DS, "*", ".*"))
             if not p.endswith(".tmp")], [])


class TestMissedInterval(LateCase):
    """What Druid did not take while its interval was open."""

    properties = {"late.policy": "archive", "archive.sealPeriod": "PT0.1S"}

    def document(self, **properties):
        return drill.config(
            [harness.data_source(DS, segment="second", window="PT3S")],
            self.druid.url, properties=dict(self.properties, **properties))

    def test_no_dead_letters(self):
        self.druid.fault("overlord-away")
        events = harness.events(20)
        answer = self.server.post(DS, events, is_async=True)
        self.assertEqual(answer.status, 200)
        self.await_archived(20, seconds=60)
        self.check_archive(events)
        self.assertEqual(self.server.accounts(DS)["deadLetters"], 0)


if __name__ == "__main__":
    drill.main()
