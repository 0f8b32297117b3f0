"""What a user would lose: a true projection, the same picture of the same latents."""

from __future__ import annotations

import numpy as np
import pytest

from vaekit.errors import UsageError
from vaekit.output.projection import MOST_FOR_AUTO, pca, project_to_plane, trustworthiness, tsne


def cloud(count: int = 200, width: int = 6) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, width)) @ rng.normal(size=(width, width)) + 10


def test_pca_is_the_eigenvectors_of_the_covariance():
    z = cloud()
    values, vectors = np.linalg.eigh(np.cov(z.T))
    top = vectors[:, ::-1][:, :2]
    top *= np.sign(top[np.abs(top).argmax(axis=0), [0, 1]])
    points, shares = pca(z)
    np.testing.assert_allclose(points, (z - z.mean(axis=0)) @ top, atol=1e-9)
    np.testing.assert_allclose(shares, values[::-1][:2] / values.sum(), rtol=1e-9)


def test_signs_depend_on_the_axes_not_on_the_order_of_rows():
    z = cloud()
    shuffled = np.random.default_rng(1).permutation(len(z))
    np.testing.assert_allclose(pca(z[shuffled])[0], pca(z)[0][shuffled], atol=1e-9)
    assert np.array_equal(pca(z)[0], pca(z)[0])


def test_two_dimensions_are_only_turned():
    z = cloud(width=2)
    points, shares = pca(z)
    between = np.linalg.norm(z[:, None] - z, axis=-1)
    np.testing.assert_allclose(
        np.linalg.norm(points[:, None] - points, axis=-1), between, atol=1e-9
    )
    assert shares.sum() == pytest.approx(1)


def test_one_dimension_lies_on_a_line():
    points, shares = pca([[1.0], [2.0], [6.0]])
    np.testing.assert_allclose(points, [[-2, 0], [-1, 0], [3, 0]], atol=1e-12)
    np.testing.assert_allclose(shares, [1, 0], atol=1e-12)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 50])
def test_constant_latents_have_no_variance_to_explain(count):
    points, shares = pca(np.full((count, 3), 0.1))
    assert points.shape == (count, 2)
    assert not points.any()
    assert shares.tolist() == [0, 0]
    assert not tsne(np.full((count, 3), 0.1)).any()


def test_two_points_are_apart_by_their_distance():
    points, shares = pca([[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]])
    np.testing.assert_allclose(points, [[-2.5, 0], [2.5, 0]], atol=1e-12)
    np.testing.assert_allclose(shares, [1, 0], atol=1e-12)


@pytest.mark.parametrize("z", [np.zeros(3), np.zeros((2, 0)), [[np.nan, 1.0]], [[np.inf, 1.0]]])
@pytest.mark.parametrize("project", [pca, tsne])
def test_what_cannot_be_projected_is_refused(project, z):
    with pytest.raises(UsageError):
        project(z)


def test_tsne_keeps_groups_together_and_is_the_same_for_a_seed():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], 30)
    z = rng.normal(size=(90, 8)) + 30 * np.eye(3, 8)[group]
    points = tsne(z, seed=1)
    assert np.array_equal(points, tsne(z, seed=1))
    apart = np.linalg.norm(points[:, None] - points, axis=-1) + np.diag([np.inf] * 90)
    assert (group[apart.argmin(axis=1)] == group).all()


@pytest.mark.parametrize(("count", "width"), [(4, 3), (5, 3), (7, 1), (40, 2)])
def test_tsne_takes_few_points_and_few_dimensions(count, width):
    points = tsne(cloud(count, width))
    assert points.shape == (count, 2)
    assert np.isfinite(points).all()


def test_pca_is_taken_where_it_keeps_the_neighbours():
    plane = cloud(80, 2) @ np.random.default_rng(1).normal(size=(2, 8))
    points, axes = project_to_plane(plane, "auto")
    assert np.array_equal(points, pca(plane)[0])
    assert axes[0].startswith("first component")


def test_tsne_is_taken_where_pca_is_a_haze_and_the_axis_says_why():
    groups = 30 * np.eye(12)[np.repeat(np.arange(12), 10)]
    z = cloud(120, 12) + groups
    points, axes = project_to_plane(z, "auto", seed=3)
    assert np.array_equal(points, tsne(z, seed=3))
    by_pca, by_tsne = (trust(z, found) for found in (pca(z)[0], points))
    assert by_pca < 0.9 < by_tsne
    expected = f"t-SNE 1 (its trustworthiness is {by_tsne:.2f}, that of PCA {by_pca:.2f})"
    assert axes == (expected, "t-SNE 2")


@pytest.mark.parametrize("count", [49, MOST_FOR_AUTO + 1])
def test_few_and_very_many_points_are_projected_by_pca(count):
    z = cloud(count, 12)
    assert np.array_equal(project_to_plane(z, "auto")[0], pca(z)[0])


def test_trustworthiness_is_that_of_its_definition():
    z = cloud(40, 5)
    assert trustworthiness(z, z[:, :2]) == pytest.approx(trust(z, z[:, :2]))


def trust(z, points, k=10):
    """1 - 2 / (n k (2n - 3k - 1)) sum of (rank - k) over false neighbours, point by point."""
    n, worst = len(z), 0
    for i in range(n):
        near = np.argsort(np.linalg.norm(points - points[i], axis=1), kind="stable")
        order = np.argsort(np.linalg.norm(z - z[i], axis=1), kind="stable").tolist()
        worst += sum(max(0, order.index(j) - k) for j in near[near != i][:k])
    return 1 - 2 * worst / (n * k * (2 * n - 3 * k - 1))
