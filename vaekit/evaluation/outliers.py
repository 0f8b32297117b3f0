"""Outlier scores: how far an image's statistics are from those of known images.

−ELBO alone finds few outliers: it grows with detail, so a black image scores best of all (Nalisnick
et al. 2019, arXiv:1810.09136). Here several statistics of an image are compared at once with those
of known images, as in the density of states estimator (Morningstar et al. 2021, arXiv:2006.09273):

    outlier = √((s − m)ᵀ C⁻¹ (s − m)),   s the statistics of the image,

with mean m and covariance C over the known images. Too low counts as much as too high.

Its false-alarm rate is a conformal p-value (Vovk et al. 2005; Bates et al. 2023, arXiv:2104.08279):
of n known images and a new one like them, each is the k-th most outlying with probability
1 / (n + 1). Mean and covariance are fitted to the known images, which makes those look more usual
than they are, so each of them is compared with the mean and the covariance of the others.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vaekit import inference, registry
from vaekit.array_types import AnyArray, Float64s
from vaekit.errors import ModelFileError
from vaekit.evaluation.dataset_elbo import ACTIVE_VARIANCE, TERMS, image_terms
from vaekit.model_file.header import KnownImages, LatentStatistics
from vaekit.models.vae import VAE, evaluating
from vaekit.output.pictures import to_uint8

FEWEST_KNOWN = 20
"""Known images, under which outlier scores are left out."""
OUTLIER_COLUMNS = (
    "typicality", "latent_distance", "relative_error", "outlier", "false_alarm_rate",
)  # fmt: skip
SMALLEST_ERROR = 1e-5
"""Squared errors below this, a third of a grey level squared, are alike."""
SMALLEST_NATS = 1e-3
RIDGE = 1e-6
"""A share of each variance, added to it: statistics may depend on each other."""
RATES = (*(i / 10 for i in range(9, 0, -1)), *(i / 100 for i in range(9, 0, -1)),
         *(i / 1000 for i in range(9, 0, -1)))  # fmt: skip
"""The false-alarm rates whose thresholds a model file holds, where enough images are known."""


def image_statistics(
    network: VAE, x: Tensor, latents: LatentStatistics, *, start: int = 0, seed: int = 0
) -> dict[str, Tensor]:
    """The ELBO's terms and more numbers of each image, (N,) each, from images as the model sees.

    `mse` is that of the reconstruction from the posterior mean, `png_bytes` the length of the
    image as PNG, and `latent_distance` the Mahalanobis distance of the posterior mean from those of
    training images, √Σ ((μ − mean) / std)²; a hierarchy, whose latents depend on each other, has
    none. The network must be in evaluation mode.
    """
    objective = registry.resolve("objective", "elbo")
    terms = image_terms(network, objective, x, start=start, seed=seed)
    z = terms["mean"] if network.factorised else inference.encode(network, x).mean
    error = (inference.decode(network, z.cpu()) - x.cpu()).square().flatten(1).mean(1)
    found = {name: terms[name].cpu() for name in TERMS}
    if network.factorised:
        found["latent_distance"] = latent_distance(z.cpu(), latents)
    sizes = [png_bytes(image) for image in to_uint8(x)]
    return {**found, "mse": error, "png_bytes": torch.tensor(sizes, dtype=torch.float32)}


def latent_distance(z: Tensor, latents: LatentStatistics) -> Tensor:
    """The distance of each latent from those of training images, in standard deviations: (N,).

    Standard deviations below 0.1 count as 0.1: those dimensions are not active.

    >>> known = LatentStatistics(mean=[0.0, 1.0], std=[1.0, 2.0], kl=[1.0, 1.0])
    >>> latent_distance(torch.tensor([[3.0, 9.0]]), known)
    tensor([5.])
    """
    mean, std = torch.tensor(latents.mean), torch.tensor(latents.std)
    return ((z - mean) / std.clamp_min(math.sqrt(ACTIVE_VARIANCE))).square().sum(1).sqrt()


def png_bytes(image: AnyArray) -> int:
    """The length of an image, uint8 (H, W, C), as PNG: a measure of its complexity."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    picture.save(buffer, "png", compress_level=6)
    return len(buffer.getvalue())


@torch.no_grad()
def describe_known(
    network: VAE,
    batches: Iterable[tuple[Tensor, Tensor]],
    latents: LatentStatistics,
    *,
    part: str,
    seed: int = 0,
) -> KnownImages | None:
    """What a model file says of images that the model knows; None if they are too few.

    `batches` are (indices, images as the model sees them), `part` is where they come from.
    """
    rows: list[dict[str, Tensor]] = []
    with evaluating(network):
        for indices, x in batches:
            start = int(indices[0])
            rows.append(image_statistics(network, x, latents, start=start, seed=seed))
    together = {name: torch.cat([row[name] for row in rows]) for name in rows[0]} if rows else {}
    return summarise(together, part)


def summarise(found: dict[str, Tensor], part: str) -> KnownImages | None:
    """The mean and the spread of statistics (N,) by name, and thresholds of the outlier score."""
    n = len(next(iter(found.values()), ()))
    if n < FEWEST_KNOWN or not all(bool(values.isfinite().all()) for values in found.values()):
        return None
    loss = found["neg_elbo"].double().numpy()
    sizes, error = (found[name].double().numpy() for name in ("png_bytes", "reconstruction"))
    slope, offset = _line(sizes, error)
    return KnownImages(
        part=part,
        n=n,
        neg_elbo=[float(loss.mean()), _spread(loss)],
        error_of_size=[offset, slope, _spread(error - offset - slope * sizes)],
        **calibrated(compared_statistics(found)),
    )


