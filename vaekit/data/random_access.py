"""Images that can be read one by one in any order, by any thread or process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

from vaekit.data.imageset import Integers
from vaekit.data.source import Loader

Spot = tuple[int | str, ...]
"""Where an image lies, as the reader of its source takes it: plain values, so that another process
can be sent them."""
Read = Callable[..., bytes]
"""Gives the bytes at a spot."""
Reader = Callable[[str], AbstractContextManager[Read]]
"""Opens the folder or archive at a path, for several threads at once."""


@dataclass(frozen=True)
class RandomAccess:
    """A `Reading` of images that can be read in any order."""

    reader: Reader
    path: str
    spots: Sequence[Spot]

    @contextmanager
    def __call__(self, indices: Integers) -> Iterator[Iterable[tuple[int, Loader]]]:
        """Opens the folder or archive once for all threads."""
        spots = self.spots
        with self.reader(self.path) as read:
            yield (
                (place, partial(read, *spots[index]))
                for place, index in enumerate(indices.tolist())
            )
