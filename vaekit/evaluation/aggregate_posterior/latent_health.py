"""The health of the latents: what they carry, how far they are from the prior, advice.

All of it is about the aggregate posterior q(z) = 1/N Σ_i q(z|x_i). Its first two moments are exact:
no draws are made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vaekit.array_types import Float64s
from vaekit.evaluation.dataset_elbo import ACTIVE_VARIANCE
from vaekit.gaussian import Normal

COLLAPSED_KL = 0.1
"""Nats of KL per image: below, the latents carry next to nothing."""
POOR_FIT = 0.5
"""The share of the images' variance: below, reconstructions are poor."""
FAR_FROM_PRIOR = 0.1
"""Nats of KL(q(z) ‖ p(z)) per active dimension: above, samples are unlike images.

Digits trained with beta 1 have 0.04, and samples at a Fréchet distance (pixels) of 0.9; with beta
0.1 they have 0.2, and 2.1.
"""
IMAGES_PER_DIMENSION = 10
"""With fewer per active dimension, images cannot show whether q(z) fits the prior.

At ten, what chance adds to the KL of the normal, D (D + 3) / 4n, is a quarter of what is far.
"""


@dataclass(frozen=True)
class AggregatePosterior:
    """The moments of q(z) over some images.

    >>> import torch
    >>> q = Normal(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.zeros(2, 2))
    >>> found = aggregate(q)
    >>> found.covariance.tolist(), found.active_units
    ([[2.0, 0.0], [0.0, 1.0]], 1)
    """

    n: int
    mean: Float64s
    covariance: Float64s
    """Of q(z): the covariance of the means, plus the mean of the variances."""
    mean_variance: Float64s
    """Of the posterior means, dimension by dimension."""

    @property
    def active_units(self) -> int:
        """Dimensions whose posterior mean varies by over 0.01 (Burda et al. 2016, 1509.00519)."""
        return int((self.mean_variance > ACTIVE_VARIANCE).sum())

    @property
    def total_correlation(self) -> float:
        """How far q(z) is from independent dimensions, of which TC(q) = KL(q(z) ‖ Π_d q(z_d)).

        For the normal with q(z)'s mean and covariance, in nats: −½ log det R, with R the
        correlations. Exact where q(z) is normal; it sees linear dependence alone.
        """
        spread = np.sqrt(np.diag(self.covariance))
        return max(0.0, -0.5 * _log_det(self.covariance / np.outer(spread, spread)))

    @property
    def normal_kl(self) -> float:
        """KL(q(z) ‖ N(0, 1)) for the normal with q(z)'s moments, in nats: at most that of q(z).

        ½ (tr Σ + |μ|² − D − log det Σ), less what chance adds for n images, D (D + 3) / 4n.
        """
        width = len(self.mean)
        trace = float(np.trace(self.covariance))
        shift = float(np.square(self.mean).sum())
        chance = width * (width + 3) / (4 * self.n)
        return 0.5 * (trace + shift - width - _log_det(self.covariance)) - chance


def aggregate(q: Normal) -> AggregatePosterior:
    """The moments of q(z), from the posteriors of all images."""
    means, n = q.mean.cpu().double(), len(q)
    mean = means.mean(0).numpy()
    # By torch: numpy's threads would spin beside torch's.
    between = (means.T @ means).numpy() / n - np.outer(mean, mean)
    within = np.diag(q.logvar.cpu().double().exp().mean(0).numpy())
    return AggregatePosterior(n, mean, between + within, np.clip(np.diag(between), 0, None))


def _log_det(matrix: Float64s) -> float:
    """The log determinant, by eigenvalues no smaller than the rounding error of the largest."""
    values = np.linalg.eigvalsh(matrix)
    floor = np.finfo(float).eps * max(1.0, float(values[-1]))
    return float(np.log(np.clip(values, floor, None)).sum())


@dataclass(frozen=True)
class Health:
    """The numbers that a diagnosis rests on."""

    kl: float
    active_units: int
    latent_dim: int
    explained: float
    """The share of the images' variance that reconstructions keep: 1 − error / variance.

    It is negative where the error is the larger of the two.
    """
    floor: float
    """KL(q(z) ‖ p(z)) is at least this."""
    ceiling: float
    """And at most this, on average over images: few images leave a wide gap."""
    n: int
    """The number of images."""

    @property
    def fit(self) -> str:
        """A clause that says how near reconstructions are to the images."""
        if self.explained < 0:
            return (
                "reconstructions are further from the images, by mean squared error, than the "
                "images' mean is"
            )
        return f"reconstructions keep {self.explained:.0%} of the images' variance"

    @property
    def far(self) -> float:
        """KL(q(z) ‖ p(z)) above this makes samples unlike images."""
        return FAR_FROM_PRIOR * self.active_units

    @property
    def undecided(self) -> bool:
        """Whether so few images leave open how far q(z) is from the prior."""
        few = self.n < IMAGES_PER_DIMENSION * self.active_units
        return few and self.floor <= self.far < self.ceiling


def diagnosis(health: Health) -> tuple[str, str]:
    """One word, and a sentence that says why and what to try.

    In this order: `collapsed` where KL < 0.1 nats or no dimension is active; `over-regularised`
    where reconstructions keep under half of the images' variance; `mismatched` where the floor
    is over 0.1 nats per active dimension; `undecided` where the ceiling is, and there are under ten
    images per active dimension; else `healthy`.

    >>> diagnosis(Health(0.01, 0, 8, 0.0, 0.0, 0.0, 500))[0]
    'collapsed'
    """
    distance = f"between {health.floor:.1f} and {health.ceiling:.1f} nats from the prior"
    active = f"{health.active_units} of {health.latent_dim} latent dimensions are active"
    if health.kl < COLLAPSED_KL or health.active_units == 0:
        return "collapsed", (
            f"collapsed: the KL is {health.kl:.3f} nats and {active}, so the "
            "decoder ignores z; try --kl-warmup 10, --free-bits 0.1 or a lower --beta"
        )
    if health.explained < POOR_FIT:
        return "over-regularised", (
            f"over-regularised: {health.fit}, and {active}; try a lower --beta, a sharper "
            "likelihood (--likelihood gaussian --sigma optimal) or more --epochs"
        )
    if health.floor > health.far:
        return "mismatched", (
            f"mismatched: {health.fit}, but the latents of images lie {distance}, so samples "
            "are unlike the data; try a higher --beta, more --epochs or a smaller --latent-dim"
        )
    if health.undecided:
        return "undecided", (
            f"undecided: {health.fit}, but {health.n:,} images are too few to tell "
            f"for {health.active_units:,} active dimensions whether the latents of images, "
            f"{distance}, differ from it, and so whether samples look like the data; "
            "try --metrics fid, or look at samples"
        )
    return "healthy", (f"healthy: {active}, {health.fit}, and the latents of images lie {distance}")
