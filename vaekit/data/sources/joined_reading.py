"""Reads the images of several folders and archives as those of one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from vaekit.data.imageset import Integers
from vaekit.data.random_access import RandomAccess, Read
from vaekit.data.source import Loader, Reading, in_parts
from vaekit.data.sources.folder import open_folder_reader
from vaekit.data.sources.tar_files import open_tar_reader
from vaekit.data.sources.zip_files import open_zip_reader

_READERS = {
    reader.__name__: reader for reader in (open_folder_reader, open_tar_reader, open_zip_reader)
}


def joined_reading(readings: Sequence[Reading], counts: Sequence[int]) -> Reading:
    """One reading of what several containers hold, one after the other; `counts` images in each."""
    plain = [reading for reading in readings if isinstance(reading, RandomAccess)]
    if len(plain) < len(readings):
        return _InTurn(readings, counts).reading
    listed = json.dumps([(reading.reader.__name__, reading.path) for reading in plain])
    locations = [(i, *location) for i, each in enumerate(plain) for location in each.locations]
    return RandomAccess(open_joined_reader, listed, locations)


@contextmanager
def open_joined_reader(listed: str) -> Iterator[Read]:
    """Reads from several containers, listed as JSON; a location begins with a container's number.

    Each thread keeps open the container that it read last: the system may allow fewer open files
    than there are containers.
    """
    with ExitStack() as stack:
        yield _LastOpened(json.loads(listed), stack).read


class _LastOpened:
    def __init__(self, containers: Sequence[tuple[str, str]], stack: ExitStack) -> None:
        self._containers, self._stack = containers, stack
        self._own = threading.local()

    def read(self, number: int, *location: int | str) -> bytes:
        own = self._own
        if getattr(own, "number", None) != number:
            self._open(number)
        data: bytes = own.read(*location)
        return data

    def _open(self, number: int) -> None:
        own = self._own
        if not hasattr(own, "opened"):
            own.opened = self._stack.enter_context(ExitStack())
        own.number = None  # until the next one is open
        own.opened.close()
        reader, path = self._containers[number]
        own.read = own.opened.enter_context(_READERS[reader](path))
        own.number = number


@dataclass(frozen=True)
class _InTurn:
    """Containers of which some can only be read forward, as compressed tars."""

    readings: Sequence[Reading]
    counts: Sequence[int]

    @contextmanager
    def reading(self, indices: Integers) -> Iterator[Iterable[tuple[int, Loader]]]:
        with ExitStack() as stack:
            yield self._images(indices, stack)

    def _images(self, indices: Integers, stack: ExitStack) -> Iterator[tuple[int, Loader]]:
        for reading, part, first in in_parts(self.readings, self.counts, indices):
            if isinstance(reading, RandomAccess):  # its loaders may be called later on
                items = stack.enter_context(reading(part))
                yield from ((first + place, load) for place, load in items)
                continue
            with reading(part) as items:
                yield from ((first + place, load) for place, load in items)
