"""Distance fields of the letters in the fonts that come with matplotlib, read by Pillow.

A field says how far each cell is from the letter's outline: negative inside. From one field a
letter is drawn crisply at every size and weight (Green 2007, doi:10.1145/1281500.1281665).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, features

from vaekit.array_types import Float64s
from vaekit.errors import DataError
from vaekit.wording import one_line

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
FONTS = {
    "sans": "DejaVuSans.ttf",
    "serif": "DejaVuSerif.ttf",
    "times": "STIXGeneral.ttf",
    "roman": "cmr10.ttf",
    "typewriter": "cmtt10.ttf",
}
CELLS = 192
"""A field's height and width."""
CAP = 120
"""The height of a capital H, in cells of a field."""


@dataclass(frozen=True)
class Outline:
    """One letter of one font."""

    field: Image.Image
    """Signed distances from the outline, in cells."""
    left: Float64s
    """The first inked column of each inked row."""
    right: Float64s
    """The end of the ink in each inked row."""
    rows: Float64s
    """The middle of each inked row."""

    @classmethod
    def of(cls, letter: str, file: str) -> Outline:
        """The outline of a letter in a font's file."""
        ink = _ink(letter, file)
        rows = np.flatnonzero(ink.any(axis=1))
        inked = ink[rows]
        left = inked.argmax(axis=1)
        right = CELLS - inked[:, ::-1].argmax(axis=1)
        sides = left.astype(np.float64), right.astype(np.float64)
        return cls(Image.fromarray(_distances(ink)), *sides, rows.astype(np.float64) + 0.5)

    def box(self, shear: float) -> tuple[float, float, float, float]:
        """The box (left, top, right, bottom) around the ink, sheared about its middle row."""
        top, bottom = float(self.rows[0]) - 0.5, float(self.rows[-1]) + 0.5
        lean = shear * ((top + bottom) / 2 - self.rows)
        return float((self.left + lean).min()), top, float((self.right + lean).max()), bottom


def fonts_identity() -> str:
    """Changes when a font or the library that draws fonts changes, and with them the pixels."""
    digest = hashlib.sha256(str(features.version("freetype2")).encode())
    for file in FONTS.values():
        digest.update(_read(file))
    return digest.hexdigest()


def _distances(ink: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Distances (cells) from the edge between inked and other cells, negative in the ink."""
    from scipy.ndimage import distance_transform_edt

    outside = np.asarray(distance_transform_edt(~ink), np.float32)
    inside = np.asarray(distance_transform_edt(ink), np.float32)
    return outside - inside + np.where(ink, np.float32(0.5), np.float32(-0.5))


def _ink(letter: str, file: str) -> npt.NDArray[np.bool_]:
    """The cells (CELLS, CELLS) whose middle the letter covers, its box in the centre."""
    font = _font(file)
    left, top, right, bottom = font.getbbox(letter)
    picture = Image.new("L", (CELLS, CELLS))
    corner = (CELLS - left - right) / 2, (CELLS - top - bottom) / 2
    ImageDraw.Draw(picture).text(corner, letter, fill=255, font=font)
    return np.asarray(picture) >= 128


@cache
def _font(file: str) -> ImageFont.FreeTypeFont:
    """A font at the size that makes a capital H `CAP` cells high."""
    path, trial = _path(file), 200.0
    try:
        _, top, _, bottom = ImageFont.truetype(path, trial).getbbox("H")
        return ImageFont.truetype(
            path, trial * CAP / (bottom - top), layout_engine=ImageFont.Layout.BASIC
        )
    except (ImportError, OSError) as error:
        raise DataError(f"{one_line(str(path))}: Pillow cannot read this font ({error})") from None


def _read(file: str) -> bytes:
    try:
        return _path(file).read_bytes()
    except OSError as error:
        raise DataError(
            f"glyphs: matplotlib's font {file} cannot be read ({error.strerror}): "
            "vaekit doctor checks the installation"
        ) from None


def _path(file: str) -> Path:
    import matplotlib as mpl

    return Path(mpl.get_data_path()) / "fonts" / "ttf" / file
