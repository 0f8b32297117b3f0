"""The network alone in a loop without gradients: a bound for inference, and for decodes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.process import contend, limit_threads
from tests.benchmarks.rivals.bare_loop import floats, network
from tests.benchmarks.works import WORKS
from vaekit.models.vae import VAE


def _judged(model: VAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """The passes that the ELBO and the reconstruction need: decode a draw, and the mean."""
    q = model.encode(x)
    return model.decode(q.sample(torch.randn_like(q.mean))), model.mean(q.mean)


PASSES: dict[str, Callable[[VAE, Tensor], object]] = {
    "embed": lambda model, x: model.encode(x),
    "reconstruct": lambda model, x: model.mean(model.encode(x).mean),
    "evaluate": _judged,
    "decode": lambda model, z: model.decode(z),
}


@torch.no_grad()
def measure(
    work: str, images: str, command: str, batch: int, samples: int = 0,
    threads: int | None = None, **_: Any,
) -> dict[str, float]:  # fmt: skip
    """Rows per second: images, or for `decode` latents."""
    limit_threads(threads)
    model = network(WORKS[work]).eval()
    x = floats(images).permute(0, 3, 1, 2)
    rows = torch.randn(len(x) * samples, model.latent_dim).to(x.device) if samples else x
    for chunk in rows.split(batch)[:8]:
        PASSES[command](model, chunk)
    began = time.perf_counter()
    for chunk in rows.split(batch):
        PASSES[command](model, chunk)
    if x.is_cuda:
        torch.cuda.synchronize()
    return {"value": len(rows) / (time.perf_counter() - began)}


if __name__ == "__main__":
    contend(measure)
