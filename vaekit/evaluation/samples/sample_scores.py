"""The sample metrics of a model: over sampling seeds, and of real images against real images."""

from __future__ import annotations

import math

import numpy as np

from vaekit import seeds
from vaekit.array_types import Float32s
from vaekit.errors import DataError, VaekitError
from vaekit.evaluation.evaluated_model import EvaluatedModel
from vaekit.evaluation.metrics import SAMPLE_METRICS, MetricRequest
from vaekit.evaluation.samples.image_features import Extractor
from vaekit.evaluation.samples.sample_quality import (
    NEIGHBOURS_DENSITY,
    NEIGHBOURS_PRECISION,
    SUBSETS,
    fid,
    fid_infinity,
    kid,
    kid_subset_size,
    manifolds,
)

OF_NEIGHBOURS = ("precision", "recall", "density", "coverage")


def sample_scores(
    subject: EvaluatedModel,
    request: MetricRequest,
    extract: Extractor | None,
    absent: dict[str, str],
) -> dict[str, object]:
    """How drawn images compare with real ones, between the requested features.

    With several seeds, each metric is the mean over them, and `fid_sd` and its siblings are the
    standard deviations. `real_against_real` compares two halves of the real images.
    """
    names = [name for name in SAMPLE_METRICS if name in request.metrics and name not in absent]
    if extract is None or not names:
        return {}
    real = subject.real_features(extract)
    tried = []
    for seed in range(subject.seed, subject.seed + request.seeds):
        drawn = subject.drawn_features(extract, seed)
        if not math.isfinite(float(real.sum()) + float(drawn.sum())):
            raise VaekitError(f"--features {request.features}: the features are not all finite")
        tried.append(_compared(names, real, drawn, seed, subject))
    settings = {
        "seeds": request.seeds,
        "drawn": len(real),
        "width": real.shape[1],
        "kid_subsets": SUBSETS,
        "kid_subset_size": kid_subset_size(len(real), len(real)),
        "neighbours_precision_recall": NEIGHBOURS_PRECISION,
        "neighbours_density_coverage": NEIGHBOURS_DENSITY,
    }
    return {
        "features": request.features,
        **_over_seeds(names, tried),
        "real_against_real": _floor(names, real, subject),
        "sample_settings": settings,
    }


def _over_seeds(names: list[str], tried: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each metric, and with several seeds its standard deviation."""
    found: dict[str, float] = {}
    for name in names:
        values = [one[name] for one in tried]
        found[name] = values[0] if len(values) == 1 else float(np.mean(values))
        if len(values) > 1:
            found[f"{name}_sd"] = float(np.std(values, ddof=1))
    return found


def _compared(
    names: list[str], real: Float32s, drawn: Float32s, seed: int, subject: EvaluatedModel
) -> dict[str, float]:
    """Each metric between two sets of features."""
    found: dict[str, float] = {}
    if "fid" in names:
        found["fid"] = fid(real, drawn)
    if "fid_infinity" in names:
        found["fid_infinity"] = fid_infinity(real, drawn, seed=seed)
    if "kid" in names:
        with subject.reporter.task("kid", SUBSETS, "subsets") as task:
            found["kid"] = kid(real, drawn, seed=seed, advance=task.advance)
    if {*names} & {*OF_NEIGHBOURS}:
        shares = manifolds(real, drawn)
        found |= {name: getattr(shares, name) for name in OF_NEIGHBOURS if name in names}
    return found


def _floor(names: list[str], real: Float32s, subject: EvaluatedModel) -> dict[str, float | int]:
    """The metrics between two halves of the real images; only `n` where they are too few."""
    order = seeds.numpy_generator(subject.seed, "halves").permutation(len(real))
    half = len(real) // 2
    one, other = real[order[:half]], real[order[half : 2 * half]]
    found: dict[str, float | int] = {"n": half}
    for group in (["fid"], ["fid_infinity"], ["kid"], list(OF_NEIGHBOURS)):
        wanted = [name for name in group if name in names]
        try:
            found |= _compared(wanted, one, other, subject.seed, subject)
        except DataError:
            continue
    return found
