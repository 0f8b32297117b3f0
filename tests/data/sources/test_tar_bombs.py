"""Small tars that unpack to gigabytes, or to millions of members: refused at little cost.

The bombs here are smaller than they could be, and the bounds are stricter to match.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import time
from pathlib import Path

import pytest

from tests.data.input_ways import SHAPE
from vaekit.data import load_dataset
from vaekit.data.sources import tar_stream
from vaekit.data.streams.mixed_inputs import stream_images
from vaekit.errors import DataError

MIB = 1 << 20


def header(name, size=0, kind=b"0"):
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def padded(data):
    return data + bytes(-len(data) % 512)


def as_gz(file):
    return gzip.GzipFile(fileobj=file, mode="wb", compresslevel=4)


def as_xz(file):
    return lzma.LZMAFile(file, "wb", preset=0)


def as_bz2(file):
    return bz2.BZ2File(file, "wb")


def packed(pieces, opener=as_gz):
    """The pieces compressed, without holding them together."""
    file = io.BytesIO()
    with opener(file) as end:
        for piece in pieces:
            end.write(piece)
    return file.getvalue()


def pax(size):
    """One attribute of `size` bytes."""
    start = b"%d comment=" % size
    yield header("x", size, b"x")
    yield start
    yield from [b"a" * MIB] * (size // MIB)
    yield padded(b"\n") + header("1.png")


def long_name(size, kind=b"L"):
    yield header("x", size, kind)
    yield from [b"a" * MIB] * (size // MIB)
    yield header("1.png")


def many_long_names():
    for number in range(200):
        yield header("x", MIB // 2, b"L") + padded(b"%d" % number + b"a" * (MIB // 2 - 9))
        yield header("x", 1) + padded(b"a")


def nested(count):
    """Headers about headers about headers."""
    return [header("x", 0, b"L")] * count + [header("1.png")]


def shared_attributes():
    for number in range(1200):
        yield header("x", 100, b"g") + padded(b"%d key%d=%s\n" % (100, number, b"v" * 85))
        yield header(f"{number}.png", 1) + padded(b"a")


def holes():
    """A member whose map of holes never ends (GNU's old form)."""
    first = bytearray(header("1.png", 0, b"S"))
    first[482] = 1
    first[148:156] = b"%06o\0 " % (sum(first[:148]) + sum(first[156:512]) + 8 * 32)
    more = b"00000000001\x0000000000001\x00" * 21 + b"\1" + bytes(7)
    yield bytes(first)
    yield from [more * 2048] * 20


def numbered_holes():
    """The same in pax form: as many numbers as one likes."""
    records = b"".join(
        b"%d %s=%s\n" % (len(key) + len(value) + 5, key, value)
        for key, value in (
            (b"GNU.sparse.major", b"1"),
            (b"GNU.sparse.minor", b"0"),
            (b"GNU.sparse.name", b"1.png"),
            (b"GNU.sparse.realsize", b"1"),
        )
    )
    yield header("x", len(records), b"x") + padded(records) + header("1.png", 1 << 30)
    yield b"99999999999\n"
    yield from [b"1\n" * (MIB // 2)] * 20


def empty_members(count=2_100):
    return [header("a.png")] * count


def tiny_members(count=2_100):
    return [header("a.png", 1) + padded(b"a")] * count


def zeros(size):
    yield header("1.png", size)
    yield from [bytes(MIB)] * (size // MIB)


BOMBS = {
    "pax header": (lambda: pax(40 * MIB), as_gz, "header of over 1 MiB"),
    "long name": (lambda: long_name(40 * MIB), as_gz, "header of over 1 MiB"),
    "long link": (lambda: long_name(40 * MIB, b"K"), as_gz, "header of over 1 MiB"),
    "many long names": (many_long_names, as_gz, "has a name of 524,2.. characters"),
    "nested headers": (lambda: nested(1500), as_gz, "headers within headers"),
    "shared attributes": (shared_attributes, as_gz, "over 1,000 shared attributes"),
    "holes": (holes, as_gz, "header of over 1 MiB"),
    "numbered holes": (numbered_holes, as_gz, "header of over 1 MiB"),
    "empty members": (empty_members, as_gz, "2,000 members with nothing in them"),
    "tiny members": (tiny_members, as_gz, "too many for its size"),
    "zeros, gz": (lambda: zeros(40 * MIB), as_gz, "200 times its size"),
    "zeros, xz": (lambda: zeros(40 * MIB), as_xz, "200 times its size"),
    "zeros, bz2": (lambda: zeros(40 * MIB), as_bz2, "200 times its size"),
}


def from_file(data, folder):
    path = folder / "bomb.tar"
    path.write_bytes(data)
    return load_dataset(path, "all")


def from_stdin(data, folder):
    with stream_images(["-"], shape=SHAPE, stdin=io.BytesIO(data)) as stream:
        return [*stream]


@pytest.mark.parametrize("name", BOMBS)
def test_fault_68_a_tar_that_unpacks_to_too_much_is_refused_at_little_cost(
    tmp_path, name, monkeypatch
):
    monkeypatch.setattr(tar_stream, "EXPANSION_FROM", 16 * MIB)
    monkeypatch.setattr(tar_stream, "MOST_EMPTY", 2_000)
    pieces, opener, reason = BOMBS[name]
    data = packed(pieces(), opener)
    assert len(data) < 4 * MIB
    for way in (from_file, from_stdin):
        began, before = time.process_time(), resident()
        with pytest.raises(DataError, match=rf"{reason}.*: refused$"):
            way(data, tmp_path)
        assert time.process_time() - began < 5
        content = 80 if name.startswith("zeros") else 0  # one member, read as a whole
        assert resident("VmHWM") - before < (32 + content) * MIB


def resident(name=None):
    """Memory in bytes: from now on its peak is measured, or the peak since; 0 where unknown."""
    try:
        if name is None:
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(status.partition(f"{name or 'VmRSS'}:")[2].split()[0]) * 1024


@pytest.mark.parametrize("kind", [b"0", b"x", b"L", b"g"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_negative_size_is_damage_and_does_not_read_the_rest_of_the_file(tmp_path, kind, pack):
    first = bytearray(header("1.png", 0, kind))
    first[124:136] = b"\xff" * 10 + b"\xfc\x18"  # -1000, in base 256
    first[148:156] = b"%06o\0 " % (sum(first[:148]) + sum(first[156:512]) + 8 * 32)
    data = pack(bytes(first) + header("2.png", 5) + padded(b"hello"))
    for way in (from_file, from_stdin):
        with pytest.raises(DataError, match=r"bomb\.tar|standard input"):
            way(data, tmp_path)


def test_zeros_without_end_on_stdin_are_not_read_without_end(tmp_path):
    class Zeros(io.RawIOBase):
        given = 0

        def readable(self):
            return True

        def readinto(self, buffer):
            buffer[:] = bytes(len(buffer))
            self.given += len(buffer)
            return len(buffer)

    endless = Zeros()
    with pytest.raises(DataError, match="standard input: holds no image"):
        from_stdin_of(endless)
    assert endless.given < 70 * MIB


def from_stdin_of(file):
    with stream_images(["-"], shape=SHAPE, stdin=file) as stream:
        return [*stream]


def test_a_tar_of_small_images_that_compress_well_is_read_all_the_same(tmp_path, picture):
    """The bounds must not refuse what people have: thousands of pictures of a few bytes."""
    names = [f"{number % 10}/{number}.pgm" for number in range(3000)]
    one = b"P5 8 8 255\n" + bytes(range(64))
    data = packed(header(name, len(one)) + padded(one) for name in names)
    assert len(from_file(data, tmp_path)) == 3000
    assert sum(len(chunk.names) for chunk in from_stdin(data, tmp_path)) == 3000
