"""Events as Wikipedia's changes are, and their way into tranqd by HTTP.

A Load knows what it has sent, and what Druid has to say of it.
"""

import collections
import gzip
import http.client
import json
import os
import random
import threading
import time
import uuid

from cluster import Failure

DATA = "data/wikiticker-2015-09-12-sampled.json.gz"
HEAD = b'{"time":"'
BATCH_EVENTS = (500, 1000)
MINUTE_MS = 60000
SPREAD_MS = 4000  # events are this old at most when they are sent
ANSWER_SECONDS = 100  # more than firehoseRetryPeriod
QUICK_EVENTS = 4000
GENERATED_EVENTS = 40000

RETRY_SECONDS = 0.2

Event = collections.namedtuple("Event", "id ms row")
Answer = collections.namedtuple("Answer", "status text headers")


def real_lines(path):
    with gzip.open(path) as f:
        return [line.strip() for line in f if line.startswith(HEAD)]


def generated_lines(count):
    """Where the real ones are not: the same members, text of all kinds."""
    rng = random.Random(2015)
    words = ["edit", "Žluťoučký", "記事", "\U0001f600", 'a "quoted" word',
             "back\\slash", "tab\there", "правка", "{{stub}}", "naïve"]
    for n in range(count):
        change = rng.randint(-3000, 9000)
        row = {"time": "2015-09-12T00:00:00.000Z",
               "channel": f"#{rng.choice(['en', 'cs', 'ja', 'ru'])}.wikipedia",
               "cityName": rng.choice([None, "Praha", "São Paulo"]),
               "comment": " ".join(rng.choices(words, k=rng.randint(1, 9))),
               "countryIsoCode": None, "countryName": None,
               "isAnonymous": n % 7 == 0, "isMinor": n % 3 == 0,
               "isNew": n % 11 == 0, "isRobot": n % 2 == 0,
               "isUnpatrolled": False, "metroCode": rng.choice([None, 501]),
               "namespace": "Main", "page": f"Page {n % 5000}",
               "regionIsoCode": None, "regionName": None,
               "user": f"user{n % 900}", "delta": change,
               "added": max(change, 0), "deleted": max(-change, 0)}
        yield json.dumps(row, ensure_ascii=n % 2 == 0,
                         separators=(",", ":")).encode()


def read_lines(quick):
    path = os.path.join(os.environ.get("TRANQ_SHARED", ""), DATA)
    if os.path.exists(path):
        lines = real_lines(path)
    else:
        lines = list(generated_lines(GENERATED_EVENTS))
    return lines[:QUICK_EVENTS] if quick else lines


def cut(lines, batch=BATCH_EVENTS):
    """Into requests: the number of the first event, and the events."""
    rng = random.Random(len(lines))
    at = 0
    while at < len(lines):
        count = rng.randint(*batch)
        yield at, lines[at:at + count]
        at += count


