"""Pareto k-hat: whether the mean of importance weights can be trusted.

Vehtari et al. 2024 (arXiv:1507.02646): a generalized Pareto distribution with shape k is fitted to
the largest weights. Below 0.7 an estimate from a few thousand draws is reliable; above it, the mean
of the weights may be far too small, and its standard error as well. Above 1 the mean is infinite.
"""

from __future__ import annotations

import math

import numpy as np

from vaekit.array_types import Float64s

UNRELIABLE_K = 0.7
LARGEST_K = 10.0
FEWEST_IN_TAIL = 5
SMALLEST = 1e-300
"""Weights below this share of the largest are no part of a tail: their reciprocals overflow."""


def tail_size(draws: int) -> int:
    """The number of weights that k is fitted to: min(K / 5, 3 √K), rounded up.

    >>> tail_size(100), tail_size(5000)
    (20, 213)
    """
    return math.ceil(min(draws / 5, 3 * math.sqrt(draws)))


def pareto_k(largest: Float64s) -> float:
    """k-hat from the largest log weights, the smallest of which is the threshold of the tail.

    At most 10, which also stands for weights so unequal that fewer than five are in the tail; NaN
    if there are too few draws to tell.
    """
    if len(largest) <= FEWEST_IN_TAIL:
        return math.nan
    threshold, top = float(largest.min()), float(largest.max())
    if top == threshold:
        return 0.0  # equal weights have no tail
    excess = np.exp(largest - top) - math.exp(threshold - top)
    excess = np.sort(excess[excess > SMALLEST])
    return min(LARGEST_K, shape_of_tail(excess)) if len(excess) >= FEWEST_IN_TAIL else LARGEST_K


def shape_of_tail(excess: Float64s) -> float:
    """The shape k of a generalized Pareto distribution, from its sorted positive values.

    The estimator of Zhang & Stephens 2009 (doi:10.1198/tech.2009.08017): the profile likelihood of
    θ = −k / σ, averaged over a grid, with the weak prior of Vehtari et al. (ten values at k = 0.5).
    """
    n = len(excess)
    points = np.arange(1, 30 + int(math.sqrt(n)) + 1)
    quartile = excess[int(n / 4 + 0.5) - 1]
    theta = 1 / excess[-1] + (1 - np.sqrt(len(points) / (points - 0.5))) / (3 * quartile)
    shapes = np.log1p(-theta[:, None] * excess).mean(1)
    profile = n * (np.log(-theta / shapes) - shapes - 1)
    weights = np.exp(profile - profile.max())
    best = float(weights @ theta / weights.sum())
    k = float(np.log1p(-best * excess).mean())
    return (n * k + 10 * 0.5) / (n + 10)
