"""What a user would lose: a map whose neighbours are those of the latent space."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import entr
from sklearn.manifold import TSNE

from vaekit.machine.threads import using_threads
from vaekit.output.exact_tsne import affinities, exact_tsne, kl_gradient
from vaekit.output.projection import pca


def clusters(count: int = 120, width: int = 6) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, width)) + 4 * np.eye(4, width)[np.arange(count) % 4]


def divergence(p: torch.Tensor, points: torch.Tensor, exaggeration: float) -> torch.Tensor:
    """KL(P || Q) without its constant, pair by pair: what attracts, and what repels."""
    n = len(points)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    w = {(i, j): 1 / (1 + (points[i] - points[j]).square().sum()) for i, j in pairs}
    attracts = sum((p[i, j] * torch.log(w[i, j]) for i, j in pairs), torch.tensor(0.0))
    return torch.log(sum(w.values(), torch.tensor(0.0))) - exaggeration * attracts


@pytest.mark.parametrize("exaggeration", [1.0, 4.0])
def test_the_gradient_is_that_of_the_divergence(exaggeration: float) -> None:
    points = torch.from_numpy(clusters(7, 2)).requires_grad_()
    p = affinities(torch.from_numpy(clusters(7, 5)), 1.8)
    divergence(p, points, exaggeration).backward()
    found = kl_gradient(p.float(), points.detach().float(), exaggeration, torch.empty(2, 7, 7))
    np.testing.assert_allclose(found, points.grad, atol=1e-5)


def test_each_point_has_the_number_of_neighbours_that_the_perplexity_says() -> None:
    z, perplexity, n = clusters(19), 6.0, 19
    conditional = np.zeros((n, n))
    for i in range(n):
        squares = np.delete(((z - z[i]) ** 2).sum(1), i)

        def spread(beta: float, squares: np.ndarray = squares) -> np.ndarray:
            weights = np.exp(-beta * (squares - squares.min()))
            return weights / weights.sum()

        def surplus(beta: float) -> float:
            return float(entr(spread(beta)).sum()) - math.log(perplexity)

        conditional[i, np.arange(n) != i] = spread(brentq(surplus, 1e-6, 50, xtol=1e-14))
    expected = (conditional + conditional.T) / (2 * n)
    found = affinities(torch.from_numpy(z), perplexity).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert found.sum() == pytest.approx(1)


def test_the_map_is_as_good_as_that_of_scikit_learn() -> None:
    z, perplexity = clusters(80), 15.0
    start = pca(z)[0] * 1e-4 / pca(z)[0][:, 0].std()
    other = TSNE(perplexity=perplexity, init=start.astype(np.float32), method="exact")
    other.fit(z.astype(np.float32))
    points, p = exact_tsne(z, start, perplexity), affinities(torch.from_numpy(z), perplexity)
    w = 1 / (1 + torch.cdist(*[torch.from_numpy(points)] * 2).square())
    q = w.fill_diagonal_(0) / w.sum()
    assert float(torch.xlogy(p, p / q.fill_diagonal_(1)).sum()) < 1.02 * other.kl_divergence_


def test_the_number_of_threads_changes_no_bit() -> None:
    z = clusters(100)
    start = pca(z)[0] * 1e-4
    with using_threads(2):
        by_two = exact_tsne(z, start, 30.0)
    with using_threads(1):
        assert np.array_equal(exact_tsne(z, start, 30.0), by_two)


def test_copies_of_a_point_lie_together() -> None:
    z = np.repeat(clusters(30), 5, axis=0)
    points = exact_tsne(z, pca(z)[0] * 1e-4, 30.0).reshape(30, 5, 2)
    assert np.isfinite(points).all()
    assert np.ptp(points, axis=1).max() < 1e-2 * np.ptp(points)