def as_text(value):
    """A dimension's value as Druid keeps it."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


class Load:
    """keys: each request has an Idempotency-Key, and is sent until it is
    answered 200. twice: and then once more. batch: events of a request, at
    least and at most. pause: seconds behind each request of a connection."""

    def __init__(self, name, lines, ports, *, connections=4, ages=(0,),
                 now_ms=None, keys=False, twice=False, batch=BATCH_EVENTS,
                 pause=0):
        self.name = name
        self.ports = ports
        self.connections = connections
        self.keys, self.twice, self.pause = keys, twice, pause
        self.interval_ms = MINUTE_MS, 0  # length, and where one starts
        self.ages = ages  # seconds; events have one after the other
        self.now_ms = now_ms  # None: the time of sending
        self.mark = uuid.uuid4().hex[:6]
        self.events = []
        self.requests = list(cut(lines, batch))
        self.total = len(lines)
        self.answered = 0
        self.answers = []  # when they came, monotonic seconds
        self.spooled = 0  # 200 before Druid had them
        self.began = None
        self.error = None
        self.allowed = len(self.requests)
        self._taken = 0
        self._changed = threading.Condition()
        self._threads = []

    # ---- sending ----

    def start(self):
        self.began = time.monotonic()
        for i in range(self.connections):
            port = self.ports[i % len(self.ports)]
            thread = threading.Thread(target=self._run, args=(port,),
                                      daemon=True)
            thread.start()
            self._threads.append(thread)

    def join(self):
        """Waits until all requests are answered, as they should be."""
        for thread in self._threads:
            thread.join(ANSWER_SECONDS + 20)
            if thread.is_alive():
                raise Failure("a connection does not end")
        if self.error:
            raise Failure(f"POST: {self.error}")

    def allow(self, count):
        """No more than the first so many requests are sent for now."""
        with self._changed:
            self.allowed = min(count, len(self.requests))
            self._changed.notify_all()

    def await_answers(self, count, seconds):
        with self._changed:
            self._changed.wait_for(
                lambda: self.answered >= count or self.error, seconds)
            if self.answered < count:
                raise Failure(self.error or
                              f"only {self.answered} of {count} requests are "
                              f"answered within {seconds} s")

    def _run(self, port):
        connection = http.client.HTTPConnection("127.0.0.1", port,
                                                timeout=ANSWER_SECONDS)
        try:
            while (request := self._take()) is not None:
                self._post(connection, *request)
                with self._changed:
                    self.answered += 1
                    self.answers.append(time.monotonic())
                    self._changed.notify_all()
                time.sleep(self.pause)
        except (Failure, OSError, ValueError, http.client.HTTPException) as e:
            with self._changed:
                self.error = self.error or f"port {port}: {e!r}"
                self._changed.notify_all()
        finally:
            connection.close()

    def _take(self):
        with self._changed:
            self._changed.wait_for(
                lambda: self.error or self._taken < self.allowed
                or self._taken == len(self.requests), ANSWER_SECONDS)
            if self.error or self._taken == len(self.requests):
                return None
            if self._taken >= self.allowed:
                raise Failure("held back for too long")
            self._taken += 1
            return self.requests[self._taken - 1]

    def _dated(self, first, lines):
        """The bytes as they were, but for the time and the id."""
        now = self.now_ms or time.time_ns() // 1000000
        for n, line in enumerate(lines, first):
            ms = now - n * 7919 % SPREAD_MS \
                - 1000 * self.ages[n % len(self.ages)]
            start = len(HEAD)
            end = line.index(b'"', start)
            event = Event(f"{self.mark}-{n}", ms, line)
            self.events.append(event)
            yield b'{"time":"%s","id":"%s"%s' % (
                iso(ms).encode(), event.id.encode(), line[end + 1:])

    def _post(self, connection, first, lines):
        parts = list(self._dated(first, lines))
        if first % 2 == 0:
            body = b"[" + b",".join(parts) + b"]"
        else:
            body = b"\n".join(parts)
        key = f"{self.mark}-{first}" if self.keys else None
        answer = self._send(connection, body, key)
        self._check(answer, len(parts))
        if self.twice:
            again = self._send(connection, body, key)
            if again.text != answer.text or \
                    not again.headers.get("Idempotent-Replayed"):
                raise Failure(f"{again} the second time, {answer} the first")

    def _send(self, connection, body, key):
        """The answer. With a key: that of 200, after as many tries."""
        end = time.monotonic() + ANSWER_SECONDS
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        while True:
            try:
                connection.request("POST", f"/v1/post/{self.name}", body,
                                   headers)
                answer = connection.getresponse()
                answer = Answer(answer.status, answer.read(), answer.headers)
                if answer.status == 200 or not key:
                    return answer
                trouble = Failure(f"{answer.status} {answer.text[:300]!r}")
            except (OSError, http.client.HTTPException) as e:
                trouble = e
                connection.close()
            if not key or time.monotonic() > end:
                raise trouble
            time.sleep(RETRY_SECONDS)

    def _check(self, answer, count):
        """It says that all were taken."""
        if answer.status != 200:
            raise Failure(f"{answer.status} {answer.text[:300]!r}")
        result = json.loads(answer.text)["result"]
        spooled = int(answer.headers.get("X-Tranq-Spooled", 0))
        if result["received"] != count or \
                result["sent"] + spooled != count:
            raise Failure(f"{count} events, and the answer is "
                          f"{answer.text!r}, {answer.headers.items()}")
        with self._changed:
            self.spooled += spooled

    # ---- what Druid must say ----

    def sums(self):
        """[count, added, deleted, delta] of all that was sent."""
        rows = [json.loads(e.row) for e in self.events]
        return [len(rows)] + [sum(r[n] for r in rows)
                              for n in ("added", "deleted", "delta")]

    def starts(self):
        """Starts of the intervals that the events belong to."""
        length, origin = self.interval_ms
        return {iso(ms) for ms in
                {e.ms - (e.ms - origin) % length for e in self.events}}

    def rows(self, dimensions, sums):
        """{id: the row} as Druid has to have it."""
        result = {}
        for e in self.events:
            row = dict(json.loads(e.row), id=e.id)
            result[e.id] = [e.ms, *(as_text(row[d]) for d in dimensions),
                            *(row[s] for s in sums)]
        return result


def iso(ms):
    seconds, rest = divmod(ms, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + \
        f".{rest:03d}Z"
