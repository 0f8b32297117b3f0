"""What becomes of bad images among good ones: left out and named, or too many to go on."""

from __future__ import annotations

from collections.abc import Sequence

from vaekit.data.source import ENDINGS
from vaekit.errors import DataError

MOST_SKIPPED = 10
"""This many bad images are survived whatever their share; beyond it, 1 in 100."""


def warn_or_refuse(bad: Sequence[str], total: int, where: str = "") -> str | None:
    """The warning that names the bad ones of `total` images; None if there are none.

    `where` is put before it. Too many are an error, and so is it when no image is good.

    >>> warn_or_refuse(["a.png: is empty"], 50, "pictures: ")
    'pictures: 1 bad image was skipped: a.png: is empty'
    """
    if not bad:
        return None
    told = _named(bad)
    if len(bad) == total:
        raise DataError(f"{where}no image can be read ({told}); taken are {' '.join(ENDINGS)}")
    if len(bad) > MOST_SKIPPED and len(bad) * 100 > total:
        raise DataError(f"{where}{len(bad):,} of {total:,} images are bad: {told}")
    return summary(bad, where)


def summary(bad: Sequence[str], where: str = "") -> str:
    """How many bad images there were, and which."""
    noun = "image was" if len(bad) == 1 else "images were"
    return f"{where}{len(bad):,} bad {noun} skipped: {_named(bad)}"


def _named(bad: Sequence[str]) -> str:
    return "; ".join(bad[:3]) + (f"; and {len(bad) - 3:,} more" if len(bad) > 3 else "")
