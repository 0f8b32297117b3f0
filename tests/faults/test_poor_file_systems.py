"""vaekit works without locks, links and modes, as on USB sticks, and for a user without a home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Runner

LACKING = """
import errno, fcntl, os

def unsupported(*_, **__):
    raise OSError(errno.ENOTSUP, "Operation not supported")

fcntl.flock = fcntl.lockf = os.link = os.symlink = os.chmod = os.fchmod = unsupported
"""


@pytest.mark.skipif(os.name != "posix", reason="it replaces calls of POSIX")
def test_training_and_its_commands_work_without_locks_links_and_modes(photos: Path) -> None:
    Path("lacking").mkdir()
    Path("lacking/sitecustomize.py").write_text(LACKING)
    root = Path(__file__).parent.parent.parent
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(["lacking", str(root)])}

    def vaekit(*arguments: str) -> str:
        command = [sys.executable, "-m", "vaekit", *arguments]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout.strip()

    small = ("--epochs", "1", "--hidden", "4", "--latent-dim", "2", "--threads", "1")
    for more in ((), ("--force",)):
        model = vaekit("train", "--dataset", str(photos), *small, "-o", "run", *more)
        assert model == "run/model.safetensors"
    assert vaekit("sample", model, "-n", "3", "-o", "images/") == "images"
    assert vaekit("embed", model, "images", "-o", "z.npz") == "z.npz"
    left = [path for path in Path().rglob("*.part") if "lacking" not in path.parts]
    assert left == []


def test_a_plot_without_a_home_prints_nothing_of_another_program(
    vaekit: Runner, tiny_model: Path
) -> None:
    """matplotlib wants to write its settings there, and warned in two lines that it cannot."""
    nowhere = {"HOME": "/dev/null/home", "XDG_CONFIG_HOME": "", "MPLCONFIGDIR": ""}
    done = vaekit(
        *("embed", tiny_model, "--dataset", "digits", "--limit", "20", "--project", "pca"),
        *("-o", "plot.png", "-q"),
        environ=nowhere,
    )
    assert (done.code, done.stdout.strip(), done.stderr) == (0, "plot.png", "")
