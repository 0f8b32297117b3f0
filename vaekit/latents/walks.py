"""Walks through the latent space: from one latent to another, and along single dimensions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vaekit.errors import UsageError


def check_path(steps: int, method: str) -> None:
    """Refuse an unknown method and a path without two ends."""
    if method not in ("slerp", "linear"):
        raise UsageError(f"--method {method}: slerp or linear")
    if steps < 2:
        raise UsageError(f"--steps {steps}: at least the two ends")


def latent_path(a: Tensor, b: Tensor, steps: int, method: str = "slerp") -> Tensor:
    """`steps` latents from `a` to `b`: along the arc (slerp; White, 2016, 1609.04468) or a line.

    >>> latent_path(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 3)[1]
    tensor([0.7071, 0.7071])
    """
    check_path(steps, method)
    t = torch.linspace(0, 1, steps)[:, None]
    path = _slerp(a, b, t) if method == "slerp" else torch.lerp(a, b, t)
    path[0], path[-1] = a, b
    return path


def order_by_kl(kl: Sequence[float]) -> list[int]:
    """The latent dimensions, that with the largest KL first.

    >>> order_by_kl([0.1, 2.0, 0.5])
    [1, 2, 0]
    """
    return sorted(range(len(kl)), key=lambda dim: (-kl[dim], dim))


CARRIES = 0.01
"""Nats of KL: below this, a latent dimension says next to nothing about the image."""


def informative(kl: Sequence[float]) -> list[int]:
    """The dimensions that carry something; all of them where none does.

    >>> informative([0.0, 1.5, 0.009]), informative([0.0, 0.0])
    ([1], [0, 1])
    """
    return [dim for dim, nats in enumerate(kl) if nats >= CARRIES] or [*range(len(kl))]


def marks(steps: int, reach: float) -> list[str]:
    """The values along a traversal, as text.

    >>> marks(5, 3.0)
    ['-3', '-1.5', '0', '1.5', '3']
    """
    values = torch.linspace(-reach, reach, steps).tolist()
    return [f"{0.0 if abs(value) < 1e-6 else value:.2g}" for value in values]


def traversal(base: Tensor, dim: int, steps: int, reach: float) -> Tensor:
    """Copies of `base` in which one dimension goes from -reach to reach.

    >>> traversal(torch.zeros(2), 1, 3, 2.0)[:, 1]
    tensor([-2.,  0.,  2.])
    """
    z = base.repeat(steps, 1)
    z[:, dim] = torch.linspace(-reach, reach, steps)
    return z


def _slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """sin((1-t)ω)/sin(ω) a + sin(tω)/sin(ω) b, with ω the angle between a and b."""
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=0).clamp(-1, 1)
    omega = torch.acos(cosine)
    if float(torch.sin(omega)) < 1e-4:  # (anti)parallel: the arc is a line, or not unique
        return torch.lerp(a, b, t)
    return (torch.sin((1 - t) * omega) * a + torch.sin(t * omega) * b) / torch.sin(omega)
