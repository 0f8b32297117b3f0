"""Fast log-probabilities of many Bernoulli values, with few logarithms.

    log p(x) = Σ x·l − log(1 + e^l) = Σ (x − ½)·l − ½|l| + log σ(|l|),   l the logit of p(x = 1)

Every σ(|l|) lies in [½, 1], so 16 of them can be multiplied before one logarithm. On a CPU,
logarithms are most of the work: this takes three quarters of the time at the same accuracy.
"""

from __future__ import annotations

import torch
from torch import Tensor

DOUBLINGS = 4
"""Products of 2⁴ factors are no smaller than 2⁻¹⁶."""

BLOCK_VALUES = 1 << 19
"""Values per block, two megabytes: enough for several threads, small enough for a cache."""

MANY_DRAWS = 64
"""From this number on, a product per image is faster than one for all of them."""


def log_prob(logits: Tensor, x: Tensor) -> Tensor:
    """The log-probability of images (N, V), each under K rows of its logits (N, K, V): (N, K).

    >>> log_prob(torch.zeros(1, 2, 3), torch.tensor([[0.0, 1.0, 1.0]]))  # 3 log ½
    tensor([[-2.0794, -2.0794]])
    """
    rows = max(1, BLOCK_VALUES // max(1, x.shape[1]))
    sure = torch.cat([_log_sigmoids(piece) for piece in logits.flatten(0, 1).split(rows)])
    return _linear_part(logits, x - 0.5).add_(sure.view(logits.shape[:2]))


def _linear_part(logits: Tensor, side: Tensor) -> Tensor:
    """Σ (x − ½)·l, by the faster of two products."""
    if logits.shape[1] >= MANY_DRAWS:
        return torch.stack([torch.mv(rows, to) for rows, to in zip(logits, side, strict=True)])
    return torch.bmm(logits, side[:, :, None])[:, :, 0]


def _log_sigmoids(logits: Tensor) -> Tensor:
    """Σ log σ(|l|) − ½|l|, of each row."""
    size = logits.abs()
    half = size.sum(1).mul_(0.5)
    return _grouped_products(size.sigmoid_()).log_().sum(1).sub_(half)


def _grouped_products(factors: Tensor) -> Tensor:
    """Halves of each row multiplied with each other, up to `DOUBLINGS` times.

    >>> _grouped_products(torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]))
    tensor([[ 4., 10., 18.]])
    """
    for _ in range(DOUBLINGS):
        half, odd = divmod(factors.shape[1], 2)
        if odd:
            break
        factors = factors[:, :half] * factors[:, half:]
    return factors
