"""Five disentanglement scores: whether single latents follow single factors.

Codes (N, D) are floats, one row an image; factors (N, F) are integers, the index of each factor's
value. Settings are those of the study that the field compares against, Locatello et al. 2019
(arXiv:1811.12359), and their reference implementation: 10,000 points to fit, 5,000 to test,
20 bins. A VAE's codes are its posterior means. Higher is better throughout.

    >>> factors = np.stack([np.arange(400) % 4, np.arange(400) // 4 % 5], axis=1)
    >>> round(mig(factors.astype(float), factors), 6)
    1.0
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vaekit import seeds
from vaekit.errors import DataError

Codes = npt.NDArray[np.float64]
Factors = npt.NDArray[np.int64]
Advance = Callable[[], None]

TRAIN_POINTS, TEST_POINTS = 10_000, 5_000
BINS = 20
BATCH = 64
VARIANCE_POINTS = 10_000
PRUNED_STD = 0.05
"""FactorVAE: latents with a smaller standard deviation are left out as inactive."""


def mig(codes: npt.ArrayLike, factors: npt.ArrayLike, bins: int = BINS) -> float:
    """The mutual information gap between the two latents that share most with a factor.

        mean over factors v of  (I(z₁; v) − I(z₂; v)) / H(v)

    with z₁ and z₂ the two latents that share most with v, each in bins of equal width.
    Chen et al. 2018 (arXiv:1802.04942).
    """
    from sklearn.metrics import mutual_info_score

    z, v = checked_codes(codes, factors)
    digits = [_binned(column, bins) for column in z.T]
    shared = np.array([[mutual_info_score(f, d) for f in v.T] for d in digits])
    entropy = np.array([mutual_info_score(f, f) for f in v.T])
    return float(np.mean(_gaps(shared) / entropy))


def _binned(column: Codes, bins: int) -> Factors:
    """Numbers of bins of equal width, from the smallest value to the largest."""
    edges = np.histogram_bin_edges(column, bins)
    binned: Factors = np.digitize(column, edges[:-1])
    return binned


def _gaps(scores: Codes) -> Codes:
    """The best minus the second best latent, for each factor: (D, F) to (F,)."""
    ordered = np.sort(scores, axis=0)
    gaps: Codes = ordered[-1] - ordered[-2]
    return gaps


def sap(
    train_codes: npt.ArrayLike,
    train_factors: npt.ArrayLike,
    test_codes: npt.ArrayLike,
    test_factors: npt.ArrayLike,
    *,
    advance: Advance | None = None,
) -> float:
    """Separated attribute predictability: the accuracy gap between the two best latents.

    The mean over factors of the gap between the two best accuracies on test points, each of a
    linear support vector machine (C = 0.01, classes balanced) that sees one latent alone.
    Kumar et al. 2018 (arXiv:1711.00848), factors taken as classes.
    """
    from sklearn.svm import LinearSVC

    z, v = checked_codes(train_codes, train_factors)
    z_test, v_test = _alike(test_codes, test_factors, z, v)
    scores = np.zeros((z.shape[1], v.shape[1]))
    for factor in range(v.shape[1]):
        for latent in range(z.shape[1]):
            machine = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
            with _unconverged():
                machine.fit(z[:, [latent]], v[:, factor])
            scores[latent, factor] = machine.score(z_test[:, [latent]], v_test[:, factor])
        if advance is not None:
            advance()
    return float(np.mean(_gaps(scores)))


@dataclass(frozen=True)
class DCI:
    """Disentanglement, completeness, and the accuracy of predicting factors from all latents."""

    disentanglement: float
    completeness: float
    informativeness_train: float
    informativeness_test: float


def dci(
    train_codes: npt.ArrayLike,
    train_factors: npt.ArrayLike,
    test_codes: npt.ArrayLike,
    test_factors: npt.ArrayLike,
    *,
    advance: Advance | None = None,
) -> DCI:
    """Disentanglement, completeness and informativeness.

    Gradient boosted trees (scikit-learn's defaults) predict each factor from all latents. Their
    feature importances make a matrix (D, F), from which `from_importance` computes the first two.
    Informativeness is the mean accuracy over factors. Eastwood & Williams 2018 (openreview
    By-7dz-AZ).
    """
    from sklearn.ensemble import GradientBoostingClassifier

    z, v = checked_codes(train_codes, train_factors, least_factors=2)
    z_test, v_test = _alike(test_codes, test_factors, z, v)
    importance, train, test = np.zeros((z.shape[1], v.shape[1])), [], []
    for factor in range(v.shape[1]):
        trees = GradientBoostingClassifier(random_state=0).fit(z, v[:, factor])
        importance[:, factor] = np.abs(trees.feature_importances_)
        train.append(trees.score(z, v[:, factor]))
        test.append(trees.score(z_test, v_test[:, factor]))
        if advance is not None:
            advance()
    return DCI(*from_importance(importance), float(np.mean(train)), float(np.mean(test)))


def from_importance(importance: npt.ArrayLike) -> tuple[float, float]:
    """Disentanglement and completeness of a matrix of importances (D, F).

    A latent's disentanglement is 1 − H(its row), with the entropy to base F; the mean weights
    latents by their share of all importance. A factor's completeness is 1 − H(its column) to base
    D, weighted the same way.

    >>> from_importance([[1.0, 0.0], [0.0, 1.0]]), from_importance([[1.0, 1.0], [1.0, 1.0]])
    ((1.0, 1.0), (0.0, 0.0))
    """
    matrix = np.asarray(importance, np.float64)
    return _one_sided(matrix), _one_sided(matrix.T)


def _one_sided(matrix: Codes) -> float:
    if not matrix.any():
        return 0.0
    totals = matrix.sum(axis=1)
    shares = matrix / np.where(totals > 0, totals, 1)[:, None]
    logs = np.log(np.where(shares > 0, shares, 1)) / np.log(matrix.shape[1])
    purity = 1 + (shares * logs).sum(axis=1)
    return float(purity @ totals / totals.sum()) + 0.0


def beta_vae_score(
    codes: npt.ArrayLike,
    factors: npt.ArrayLike,
    *,
    seed: int = 0,
    train: int = TRAIN_POINTS,
    test: int = TEST_POINTS,
    batch: int = BATCH,
) -> float:
    """The BetaVAE score: whether a linear classifier can name the factor that pairs share.

    A point is the mean over 64 pairs of |z − z'|, where the images of a pair agree in one factor
    and are independent otherwise; logistic regression (scikit-learn's defaults) names the factor.
    The score is the accuracy on test points. Higgins et al. 2017 (openreview Sy2fzU9gl). Pairs are
    drawn from the given codes: a partner is any row with the same value of that factor.
    """
    from sklearn.linear_model import LogisticRegression

    z, v = checked_codes(codes, factors, least_factors=2)
    random, groups = seeds.numpy_generator(seed, "betavae"), Groups(v)
    points, kept = [], []
    for _ in range(train + test):
        factor = int(random.integers(v.shape[1]))
        first = random.integers(len(z), size=batch)
        second = groups.partners(factor, first, random)
        points.append(np.abs(z[first] - z[second]).mean(axis=0))
        kept.append(factor)
    x, y = np.array(points), np.array(kept)
    model = LogisticRegression(random_state=0)
    with _unconverged():
        model.fit(x[:train], y[:train])
    return float(model.score(x[train:], y[train:]))


def factor_vae_score(
    codes: npt.ArrayLike,
    factors: npt.ArrayLike,
    *,
    seed: int = 0,
    train: int = TRAIN_POINTS,
    test: int = TEST_POINTS,
    batch: int = BATCH,
) -> float:
    """The FactorVAE score: whether the latent that varies least names the fixed factor.

    A vote comes from 64 images that agree in one factor: the latent with the least variance,
    relative to its variance over all. Each latent stands for the factor that most of
    its 10,000 votes name; the score is the share of 5,000 further votes that agree. Latents with a
    standard deviation under 0.05 have no vote; if no other is left, the score is 0. Kim & Mnih
    2018 (arXiv:1802.05983). Images are drawn from the given codes.
    """
    z, v = checked_codes(codes, factors)
    variance = z[:VARIANCE_POINTS].var(axis=0, ddof=1)
    active = np.flatnonzero(np.sqrt(variance) >= PRUNED_STD)
    if not active.size:
        return 0.0
    votes = np.zeros((2, v.shape[1], active.size), np.int64)
    drawn = _votes(z[:, active], v, variance[active], seed, batch)
    for number, vote in zip(range(train + test), drawn, strict=False):
        votes[(int(number >= train), *vote)] += 1
    stands_for = votes[0].argmax(axis=0)
    return float(votes[1][stands_for, np.arange(active.size)].sum() / votes[1].sum())


def _votes(
    z: Codes, v: Factors, variance: Codes, seed: int, batch: int
) -> Iterator[tuple[int, int]]:
    """Endless votes: the fixed factor, and the latent that varied least."""
    random, groups = seeds.numpy_generator(seed, "factorvae"), Groups(v)
    while True:
        factor = int(random.integers(v.shape[1]))
        same = np.full(batch, random.integers(len(z)))
        rows = groups.partners(factor, same, random)
        yield factor, int(np.argmin(z[rows].var(axis=0, ddof=1) / variance))


class Groups:
    """Which rows share a value of a factor, for fast draws.

    Where factors are independent, drawing from the rows of a data set has the same distribution
    as drawing from the full grid of factors, and each image is encoded once.
    """

    def __init__(self, factors: Factors) -> None:
        self._values = [np.unique(column, return_inverse=True)[1] for column in factors.T]
        self._order = [np.argsort(values, kind="stable") for values in self._values]
        self._sizes = [np.bincount(values) for values in self._values]
        self._starts = [np.cumsum(sizes) - sizes for sizes in self._sizes]

    def partners(self, factor: int, rows: Factors, random: np.random.Generator) -> Factors:
        """For each row, a random row (perhaps itself) with the same value of the factor."""
        values = self._values[factor][rows]
        places = random.integers(self._sizes[factor][values])
        found: Factors = self._order[factor][self._starts[factor][values] + places]
        return found


def checked_codes(
    codes: npt.ArrayLike, factors: npt.ArrayLike, *, least_factors: int = 1
) -> tuple[Codes, Factors]:
    """Codes and factors as arrays of numbers, checked against each other."""
    z, v = np.asarray(codes, np.float64), np.asarray(factors)
    if z.ndim != 2 or v.ndim != 2 or len(z) != len(v):
        raise DataError(f"codes {z.shape} and factors {v.shape}: (N, D) and (N, F) are needed")
    if len(z) < 2 or z.shape[1] < 2 or v.shape[1] < least_factors:
        raise DataError(
            f"{len(z)} codes of {z.shape[1]} latents, {v.shape[1]} factors: at least 2 codes of "
            f"2 latents and {least_factors} factors are needed"
        )
    if not np.isfinite(z).all():
        raise DataError("codes hold NaN or infinity")
    if not np.issubdtype(v.dtype, np.integer):
        raise DataError(f"factors are {v.dtype}: they are the numbers of values, integers")
    constant = [i for i, column in enumerate(v.T) if (column == column[0]).all()]
    if constant:
        raise DataError(f"factor {constant[0]} has one value only: leave it out")
    return z, v.astype(np.int64)


def _alike(
    codes: npt.ArrayLike, factors: npt.ArrayLike, z: Codes, v: Factors
) -> tuple[Codes, Factors]:
    """Test points, as wide as the others; a factor may be constant among them."""
    found, values = np.asarray(codes, np.float64), np.asarray(factors)
    if found.ndim != 2 or len(found) < 1 or values.shape != (len(found), v.shape[1]):
        raise DataError(f"test codes {found.shape} and factors {values.shape} do not go together")
    if found.shape[1] != z.shape[1] or not np.isfinite(found).all():
        raise DataError(f"test codes: {z.shape[1]} finite numbers each are needed")
    return found, values.astype(np.int64)


@contextmanager
def _unconverged() -> Iterator[Any]:
    """Silences convergence warnings: the published settings include the iteration limit."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
