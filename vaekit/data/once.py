"""A listener is told each thing once, however many splits of a data set are loaded for it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from weakref import WeakKeyDictionary

from vaekit.reporting import Reporter, Task

_told: WeakKeyDictionary[Reporter, set[str]] = WeakKeyDictionary()


class Once:
    """Passes messages on, unless the listener has heard the very same before."""

    def __init__(self, listener: Reporter) -> None:
        self._listener = listener
        try:
            self._told = _told.setdefault(listener, set())
        except TypeError:  # a listener that can be no key
            self._told = set()

    def note(self, message: str) -> None:
        """Pass on a note that is new."""
        if self._is_new(message):
            self._listener.note(message)

    def warn(self, message: str) -> None:
        """Pass on a warning that is new."""
        if self._is_new(message):
            self._listener.warn(message)

    def task(
        self, label: str, total: int | None, unit: str = "images"
    ) -> AbstractContextManager[Task]:
        """The listener's own: work that is done twice is shown twice."""
        return self._listener.task(label, total, unit)

    def _is_new(self, message: str) -> bool:
        new = message not in self._told
        self._told.add(message)
        return new
