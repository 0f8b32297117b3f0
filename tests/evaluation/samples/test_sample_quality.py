"""Distances between sets of features: closed forms, points by hand, and what is true on average."""

from __future__ import annotations

import numpy as np
import pytest

from vaekit.errors import DataError
from vaekit.evaluation.samples.sample_quality import (
    fid,
    fid_infinity,
    frechet,
    kid,
    kid_subset_size,
    manifolds,
)


def test_fid_of_known_moments_is_the_closed_form() -> None:
    """With covariances that commute: Σ (√a − √b)² + |μ|²."""
    a, b = np.array([4.0, 9.0, 0.0]), np.array([1.0, 1.0, 0.25])
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    shift = np.array([3.0, 0.0, 4.0])
    found = frechet(np.zeros(3), turn @ np.diag(a) @ turn.T, shift, turn @ np.diag(b) @ turn.T)
    assert found == pytest.approx(25 + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum())


def test_fid_where_covariances_do_not_commute_is_the_matrix_root() -> None:
    import scipy.linalg

    random = np.random.default_rng(1)
    a, b = (random.normal(size=(400, 5)) @ random.normal(size=(5, 5)) for _ in range(2))
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.trace(scipy.linalg.sqrtm(cov_a @ cov_b)).real
    direct = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * root
    assert fid(a, b) == pytest.approx(direct, rel=1e-9)
    assert fid(b, a) == pytest.approx(direct, rel=1e-9)


def test_fid_with_fewer_images_than_features_is_finite_and_zero_for_equals() -> None:
    x = np.random.default_rng(2).normal(size=(10, 50))
    assert fid(x, x) == pytest.approx(0, abs=1e-6)
    assert fid(x, x + 1) == pytest.approx(50, rel=1e-6)


def test_kid_is_zero_on_average_for_equal_distributions() -> None:
    random = np.random.default_rng(3)
    found = [kid(random.normal(size=(80, 4)), random.normal(size=(80, 4)), subsets=1)
             for _ in range(200)]  # fmt: skip
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(200)
    assert min(found) < 0 < max(found)


def test_kid_by_hand() -> None:
    """x = 1, 2 and y = 0, 0, one feature: within (3³ + 3³)/2·... the kernel is (xy + 1)³."""
    within = 27 + 1  # k(1, 2) = 27 and k(0, 0) = 1, each pair twice over n (n − 1) = 2
    across = (1 + 1 + 1 + 1) / 4
    assert kid([[1.0], [2.0]], [[0.0], [0.0]]) == pytest.approx(within - 2 * across)


def test_fid_without_its_bias_is_the_distance_of_the_distributions() -> None:
    """Two normals a distance of 1 apart: 1, however few images. 300 in 20 dimensions show more."""
    random = np.random.default_rng(7)
    plain, extrapolated = [], []
    for seed in range(12):
        a, b = random.normal(size=(300, 20)), random.normal(size=(300, 20))
        b[:, 0] += 1
        plain.append(fid(a, b))
        extrapolated.append(fid_infinity(a, b, seed=seed))
    assert np.mean(plain) > 1.5
    error = np.std(extrapolated) / np.sqrt(12)
    assert np.mean(extrapolated) == pytest.approx(1, abs=max(3 * error, 0.1))
    assert fid_infinity(a, b, seed=3) == fid_infinity(a, b, seed=3)


def test_the_subsets_of_kid_differ_where_there_are_few_images() -> None:
    """With subsets of all images, the number of subsets would change nothing."""
    random = np.random.default_rng(8)
    a, b = random.normal(size=(60, 3)), 0.5 + random.normal(size=(60, 3))
    assert kid(a, b, subsets=1) != pytest.approx(kid(a, b, subsets=50), rel=1e-6)
    assert [kid_subset_size(n, n) for n in (1001, 1000, 60, 3)] == [1000, 500, 30, 2]


def test_kid_subsets_are_seeded() -> None:
    random = np.random.default_rng(4)
    a, b = random.normal(size=(60, 3)), 1 + random.normal(size=(60, 3))
    assert kid(a, b, subset_size=20) == kid(a, b, subset_size=20)
    assert kid(a, b, subset_size=20) != kid(a, b, subset_size=20, seed=1)
    assert kid(a, b, subset_size=20) == pytest.approx(kid(a, b), rel=0.2)


def test_precision_recall_density_and_coverage_of_points_by_hand() -> None:
    """On a line, k = 1: real 0, 1, 10 have reaches 1, 1, 9; drawn 0.5, 30, 31 have 29.5, 1, 1."""
    real, drawn = [[0.0], [1.0], [10.0]], [[0.5], [30.0], [31.0]]
    found = manifolds(real, drawn, nearest=1, nearest_density=1)
    assert found.precision == pytest.approx(1 / 3)  # 0.5 alone
    assert found.recall == pytest.approx(1)  # all within 29.5 of 0.5
    assert found.density == pytest.approx(2 / 3)  # 0.5 in the balls of 0 and 1; 9.5 from 10 is out
    assert found.coverage == pytest.approx(
        2 / 3
    )  # the ball of 10 reaches from 1 to 19 and is empty


def test_equal_distributions_score_one_and_distant_sets_zero() -> None:
    random = np.random.default_rng(5)
    a, b = random.normal(size=(1500, 2)), random.normal(size=(1500, 2))
    near = manifolds(a, b)
    assert near.precision > 0.9
    assert near.recall > 0.9
    assert near.density == pytest.approx(1, abs=0.1)
    assert near.coverage == pytest.approx(1 - 0.5**5, abs=0.03)  # the expectation for k = 5
    far = manifolds(a, b + 100)
    assert (far.precision, far.recall, far.density, far.coverage) == (0, 0, 0, 0)


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(6)
    a, b = random.normal(size=(70, 3)), random.normal(size=(50, 3))
    whole = manifolds(a, b)
    monkeypatch.setattr("vaekit.evaluation.samples.sample_quality._ROWS", 16)
    assert manifolds(a, b) == whole


def test_too_few_images_are_refused() -> None:
    with pytest.raises(DataError, match="at least 6"):
        manifolds(np.zeros((5, 2)), np.zeros((9, 2)))
    with pytest.raises(DataError, match="at least 2"):
        fid(np.zeros((1, 2)), np.zeros((9, 2)))
    with pytest.raises(DataError, match=r"\(9, 3\)"):
        fid(np.zeros((9, 2)), np.zeros((9, 3)))
