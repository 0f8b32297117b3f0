"""Pictures in motion: GIF, WebP and APNG of one loop, the same bytes every time.

WebP and APNG hold every colour. A GIF holds 256: greys fit exactly, and so do few colours; from
more of them one palette is made for all frames, so that nothing that stands still shimmers.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vaekit.errors import UsageError
from vaekit.output.pictures import Bytes, ImageStack, grid

FPS = 12.0
PALETTE_SIZE = 256
SAMPLED_PIXELS = 250_000
"""Pixels out of all frames that a palette begins from."""

BIN_BITS = 6
ROUNDS = 6

_SLOWEST, _FASTEST = 0.1, 50.0


def frames(
    paths: Sequence[ImageStack], labels: Sequence[str] | None = None, *, columns: int | None = None
) -> Bytes:
    """One frame a step: the stacks' first images side by side, then their second ones, and so on.

    `labels` are written at the left of each image.
    """
    lengths = {len(path) for path in paths}
    if len(lengths) != 1 or 0 in lengths:
        raise UsageError(f"an animation needs paths of one length, not {sorted(lengths)}")
    steps = range(lengths.pop())
    shown = [_joined([path[step : step + 1] for path in paths]) for step in steps]
    return np.stack([grid(images, labels=labels, columns=columns) for images in shown])


def encode_animation(
    pictures: Bytes,
    form: str,
    *,
    fps: float = FPS,
    loop: bool = True,
    there_and_back: bool = False,
) -> bytes:
    """The bytes of frames (T, H, W, C) as `gif`, `webp` or `apng`, so many of them a second.

    `there_and_back` shows the frames in between once more in reverse, so that a loop has no jump.
    """
    if pictures.ndim != 4 or pictures.dtype != np.uint8 or pictures.shape[-1] not in (1, 3):
        raise UsageError(f"frames are uint8 (T, H, W, C), not {pictures.dtype} {pictures.shape}")
    if not len(pictures) or not _SLOWEST <= fps <= _FASTEST:
        raise UsageError(
            f"an animation has at least one frame and {_SLOWEST:g} to {_FASTEST:g} frames a second,"
            f" not {len(pictures)} frames at {fps:g}"
        )
    if there_and_back:
        pictures = np.concatenate([pictures, pictures[-2:0:-1]])
    encode = {"gif": _gif, "webp": _webp, "apng": _apng}.get(form)
    if encode is None:
        raise UsageError(f"an animation is gif, webp or apng, not {form}")
    return encode(pictures, fps, loop)


def _joined(images: Sequence[Any]) -> Any:
    if isinstance(images[0], np.ndarray):
        return np.concatenate(images)
    import torch

    return torch.cat(list(images))


def _gif(pictures: Bytes, fps: float, loop: bool) -> bytes:
    # A GIF counts hundredths of a second, and programs take less than two of them for ten.
    pause = max(2, round(100 / fps)) * 10
    return _saved(_paletted(pictures), "GIF", duration=pause, optimize=False, **_looping(loop))


def _looping(loop: bool) -> dict[str, int]:
    """A GIF that plays once is one that does not speak of loops."""
    return {"loop": 0} if loop else {}


def _webp(pictures: Bytes, fps: float, loop: bool) -> bytes:
    how = {"lossless": True, "exact": True, "quality": 60, "loop": int(not loop)}
    return _saved(_images(pictures), "WEBP", duration=round(1000 / fps), **how)


def _apng(pictures: Bytes, fps: float, loop: bool) -> bytes:
    return _saved(_images(pictures), "PNG", duration=round(1000 / fps), loop=int(not loop))


def _saved(images: list[Image.Image], form: str, **how: Any) -> bytes:
    buffer = io.BytesIO()
    images[0].save(buffer, form, save_all=True, append_images=images[1:], **how)
    return buffer.getvalue()


def _images(pictures: Bytes) -> list[Image.Image]:
    grey = pictures.shape[-1] == 1
    return [Image.fromarray(picture[..., 0] if grey else picture) for picture in pictures]


def _paletted(pictures: Bytes) -> list[Image.Image]:
    """Frames of one palette; no dots are strewn, for they would flicker."""
    if pictures.shape[-1] == 1:
        return _images(pictures)  # Pillow gives these the 256 greys
    codes = _codes(pictures)
    colours = np.unique(codes)
    if len(colours) <= PALETTE_SIZE:
        return _indexed(np.searchsorted(colours, codes), _split(colours))
    return _indexed(*_reduced(pictures))


def _indexed(places: NDArray[np.intp], palette: NDArray[np.int32]) -> list[Image.Image]:
    images = [Image.fromarray(place) for place in places.astype(np.uint8)]
    for image in images:
        image.putpalette(palette.astype(np.uint8).tobytes())
    return images


def _codes(colours: NDArray[Any], bits: int = 8) -> NDArray[np.int32]:
    """A colour as one number, from the uppermost bits of each channel."""
    wide = colours.astype(np.int32) >> (8 - bits)
    return (wide[..., 0] << (2 * bits)) | (wide[..., 1] << bits) | wide[..., 2]


def _split(codes: NDArray[np.int32]) -> NDArray[np.int32]:
    """Numbers of 8 bits a channel back to colours (N, 3)."""
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1)


def _reduced(pictures: Bytes) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Each pixel's place in the palette that serves all frames best, and the palette.

    Colours are first gathered in bins of 6 bits a channel; the palette begins as Pillow's median
    cut, and is then moved to the means of what falls to each of its colours (Lloyd, 1982).
    """
    codes = _codes(pictures, BIN_BITS)
    _, index, counts = np.unique(codes, return_inverse=True, return_counts=True)
    sums = [np.bincount(index.ravel(), pictures[..., channel].ravel()) for channel in range(3)]
    colours = np.stack(sums, axis=1) / counts[:, None]
    palette = _median_cut(pictures)
    for _ in range(ROUNDS):
        palette = _moved(palette, colours, counts)
    palette = np.rint(palette)
    return _nearest(colours, palette)[index].reshape(codes.shape), palette.astype(np.int32)


def _median_cut(pictures: Bytes) -> NDArray[np.float64]:
    pixels = pictures.reshape(-1, 3)
    chosen = pixels[:: max(1, len(pixels) // SAMPLED_PIXELS)]
    board = Image.fromarray(np.ascontiguousarray(chosen[None])).quantize(PALETTE_SIZE)
    return np.array(board.getpalette(), np.float64).reshape(-1, 3)


def _moved(
    palette: NDArray[np.float64], colours: NDArray[np.float64], counts: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Each colour of the palette at the mean of those that it is the nearest to."""
    place = _nearest(colours, palette)
    weights = np.bincount(place, counts, len(palette))
    sums = [np.bincount(place, counts * colours[:, c], len(palette)) for c in range(3)]
    means = np.stack(sums, axis=1) / np.maximum(weights, 1)[:, None]
    return np.where(weights[:, None] > 0, means, palette)


def _nearest(colours: NDArray[np.float64], palette: NDArray[np.float64]) -> NDArray[np.intp]:
    """For each colour the palette's nearest: the least |p|² − 2 c·p."""
    lengths = (palette**2).sum(axis=1)
    parts = np.array_split(colours, len(colours) // 16_384 + 1)
    return np.concatenate([(lengths - 2 * part @ palette.T).argmin(axis=1) for part in parts])
