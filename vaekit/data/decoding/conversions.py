"""Counts images that were resized or recoloured, and sums them up in notes."""

from __future__ import annotations

from collections.abc import Iterator

from vaekit.data.decoding.decode_batch import BatchOutcome
from vaekit.data.source import Shape, Size
from vaekit.wording import size_in_words


class ConversionCounts:
    """Counts the conversions of images to one shape (H, W, C).

    >>> counts = ConversionCounts((32, 32, 3))
    >>> counts.count((48, 48, 3)), counts.count((32, 32, 1), animated=True)
    (None, None)
    >>> list(counts.notes())[:2]
    ['1 image was resized from 48x48 to 32x32', '1 grey image was turned to RGB']
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.resized = self.cropped = self.recoloured = self.animated = 0
        self._smallest: Size | None = None
        self._largest: Size | None = None

    def count(self, own: Shape, *, animated: bool = False, times: int = 1) -> None:
        """Count images (`times` of them) whose own shape was `own`."""
        size, target = own[:2], self.shape[:2]
        self.animated += times * animated
        self.recoloured += times * (own[2] != self.shape[2])
        if size == target:
            return
        self.resized += times
        self.cropped += times * (size[0] * target[1] != size[1] * target[0])
        self._smallest = min(self._smallest or size, size, key=_area)
        self._largest = max(self._largest or size, size, key=_area)

    def count_batch(self, outcome: BatchOutcome) -> None:
        """Count the good images of a batch."""
        for (height, width, channels, animated), times in outcome.seen.items():
            self.count((height, width, channels), animated=animated, times=times)

    def notes(self) -> Iterator[str]:
        """One line for each kind of conversion."""
        if self.resized:
            yield self.sizes()
        if self.recoloured:
            yield self.colours()
        if self.animated:
            yield self.frames()

    def sizes(self) -> str:
        """How many images were resized, from which sizes."""
        smallest, largest = self._smallest or (0, 0), self._largest or (0, 0)
        images = _many(self.resized, "image was", "images were")
        what = "resized and cropped" if self.cropped else "resized"
        own = size_in_words(*smallest)
        if smallest != largest:
            own = f"sizes between {size_in_words(*smallest)} and {size_in_words(*largest)}"
        return f"{images} {what} from {own} to {size_in_words(*self.shape[:2])}"

    def colours(self) -> str:
        """How many images were turned to grey or RGB."""
        if self.shape[2] == 1:
            return f"{_many(self.recoloured, 'RGB image was', 'RGB images were')} turned to grey"
        return f"{_many(self.recoloured, 'grey image was', 'grey images were')} turned to RGB"

    def frames(self) -> str:
        """How many animations gave their first frame only."""
        images = _many(self.animated, "image has", "images have")
        return f"{images} several frames: the first frame was taken"


def _area(size: Size) -> tuple[int, Size]:
    return size[0] * size[1], size


def _many(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
