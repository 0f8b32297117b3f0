"""Distances between drawn and real images, from features (N, D) of both, in float64.

Other features give other numbers: only the standard Inception features give the `fid` and `kid` of
the literature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vaekit import seeds
from vaekit.array_types import Float64s
from vaekit.errors import DataError

SUBSETS, SUBSET_SIZE = 100, 1000
"""Random subsets of KID and their size, as in torch-fidelity."""
NEIGHBOURS_PRECISION, NEIGHBOURS_DENSITY = 3, 5
_ROWS = 1024


def fid(real: npt.ArrayLike, drawn: npt.ArrayLike) -> float:
    """The Fréchet distance between the normals that fit two sets of features.

    Heusel et al. 2017 (arXiv:1706.08500). It is biased upwards, the more so the fewer images:
    compare only at equal numbers.

    >>> fid([[0.0], [2.0]], [[3.0], [5.0]])
    9.0
    """
    a, b = _checked(real, drawn, 2)
    return frechet(a.mean(0), _covariance(a), b.mean(0), _covariance(b))


def fid_infinity(
    real: npt.ArrayLike, drawn: npt.ArrayLike, *, points: int = 10, seed: int = 0
) -> float:
    """FID extrapolated to infinitely many images: the intercept of a line in 1 / n.

    Chong & Forsyth 2020 (arXiv:1911.07023) extrapolate over drawn images alone; here both sets grow
    together, since both are biased. The sizes run from a tenth of the images, or twice the width of
    the features where that is more (up to half of the images), to all. It may be negative.
    """
    a, b = _checked(real, drawn, 20)
    most = min(len(a), len(b))
    least = max(most // 10, min(most // 2, 2 * a.shape[1]))
    random = seeds.numpy_generator(seed, "fid")
    sizes = np.linspace(least, most, points).astype(int)
    found = []
    for size in sizes:
        rows_a, rows_b = (random.choice(len(x), size, replace=False) for x in (a, b))
        found.append(fid(a[rows_a], b[rows_b]))
    return float(np.polyfit(1 / sizes, found, 1)[1])


def frechet(mean_a: Float64s, cov_a: Float64s, mean_b: Float64s, cov_b: Float64s) -> float:
    """‖μa − μb‖² + tr Σa + tr Σb − 2 tr (Σa^½ Σb Σa^½)^½.

    The root of the product is taken in its symmetric form, by eigenvalues, which no rounding can
    make complex and which needs no invertible covariance.
    """
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ cov_b @ root)
    cross = np.sqrt(np.clip(inner, 0, None)).sum()
    distance = np.square(mean_a - mean_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * cross
    return max(0.0, float(distance))


def _covariance(features: Float64s) -> Float64s:
    return np.atleast_2d(np.cov(features, rowvar=False))


def kid(
    real: npt.ArrayLike,
    drawn: npt.ArrayLike,
    *,
    subsets: int = SUBSETS,
    subset_size: int = SUBSET_SIZE,
    seed: int = 0,
    advance: Callable[[], None] | None = None,
) -> float:
    """The squared maximum mean discrepancy with the kernel (x·y / D + 1)³, without bias.

    Bińkowski et al. 2018 (arXiv:1801.01401): the mean over 100 random subsets of 1000 from each
    set, as in torch-fidelity, or of half of the features where there are not more than 1000. It is
    zero on average for two sets from one distribution, so it may be negative.
    """
    a, b = _checked(real, drawn, 2)
    size = kid_subset_size(len(a), len(b), subset_size)
    random = seeds.numpy_generator(seed, "kid")
    found = []
    for _ in range(subsets):
        rows_a, rows_b = (random.choice(len(x), size, replace=False) for x in (a, b))
        found.append(_mmd(a[rows_a], b[rows_b]))
        if advance is not None:
            advance()
    return float(np.mean(found))


def kid_subset_size(real: int, drawn: int, wanted: int = SUBSET_SIZE) -> int:
    """The size of KID's subsets: never all features, or each subset would be the same.

    >>> kid_subset_size(10_000, 10_000), kid_subset_size(180, 200), kid_subset_size(2, 2)
    (1000, 90, 2)
    """
    fewest = min(real, drawn)
    return wanted if fewest > wanted else max(2, fewest // 2)


def _mmd(a: Float64s, b: Float64s) -> float:
    """Means of the kernel over pairs: within each set without the diagonal, and across."""
    n, width = a.shape
    aa, bb, ab = ((x @ y.T / width + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    within = (aa.sum() - np.trace(aa) + bb.sum() - np.trace(bb)) / (n * (n - 1))
    return float(within - 2 * ab.mean())


@dataclass(frozen=True)
class Manifolds:
    """How two sets of features lie in each other."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifolds(
    real: npt.ArrayLike,
    drawn: npt.ArrayLike,
    *,
    nearest: int = NEIGHBOURS_PRECISION,
    nearest_density: int = NEIGHBOURS_DENSITY,
) -> Manifolds:
    """Precision and recall, density and coverage.

    Around each point of a set lies a ball that reaches to its k-th neighbour in that set.
    Precision is the share of drawn points within a real point's ball, recall the share of real
    points within a drawn point's: improved precision and recall, Kynkäänniemi et al. 2019
    (arXiv:1904.06991), k = 3. Density is the mean number of real balls around a drawn point over
    k, coverage the share of real balls that hold a drawn point: Naeem et al. 2020
    (arXiv:2002.09797), k = 5.
    """
    a, b = _checked(real, drawn, 1 + max(nearest, nearest_density))
    centre = a.mean(0)
    a, b = a - centre, b - centre
    reach_a = _reaches(a, (nearest, nearest_density))
    reach_b = _reaches(b, (nearest,))[0]
    inside_a, inside_b = np.zeros(len(b), bool), np.zeros(len(a), bool)
    covered, pairs = np.zeros(len(a), bool), 0
    for start in range(0, len(a), _ROWS):
        rows = slice(start, start + _ROWS)
        distance = _distances(a[rows], b)
        inside_a |= (distance <= reach_a[0][rows, None]).any(0)
        inside_b[rows] = (distance <= reach_b).any(1)
        within = distance < reach_a[1][rows, None]
        covered[rows] = within.any(1)
        pairs += int(within.sum())
    density = pairs / (nearest_density * len(b))
    return Manifolds(float(inside_a.mean()), float(inside_b.mean()), density, float(covered.mean()))


