"""Posterior collapse gets a warning: it is the most common failure, and the least visible."""

from __future__ import annotations

from typing import Any

import pytest

import vaekit as package
from vaekit.configuration.config import RunConfig
from vaekit.training.collapse import SETTLED_STEPS, CollapseWatch, collapse_warning

LONG = {"dataset": "digits", "limit": 200, "epochs": 21, "batch_size": 8, "hidden": [32],
        "latent_dim": 4, "threads": 1, "pictures_every": 100, "lr": 3e-3}  # fmt: skip
DEAD = {"epoch": 3, "step": 600, "train_kl": 0.01, "val_kl": 0.01, "active_units": 0}
ALIVE = {"epoch": 3, "step": 600, "train_kl": 9.0, "val_kl": 9.0, "active_units": 4}


def test_a_run_with_collapsed_latents_warns(watcher: Any) -> None:
    package.train(**LONG, beta=1000.0, watcher=watcher, output="run")
    assert watcher.warnings
    message = watcher.warnings[-1]
    assert message.startswith("posterior collapse: after epoch 21 the KL is 0.0")
    assert "0 of 4 latent dimensions are active" in message
    assert "try --beta 1, --kl-warmup 10, --free-bits 0.1" in message


def test_a_healthy_run_gets_no_warning(watcher: Any) -> None:
    package.train(**LONG, watcher=watcher, output="run")
    assert watcher.records[-1]["val_kl"] > 0.5
    assert watcher.records[-1]["active_units"] >= 1
    assert watcher.warnings == []


@pytest.mark.parametrize(
    ("change", "warned"),
    [({}, True), ({"val_kl": 0.2, "active_units": 1}, False), ({"val_kl": 0.2}, True),
     ({"active_units": 2}, True)],
    ids=repr,
)  # fmt: skip
def test_a_low_kl_or_no_active_dimension_warns(change: dict[str, float], warned: bool) -> None:
    message = collapse_warning(RunConfig(latent_dim=4, lr=2e-3), {**DEAD, **change})
    assert (message is not None) is warned


def test_options_in_use_are_not_suggested() -> None:
    tried = RunConfig(latent_dim=4, kl_warmup=5.0, free_bits=0.5, lr=3e-3)
    message = collapse_warning(tried, DEAD)
    assert message is not None
    assert message.endswith("try --lr 0.001")


def test_no_warning_comes_before_the_latents_had_time(watcher: Any) -> None:
    watch = CollapseWatch(RunConfig(latent_dim=4, kl_warmup=2.0, lr=2e-3), steps_per_epoch=100)
    due = SETTLED_STEPS + 200
    watch.check({**DEAD, "step": due - 1}, watcher, last=False)
    assert watcher.warnings == []
    watch.check({**DEAD, "step": due}, watcher, last=False)
    assert len(watcher.warnings) == 1
    watch.check({**DEAD, "step": due + 1}, watcher, last=False)
    assert len(watcher.warnings) == 1, "once is enough"
    watch.check({**DEAD, "step": due + 2}, watcher, last=True)
    assert len(watcher.warnings) == 2, "but at the end it is said again"
    watch.check(ALIVE, watcher, last=True)
    assert len(watcher.warnings) == 2
