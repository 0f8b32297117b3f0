"""Decode a batch of images: the same steps in every thread and worker process."""

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
    """The size and channels that all images get, or are assumed to have by themselves."""

    size: Size
    channels: int
    native: bool = False
    """All images seen so far have this size by themselves; one of another size refutes it."""
    chosen: bool = True
    """The user chose the size."""
    forced: bool = False
    """The user chose the channels."""


@dataclass
class BatchOutcome:
    """What became of a batch; its good images are in their rows of the array."""

    tried: int
    bad: list[tuple[int, str]] = field(default_factory=list)
    """Row and reason."""
    lasting: bool = True
    """False where a fault, such as a file without permission, may be gone the next time."""
    seen: Counter[tuple[int, int, int, bool]] = field(default_factory=Counter)
    """How many good images had which shape by themselves, and whether they are animated."""
    refuted: TargetForm | None = None
    """What to assume instead, where an image refutes the form; the rest was not tried."""


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
            outcome.refuted = _better_form(form, picture.pixels.shape)
            if outcome.refuted:
                break
            images[row] = picture.pixels
            seen.append((*picture.own, picture.animated))
            continue
        if strict:
            break
    outcome.seen.update(seen)
    return outcome


def _better_form(form: TargetForm, shape: tuple[int, ...]) -> TargetForm | None:
    if shape[:2] != form.size:
        return replace(form, size=USUAL_SIZE, native=False)
    return replace(form, channels=shape[2]) if shape[2] > form.channels else None
