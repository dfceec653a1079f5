"""A dataSource with delivery.mode auto, and a Druid that becomes another one.

The tranqd asks it each tenth of a second; another word counts when it comes
twice.
"""

import drill
import harness
from harness import wait_for

DS = "wikipedia"
HOUR = 3600
# 3 polls are between two questions
QUICK = {"druidBeam.overlordPollPeriod": "PT0.1S", "append.period": "PT0.2S"}


class AutoCase(drill.BatchTaskCase):
    ds = DS
    properties = QUICK

    def setUp(self):
        drill.Case.setUp(self)
        self.sent = []
        self.druid = self.sandbox("--check", "full", "--batch-delay", "20",
                                  *self.druid_options)

    def start(self, **properties):
        self.server = self.tranqd(self.document(**properties))

    # what it says

    def delivery(self):
        return (self.server.data_source(DS)["beams"] or {}).get("delivery", {})

    def await_mode(self, mode, why="", seconds=30):
        def there():
            d = self.delivery()
            assert d.get("mode") == mode and why in d.get("why", ""), d
            return d
        return wait_for(there, f"delivery {mode}", seconds)

    def note(self):
        with open(f"{self.server.data_dir}/spool/{DS}/delivery") as f:
            return f.read()

    # events

    def post(self, count, run, *, hours=0, is_async=True):
        """All of them are taken."""
        events = harness.events(
            count, run=run, at=harness.time.time() - hours * HOUR)
        answer = self.server.post(DS, events, is_async=is_async)
        self.assertEqual((answer.status, answer.received), (200, count))
        self.assertNotIn("X-Tranq-Dropped", answer.headers)
        self.sent += drill.ids(events)
        return answer

    def check_all(self, seconds=30):
        """Each is in Druid, once."""
        self.check_ids(self.druid, DS, self.sent, seconds=seconds)
        self.await_drained(self.server)
        self.check_violations(self.druid)
