"""The steps alone: vaekit's network, images in memory, fused Adam."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.benchmarks.process import contend, limit_threads
from tests.benchmarks.rivals.plain_loop import device
from tests.benchmarks.rivals.steady import Epochs
from tests.benchmarks.works import WORKS, Work
from vaekit.likelihoods import build_likelihood
from vaekit.models.vae import VAE, build


def network(work: Work) -> VAE:
    """The network that `vaekit train` builds, with its weights channels-last."""
    made = build(
        work.model,
        image=work.image,
        latent_dim=work.latent_dim,
        likelihood=build_likelihood("bce"),
        settings=work.settings,
    )
    return made.to(device()).to(memory_format=torch.channels_last)


def floats(path: str) -> Tensor:
    """All images as float32 (N, H, W, C): channels-last, which is fastest for convolutions."""
    return torch.from_numpy(np.load(path)).float().div_(255).to(device())


def loss(model: VAE, x: Tensor) -> Tensor:
    """−ELBO, averaged over the batch."""
    q = model.encode(x)
    logits = model.decode(q.sample(torch.randn_like(q.mean)))
    cross_entropy = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return (cross_entropy + q.kl_to_standard().sum()) / len(x)


def epoch(model: VAE, adam: torch.optim.Optimizer, images: Tensor, batch: int) -> None:
    """Train for one epoch in random order."""
    for indices in torch.randperm(len(images), device=images.device).split(batch):
        x = images.index_select(0, indices).permute(0, 3, 1, 2)
        adam.zero_grad(set_to_none=True)
        loss(model, x).backward()
        adam.step()
    if images.is_cuda:
        torch.cuda.synchronize()


def measure(
    work: str, train: str, epochs: int, batch: int, threads: int | None = None, **_: Any
) -> dict[str, float]:
    """Throughput."""
    limit_threads(threads)
    torch.manual_seed(0)
    model, images = network(WORKS[work]).train(), floats(train)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    marks = Epochs()
    for _epoch in range(epochs):
        epoch(model, adam, images, batch)
        marks.ended()
    return marks.measured(len(images))


if __name__ == "__main__":
    contend(measure)
