"""Latents as text: CSV and JSON lines, in all that people and programs write."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from tests.fuzz.damage import Draw, damaged, odd_json

FIELDS = ("", "x", "nan", "inf", "-1e999", "1e39", "9" * 5000, "0x1", "1_0", "٣", "1 2", '"', '"1"',
          "\0", "\x1f", "a\rb", "é", "1,2", "\t", "-", "1e", "y" * 200_000,
          '"' + "y" * 200_000)  # fmt: skip
WHOLE = (
    b"0," * 2_000_000 + b"0\n",
    b"[" + b"0," * 4_000_000 + b"0]\n",
    b"[" + b"[0,1]," * 600_000 + b"[0,1]]\n",
    b"[" + b"[]," * 1_500_000 + b"[]]\n",
    b"{\"z\": [0, 1], \"x\": [" + b"{}," * 1_500_000 + b"{}]}\n",
    b"[0,1]\n" + b"[" * 500_000,
    b"[\n" * 300_000,
    b'{"z": [0, 1]' * 2 + b"}",
    b'"' + b"\\" * 3_000_000,
    b'["' + b'\\"' * 500_000,
    b"'" * 1_000_000,
    b'"\n' * 300_000,
    b"\n" * 3_000_000,
    b"z0,z1\n" * 300_000,
    b"z0," + b",".join(b"z%d" % n for n in range(1, 200_000)) + b"\n1",
    b"z0,z9999999\n0,1\n",
    b"0,1\n0,1,2\n", b"0 1\n0  1\n", b"0\t1\n", b"\xef\xbb\xbf0,1\n", b"\xff\xfe0\0,\0", b"\r0,1\r",
    "😀".encode() + b" " * 3_000_000 + b"\n0,1",
    b"[1e999, 0]\n", b"[NaN, 0]\n", b"[" + b"9" * 5000 + b", 0]\n",
    b"[true, 0]\n", b"[[0, 1], 2]\n",
    b"{}\n", b"[]\n", b"[[]]\n", b'{"z": {}}\n', b"[0,1]x\n", b"1\n", b"null\n",
)  # fmt: skip


@st.composite
def csv(draw: Draw, sample: bytes) -> bytes:
    """A table, changed in one of the ways there are."""
    if draw(st.booleans()):
        return damaged(draw, sample)
    rows = [line.split(",") for line in sample.decode().splitlines()]
    for _ in range(draw(st.integers(1, 3))):
        row = draw(st.sampled_from(rows))
        odd = draw(st.sampled_from(FIELDS) | st.text(max_size=8))
        at = draw(st.integers(0, max(0, len(row) - 1)))
        row[at : at + draw(st.integers(0, 2))] = [odd] * draw(st.integers(0, 2))
    end = draw(st.sampled_from(("\n", "\r\n", "\r", "\n\n", "\x85", "\x1e")))
    text = end.join(draw(st.sampled_from((",", ",", ";", "\t", " "))).join(row) for row in rows)
    return text.encode("utf-8", "surrogatepass")


@st.composite
def jsonl(draw: Draw, sample: bytes) -> bytes:
    """Records, changed in one of the ways there are, or nothing like them."""
    if draw(st.integers(0, 5)) == 0:
        whole = draw(st.sampled_from(WHOLE))
        return whole if draw(st.booleans()) else damaged(draw, whole)
    if draw(st.booleans()):
        return damaged(draw, sample)
    lines = [json.loads(line) for line in sample.decode().splitlines()]
    if draw(st.booleans()):
        return odd_json(draw, lines, times=3).encode("utf-8", "surrogatepass")
    odd = (odd_json(draw, line, times=1) for line in lines)
    return "\n".join(odd).encode("utf-8", "surrogatepass")
