"""The disentanglement scores of a model: selects the images, runs each score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from vaekit import seeds
from vaekit.data import ImageSet
from vaekit.evaluation import disentanglement as scores
from vaekit.evaluation.dataset_elbo import ACTIVE_VARIANCE
from vaekit.evaluation.disentanglement import TEST_POINTS, TRAIN_POINTS, Codes, Factors
from vaekit.evaluation.evaluated_model import EvaluatedModel
from vaekit.evaluation.metrics import DCI_METRICS, FACTOR_METRICS, FEWEST_POINTS, MetricRequest
from vaekit.reporting import Reporter

POINTS = TRAIN_POINTS + TEST_POINTS
"""Images that published scores use."""

NO_ACTIVE_LATENT = (
    "no latent dimension is active, so the disentanglement scores are those of noise; see the "
    "diagnosis for what to try in training"
)


def why_no_factors(images: ImageSet, latent_dim: int) -> str | None:
    """Why these images give no disentanglement score, or None if they do."""
    if images.factors is None:
        return f"{images.name} has no factors: glyphs, shapes and dsprites have, an .npz may"
    if len(images) < FEWEST_POINTS:
        return f"{len(images)} images, and at least {FEWEST_POINTS} are needed"
    if len(_varying(images.factors)) < 2:
        return f"{images.name} has fewer than two factors that vary"
    if latent_dim < 2:
        return "the model has one latent, and two are needed"
    return None


def factor_scores(
    subject: EvaluatedModel, points: ImageSet, request: MetricRequest, absent: dict[str, str]
) -> dict[str, Any]:
    """The requested scores of the posterior means, by name, and their settings."""
    names = [name for name in FACTOR_METRICS if name in request.metrics and name not in absent]
    if not names:
        return {}
    other = EvaluatedModel(
        subject.model, points, subject.seed, subject.batch_size, subject.reporter
    )
    z, v, used = _shuffled(other)
    if not (z.var(axis=0) > ACTIVE_VARIANCE).any():
        subject.warn(NO_ACTIVE_LATENT)
    train = min(TRAIN_POINTS, len(z) * 2 // 3)
    test = min(TEST_POINTS, len(z) - train)
    parts = (z[:train], v[:train], z[train : train + test], v[train : train + test])
    found: dict[str, Any] = {}
    if "mig" in names:
        found["mig"] = scores.mig(z[:TRAIN_POINTS], v[:TRAIN_POINTS])
    if "sap" in names:
        found["sap"] = _with_bar(
            subject.reporter, "sap", v, lambda a: scores.sap(*parts, advance=a)
        )
    if {*names} & {*DCI_METRICS}:
        whole = _with_bar(subject.reporter, "dci", v, lambda a: scores.dci(*parts, advance=a))
        found |= {
            name: getattr(whole, name.removeprefix("dci_")) for name in DCI_METRICS if name in names
        }
    if "factorvae" in names:
        found["factorvae"] = scores.factor_vae_score(z, v, seed=subject.seed)
    if "betavae" in names:
        found["betavae"] = scores.beta_vae_score(z, v, seed=subject.seed)
    settings = {"codes": "posterior means", "points": len(z), "train": train, "test": test,
                "bins": scores.BINS, "batch": scores.BATCH, "votes": [TRAIN_POINTS, TEST_POINTS],
                "pruned_std": scores.PRUNED_STD, "factors": used}  # fmt: skip
    return {**found, "factor_settings": settings}


def _shuffled(subject: EvaluatedModel) -> tuple[Codes, Factors, list[str]]:
    """Codes and factors in a seeded order, 15,000 at most, without factors that never vary."""
    assert subject.images.factors is not None
    count = len(subject.images)
    if count < POINTS:
        subject.reporter.note(
            f"disentanglement from {count:,} images; published scores take {POINTS:,}"
        )
    varying = _varying(subject.images.factors)
    names = subject.images.factor_names or [str(i) for i in range(subject.images.factors.shape[1])]
    constant = [name for i, name in enumerate(names) if i not in varying]
    if constant:
        subject.reporter.note(f"factors that never vary are left out: {', '.join(constant)}")
    order = seeds.numpy_generator(subject.seed, "factors").permutation(count)[:POINTS]
    z = subject.codes()[order].astype(np.float64)
    return z, subject.images.factors[order][:, varying], [names[i] for i in varying]


def _varying(factors: Factors) -> list[int]:
    return [i for i, column in enumerate(factors.T) if (column != column[0]).any()]


def _with_bar(reporter: Reporter, label: str, factors: Factors, work: Callable[..., Any]) -> Any:
    """Do the work with a bar that counts factors."""
    with reporter.task(label, factors.shape[1], "factors") as task:
        return work(task.advance)
