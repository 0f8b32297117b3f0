"""Reads the images of Python callers: arrays, tensors, pictures, paths, data sets, lists.

Everything becomes blocks in one of two forms: uint8 (N, H, W, C), or float (N, C, H, W) in [0, 1].
The axes of an array are found by comparing its shape with the model's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit.data.imageset import ImageSet
from vaekit.data.source import Shape
from vaekit.errors import DataError, ImageError

READINGS = ("NHWC", "NCHW", "NHW", "HWC", "CHW", "HW")
"""The orders of axes that images come in: number, height, width, channels."""

KEYS = ("image", "images", "img", "pixel_values", "x")
"""The names under which a data set whose items are dictionaries may hold its images."""

_TAKEN = "(N, H, W, C), (N, C, H, W), (N, H, W), (H, W, C), (C, H, W) or (H, W)"


def image_blocks(images: Any, shape: Shape, at_once: int) -> Iterator[Tensor]:
    """Blocks of up to `at_once` images of this shape (H, W, C), in order; at least one block.

    Pictures and files are converted to the shape, as the commands do. Arrays must have it.
    """
    begun = False
    for block in _joined(_blocks(images, shape, at_once), at_once):
        begun = True
        yield block
    if not begun:
        height, width, channels = shape
        yield torch.zeros(0, height, width, channels, dtype=torch.uint8)


def one_image(image: Any, shape: Shape) -> Tensor:
    """A single image, as one block; more or fewer are an error."""
    blocks = list(image_blocks(image, shape, 2))
    count = sum(map(len, blocks))
    if count != 1:
        raise DataError(f"one image is needed, not {count}")
    return blocks[0]


def as_floats(images: Any) -> Tensor:
    """uint8 (N, H, W, C), or float (N, C, H, W), as float (N, C, H, W) in [0, 1]."""
    x = as_tensor(images)
    if x.ndim != 4:
        raise DataError(f"images have shape {list(x.shape)}: four dimensions are needed")
    if x.dtype == torch.uint8:
        return x.permute(0, 3, 1, 2).float().div_(255)
    if not x.is_floating_point():
        kind = str(x.dtype).removeprefix("torch.")
        raise DataError(f"images are {kind}: uint8 from 0 to 255, or floats in [0, 1]")
    x = x.float()
    if x.numel() and not bool(((x >= 0) & (x <= 1)).all()):
        raise DataError(f"images hold values outside [0, 1]: {_range(x)}")
    return x


def as_tensor(values: Any) -> Tensor:
    """Any array of numbers as a tensor; torch takes no read-only or reversed array."""
    if isinstance(values, Tensor):
        return values
    array = np.asarray(values)
    if array.dtype.kind not in "buif":
        raise DataError(f"values are of type {array.dtype}: numbers are needed")
    usable = array.flags.writeable and all(stride >= 0 for stride in array.strides)
    return torch.from_numpy(array if usable else array.copy())


def choose_reading(
    dims: Sequence[int], shape: Shape | None, *, first: str = "", single: bool = False
) -> str:
    """The order of an array's axes, by the model's shape (H, W, C).

    Without a shape, a last or first axis of 1 or 3 counts as channels. `first` is the reading to
    prefer where two fit, by convention; without one, that is an error. `single` says that the
    array is one image.

    >>> choose_reading((5, 8, 8), (8, 8, 1)), choose_reading((8, 8, 3), (8, 8, 3))
    ('NHW', 'HWC')
    >>> choose_reading((3, 32, 32), (32, 32, 3)), choose_reading((90, 28, 28), None)
    ('CHW', 'NHW')
    """
    found = _different(dims, [r for r in READINGS if len(r) == len(dims) and _fits(r, dims, shape)])
    if single and shape is None:
        found = [reading for reading in found if "N" not in reading or len(dims) == 4] or found
    if len(found) > 1 and first.endswith(tuple(found)):
        return next(reading for reading in found if first.endswith(reading))
    if len(found) > 1:
        ways = " or ".join(f"({', '.join(reading)})" for reading in found)
        raise DataError(
            f"images of shape {tuple(dims)} can be read as {ways}: pass uint8 arrays with the "
            "channels last, or float tensors with the channels first"
        )
    if not found:
        raise DataError(_no_reading(dims, shape, first))
    return found[0]


def shape_in(reading: str, dims: Sequence[int]) -> Shape:
    """Height, width and channels of an array read in this order.

    >>> shape_in("NCHW", (5, 3, 32, 48)), shape_in("HW", (28, 20))
    ((32, 48, 3), (28, 20, 1))
    """
    sides = dict(zip(reading, dims, strict=True))
    return sides["H"], sides["W"], sides.get("C", 1)


def array_blocks_of(
    values: Any, shape: Shape | None, at_once: int, *, single: bool = False
) -> Iterator[Tensor]:
    """An array or a tensor, a few images at a time: a mapped file is never read as a whole."""
    reading = choose_reading(values.shape, shape, first=_convention(values), single=single)
    if "N" not in reading:
        values, reading = values[None], f"N{reading}"
    for start in range(0, max(1, len(values)), at_once):
        yield arranged(_bytes_or_floats(as_tensor(values[start : start + at_once])), reading)


def _bytes_or_floats(values: Tensor) -> Tensor:
    """Whole numbers from 0 to 255 as bytes, and true and false as 1 and 0; others as they are."""
    if values.dtype == torch.bool:
        return values.float()
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.uint8:
        return values
    if values.numel() and not bool(((values >= 0) & (values <= 255)).all()):
        low, high = (int(value) for value in values.aminmax())
        raise DataError(f"images hold whole numbers from {low} to {high}: 0 to 255 are taken")
    return values.to(torch.uint8)


def arranged(values: Tensor, reading: str) -> Tensor:
    """A view with the axes in order: bytes with the channels last, floats with them first."""
    if reading == "NHW":
        values, reading = values[..., None], "NHWC"
    wanted = "NHWC" if values.dtype == torch.uint8 else "NCHW"
    return values.permute([reading.index(axis) for axis in wanted])


def is_array(images: Any) -> bool:
    """Whether this is an array of numbers, a tensor, or nested lists of numbers."""
    if isinstance(images, Tensor | np.ndarray):
        return True
    while isinstance(images, list | tuple) and images:
        images = images[0]
        if isinstance(images, int | float):
            return True
    return False


def is_picture(image: Any) -> bool:
    """Whether this is an image of Pillow's; it is not imported for the question."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(image, pillow.Image)


