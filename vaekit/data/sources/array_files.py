"""Images in .npy and .npz files, with labels and factors in .npz.

Images are (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3. Where both readings are possible,
channels are last: (5, 3, 40, 3) is five images of 3x40 pixels. Values are bytes, other integers
from 0 to 255, booleans (black and white), or floats in [0, 1], which become round(255 v).
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.array_types import AnyArray
from vaekit.data.imageset import Integers, Pixels
from vaekit.data.source import NumberedNames, Request, Rows, Source, file_identity
from vaekit.data.sources import npy_format
from vaekit.data.sources.archive_members import BROKEN_ARCHIVE
from vaekit.errors import DataError
from vaekit.wording import one_line

ACCEPTED_SHAPES = "(N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3"


def open_npy(path: Path, request: Request) -> Source:
    """The images of a .npy."""
    where = one_line(str(path))
    try:
        rows = image_rows(npy_format.in_file(path, where))
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror})") from None
    return Source(path.name, {"train": rows}, file_identity(path))


def open_npz(path: Path, request: Request, where: str | None = None) -> Source:
    """The images of an .npz, with their labels and factors; `where` names it in messages."""
    where = where or one_line(str(path))
    found = read_members(path, where, ("x", "y", "factors", "classes", "factor_names"))
    images = found["x"]
    _arrangement(images)  # refuses what is not images before labels are compared with it
    labels = _integers(found.get("y"), images, 1)
    factors = _integers(found.get("factors"), images, 2)
    classes, factor_names = _words(found.get("classes")), _words(found.get("factor_names"))
    _check_names(where, classes, labels, "classes")
    _check_names(where, factor_names, factors, "factor_names")
    rows = image_rows(images, labels, factors)
    return Source(path.name, {"train": rows}, file_identity(path), classes, factor_names)


def read_members(
    path: Path, where: str, wanted: Sequence[str]
) -> dict[str, npy_format.ArrayInFile]:
    """The wanted arrays of an .npz by name; the first one is needed. Others are never opened."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {m.filename.removesuffix(".npy"): m for m in archive.infolist()}
            found = {
                name: npy_format.in_archive(archive, path, members[name], f"{where}: {name}")
                for name in wanted
                if name in members
            }
    except (*BROKEN_ARCHIVE, RuntimeError, NotImplementedError) as error:
        why = one_line(" ".join(str(error).split()))[:100]
        raise DataError(f"{where}: is not an .npz that can be read ({why})") from None
    if wanted[0] not in found:
        keys = ", ".join(one_line(key) for key in members) or "nothing"
        raise DataError(f"{where}: has no array {wanted[0]}; it holds {keys}")
    return found


def image_rows(
    stored: npy_format.ArrayInFile, labels: Integers | None = None, factors: Integers | None = None
) -> Rows:
    """The images in a stored array; values are checked as they are read."""
    shape, arrange = _arrangement(stored)

    def blocks(indices: Integers) -> Iterator[Pixels]:
        for block in stored.blocks(indices):
            yield arrange(_bytes(block, stored))

    names = NumberedNames(stored.shape[0])
    quick = stored.offset is not None and stored.dtype == np.uint8
    return Rows(names, shape, blocks, labels, factors, quick)


def piped_rows(stored: npy_format.ArrayInFile) -> tuple[tuple[int, int, int], Iterator[Pixels]]:
    """The shape (H, W, C) of images that come through a pipe, and the images in blocks."""
    shape, arrange = _arrangement(stored)
    return shape, (arrange(_bytes(block, stored)) for block in stored.forward())


def _arrangement(
    stored: npy_format.ArrayInFile,
) -> tuple[tuple[int, int, int], Callable[[Pixels], Pixels]]:
    """The shape (H, W, C) of each image, and how to arrange a block as (N, H, W, C)."""
    shape = stored.shape
    if 0 in shape:
        raise DataError(f"{stored.where}: is empty: its shape is {shape}")
    if len(shape) == 3:
        return (shape[1], shape[2], 1), lambda block: block[..., None]
    if len(shape) == 4 and shape[3] in (1, 3):
        return (shape[1], shape[2], shape[3]), lambda block: block
    if len(shape) == 4 and shape[1] in (1, 3):
        return (shape[2], shape[3], shape[1]), lambda block: block.transpose(0, 2, 3, 1)
    why = ""
    if len(shape) == 2:
        why = "; a single image (H, W) needs a first axis: x[None]"
    elif len(shape) == 4 and 4 in (shape[1], shape[3]):
        why = "; lay RGBA on a background first, or give the images as .png files"
    raise DataError(f"{stored.where}: has the shape {shape}, but images are {ACCEPTED_SHAPES}{why}")


