"""What long work may say while it runs: a message, or a count that moves.

The library speaks through this interface and knows nothing of terminals; the command line draws
it with Rich. In Python, and in tests, the default is silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One piece of long work under way."""

    def advance(self, amount: int = 1) -> None:
        """Say that `amount` more of it is done."""


class Reporter(Protocol):
    """Whoever listens."""

    def note(self, message: str) -> None:
        """Tell the user something worth knowing, once, in a line."""

    def warn(self, message: str) -> None:
        """Tell the user that something is amiss although the work goes on."""

    def task(
        self, label: str, total: int | None, unit: str = "images"
    ) -> AbstractContextManager[Task]:
        """Open a progress bar of `total` units (None where the total is not known)."""


class _NoTask:
    def advance(self, amount: int = 1) -> None:
        """Nobody counts."""


class Silent:
    """The listener that hears nothing."""

    def note(self, message: str) -> None:
        """Nobody hears."""

    def warn(self, message: str) -> None:
        """Nobody hears."""

    @contextmanager
    def task(self, label: str, total: int | None, unit: str = "images") -> Iterator[Task]:
        """Nobody watches."""
        yield _NoTask()


SILENT = Silent()


class ToldOnce:
    """Passes each message on to a listener the first time only; every task is passed on."""

    def __init__(self, listener: Reporter) -> None:
        self._listener = listener
        self._told: set[str] = set()
        self.task = listener.task

    def note(self, message: str) -> None:
        """Pass on a note that is new."""
        if self._is_new(message):
            self._listener.note(message)

    def warn(self, message: str) -> None:
        """Pass on a warning that is new."""
        if self._is_new(message):
            self._listener.warn(message)

    def _is_new(self, message: str) -> bool:
        new = message not in self._told
        self._told.add(message)
        return new
