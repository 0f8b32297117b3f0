"""The importance weighted bound on the log-likelihood, tighter than the ELBO.

    log p̂(x) = log 1/K Σ_k p(x|z_k) p(z_k) / q(z_k|x),   z_1 … z_K ~ q(z|x)

Burda et al. 2016 (arXiv:1509.00519), equation 8. Its mean rises with K towards log p(x). With K = 1
it is the ELBO's estimator with the log-ratio log p(z) − log q(z|x) in place of the closed form of
the KL: the two have one mean, and this one the larger spread.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from vaekit import inference
from vaekit.errors import UsageError
from vaekit.gaussian import Normal
from vaekit.models.vae import VAE
from vaekit.reporting import Task
from vaekit.seeds import BLOCK, normal_rows

CHUNKS = 4
"""Chunks of latents decoded at once on a CPU: few enough for its caches."""
ROWS_ON_ACCELERATOR = 16384
MOST_WEIGHED_VALUES = 2**22
"""Values of decoded images in memory at once, whatever the number of rows."""


@torch.no_grad()
def log_likelihood(
    network: VAE,
    x: Tensor,
    samples: int,
    *,
    seed: int = 0,
    start: int = 0,
    task: Task | None = None,
) -> Tensor:
    """The bound of each image (N, C, H, W), in nats, from `samples` draws each: float64 (N,).

    Draw k of an image is keyed by (seed, the image's number counted from `start`, k): it depends
    neither on batches nor on memory, and the first 10 of 100 draws are the 10 draws of
    `samples=10`. Sums are kept in float64. The network must be in evaluation mode.

    Example:
        log_px = log_likelihood(network, x, 5000)
        nll = -log_px.mean()
    """
    if samples < 1:
        raise UsageError(f"--nll-samples {samples}: at least 1")
    together, images = _batch_sizes(network, samples)
    q = inference.encode(network, x)
    found = []
    for first in range(0, len(x), images):
        part = slice(first, min(first + images, len(x)))
        count = part.stop - first
        numbers = range(start + first, start + first + images)
        noises = _noise_batches(numbers, samples, together, network.latent_dim, seed)
        counted = _with_progress(noises, count, task)
        bound = _running_bound(
            network, inference.pad_rows(x[part], images), _padded(q[part], images), counted
        )
        found.append(bound[:count] - math.log(samples))
    return torch.cat(found) if found else torch.empty(0, dtype=torch.float64)


def _batch_sizes(network: VAE, samples: int) -> tuple[int, int]:
    """Draws of one image at a time, and images at a time, from the model and K alone."""
    height, width, _ = network.image
    cpu = next(network.parameters()).device.type == "cpu"
    fitting = MOST_WEIGHED_VALUES // (height * width * network.output_channels)
    most = CHUNKS * network.chunk if cpu else ROWS_ON_ACCELERATOR
    rows = max(BLOCK, min(most, fitting) // BLOCK * BLOCK)
    together = min(samples, rows)
    return together, max(1, rows // together)


def _running_bound(network: VAE, x: Tensor, q: Normal, noises: Iterator[Tensor]) -> Tensor:
    """Log Σ_k exp(log weight), chunk after chunk of draws, never holding all K."""
    total, q = torch.full((len(x),), -math.inf, dtype=torch.float64), q.to(x.device)
    for noise in noises:
        weights = log_weights(network, x, q, noise.to(x.device))
        total = torch.logaddexp(total, torch.logsumexp(weights.cpu().double(), 1))
    return total


def log_weights(network: VAE, x: Tensor, q: Normal, noise: Tensor) -> Tensor:
    """Log p(x|z) + log p(z) − log q(z|x) for draws z = mean + std · noise: (N, K, D) to (N, K).

    log q(z|x) needs no z: it is −½ Σ (noise² + logvar + log 2π).
    """
    count, draws, width = noise.shape
    each = Normal(q.mean[:, None], q.logvar[:, None])
    z = each.sample(noise)
    log_ratio = network.prior.log_prob(z) - each.log_prob_of_noise(noise)
    params = network.decode(z.reshape(count * draws, width))
    log_px = network.likelihood.log_prob_of_draws(params.unflatten(0, (count, draws)), x)
    return log_px + log_ratio


def _noise_batches(
    images: range, samples: int, together: int, width: int, seed: int
) -> Iterator[Tensor]:
    """All draws of some images, `together` at a time, keyed by (seed, image, block)."""
    for first in range(0, samples, together):
        stop = min(first + together, samples)
        rows = [normal_rows(first, stop, width, seed, "nll", image) for image in images]
        yield torch.stack(rows)


def _with_progress(noises: Iterator[Tensor], images: int, task: Task | None) -> Iterator[Tensor]:
    """The same, advancing the progress bar after each is used."""
    for noise in noises:
        yield noise
        if task is not None:
            task.advance(images * noise.shape[1])


def _padded(q: Normal, count: int) -> Normal:
    """Filled up with rows of the prior."""
    return Normal(inference.pad_rows(q.mean, count), inference.pad_rows(q.logvar, count))
