"""Write many images as one picture, as single files in a folder, or as an array.

Images are float (N, C, H, W) in [0, 1] or uint8 (N, H, W, C). Pictures clamp and round them; an
array of floats keeps the decoder's values.
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

from vaekit import files
from vaekit.errors import UsageError
from vaekit.output.array_writer import ArrayWriter, open_array_writer
from vaekit.output.byte_streams import open_output
from vaekit.output.formats import FOLDER, FORMS, PICTURES, Target
from vaekit.output.pictures import (
    Bytes,
    ImageStack,
    encode_picture,
    grid,
    rows,
    to_numpy,
    to_uint8,
)
from vaekit.reporting import SILENT, Reporter
from vaekit.wording import one_line

MOST_IN_GRID = 10_000
"""The most images in one picture."""

MOST_PICTURE_PIXELS = 200_000_000
"""The most pixels in one picture."""

LABELS = ("original", "reconstruction")
DIGITS, UNKNOWN_DIGITS = 4, 6
NUMBERED = re.compile(r"[0-9]{4,}(-.*)?\.(png|jpg|webp)", re.DOTALL)
"""File names that this module gives."""

LONGEST_STEM = 100
"""Bytes of the original's name that are repeated in the name of a file."""


class ImageWriter(Protocol):
    """Writes images in batches.

    `names` are the sources of the images, `originals` what they reconstruct; formats that can show
    these do.
    """

    def write(
        self,
        images: ImageStack,
        *,
        names: Sequence[str] | None = None,
        originals: ImageStack | None = None,
    ) -> None:
        """Append images."""


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
    """Write images of `shape` (H, W, C); `count` is their number, where known.

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
        folder.warn_of_older_images(reporter)
    else:
        dtype = np.uint8 if as_bytes else np.float32
        with open_array_writer(target, shape, count=count, dtype=dtype, name="x") as array:
            yield _Array(array, as_bytes)


class _Picture:
    """Collects images for one grid, drawn at the end; reconstructions stand below originals."""

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
        """Append images."""
        self.count += len(images)
        refuse_many(self.count, self.shape)
        self.images.append(to_uint8(images))
        if originals is not None:
            self.originals.append(to_uint8(originals))

    def drawn(self) -> Bytes:
        """The picture of all images."""
        if not self.images:
            raise UsageError("there are no images to draw")
        images = np.concatenate(self.images)
        if not self.originals:
            return grid(images, columns=self.columns)
        return rows([np.concatenate(self.originals), images], LABELS, columns=self.columns)


class _Folder:
    """Single image files, each whole or absent; other files in the folder stay."""

    def __init__(self, folder: Path, form: str, count: int | None) -> None:
        refuse_run(folder)
        folder.mkdir(parents=True, exist_ok=True)
        files.remove_leftovers(folder)
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
        """Write each image as `0007.png`, or with names as `0007-cat.png`."""
        for index, image in enumerate(to_uint8(images)):
            number = str(self.count).zfill(self.digits)
            stem = f"{number}-{_stem(names[index])}" if names else number
            path = self.folder / f"{stem}{FORMS[self.form].endings[0]}"
            files.write_one_of_many(path, encode_picture(image, self.form))
            self.older.discard(path.name)
            self.count += 1

    def warn_of_older_images(self, reporter: Reporter) -> None:
        """Warn of images from an earlier, longer set, which are never removed."""
        if not self.older:
            return
        names = sorted(self.older)
        which = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        images = "image" if len(names) == 1 else "images"
        reporter.warn(
            f"{one_line(str(self.folder))}: {len(names):,} older numbered {images} beside the "
            f"{self.count:,} new ones ({one_line(which)}): remove them, or use another folder"
        )


class _Array:
    """An array of floats or bytes, channels last."""

    def __init__(self, array: ArrayWriter, as_bytes: bool) -> None:
        self.array, self.as_bytes = array, as_bytes

    def write(
        self,
        images: ImageStack,
        *,
        names: Sequence[str] | None = None,
        originals: ImageStack | None = None,
    ) -> None:
        """Append images."""
        self.array.write(to_uint8(images) if self.as_bytes else channels_last(images))


def channels_last(images: ImageStack) -> NDArray[Any]:
    """Images as float32 (N, H, W, C), not clamped; bytes become fractions of 255."""
    array = to_numpy(images)
    if array.dtype == np.uint8:
        return array.astype(np.float32) / np.float32(255)
    return array.astype(np.float32, copy=False).transpose(0, 2, 3, 1)


def refuse_many(count: int, shape: tuple[int, int, int]) -> None:
    """Refuse more images than one picture can show."""
    most = max(1, min(MOST_IN_GRID, MOST_PICTURE_PIXELS // (shape[0] * shape[1])))
    if count > most:
        raise UsageError(
            f"{count:,} images are too many for one picture, which shows up to"
            f" {most:,} of this size: write a folder (-o NAME/) or an array (-o NAME.npy)"
        )


def refuse_run(folder: Path) -> None:
    """Refuse a folder that holds a training run."""
    if (folder / "config.yaml").exists() and (folder / "metrics.jsonl").exists():
        raise UsageError(f"-o {one_line(str(folder))}: holds a training run; use another folder")


def _stem(name: str) -> str:
    """The file name without its extension, safe as part of a file name on every system."""
    stem = Path(name.replace("\\", "/")).stem
    kept = "".join(c if c.isprintable() and c not in '<>:"|?*/' else "_" for c in stem)
    return kept.encode()[:LONGEST_STEM].decode(errors="ignore") or "_"
