"""A tranqd whose Druid, the sandbox, pulls from it.

    class TestPull(PullCase):
        def test_it(self):
            self.begin("34.0.0")
            self.await_running()
            puller = self.pull()
            self.post(100)
            self.await_removed(puller, 100)
            self.check_druid()
"""

import json

import drill
import harness
from harness import wait_for

QUICK = {"delivery.mode": "pull", "pull.instance": "tq1",
         # a floor is agreed within a quarter of it
         "pull.taskDuration": "PT1S"}
POLL_S = 0.25


class PullCase(drill.Case):
    name = "a-tq1"
    time_bound = 120

    def document(self, **properties):
        if not hasattr(self, "address"):
            self.address = f"127.0.0.1:{self.reserved_port()}"
        return drill.config(
            ["a"], self.druid.url,
            properties={"pull.listen": self.address, **QUICK, **properties})

    def begin(self, version="34.0.0", kafka=True, name="tranqd", binary=None,
              environment=None, **properties):
        self.druid = self.sandbox("--druid", version)
        if not kafka:
            self.druid.druid(version, kafka=False)
        how = {} if binary is None else {
            "binary": binary, "environment": environment}
        self.server = self.tranqd(self.document(**properties), name=name, **how)

    def setUp(self):
        super().setUp()
        self.sent = []

    def pull(self, **how):
        """What it complains of at the test's end is a failure."""
        return self.puller(self.druid, self.name, **how)

    def post(self, count):
        """So many more."""
        events = harness.events(count, len(self.sent))
        answer = self.server.post("a", events)
        self.assertEqual((answer.status, answer.sent), (200, count), answer)
        self.sent += drill.ids(events)

    # tranqd

    def said(self, ds="a"):
        return self.server.data_source(ds)["beams"] or {}

    def partition(self):
        return self.said()["log"]["partitions"][0]

    def log_start(self):
        return self.partition()["start"]

    # Druid

    def supervisor(self):
        return self.druid.supervisors().get(self.name)

    @staticmethod
    def marker(supervisor):
        return supervisor["spec"]["context"]["tranqd"]

    def await_running(self, ds="a", puller=None):
        """Made for the log that there is, and begun; puller: whose tasks
        publish when they are to."""
        def runs():
            if puller is not None:
                puller.commit()
            s = self.supervisor()
            return s if (
                s is not None and s["spec"] is not None
                and not s["suspended"] and self.marker(s)["log"] ==
                self.said(ds)["log"]["identity"]) else None
        return wait_for(runs, "a supervisor that runs")

    def await_poll(self, count=2):
        """tranqd has looked so many times more."""
        def asked():
            return self.druid.stats()["overlordRequests"]
        end = asked() + 2 * count + 1
        wait_for(lambda: asked() >= end, "tranqd looks")

    def commit_more(self, puller, count):
        """So many more, which one generation reads and publishes; the offset
        that is stored then."""
        self.post(count)
        puller.await_events(len(self.sent))
        puller.roll()
        puller.commit()
        return puller.stored()

    def generation(self, puller):
        """One more, which reads something."""
        self.commit_more(puller, 1)
        self.await_poll(3)

    def await_removed(self, puller, events):
        """So many have left the spool."""
        def is_removed():
            if self.server.accounts("a")["sent"] >= events:
                return True
            self.generation(puller)
            return False
        wait_for(is_removed, f"{events} events are removed", 60)

    def check_druid(self, moved=0):
        """Each that was sent is there once, and nothing was done to Druid that
        should not be; moved: so often its offsets were."""
        self.check_ids(self.druid, "a", self.sent)
        violations = self.druid.stats()["violations"]
        self.assertEqual(violations["byKind"].pop("offsetsMoved", 0), moved)
        self.assertEqual(violations["byKind"], {}, json.dumps(violations))
