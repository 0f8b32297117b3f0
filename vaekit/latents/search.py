"""Search and arithmetic among latents: nearest neighbours, attribute vectors, a plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vaekit.errors import DataError, UsageError


class Neighbours(NamedTuple):
    """The nearest latents of each query, the nearest first."""

    rows: Tensor
    """(Q, k): where they are among those searched, from 0."""
    distances: Tensor
    """(Q, k): the Euclidean distances, float64."""


class NearestSearch:
    """Finds the k nearest of any number of latents, while they stream by.

    >>> search = NearestSearch(torch.tensor([[0.0, 0.0]]), k=2)
    >>> search.add(torch.tensor([[3.0, 4.0], [0.0, 1.0], [9.0, 9.0]]))
    >>> search.found.rows.tolist(), search.found.distances.tolist()
    ([[1, 0]], [[1.0, 5.0]])
    """

    def __init__(self, queries: Tensor, k: int) -> None:
        if k < 1:
            raise UsageError(f"-k {k}: at least 1")
        self._queries, self._k, self._seen = queries.double(), k, 0
        none = torch.empty(len(queries), 0)
        self.found = Neighbours(none.long(), none.double())

    def add(self, z: Tensor) -> None:
        """Search more latents (n, D); of equal distances the earlier one counts as nearer."""
        # The usual expansion by matrix products cancels digits where latents are close.
        exact = "donot_use_mm_for_euclid_dist"
        distances = torch.cdist(self._queries, z.double(), compute_mode=exact)
        rows = torch.arange(self._seen, self._seen + len(z)).expand(len(self._queries), -1)
        self._seen += len(z)
        distances = torch.cat([self.found.distances, distances], 1)
        order = distances.argsort(dim=1, stable=True)[:, : self._k]
        rows = torch.cat([self.found.rows, rows], 1)
        self.found = Neighbours(rows.gather(1, order), distances.gather(1, order))


def attribute_vector(z: Tensor, has: Tensor) -> Tensor:
    """The mean of the latents that have an attribute, minus the mean of those that have not.

    (White, 2016, 1609.04468.) `has` is true or false for each of the latents (N, D).

    >>> attribute_vector(torch.tensor([[1.0], [3.0], [10.0]]), torch.tensor([True, True, False]))
    tensor([-8.])
    """
    if not bool(has.any()) or bool(has.all()):
        raise DataError("an attribute vector needs images with the attribute and images without")
    exact = z.double()
    return (exact[has].mean(0) - exact[~has].mean(0)).to(z.dtype)


def along_vector(z: Tensor, vector: Tensor, strength: float, steps: int) -> Tensor:
    """`steps` latents from `z` to `z + strength · vector`.

    >>> along_vector(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.0]), 0.5, 3)[:, 0]
    tensor([1.0000, 1.5000, 2.0000])
    """
    if steps < 2:
        raise UsageError(f"--steps {steps}: at least the two ends")
    return z + torch.linspace(0, strength, steps)[:, None] * vector


def latent_plane(latent_dim: int, dims: Sequence[int], size: int) -> Tensor:
    """A grid of latents over two dimensions, row by row from the top left; the others are 0.

    The coordinates are quantiles of the standard normal (Kingma & Welling, 2014, 1312.6114), so
    each cell stands for the same share of the prior. The first dimension grows to the right, the
    second upwards.

    >>> latent_plane(2, (0, 1), 2)
    tensor([[-0.6745,  0.6745],
            [ 0.6745,  0.6745],
            [-0.6745, -0.6745],
            [ 0.6745, -0.6745]])
    """
    if size < 2:
        raise UsageError(f"--size {size}: at least 2")
    across, up = dims
    shares = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    values = torch.special.ndtri(shares).float()
    z = torch.zeros(size, size, latent_dim)
    z[:, :, across] = values
    z[:, :, up] = values.flip(0)[:, None]
    return z.reshape(size * size, latent_dim)
