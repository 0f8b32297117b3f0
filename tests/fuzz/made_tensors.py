"""Model files and checkpoints: safetensors with JSON in a header, and JSON within that."""

from __future__ import annotations

import json
import struct
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.damage import ODD_NUMBERS, Draw, as_text, damaged, odd_json

DTYPES = ("F32", "F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "F4", "C64", "", "f32")
VALUES = (b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff\xff\x7f\x7f", b"\0\0\0\0", b"\0\0\x80\xff")
"""NaN, infinity, the largest float, zero, minus infinity."""


@st.composite
def safetensors(draw: Draw, samples: list[bytes]) -> bytes:
    """One of the files, changed in one of the ways there are."""
    data = draw(st.sampled_from(samples))
    entries, content = taken_apart(data)
    match draw(st.sampled_from(("said", "said", "said", "entry", "entry", "fit", "number",
                                "header", "length", "name", "bytes"))):  # fmt: skip
        case "said":
            return joined(as_text(_said(draw, entries)), content)
        case "entry":
            return joined(as_text(_entry(draw, entries)), content)
        case "fit":
            return _fitting(draw, entries, content)
        case "number":
            at = 4 * draw(st.integers(0, max(0, len(content) // 4 - 1)))
            return joined(as_text(entries), content[:at] + draw(st.sampled_from(VALUES))
                          + content[at + 4 :])  # fmt: skip
        case "header":
            return joined(odd_json(draw, entries), content)
        case "length":
            length = draw(st.sampled_from((*ODD_NUMBERS[:-1], 2**64 - 1, len(data), len(data) - 8)))
            return struct.pack("<Q", length % 2**64) + data[8:]
        case "name":
            return joined(as_text(_renamed(draw, entries)), content)
    return damaged(draw, data)


def taken_apart(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and what follows it."""
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(text: str, content: bytes) -> bytes:
    """A file out of the header's text and what follows."""
    header = text.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(header)) + header + content


def _said(draw: Draw, entries: dict[str, Any]) -> dict[str, Any]:
    """What vaekit says of the file in its metadata, changed and again written as text."""
    metadata = entries["__metadata__"]
    key = next(key for key in metadata if key.startswith("vaekit"))
    text = odd_json(draw, json.loads(metadata[key]))
    return {**entries, "__metadata__": {**metadata, key: text}}


def _entry(draw: Draw, entries: dict[str, Any]) -> dict[str, Any]:
    """One tensor's type, shape or place, changed alone: it no longer fits."""
    name = _tensor(draw, entries)
    entry = dict(entries[name])
    part = draw(st.sampled_from(("dtype", "shape", "data_offsets")))
    if part == "dtype":
        entry[part] = draw(st.sampled_from(DTYPES))
    else:
        sides = [*entry[part]]
        for _ in range(draw(st.integers(1, 2))):
            odd = draw(st.sampled_from((*ODD_NUMBERS, -4, 4, 8, True, 1.0, "8", None)))
            sides.insert(draw(st.integers(0, len(sides))), odd)
            if draw(st.booleans()):
                del sides[draw(st.integers(0, len(sides) - 1))]
        entry[part] = sides
    return {**entries, name: entry}


def _fitting(draw: Draw, entries: dict[str, Any], content: bytes) -> bytes:
    """One tensor of another shape or type whose bytes are there too: a sound file, another one."""
    sizes = {"F32": 4, "F64": 8, "F16": 2, "BF16": 2, "I64": 8, "U8": 1, "BOOL": 1}
    name = _tensor(draw, entries)
    shape = draw(st.lists(st.sampled_from((0, 1, 2, 3, 8, 64)), max_size=3))
    dtype = draw(st.sampled_from(sorted(sizes)))
    if draw(st.booleans()):
        shape = entries[name]["shape"]
    size = sizes[dtype]
    for side in shape:
        size *= side
    start, stop = entries[name]["data_offsets"]
    grown = size - (stop - start)
    moved = json.loads(json.dumps(entries))
    for other, entry in moved.items():
        if other != "__metadata__" and entry["data_offsets"][0] >= stop and other != name:
            entry["data_offsets"] = [place + grown for place in entry["data_offsets"]]
    moved[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, start + size]}
    middle = (content[start:stop] * (size // max(1, stop - start) + 1))[:size]
    return joined(json.dumps(moved), content[:start] + middle + content[stop:])


def _renamed(draw: Draw, entries: dict[str, Any]) -> dict[str, Any]:
    """A tensor under another's name, or one that means nothing."""
    name = _tensor(draw, entries)
    start = name.split(".")[0]
    odd = st.sampled_from(("", "x", f"{start}.x", f"{start}.exp_avg.x", "optimizer.step", "best.x",
                           "optimizer.exp_avg", f"{name}.x", "\0", "network."))  # fmt: skip
    new = draw(odd | st.sampled_from(sorted(entries)))
    return {new if key == name else key: value for key, value in entries.items()}


def _tensor(draw: Draw, entries: dict[str, Any]) -> str:
    name: str = draw(st.sampled_from(sorted(entries.keys() - {"__metadata__"})))
    return name
