"""Decompression of Kafka's record batches, with the libraries that tranqd
itself is linked with (Python has gzip only)."""

import ctypes
import functools
import zlib

MOST = 64 << 20
NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)


@functools.cache
def _lz4():
    lib = ctypes.CDLL("liblz4.so.1")
    lib.LZ4F_decompress.restype = ctypes.c_size_t
    lib.LZ4F_createDecompressionContext.restype = ctypes.c_size_t
    return lib


@functools.cache
def _zstd():
    lib = ctypes.CDLL("libzstd.so.1")
    lib.ZSTD_createDCtx.restype = ctypes.c_void_p
    lib.ZSTD_decompressStream.restype = ctypes.c_size_t
    return lib


class _Buffer(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("size", ctypes.c_size_t),
                ("pos", ctypes.c_size_t)]


def _unpack_lz4(raw):
    """Frames."""
    lib, context = _lz4(), ctypes.c_void_p()
    assert lib.LZ4F_createDecompressionContext(
        ctypes.byref(context), ctypes.c_uint(100)) == 0
    out, at, left = bytearray(), 0, 1
    room = ctypes.create_string_buffer(1 << 20)
    source = ctypes.create_string_buffer(raw, len(raw))
    while left != 0:
        got = ctypes.c_size_t(len(room))
        used = ctypes.c_size_t(len(raw) - at)
        left = lib.LZ4F_decompress(
            context, room, ctypes.byref(got),
            ctypes.byref(source, at), ctypes.byref(used), None)
        at += used.value
        out += room.raw[:got.value]
        assert left < 1 << 31 and len(out) <= MOST, "lz4: not a frame"
        assert left == 0 or used.value or got.value, "lz4: cut off"
    lib.LZ4F_freeDecompressionContext(context)
    assert at == len(raw), "lz4: bytes behind the frame"
    return bytes(out)


def _unpack_zstd(raw):
    lib = _zstd()
    context = ctypes.c_void_p(lib.ZSTD_createDCtx())
    source = ctypes.create_string_buffer(raw, len(raw))
    room = ctypes.create_string_buffer(1 << 20)
    taken = _Buffer(ctypes.addressof(source), len(raw), 0)
    out, left = bytearray(), 1
    while left != 0:
        given = _Buffer(ctypes.addressof(room), len(room), 0)
        before = taken.pos
        left = lib.ZSTD_decompressStream(
            context, ctypes.byref(given), ctypes.byref(taken))
        out += room.raw[:given.pos]
        assert left < 1 << 31 and len(out) <= MOST, "zstd: not a frame"
        assert left == 0 or given.pos or taken.pos > before, "zstd: cut off"
    lib.ZSTD_freeDCtx(context)
    assert taken.pos == len(raw), "zstd: bytes behind the frame"
    return bytes(out)


def unpack(codec, raw):
    """codec: the lower three bits of a batch's attributes."""
    if codec == NONE:
        return raw
    if codec == GZIP:
        return zlib.decompress(raw, 31)
    if codec == LZ4:
        return _unpack_lz4(raw)
    assert codec == ZSTD, codec
    return _unpack_zstd(raw)
