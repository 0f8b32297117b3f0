"""Five scores on codes made by hand: perfect, random and turned ones, and tables small enough."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vaekit.errors import DataError
from vaekit.evaluation.disentanglement import (
    DCI,
    Groups,
    beta_vae_score,
    dci,
    factor_vae_score,
    from_importance,
    mig,
    sap,
)

COUNTS = (4, 3, 5)


def made(count: int, seed: int = 0) -> np.ndarray:
    """Independent factors, each value as likely as the others."""
    random = np.random.default_rng(seed)
    return np.stack([random.integers(n, size=count) for n in COUNTS], axis=1)


def perfect(factors: np.ndarray) -> np.ndarray:
    """One latent a factor, each on the scale of one."""
    return factors / (np.array(COUNTS) - 1) * 2 - 1


def noise(count: int, seed: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3))


def turned(codes: np.ndarray) -> np.ndarray:
    """By 45° in the plane of the first two latents: both know as much of the first two factors."""
    a, b, *rest = codes.T
    return np.column_stack([(a + b) / math.sqrt(2), (a - b) / math.sqrt(2), *rest])


# MIG


def test_mig_is_one_for_a_perfect_code_zero_for_noise_and_lower_for_a_rotated_code() -> None:
    v = made(4000)
    assert mig(perfect(v), v) == pytest.approx(1, abs=0.01)
    assert mig(np.column_stack([perfect(v), noise(4000)]), v) == pytest.approx(1, abs=0.03)
    assert mig(noise(4000), v) < 0.02
    assert mig(turned(perfect(v)), v) < 0.5  # the third factor alone keeps its 1/3
    assert mig(np.column_stack([perfect(v), perfect(v)]), v) == pytest.approx(0)


def test_mig_of_a_small_table_by_hand() -> None:
    """v = 0 0 1 1. z1 = v knows all, log 2. z2 = 0 1 1 1 shares H(v) − 3/4 H(1/3, 2/3)."""
    v = np.array([[0], [0], [1], [1]])
    z = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    rest = 0.75 * (math.log(3) / 3 + 2 / 3 * math.log(1.5))
    assert mig(z, v) == pytest.approx(rest / math.log(2))


def test_mig_cuts_each_latent_into_bins_of_equal_width_over_its_range() -> None:
    """With 2 bins from 0 to 10 the edge is 5, which belongs to the upper bin."""
    z = np.column_stack([[0.0, 4.99, 5.0, 10.0], [1.0, 1.0, 1.0, 2.0]])
    v = np.array([[0], [0], [1], [1]])
    shared = math.log(2) - 0.75 * (math.log(3) / 3 + 2 / 3 * math.log(1.5))
    assert mig(z, v, bins=2) == pytest.approx(1 - shared / math.log(2))


# SAP


def test_sap_of_a_perfect_code_is_its_ceiling_and_of_noise_near_zero() -> None:
    """Two values each, so that a line on one latent tells them: 1 against the chance of 1/2."""
    random = np.random.default_rng(0)
    v, v_test = random.integers(2, size=(2000, 3)), random.integers(2, size=(1000, 3))
    z, z_test = 2.0 * v - 1, 2.0 * v_test - 1
    assert sap(z, v, z_test, v_test) == pytest.approx(0.5, abs=0.05)
    assert sap(noise(2000), v, noise(1000, 8), v_test) < 0.06
    assert sap(turned(z), v, turned(z_test), v_test) == pytest.approx(1 / 6, abs=0.05)


def test_sap_of_a_small_table_by_hand() -> None:
    """z1 is right on 4 of 4 test points, z2 (always 1: a tie) on 2, so the gap is a half."""
    v = np.array([[0], [1]] * 20)
    z = np.column_stack([np.array([-3.0, 3.0] * 20), np.array([1.0, 1.0] * 20)])
    v_test = np.array([[0], [1], [0], [1]])
    z_test = np.array([[-3.0, 1.0], [3.0, 1.0], [-2.0, 1.0], [2.0, 1.0]])
    assert sap(z, v, z_test, v_test) == 0.5


# DCI


def test_dci_of_a_perfect_code_is_one_and_of_noise_near_zero() -> None:
    v, v_test = made(600), made(300, 1)
    found = dci(perfect(v), v, perfect(v_test), v_test)
    assert found.disentanglement == pytest.approx(1, abs=0.02)
    assert found.completeness == pytest.approx(1, abs=0.02)
    assert (found.informativeness_train, found.informativeness_test) == (1.0, 1.0)
    chance = dci(noise(600), v, noise(300, 8), v_test)
    assert chance.disentanglement < 0.1
    assert chance.informativeness_test < 0.45  # (1/4 + 1/3 + 1/5) / 3 is chance
    assert chance.informativeness_train > 0.8


def test_dci_falls_for_a_rotated_code_that_is_as_informative() -> None:
    v, v_test = made(600), made(300, 1)
    found = dci(turned(perfect(v)), v, turned(perfect(v_test)), v_test)
    assert found.disentanglement < 0.65
    assert found.completeness < 0.65
    assert found.informativeness_test > 0.9


def test_disentanglement_and_completeness_by_hand() -> None:
    """Rows (1, 0), (1/2, 1/2), (0, 0): 1 and 0, weighed 1/2 and 1/2; the third has no weight."""
    matrix = [[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]]
    first = 1 + (2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3)) / math.log(3)
    assert from_importance(matrix) == pytest.approx((0.5, 0.75 * first + 0.25 * 1.0))
    assert from_importance(np.zeros((3, 2))) == (0.0, 0.0)


def test_dci_gives_what_it_says() -> None:
    v = made(60)
    found = dci(perfect(v), v, perfect(v), v)
    assert isinstance(found, DCI)
    assert found == dci(perfect(v), v, perfect(v), v)


# BetaVAE and FactorVAE


@pytest.mark.parametrize("score", [beta_vae_score, factor_vae_score])
def test_betavae_and_factorvae_are_one_for_a_perfect_code_and_chance_for_noise(
    score: object,
) -> None:
    v = made(3000)
    settings = {"train": 1500, "test": 800}
    assert score(perfect(v), v, **settings) == pytest.approx(1, abs=0.01)  # type: ignore[operator]
    assert score(noise(3000), v, **settings) == pytest.approx(1 / 3, abs=0.09)  # type: ignore[operator]


def test_a_rotated_code_lowers_betavae_and_factorvae() -> None:
    """Both turned latents vary equally little when either factor is kept: a coin is tossed."""
    random = np.random.default_rng(2)
    v = random.integers(3, size=(3000, 3))
    mixed = turned(v - 1.0)
    assert factor_vae_score(mixed, v, train=1500, test=800) == pytest.approx(2 / 3, abs=0.06)
    assert beta_vae_score(mixed, v, train=1500, test=800) < 0.9


def test_further_latents_of_noise_do_not_lower_scores() -> None:
    v = made(3000)
    with_noise = np.column_stack([perfect(v), noise(3000)])
    assert factor_vae_score(with_noise, v, train=1500, test=800) == pytest.approx(1, abs=0.01)


def test_two_factors_in_one_latent_cost_factor_vae_a_third() -> None:
    """Two latents can name two factors: the third's votes go to one that is taken."""
    v = made(3000)
    assert factor_vae_score(perfect(v)[:, :2], v, train=3000, test=3000) == pytest.approx(
        2 / 3, abs=0.03
    )