def _bytes(block: AnyArray, stored: npy_format.ArrayInFile) -> Pixels:
    """Values as bytes, or an error with the range of the values."""
    kind = block.dtype.kind
    if block.dtype == np.uint8:
        return block
    if kind == "b":
        return block.astype(np.uint8) * np.uint8(255)
    if kind not in "iuf":
        raise DataError(f"{stored.where}: has the type {block.dtype}; images are numbers")
    top = 1 if kind == "f" else 255
    if not (block.min() >= 0 and block.max() <= top):  # false for NaN too
        raise DataError(f"{stored.where}: {_range(stored, block)}; {_allowed(kind)}")
    if kind == "f":
        wide = block.astype(np.result_type(block.dtype, np.float32), copy=False)
        block = np.rint(wide * 255)
    pixels: Pixels = block.astype(np.uint8)
    return pixels


def _allowed(kind: str) -> str:
    if kind == "f":
        return "floats must lie in [0, 1] (divide by 255 if they are bytes)"
    return "integers must lie in 0 to 255"


def _range(stored: npy_format.ArrayInFile, at_hand: AnyArray) -> str:
    """The range of all values, or of this block where the rest has gone by, for an error."""
    low, high, bad = None, None, 0
    for block in stored.blocks(np.arange(stored.shape[0])) if stored.again else (at_hand,):
        finite = block[np.isfinite(block)]
        bad += block.size - finite.size
        if finite.size:
            low = finite.min() if low is None else min(low, finite.min())
            high = finite.max() if high is None else max(high, finite.max())
    return _span(low, high, bad)


def _span(low: Any, high: Any, bad: int) -> str:
    """What values there are, in words.

    >>> _span(-0.5, 1.0000001, 0), _span(300, 300, 0)
    ('values range from -0.5 to 1.0000001', 'all values are 300')
    >>> _span(0.0, 1.0, 3), _span(None, None, 8)
    ('3 values are NaN or infinite, the others range from 0 to 1', 'all values are NaN or infinite')
    """
    if low is None:
        return "all values are NaN or infinite"
    count = "1 value is" if bad == 1 else f"{bad:,} values are"
    others = f"{count} NaN or infinite, the others" if bad else ""
    if low == high:
        return f"{others or 'all values'} are {_short(low)}"
    return f"{others or 'values'} range from {_short(low)} to {_short(high)}"


def _short(value: Any) -> str:
    """A number in six digits, or in all of them where six would be another number."""
    return f"{value:g}" if float(f"{value:g}") == float(value) else str(value)


def _integers(
    stored: npy_format.ArrayInFile | None, images: npy_format.ArrayInFile, axes: int
) -> Integers | None:
    """Labels (N,) or factors (N, F); a column (N, 1) of labels will do."""
    if stored is None:
        return None
    if stored.shape[:1] != images.shape[:1]:
        raise DataError(
            f"{stored.where}: has the shape {stored.shape}, but {images.where} has "
            f"{images.shape[0]:,} images: one row is needed for each"
        )
    values = stored.whole()
    if values.ndim == 2 and axes == 1 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != axes or values.dtype.kind not in "iuf" or not _are_whole(values):
        form = "whole numbers (N,)" if axes == 1 else "whole numbers (N, F)"
        raise DataError(
            f"{stored.where}: must be {form}, not {stored.dtype} of shape {stored.shape}"
        )
    return values.astype(np.int64)


def _are_whole(values: AnyArray) -> bool:
    """Whether all are whole numbers that a 64-bit float holds exactly; NaN is not."""
    parts = np.array_split(values, max(1, values.nbytes >> 20))
    wide = (part.astype(np.float64, copy=False) for part in parts)
    return all(bool(np.all((np.abs(part) <= 2**53) & (np.floor(part) == part))) for part in wide)


def _words(stored: npy_format.ArrayInFile | None) -> tuple[str, ...] | None:
    if stored is None:
        return None
    if stored.dtype.kind != "U" or len(stored.shape) != 1:
        raise DataError(f"{stored.where}: must be a list of text, not {stored.dtype}")
    return tuple(str(word) for word in stored.whole())


def _check_names(
    where: str, names: tuple[str, ...] | None, values: Integers | None, what: str
) -> None:
    """Classes must name every label, and factor names every factor."""
    if names is None or values is None:
        return
    if what == "factor_names" and len(names) != values.shape[1]:
        raise DataError(f"{where}: {len(names)} factor_names for {values.shape[1]} factors")
    if what == "classes" and not (values.min() >= 0 and values.max() < len(names)):
        raise DataError(
            f"{where}: {len(names)} classes, but y ranges from {values.min()} to {values.max()}"
        )
