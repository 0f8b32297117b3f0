"""Decode some images under one belief about all: in a thread, or in a process of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from vaekit.data.decoding.decode_image import decode_image
from vaekit.data.imageset import Pixels
from vaekit.data.source import Loader, Size
from vaekit.errors import ImageError
from vaekit.wording import unreadable

USUAL_SIZE = (64, 64)


@dataclass(frozen=True)
class TargetForm:
    """What the images are believed to be, or made to be."""

    size: Size
    channels: int
    native: bool = False
    """All images seen so far have this size by themselves."""
    chosen: bool = True
    """The user chose the size."""
    forced: bool = False
    """The user chose the channels."""


@dataclass
class BatchOutcome:
    """What became of some images; the good ones stand in their rows."""

    tried: int
    bad: list[tuple[int, str]] = field(default_factory=list)
    """Row and reason."""
    lasting: bool = True
    """False where a fault may be gone the next time."""
    seen: Counter[tuple[int, int, int, bool]] = field(default_factory=Counter)
    """How many had which shape by themselves, and several frames or not."""
    differs: TargetForm | None = None
    """What to believe now, where an image contradicts the belief: the rest was not tried."""


def decode_batch(
    images: Pixels,
    items: Iterable[tuple[int, Loader]],
    form: TargetForm,
    *,
    tried: int,
    strict: bool,
) -> BatchOutcome:
    """Decode each item into its row of `images`; stop at the first bad one if `strict`."""
    outcome, seen = BatchOutcome(tried), []
    size = None if form.native else form.size
    channels = form.channels if form.forced else None
    for row, load in items:
        try:
            picture = decode_image(load(), size, channels)
        except OSError as error:
            outcome.lasting = False
            outcome.bad.append((row, unreadable(error)))
        except ImageError as error:
            outcome.bad.append((row, str(error)))
        else:
            outcome.differs = _contradiction(form, picture.pixels.shape)
            if outcome.differs:
                break
            images[row] = picture.pixels
            seen.append((*picture.own, picture.animated))
            continue
        if strict:
            break
    outcome.seen.update(seen)
    return outcome


def _contradiction(form: TargetForm, shape: tuple[int, ...]) -> TargetForm | None:
    if shape[:2] != form.size:
        return replace(form, size=USUAL_SIZE, native=False)
    return replace(form, channels=shape[2]) if shape[2] > form.channels else None
