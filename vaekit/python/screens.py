"""Where Python callers see progress: the output of a notebook's cell, or a terminal."""

from __future__ import annotations

import html
import shutil
import sys
import time
from typing import Any, Protocol, TextIO

from vaekit.wording import one_line

PAUSES = {"notebook": 0.25, "terminal": 0.1}
"""Seconds between two updates of the moving line."""

_STYLE = "line-height:1.3;font-size:85%;margin:0"


class Screen(Protocol):
    """Lines that stay, above one line that changes."""

    def say(self, line: str) -> None:
        """Add a line."""

    def move(self, line: str) -> None:
        """Replace the moving line, a few times a second at most."""

    def rest(self) -> None:
        """Remove the moving line."""


def find_screen() -> Screen | None:
    """The notebook or the terminal that this program runs in; None in a script or a log."""
    if in_notebook():
        return NotebookScreen()
    stderr = sys.stderr
    return TerminalScreen(stderr) if stderr is not None and stderr.isatty() else None


def in_notebook() -> bool:
    """Whether IPython runs as the kernel of a notebook; it is not imported for the question."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class TerminalScreen:
    """The last line of a terminal, rewritten in place."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._shown = stream, 0.0

    def say(self, line: str) -> None:
        """Print a line above the moving one."""
        self._write(f"\r\x1b[K{one_line(line)}\n")

    def move(self, line: str) -> None:
        """Rewrite the last line, cut to the terminal's width so that it cannot wrap."""
        now = time.monotonic()
        if now - self._shown >= PAUSES["terminal"]:
            self._shown = now
            self._write(f"\r\x1b[K{one_line(line)[: shutil.get_terminal_size().columns - 1]}")

    def rest(self) -> None:
        """Clear the last line."""
        self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class NotebookScreen:
    """One output of a notebook's cell, updated in place."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._moving = ""
        self._shown = 0.0
        self._handle: Any = None

    def say(self, line: str) -> None:
        """Add a line to the output."""
        self._lines.append(one_line(line))
        self._update()

    def move(self, line: str) -> None:
        """Replace the last line."""
        self._moving = one_line(line)
        if time.monotonic() - self._shown >= PAUSES["notebook"]:
            self._update()

    def rest(self) -> None:
        """Remove the moving line."""
        self._moving = ""
        self._update()

    def _update(self) -> None:
        from IPython.display import HTML, display

        text = "\n".join([*self._lines, *([self._moving] if self._moving else [])])
        shown = HTML(f'<pre style="{_STYLE}">{html.escape(text)}</pre>')
        if self._handle is None:
            self._handle = display(shown, display_id=True)
        else:
            self._handle.update(shown)
        self._shown = time.monotonic()
