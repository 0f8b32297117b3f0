"""Skipped images: a warning that names them, or an error if there are too many."""

from __future__ import annotations

from collections.abc import Sequence

from vaekit.data.source import ENDINGS, USUAL_SHARE
from vaekit.errors import DataError

MOST_SKIPPED = 10
"""Up to this many bad images are skipped whatever their share."""


def skipped_warning(
    bad: Sequence[str], total: int, where: str = "", most: float = USUAL_SHARE
) -> str | None:
    """The warning that names the bad ones of `total` images, after `where`; None without any.

    Raises when their share is above `most`, or when no image is good.

    >>> skipped_warning(["a.png: is empty"], 50, "pictures: ")
    'pictures: 1 bad image was skipped: a.png: is empty'
    """
    if not bad:
        return None
    told = _named(bad)
    if len(bad) == total:
        raise DataError(f"{where}no image can be read ({told}); taken are {' '.join(ENDINGS)}")
    share = len(bad) / total
    if len(bad) > MOST_SKIPPED and share > most:
        enough = -(-100 * len(bad) // total) / 100  # rounded up
        raise DataError(
            f"{where}{len(bad):,} of {total:,} images are bad: {told} "
            f"(--max-bad {enough:g} skips them)"
        )
    return skipped_summary(bad, where)


def skipped_summary(bad: Sequence[str], where: str = "") -> str:
    """How many bad images there were, and which."""
    noun = "image was" if len(bad) == 1 else "images were"
    return f"{where}{len(bad):,} bad {noun} skipped: {_named(bad)}"


def _named(bad: Sequence[str]) -> str:
    return "; ".join(bad[:3]) + (f"; and {len(bad) - 3:,} more" if len(bad) > 3 else "")
