"""Changes that know no format, to bytes and to JSON; the modules `made_*` build on them."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

Draw = Any
"""What hypothesis gives a composite strategy to draw with."""

ODD_BYTES = (b"\0", b"\xff", b"\x80", b"\0" * 8, b"\xff" * 4, b"{", b'"', b"\n", b"PK\x03\x04")

RAW = {
    "@nan@": "NaN",
    "@infinity@": "-Infinity",
    "@too large@": "1e999",
    "@long@": "9" * 5000,
    "@deep@": "[" * 20_000 + "]" * 20_000,
    "@deeper@": '{"a":' * 3000 + "1" + "}" * 3000,
    "@cut@": '{"a": [1, ',
    "@surrogate@": '"\\ud800"',
}
"""Stand in a value for what no Python value is written as; put in place in the finished text."""

ODD_NUMBERS = (0, 1, -1, 2, 7, 255, 256, 65_537, 2**31 - 1, 2**31, 2**53 + 1, 2**62, 2**63, 2**64)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, *ODD_NUMBERS, -(2**63), 10**30, 10**400, 0.0, -0.0, 0.5, 1e-320, 1e308),
    *("", "x", "relu", "conv", "é\u202e", "\0", "a\nb", "../x", "1", "nan", "y" * 5000),
    *([], [[]], [1], [0, 0], [8, 8, 1], [10**9, 10**9], [65536, 65536, 3], [1] * 3000, {}),
    *({"a": 1}, [None], ["x"], *RAW),
)


def damaged(draw: Draw, data: bytes) -> bytes:
    """Bytes changed here and there, cut, or added to."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        odd = draw(st.sampled_from(ODD_BYTES) | st.binary(min_size=1, max_size=8))
        length = draw(st.sampled_from((1, 2, 8, 100)))
        match draw(st.sampled_from(("flip", "put", "insert", "remove", "twice", "cut", "append"))):
            case "flip" if data:
                bit = 1 << draw(st.integers(0, 7))
                data = data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
            case "put":
                data = data[:at] + odd + data[at + len(odd) :]
            case "insert":
                data = data[:at] + odd + data[at:]
            case "remove":
                data = data[:at] + data[at + length :]
            case "twice":
                data = data[: at + length] + data[at:]
            case "cut":
                data = data[:at]
            case _:
                data += odd * length
    return data


def odd_json(draw: Draw, value: Any, times: int = 2) -> str:
    """JSON with some of its values replaced, removed or joined by others, at any depth."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, times))):
        _change(draw, value)
    return as_text(value)


def as_text(value: Any) -> str:
    """JSON in which the stand-ins are what they stand for."""
    text = json.dumps(value)
    for stand_in, raw in RAW.items():
        text = text.replace(f'"{stand_in}"', raw)
    return text


def _change(draw: Draw, value: Any) -> None:
    inside = list(_places(value))
    if not inside:
        return
    holder, key = inside[draw(st.integers(0, len(inside) - 1))]
    match draw(st.sampled_from(("replace", "replace", "replace", "remove", "rename", "add"))):
        case "replace":
            holder[key] = odd_value(draw, holder[key])
        case "remove":
            del holder[key]
        case "rename" if isinstance(holder, dict):
            holder[draw(st.sampled_from((f"{key}x", "", "__metadata__", "é")))] = holder.pop(key)
        case _ if isinstance(holder, dict):
            holder[draw(st.sampled_from(("extra", "depth", "sigma", "norm")))] = odd_value(draw, 1)
        case _:
            holder.insert(key, odd_value(draw, holder[key]))


def odd_value(draw: Draw, value: Any) -> Any:
    """A near value of the same type, or one that nobody expects."""
    if type(value) is int and draw(st.booleans()):
        return draw(st.sampled_from((value + 1, value - 1, -value, value * 2, str(value))))
    return copy.deepcopy(draw(st.sampled_from(ODD_VALUES)))  # or a later change would change it


def _places(value: Any) -> Any:
    """Every (dict or list, key) there is, to any depth."""
    keys = value if isinstance(value, dict) else range(len(value))
    for key in list(keys):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])
