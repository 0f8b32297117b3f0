"""Many images to one picture, to single files in a folder, or to an array.

Images are float (N, C, H, W) in [0, 1] or uint8 (N, H, W, C). On the way to a picture they are
clamped and rounded; in an array of floats they stay as the decoder gave them.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import UsageError
from vaekit.files import errors_naming_file
from vaekit.output.array_writer import ArrayWriter, open_array_writer
from vaekit.output.byte_streams import open_output
from vaekit.output.formats import FOLDER, FORMS, PICTURES, Target
from vaekit.output.pictures import (
    Bytes,
    ImageStack,
    as_numpy,
    encode_picture,
    grid,
    rows,
    to_uint8,
)
from vaekit.reporting import SILENT, Reporter

MOST_IN_GRID = 10_000
"""Images that one picture may show."""

MOST_PICTURE_PIXELS = 200_000_000
"""Pixels that one picture may have."""

LABELS = ("original", "reconstruction")
DIGITS, UNKNOWN_DIGITS = 4, 6
NUMBERED = re.compile(r"[0-9]{4,}(-.*)?\.(png|jpg|webp)", re.DOTALL)
"""A name that this module could have given."""

LONGEST_STEM = 100
"""Bytes of an image's own name that its file's name repeats."""


class ImageWriter(Protocol):
    """Takes images, some at a time.

    `names` are where the images came from, and `originals` what they are reconstructions of:
    forms that have room for these show them.
    """

    def write(
        self,
        images: ImageStack,
        *,
        names: Sequence[str] | None = None,
        originals: ImageStack | None = None,
    ) -> None:
        """Some more images."""


@contextlib.contextmanager
def open_image_writer(
    target: Target,
    shape: tuple[int, int, int],
    *,
    count: int | None = None,
    as_bytes: bool = False,
    columns: int | None = None,
    reporter: Reporter = SILENT,
) -> Iterator[ImageWriter]:
    """Write images of `shape` (H, W, C); `count` is how many there will be, where known.

    Example:
        with open_image_writer(choose_format("faces/", ...), (64, 64, 3), count=100) as out:
            for z in latents:
                out.write(model.decode(z))
    """
    if target.form in PICTURES:
        with open_output(target) as file:
            picture = _Picture(shape, count, columns)
            yield picture
            file.write(encode_picture(picture.drawn(), target.form))
    elif target.form == FOLDER:
        assert target.path is not None
        folder = _Folder(target.path, target.single, count)
        yield folder
        folder.tell_of_older(reporter)
    else:
        dtype = np.uint8 if as_bytes else np.float32
        with open_array_writer(target, shape, count=count, dtype=dtype, name="x") as array:
            yield _Array(array, as_bytes)


class _Picture:
    """Collects bytes until the end, for one grid; reconstructions stand under their originals."""

    def __init__(self, shape: tuple[int, int, int], count: int | None, columns: int | None) -> None:
        self.shape, self.columns, self.count = shape, columns, 0
        self.images: list[Bytes] = []
        self.originals: list[Bytes] = []
        refuse_many(count or 0, shape)

    def write(
        self,
        images: ImageStack,
        *,
        names: Sequence[str] | None = None,
        originals: ImageStack | None = None,
    ) -> None:
        """Some more images."""
        self.count += len(images)
        refuse_many(self.count, self.shape)
        self.images.append(to_uint8(images))
        if originals is not None:
            self.originals.append(to_uint8(originals))

    def drawn(self) -> Bytes:
        """All of them."""
        if not self.images:
            raise UsageError("there are no images to make a picture of")
        images = np.concatenate(self.images)
        if not self.originals:
            return grid(images, columns=self.columns)
        return rows([np.concatenate(self.originals), images], LABELS, columns=self.columns)


class _Folder:
    """Single images, each whole or not there; what else is in the folder is left alone."""

    def __init__(self, folder: Path, form: str, count: int | None) -> None:
        refuse_run(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "cannot be written to", str(folder))
        self.folder, self.form, self.count = folder, form, 0
        self.digits = UNKNOWN_DIGITS if count is None else max(DIGITS, len(str(count - 1)))
        self.older = {path.name for path in folder.iterdir() if NUMBERED.fullmatch(path.name)}

    def write(
        self,
        images: ImageStack,
        *,
        names: Sequence[str] | None = None,
        originals: ImageStack | None = None,
    ) -> None:
        """Some more images: `0007.png`, or with names `0007-cat.png`."""
        for index, image in enumerate(to_uint8(images)):
            number = str(self.count).zfill(self.digits)
            stem = f"{number}-{_stem(names[index])}" if names else number
            path = self.folder / f"{stem}{FORMS[self.form].endings[0]}"
            _place(path, encode_picture(image, self.form))
            self.older.discard(path.name)
            self.count += 1

    def tell_of_older(self, reporter: Reporter) -> None:
        """Say so where an earlier, longer set is not all replaced: nothing of it is removed."""
        if not self.older:
            return
        names = sorted(self.older)
        which = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        images = "image" if len(names) == 1 else "images"
        reporter.warn(
            f"{self.folder}: {len(names):,} numbered {images} from before still there beside the "
            f"{self.count:,} new ones ({which}): remove them, or name another folder"
        )


class _Array:
    """Floats as they are, or bytes, with the channels last."""

    def __init__(self, array: ArrayWriter, as_bytes: bool) -> None:
        self.array, self.as_bytes = array, as_bytes

    def write(
        self,
        images: ImageStack,
        *,
        names: Sequence[str] | None = None,
        originals: ImageStack | None = None,
    ) -> None:
        """Some more images."""
        self.array.write(to_uint8(images) if self.as_bytes else channels_last(images))


def channels_last(images: ImageStack) -> NDArray[Any]:
    """Images as float32 (N, H, W, C), not clamped; bytes become fractions of 255."""
    array = as_numpy(images)
    if array.dtype == np.uint8:
        return array.astype(np.float32) / np.float32(255)
    return array.astype(np.float32, copy=False).transpose(0, 2, 3, 1)


def refuse_many(count: int, shape: tuple[int, int, int]) -> None:
    """More images than anyone could look at are no picture."""
    most = max(1, min(MOST_IN_GRID, MOST_PICTURE_PIXELS // (shape[0] * shape[1])))
    if count > most:
        raise UsageError(
            f"{count:,} images are too many for one picture, which shows at most"
            f" {most:,} of this size: write a folder (-o NAME/) or an array (-o NAME.npy)"
        )


def refuse_run(folder: Path) -> None:
    """A run's folder is not a place for anything else."""
    if (folder / "config.yaml").exists() and (folder / "metrics.jsonl").exists():
        raise UsageError(f"-o {folder}: holds a training run; name another folder")


def _stem(name: str) -> str:
    """The last part of a name without its ending, fit to be part of a file's name anywhere."""
    stem = Path(name.replace("\\", "/")).stem
    kept = "".join(c if c.isprintable() and c not in '<>:"|?*/' else "_" for c in stem)
    return kept.encode()[:LONGEST_STEM].decode(errors="ignore") or "_"


def _place(path: Path, content: bytes) -> None:
    """A whole file under its name. Thousands of these are not worth a wait for the disk each."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with errors_naming_file(path):
            temporary.write_bytes(content)
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
