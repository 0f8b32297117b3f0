"""Watchers for Python callers: progress on a screen, a function per epoch, several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from vaekit.errors import UsageError, flags_to_keywords
from vaekit.python.screens import Screen, find_screen
from vaekit.reporting import Task
from vaekit.training.epoch_table import epoch_header, epoch_line, has_line, opening_lines
from vaekit.training.watcher import RunFacts, SilentWatcher, StepFacts, Watcher

EpochFunction = Callable[[dict[str, float]], object]
"""Called after each epoch with its record: the line of metrics.jsonl."""

BAR = 20


def choose_watcher(given: Watcher | EpochFunction | None, *, quiet: bool) -> Watcher:
    """The caller's watcher, and the progress on a screen unless `quiet`."""
    screen = None if quiet else find_screen()
    found: list[Watcher] = [ScreenWatcher(screen)] if screen is not None else []
    if given is not None:
        found.append(_as_watcher(given))
    return found[0] if len(found) == 1 else SeveralWatchers(found)


def _as_watcher(given: Any) -> Watcher:
    if all(hasattr(given, name) for name in ("started", "stepped", "epoch_ended", "ended")):
        watcher: Watcher = given
        return watcher
    if not callable(given):
        raise UsageError(
            f"watcher of type {type(given).__name__}: a function of an epoch's record, or an "
            "object of a class derived from vaekit.Watcher"
        )
    return EpochWatcher(given)


class ScreenWatcher(SilentWatcher):
    """Shows a run: its facts, a line per epoch, and a line that moves."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._facts: RunFacts | None = None
        self._header_due = True

    def note(self, message: str) -> None:
        """Print a line."""
        self._screen.say(flags_to_keywords(message))

    def warn(self, message: str) -> None:
        """Print a warning."""
        self._screen.say(f"warning: {flags_to_keywords(message)}")

    @contextmanager
    def task(self, label: str, total: int | None, unit: str = "images") -> Iterator[Task]:
        """Count in the moving line."""
        try:
            yield _CountedTask(self._screen, label, total, unit)
        finally:
            self._screen.rest()

    def started(self, facts: RunFacts) -> None:
        """Print the facts."""
        self._facts = facts
        for line in opening_lines(facts):
            self._screen.say(line)

    def stepped(self, facts: StepFacts) -> None:
        """Move the bar."""
        assert self._facts is not None
        epochs, n = self._facts.config.epochs or 1, self._facts.n_train
        share = min(1.0, ((facts.epoch - 1) + facts.images / n) / epochs)
        done = "━" * round(BAR * share)
        self._screen.move(
            f"epoch {facts.epoch}/{epochs} {done:─<{BAR}} {share:4.0%}  "
            f"{facts.neg_elbo:.2f} = {facts.reconstruction:.2f} + {facts.kl:.2f}"
        )

    def epoch_ended(self, record: Mapping[str, float]) -> None:
        """Add a line to the table; a long run skips epochs."""
        assert self._facts is not None
        if not has_line(int(record["epoch"]), self._facts.config.epochs or 1):
            return
        if self._header_due:
            self._screen.say(epoch_header(record))
            self._header_due = False
        self._screen.say(epoch_line(record))

    def ended(self) -> None:
        """Remove the bar."""
        self._screen.rest()


class _CountedTask:
    def __init__(self, screen: Screen, label: str, total: int | None, unit: str) -> None:
        self._screen, self._label, self._unit, self._done = screen, label, unit, 0
        self._of = "" if total is None else f"/{total:,}"

    def advance(self, amount: int = 1) -> None:
        """Show the count."""
        self._done += amount
        self._screen.move(f"{self._label}: {self._done:,}{self._of} {self._unit}")


class EpochWatcher(SilentWatcher):
    """Calls a function after each epoch."""

    def __init__(self, function: EpochFunction) -> None:
        self._function = function

    def epoch_ended(self, record: Mapping[str, float]) -> None:
        """Pass on a copy of the record."""
        self._function(dict(record))


class SeveralWatchers:
    """Passes everything on to each of several watchers."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._watchers = watchers

    def note(self, message: str) -> None:
        """Pass on a note."""
        for watcher in self._watchers:
            watcher.note(message)

    def warn(self, message: str) -> None:
        """Pass on a warning."""
        for watcher in self._watchers:
            watcher.warn(message)

    @contextmanager
    def task(self, label: str, total: int | None, unit: str = "images") -> Iterator[Task]:
        """Open the task of each."""
        with ExitStack() as stack:
            tasks = (watcher.task(label, total, unit) for watcher in self._watchers)
            yield _SeveralTasks([stack.enter_context(task) for task in tasks])

    def started(self, facts: RunFacts) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.started(facts)

    def stepped(self, facts: StepFacts) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.stepped(facts)

    def epoch_ended(self, record: Mapping[str, float]) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.epoch_ended(record)

    def ended(self) -> None:
        """Pass it on."""
        for watcher in self._watchers:
            watcher.ended()


class _SeveralTasks:
    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks

    def advance(self, amount: int = 1) -> None:
        """Advance each."""
        for task in self._tasks:
            task.advance(amount)
