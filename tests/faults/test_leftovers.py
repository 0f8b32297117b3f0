"""Row 75: what a killed command leaves half written is removed by its next use; the rest stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")

OWN = [".big.npy.part", ".movie.mkv.part", ".big.npy.abcdefgh.part"]
"""Names that other programs give half-written files."""


def kill_while_it_writes(place: Path, *arguments: str | Path) -> None:
    """Start a command, and kill it with half a file of ours beside `place`."""
    command = [sys.executable, "-m", "vaekit", *map(os.fspath, arguments)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet) as process:
        end = time.monotonic() + 120
        while not any(place.glob(".*.vaekit-*.part")):
            assert process.poll() is None, "the command ended before it could be killed"
            assert time.monotonic() < end, "the command wrote nothing"
        process.kill()
        assert process.wait(60) == -signal.SIGKILL
    assert len([*place.glob(".*.vaekit-*.part")]) == 1


def test_half_an_array_is_removed_when_the_array_is_written_again(
    cli: Any, tiny_model: Path
) -> None:
    folder = Path("out")
    folder.mkdir()
    for name in OWN:
        (folder / name).write_bytes(b"the user's own")
    output = ("-o", folder / "big.npy")
    kill_while_it_writes(folder, "sample", tiny_model, "-n", "3000000", *output)
    done = cli("sample", tiny_model, "-n", "3", *output)
    assert done.code == 0, done.stderr
    assert np.load(folder / "big.npy").shape == (3, 8, 8, 1)
    assert {path.name for path in folder.iterdir()} == {"big.npy", *OWN}
    assert all((folder / name).read_bytes() == b"the user's own" for name in OWN)


def test_half_an_image_is_removed_when_the_folder_is_written_again(
    cli: Any, tiny_model: Path
) -> None:
    folder = Path("images")
    folder.mkdir()
    (folder / ".movie.mkv.part").touch()
    half = folder / ".0001.png.vaekit-abcdefgh.part"
    half.write_bytes(b"half")
    assert cli("sample", tiny_model, "-n", "3", "-o", "images/").code == 0
    assert not half.exists()
    assert {path.name for path in folder.iterdir()} == {
        *("0000.png", "0001.png", "0002.png"),
        ".movie.mkv.part",
    }
