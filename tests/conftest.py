"""Fixtures of every test: an empty folder, an empty cache, the command, one small model."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: small tensors, and equal bits

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TERMINAL_VARIABLES = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE")

TINY = {
    "dataset": "digits",
    "limit": 300,
    "epochs": 3,
    "hidden": [32],
    "latent_dim": 4,
    "likelihood": "bce",
}
"""Options of a run that takes less than a second."""


@dataclass(frozen=True)
class Outcome:
    """The exit code and the output of a command."""

    code: int
    stdout: str
    stderr: str


Runner = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's environment and cache out of the tests, and the tests out of them."""
    for name in [*os.environ]:
        if name.startswith("VAEKIT_") or name in TERMINAL_VARIABLES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def vaekit() -> Runner:
    """Run the real command in a process of its own."""

    def run(*arguments: str | Path, environ: dict[str, str] | None = None) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-m", "vaekit", *map(os.fspath, arguments)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environ or {})},
            timeout=120,
        )
        return Outcome(done.returncode, *_texts(done.stdout, done.stderr))

    return run


def _texts(*streams: bytes) -> Iterator[str]:
    return (stream.decode("utf-8", "surrogateescape") for stream in streams)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Runner:
    """Run the command in this process: faster, for tests that need no real streams or imports."""
    from vaekit.cli import run as run_command

    def run(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        code = run_command([os.fspath(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run on the digits."""
    import vaekit as package

    folder = tmp_path_factory.mktemp("tiny") / "run"
    package.train(**TINY, output=folder, threads=1)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_run: Path) -> Path:
    """The model file of that run."""
    return tiny_run / "model.safetensors"
