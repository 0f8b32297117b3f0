"""The importance-weighted bound on the log-likelihood, tighter than the ELBO.

    log p̂(x) = log 1/K Σ_k p(x|z_k) p(z_k) / q(z_k|x),   z_1 … z_K ~ q(z|x)

Burda et al. 2016 (arXiv:1509.00519), equation 8. Its mean rises with K towards log p(x). With K = 1
it is the ELBO's estimator with the log-ratio log p(z) − log q(z|x) in place of the closed form of
the KL: the two have one mean, and this one the larger spread.

Where q(z|x) misses the posterior, a few weights make up the whole sum and the bound is far too low.
The effective sample size and Pareto k-hat of each image tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vaekit import inference
from vaekit.chunks import pad_rows
from vaekit.errors import UsageError
from vaekit.evaluation.log_likelihood.pareto import UNRELIABLE_K, pareto_k, tail_size
from vaekit.evaluation.log_likelihood.refined_posterior import NoiseFit, RefinedPosterior, fit_noise
from vaekit.gaussian import Normal, Posterior
from vaekit.models.vae import VAE
from vaekit.reporting import Task
from vaekit.seeds import BLOCK, normal_rows

CHUNKS = 4
"""Chunks of latents decoded at once on a CPU: few enough for its caches."""
ROWS_ON_ACCELERATOR = 16384
MOST_WEIGHED_VALUES = 2**22
"""A limit on the values of decoded images in memory at once."""


@dataclass(frozen=True)
class ImportanceEstimate:
    """The importance weighted bound of each image, and how far to trust it: float64 (N,) each."""

    samples: int
    bound: Tensor
    """In nats, at most log p(x) on average."""
    effective: Tensor
    """The effective sample size (Σ w)² / Σ w², from 1 to K."""
    pareto_k: Tensor
    """The tail of the weights: above 0.7 the bound is unreliable (`pareto.py`)."""
    diagonal_elbo: Tensor | None = None
    """The ELBO of the best posterior of the encoder's kind, where posteriors were fitted."""

    @classmethod
    def of_weights(cls, weights: Tensor) -> ImportanceEstimate:
        """From the log weights of all draws, float64 (N, K)."""
        samples = weights.shape[1]
        largest = weights.topk(min(tail_size(samples) + 1, samples)).values
        total, squares = weights.logsumexp(1), (2 * weights).logsumexp(1)
        return cls.of_sums(samples, total, squares, largest)

    @classmethod
    def of_sums(
        cls, samples: int, total: Tensor, squares: Tensor, largest: Tensor
    ) -> ImportanceEstimate:
        """From log Σ w, log Σ w² and the largest log w of each image."""
        ks = [pareto_k(weights) for weights in largest.numpy()]
        effective = torch.exp(2 * total - squares)
        k = torch.tensor(ks, dtype=torch.float64)
        return cls(samples, total - math.log(samples), effective, k)

    @property
    def variance(self) -> Tensor:
        """Of the bound over other draws, by the delta method: (K / effective − 1) / (K − 1)."""
        return (self.samples / self.effective - 1) / (self.samples - 1 or math.nan)


@torch.no_grad()
def importance_estimate(
    network: VAE,
    x: Tensor,
    samples: int,
    *,
    seed: int = 0,
    start: int = 0,
    refined: bool = False,
    task: Task | None = None,
) -> ImportanceEstimate:
    """Estimate log p(x) of images (N, C, H, W) from `samples` draws each.

    With `refined`, draws come from a posterior fitted to each image, not from the encoder's
    (`refined_posterior.py`).

    Draw k of an image is keyed by (seed, the image's number counted from `start`, k): it depends
    neither on batches nor on memory, and the first 10 of 100 draws are the 10 draws of
    `samples=10`. Sums are kept in float64. The network must be in evaluation mode. The task counts
    draws, and before them `gradients_of_fit` where posteriors are fitted.

    Example:
        nll = -importance_estimate(network, x, 5000).bound.mean()
    """
    if samples < 1:
        raise UsageError(f"--nll-samples {samples}: at least 1")
    together, images = _batch_sizes(network, samples)
    posteriors = _posteriors(network, x, images)
    fitted = None
    if refined and len(x):
        fitted = fit_noise(network, x, start=start, seed=seed, task=task)
        posteriors = _refined(posteriors, fitted, images)
    found = []
    for first, posterior in zip(range(0, len(x), images), posteriors, strict=True):
        part = slice(first, min(first + images, len(x)))
        count = part.stop - first
        numbers = range(start + first, start + first + images)
        noises = _noise_batches(numbers, samples, together, network.latent_dim, seed)
        counted = _with_progress(noises, count, task)
        padded = pad_rows(x[part], images)
        sums = _running_sums(network, padded, posterior, counted, samples)
        found.append([values[:count] for values in sums])
    total, squares, largest = (
        torch.cat(parts) for parts in (zip(*found, strict=True) if found else [_EMPTY] * 3)
    )
    own_kind = None if fitted is None else fitted.diagonal_elbo.double()
    estimate = ImportanceEstimate.of_sums(samples, total, squares, largest)
    return replace(estimate, diagonal_elbo=own_kind)


