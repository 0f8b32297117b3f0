"""Images: PNG chunk by chunk, with and without a correct CRC; others by their bytes."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from tests.fuzz.damage import ODD_NUMBERS, Draw, damaged

SIGNATURE = b"\x89PNG\r\n\x1a\n"
Chunk = tuple[bytes, bytes]
SIDES = (0, 1, 2, 7, 8, 9, 255, 9_999, 10_001, 65_535, 2**31 - 1, 2**31, 2**32 - 1)


@st.composite
def png(draw: Draw, samples: list[bytes]) -> bytes:
    """One of the pictures, changed in one of the ways there are."""
    data = draw(st.sampled_from(samples))
    parts = chunks(data)
    match draw(st.sampled_from(("header", "header", "added", "added", "pixels", "order", "animated",
                                "length", "body", "bytes"))):  # fmt: skip
        case "header":
            parts[0] = (b"IHDR", _header(draw, parts[0][1]))
        case "added":
            for _ in range(draw(st.integers(1, 2))):
                parts[1:1] = _ancillary(draw)
        case "pixels":
            parts = _pixels(draw, parts)
        case "order":
            parts = _ordered(draw, parts)
        case "animated":
            parts = _animated(draw, parts)
        case "length":
            at = draw(st.integers(0, len(parts) - 1))
            data = joined(parts)
            place = len(joined(parts[:at]))
            odd = draw(st.sampled_from(ODD_NUMBERS)) & 0xFFFFFFFF
            return data[:place] + struct.pack(">I", odd) + data[place + 4 :]
        case "body":
            at = draw(st.integers(0, len(parts) - 1))
            parts[at] = (parts[at][0], damaged(draw, parts[at][1]))
        case _:
            return damaged(draw, data)
    return joined(parts, draw(st.sampled_from((True, True, True, False))))


@st.composite
def other(draw: Draw, samples: list[bytes]) -> bytes:
    """JPEG, GIF and the like: sizes in their headers, and bytes anywhere."""
    data = draw(st.sampled_from(samples))
    place = _size_at(data)
    if place is not None and draw(st.booleans()):
        at, form = place
        height, width = (draw(st.sampled_from(SIDES)) & 0xFFFF for _ in "hw")
        return data[:at] + struct.pack(form, height, width) + data[at + 4 :]
    return damaged(draw, data)


def _size_at(data: bytes) -> tuple[int, str] | None:
    if data.startswith(b"GIF8"):
        return 6, "<HH"
    for marker in (b"\xff\xc0", b"\xff\xc2"):
        if data.startswith(b"\xff\xd8") and marker in data:
            return data.index(marker) + 5, ">HH"
    return None


def chunks(data: bytes) -> list[Chunk]:
    """The chunks of a PNG that is sound."""
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def joined(parts: list[Chunk], correct: bool = True) -> bytes:
    """A PNG out of chunks; CRCs that are wrong, if they shall be."""
    out = SIGNATURE
    for kind, body in parts:
        crc = zlib.crc32(kind + body) ^ (not correct)
        out += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)
    return out


def _header(draw: Draw, body: bytes) -> bytes:
    values = list(struct.unpack(">IIBBBBB", body))
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, 6))
        odd = SIDES if at < 2 else (0, 1, 2, 3, 4, 6, 8, 16, 255)
        values[at] = draw(st.sampled_from(odd))
    header = struct.pack(">IIBBBBB", *values)
    return header if draw(st.integers(0, 9)) else header[: draw(st.integers(0, 12))]


def _ancillary(draw: Draw) -> list[Chunk]:
    """Chunks beside the pixels: transparency, profiles, text, EXIF; small and monstrous ones."""
    bomb = zlib.compress(bytes(draw(st.sampled_from((10, 1_000_000, 1 << 20, 30 << 20)))))
    wide = zlib.compress("\U0001f600".encode() + b"a" * 1_000_000)
    short = draw(st.binary(max_size=20))
    if draw(st.integers(0, 9)) == 0:
        return [(b"iTXt", b"k%d\0\1\0\0\0" % number + wide) for number in range(62)]
    times = draw(st.sampled_from((1, 1, 1, 100)))
    return times * [draw(st.sampled_from((
        (b"tRNS", short), (b"tRNS", bytes(300)), (b"PLTE", short), (b"PLTE", bytes(768)),
        (b"PLTE", bytes(2000)), (b"iCCP", b"a\0\0" + bomb), (b"iCCP", short),
        (b"zTXt", b"a\0\0" + bomb), (b"zTXt", short), (b"iTXt", b"a\0\1\0\0\0" + bomb),
        (b"iTXt", b"a\0\1\0\0\0" + wide), (b"tEXt", b"a\0" + bytes(1000)), (b"iTXt", short),
        (b"eXIf", b"II*\0" + short), (b"eXIf", b"MM\0*\0\0\0\x08\xff\xff" + short),
        (b"eXIf", b"II*\0\x08\0\0\0\1\0\x12\1\3\0\xff\xff\xff\xff" + short), (b"eXIf", short),
        (b"gAMA", short), (b"sRGB", short), (b"pHYs", short), (b"cHRM", short), (b"tIME", short),
        (b"acTL", short), (b"fcTL", short), (b"fdAT", short), (b"IEND", b""), (b"IDAT", short),
        (b"IHDR", short), (b"abcd", short), (b"\0\0\0\0", short), (b"\xff\xff\xff\xff", short),
    )))]  # fmt: skip


def _pixels(draw: Draw, parts: list[Chunk]) -> list[Chunk]:
    """Compressed pixels that end early, go on too long, or are something else."""
    raw = zlib.decompress(b"".join(body for kind, body in parts if kind == b"IDAT"))
    match draw(st.sampled_from(("short", "long", "bomb", "damaged", "many", "none"))):
        case "short":
            packed = [zlib.compress(raw[: draw(st.integers(0, len(raw)))])]
        case "long":
            packed = [zlib.compress(raw * 2)]
        case "bomb":
            packed = [zlib.compress(raw + bytes(24 << 20))]
        case "damaged":
            packed = [damaged(draw, zlib.compress(raw))]
        case "many":
            packed = [bytes([byte]) for byte in zlib.compress(raw)]
        case _:
            packed = []
    rest = [part for part in parts if part[0] not in (b"IDAT", b"IEND")]
    return [*rest, *((b"IDAT", body) for body in packed), (b"IEND", b"")]


def _ordered(draw: Draw, parts: list[Chunk]) -> list[Chunk]:
    at = draw(st.integers(0, len(parts) - 1))
    other = draw(st.integers(0, len(parts) - 1))
    match draw(st.sampled_from(("swap", "remove", "twice", "many"))):
        case "swap":
            parts[at], parts[other] = parts[other], parts[at]
        case "remove":
            del parts[at]
        case "twice":
            parts.insert(other, parts[at])
        case _:
            parts[at:at] = [parts[at]] * 500
    return parts


def _animated(draw: Draw, parts: list[Chunk]) -> list[Chunk]:
    """An APNG: how many frames there are, and where they lie, is said and need not be so."""
    frames = draw(st.sampled_from((0, 1, 2, 2**31, 2**32 - 1)))
    sides = [draw(st.sampled_from((0, 1, 8, 9, 2**31, 2**32 - 1))) for _ in range(4)]
    control = struct.pack(">IIIIIHHBB", 0, *sides, 0, 0, *draw(st.sampled_from(((0, 0), (9, 9)))))
    body = draw(st.sampled_from((b"", b"\0\0\0\1", b"\0\0\0\2" + zlib.compress(bytes(72)))))
    start, rest = parts[:1], parts[1:]
    added = [(b"acTL", struct.pack(">II", frames, 0)), (b"fcTL", control)]
    return [*start, *added, *rest[:-1], (b"fcTL", control), (b"fdAT", body), *rest[-1:]]


def picture(mode: str, form: str, **options: object) -> bytes:
    """A sound picture of 8x8 pixels."""
    values = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3
    file = io.BytesIO()
    Image.fromarray(values).convert(mode).save(file, form, **options)
    return file.getvalue()