def is_encoded(image: Any) -> bool:
    """Whether this is an encoded image: bytes, or an open file."""
    return isinstance(image, bytes | bytearray | memoryview) or callable(
        getattr(image, "read", None)
    )


def items_of(images: Any) -> Iterator[Any]:
    """The items of a list, a data set or a loader; those with a length but no `__iter__` too."""
    if hasattr(type(images), "__iter__"):
        yield from images
    elif hasattr(images, "__len__") and hasattr(images, "__getitem__"):
        yield from (images[index] for index in range(len(images)))
    else:
        raise DataError(
            f"images of type {type(images).__name__}: pass an array, a tensor, PIL images, paths, "
            "an ImageSet, a data set or a loader, or a list of them"
        )


def split_item(item: Any) -> tuple[Any, Any]:
    """The images of an item, and its labels where it is a pair of both."""
    if isinstance(item, dict):
        name = next((key for key in KEYS if key in item), None)
        if name is None:
            raise DataError(f"an item has the keys {', '.join(map(str, item))}: none is `image`")
        return item[name], item.get("label", item.get("labels"))
    if isinstance(item, tuple | list) and len(item) > 1 and _is_label(item[1], item[0]):
        return item[0], item[1]
    return item, None


def _is_label(value: Any, image: Any) -> bool:
    """Whether what stands beside an image is its label, or the labels of a batch."""
    if isinstance(value, str):
        return not isinstance(image, str | os.PathLike)
    if isinstance(value, int | None):
        return not isinstance(image, int | float)
    return isinstance(value, Tensor | np.ndarray | np.generic) and value.ndim < 2


def decode_picture(image: Any, size: tuple[int, int] | None, channels: int | None) -> np.ndarray:
    """The pixels (H, W, C) of a Pillow image, or of encoded bytes or an open file."""
    from vaekit.data.decoding.decode_image import convert_picture, decode_image, quiet_pillow

    with quiet_pillow():
        if is_picture(image):
            return convert_picture(image, size, channels).pixels
        data = bytes(image.read() if hasattr(image, "read") else image)
        try:
            return decode_image(data, size, channels).pixels
        except ImageError as error:
            raise ImageError(f"{getattr(image, 'name', 'an encoded image')} {error}") from None


