"""Total correlation of the latents by a classifier: a lower bound that sees every dependence.

    TC = KL(q(z) ‖ Π_d q(z_d))

A network learns to tell draws of q(z) from draws in which each latent comes from another image; its
logit T then estimates log q(z) / Π_d q(z_d) (Kim & Mnih 2018, arXiv:1802.05983). On images that the
network has not seen,

    TC ≥ 1 + E_q(z) T − E_Πq(z_d) exp T

for every function T (Nguyen, Wainwright & Jordan 2010, arXiv:0809.0853). Means over draws take the
place of the expectations, so the estimate is at most TC on average over images and draws: a network
that learns too little makes it smaller, and never larger. The bound of Donsker and Varadhan, with
the logarithm of a mean, is tighter but biased upwards.

T is cut off at ln(M / 10) for M draws of the product, since no sample of M tells ratios beyond it
(McAllester & Stratos 2020, arXiv:1811.04251): the estimate hardly exceeds that.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaekit import seeds
from vaekit.evaluation.aggregate_posterior.latent_health import aggregate
from vaekit.gaussian import Normal
from vaekit.torch_internals import seed_cpu

MOST_IMAGES, FEWEST_IMAGES = 20_000, 100
HIDDEN = 128
BATCH, RATE = 512, 2e-3
STEPS, STEPS_PER_CHECK, PATIENCE = 3000, 50, 20
"""Training ends after this number of checks without a better bound on other images."""
CHECKED_DRAWS, JUDGED_DRAWS = 2**13, 2**16
MOST_ROUNDS = 256
"""Draws per image: few images do not tell more by drawing more."""
BEYOND = 10
"""A density ratio above M / 10 is cut off."""


@dataclass(frozen=True)
class RatioBound:
    """A lower bound on the total correlation, in nats."""

    bound: float
    """0, which always holds, where no network gave more on the images that stop it."""
    stderr: float
    """Over held-out images, and over draws."""
    ceiling: float
    """No dependence above this can be shown by these draws."""
    held_out: int
    """Images that neither the network nor its stopping saw."""


def images_needed(latent_dim: int) -> int:
    """The images needed: a quarter is held out, and gives each latent an image of its own.

    >>> images_needed(16), images_needed(128)
    (100, 516)
    """
    return max(FEWEST_IMAGES, 4 * (latent_dim + 1))


def total_correlation_bound(
    q: Normal, *, seed: int = 0, advance: Callable[[int], None] = lambda steps: None
) -> RatioBound:
    """Fit a network on half of the posteriors, stop it by a quarter, and judge it by the rest.

    Example:
        total_correlation_bound(model.posterior(images)).bound
    """
    order = seeds.numpy_generator(seed, "ratio").permutation(len(q))[:MOST_IMAGES]
    q = q.to("cpu", torch.float32)[torch.from_numpy(order)]
    quarter = len(q) // 4
    fit, check, rest = q[2 * quarter :], q[:quarter], q[quarter : 2 * quarter]
    moments = aggregate(fit)
    mean = torch.from_numpy(moments.mean).float()
    covariance = torch.from_numpy(moments.covariance)
    scale = covariance.diagonal().sqrt()
    fit, check, rest = (_standardised(part, mean, scale.float()) for part in (fit, check, rest))
    rounds = _rounds(JUDGED_DRAWS, quarter)
    ceiling = math.log(rounds * quarter / BEYOND)
    with torch.random.fork_rng(devices=[]):
        seed_cpu(seeds.key(seed, "ratio", "weights"))
        ratio = LogRatio(_shrunk(covariance / torch.outer(scale, scale), len(fit)))
    checked, offset = _train(ratio, fit, check, ceiling, seed, advance)
    if checked <= 0:
        return RatioBound(0.0, 0.0, ceiling, quarter)
    with torch.no_grad():
        joint = torch.stack([ratio(z) for z in _joint(rest, rounds, seed, "judged")])
        apart = torch.cat([ratio(z) for z in _independent(rest, rounds, seed, "judged")])
    return _judged(joint, apart, offset, ceiling)


def _standardised(q: Normal, mean: Tensor, scale: Tensor) -> Normal:
    """No total correlation depends on the place and the width of single latents."""
    return Normal((q.mean - mean) / scale, q.logvar - 2 * scale.log())


def _rounds(draws: int, images: int) -> int:
    return min(MOST_ROUNDS, math.ceil(draws / images))


def _shrunk(correlations: Tensor, images: int) -> Tensor:
    """Nearer to no correlation for few images: the inverse would be wild."""
    width = len(correlations)
    share = width / (images + width)
    return (1 - share) * correlations + share * torch.eye(width, dtype=correlations.dtype)


class LogRatio(nn.Module):
    """T(z): the log ratio of the normal with q(z)'s correlations, plus what a network learns.

        T(z) = a (−½ zᵀ (R⁻¹ − I) z) + b + network(z, z²),   a = 1, b = −½ log det R to begin with

    For a normal q(z) it is exact without training. Squares among the inputs spare the network a
    long start, in which it sees nothing of dependence such as that on a circle.
    """

    form: Tensor

    def __init__(self, correlations: Tensor) -> None:
        super().__init__()
        width = len(correlations)
        one = torch.eye(width, dtype=correlations.dtype)
        self.register_buffer("form", (one - torch.linalg.inv(correlations)).float() / 2)
        self.factor = nn.Parameter(torch.ones(()))
        self.offset = nn.Parameter(-0.5 * torch.logdet(correlations).float())
        last = nn.Linear(HIDDEN, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.network = nn.Sequential(
            nn.Linear(2 * width, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU(), last
        )

    def forward(self, z: Tensor) -> Tensor:
        """T of each row (N, D): shape (N,)."""
        normal = (z @ self.form * z).sum(1)
        inputs = torch.cat([z, (z.square() - 1) / math.sqrt(2)], 1)
        learned: Tensor = self.network(inputs)[:, 0]
        return self.factor * normal + self.offset + learned


def _train(
    ratio: LogRatio,
    fit: Normal,
    check: Normal,
    ceiling: float,
    seed: int,
    advance: Callable[[int], None],
) -> tuple[float, float]:
    """Train; leave the network as it was at its best check, and return its bound and offset."""
    rounds = _rounds(CHECKED_DRAWS, len(check))
    joint = torch.cat([*_joint(check, rounds, seed, "checked")])
    apart = torch.cat([*_independent(check, rounds, seed, "checked")])
    best, offset, waited, kept = -math.inf, 0.0, 0, ratio.state_dict()
    optimizer = torch.optim.Adam(ratio.parameters(), RATE)
    for step in range(STEPS + 1):
        if step % STEPS_PER_CHECK == 0:
            found, found_offset = _checked(ratio, joint, apart, ceiling)
            waited += 1
            if found > best:
                best, offset, waited = found, found_offset, 0
                kept = copy.deepcopy(ratio.state_dict())
            if waited >= PATIENCE:
                break
        _step(ratio, fit, optimizer, seed, step)
        advance(1)
    ratio.load_state_dict(kept)
    return best, offset


def _step(
    ratio: LogRatio, fit: Normal, optimizer: torch.optim.Optimizer, seed: int, step: int
) -> None:
    """One step of logistic regression on draws of both kinds."""
    random = seeds.generator(seed, "ratio", "step", step)
    size = (BATCH, fit.mean.shape[1])
    rows = torch.randint(len(fit), (BATCH,), generator=random)
    mixed = torch.randint(len(fit), size, generator=random)
    noises = torch.randn(2, *size, generator=random)
    together = fit[rows].sample(noises[0])
    apart = Normal(fit.mean.gather(0, mixed), fit.logvar.gather(0, mixed)).sample(noises[1])
    loss = F.softplus(-ratio(together)).mean() + F.softplus(ratio(apart)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


@torch.no_grad()
def _checked(ratio: LogRatio, joint: Tensor, apart: Tensor, ceiling: float) -> tuple[float, float]:
    """The bound, and the offset of T that makes E exp T one."""
    t, product = ratio(joint), ratio(apart)
    offset = float(torch.logsumexp(product, 0)) - math.log(len(product))
    shares = _cut(product, offset, ceiling).exp()
    return 1 + float(_cut(t, offset, ceiling).mean()) - float(shares.mean()), offset


def _judged(joint: Tensor, apart: Tensor, offset: float, ceiling: float) -> RatioBound:
    """The bound from T of R draws of each of N images (R, N), and of M draws of the product."""
    t = _cut(joint, offset, ceiling).mean(0)
    shares = _cut(apart, offset, ceiling).exp()
    variance = float(t.var()) / len(t) + float(shares.var()) / len(shares)
    bound = 1 + float(t.mean()) - float(shares.mean())
    return RatioBound(bound, math.sqrt(variance), ceiling, len(t))


def _cut(t: Tensor, offset: float, ceiling: float) -> Tensor:
    return (t.double() - offset).clamp(max=ceiling)


def _joint(q: Normal, rounds: int, seed: int, part: str) -> Iterator[Tensor]:
    """Draws of q(z), one of each image per round."""
    n, width = q.mean.shape
    for number in range(rounds):
        yield q.sample(seeds.normal_rows(0, n, width, seed, "ratio", part, "joint", number))


def _independent(q: Normal, rounds: int, seed: int, part: str) -> Iterator[Tensor]:
    """Draws of the product of q(z_d), as many in a round: each latent of a row from another image.

    Shuffled images are shifted by another number in each latent, so that no image gives a row two.
    """
    n, width = q.mean.shape
    for number in range(rounds):
        random = seeds.generator(seed, "ratio", part, "apart", number)
        order = torch.randperm(n, generator=random)
        z = q[order].sample(torch.randn(n, width, generator=random))
        shifts = torch.randperm(n, generator=random)[:width]
        yield z.gather(0, (torch.arange(n)[:, None] + shifts) % n)
