"""A contact sheet: images in order, each with its place and lines of text beneath it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vaekit.errors import UsageError
from vaekit.output.pictures import Bytes
from vaekit.wording import one_line

BOX = 112
"""The box that each image is scaled into, in pixels."""
GUTTER, BORDER = 18, 32
TITLE_SIZE, NUMBER_SIZE, TEXT_SIZE = 22, 17, 12
INK, FAINT, PAPER, FRAME = (34, 34, 34), (112, 112, 112), (255, 255, 255), (222, 222, 222)


@dataclass(frozen=True)
class SheetEntry:
    """One image, uint8 (H, W, C), with its most important number and two lines about it."""

    image: Bytes
    number: str
    colour: tuple[int, int, int]
    lines: Sequence[str] = ()


def contact_sheet(entries: Sequence[SheetEntry], title: str, subtitle: str) -> Bytes:
    """The sheet as uint8 (H, W, 3): a title, then the entries row by row."""
    if not entries:
        raise UsageError("there are no images to draw")
    across = _columns(len(entries))
    head = BORDER + TITLE_SIZE + TEXT_SIZE + 26
    lines = max(len(entry.lines) for entry in entries)
    tall = BOX + NUMBER_SIZE + 10 + lines * (TEXT_SIZE + 4) + GUTTER
    down = math.ceil(len(entries) / across)
    width = max(2 * BORDER + across * (BOX + GUTTER) - GUTTER, _needed_width(title, subtitle))
    sheet = Image.new("RGB", (width, head + down * tall - GUTTER + BORDER), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((BORDER, BORDER - 6), title, fill=INK, font=_font(TITLE_SIZE))
    pen.text((BORDER, BORDER + TITLE_SIZE + 2), subtitle, fill=FAINT, font=_font(TEXT_SIZE))
    for place, entry in enumerate(entries):
        row, column = divmod(place, across)
        _draw(sheet, pen, entry, BORDER + column * (BOX + GUTTER), head + row * tall)
    return np.asarray(sheet)


def _columns(count: int) -> int:
    """Up to eight, and no fewer than five where there are as many.

    >>> [_columns(n) for n in (1, 4, 12, 40)]
    [1, 4, 6, 8]
    """
    return min(count, max(5, min(8, math.ceil(math.sqrt(2.6 * count)))))


def _needed_width(*texts: str) -> int:
    sizes = (TITLE_SIZE, TEXT_SIZE)
    lengths = (_font(size).getlength(text) for size, text in zip(sizes, texts, strict=True))
    return math.ceil(max(lengths)) + 2 * BORDER


def _draw(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, entry: SheetEntry, left: int, top: int
) -> None:
    picture = _scaled(entry.image)
    box = (left, top, left + BOX, top + BOX)
    pen.rectangle(box, fill=(246, 246, 246))
    x, y = (at + (BOX - side) // 2 for at, side in zip((left, top), picture.size, strict=True))
    sheet.paste(picture, (x, y))
    pen.rectangle((x - 1, y - 1, x + picture.width, y + picture.height), outline=FRAME)
    y = top + BOX + 7
    pen.text((left, y), entry.number, fill=entry.colour, font=_font(NUMBER_SIZE))
    y += NUMBER_SIZE + 5
    for line in entry.lines:
        pen.text((left, y), _shortened(line), fill=FAINT, font=_font(TEXT_SIZE))
        y += TEXT_SIZE + 4


def _scaled(image: Bytes) -> Image.Image:
    """The image in its box: enlarged by repeating pixels, or made smaller."""
    height, width, channels = image.shape
    picture = Image.fromarray(image[..., 0] if channels == 1 else image).convert("RGB")
    factor = BOX / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    method = Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.NEAREST
    return picture.resize(size, method)


def _shortened(text: str) -> str:
    """The end of a text, which tells one path from another, cut to the width of an image.

    The cut is between the parts of a path or words where a third of the width stays in use.

    >>> _shortened("b.png"), _shortened("holiday/mountains/summit-b.png")
    ('b.png', '...summit-b.png')
    """
    text, font = one_line(text), _font(TEXT_SIZE)
    if font.getlength(text) <= BOX:
        return text
    ends = [f"...{text[at:]}" for at in range(1, len(text))]
    fitting = [end for end in ends if font.getlength(end) <= BOX]
    whole = [end for end in fitting if text[-len(end) + 2] in "/\\ _-"]
    long = [end for end in whole if font.getlength(end) > BOX / 3]
    return (long or fitting or ["..."])[0]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
