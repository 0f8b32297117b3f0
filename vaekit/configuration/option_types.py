"""The types of option values, and how each is parsed.

A value comes as text from a flag or a variable, as a number or a list from YAML, and as anything
from Python; each type accepts what makes sense for it.
"""

from __future__ import annotations

import operator
import os
import re
from typing import Annotated, Literal, SupportsIndex

from pydantic import BeforeValidator, Field

from vaekit import registry

AUGMENTATION_NAMES = ("hflip", "vflip", "crop")
LARGEST_SIDE = 8192
"""Pixels of the longest side that images are resized to."""


def _numbers(value: object) -> object:
    """`"400,400"`, `400` and `[400]` become tuples; an empty text is an empty tuple."""
    if isinstance(value, str):
        parts = [part.strip() for part in value.split(",")] if value.strip() else []
        if not all(part.isdecimal() for part in parts):
            raise ValueError("write whole numbers with commas between, such as 400,400")
        return tuple(int(part) for part in parts)
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def parse_size(value: object) -> tuple[int, int]:
    """Height and width from 64, "64", "48x64" or (48, 64); anything else is a ValueError.

    >>> parse_size("64"), parse_size("48x64"), parse_size([48, 64])
    ((64, 64), (48, 64), (48, 64))
    """
    sides = _sides(value)
    if len(sides) not in (1, 2) or not all(0 < side <= LARGEST_SIDE for side in sides):
        raise ValueError(
            "write a number of pixels, such as 64, or HEIGHTxWIDTH, such as 48x64, "
            f"from 1 to {LARGEST_SIDE}"
        )
    return sides[0], sides[-1]


def _sides(value: object) -> list[int]:
    """The numbers in a size, as it was given; none where it holds anything else."""
    if isinstance(value, str):
        found = re.fullmatch(r"([0-9]{1,6})(?:x([0-9]{1,6}))?", value.strip().lower())
        return [int(side) for side in found.groups() if side] if found else []
    sides = value if isinstance(value, list | tuple) else [value]
    whole = [side for side in sides if isinstance(side, SupportsIndex) and side is not True]
    return [operator.index(side) for side in whole] if len(whole) == len(sides) else []


def _sigma(value: object) -> object:
    """A number, also as text, or one of two words."""
    if not isinstance(value, str) or value in ("learned", "optimal"):
        return value
    try:
        return float(value)
    except ValueError:
        raise ValueError("write a number, learned or optimal") from None


def _interval(value: object) -> object:
    """`500` is steps; `"5min"` (or `90s`, `2h`) is time."""
    if isinstance(value, str):
        if value.isdecimal():
            return int(value)
        if not re.fullmatch(r"\d+(s|min|h)", value):
            raise ValueError("write a number of steps, or a time such as 5min")
    return value


def _pictures_every(value: object) -> object:
    """`0`, `"off"` and YAML's bare `off` mean never; a text of digits is a number."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if value == "off" or (isinstance(value, int) and not value):
        return "off"
    if not isinstance(value, int) or value is True or value < 0:
        raise ValueError("write a number of epochs, or off")
    return value


def _augmentations(value: object) -> object:
    """`"hflip,crop"` and `["hflip", "crop"]` become tuples; an unknown name is an error."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        return value
    for name in value:
        if name not in AUGMENTATION_NAMES:
            raise ValueError(registry.near_miss(str(name), AUGMENTATION_NAMES))
    return tuple(value)


def switch(value: object) -> object:
    """YAML reads a bare `on` or `off` as a boolean; turn it back into the word."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


def _path(value: object) -> object:
    """A text that the system takes as a path: without NUL and lone surrogates."""
    if isinstance(value, str):
        try:
            encoded = os.fsencode(value)
        except UnicodeEncodeError:
            encoded = b"\0"
        if b"\0" in encoded:
            raise ValueError("it holds a character that no path can have")
    return value


def known(kind: str) -> BeforeValidator:
    """A validator: the value is a name in the registry; the error suggests the nearest one."""

    def check(value: object) -> object:
        if isinstance(value, str) and value not in registry.names(kind):
            raise ValueError(registry.near_miss(value, registry.names(kind)))
        return value

    return BeforeValidator(check)


Count = Annotated[int, Field(ge=1)]
Threads = Annotated[int, Field(ge=1, le=1024)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Sizes = Annotated[tuple[Count, ...], BeforeValidator(_numbers)]
Counts = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_numbers)]
ImageSize = Annotated[tuple[Count, Count], BeforeValidator(parse_size)]
SystemPath = Annotated[str, BeforeValidator(_path)]
Augmentations = Annotated[tuple[str, ...], BeforeValidator(_augmentations)]
Interval = Annotated[Count | str, BeforeValidator(_interval)]
PicturesEvery = Annotated[int | Literal["off"], BeforeValidator(_pictures_every)]
Sigma = Annotated[Positive | Literal["learned", "optimal"], BeforeValidator(_sigma)]
