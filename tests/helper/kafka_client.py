"""The little of Kafka's protocol that a test wants to write byte by byte.

    with Client(port) as c:
        c.send(fetch(offset))           several may be under way
        c.answer()                      Answer of the first one
"""

import socket
import struct

from codec import unpack

SECONDS = 30


def text(value):
    raw = value.encode()
    return struct.pack(">h", len(raw)) + raw


def frame(api, version, correlation, body=b"", client="test"):
    raw = struct.pack(">hhi", api, version, correlation) + text(client) + body
    return struct.pack(">i", len(raw)) + raw


def fetch(offset, *, topic="foo", partition=0, max_wait=500, min_bytes=1,
          max_bytes=50 << 20, partition_bytes=1 << 20, correlation=1):
    """Version 4: the plainest."""
    body = struct.pack(">iiiib", -1, max_wait, min_bytes, max_bytes, 1)
    body += struct.pack(">i", 1) + text(topic)
    body += struct.pack(">iiqi", 1, partition, offset, partition_bytes)
    return frame(1, 4, correlation, body)


def list_offsets(time_ms, *, topic="foo", partition=0, correlation=1):
    """Version 1; -2: the first one, -1: behind the last one."""
    body = struct.pack(">ii", -1, 1) + text(topic)
    body += struct.pack(">iiq", 1, partition, time_ms)
    return frame(2, 1, correlation, body)


def listed(answer):
    """The offset, or -1."""
    return struct.unpack(">q", answer[-8:])[0]


def metadata(*topics, correlation=1):
    """Version 1; no topics: all."""
    body = struct.pack(">i", len(topics) if topics else -1)
    return frame(3, 1, correlation, body + b"".join(text(t) for t in topics))


class Metadata:
    """Of version 1: nodes {id: (host, port)}, partitions of each topic
    {name: {partition: node id}}; a topic that has an error has none."""

    def __init__(self, answer):
        self._raw, self._at = answer, 4
        self.nodes = {}
        for _ in range(self._int()):
            node, host, port = self._int(), self._text(), self._int()
            self._text()
            self.nodes[node] = host, port
        self._int()
        self.topics = {}
        for _ in range(self._int()):
            self._int(">h")
            name = self._text()
            self._int(">b")
            self.topics[name] = dict(
                self._partition() for _ in range(self._int()))

    def _partition(self):
        self._int(">h")
        partition, leader = self._int(), self._int()
        for _ in "replicas", "in sync":
            nodes = self._int()
            self._at += 4 * nodes
        return partition, leader

    def _int(self, form=">i"):
        value, = struct.unpack_from(form, self._raw, self._at)
        self._at += struct.calcsize(form)
        return value

    def _text(self):
        size = self._int(">h")
        if size < 0:
            return None
        self._at += size
        return self._raw[self._at - size:self._at].decode()


class Fetched:
    """Of one partition."""

    def __init__(self, answer):
        at = 4 + 4 + 4
        at += 2 + struct.unpack_from(">h", answer, at)[0] + 4
        (self.partition, self.error, self.end,
         self.stable) = struct.unpack_from(">ihqq", answer, at)
        size, = struct.unpack_from(">i", answer, at + 22 + 4)
        self.records = answer[at + 30:]
        assert len(self.records) == size, (len(self.records), size)

    def offsets(self):
        """Of the first record, and behind the last one; None: there are no
        records."""
        if not self.records:
            return None
        at, first, behind = 0, None, None
        while at < len(self.records):
            base, length = struct.unpack_from(">qi", self.records, at)
            delta, = struct.unpack_from(">i", self.records, at + 23)
            first = base if first is None else first
            behind = base + delta + 1
            at += 12 + length
        assert at == len(self.records)
        return first, behind

    def values(self):
        """Offset and value of each record."""
        at, found = 0, []
        while at < len(self.records):
            base, length = struct.unpack_from(">qi", self.records, at)
            attributes, = struct.unpack_from(">h", self.records, at + 21)
            count, = struct.unpack_from(">i", self.records, at + 57)
            assert attributes < 8, attributes
            reader = Records(unpack(
                attributes, self.records[at + 61:at + 12 + length]))
            found += [(base + delta, value) for delta, value in
                      (reader.next() for _ in range(count))]
            at += 12 + length
            assert reader.at == len(reader.raw)
        return found


class Records:
    """Those of a batch, one after the other."""

    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def _varint(self):
        value = shift = 0
        while True:
            byte = self.raw[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return (value >> 1) ^ -(value & 1)

    def next(self):
        """Its offset in the batch, its value."""
        length = self._varint()
        end = self.at + length
        self.at += 1
        self._varint()
        delta = self._varint()
        assert self._varint() == -1  # no key
        size = self._varint()
        value = self.raw[self.at:self.at + size]
        self.at += size
        assert self._varint() == 0 and self.at == end  # no headers
        return delta, value


class Client:
    """tls: an ssl.SSLContext."""

    def __init__(self, port, *, host="127.0.0.1", receive_buffer=None,
                 tls=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                   receive_buffer)
        self.socket.settimeout(SECONDS)
        self.socket.connect((host, port))
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=host)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, raw):
        self.socket.sendall(raw)

    def _read(self, count):
        raw = bytearray()
        while len(raw) < count:
            part = self.socket.recv(min(count - len(raw), 1 << 20))
            if not part:
                raise EOFError("the feed has closed the connection")
            raw += part
        return bytes(raw)

    def answer(self):
        """The next one, its correlation id first."""
        size, = struct.unpack(">i", self._read(4))
        return self._read(size)

    def fetch(self, offset, **how):
        self.send(fetch(offset, **how))
        return Fetched(self.answer())

    def is_closed(self):
        """Waits for it."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True