def calibrated(compared: Float64s) -> dict[str, Any]:
    """The normal fitted to known images (N, S), and the scores that new images reach at each rate.

    These are the fields of `KnownImages` by name.
    """
    mean, precision = _normal(compared)
    squares = left_out(distances(compared, mean, precision) ** 2, len(compared))
    rates, scores = _thresholds(np.sqrt(squares))
    return {
        "mean": mean.tolist(),
        "precision": precision.tolist(),
        "rates": rates,
        "scores": scores,
    }


def compared_statistics(found: dict[str, Tensor]) -> Float64s:
    """The statistics whose joint distribution is compared, (N, S), on scales near to normal."""
    columns = [
        (found["mse"].double() + SMALLEST_ERROR).log(),
        found["reconstruction"].double(),
        (found["kl"].double() + SMALLEST_NATS).log(),
        found["png_bytes"].double().log(),
    ]
    if "latent_distance" in found:
        columns.append((found["latent_distance"].double() + SMALLEST_NATS).log())
    stacked: Float64s = torch.stack(columns, 1).numpy()
    return stacked


def outlier_scores(found: dict[str, Tensor], known: KnownImages) -> dict[str, Tensor]:
    """The outlier scores of images, (N,) each, from their `image_statistics`.

    `typicality` is the distance of −ELBO from its mean over known images, and `relative_error` how
    far the reconstruction term is above that of known images of the same PNG length, both in
    standard deviations. The latter is a likelihood ratio against a general image compressor
    (Serrà et al. 2020, arXiv:1909.11480), with the price of a byte fitted.
    """
    mean, spread = known.neg_elbo
    offset, slope, around = known.error_of_size
    compared = compared_statistics(found)
    if compared.shape[1] != len(known.mean):
        raise ModelFileError(
            f"bad header: known describes {len(known.mean)} statistics, this model has "
            f"{compared.shape[1]}"
        )
    expected = offset + slope * found["png_bytes"].double()
    score = distances(compared, np.array(known.mean), np.array(known.precision))
    own = {name: found[name] for name in ("latent_distance",) if name in found}
    return {
        "typicality": (found["neg_elbo"].double() - mean).abs() / spread,
        **own,
        "relative_error": (found["reconstruction"].double() - expected) / around,
        "outlier": torch.from_numpy(score),
        "false_alarm_rate": torch.from_numpy(false_alarm_rate(score, known)),
    }


def false_alarm_rate(score: Float64s, known: KnownImages) -> Float64s:
    """The lowest of the file's rates whose threshold the score reaches, 1 / (n + 1) or more.

    A score between two thresholds gets the higher rate, so that of new images like the known ones
    a share of at most a has a rate of at most a.
    """
    rates = np.array([1.0, *known.rates])
    reached = np.searchsorted(known.scores, score, side="right")
    return np.asarray(rates[reached], np.float64)


def _thresholds(scores: Float64s) -> tuple[list[float], list[float]]:
    """Rates, and the outlier score that a share of known images as large as each rate reaches.

    The k-th largest of n scores is reached by another image with probability k / (n + 1).
    """
    ordered, places = np.sort(scores)[::-1], len(scores) + 1
    ranks = sorted({max(1, math.floor(rate * places)) for rate in RATES} | {1}, reverse=True)
    return [rank / places for rank in ranks], [float(ordered[rank - 1]) for rank in ranks]


def left_out(squares: Float64s, n: int) -> Float64s:
    """Squared distances of n points from their mean, as if each had not been among them.

    An image's own share in mean and covariance makes its distance too small; without it,

        d²₋ᵢ = n² (n − 2) / (n − 1)³ · d²ᵢ / (1 − n d²ᵢ / (n − 1)²).
    """
    rest = np.clip(1 - n * squares / (n - 1) ** 2, 1e-9, None)
    adjusted: Float64s = n**2 * (n - 2) / (n - 1) ** 3 * squares / rest
    return adjusted


def _normal(values: Float64s) -> tuple[Float64s, Float64s]:
    """The mean and the inverse covariance of rows."""
    covariance = np.cov(values, rowvar=False)
    ridge = RIDGE * covariance.diagonal() + RIDGE**2
    precision = np.asarray(np.linalg.inv(covariance + np.diag(ridge)), np.float64)
    return np.asarray(values.mean(0), np.float64), precision


def distances(compared: Float64s, mean: Float64s, precision: Float64s) -> Float64s:
    """The Mahalanobis distance of each row from the mean."""
    away = compared - mean
    squares: Float64s = np.einsum("ni,ij,nj->n", away, precision, away)
    return np.asarray(np.sqrt(np.clip(squares, 0, None)), np.float64)


def _line(x: Float64s, y: Float64s) -> tuple[float, float]:
    """Slope and offset of the least squares line; flat where all x are equal."""
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread if spread > 0 else 0.0
    return slope, float(y.mean()) - slope * float(x.mean())


def _spread(values: Float64s) -> float:
    return max(float(values.std(ddof=1)), RIDGE)
