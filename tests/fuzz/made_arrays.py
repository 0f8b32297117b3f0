"""Arrays: .npy headers that claim anything, and .npz around them."""

from __future__ import annotations

import io
import struct

import numpy as np
from hypothesis import strategies as st

from tests.fuzz.damage import Draw, damaged
from tests.fuzz.made_zips import lying, zipped

DESCR = (
    *("'|u1'", "'<f4'", "'>f8'", "'<f2'", "'<i8'", "'|b1'", "'<U3'", "'|S5'", "'|O'", "'<M8[s]'"),
    *("'|V8'", "'<c16'", "'<f16'", "'|u9'", "'x'", "''", "'|V0'", "'<U0'", "'<U999999999'", "'O'"),
    *("[('a', '<i4')]", "[('a', '|O')]", "[('a', '<f4', (1000000, 1000000))]", "[]", "None", "1"),
    *("[('a', [('b', [('c', '<i4')])])]", "('<i4', (2, 3))", "{'names': ['a'], 'formats': ['O']}"),
    *("'i4,' * 9", "__import__('os')", "(" * 300 + ")" * 300, "[('a', 'u1'), ('a', 'u1')]"),
)
SIDES = ("-1", "0", "1", "2", "3", "8", "True", "1.5", "None", "'8'", "10**9", "99999999999",
         "9223372036854775807", "18446744073709551616", str(10**40), "8L", "(8,)")  # fmt: skip
ORDERS = ("True", "False", "1", "None", "'yes'")
VALUES = (float("nan"), float("inf"), -1.0, 2.0, 1e38, 0.3)


@st.composite
def npy(draw: Draw, samples: list[bytes]) -> bytes:
    """One of the arrays, changed in one of the ways there are."""
    data = draw(st.sampled_from(samples))
    match draw(st.sampled_from(("header", "header", "header", "version", "length", "text",
                                "values", "valid", "bytes"))):  # fmt: skip
        case "header":
            return with_header(_header(draw), _content(data), draw(st.sampled_from((1, 1, 1, 2))))
        case "version":
            odd = draw(st.sampled_from((b"\2\0", b"\3\0", b"\0\0", b"\1\1", b"\xff\xff")))
            return data[:6] + odd + data[8:]
        case "length":
            odd = draw(st.sampled_from((0, 1, 10, 60, 10_000, 65_535)))
            return data[:8] + struct.pack("<H", odd) + data[10:]
        case "text":
            text = draw(st.sampled_from(("", "{}", "{", "1", "{'descr': '|u1'}", "[" * 3000,
                                         "x" * 9000,
                                         "{'shape': (1,), 'descr': '|u1', 'a': 1}",
                                         "()", "-" * 5000 + "1", "\0")))  # fmt: skip
            return with_header(text, _content(data), 1)
        case "values":
            kind = draw(st.sampled_from(("<f4", "<f8", "<f2")))
            shape = draw(st.sampled_from(((4, 8, 8), (4, 2), (4, 2, 8, 8))))
            values = np.full(shape, 0.5, kind)
            with np.errstate(over="ignore"):
                values.flat[draw(st.integers(0, values.size - 1))] = draw(st.sampled_from(VALUES))
            return saved(values)
        case "valid":
            return saved(_array(draw))
    return damaged(draw, data)


@st.composite
def npz(draw: Draw, arrays: dict[str, bytes]) -> bytes:
    """An archive of the arrays, one of them changed, or the archive around them."""
    members = {f"{name}.npy": data for name, data in arrays.items()}
    match draw(st.sampled_from(("member", "member", "other", "zip", "zip", "bytes", "large"))):
        case "member":
            name = draw(st.sampled_from(sorted(members)))
            members[name] = draw(npy([members[name]]))
        case "other":
            name = draw(st.sampled_from(sorted(members)))
            members[name] = saved(_array(draw))
        case "large":
            name = draw(st.sampled_from(sorted(members)))
            members = {name: _large(draw)} if draw(st.booleans()) else members
            members[name] = _large(draw)
        case "zip":
            return draw(lying(members))
        case _:
            return damaged(draw, zipped(members))
    return zipped(members, deflated=draw(st.booleans()))


def saved(values: np.ndarray) -> bytes:
    """An array as numpy writes it; objects as a pickle, which must not be read."""
    file = io.BytesIO()
    np.save(file, values, allow_pickle=True)
    return file.getvalue()


def with_header(text: str, content: bytes, version: int) -> bytes:
    """A .npy out of a header's text."""
    header = text.encode("latin-1", "replace") + b"\n"
    length = struct.pack("<H", min(65_535, len(header))) if version == 1 else struct.pack(
        "<I", len(header))  # fmt: skip
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + content


def _content(data: bytes) -> bytes:
    return data[10 + struct.unpack("<H", data[8:10])[0] :]


def _header(draw: Draw) -> str:
    descr = draw(st.sampled_from(DESCR))
    sides = draw(st.lists(st.sampled_from(SIDES), max_size=5))
    shape = f"({','.join(sides)}{',' if sides else ''})"
    if draw(st.integers(0, 9)) == 0:
        shape = draw(
            st.sampled_from(("8", "[8]", "None", "(" + "1," * 70 + ")", "(" + "0," * 30 + ")"))
        )
    order = draw(st.sampled_from(ORDERS))
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def _array(draw: Draw) -> np.ndarray:
    """An array that is sound by itself, of the wrong type or shape for where it lies."""
    kind = draw(st.sampled_from(("<i8", "<f4", "|b1", "<U3", "|O", "<M8[s]", "<c8", "|S2", "|u1",
                                 "<u8", "<f2")))  # fmt: skip
    shape = draw(st.sampled_from(((), (0,), (1,), (4,), (4, 1), (4, 2), (4, 8, 8), (4, 8, 8, 3),
                                  (4, 0, 8), (2, 2), (4, 1, 8, 8), (1, 4, 8, 8, 1))))  # fmt: skip
    values = np.zeros(shape, kind)
    if values.size and kind[1] in "iuf":
        top = 255 if kind == "|u1" else 60_000
        values.flat[values.size - 1] = draw(st.sampled_from((0, 1, 3, top)))
    return np.asfortranarray(values) if draw(st.booleans()) else values


def _large(draw: Draw) -> bytes:
    """Zeros by the million that pack to little, under headers that claim them or something else."""
    content = bytes(draw(st.sampled_from((1 << 20, 4 << 20, 16 << 20))))
    headers = (
        f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({len(content)}, 1, 1), }}",
        f"{{'descr': '|u1', 'fortran_order': True, 'shape': ({len(content) // 4}, 2, 2), }}",
        f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({len(content) // 8}, 2), }}",
        f"{{'descr': '<f4', 'fortran_order': True, 'shape': ({len(content) // 8}, 2), }}",
        f"{{'descr': '<f8', 'fortran_order': False, 'shape': (4, {len(content) // 32}), }}",
        f"{{'descr': '<i8', 'fortran_order': False, 'shape': ({len(content) // 8},), }}",
        f"{{'descr': '<U{len(content) // 8}', 'fortran_order': False, 'shape': (2,), }}",
        f"{{'descr': '<U1', 'fortran_order': False, 'shape': ({len(content) // 4},), }}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 1, 1), }",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 8, 8), }",
        " " * (len(content) // 2),
    )
    return with_header(draw(st.sampled_from(headers)), content, 2)
