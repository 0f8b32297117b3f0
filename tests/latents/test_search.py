"""Neighbours, attributes and the plane, against other programs and arithmetic by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.neighbors import NearestNeighbors

from vaekit.errors import DataError, UsageError
from vaekit.latents.search import NearestSearch, along_vector, attribute_vector, latent_plane


@pytest.mark.parametrize("sizes", [[50], [1] * 50, [7, 0, 30, 13]])
def test_neighbours_are_those_of_scikit_learn_however_latents_arrive(sizes: list[int]) -> None:
    drawn = np.random.default_rng(0)
    z, queries = drawn.normal(size=(50, 3)), drawn.normal(size=(4, 3))
    search = NearestSearch(torch.from_numpy(queries), 6)
    for part in torch.from_numpy(z).split(sizes):
        search.add(part)
    distances, rows = NearestNeighbors(n_neighbors=6).fit(z).kneighbors(queries)
    assert np.array_equal(search.found.rows.numpy(), rows)
    assert np.allclose(search.found.distances.numpy(), distances, rtol=1e-12)


def test_equal_latents_are_found_in_order_and_at_no_distance() -> None:
    search = NearestSearch(torch.full((1, 2), 1000.001), 3)
    for _ in range(4):
        search.add(torch.full((2, 2), 1000.001))
    assert search.found.rows.tolist() == [[0, 1, 2]]
    assert search.found.distances.tolist() == [[0.0, 0.0, 0.0]]


def test_fewer_latents_than_neighbours_are_all_found() -> None:
    search = NearestSearch(torch.zeros(2, 1), 9)
    search.add(torch.tensor([[2.0], [1.0]]))
    assert search.found.rows.tolist() == [[1, 0], [1, 0]]
    with pytest.raises(UsageError, match="-k 0"):
        NearestSearch(torch.zeros(1, 1), 0)


def test_an_attribute_needs_images_with_and_without_it() -> None:
    z = torch.tensor([[0.0, 2.0], [4.0, 2.0], [1.0, 5.0]])
    assert attribute_vector(z, torch.tensor([True, True, False])).tolist() == [1.0, -3.0]
    for has in ([True] * 3, [False] * 3):
        with pytest.raises(DataError, match="with the attribute and images without"):
            attribute_vector(z, torch.tensor(has))


def test_a_way_along_a_vector_starts_at_the_image_and_ends_at_the_strength() -> None:
    z, vector = torch.tensor([1.0, -1.0]), torch.tensor([0.5, 2.0])
    path = along_vector(z, vector, -2.0, 5)
    assert torch.equal(path[0], z)
    assert path[-1].tolist() == [0.0, -5.0]
    with pytest.raises(UsageError, match="--steps 1"):
        along_vector(z, vector, 1.0, 1)


def test_the_plane_has_equal_shares_of_the_prior_and_grows_right_and_up() -> None:
    z = latent_plane(4, (3, 1), 5).reshape(5, 5, 4)
    values = norm.ppf([0.1, 0.3, 0.5, 0.7, 0.9])
    assert np.allclose(z[2, :, 3], values, atol=1e-6)
    assert np.allclose(z.flip(0)[:, 2, 1], values, atol=1e-6)
    assert float(z[:, :, [0, 2]].abs().max()) == 0
