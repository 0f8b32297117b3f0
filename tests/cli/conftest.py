"""What tests of the commands that use a model share: photos, a shell, and a second model."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vaekit as package
from vaekit.inference import Model

Shell = Callable[..., "subprocess.CompletedProcess[bytes]"]

COLOUR = {
    "dataset": "shapes",
    "limit": 60,
    "image_size": "16",
    "epochs": 1,
    "model": "conv",
    "channels": [8, 8],
    "latent_dim": 3,
    "likelihood": "mse",
}
"""Options of a run on colour pictures that takes about a second."""


@pytest.fixture(scope="session")
def colour_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolutional model of small colour pictures, whose output is not squashed."""
    folder = tmp_path_factory.mktemp("colour") / "run"
    package.train(**COLOUR, output=folder, threads=1)
    return folder / "model.safetensors"


@pytest.fixture(scope="session", params=["tiny_model", "colour_model"], ids=["grey", "colour"])
def any_model(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.fixture
def model(tiny_model: Path) -> Model:
    """The small model in Python, which the commands mirror."""
    return package.load(tiny_model, "cpu")


def picture(seed: int, size: tuple[int, int] = (24, 16)) -> Image.Image:
    """A picture with something to see in it: a bright spot on a slope of colour."""
    wide, tall = size
    y, x = np.mgrid[0:tall, 0:wide] / max(size)
    spot = np.exp(-40 * ((x - 0.1 * (seed % 9)) ** 2 + (y - 0.07 * (seed % 7)) ** 2))
    channels = [spot, (spot + x) / 2, (spot + y) / 2]
    return Image.fromarray((255 * np.stack(channels, axis=-1)).clip(0, 255).astype(np.uint8))


@pytest.fixture
def photos() -> Path:
    """Five cats and four dogs in class folders, and single photos beside them."""
    for seed in range(9):
        folder = Path("photos") / ("cat" if seed < 5 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        picture(seed).save(folder / f"{seed}.jpg", quality=95)
    for seed, name in enumerate(["a", "b", "photo"]):
        picture(3 * seed, (8, 8)).save(f"{name}.jpg", quality=95)
    return Path("photos")


@pytest.fixture
def placed(tiny_model: Path) -> Path:
    """The small model here, under the name that users know."""
    return Path(shutil.copy(tiny_model, "model.safetensors"))


@pytest.fixture(scope="session")
def command_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH on which `vaekit` is this one, whether or not its script was installed."""
    scripts = Path(sys.executable).parent
    if not (scripts / "vaekit").exists():
        scripts = tmp_path_factory.mktemp("bin")
        script = scripts / "vaekit"
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m vaekit "$@"\n')
        script.chmod(0o755)
    return f"{scripts}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture
def shell(command_path: str) -> Shell:
    """A line as it would be typed, in a real bash, every part of which must succeed."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash here")

    def run(line: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["bash", "-c", f"set -o pipefail\n{line}"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PATH": command_path, **environ},
            timeout=120,
        )

    return run


@pytest.fixture
def terminal(command_path: str) -> Callable[..., tuple[int, str]]:
    """The command with a terminal at all its ends: its exit code, and all that was shown."""

    def run(*arguments: str | Path) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            [sys.executable, "-m", "vaekit", *map(os.fspath, arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm"},
        ) as process:
            os.close(theirs)
            shown = _shown(ours, process)
        os.close(ours)
        return process.returncode, shown.decode().replace("\r\n", "\n")

    return run


def _shown(ours: int, process: Any) -> bytes:
    parts = []
    while select.select([ours], [], [], 60)[0]:
        try:
            part = os.read(ours, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        parts.append(part)
    else:
        process.kill()
    return b"".join(parts)
