"""Tables on stdout: plain columns, easy to read and easy to cut in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vaekit.wording import one_line

WIDE = 10_000
"""Width of a table in a pipe, where no line is wrapped."""


def print_table(columns: Sequence[str], lines: Iterable[Sequence[str | Text]]) -> None:
    """Print a table; the first column is bold, and a Text keeps its own style."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    for i, column in enumerate(columns):
        table.add_column(one_line(column), no_wrap=i == 0, style="bold" if i == 0 else "")
    for line in lines:
        table.add_row(*(cell if isinstance(cell, Text) else one_line(cell) for cell in line))
    _print(table)


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values, one pair per line."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 3, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, value in pairs:
        table.add_row(name, one_line(value))
    _print(table)


def _print(table: Table) -> None:
    """Print with colours on a terminal; in a pipe, without trailing blanks."""
    console = stdout_console()
    if sys.stdout.isatty():
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def stdout_console() -> Console:
    """A console on stdout, as wide as the terminal; very wide in a pipe."""
    return Console(
        highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else WIDE
    )
