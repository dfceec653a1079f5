"""Sessions as clients have them with a feed, and what becomes of them when
bytes are changed at random: what a protocol fuzzer sends over a connection.

    for frame in kafka_sessions.session(offset, random): …
    raw = kafka_sessions.spoilt(frames, random)
"""

import struct

from kafka_client import fetch, frame, list_offsets, metadata, text

# As the protocol has it in its corners.
INTERESTING = [b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0\0\0", b"\xff" * 4,
               b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff" * 8,
               b"\x7f" + b"\xff" * 7]


def api_versions(version, correlation=1):
    if version < 3:
        return frame(18, version, correlation)
    name = b"\x05test\x041.0\0"
    return frame(18, version, correlation, b"\0" + name)


def newer_metadata(version, *names):
    """From 4 on."""
    body = struct.pack(">i", len(names) if names else -1)
    body += b"".join(text(n) for n in names) + b"\0"
    return frame(3, version, 1, body + (b"\0\0" if version >= 8 else b""))


def newer_list_offsets(version, time_ms):
    """From 4 on."""
    body = struct.pack(">ibi", -1, 1, 1) + text("foo")
    return frame(2, version, 1, body + struct.pack(
        ">iiiq", 1, 0, -1, time_ms))


def newer_fetch(version, offset, *, max_wait=50, epoch=0):
    """From 7 on."""
    body = struct.pack(">iiiibii", -1, max_wait, 1, 50 << 20, 1, 0, epoch)
    body += struct.pack(">i", 1) + text("foo") + struct.pack(">ii", 1, 0)
    body += struct.pack(">i", -1) if version >= 9 else b""
    body += struct.pack(">qqi", offset, -1, 1 << 20)
    body += struct.pack(">i", 0)  # nothing is forgotten
    return frame(1, version, 1, body + (text("") if version >= 11 else b""))


def login(random):
    """PLAIN, of nobody; SCRAM's first step."""
    token = random.choice([b"\0druid\0no", b"n,,n=druid,r=abcdefgh"])
    name = "PLAIN" if token[:1] == b"\0" else "SCRAM-SHA-256"
    return [frame(17, random.randrange(2), 1, text(name)),
            frame(36, random.randrange(2), 1,
                  struct.pack(">i", len(token)) + token)]


def session(offset, random):
    """What librdkafka, Python's and Java's clients send, one after the
    other."""
    kind = random.randrange(4)
    if kind == 0:
        return [api_versions(3), newer_metadata(4, "foo"),
                list_offsets(-2)] + [fetch(offset, max_wait=50)] * 3
    if kind == 1:
        return [api_versions(0), metadata(), list_offsets(1700000000005),
                fetch(offset, max_wait=0, max_bytes=1)]
    if kind == 2:
        return [api_versions(4), newer_metadata(8), newer_metadata(8, "foo"),
                newer_list_offsets(5, -1), newer_fetch(11, offset),
                newer_fetch(7, offset), newer_fetch(11, 0, epoch=-1)]
    return [api_versions(0), *login(random), api_versions(3),
            newer_fetch(9, offset)]


def _change(raw, random):
    at = random.randrange(len(raw))
    kind = random.randrange(6)
    if kind == 0:
        raw[at] ^= 1 << random.randrange(8)
    elif kind == 1:
        part = random.choice(INTERESTING)
        raw[at:at + len(part)] = part
    elif kind == 2:
        del raw[at:at + random.randrange(1, 9)]
    elif kind == 3:
        raw[at:at] = random.choice(INTERESTING)
    elif kind == 4:
        raw[at:at] = raw[at:at + random.randrange(1, 64)]
    else:
        del raw[at:]


def spoilt(frames, random):
    """All of it as one stream. Most often a frame's length is right, so that
    what is in it is looked at."""
    frames = [bytearray(f) for f in frames]
    if random.randrange(4) == 0:
        random.shuffle(frames)
    for _ in range(random.randrange(1, 5)):
        raw = random.choice(frames)
        if len(raw) > 4 and random.randrange(5):
            body = raw[4:]
            _change(body, random)
            raw[:] = struct.pack(">i", len(body)) + body
        elif raw:
            _change(raw, random)
    return b"".join(frames)
