"""Trainers of a very small network, and helpers to run them."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from vaekit.configuration.config import RunConfig
from vaekit.data.batches import Batches
from vaekit.objectives.elbo import elbo
from vaekit.training.defaults import fill_defaults, network_from_config
from vaekit.training.loop import Trainer

SHAPE = (8, 8, 1)


def images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def trainer(count: int = 50, val: int = 0, **options: Any) -> Trainer:
    plain = {"hidden": (16,), "latent_dim": 3, "epochs": 4, "batch_size": 16, "lr": 1e-2,
             "schedule": "cosine", "likelihood": "bce"}  # fmt: skip
    config = fill_defaults(RunConfig(**{**plain, **options}), SHAPE, "digits")
    held = Batches(images(val)) if val else None
    return Trainer(config, network_from_config(config, SHAPE), Batches(images(count)), held)


def epoch(run: Trainer) -> dict[str, float]:
    for indices in run.epoch_batches():
        run.step(indices)
    return run.end_epoch()


def weights(run: Trainer) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in run.network.parameters()]


def poisoned(kind: str, at: int) -> Any:
    """The ELBO, until at one step something in it is not a number."""
    calls = iter(range(10**6))

    def objective(model: Any, x: Tensor, noise: Tensor, **options: Any) -> dict[str, Tensor]:
        terms = dict(elbo(model, x, noise, **options))
        if next(calls) != at:
            return terms
        if kind == "gradient":
            nothing = model.encode(x).mean.sum() * 0
            terms["loss"] = terms["loss"] + nothing.sqrt()  # 0, with a gradient of 0 · inf
        else:
            terms[kind] = terms[kind] * float("inf" if kind == "kl" else "nan")
        return terms

    return objective