def _reaches(x: Float64s, nearest: tuple[int, ...]) -> list[Float64s]:
    """The squared distance of each point to its k-th neighbour, itself not counted."""
    found = [np.empty(len(x)) for _ in nearest]
    for start in range(0, len(x), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(x)))
        distance = _distances(x[rows], x)
        distance[rows - start, rows] = np.inf
        ordered = np.partition(distance, [k - 1 for k in nearest], axis=1)
        for reach, k in zip(found, nearest, strict=True):
            reach[rows] = ordered[:, k - 1]
    return found


def _distances(a: Float64s, b: Float64s) -> Float64s:
    """Squared distances, |a|² + |b|² − 2 a·b."""
    squares = np.square(a).sum(1)[:, None] + np.square(b).sum(1)
    distances: Float64s = np.clip(squares - 2 * a @ b.T, 0, None)
    return distances


def _checked(real: npt.ArrayLike, drawn: npt.ArrayLike, least: int) -> tuple[Float64s, Float64s]:
    a, b = (np.asarray(x, np.float64) for x in (real, drawn))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise DataError(f"features have shapes {a.shape} and {b.shape}: (N, D) and (M, D)")
    if min(len(a), len(b)) < least:
        raise DataError(f"{min(len(a), len(b))} images: at least {least} are needed to compare")
    return a, b
