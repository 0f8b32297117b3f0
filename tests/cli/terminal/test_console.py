"""Messages stay on their lines, and progress never runs through data on the same screen."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

from vaekit.cli.terminal import console


@pytest.mark.parametrize(
    ("total", "line"),
    [(1000, "likelihood: 300/1,000 images, 50 images/s, 14 s left"),
     (None, "likelihood: 300 images, 50 images/s")],
)  # fmt: skip
def test_a_log_says_how_fast_and_how_long_yet(
    total: int | None,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seconds = iter([0.0, 1.0, 6.0, 7.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(seconds))
    with console.Terminal().task("likelihood", total) as task:
        for _ in range(3):
            task.advance(150)
    assert capsys.readouterr().err.splitlines() == [line]


@pytest.mark.skipif(os.name != "posix", reason="a pseudo-terminal")
@pytest.mark.parametrize("to_file", [True, False], ids=["file", "pipe"])
def test_a_bar_is_not_drawn_through_lines_that_a_pipe_prints_on_the_same_screen(
    placed: Path, to_file: bool
) -> None:
    """`vaekit score ... | jq` mixed JSON and the bar in one line."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "vaekit", "score", placed.name, "--dataset", "digits"]
    with Path("scores.jsonl").open("wb") as file:
        stdout = file if to_file else subprocess.PIPE
        done = subprocess.run(command, stdout=stdout, stderr=theirs, check=True, timeout=120)
    shown = os.read(ours, 65536) if select.select([ours], [], [], 0)[0] else b""
    os.close(theirs)
    os.close(ours)
    assert (b"scoring" in shown) is to_file
    lines = done.stdout or Path("scores.jsonl").read_bytes()
    assert lines.count(b"\n") == 190


def test_control_characters_are_escaped_in_every_line_and_label(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = console.Terminal()
    for say in (terminal.say, terminal.note, terminal.warn):
        say("a\nb\x1b[2J [red]")
    lines = capsys.readouterr().err.splitlines()
    assert [line.removeprefix("warning: ") for line in lines] == [r"a\nb\x1b[2J [red]"] * 3
