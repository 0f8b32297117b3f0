"""A run that lost what it had learned says so: its numbers are finite, and nothing else would."""

from __future__ import annotations

from typing import Any

import pytest

import vaekit as package
from vaekit.configuration.config import RunConfig
from vaekit.training import divergence
from vaekit.training.divergence import DivergenceWatch

SMALL = {"dataset": "digits", "limit": 200, "batch_size": 8, "hidden": [32], "latent_dim": 4,
         "threads": 1, "pictures_every": 100}  # fmt: skip


def record(epoch: int, loss: float, *, beta: float = 1.0) -> dict[str, float]:
    return {"epoch": epoch, "train_reconstruction": loss - 5, "train_kl": 5.0, "beta": beta}


def warnings(watcher: Any, *losses: float, **settings: Any) -> list[str]:
    watch = DivergenceWatch(RunConfig(lr=3e-3, **settings))
    for epoch, loss in enumerate(losses, 1):
        watch.check(record(epoch, loss), watcher, last=epoch == len(losses))
    return list(watcher.warnings)


def test_a_loss_above_that_of_the_first_epoch_warns_with_both_and_a_lower_rate(
    watcher: Any,
) -> None:
    assert warnings(watcher, 16_992.0, 13_585.0, 1_477_003.0, 14_000.0) == [
        "epoch 3: the training loss, 1,477,003.00, is higher than in the first epoch, 16,992.00: "
        "the run has lost what it had learned; try --lr 0.001"
    ]


def test_it_warns_once_and_again_at_the_end(watcher: Any) -> None:
    found = warnings(watcher, 100.0, 50.0, 300.0, 250.0, 200.0)
    assert [text.split(":")[0] for text in found] == ["epoch 3", "epoch 5"]


def test_a_loss_that_wavers_below_the_first_does_not_warn(watcher: Any) -> None:
    assert warnings(watcher, 100.0, 50.0, 99.0, 60.0) == []


def test_a_run_that_goes_on_remembers_its_first_epoch(watcher: Any) -> None:
    watch = DivergenceWatch(RunConfig(lr=3e-3), [record(1, 100.0), record(2, 50.0)])
    watch.check(record(3, 99.0), watcher, last=False)
    assert watcher.warnings == []
    watch.check(record(4, 101.0), watcher, last=False)
    assert len(watcher.warnings) == 1


def test_epochs_in_which_beta_rises_are_left_out(watcher: Any) -> None:
    watch = DivergenceWatch(RunConfig(lr=3e-3, kl_warmup=2.0), [record(1, 100.0, beta=0.2)])
    watch.check(record(2, 200.0, beta=0.7), watcher, last=False)
    watch.check(record(3, 210.0), watcher, last=False)
    assert watcher.warnings == []
    watch.check(record(4, 214.0), watcher, last=False)
    assert len(watcher.warnings) == 1


def test_a_loss_that_hardly_moves_does_not_warn(watcher: Any) -> None:
    assert warnings(watcher, 100.0, 99.5, 100.2, 100.3) == []


def test_a_run_that_learns_nothing_at_its_rate_warns(
    watcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(divergence, "HARDLY_MOVED", 0.0)
    package.train(**SMALL, lr=0.5, epochs=6, watcher=watcher, output="run")
    assert "the run has lost what it had learned; try --lr 0.2" in watcher.warnings[0]
