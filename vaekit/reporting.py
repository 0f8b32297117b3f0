"""The interface through which the library reports messages and progress.

The library knows nothing of terminals; the command line draws reports with Rich. Python callers
get silence by default.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One piece of long work."""

    def advance(self, amount: int = 1) -> None:
        """Report that `amount` more units are done."""


class Reporter(Protocol):
    """Receives messages and progress."""

    def note(self, message: str) -> None:
        """Print a line of information."""

    def warn(self, message: str) -> None:
        """Print a warning; the work goes on."""

    def task(
        self, label: str, total: int | None, unit: str = "images"
    ) -> AbstractContextManager[Task]:
        """Open a progress bar of `total` units; None if the total is unknown."""


class _NoTask:
    def advance(self, amount: int = 1) -> None:
        """Ignore progress."""


class Silent:
    """A reporter that prints nothing."""

    def note(self, message: str) -> None:
        """Print nothing."""

    def warn(self, message: str) -> None:
        """Print nothing."""

    @contextmanager
    def task(self, label: str, total: int | None, unit: str = "images") -> Iterator[Task]:
        """A task that shows nothing."""
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
