"""What people see on stderr: messages, and progress as a live bar or as lines in a log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as BarTask
from rich.table import Column
from rich.text import Text

from vaekit.reporting import Task
from vaekit.wording import one_line

LOG_SECONDS = 5.0
"""Seconds between two progress lines in a log."""


def stderr_console() -> Console:
    """A Rich console on stderr; Rich itself reads NO_COLOR."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def warn_of_unknown_variables(terminal: Terminal) -> None:
    """Warn of `VAEKIT_*` variables that have no effect, such as misspelt ones."""
    from vaekit.configuration.config_sources import unknown_variables

    for message in unknown_variables(os.environ):
        terminal.warn(message)


class _Speed(ProgressColumn):
    """Units per second."""

    def render(self, task: BarTask) -> Text:
        speed = task.finished_speed or task.speed
        unit = task.fields.get("unit", "images")
        return Text(f"{speed:,.0f} {unit}/s" if speed else "", style="dim")


class Terminal:
    """The reporter of the command line; `quiet` prints nothing."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = stderr_console()
        self.live = sys.stderr.isatty() and not quiet

    def note(self, message: str) -> None:
        """Print a dimmed line."""
        self.say(message, style="dim")

    def warn(self, message: str) -> None:
        """Print a yellow line."""
        self.say(f"warning: {message}", style="yellow")

    def say(self, message: str, style: str = "") -> None:
        """Print a line, in which control characters are escaped."""
        if not self.quiet:
            self.console.print(one_line(message), style=style, markup=False)

    @contextmanager
    def task(self, label: str, total: int | None, unit: str = "images") -> Iterator[Task]:
        """Show progress: a live bar on a terminal, a line every few seconds in a log."""
        if not self.live:
            yield _LoggedTask(self, label, total, unit)
            return
        with bar(self.console) as progress:
            yield _Bar(progress, progress.add_task(one_line(label), total=total, unit=unit))


def bar(console: Console, *extra: ProgressColumn, counts: bool = True) -> Progress:
    """The progress bar of every command, one line wide; it disappears when the work is done."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(bar_width=None),
        *([MofNCompleteColumn()] if counts else []),
        _Speed(),
        *extra,
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        expand=True,
    )


class _Bar:
    def __init__(self, progress: Progress, key: object) -> None:
        self._progress, self._key = progress, key

    def advance(self, amount: int = 1) -> None:
        """Move the bar."""
        self._progress.advance(self._key, amount)  # type: ignore[arg-type]


class _LoggedTask:
    """Progress in a log: a plain line every few seconds, none for short work."""

    def __init__(self, terminal: Terminal, label: str, total: int | None, unit: str) -> None:
        self._terminal, self._label, self._total, self._unit = terminal, label, total, unit
        self._done, self._start = 0, time.monotonic()
        self._last_line = self._start

    def advance(self, amount: int = 1) -> None:
        """Count, and print a line if the last one is old enough."""
        self._done += amount
        now = time.monotonic()
        if now - self._last_line < LOG_SECONDS:
            return
        self._last_line = now
        of = f"/{self._total:,}" if self._total else ""
        speed = self._done / (now - self._start)
        self._terminal.say(
            f"{self._label}: {self._done:,}{of} {self._unit}, {speed:,.0f} {self._unit}/s"
            f"{self._left(speed)}"
        )

    def _left(self, speed: float) -> str:
        """The time left, where the total is known."""
        return f", {duration((self._total - self._done) / speed)} left" if self._total else ""


def duration(seconds: float) -> str:
    """A time in short words.

    >>> [duration(seconds) for seconds in (8.4, 200, 4000)]
    ['8 s', '3 min', '1 h 7 min']
    """
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
