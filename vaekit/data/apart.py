"""Images that lie apart from each other, so that each can be read by itself, by any process.

What reads them is named by text, and where each lies is said in numbers and text, so that both can
be told to another process.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

from vaekit.data.imageset import Integers
from vaekit.data.source import Loader

Spot = tuple[int | str, ...]
"""Where an image lies, as its reader takes it."""
Read = Callable[..., bytes]

_READERS = {
    "folder": "vaekit.data.folder:reading_files",
    "zip": "vaekit.data.zips:reading_members",
    "tar": "vaekit.data.archive:reading_plain_tar",
}


@dataclass(frozen=True)
class Apart:
    """A `Reading` of images that lie apart."""

    kind: str
    path: str
    spots: Sequence[Spot]

    @contextmanager
    def __call__(self, indices: Integers) -> Iterator[Iterable[tuple[int, Loader]]]:
        """Opens the whole once for all threads."""
        spots = self.spots
        with opened(self.kind, self.path) as read:
            yield (
                (place, partial(read, *spots[index]))
                for place, index in enumerate(indices.tolist())
            )


def opened(kind: str, path: str) -> AbstractContextManager[Read]:
    """What reads the bytes at a spot, for several threads at once."""
    module, name = _READERS[kind].split(":")
    reader: Callable[[str], AbstractContextManager[Read]] = getattr(
        importlib.import_module(module), name
    )
    return reader(path)
