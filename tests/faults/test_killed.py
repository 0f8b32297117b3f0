"""Row 41: kill -9 at any moment, also during a save and several times, changes no bit of a run.

Real commands are killed. A moment is counted from the first checkpoint of each life, so that
every life makes some progress however slowly it starts.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import vaekit as package
from vaekit.errors import VaekitError
from vaekit.model_file.header import sha256
from vaekit.model_file.weights import read_tensors
from vaekit.training import run as runs
from vaekit.training.run_files import checkpoint as checkpoints

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")

COMMON = {"batch_size": 16, "epochs": 30, "latent_dim": 2, "threads": 1, "checkpoint_every": 2,
          "pictures_every": 10, "schedule": "cosine"}  # fmt: skip
RUNS: dict[str, dict[str, Any]] = {
    "mlp": {"dataset": "digits", "limit": 150, "hidden": "64"},
    "conv": {"dataset": "shapes", "limit": 90, "image_size": "16", "model": "conv",
             "channels": "4,8", "norm": "batch", "ema": 0.9, "likelihood": "mse"},
}  # fmt: skip
TIMES = ("seconds", "images_per_second")
PATIENCE = 120.0
LONGEST_LIFE = 1.5
"""Seconds of training after which a random kill comes at the latest."""


@dataclass
class Tally:
    """The kills of a run, and those during a save."""

    kills: int = 0
    inside: int = 0
    resumed: int = 0
    where: list[str] = field(default_factory=list)


LOG = Path("log.txt")

Process = subprocess.Popen[bytes]


def train(*arguments: str) -> Process:
    """The command; what it says is in the log."""
    command = [sys.executable, "-m", "vaekit", "train", *arguments]
    with LOG.open("wb") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def begin(options: dict[str, Any]) -> Process:
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    return train(*flags, "-o", "run")


def resume() -> Process:
    return train("--resume", "run")


def half_written() -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        return list(Path("run").rglob("*.part"))
    return []


def saved() -> set[str]:
    return {path.name for path in runs.folders.folder_at(Path("run")).checkpoint_files()}


def until(what: Callable[[], object], process: Process) -> bool:
    """Wait for something to be so; False if the process ended before."""
    end = time.monotonic() + PATIENCE
    while not what():
        if process.poll() is not None:
            return False
        assert time.monotonic() < end, "nothing happened"
    return True


def learning(process: Process, before: set[str]) -> bool:
    """Wait for the first checkpoint of this life."""
    return until(lambda: saved() - before, process)


def kill(process: Process) -> bool:
    """Kill it; False if it had come to its end already."""
    process.kill()
    return process.wait(PATIENCE) == -signal.SIGKILL


def kill_inside_a_save(process: Process) -> bool:
    """Kill it when a file is half written: stopped first, so that there is no doubt."""
    while until(half_written, process):
        process.send_signal(signal.SIGSTOP)
        if any(part.exists() for part in half_written()):
            return kill(process)
        process.send_signal(signal.SIGCONT)
    return False


def kill_sometime(process: Process, rng: random.Random) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(rng.uniform(0, LONGEST_LIFE))
    return kill(process)


def check_what_is_left() -> None:
    """Each checkpoint is whole, whatever happened; there are two, or three between two steps."""
    found = runs.folders.folder_at(Path("run")).checkpoint_files()
    assert 1 <= len(found) <= 3
    for path in found:
        checkpoints.read_checkpoint(path)
        assert read_tensors(path)


def torment(process: Process, kinds: Iterator[str], rng: random.Random, tally: Tally) -> None:
    """Kill and resume a run, once for each kind of kill, or until it ends."""
    before: set[str] = set()
    for kind in kinds:
        if not learning(process, before):
            break
        dead = kill_inside_a_save(process) if kind == "save" else kill_sometime(process, rng)
        if not dead:
            break
        parts = half_written()
        tally.kills += 1
        tally.inside += bool(parts)
        tally.where += [path.name.split(".")[1] for path in parts]
        check_what_is_left()
        before = saved()
        process = resume()
        tally.resumed += 1
    assert process.wait(PATIENCE) == 0, LOG.read_text()
    assert not half_written(), "what a killed life left half written is gone"


def untouched(options: dict[str, Any], output: str) -> Path:
    """The folder of a run that nobody killed."""
    return package.train(**options, output=output).folder


def records(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in line if name not in TIMES} for line in lines]


def assert_equal(run: Path, straight: Path) -> None:
    assert sha256(run / "model.safetensors") == sha256(straight / "model.safetensors")
    assert records(run) == records(straight)
    pictures = {p.relative_to(run): sha256(p) for p in run.rglob("*.png")}
    assert pictures == {p.relative_to(straight): sha256(p) for p in straight.rglob("*.png")}


@pytest.fixture
def rng() -> random.Random:
    """The seed is printed when a test fails, so that the moment can be found again."""
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed of the kills: {seed}")
    return random.Random(seed)


def test_a_second_run_is_refused_while_the_first_lives_and_allowed_after_it_was_killed(
    rng: random.Random,
) -> None:
    """A lock that a kill left behind would prevent resuming."""
    options = {**COMMON, **RUNS["mlp"], "epochs": 40}
    process = begin(options)
    assert learning(process, set())
    process.send_signal(signal.SIGSTOP)  # alive, and going nowhere
    with pytest.raises(VaekitError, match="output run: another run is writing there"):
        runs.resume_training(Path("run"), {})
    process.send_signal(signal.SIGCONT)
    tally = Tally()
    torment(process, iter(["save"]), rng, tally)
    assert (tally.kills, tally.inside) == (1, 1)
    assert_equal(Path("run"), untouched(options, "straight"))


def test_a_run_with_batch_norm_and_an_average_is_killed_twice(rng: random.Random) -> None:
    options = {**COMMON, **RUNS["conv"]}
    tally = Tally()
    torment(begin(options), iter(["save", "moment"]), rng, tally)
    assert tally.kills >= 1
    assert tally.inside >= 1
    assert_equal(Path("run"), untouched(options, "straight"))


@pytest.mark.slow
def test_fifty_kills(
    rng: random.Random, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Both networks in turn, each time with another seed, until fifty lives were taken."""
    began, tally, number = time.monotonic(), Tally(), 0
    while tally.kills < 50:
        place = tmp_path / str(number)
        place.mkdir()
        monkeypatch.chdir(place)
        name = ("conv", "mlp")[number % 2]
        options = {**COMMON, **RUNS[name], "epochs": 150, "seed": number}
        left = 50 - tally.kills
        kinds = [rng.choice(["save", "moment", "moment"]) for _ in range(min(left, 15))]
        torment(begin(options), iter(kinds), rng, tally)
        assert_equal(Path("run"), untouched(options, "straight"))
        number += 1
    with capsys.disabled():
        print(f"\n{number} runs, {tally}, {time.monotonic() - began:.0f} s")
