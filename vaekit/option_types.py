"""The kinds of values an option takes, and how each is read from what a person writes.

A value comes as text from a flag or a variable, as a number or a list from YAML, and as anything
from Python; each kind says which of those it understands.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from vaekit import registry


def _numbers(value: object) -> object:
    """`"400,400"`, `400` and `[400, 400]` are the same; an empty text is an empty list."""
    if isinstance(value, str):
        parts = [part.strip() for part in value.split(",")] if value.strip() else []
        if not all(part.isdecimal() for part in parts):
            raise ValueError("whole numbers with commas between, such as 400,400")
        return tuple(int(part) for part in parts)
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _size(value: object) -> object:
    """`64`, `"64"` and `"48x64"` become (height, width)."""
    if isinstance(value, str):
        value = value.lower().split("x")
        if not all(side.isdecimal() for side in value) or len(value) > 2:
            raise ValueError("a number of pixels, or HxW such as 48x64")
        value = [int(side) for side in value]
    sides = _numbers(value)
    return sides * 2 if isinstance(sides, tuple) and len(sides) == 1 else sides


def _sigma(value: object) -> object:
    """A text that reads as a number is one; of the others two words are known."""
    if not isinstance(value, str) or value in ("learned", "optimal"):
        return value
    try:
        return float(value)
    except ValueError:
        raise ValueError("a number, learned or optimal") from None


def _interval(value: object) -> object:
    """`500` is steps; `"5min"` (or `90s`, `2h`) is time."""
    if isinstance(value, str):
        if value.isdecimal():
            return int(value)
        if not re.fullmatch(r"\d+(s|min|h)", value):
            raise ValueError("a number of steps, or a time such as 5min")
    return value


def switch(value: object) -> object:
    """YAML reads a bare `on` or `off` as a truth value; here they are words."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


def known(kind: str) -> BeforeValidator:
    """The value is a name in the registry; a near miss is pointed out."""

    def check(value: object) -> object:
        if isinstance(value, str) and value not in registry.names(kind):
            raise ValueError(registry.near_miss(value, registry.names(kind)))
        return value

    return BeforeValidator(check)


Count = Annotated[int, Field(ge=1)]
Threads = Annotated[int, Field(ge=1, le=1024)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Sizes = Annotated[tuple[Count, ...], BeforeValidator(_numbers)]
ImageSize = Annotated[tuple[Count, Count], BeforeValidator(_size)]
Interval = Annotated[Count | str, BeforeValidator(_interval)]
Sigma = Annotated[Positive | Literal["learned", "optimal"], BeforeValidator(_sigma)]
