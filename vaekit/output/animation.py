"""Encode animations: GIF, WebP and APNG, the same bytes every time.

WebP and APNG hold every colour. A GIF holds 256: greys and few colours are exact; for more, one
palette serves all frames, so that still parts do not shimmer.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vaekit.errors import UsageError
from vaekit.output.pictures import LEGIBLE, Bytes, ImageStack, best_columns, grid, to_uint8

FPS = 12.0
SMALLEST_FRAME = 256
"""Pixels on the longer side of a frame, at least."""

PALETTE_SIZE = 256
SAMPLED_PIXELS = 65_000
"""Pixels from all frames that the palette is computed from."""

SETTLED_SHARE = 100
"""K-means stops when one sampled pixel in 100 still changes its colour."""

_SLOWEST, _FASTEST = 0.1, 50.0


def frames(
    paths: Sequence[ImageStack],
    labels: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    scale: int | None = None,
) -> Bytes:
    """One frame per step: frame t shows image t of every path, side by side.

    `labels` are written at the left of each image. Images are enlarged by the whole factor
    `scale`; by default so that a frame has `SMALLEST_FRAME` pixels on its longer side.
    """
    lengths = {len(path) for path in paths}
    if len(lengths) != 1 or 0 in lengths:
        raise UsageError(f"an animation needs paths of equal length, not {sorted(lengths)}")
    steps = range(lengths.pop())
    shown = [_joined([path[step : step + 1] for path in paths]) for step in steps]
    scale = scale or _usual_scale(to_uint8(shown[0]).shape[1:3], len(paths), columns)
    how: dict[str, Any] = {"labels": labels, "columns": columns, "scale": scale}
    return np.stack([grid(images, **how) for images in shown])


def _usual_scale(size: tuple[int, ...], count: int, columns: int | None) -> int:
    """The factor that makes each image legible, and the whole frame large enough to look at.

    >>> _usual_scale((8, 8), 1, None), _usual_scale((28, 28), 4, None), _usual_scale((300, 9), 1, 1)
    (32, 5, 1)
    """
    across = columns or best_columns(count, size[1] / size[0], wanted=1.0)
    longer = max(size[0] * math.ceil(count / across), size[1] * across)
    return max(math.ceil(LEGIBLE / max(size)), math.ceil(SMALLEST_FRAME / longer))


def encode_animation(
    pictures: Bytes,
    form: str,
    *,
    fps: float = FPS,
    loop: bool = True,
    there_and_back: bool = False,
    hold: float = 0.0,
) -> bytes:
    """Encode frames (T, H, W, C) as `gif`, `webp` or `apng` at `fps` frames per second.

    `there_and_back` adds the inner frames in reverse order, so that a loop does not jump. The first
    and the last frame of the way are shown for `hold` seconds where that is longer.
    """
    if pictures.ndim != 4 or pictures.dtype != np.uint8 or pictures.shape[-1] not in (1, 3):
        raise UsageError(f"frames are uint8 (T, H, W, C), not {pictures.dtype} {pictures.shape}")
    if not len(pictures) or not _SLOWEST <= fps <= _FASTEST:
        raise UsageError(
            f"an animation has at least one frame and {_SLOWEST:g} to {_FASTEST:g} frames per"
            f" second, not {len(pictures)} frames at {fps:g}"
        )
    ends = {0, len(pictures) - 1}
    if there_and_back:
        pictures = np.concatenate([pictures, pictures[-2:0:-1]])
    encode = {"gif": _gif, "webp": _webp, "apng": _apng}.get(form)
    if encode is None:
        raise UsageError(f"an animation is gif, webp or apng, not {form}")
    seconds = [max(1 / fps, hold if i in ends else 0.0) for i in range(len(pictures))]
    return encode(pictures, seconds, loop)


def _joined(images: Sequence[Any]) -> Any:
    if isinstance(images[0], np.ndarray):
        return np.concatenate(images)
    import torch

    return torch.cat(list(images))


def _gif(pictures: Bytes, seconds: Sequence[float], loop: bool) -> bytes:
    # A GIF counts in hundredths of a second; players read less than two as ten.
    pauses = [max(2, round(100 * pause)) * 10 for pause in seconds]
    return _saved(_paletted(pictures), "GIF", duration=pauses, optimize=False, **_looping(loop))


def _looping(loop: bool) -> dict[str, int]:
    """Without the loop extension, a player shows a GIF once."""
    return {"loop": 0} if loop else {}


def _webp(pictures: Bytes, seconds: Sequence[float], loop: bool) -> bytes:
    how = {"lossless": True, "exact": True, "quality": 60, "loop": int(not loop)}
    return _saved(_images(pictures), "WEBP", duration=_milliseconds(seconds), **how)


def _apng(pictures: Bytes, seconds: Sequence[float], loop: bool) -> bytes:
    pauses = _milliseconds(seconds)
    return _saved(_images(pictures), "PNG", duration=pauses, loop=int(not loop))


def _milliseconds(seconds: Sequence[float]) -> list[int]:
    return [round(1000 * pause) for pause in seconds]


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
