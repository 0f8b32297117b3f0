"""Write a folder for TensorBoard's projector: latents, names, labels and thumbnails.

    tensors.tsv           one latent per line, tab-separated
    metadata.tsv          name and label, with a header
    sprite.png            the images in the same order, row by row in a square
    projector_config.pbtxt

`tensorboard --logdir FOLDER` shows it; writing it does not need TensorBoard.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from vaekit.errors import VaekitError
from vaekit.files import replacing, write_bytes, write_text
from vaekit.output.float_text import shortest
from vaekit.output.image_writer import refuse_run
from vaekit.output.pictures import WHITE, Bytes, ImageStack, encode_picture, to_numpy, to_uint8
from vaekit.wording import one_line

SHEET = 8192
"""The longest side of a sprite in pixels: the largest texture that browsers take."""

THUMBNAIL = 64
"""The side of a thumbnail in pixels, while there are few."""

SMALLEST_THUMBNAIL = 4
"""Smaller thumbnails show nothing, so the sprite is left out."""

TENSORS, METADATA, SPRITE = "tensors.tsv", "metadata.tsv", "sprite.png"


@contextlib.contextmanager
def open_projector(folder: Path) -> Iterator[ProjectorWriter]:
    """Write a projector's folder; the config, by which TensorBoard finds it, comes last.

    Example:
        with open_projector(Path("projector")) as out:
            out.write(names, z, labels=["cat", "dog"], images=images)
    """
    refuse_run(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / TENSORS) as tensors, replacing(folder / METADATA) as metadata:
        metadata.write(b"name\tlabel\n")
        out = ProjectorWriter(tensors, metadata)
        yield out
    sheet = out.sheet.picture()
    if sheet is not None:
        write_bytes(folder / SPRITE, encode_picture(sheet))
    else:
        (folder / SPRITE).unlink(missing_ok=True)
    write_text(
        folder / "projector_config.pbtxt", _config(out.sheet.side if sheet is not None else 0)
    )


class ProjectorWriter:
    """Writes latents with their names, labels and thumbnails in batches."""

    def __init__(self, tensors: IO[bytes], metadata: IO[bytes]) -> None:
        self.tensors, self.metadata = tensors, metadata
        self.count, self.sheet = 0, _Sheet()

    def write(
        self,
        names: Sequence[str],
        z: Any,
        *,
        labels: Sequence[str | int | None] | None = None,
        images: ImageStack | None = None,
    ) -> None:
        """Append latents; labels are the texts to show, None where unknown."""
        rows = to_numpy(z)
        bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if bad.size:
            name = names[int(bad[0])]
            raise VaekitError(
                f"{one_line(name)}: its latents are NaN or infinite, which cannot be shown"
            )
        lines = ("\t".join(row) for row in shortest(rows))
        self.tensors.write("".join(f"{line}\n" for line in lines).encode())
        shown = [None] * len(names) if labels is None else labels
        pairs = zip(names, shown, strict=True)
        lines = (f"{_cell(name)}\t{_cell(_text(label))}" for name, label in pairs)
        self.metadata.write("".join(f"{line}\n" for line in lines).encode())
        self.count += len(names)
        if images is not None:
            self.sheet.add(to_uint8(images))


class _Sheet:
    """A square of thumbnails, which shrink as their number grows."""

    def __init__(self) -> None:
        self.side = THUMBNAIL
        self.parts: list[Bytes] = []
        self.count = 0

    def add(self, images: Bytes) -> None:
        """Append thumbnails, and halve the side of all as often as needed to fit them."""
        self.count += len(images)
        while self.side and _across(self.count) * self.side > SHEET:
            self.side = self.side // 2 if self.side // 2 >= SMALLEST_THUMBNAIL else 0
            self.parts = [_thumbnails(part, self.side) for part in self.parts if self.side]
        if self.side:
            self.parts.append(_thumbnails(images, self.side))

    def picture(self) -> Bytes | None:
        """The square, row by row; None where there are no thumbnails."""
        if not self.parts:
            return None
        across, side = _across(self.count), self.side
        cells = np.concatenate(self.parts)
        board = np.full((across * across, side, side, cells.shape[-1]), WHITE, np.uint8)
        board[: len(cells)] = cells
        board = board.reshape(across, across, side, side, -1).swapaxes(1, 2)
        return np.ascontiguousarray(board.reshape(across * side, across * side, -1))


def _across(count: int) -> int:
    return math.isqrt(count - 1) + 1


def _thumbnails(images: Bytes, side: int) -> Bytes:
    """Images scaled to fit a square, centred on white."""
    height, width, channels = images.shape[1:]
    factor = side / max(height, width)
    tall, wide = max(1, round(height * factor)), max(1, round(width * factor))
    method = Image.Resampling.BOX if factor < 1 else Image.Resampling.NEAREST
    board = np.full((len(images), side, side, channels), WHITE, np.uint8)
    top, left = (side - tall) // 2, (side - wide) // 2
    for cell, image in zip(board, images, strict=True):
        picture = Image.fromarray(image[..., 0] if channels == 1 else image)
        scaled = np.asarray(picture.resize((wide, tall), method)).reshape(tall, wide, channels)
        cell[top : top + tall, left : left + wide] = scaled
    return board


def _text(label: str | int | None) -> str:
    return "" if label is None else str(label)


def _cell(text: str) -> str:
    """Text on one line without tabs, in UTF-8."""
    plain = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else f"{c!r}"[1:-1] for c in plain)


def _config(side: int) -> str:
    """The file that the projector reads first."""
    sprite = f"""\
  sprite {{
    image_path: "{SPRITE}"
    single_image_dim: {side}
    single_image_dim: {side}
  }}
"""
    return f"""\
embeddings {{
  tensor_name: "latents"
  tensor_path: "{TENSORS}"
  metadata_path: "{METADATA}"
{sprite if side else ""}}}
"""