def test_inactive_latents_have_no_vote() -> None:
    v = made(500)
    assert factor_vae_score(0.04 * noise(500), v, train=50, test=50) == 0.0
    still = np.column_stack([perfect(v), 1e-9 * noise(500)])
    assert factor_vae_score(still, v, train=500, test=300) == pytest.approx(1, abs=0.01)


def test_scores_are_seeded() -> None:
    v = made(500)
    z = turned(perfect(v)) + noise(500)
    for score in (beta_vae_score, factor_vae_score):
        one = score(z, v, train=300, test=200)
        assert one == score(z, v, train=300, test=200)
        assert one != score(z, v, train=300, test=200, seed=1)


def test_partners_share_the_factor_and_are_drawn_from_all_that_do() -> None:
    v, random = made(200), np.random.default_rng(0)
    groups, rows = Groups(v), np.arange(200)
    found = np.stack([groups.partners(1, rows, random) for _ in range(2000)])
    assert (v[found, 1] == v[rows, 1]).all()
    assert set(found[:, 0]) == set(np.flatnonzero(v[:, 1] == v[0, 1]))
    assert not (v[found, 0] == v[rows, 0]).all()


# What cannot be scored


@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (np.zeros((5, 3)), np.zeros((4, 2), int), "needed"),
        (np.zeros((5, 1)), np.ones((5, 2), int), "at least 2 codes of 2 latents"),
        (np.full((5, 2), np.nan), np.arange(10).reshape(5, 2), "NaN"),
        (np.zeros((5, 2)), np.arange(10.0).reshape(5, 2), "integers"),
        (np.zeros((5, 2)), np.array([[0, 3], [1, 3], [0, 3], [1, 3], [0, 3]]), "factor 1"),
    ],
)
def test_codes_without_scores_are_refused_with_the_reason(
    codes: np.ndarray, factors: np.ndarray, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        mig(codes, factors)


def test_test_points_that_do_not_match_the_training_points_are_refused() -> None:
    v = made(30)
    with pytest.raises(DataError, match="do not go together"):
        sap(perfect(v), v, perfect(v)[:4], v[:5])
    with pytest.raises(DataError, match="3 finite numbers"):
        dci(perfect(v), v, perfect(v)[:, :2], v)
