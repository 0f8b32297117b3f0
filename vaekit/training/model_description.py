"""What a model file says of its training: network, likelihood, latent statistics."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vaekit import __version__, registry
from vaekit.configuration.config import RunConfig
from vaekit.data import ImageSet
from vaekit.data.batches import Batches
from vaekit.evaluation.binarize import binarize
from vaekit.evaluation.dataset_elbo import ElboReport, evaluate_elbo
from vaekit.evaluation.outliers import FEWEST_KNOWN, describe_known
from vaekit.model_file.header import (
    FORMAT_VERSION,
    KnownImages,
    LatentStatistics,
    LikelihoodSpec,
    ModelHeader,
)
from vaekit.model_file.weights import specification
from vaekit.models.vae import VAE, parameter_count
from vaekit.training.loop import Trainer, evaluation_batch, model_inputs

STATISTICS_IMAGES = 10_240
"""Training images from which the latent statistics are taken: the first ones."""

MOST_KNOWN, MOST_KNOWN_VALUES = 4096, 2**25
"""Known images that are described, and their values: a second or two of PNG."""

TIMES = ("seconds", "images_per_second")
"""Metrics that differ between two equal runs; the file leaves them out, so its bytes are equal."""


def describe_model(trainer: Trainer, images: ImageSet, record: dict[str, float]) -> ModelHeader:
    """The header of the trainer's current model."""
    config = trainer.config
    report = latent_statistics(trainer.eval_network, config, trainer.train)
    assert config.model is not None
    trainer.check_finite(report)
    latents = latents_of(report)
    return ModelHeader(
        format_version=FORMAT_VERSION,
        vaekit_version=__version__,
        model=specification(trainer.eval_network, config.model),
        likelihood=likelihood_spec(config, trainer.network),
        objective=objective_facts(config),
        classes=list(images.classes) if images.classes else None,
        latents=latents,
        known=known_images(trainer, latents),
        training=_training(trainer, images, record),
    )


def latent_statistics(
    network: VAE, config: RunConfig, train: Batches, most: int = STATISTICS_IMAGES
) -> ElboReport:
    """The plain ELBO, and the latents' mean, spread and KL, on up to `most` training images."""
    size = evaluation_batch(train.image_shape)
    batches = itertools.islice(model_inputs(config, train, size), max(1, most // size))
    objective = registry.resolve("objective", config.objective)
    return evaluate_elbo(network, objective, batches, seed=config.seed)


def known_images(trainer: Trainer, latents: LatentStatistics) -> KnownImages | None:
    """What outlier scores compare with: validation images, or training images where too few."""
    config, val = trainer.config, trainer.val
    part, images = "training", trainer.train
    if val is not None and len(val) >= FEWEST_KNOWN:
        part, images = "validation", val
    batches = _spaced(trainer, images)
    return describe_known(trainer.eval_network, batches, latents, part=part, seed=config.seed)


def _spaced(trainer: Trainer, images: Batches) -> Iterator[tuple[Tensor, Tensor]]:
    """Up to `MOST_KNOWN` images as the model sees them, evenly spaced, numbered from 0."""
    config, network = trainer.config, trainer.eval_network
    most = max(FEWEST_KNOWN, min(MOST_KNOWN, MOST_KNOWN_VALUES // math.prod(network.image)))
    chosen = torch.arange(min(len(images), most)) * len(images) // min(len(images), most)
    how = "dynamic" if config.binarize == "dynamic" else None
    for start in range(0, len(chosen), network.chunk):
        part = chosen[start : start + network.chunk]
        numbers = torch.arange(start, start + len(part))
        yield numbers, binarize(images.gather(part), numbers, how, config.seed)


def likelihood_spec(config: RunConfig, network: VAE) -> LikelihoodSpec:
    """The likelihood of a run, with its settings, as a model file states it."""
    values: dict[str, Any] = {"name": config.likelihood}
    if config.binarize:
        values["binarize"] = config.binarize
    return LikelihoodSpec.model_validate({**values, **network.likelihood.settings})


def objective_facts(config: RunConfig) -> dict[str, Any]:
    """The objective of a run, as a model file states it."""
    return {
        "name": config.objective,
        "beta": config.beta,
        "kl_warmup": config.kl_warmup,
        "free_bits": config.free_bits,
    }


def latents_of(report: ElboReport) -> LatentStatistics:
    """The statistics of each latent dimension, as a model file states them."""
    return LatentStatistics(mean=report.latent_mean, std=report.latent_std, kl=report.kl_per_dim)


def _training(trainer: Trainer, images: ImageSet, record: dict[str, float]) -> dict[str, Any]:
    config, now = trainer.config, trainer.progress
    final = {name: value for name, value in record.items() if name not in TIMES}
    best = {"epoch": now.best_epoch, "val_neg_elbo": now.best} if now.best_epoch else None
    return {
        "dataset": images.name,
        "fingerprint": images.fingerprint,
        "n": len(images),
        "n_val": 0 if trainer.val is None else len(trainer.val),
        "parameters": parameter_count(trainer.eval_network),
        "seed": config.seed,
        "steps": now.step,
        "epochs": now.epoch,
        "weights": "best on validation" if best else "last",
        "final": final,
        "best": best,
        "config": config.shared(),
    }
