"""Project latents to 2-D by PCA or t-SNE, with the same result every time.

`auto` takes PCA, whose distances mean something, unless it keeps too few neighbourhoods.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.errors import UsageError
from vaekit.seeds import key

Points = NDArray[np.float64]

MOST_FOR_ALL_PAIRS = 2500
"""With more points t-SNE by Barnes-Hut is faster than t-SNE from all pairs."""

COMPARED_NEIGHBOURS = 10
FEWEST_FOR_AUTO, MOST_FOR_AUTO = 50, 5000
"""With fewer points neighbourhoods mean little; with more t-SNE takes a minute and longer."""
FAITHFUL = 0.9
"""From this trustworthiness on, PCA is good enough."""


def project_to_plane(z: ArrayLike, method: str, seed: int = 0) -> tuple[Points, tuple[str, str]]:
    """Points (N, 2) by one of the projections, and the labels of the axes.

    Two-dimensional latents need no projection: only `tsne` changes them.
    """
    rows = _rows(z)
    if method == "tsne":
        return tsne(rows, seed), ("t-SNE 1", "t-SNE 2")
    if rows.shape[1] == 2:
        return rows, ("z0", "z1")
    points, shares = pca(rows)
    if method == "auto" and FEWEST_FOR_AUTO <= len(rows) <= MOST_FOR_AUTO and shares.any():
        kept = trustworthiness(rows, points)
        if kept < FAITHFUL:
            return _by_tsne_if_better(rows, seed, points, shares, kept)
    return points, _components(shares)


def trustworthiness(z: Points, points: Points) -> float:
    """How far the ten nearest neighbours in the plane are near in the latent space too, up to 1.

    It is lower by the ranks of those that are not (Venna & Kaski, 2001, Neural Networks 14).

    >>> line = np.arange(40.0)[:, None]
    >>> trustworthiness(line, line)
    1.0
    """
    import torch

    from vaekit.output.exact_tsne import squared_distances

    count, k = len(z), COMPARED_NEIGHBOURS
    found, plane = (squared_distances(torch.from_numpy(own - own.mean(0))) for own in (z, points))
    places = plane.fill_diagonal_(torch.inf).topk(k, 1, largest=False).indices
    found.fill_diagonal_(torch.inf)
    nearer = [(found < limit[:, None]).sum(1) for limit in found.gather(1, places).unbind(1)]
    too_far = sum(int((ranks + 1 - k).clamp_min_(0).sum()) for ranks in nearer)
    return 1 - 2 * too_far / (count * k * (2 * count - 3 * k - 1))


def _by_tsne_if_better(
    rows: Points, seed: int, points: Points, shares: Points, kept: float
) -> tuple[Points, tuple[str, str]]:
    """The t-SNE, if it keeps more neighbourhoods than PCA's points do."""
    other = tsne(rows, seed)
    found = trustworthiness(rows, other)
    if found <= kept:
        return points, _components(shares)
    why = f"its trustworthiness is {found:.2f}, that of PCA {kept:.2f}"
    return other, (f"t-SNE 1 ({why})", "t-SNE 2")


def _components(shares: Points) -> tuple[str, str]:
    first, second = (f"{share:.0%} of variance" for share in shares)
    return f"first component ({first})", f"second component ({second})"


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
    start = points / points[:, 0].std() * 1e-4
    perplexity = min(30.0, (len(rows) - 1) / 3)
    if len(rows) > MOST_FOR_ALL_PAIRS:
        return _by_barnes_hut(rows, start, perplexity, seed)
    from vaekit.output.exact_tsne import exact_tsne

    return exact_tsne(rows, start, perplexity)


def _by_barnes_hut(rows: Points, start: Points, perplexity: float, seed: int) -> Points:
    from sklearn.manifold import TSNE

    method = TSNE(
        perplexity=perplexity,
        init=start.astype(np.float32),
        learning_rate="auto",
        random_state=key(seed, "tsne") % 2**32,
    )
    return np.asarray(method.fit_transform(rows.astype(np.float32)), np.float64)


def _rows(z: ArrayLike) -> Points:
    rows = np.asarray(z, np.float64)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise UsageError(f"latents have shape (N, D), not {rows.shape}")
    if not np.isfinite(rows).all():
        raise UsageError("cannot project latents that are NaN or infinite")
    return rows
