"""If these fail, a log-likelihood that is far off is printed as if it were right."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import genpareto

from vaekit.evaluation.log_likelihood.pareto import pareto_k, shape_of_tail, tail_size


def k_of(log_weights: np.ndarray) -> float:
    return pareto_k(np.sort(log_weights)[-tail_size(len(log_weights)) - 1 :])


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.3, 0.7, 1.0, 1.5])
def test_the_shape_is_that_of_the_distribution_the_values_come_from(shape: float) -> None:
    values = np.sort(genpareto.rvs(shape, scale=3.0, size=20_000, random_state=1))
    assert shape_of_tail(values) == pytest.approx(shape, abs=0.03)
    likeliest = genpareto.fit(values, floc=0)[0]
    assert shape_of_tail(values) == pytest.approx(likeliest, abs=0.005)


@pytest.mark.parametrize(
    ("seed", "draws", "spread", "arviz"),
    [(0, 1000, 2.0, 0.7772726925467259), (1, 100, 3.0, 0.9033123928235182)],
)
def test_k_is_that_of_arviz(seed: int, draws: int, spread: float, arviz: float) -> None:
    """`arviz.psislw` of ArviZ 0.21 gives these numbers for the same log weights."""
    log_weights = spread * np.random.default_rng(seed).normal(size=draws)
    assert k_of(log_weights) == pytest.approx(arviz, abs=1e-12)
    assert k_of(log_weights - 5000) == pytest.approx(arviz, abs=1e-9)


def test_weights_with_one_winner_have_the_largest_k_and_equal_ones_none() -> None:
    alone = np.full(1000, -4000.0)
    alone[3] = 0.0
    assert k_of(alone) == 10.0
    assert k_of(np.linspace(-5000, 0, 1000)) == 10.0
    assert k_of(np.full(1000, -7.0)) == 0.0


def test_too_few_draws_give_no_k() -> None:
    assert math.isnan(k_of(np.arange(20.0)))
    assert math.isfinite(k_of(np.arange(21.0) / 10))