def _blocks(images: Any, shape: Shape, at_once: int) -> Iterator[Tensor]:
    if isinstance(images, ImageSet):
        images = images.images
    if is_array(images):
        values = images if isinstance(images, Tensor) else np.asarray(images)
        yield from array_blocks_of(values, shape, at_once)
    elif is_picture(images) or is_encoded(images):
        yield torch.from_numpy(np.array(decode_picture(images, shape[:2], shape[2])))[None]
    elif isinstance(images, str | os.PathLike):
        yield from _files([os.fspath(images)], shape, at_once)
    else:
        yield from _listed(items_of(images), shape, at_once)


def _listed(items: Iterable[Any], shape: Shape, at_once: int) -> Iterator[Tensor]:
    """The images of a list, paths next to each other decoded in parallel."""
    for is_path, group in groupby(items, lambda item: isinstance(item, str | os.PathLike)):
        if is_path:
            yield from _files([os.fspath(path) for path in group], shape, at_once)
        else:
            for item in group:
                yield from _blocks(split_item(item)[0], shape, at_once)


def _files(paths: list[str], shape: Shape, at_once: int) -> Iterator[Tensor]:
    """The images of files, folders and archives; a bad one is an error that names it."""
    from vaekit.data.streams.mixed_inputs import stream_images

    if "-" in paths:
        raise DataError("- is standard input on the command line alone; pass sys.stdin.buffer")
    try:
        with stream_images(paths, shape=shape, chunk=at_once, strict=True) as stream:
            for chunk in stream:
                yield as_tensor(chunk.images)
    except ImageError as error:
        raise ImageError(str(error).removesuffix(" (--strict)")) from None


def _joined(blocks: Iterable[Tensor], at_once: int) -> Iterator[Tensor]:
    """Small blocks joined to larger ones, where they are of one type."""
    waiting: list[Tensor] = []
    count = 0
    for block in blocks:
        count += len(block)
        if waiting and (count > at_once or waiting[0].dtype != block.dtype):
            yield _cat(waiting)
            waiting, count = [], len(block)
        waiting.append(block)
    if waiting:
        yield _cat(waiting)


def _cat(blocks: list[Tensor]) -> Tensor:
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks)


def _convention(values: Any) -> str:
    """Bytes have the channels last and float tensors have them first; else neither is usual."""
    if values.dtype in (torch.uint8, np.uint8):
        return "NHWC"
    return "NCHW" if isinstance(values, Tensor) and values.is_floating_point() else ""


def _fits(reading: str, dims: Sequence[int], shape: Shape | None) -> bool:
    own = shape_in(reading, dims)
    return own == shape if shape is not None else own[2] in (1, 3)


def _different(dims: Sequence[int], readings: Sequence[str]) -> list[str]:
    """Readings without those that give the same images as an earlier one."""
    kept: dict[str, str] = {}
    for reading in readings:
        axes = "".join(axis for axis, side in zip(reading, dims, strict=True) if side != 1)
        kept.setdefault(axes, reading)
    return list(kept.values())


def _no_reading(dims: Sequence[int], shape: Shape | None, first: str) -> str:
    """The message for an array that is no images, or whose images have another shape."""
    readings = [reading for reading in READINGS if len(reading) == len(dims)]
    if shape is None or not readings:
        return f"images have shape {list(dims)}: {_TAKEN} are needed, with 1 or 3 channels"
    if len(dims) == 2 and dims[1] == np.prod(shape):
        sides = ", ".join(map(str, shape))
        return f"images are rows of {dims[1]} values: reshape them to (N, {sides})"
    likely = [r for r in readings if "C" not in r or shape_in(r, dims)[2] in (1, 3)]
    usual = [r for r in likely if first.endswith(r)] or likely or readings
    got, takes = ("x".join(map(str, sides)) for sides in (shape_in(usual[0], dims), shape))
    return f"images are {got}, this model takes {takes}"


def _range(x: Tensor) -> str:
    if not bool(torch.isfinite(x).all()):
        return "some are NaN or infinite"
    low, high = (float(value) for value in x.aminmax())
    advice = "undo the normalisation" if low < 0 else f"divide by {255 if high > 16 else high:g}"
    return f"they go from {low:g} to {high:g}; {advice}"
