"""stdout is for data and stderr for people, whatever either of them is connected to."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

CURSOR = re.compile(r"\x1b\[[0-9;?]*[A-HJKSThl]|\r")
"""Codes that move the cursor, clear, or switch modes: everything but colours."""

TRAIN = ["train", "--dataset", "digits", "--limit", "40", "--epochs", "1", "--hidden", "4",
         "--latent-dim", "2", "-o", "r"]  # fmt: skip
pytestmark = pytest.mark.skipif(os.name != "posix", reason="the shell's own streams")


# Rows 53 and 54.


def test_a_reader_that_has_enough_ends_the_command_quietly(shell: Any) -> None:
    done = shell("vaekit recipes --show cifar10-conv | head -1")
    assert done.returncode == 0
    assert done.stdout.startswith(b"# CIFAR-10")
    assert done.stderr == b""


def test_a_reader_that_is_gone_already_ends_the_command_quietly(shell: Any) -> None:
    done = shell("{ sleep 1; vaekit train --help; echo $? >&2; } | true")
    assert done.stderr == b"0\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("command", ["recipes", "models --json", "--version", "train --help"])
def test_a_full_disk_behind_stdout_is_an_error_in_one_line(shell: Any, command: str) -> None:
    done = shell(f"vaekit {command} > /dev/full")
    assert done.returncode == 1
    assert done.stderr == b"vaekit: No space left on device\n"


def test_a_closed_stdout_is_an_error_in_one_line(shell: Any) -> None:
    done = shell("vaekit recipes >&-")
    assert done.returncode == 1
    assert done.stderr == b"vaekit: stdout is closed: there is nowhere to print to\n"


def test_a_closed_stderr_does_not_send_errors_to_stdout(shell: Any) -> None:
    done = shell("vaekit nonsense 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"")


# Row 55, and colours.


@pytest.mark.parametrize("environ", [{"FORCE_COLOR": "1"}, {}], ids=repr)
def test_a_log_has_no_cursor_codes(vaekit: Any, environ: dict[str, str]) -> None:
    done = vaekit(*TRAIN, environ=environ)
    assert done.code == 0
    assert done.stdout == "r/model.safetensors\n"
    assert "latent 2" in done.stderr
    assert not CURSOR.search(done.stderr)
    if "FORCE_COLOR" not in environ:
        assert "\x1b" not in done.stderr


@pytest.mark.parametrize("command", [["recipes"], ["models"], ["train", "--help"]])
def test_no_colour_means_none(vaekit: Any, command: list[str]) -> None:
    done = vaekit(*command, environ={"NO_COLOR": "1"})
    assert done.code == 0
    assert "\x1b" not in done.stdout + done.stderr


def test_a_terminal_that_knows_only_ascii_gets_help_all_the_same(vaekit: Any) -> None:
    for command in (["--help"], ["train", "--help"], ["recipes"], ["models"]):
        done = vaekit(*command, environ={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
        assert done.code == 0, done.stderr
        assert done.stdout


# Errors.


def test_an_error_is_one_line_and_debug_shows_where(vaekit: Any) -> None:
    plain = vaekit("info", "missing")
    assert (plain.code, plain.stdout) == (3, "")
    assert plain.stderr == "vaekit: missing: no such file or directory\n"
    for told in (vaekit("info", "missing", "--debug"),
                 vaekit("info", "missing", environ={"VAEKIT_DEBUG": "1"})):  # fmt: skip
        assert told.code == 3
        assert "Traceback" in told.stderr
        assert told.stderr.endswith(plain.stderr)
    assert vaekit("info", "missing", environ={"VAEKIT_DEBUG": "0"}).stderr == plain.stderr


def test_what_goes_wrong_inside_is_one_line_too(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("two\nlines \x1b[2J")

    monkeypatch.setattr("vaekit.cli.commands.info.read_model_file", broken)
    done = cli("info", "x")
    assert done.code == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("vaekit: internal error: RuntimeError: two\\nlines \\x1b[2J")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [(MemoryError(), 1, "vaekit: out of memory\n"),
     (PermissionError(13, "Permission denied", "x.png"), 1, "vaekit: x.png: Permission denied\n"),
     (BrokenPipeError(), 0, "")],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_every_end_has_its_exit_code(
    cli: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("vaekit.cli.commands.info.read_model_file", fail)
    monkeypatch.setattr("vaekit.cli._silence", lambda stream: None)
    done = cli("info", "x")
    assert (done.code, done.stdout, done.stderr) == (code, "", said)


def test_ctrl_c_before_training_is_130_without_a_traceback(
    cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vaekit.cli.commands.info.read_model_file", fail)
    done = cli("info", "x")
    assert (done.code, done.stdout) == (130, "")
    assert done.stderr in ("", "vaekit: interrupted\n"), "versions of Typer differ"
