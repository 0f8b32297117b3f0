"""Locations of images that any thread or process can read, in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

from vaekit.data.imageset import Integers
from vaekit.data.source import Loader

Location = tuple[int | str, ...]
"""The arguments of `Read` for one image: plain values, so that they can be sent to a process."""
Read = Callable[..., bytes]
"""Returns the bytes at a location."""
Reader = Callable[[str], AbstractContextManager[Read]]
"""Opens the folder or archive at a path, for several threads at once."""


@dataclass(frozen=True)
class RandomAccess:
    """A `Reading` of images that can be read in any order."""

    reader: Reader
    path: str
    locations: Sequence[Location]

    @contextmanager
    def __call__(self, indices: Integers) -> Iterator[Iterable[tuple[int, Loader]]]:
        """Opens the folder or archive once for all threads."""
        locations = self.locations
        with self.reader(self.path) as read:
            yield (
                (place, partial(read, *locations[index]))
                for place, index in enumerate(indices.tolist())
            )
