"""t-SNE from all pairs of points, for maps of up to some thousand points.

    minimise KL(P ‖ Q),   q_ij = w_ij / Σ w,   w_ij = 1 / (1 + |y_i − y_j|²)

van der Maaten and Hinton 2008 (jmlr.org/papers/v9/vandermaaten08a.html). All pairs at once are a
few operations on matrices: for 1,000 points that takes a fifth of the time of scikit-learn's
Barnes-Hut tree, with half as many steps to the same KL (docs/benchmarks.md).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaekit.array_types import Float64s
from vaekit.machine.threads import using_threads

STEPS, EARLY_STEPS = 500, 100
EXAGGERATION = 4.0
"""In the early steps points attract each other so many times as much, and form clusters."""
MOMENTUM, EARLY_MOMENTUM = 0.8, 0.5
LEAST_RATE, POINTS_PER_RATE = 50.0, 48
"""The learning rate grows with the points, whose gradients get smaller."""
HALVINGS = 50
"""Steps of the search for each point's scale, to the precision of a float64."""


@torch.no_grad()
def exact_tsne(rows: Float64s, start: Float64s, perplexity: float) -> Float64s:
    """Where the points `start` (N, 2) move to; always on one thread, so that bits do not differ.

    >>> import numpy as np
    >>> group = np.repeat([[0.0], [9.0]], 5, axis=0)
    >>> found = exact_tsne(group, group * [1e-4, 0], 1.5)
    >>> bool(found[:5, 0].max() < found[5:, 0].min())
    True
    """
    with using_threads(1):
        p = affinities(torch.from_numpy(rows), perplexity).float()
        return _descended(p, torch.from_numpy(start).float()).double().numpy()


def affinities(rows: Tensor, perplexity: float) -> Tensor:
    """The matrix P of the rows (N, D): how much each pair should be neighbours; it sums to 1.

        p_ij = (p_j|i + p_i|j) / 2N,   p_j|i ∝ exp(−β_i |x_i − x_j|²)

    Each β_i is such that the entropy of p_j|i over the nearest 3 · perplexity is log perplexity.
    """
    squares = squared_distances(rows - rows.mean(0)).fill_diagonal_(math.inf)
    count = min(len(rows) - 1, math.ceil(3 * perplexity))
    near, places = squares.topk(count, 1, largest=False)
    conditional = torch.zeros_like(squares).scatter_(1, places, _conditional(near, perplexity))
    return (conditional + conditional.T) / (2 * len(rows))


def squared_distances(rows: Tensor) -> Tensor:
    """|x_i − x_j|² for all pairs, (N, N).

    >>> squared_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]])).tolist()
    [[0.0, 25.0], [25.0, 0.0]]
    """
    norms = rows.square().sum(1)
    return torch.addmm(norms, rows, rows.T, alpha=-2).add_(norms[:, None]).clamp_min_(0)


def _conditional(near: Tensor, perplexity: float) -> Tensor:
    """p_j|i of each row of squared distances, by bisection for log β."""
    near = near - near[:, :1]
    near /= near.mean().clamp_min(torch.finfo(near.dtype).tiny)
    low, high = near.new_full((len(near), 1), -40.0), near.new_full((len(near), 1), 40.0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        too_wide = _entropy(_softmax(near, middle)) > math.log(perplexity)
        low, high = torch.where(too_wide, middle, low), torch.where(too_wide, high, middle)
    return _softmax(near, (low + high) / 2)


def _softmax(near: Tensor, log_beta: Tensor) -> Tensor:
    return torch.softmax(-near * log_beta.exp(), 1)


def _entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p).sum(1, keepdim=True)


def _descended(p: Tensor, points: Tensor) -> Tensor:
    """Gradient descent with momentum; a coordinate that keeps its direction slows down.

    Gains as in Jacobs 1988 (Increased Rates of Convergence Through Learning Rate Adaptation).
    """
    velocity, gains = torch.zeros_like(points), torch.ones_like(points)
    rate, work = max(LEAST_RATE, len(points) / POINTS_PER_RATE), torch.empty(2, *p.shape)
    for step in range(STEPS):
        early = step < EARLY_STEPS
        gradient = kl_gradient(p, points, EXAGGERATION if early else 1.0, work)
        turned = velocity * gradient < 0
        gains = torch.where(turned, gains + 0.2, gains * 0.8).clamp_min_(0.01)
        momentum = EARLY_MOMENTUM if early else MOMENTUM
        velocity = momentum * velocity - rate * gains * gradient
        points = points + velocity
    return points


def kl_gradient(p: Tensor, points: Tensor, exaggeration: float, work: Tensor) -> Tensor:
    """The gradient of KL(P ‖ Q), (N, 2), with attraction `exaggeration` times as strong.

        4 Σ_j (e p_ij − q_ij) w_ij (y_i − y_j)

    `work` (2, N, N) is overwritten.
    """
    norms, one = points.square().sum(1, keepdim=True), points.new_ones(len(points), 1)
    left, right = torch.cat([-2 * points, norms + 1, one], 1), torch.cat([points, one, norms], 1)
    w = torch.mm(left, right.T, out=work[0]).reciprocal_().fill_diagonal_(0)
    share = 1 / (exaggeration * float(w.sum()))
    forces = torch.add(p, w, alpha=-share, out=work[1]).mul_(w)
    # The matrix is symmetric: a product from the left is five times as fast as one from the right.
    sums = torch.cat([points, one], 1).T.contiguous() @ forces
    return 4 * exaggeration * (points * sums[2:].T - sums[:2].T)
