"""The classifier's bound against total correlations known by closed forms and quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import i0e
from scipy.stats import norm, skewnorm

from vaekit.evaluation.aggregate_posterior import density_ratio as module
from vaekit.evaluation.aggregate_posterior.density_ratio import RatioBound, total_correlation_bound
from vaekit.evaluation.aggregate_posterior.latent_health import aggregate
from vaekit.gaussian import Normal

IMAGES = 2000
NARROW = 1e-6


@pytest.fixture(autouse=True)
def _smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two dimensions need no large network. Other tests of this room take an even smaller one."""
    monkeypatch.setattr(module, "HIDDEN", 32)
    monkeypatch.setattr(module, "STEPS", 300)
    monkeypatch.setattr(module, "CHECKED_DRAWS", 2**11)
    monkeypatch.setattr(module, "JUDGED_DRAWS", 2**13)
    monkeypatch.setattr(module, "MOST_ROUNDS", 40)


def posteriors(means: np.ndarray, deviations: float | list[float]) -> Normal:
    spread = np.broadcast_to(np.asarray(deviations, float), means.shape)
    return Normal(torch.from_numpy(means).float(), torch.from_numpy(2 * np.log(spread)).float())


def near(found: RatioBound, exact: float, short: float) -> bool:
    """Above the truth by noise alone, and not far below it."""
    return exact - short < found.bound < exact + 4 * found.stderr


def test_of_correlated_normals_it_is_the_closed_form() -> None:
    correlations = np.array([[1.0, 0.6, 0.0], [0.6, 1.0, -0.5], [0.0, -0.5, 1.0]])
    random, within = np.random.default_rng(0), 0.2
    means = random.multivariate_normal(np.zeros(3), correlations - within * np.eye(3), IMAGES)
    scales = np.array([1.0, 10.0, 0.01])
    q = posteriors(means * scales + 5, list(math.sqrt(within) * scales))
    exact = -0.5 * math.log(np.linalg.det(correlations))
    found = total_correlation_bound(q)
    assert near(found, exact, 0.05), (found, exact)


def folded(noise: float) -> tuple[Normal, float]:
    """z2 = |z1| + noise: not correlated, and TC = h(z2) − h(noise), z2 being skew normal."""
    z = np.random.default_rng(1).normal(size=IMAGES)
    q = posteriors(np.stack([z, abs(z)], 1), [NARROW, noise])
    wide = math.sqrt(1 + noise**2)
    exact = skewnorm(1 / noise, scale=wide).entropy() - norm(scale=noise).entropy()
    return q, float(exact)


def ring(noise: float) -> tuple[Normal, float]:
    """A circle of radius 1 with noise: TC = 2 h(z1) − h(z), by integrals."""
    angles = np.random.default_rng(2).uniform(0, 2 * math.pi, IMAGES)
    q = posteriors(np.stack([np.cos(angles), np.sin(angles)], 1), noise)
    grid = np.cos((np.arange(2000) + 0.5) * math.pi / 2000)

    def of_one(x: float) -> float:
        density = norm.pdf(x, grid, noise).mean()
        return float(-density * math.log(density + 1e-300))

    def of_both(r: float) -> float:
        log_density = (
            -((r - 1) ** 2) / (2 * noise**2)
            + math.log(i0e(r / noise**2))
            - math.log(2 * math.pi * noise**2)
        )
        return float(-2 * math.pi * r * math.exp(log_density) * log_density)

    return q, 2 * quad(of_one, -3, 3, limit=200)[0] - quad(of_both, 0, 3, limit=200)[0]


@pytest.mark.parametrize(("made", "noise"), [(folded, 0.3), (ring, 0.25)])
def test_dependence_that_no_correlation_shows_is_found(
    made: Callable[[float], tuple[Normal, float]], noise: float
) -> None:
    q, exact = made(noise)
    assert aggregate(q).total_correlation < 0.01
    assert exact > 0.15
    found = total_correlation_bound(q)
    assert near(found, exact, 0.08), (found, exact)


def test_two_dependent_latents_are_found_among_many_others() -> None:
    """A network that sees z alone needs over a thousand steps before it notices a circle."""
    two, exact = ring(0.15)
    others = np.random.default_rng(6).normal(size=(IMAGES, 8))
    both = posteriors(others, 0.5)
    q = Normal(torch.cat([both.mean, two.mean], 1), torch.cat([both.logvar, two.logvar], 1))
    found = total_correlation_bound(q)
    assert exact / 2 < found.bound < exact + 4 * found.stderr, (found, exact)


def test_where_no_network_finds_anything_the_bound_is_zero() -> None:
    """Chance correlations of 50 posteriors in 40 dimensions would give a bound far below that."""
    means = np.random.default_rng(7).normal(size=(200, 40))
    found = total_correlation_bound(posteriors(means, 0.05))
    assert (found.bound, found.stderr) == (0, 0)


def test_independent_latents_have_none_whatever_their_shape() -> None:
    random = np.random.default_rng(3)
    sides = random.choice([-1.0, 1.0], (IMAGES, 3)) + 0.1 * random.normal(size=(IMAGES, 3))
    found = total_correlation_bound(posteriors(sides, 0.2))
    assert found.bound == pytest.approx(0, abs=0.03)


def test_few_images_of_independent_latents_do_not_look_dependent() -> None:
    """Posteriors of 120 images in 6 dimensions are far apart: their mixture has a TC of nats."""
    found = []
    for seed in range(3):
        means = np.random.default_rng(seed).normal(size=(120, 6))
        found.append(total_correlation_bound(posteriors(means, 0.05), seed=seed).bound)
    assert np.mean(found) < 0.05


def test_it_claims_no_more_than_its_draws_can_show() -> None:
    """A copy of a latent has a total correlation of about 12 nats here."""
    z = np.random.default_rng(4).normal(size=IMAGES)
    found = total_correlation_bound(posteriors(np.stack([z, z], 1), NARROW))
    assert found.ceiling == pytest.approx(math.log(17 * 500 / 10))
    assert 2 < found.bound < found.ceiling + 0.3


def test_the_seed_decides_it_and_no_other_random_number_changes() -> None:
    q = folded(0.3)[0][:300]
    torch.manual_seed(5)
    first, drawn = total_correlation_bound(q, seed=1), torch.rand(1)
    torch.manual_seed(5)
    assert torch.rand(1) == drawn
    torch.manual_seed(6)
    assert total_correlation_bound(q, seed=1) == first
    assert total_correlation_bound(q, seed=2).bound != first.bound
    assert first.held_out == 75
