"""Checkpoints are written often enough to lose little, and rarely enough to cost little."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vaekit.configuration.config_sources import resolve_config
from vaekit.training.loop import Progress
from vaekit.training.run_files import checkpoint as checkpoints
from vaekit.training.run_files import run_folder as folders
from vaekit.training.run_files.checkpoint import Checkpoints, interval_seconds

UNWRITTEN: Any = SimpleNamespace(
    checkpoints=Path("run/checkpoint"),
    model_beside=False,
    manifest=SimpleNamespace(claim=lambda *_: None),
    checkpoint_files=list,
)
"""A folder on a simulated disk."""


class Disk:
    """A clock, and a disk on which each save takes its time."""

    def __init__(self, costs: Iterable[float]) -> None:
        self.now, self.costs, self.saves = 0.0, iter(costs), list[float]()

    def monotonic(self) -> float:
        return self.now

    def write(self, *_: object) -> None:
        cost = next(self.costs)
        self.now += cost
        self.saves.append(cost)

    def train(self, amount: float) -> None:
        self.now += amount


@dataclass(frozen=True)
class Slow:
    disk: Disk
    share: float
    longest: float
    """Seconds of training between two saves, at most."""


def simulated(
    monkeypatch: pytest.MonkeyPatch,
    costs: Iterable[float],
    *,
    every: str | int = "5min",
    step: float = 0.5,
    epoch: int = 100,
    hours: float = 10,
) -> Slow:
    """A run of some hours on such a disk, its last save with it, as a session would save it."""
    disk = Disk(costs)
    monkeypatch.setattr(checkpoints, "time", disk)
    monkeypatch.setattr(checkpoints, "write_tensors", disk.write)
    monkeypatch.setattr(checkpoints, "tensors_of", lambda _: {})
    config = resolve_config({"checkpoint_every": every}, environ={})
    trainer: Any = SimpleNamespace(progress=Progress(), ensure_finite=lambda: None)
    saving = Checkpoints(UNWRITTEN, config, "", torch.device("cpu"))
    waited = longest = 0.0
    for number in range(1, int(hours * 3600 / step) + 1):
        disk.train(step)
        waited, trainer.progress.step = waited + step, number
        if saving.due(number, epoch_ended=number % epoch == 0):
            saving.save(trainer)
            longest, waited = max(longest, waited), 0.0
    saving.save(trainer)
    return Slow(disk, sum(disk.saves) / disk.now, max(longest, waited))


def uneven() -> Iterator[float]:
    """Quick, and then slow for a while."""
    return itertools.cycle([0.1] * 20 + [30.0] * 5)


@pytest.mark.parametrize("epoch", [1, 100, 10_000], ids="epochs of {} steps".format)
@pytest.mark.parametrize("cost", [0.01, 1.0, 10.0, 40.0], ids="{} s a save".format)
def test_saving_takes_less_than_a_fiftieth_of_a_run_on_any_disk(
    monkeypatch: pytest.MonkeyPatch, cost: float, epoch: int
) -> None:
    run = simulated(monkeypatch, itertools.repeat(cost), epoch=epoch)
    assert run.share < 0.02
    assert run.longest <= max(300.0, 100 * cost) + 0.5, "and little is lost"


def test_a_slow_save_delays_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert simulated(monkeypatch, uneven()).share < 0.02


def test_epoch_ends_are_saved_where_that_is_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second of saving after an epoch of 120 seconds is; two seconds are not."""
    cheap = simulated(monkeypatch, itertools.repeat(1.0), epoch=240)
    assert cheap.longest == 120
    dear = simulated(monkeypatch, itertools.repeat(2.0), epoch=240)
    assert 240 <= dear.longest <= 300


def test_an_interval_in_steps_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    run = simulated(monkeypatch, itertools.repeat(60.0), every=50, hours=1)
    assert len(run.disk.saves) == 7200 / 50 + 1
    assert run.longest == 25


def test_a_resumed_run_counts_steps_from_where_it_resumed() -> None:
    config = resolve_config({"checkpoint_every": 10}, environ={})
    saving = Checkpoints(folders.folder_at(Path("run")), config, "", torch.device("cpu"), 7)
    assert [step for step in range(8, 20) if saving.due(step)] == [17, 18, 19]


@pytest.mark.parametrize(("text", "value"), [("5min", 300), ("90s", 90), ("2h", 7200)])
def test_an_interval_may_be_a_time(text: str, value: float) -> None:
    assert interval_seconds(text) == value
