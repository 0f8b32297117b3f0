"""Tars whose headers lie about sizes, kinds, names, attributes and holes; and small bombs."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile

from hypothesis import strategies as st

from tests.fuzz.damage import Draw, damaged
from tests.fuzz.made_zips import NAMES

FIELDS = {
    "name": (0, 100), "mode": (100, 8), "uid": (108, 8), "size": (124, 12), "mtime": (136, 12),
    "checksum": (148, 8), "kind": (156, 1), "link": (157, 100), "magic": (257, 8),
    "prefix": (345, 155), "map": (386, 96), "more holes": (482, 1), "true size": (483, 12),
}  # fmt: skip
"""Of a header: where each field lies, and how long it is."""

VALUES = (b"", b"\0" * 12, b"\xff" * 12, b"77777777777", b"00000000001", b"-1", b"8", b" ",
          b"\x80" + b"\xff" * 11, b"\x80" + b"\0" * 10 + b"\x01", b"x" * 200, b"../x.png",
          b"/x.png", "é".encode(), b"a\nb.png", b"\x1b[1m.png", b"a/" * 50)  # fmt: skip
KINDS = b"01234567gxLKSXDMNV\0\xffA"
PACKINGS = (bytes, bytes, gzip.compress, bz2.compress, lzma.compress)
RECORDS = (b"5 a=\n", b"0 a=b\n", b"99999999999 a=b\n", b"11 path=a\n", b"-5 a=b\n", b"x\n",
           b"22 size=999999999999\n", b"13 size=-100\n", b"13 size=abcd\n", b"18 path=../x.png\n",
           b"22 GNU.sparse.major=1\n", b"22 GNU.sparse.minor=0\n", b"21 GNU.sparse.map=1,1\n",
           b"24 GNU.sparse.size=1000\n", b"20 hdrcharset=BINARY\n", b"24 hdrcharset=\xff\xfe....\n",
           b"28 GNU.sparse.realsize=10000\n", b"12 mtime=nan\n")  # fmt: skip


def tarred(members: dict[str, bytes]) -> bytes:
    """An archive as it should be."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name.encode("utf-8", "replace").decode())
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


@st.composite
def lying(draw: Draw, members: dict[str, bytes]) -> bytes:
    """An archive of these members, changed in one of the ways there are."""
    members = dict(members)
    data = tarred(members)
    match draw(st.sampled_from(("field", "field", "field", "inserted", "inserted", "records",
                                "name", "nested", "bomb", "twice", "cut", "bytes"))):  # fmt: skip
        case "field":
            for _ in range(draw(st.integers(1, 2))):
                data = _put(draw, data)
        case "inserted":
            data = _inserted(draw, data)
        case "records":
            body = b"".join(draw(st.lists(st.sampled_from(RECORDS), min_size=1, max_size=4)))
            data = _header(draw, b"x"[0], len(body)) + _padded(body) + data
        case "name":
            old, new = draw(st.sampled_from(sorted(members))), draw(st.sampled_from(NAMES))
            data = tarred({new if name == old else name: d for name, d in members.items()})
        case "nested":
            data = tarred({**members, draw(st.sampled_from(("a.tar", "a.png"))): data})
        case "bomb":
            data = _bomb(draw)
        case "twice":
            data += data
        case "cut":
            data = data[: draw(st.integers(0, len(data)))]
        case _:
            data = damaged(draw, data)
    packed = draw(st.sampled_from(PACKINGS))(data)
    return packed if draw(st.integers(0, 4)) else damaged(draw, packed)


def _put(draw: Draw, data: bytes) -> bytes:
    """An odd value in a field of one header, mostly with its checksum set right."""
    at = draw(
        st.sampled_from([i for i in range(0, len(data), 512) if data[i + 257 :][:5] == b"ustar"])
    )
    header = bytearray(data[at : at + 512])
    name = draw(st.sampled_from(sorted(FIELDS)))
    place, length = FIELDS[name]
    odd = bytes([draw(st.sampled_from(KINDS))]) if name == "kind" else draw(st.sampled_from(VALUES))
    header[place : place + length] = odd[:length].ljust(length, b"\0")
    right = name != "checksum" and draw(st.integers(0, 5))
    return data[:at] + (_summed(header) if right else bytes(header)) + data[at + 512 :]


def _inserted(draw: Draw, data: bytes) -> bytes:
    """Headers before the first: of names, attributes, holes, nothing."""
    count = draw(st.sampled_from((1, 1, 2, 5, 400)))
    size = draw(st.sampled_from((0, 1, 100, 512, 5000, 2**20, 2**33)))
    body = draw(st.sampled_from((b"", b"a", b"\xff" * 600, b"1\n" * 300, bytes(512))))
    kind = draw(st.sampled_from(KINDS))
    return (_header(draw, kind, size) + _padded(body)) * count + data


def _header(draw: Draw, kind: int, size: int) -> bytes:
    member = tarfile.TarInfo("h")
    member.size, member.type = size, bytes([kind])
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    if kind == b"S"[0]:
        header[386:482] = (b"00000000001\0" * 8)[:96]
        header[482] = draw(st.integers(0, 1))
    return _summed(header)


def _summed(header: bytearray) -> bytes:
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def _padded(body: bytes) -> bytes:
    return body + bytes(-len(body) % 512)


def _bomb(draw: Draw) -> bytes:
    """One huge header or member, or many that are empty."""
    size = draw(st.sampled_from((1 << 20, 24 << 20)))
    match draw(st.sampled_from(("member", "name", "attribute", "empty", "zeros"))):
        case "member":
            return tarred({"a.png": bytes(size)})
        case "name":
            return _header(draw, b"L"[0], size) + b"a" * size + tarred({"b.png": b"b"})
        case "attribute":
            body = b"%d a=" % size + b"a" * (size - 12)
            return _header(draw, b"x"[0], len(body)) + _padded(body) + tarred({"b.png": b"b"})
        case "empty":
            return _header(draw, b"0"[0], 0) * 25_000
    return bytes(size)
