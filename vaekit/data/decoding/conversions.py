"""What was done to images to give them a shape they did not have: counted, and told in a line."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from vaekit.data.source import Shape, Size


class ConversionCounts:
    """Counts what became of images on their way to one shape; threads may share it.

    >>> changes = ConversionCounts((32, 32, 3))
    >>> changes.count((48, 48, 3)), changes.count((32, 32, 1), animated=True)
    (None, None)
    >>> list(changes.notes())[:2]
    ['1 image was resized from 48x48 to 32x32', '1 grey image was turned to RGB']
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.resized = self.cropped = self.recoloured = self.animated = 0
        self._smallest: Size | None = None
        self._largest: Size | None = None
        self._lock = threading.Lock()

    def count(self, own: Shape, *, animated: bool = False, times: int = 1) -> None:
        """An image that had the shape `own` by itself, `times` over."""
        size, target = own[:2], self.shape[:2]
        with self._lock:
            self.animated += times * animated
            self.recoloured += times * (own[2] != self.shape[2])
            if size == target:
                return
            self.resized += times
            self.cropped += times * (size[0] * target[1] != size[1] * target[0])
            self._smallest = min(self._smallest or size, size, key=_area)
            self._largest = max(self._largest or size, size, key=_area)

    def notes(self) -> Iterator[str]:
        """One for each thing that was done."""
        if self.resized:
            yield self.sizes()
        if self.recoloured:
            yield self.colours()
        if self.animated:
            yield self.frames()

    def sizes(self) -> str:
        """What happened to the sizes."""
        smallest, largest = self._smallest or (0, 0), self._largest or (0, 0)
        images = _many(self.resized, "image was", "images were")
        what = "resized and cropped" if self.cropped else "resized"
        own = _by(smallest)
        if smallest != largest:
            own = f"sizes between {_by(smallest)} and {_by(largest)}"
        return f"{images} {what} from {own} to {_by(self.shape[:2])}"

    def colours(self) -> str:
        """What happened to the colours."""
        if self.shape[2] == 1:
            return f"{_many(self.recoloured, 'RGB image was', 'RGB images were')} turned to grey"
        return f"{_many(self.recoloured, 'grey image was', 'grey images were')} turned to RGB"

    def frames(self) -> str:
        """What happened to animations."""
        images = _many(self.animated, "image has", "images have")
        return f"{images} several frames: the first frame was taken"


def _area(size: Size) -> tuple[int, Size]:
    return size[0] * size[1], size


def _by(size: Size) -> str:
    return f"{size[0]}x{size[1]}"


def _many(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
