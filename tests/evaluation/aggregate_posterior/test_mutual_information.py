"""I(x; z) and KL(q(z) ‖ p(z)) against numerical integrals and a population that is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm

from vaekit.evaluation.aggregate_posterior import mutual_information as module
from vaekit.evaluation.aggregate_posterior.mutual_information import mutual_information
from vaekit.gaussian import Normal


def test_q_of_z_is_the_mixture_of_all_posteriors() -> None:
    """The KL to the prior by quadrature, for posteriors in two clumps that no normal resembles."""
    random = np.random.default_rng(0)
    means = random.choice([-2.0, 2.0], size=1500) + 0.1 * random.normal(size=1500)
    deviations = random.uniform(0.2, 0.4, size=1500)

    def integrand(z: float) -> float:
        density = norm.pdf(z, means, deviations).mean()
        return float(density * (math.log(density + 1e-300) - norm.logpdf(z)))

    exact = quad(integrand, -6, 6, limit=400, epsabs=1e-6)[0]
    q = Normal(torch.from_numpy(means)[:, None], 2 * torch.from_numpy(deviations).log()[:, None])
    found = mutual_information(q)
    kl = float(q.kl_to_standard().sum(1).mean())
    assert kl - found.lower == pytest.approx(exact, abs=4 * found.stderr)
    assert kl - found.upper == pytest.approx(exact, abs=4 * found.stderr + 0.02)
    assert found.stderr < 0.05
    variance = means.var() + (deviations**2).mean()
    moments = 0.5 * (variance + means.mean() ** 2 - 1 - math.log(variance))
    assert exact > 2 * moments  # or the moments would have done


def population(n: int, width: int, deviation: float, seed: int) -> Normal:
    """Posteriors whose mixture over all possible images is the prior: I = −D log σ."""
    generator = torch.Generator().manual_seed(seed)
    means = math.sqrt(1 - deviation**2) * torch.randn(n, width, generator=generator)
    return Normal(means, torch.full((n, width), 2 * math.log(deviation)))


@pytest.mark.parametrize(("width", "deviation"), [(1, 0.5), (2, 0.3), (2, 0.1)])
def test_the_truth_lies_between_the_two_estimates(width: int, deviation: float) -> None:
    exact = -width * math.log(deviation)
    found = [mutual_information(population(400, width, deviation, s), seed=s) for s in range(20)]
    lower, upper = np.mean([f.lower for f in found]), np.mean([f.upper for f in found])
    assert lower <= exact + 0.02
    assert upper >= exact - 0.02
    assert upper - lower < 1.2


def test_few_images_never_tell_more_than_the_logarithm_of_their_number() -> None:
    """The KL from above is then far too high, and the one from below shows how little is known."""
    q = population(50, 16, 0.05, 0)
    found = mutual_information(q)
    assert found.lower == pytest.approx(math.log(50))
    assert found.upper > 16 * -math.log(0.05)


def test_memory_and_draws_are_bounded_and_blocks_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    q = population(3000, 3, 0.4, 0)
    whole = mutual_information(q, seed=1)
    monkeypatch.setattr(module, "BLOCK_DENSITIES", 7 * 3000)
    parts = mutual_information(q, seed=1)
    assert (parts.lower, parts.upper) == pytest.approx((whole.lower, whole.upper), rel=1e-12)
    assert mutual_information(q, seed=2).lower != whole.lower


def test_a_collapsed_encoder_tells_nothing_and_a_single_image_either() -> None:
    same = Normal(torch.zeros(100, 4), torch.zeros(100, 4))
    assert mutual_information(same).lower == pytest.approx(0, abs=1e-12)
    assert mutual_information(same).upper == pytest.approx(0, abs=1e-12)
    alone = mutual_information(same[:1])
    assert (alone.lower, alone.upper) == (0, math.inf)