_EMPTY = (torch.empty(0, dtype=torch.float64),)


def _batch_sizes(network: VAE, samples: int) -> tuple[int, int]:
    """Draws of one image at a time, and images at a time, from the model and K alone."""
    rows = rows_at_once(network)
    together = min(samples, rows)
    return together, max(1, rows // together)


def rows_at_once(network: VAE) -> int:
    """How many latents to decode at a time, from the model alone."""
    height, width, _ = network.image
    cpu = next(network.parameters()).device.type == "cpu"
    fitting = MOST_WEIGHED_VALUES // (height * width * network.output_channels)
    most = CHUNKS * network.chunk if cpu else ROWS_ON_ACCELERATOR
    return max(BLOCK, min(most, fitting) // BLOCK * BLOCK)


def _posteriors(network: VAE, x: Tensor, images: int) -> Iterator[Posterior]:
    """q(z|x) of `images` at a time, filled up with rows of the prior or of black images."""
    if network.factorised:
        q = inference.encode(network, x)
    for first in range(0, len(x), images):
        part = slice(first, first + images)
        if network.factorised:
            yield _padded(q[part], images)
        else:  # each draw has normals of its own, so the posterior stays with the network
            device = next(network.parameters()).device
            yield network.encode(pad_rows(x[part], images).to(device))


def _refined(posteriors: Iterator[Posterior], fitted: NoiseFit, images: int) -> Iterator[Posterior]:
    """The posteriors with their noise moved as fitted; the last image's fills up the last batch."""
    count = len(fitted.shift)
    for first, posterior in zip(range(0, count, images), posteriors, strict=True):
        rows = torch.arange(first, first + images).clamp_max(count - 1)
        yield RefinedPosterior(posterior, fitted.shift[rows], fitted.scale[rows])


def _running_sums(
    network: VAE, x: Tensor, q: Posterior, noises: Iterator[Tensor], samples: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Log Σ w, log Σ w² and the largest log w of each image, without ever holding all K."""
    total, q = torch.full((len(x),), -math.inf, dtype=torch.float64), q.to(x.device)
    squares, largest = total, total[:, None][:, :0]
    for noise in noises:
        weights = log_weights(network, x, q, noise.to(x.device)).cpu().double()
        total = torch.logaddexp(total, torch.logsumexp(weights, 1))
        squares = torch.logaddexp(squares, torch.logsumexp(2 * weights, 1))
        candidates = torch.cat([largest, weights], 1)
        largest = candidates.topk(min(tail_size(samples) + 1, candidates.shape[1])).values
    return total, squares, largest


def log_weights(network: VAE, x: Tensor, q: Posterior, noise: Tensor) -> Tensor:
    """Log p(x|z) + log p(z) − log q(z|x) for draws z = mean + std · noise: (N, K, D) to (N, K).

    log q(z|x) needs no z: it is −½ Σ (noise² + logvar + log 2π).
    """
    count, draws, width = noise.shape
    z, each, params = q.draw(noise)
    log_ratio = network.prior.log_prob(z) - each.log_prob_of_noise(noise)
    if params is None:
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
    return Normal(pad_rows(q.mean, count), pad_rows(q.logvar, count))


MANY_UNRELIABLE = 0.1
"""The share of images with an unreliable bound that is worth a warning."""
REMEDIES = {
    "importance": "--nll refined, more --nll-samples",
    "refined": "--nll ais, more --nll-samples",
    "ais": "more --nll-temperatures, more --nll-samples",
}


def unreliable_share(pareto_k: Tensor) -> float:
    """The share of images whose k-hat is above 0.7; NaN where there are too few draws to tell."""
    known = pareto_k[~pareto_k.isnan()]
    return float((known > UNRELIABLE_K).double().mean())


def why_unreliable(
    share: float, effective: float, samples: int, *, method: str = "importance"
) -> str | None:
    """The warning where the bound of many images is not to be trusted, and what to do."""
    if not share > MANY_UNRELIABLE:
        return None
    remedy = REMEDIES[method]
    return (
        f"nll is unreliable: Pareto k is above {UNRELIABLE_K} for {share:.0%} of the images, and "
        f"half of them have an effective sample size of {effective:.1f} of {samples:,} draws or "
        f"less, so nll may be far too high; try {remedy}, or quote neg_elbo"
    )
