"""Whoever stops reading stderr, or lets its disk fill up, loses messages and never the result."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import vaekit as package
from tests.conftest import Runner

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="the streams of POSIX"),
    pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here"),
]

NETWORK = "--hidden 4 --latent-dim 2"
TRAIN = f"vaekit train --dataset digits --limit 60 --batch-size 20 --epochs 6 {NETWORK} -o run"
MODEL = Path("run/model.safetensors")


def test_training_goes_on_when_the_reader_of_its_log_is_gone(shell: Callable[..., Runner]) -> None:
    """It ended with exit code 0 and without a model."""
    done = shell(f"{{ {TRAIN} 2>&1 > path; echo $? > code; }} | head -1")
    assert (Path("code").read_text(), Path("path").read_text()) == ("0\n", f"{MODEL}\n")
    assert done.stdout.startswith(b"digits: ")
    assert package.load(MODEL, "cpu").latent_dim == 2


@pytest.mark.parametrize("redirection", ["2> /dev/full", "2>&-"])
def test_training_goes_on_when_its_log_cannot_be_written(
    shell: Callable[..., Runner], redirection: str
) -> None:
    done = shell(f"{TRAIN} {redirection}")
    assert (done.returncode, done.stdout) == (0, f"{MODEL}\n".encode())
    assert package.load(MODEL, "cpu").latent_dim == 2


@pytest.mark.parametrize("command", ["embed", "reconstruct", "score -o s.csv"])
def test_a_full_disk_under_stderr_does_not_end_a_command(
    shell: Callable[..., Runner], placed: Path, command: str
) -> None:
    """Each prints a note that the images are the model's own."""
    name, *options = command.split()
    done = shell(f"vaekit {name} {placed} {' '.join(options)} 2> /dev/full")
    assert done.returncode == 0
    assert Path(done.stdout.decode().strip()).stat().st_size > 0


def test_an_error_keeps_its_exit_code_when_nobody_can_read_it(shell: Callable[..., Runner]) -> None:
    assert shell("vaekit info nothing 2> /dev/full").returncode == 3
    assert shell("vaekit info --nothing 2> /dev/full").returncode == 2


def test_closing_the_terminal_of_a_live_bar_does_not_end_a_command(placed: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "vaekit", "sample", placed.name, "-n", "30000", "-o", "x.npy"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        while b"sampling" not in shown:
            shown += os.read(ours, 65536)
        os.close(ours)
        assert process.communicate(timeout=120)[0] == b"x.npy\n"
    assert process.returncode == 0
