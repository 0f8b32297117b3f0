"""Encode animations: GIF, WebP and APNG, the same bytes every time.

WebP and APNG hold every colour. A GIF holds 256: greys and few colours are exact; for more, one
palette serves all frames, so that still parts do not shimmer.
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
SAMPLED_PIXELS = 65_000
"""Pixels from all frames that the palette is computed from."""

SETTLED_SHARE = 100
"""K-means stops when one sampled pixel in 100 still changes its colour."""

_SLOWEST, _FASTEST = 0.1, 50.0


def frames(
    paths: Sequence[ImageStack], labels: Sequence[str] | None = None, *, columns: int | None = None
) -> Bytes:
    """One frame per step: frame t shows image t of every path, side by side.

    `labels` are written at the left of each image.
    """
    lengths = {len(path) for path in paths}
    if len(lengths) != 1 or 0 in lengths:
        raise UsageError(f"an animation needs paths of equal length, not {sorted(lengths)}")
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
    """Encode frames (T, H, W, C) as `gif`, `webp` or `apng` at `fps` frames per second.

    `there_and_back` adds the inner frames in reverse order, so that a loop does not jump.
    """
    if pictures.ndim != 4 or pictures.dtype != np.uint8 or pictures.shape[-1] not in (1, 3):
        raise UsageError(f"frames are uint8 (T, H, W, C), not {pictures.dtype} {pictures.shape}")
    if not len(pictures) or not _SLOWEST <= fps <= _FASTEST:
        raise UsageError(
            f"an animation has at least one frame and {_SLOWEST:g} to {_FASTEST:g} frames per"
            f" second, not {len(pictures)} frames at {fps:g}"
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
    # A GIF counts in hundredths of a second; players read less than two as ten.
    pause = max(2, round(100 / fps)) * 10
    return _saved(_paletted(pictures), "GIF", duration=pause, optimize=False, **_looping(loop))


def _looping(loop: bool) -> dict[str, int]:
    """Without the loop extension, a player shows a GIF once."""
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
    """Frames that share one palette, without dithering, which would flicker."""
    images = _images(pictures)
    if pictures.shape[-1] == 1:
        return images  # Pillow uses the 256 greys
    codes = pictures.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    colours = np.unique(codes)
    if len(colours) <= PALETTE_SIZE:
        return _indexed(np.searchsorted(colours, codes), colours)
    palette = _palette(pictures)
    return [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]


def _indexed(places: NDArray[np.intp], colours: NDArray[np.int32]) -> list[Image.Image]:
    """Frames of exactly these colours; `places` index them."""
    palette = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1)
    images = [Image.fromarray(place) for place in places.astype(np.uint8)]
    for image in images:
        image.putpalette(palette.astype(np.uint8).tobytes())
    return images


def _palette(pictures: Bytes) -> Image.Image:
    """The palette of a sample of all frames: a median cut, refined by k-means."""
    pixels = pictures.reshape(-1, 3)
    sample = pixels[:: max(1, len(pixels) // SAMPLED_PIXELS)]
    board = Image.fromarray(np.ascontiguousarray(sample[None]))
    return board.quantize(PALETTE_SIZE, kmeans=max(1, len(sample) // SETTLED_SHARE))
