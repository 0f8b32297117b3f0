"""What a user would lose: a true projection, the same picture of the same latents."""

from __future__ import annotations

import numpy as np
import pytest

from vaekit.errors import UsageError
from vaekit.output.projection import pca, tsne


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
