"""Project latents to 2-D by PCA or t-SNE, with the same result every time."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.errors import UsageError
from vaekit.seeds import key

Points = NDArray[np.float64]

FEWEST_FOR_THREADS = 2000
"""Below this many points, t-SNE runs on one thread."""


def project_to_plane(z: ArrayLike, method: str, seed: int = 0) -> tuple[Points, tuple[str, str]]:
    """Points (N, 2) by `pca` or `tsne`, and the labels of the axes.

    Two-dimensional latents need no projection: `pca` leaves them as they are.
    """
    if method == "pca" and np.shape(z)[1:] == (2,):
        return _rows(z), ("z0", "z1")
    if method == "tsne":
        return tsne(z, seed), ("t-SNE 1", "t-SNE 2")
    points, shares = pca(z)
    first, second = (f"{share:.0%} of variance" for share in shares)
    return points, (f"first component ({first})", f"second component ({second})")


def pca(z: ArrayLike) -> tuple[Points, Points]:
    """The first two principal components of z, (N, 2), and the share of variance each explains.

    With centred z = U S Vᵀ the points are the first columns of U S, and a share is S² / Σ S².
    The sign of a singular vector is arbitrary: its largest entry is made positive.
    Missing dimensions and constant data give zeros.

    >>> points, shares = pca([[0.0, 0.0], [3.0, 0.0], [6.0, 0.0]])
    >>> points[:, 0].round(6).tolist(), shares.tolist()
    ([-3.0, 0.0, 3.0], [1.0, 0.0])
    """
    rows = _rows(z)
    centred = rows - rows.mean(axis=0) if len(rows) else rows
    points, shares = np.zeros((len(rows), 2)), np.zeros(2)
    # The mean of a constant column has a rounding error, which is not variance.
    if len(rows) < 2 or np.abs(centred).max() <= 1e-12 * np.abs(rows).max():
        return points, shares
    left, scales, right = np.linalg.svd(centred, full_matrices=False)
    found = min(2, len(scales))
    signs = np.sign(right[np.arange(found), np.abs(right[:found]).argmax(axis=1)])
    points[:, :found] = left[:, :found] * scales[:found] * signs
    shares[:found] = (scales**2 / (scales**2).sum())[:found]
    return points, shares


def tsne(z: ArrayLike, seed: int = 0) -> Points:
    """t-SNE of z in 2-D (van der Maaten and Hinton, 2008), initialised by PCA.

    The perplexity is 30, or less for few points. For fewer than five points, or points that are
    all equal, there are no neighbourhoods to keep and PCA is returned.
    """
    rows = _rows(z)
    points, shares = pca(rows)
    if len(rows) < 5 or not shares.any():
        return points
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # sklearn needs it

    method = TSNE(
        perplexity=min(30.0, (len(rows) - 1) / 3),
        init=(points / points[:, 0].std() * 1e-4).astype(np.float32),
        learning_rate="auto",
        random_state=key(seed, "tsne") % 2**32,
    )
    # On few points threads wait for each other longer than they work, above all on busy cores.
    with threadpool_limits(1 if len(rows) < FEWEST_FOR_THREADS else None):
        return np.asarray(method.fit_transform(rows.astype(np.float32)), np.float64)


def _rows(z: ArrayLike) -> Points:
    rows = np.asarray(z, np.float64)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise UsageError(f"latents have shape (N, D), not {rows.shape}")
    if not np.isfinite(rows).all():
        raise UsageError("cannot project latents that are NaN or infinite")
    return rows
