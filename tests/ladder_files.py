"""A small ladder with random weights, as a model file: three groups of 2, 8 and 128 latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from vaekit.likelihoods import build_likelihood
from vaekit.model_file.header import LatentStatistics, LikelihoodSpec, ModelHeader, ModelSpec
from vaekit.model_file.weights import save, specification
from vaekit.models.vae import VAE, build

SIZES = (2, 8, 128)
SHAPES = [(2, 1, 1), (2, 2, 2), (2, 8, 8)]
SETTINGS: dict[str, Any] = {
    "channels": [8],
    "latent_groups": [1, 1, 0, 1],
    "latent_channels": 2,
    "depth": 1,
    "activation": "silu",
}


def small_ladder() -> VAE:
    """For grey images of 8x8, with weights far from the start, where every group has an effect."""
    network = build(
        "ladder",
        image=(8, 8, 1),
        latent_dim=sum(SIZES),
        likelihood=build_likelihood("bce"),
        settings=SETTINGS,
    )
    g = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=g))
    return network


def ladder_header(spec: ModelSpec | None = None) -> ModelHeader:
    """Of the small ladder; the KL of each latent is its number, counted from 1."""
    total = sum(SIZES)
    return ModelHeader(
        format_version=1,
        vaekit_version="0.1.0",
        model=spec or specification(small_ladder(), "ladder"),
        likelihood=LikelihoodSpec(name="bce"),
        objective={"name": "elbo", "beta": 1.0},
        classes=None,
        latents=LatentStatistics(
            mean=[0.0] * total, std=[1.0] * total, kl=[dim + 1.0 for dim in range(total)]
        ),
        training={"dataset": "digits", "n": 1, "seed": 0, "steps": 1, "epochs": 1},
    )


def save_ladder(path: Path) -> Path:
    """Write the model file."""
    save(path, ladder_header(), small_ladder().state_dict())
    return path
