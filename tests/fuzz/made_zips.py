"""Zips whose directories lie: about sizes, methods, names, and where anything is."""

from __future__ import annotations

import io
import struct
import zipfile

from hypothesis import strategies as st

from tests.fuzz.damage import Draw, damaged

FIELDS = {
    "version made": (4, "<H"), "version needed": (6, "<H"), "flags": (8, "<H"),
    "method": (10, "<H"), "time": (12, "<H"), "date": (14, "<H"), "crc": (16, "<I"),
    "packed": (20, "<I"), "size": (24, "<I"), "name length": (28, "<H"),
    "extra length": (30, "<H"), "comment length": (32, "<H"), "disk": (34, "<H"),
    "internal": (36, "<H"), "external": (38, "<I"), "offset": (42, "<I"),
}  # fmt: skip
"""Of an entry in the central directory: where each field lies."""

LOCAL_FIELDS = {
    "version needed": (4, "<H"), "flags": (6, "<H"), "method": (8, "<H"), "crc": (14, "<I"),
    "packed": (18, "<I"), "size": (22, "<I"), "name length": (26, "<H"), "extra length": (28, "<H"),
}  # fmt: skip
END_FIELDS = {
    "disk": (4, "<H"), "disk of directory": (6, "<H"), "here": (8, "<H"), "entries": (10, "<H"),
    "directory size": (12, "<I"), "directory offset": (16, "<I"), "comment length": (20, "<H"),
}  # fmt: skip
ODD = (0, 1, 2, 3, 8, 9, 12, 14, 20, 46, 64, 93, 95, 99, 0x800, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF,
       0xFFFFFFFE, 300_000_000)  # fmt: skip
NAMES = ("../x.png", "/x.png", "C:\\x.png", "a/../../x.png", "x\0y.png", "", ".", "/", "a" * 3000,
         "a\nb.png", "é\u202e.png", "\udcff.png", "a/b/c/d.png", "train/a/1.png", "test/b/1.png",
         "x.npy", "x", "y.npy", "z.npy", "a//b.png", "CON.png", ".hidden.png", "__MACOSX/a.png",
         "a.txt", "a.zip", "a.svg", "a.eps", "x.npy.npy", "d/")  # fmt: skip


def zipped(members: dict[str, bytes], *, deflated: bool = True) -> bytes:
    """An archive as it should be."""
    file = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(
                zipfile.ZipInfo(name.encode("utf-8", "replace").decode()), data, method
            )
    return file.getvalue()


@st.composite
def lying(draw: Draw, members: dict[str, bytes]) -> bytes:
    """An archive of these members, changed in one of the ways there are."""
    members = dict(members)
    deflated = draw(st.booleans())
    match draw(st.sampled_from(("field", "field", "field", "local", "end", "name", "nested", "bomb",
                                "method", "twice", "extra", "bytes"))):  # fmt: skip
        case "field":
            data = zipped(members, deflated=deflated)
            return _put(draw, data, b"PK\x01\x02", FIELDS, times=draw(st.integers(1, 2)))
        case "local":
            return _put(draw, zipped(members, deflated=deflated), b"PK\x03\x04", LOCAL_FIELDS)
        case "end":
            return _put(draw, zipped(members, deflated=deflated), b"PK\x05\x06", END_FIELDS)
        case "name":
            old = draw(st.sampled_from(sorted(members)))
            new = draw(st.sampled_from(NAMES))
            return zipped({new if name == old else name: d for name, d in members.items()})
        case "nested":
            inner = zipped(members)
            return zipped({**members, draw(st.sampled_from(("a.zip", "a.png", "x.npy"))): inner})
        case "bomb":
            return _bomb(draw, members)
        case "method":
            return _packed_otherwise(draw, members)
        case "twice":
            return zipped(members) + zipped(members)
        case "extra":
            return _extra(draw, members)
    return damaged(draw, zipped(members, deflated=deflated))


def _put(
    draw: Draw, data: bytes, magic: bytes, fields: dict[str, tuple[int, str]], times: int = 1
) -> bytes:
    """Odd numbers in fields of the records that begin with `magic`."""
    changed = bytearray(data)
    at = [i for i in range(len(data) - 3) if data[i : i + 4] == magic]
    for _ in range(times):
        place, form = fields[draw(st.sampled_from(sorted(fields)))]
        value = draw(st.sampled_from(ODD) | st.integers(0, 0xFFFFFFFF))
        size = struct.calcsize(form)
        start = draw(st.sampled_from(at)) + place
        if start + size <= len(changed):
            changed[start : start + size] = struct.pack(form, value & ((1 << 8 * size) - 1))
    return bytes(changed)


def _bomb(draw: Draw, members: dict[str, bytes]) -> bytes:
    """A member of many zeros, whose size in the directory may say otherwise."""
    name = draw(st.sampled_from((*sorted(members), "b.png")))
    members[name] = members.get(name, b"") + bytes(draw(st.sampled_from((1 << 20, 24 << 20))))
    data = zipped(members)
    if draw(st.booleans()):
        sizes = {field: FIELDS[field] for field in ("size", "packed", "crc")}
        data = _put(draw, data, b"PK\x01\x02", sizes)
    return data


def _packed_otherwise(draw: Draw, members: dict[str, bytes]) -> bytes:
    """Methods that few use, whole or damaged."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", draw(st.sampled_from((12, 14)))) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue() if draw(st.booleans()) else damaged(draw, file.getvalue())


def _extra(draw: Draw, members: dict[str, bytes]) -> bytes:
    """Extra fields, such as the one that says sizes of 64 bits."""
    file = io.BytesIO()
    ids, lengths = (0x0001, 0x7075, 0x5455, 0x9901, 0), (0, 1, 4, 7, 8, 16, 24, 65_535)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            body = draw(st.binary(max_size=28))
            length = draw(st.sampled_from((*lengths, len(body))))
            info.extra = struct.pack("<HH", draw(st.sampled_from(ids)), length) + body
            archive.writestr(info, data)
    data = file.getvalue()
    return _put(draw, data, b"PK\x01\x02", {k: FIELDS[k] for k in ("size", "packed", "offset")})
