"""Image files built byte by byte, as no encoder would write them, or as another program does."""

from __future__ import annotations

import struct
import zlib

TYPES = {"uint8": 1, "uint16": 1, "uint32": 1, "int32": 2, "float32": 3}
"""TIFF's number for each kind of sample: unsigned, signed, float."""


def png_that_claims(side):
    """A PNG whose header says that it is as large as that, with hardly any pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return png(header, zlib.compress(b"\0" * 100))


def grey_png(height, width):
    """A black PNG of 8 bits, of any size, made without holding its pixels."""
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(1 + width)) for _ in range(height)) + packer.flush()
    return png(struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0), rows)


def png(header, packed):
    """A PNG out of its header and its compressed pixels."""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed)


def chunk(kind, data):
    """A chunk of a PNG."""
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def tiff(values, orientation=None, order="<"):
    """An uncompressed TIFF of an array (H, W) or (H, W, 3), in one strip, of either byte order."""
    height, width, *colours = values.shape
    samples = colours[0] if colours else 1
    bits, kind = values.dtype.itemsize * 8, TYPES[values.dtype.name]
    body = values.astype(values.dtype.newbyteorder(order)).tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 2 if colours else 1}
    tags |= {273: 8, 277: samples, 278: height, 279: len(body), 339: kind}
    tags |= {} if orientation is None else {274: orientation}
    if samples == 3:
        body += struct.pack(f"{order}6H", *[bits] * 3, *[kind] * 3)
    place = 8 + len(body) - 12
    entries = b"".join(
        struct.pack(f"{order}HHII", tag, 3, 3, place + 6 * (tag == 339))
        if samples == 3 and tag in (258, 339)
        else struct.pack(f"{order}HHII", tag, 4, 1, value)
        for tag, value in sorted(tags.items())
    )
    mark = b"II*\0" if order == "<" else b"MM\0*"
    head = mark + struct.pack(f"{order}I", 8 + len(body))
    return head + body + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


def exif(orientation, order="<"):
    """The smallest EXIF that says how an image is turned."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def jpeg_turned(data, orientation, order="<"):
    """A JPEG with EXIF put into it, as cameras do."""
    body = b"Exif\0\0" + exif(orientation, order)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def png_turned(data, orientation, order="<", *, late=False):
    """A PNG with an eXIf chunk put before its pixels, or after them."""
    at = data.index(b"IEND" if late else b"IDAT") - 4
    return data[:at] + chunk(b"eXIf", exif(orientation, order)) + data[at:]


def webp_turned(data, size, orientation, order="<"):
    """A lossless WebP of one chunk, put into the extended form, with EXIF."""
    assert data[12:16] == b"VP8L"
    height, width = size
    sides = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = exif(orientation, order)
    extended = b"VP8X" + struct.pack("<IB3x", 10, 0x08) + sides
    body = extended + data[12:] + b"EXIF" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
