"""Smile in Python, written from its specification and not from our C: what
another program sends, and how it reads our answers.

    smile.dumps([{"a": 1}], names=True, values=True, raw=False)
    smile.loads(answer.body)
"""

import decimal
import struct

SHARED_MAX = 1024
SHARED_BYTES_MAX = 64


# ---- writing ----

def _vint(n):
    """Seven bits a byte, the highest first; the last byte has six and a
    mark."""
    out = [0x80 | n & 0x3f]
    n >>= 6
    while n:
        out.append(n & 0x7f)
        n >>= 7
    return bytes(reversed(out))


def _zigzag(n):
    return n << 1 if n >= 0 else (-n << 1) - 1


def _safe(data):
    """Seven bits a byte, each byte's last bits at the end of a group."""
    out = bytearray()
    for at in range(0, len(data), 7):
        group = data[at:at + 7]
        bits = int.from_bytes(group, "big")
        count = len(group)
        for i in range(count):
            out.append(bits >> (8 * count - 7 * (i + 1)) & 0x7f)
        out.append(bits & (1 << count) - 1)
    return _vint(len(data)) + bytes(out)


def _groups(bits, count):
    return bytes(bits >> 7 * i & 0x7f for i in reversed(range(count)))


def _number_bytes(n):
    return n.to_bytes(n.bit_length() // 8 + 1, "big", signed=True)


class _Shared:
    """Strings by the number that a reader gives them."""

    def __init__(self, is_on):
        self.is_on = is_on
        self.numbers, self.count = {}, 0

    def find(self, text):
        """The number, or None: then the reader will note it. One that ends
        in FE or FF may not be written."""
        at = self.numbers.get(text)
        if not self.is_on or at is not None and at & 0xff < 0xfe:
            return at
        if self.count == SHARED_MAX:
            self.numbers, self.count = {}, 0
        self.numbers[text] = self.count
        self.count += 1
        return None


class _Writer:
    def __init__(self, names, values, raw):
        self.raw = raw
        self.names = _Shared(names)
        self.values = _Shared(values)
        self.out = bytearray(b":)\n")
        self.out.append(names | values << 1 | raw << 2)


    def name(self, text):
        data = text.encode()
        if not data:
            self.out.append(0x20)
            return
        if len(data) <= SHARED_BYTES_MAX:
            at = self.names.find(text)
            if at is not None and at < 64:
                self.out.append(0x40 + at)
                return
            if at is not None:
                self.out += bytes((0x30 | at >> 8, at & 0xff))
                return
        if data.isascii() and len(data) <= 64:
            self.out.append(0x80 + len(data) - 1)
            self.out += data
        elif not data.isascii() and len(data) <= 57:
            self.out.append(0xc0 + len(data) - 2)
            self.out += data
        else:
            self.out += b"\x34" + data + b"\xfc"

    def text(self, text):
        data = text.encode()
        if not data:
            self.out.append(0x20)
            return
        if len(data) <= SHARED_BYTES_MAX:
            at = self.values.find(text)
            if at is not None and at < 31:
                self.out.append(0x01 + at)
                return
            if at is not None:
                self.out += bytes((0xec | at >> 8, at & 0xff))
                return
        first = 0x40 if data.isascii() else 0x80
        least = 1 if data.isascii() else 2
        if len(data) <= 64:
            self.out.append(first + len(data) - least)
            self.out += data
        else:
            self.out.append(0xe0 if data.isascii() else 0xe4)
            self.out += data + b"\xfc"

    def number(self, n):
        if -16 <= n <= 15:
            self.out.append(0xc0 + _zigzag(n))
        elif -2**31 <= n < 2**31:
            self.out += b"\x24" + _vint(_zigzag(n))
        elif -2**63 <= n < 2**63:
            self.out += b"\x25" + _vint(_zigzag(n))
        else:
            self.out += b"\x26" + _safe(_number_bytes(n))

    def decimal(self, value):
        sign, digits, exponent = value.as_tuple()
        unscaled = int("".join(map(str, digits))) * (-1 if sign else 1)
        self.out += (b"\x2a" + _vint(_zigzag(-exponent))
                     + _safe(_number_bytes(unscaled)))

    def container(self, value):
        if isinstance(value, dict):
            self.out.append(0xfa)
            for key, member in value.items():
                self.name(key)
                self.value(member)
            self.out.append(0xfb)
            return
        self.out.append(0xf8)
        for element in value:
            self.value(element)
        self.out.append(0xf9)

    def value(self, value):
        if value is None:
            self.out.append(0x21)
        elif isinstance(value, bool):
            self.out.append(0x23 if value else 0x22)
        elif isinstance(value, int):
            self.number(value)
        elif isinstance(value, float):
            bits, = struct.unpack(">Q", struct.pack(">d", value))
            self.out += b"\x29" + _groups(bits, 10)
        elif isinstance(value, decimal.Decimal):
            self.decimal(value)
        elif isinstance(value, str):
            self.text(value)
        elif isinstance(value, bytes) and self.raw:
            self.out += b"\xfd" + _vint(len(value)) + value
        elif isinstance(value, bytes):
            self.out += b"\xe8" + _safe(value)
        else:
            self.container(value)


def dumps(value, names=True, values=False, raw=False):
    writer = _Writer(names, values, raw)
    writer.value(value)
    return bytes(writer.out)


def dumps_all(objects, **how):
    """Objects one after another under one header."""
    writer = _Writer(how.get("names", True), how.get("values", False),
                     how.get("raw", False))
    for o in objects:
        writer.value(o)
    return bytes(writer.out)


# ---- reading ----

class _Reader:
    """What an answer may hold: no binary, no big numbers, no floats."""

    def __init__(self, data):
        if data[:3] != b":)\n":
            raise ValueError(f"no Smile header: {data[:20]!r}")
        self.data, self.at = data, 4
        self.names = []

    def take(self, count=1):
        piece = self.data[self.at:self.at + count]
        if len(piece) < count:
            raise ValueError("cut")
        self.at += count
        return piece

    def vint(self):
        n = 0
        while True:
            byte, = self.take()
            if byte & 0x80:
                return n << 6 | byte & 0x3f
            n = n << 7 | byte

    def long_text(self):
        end = self.data.index(b"\xfc", self.at)
        piece = self.take(end - self.at)
        self.at += 1
        return piece.decode()

    def name(self, token):
        if 0x40 <= token <= 0x7f:
            return self.names[token - 0x40]
        if 0x80 <= token <= 0xbf:
            name = self.take(token - 0x7f).decode("ascii")
        elif 0xc0 <= token <= 0xf7:
            name = self.take(token - 0xbe).decode()
        else:
            raise ValueError(f"name token {token:#x}")
        self.names.append(name)
        return name

    def members(self):
        found = {}
        while True:
            token, = self.take()
            if token == 0xfb:
                return found
            key = self.name(token)
            found[key] = self.value()

    def elements(self):
        found = []
        while self.data[self.at] != 0xf9:
            found.append(self.value())
        self.at += 1
        return found

    def value(self):
        token, = self.take()
        if 0xc0 <= token <= 0xdf or token in (0x24, 0x25):
            n = token & 0x1f if token >= 0xc0 else self.vint()
            return -(n >> 1) - 1 if n & 1 else n >> 1
        if 0x40 <= token <= 0x7f:
            return self.take(token - 0x3f).decode("ascii")
        if 0x80 <= token <= 0xbf:
            return self.take(token - 0x7e).decode()
        if token in (0xe0, 0xe4):
            return self.long_text()
        if token == 0xfa:
            return self.members()
        if token == 0xf8:
            return self.elements()
        return {0x20: "", 0x21: None, 0x22: False, 0x23: True}[token]


def loads(data):
    """The one value of a document."""
    reader = _Reader(data)
    value = reader.value()
    if reader.at != len(data):
        raise ValueError("more behind the document")
    return value
