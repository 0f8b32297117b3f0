"""All numbers about a model on some images, as one plain record.

A metric that this model or these images cannot give is missing, and `absent` gives the reason.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from torch import Tensor

from vaekit import __version__
from vaekit.data import ImageSet
from vaekit.evaluation.aggregate_posterior.density_ratio import STEPS, total_correlation_bound
from vaekit.evaluation.aggregate_posterior.latent_health import (
    AggregatePosterior,
    Health,
    aggregate,
    diagnosis,
)
from vaekit.evaluation.aggregate_posterior.mutual_information import mutual_information
from vaekit.evaluation.calibration import calibration, calibration_record
from vaekit.evaluation.encode_pass import EncodePass, encode_once
from vaekit.evaluation.evaluated_model import EvaluatedModel, pixel_variance
from vaekit.evaluation.factor_scores import factor_scores
from vaekit.evaluation.likelihood_record import likelihood_record
from vaekit.evaluation.metrics import (
    CALIBRATION_METRICS,
    IMAGES,
    LATENTS,
    NONLINEAR,
    SAMPLE_METRICS,
    MetricRequest,
    in_group,
)
from vaekit.evaluation.preconditions import not_normalised, refuse_unfit_evaluation, why_no_bits
from vaekit.evaluation.samples.image_features import Extractor, FeaturesMissing, extractor
from vaekit.evaluation.samples.sample_scores import sample_scores
from vaekit.inference import Model
from vaekit.machine.ranks import ALONE, Ranks
from vaekit.model_file.header import sha256
from vaekit.model_file.trained_images import trained_note
from vaekit.reporting import SILENT, Reporter

EvaluationRecord = dict[str, Any]
PerImage = dict[str, Tensor]

BROKEN: EvaluationRecord = {
    **dict.fromkeys((*in_group(LATENTS, optional=False), *in_group(IMAGES, optional=False))),
    "verdict": "broken",
    "diagnosis": "broken: the KL is not a number; train the model again, with a lower --lr",
}
"""The record of a model whose weights are NaN, loaded with `--allow-nonfinite`."""


def evaluate(
    model: Model,
    images: ImageSet,
    request: MetricRequest | None = None,
    *,
    points: ImageSet | None = None,
    reporter: Reporter = SILENT,
) -> EvaluationRecord:
    """The requested metrics of a model on these images, in values JSON can hold.

    `points` are images with factors for the disentanglement scores, by default `images`: published
    scores use 15,000.

    Example:
        record = evaluate(vaekit.load("m.safetensors"), vaekit.load_dataset("digits"))
        record["neg_elbo"], record["neg_elbo_stderr"]
    """
    return evaluate_each(model, images, request, points=points, reporter=reporter)[0]


def evaluate_each(
    model: Model,
    images: ImageSet,
    request: MetricRequest | None = None,
    *,
    points: ImageSet | None = None,
    reporter: Reporter = SILENT,
    ranks: Ranks = ALONE,
) -> tuple[EvaluationRecord, PerImage]:
    """`evaluate`, and beside it the values of each image where a metric is a mean over images."""
    request = request or MetricRequest()
    subject = EvaluatedModel(model, images, request.seed, request.batch_size, reporter, ranks)
    absent = refuse_unfit_evaluation(model, images, request, points)
    extract = _extractor(subject, request, absent)
    record = _data_facts(subject, request)
    seen = encode_once(subject)
    record |= _bound(subject, seen, absent)
    record |= likelihood_record(subject, request, seen.per_image)
    record |= _latents_and_images(subject, request, seen, absent)
    record |= _calibration(subject, request, seen, absent)
    record |= sample_scores(subject, request, extract, absent)
    record |= factor_scores(subject, points or images, request, absent)
    record |= _circumstances(subject, request, absent)
    return {name: without_nonfinite(value) for name, value in record.items()}, seen.per_image


def _extractor(
    subject: EvaluatedModel, request: MetricRequest, absent: dict[str, str]
) -> Extractor | None:
    """The feature extractor, before any long work; if it is missing, other metrics still come."""
    if not (request.metrics & set(SAMPLE_METRICS)) - absent.keys():
        return None
    try:
        return extractor(request.features, subject.model.network, request.inception_weights)
    except FeaturesMissing as missing:
        names = [name for name in SAMPLE_METRICS if name in request.metrics]
        subject.reporter.warn(f"{', '.join(names)} left out: {missing} (or --features pixels)")
        absent |= dict.fromkeys(names, str(missing))
        return None


def _data_facts(subject: EvaluatedModel, request: MetricRequest) -> EvaluationRecord:
    return {
        "dataset": subject.images.name,
        "split": subject.images.split,
        "n": len(subject.images),
        "skipped": len(subject.images.skipped),
        "trained_on": _trained_on(subject, request),
        "beta": subject.model.header.objective.get("beta"),
        "likelihood": subject.model.header.likelihood.name,
        "binarization": subject.binarization,
    }


def _trained_on(subject: EvaluatedModel, request: MetricRequest) -> int | None:
    """How many of the images were trained on; a warning, unless training images are meant."""
    trained, images = subject.model.trained_images, subject.images
    if trained is None:
        return None
    count = trained.count(images.images)
    if count and images.split != "train" and not request.allow_trained:
        subject.warn(f"{trained_note(count, len(images))}: new images may score worse")
    return count


def _bound(subject: EvaluatedModel, seen: EncodePass, absent: dict[str, str]) -> EvaluationRecord:
    """The ELBO and its parts, and bits per dimension where they are defined."""
    network, report = subject.model.network, seen.bound
    record: EvaluationRecord = {}
    for name in ("neg_elbo", "reconstruction", "kl"):
        record[name] = getattr(report, name)
        record[f"{name}_stderr"] = report.stderr[name]
    record["kl_per_dim"] = report.kl_per_dim
    if network.likelihood.discrete:
        scale = 1 / (math.prod(network.image) * math.log(2))
        record["bits_per_dim"] = report.neg_elbo * scale
        record["bits_per_dim_stderr"] = report.stderr["neg_elbo"] * scale
        seen.per_image["bits_per_dim"] = seen.per_image["neg_elbo"] * scale
    else:
        absent["bits_per_dim"] = why_no_bits(network.likelihood)
    return record


OF_ONE_NORMAL = ("mutual_information", "total_correlation", NONLINEAR)
"""Metrics that need each posterior to be one normal."""


def _latents_and_images(
    subject: EvaluatedModel, request: MetricRequest, seen: EncodePass, absent: dict[str, str]
) -> EvaluationRecord:
    """Latent statistics, reconstruction quality, and the diagnosis from both."""
    bound = seen.bound
    if not math.isfinite(bound.kl):
        return BROKEN
    factorised = subject.model.network.factorised
    latents = aggregate(seen.posterior) if factorised else None
    active_units = latents.active_units if latents else bound.active_units
    variance = pixel_variance(subject.images)
    explained = 1 - seen.quality["mse"] / variance if variance > 0 else math.nan
    distance = _distance_from_prior(subject, seen, latents)
    reason = "in a hierarchy, the normals of a latent depend on the latents above it"
    absent |= {} if factorised else dict.fromkeys(OF_ONE_NORMAL, reason)
    verdict, sentence = diagnosis(
        Health(
            kl=bound.kl,
            active_units=active_units,
            latent_dim=subject.model.latent_dim,
            explained=explained if math.isfinite(explained) else 1.0,
            floor=distance["aggregate_kl_floor"],
            ceiling=distance["aggregate_kl"],
            n=bound.n,
        )
    )
    return {
        "rate": bound.kl,
        "distortion": bound.reconstruction,
        "active_units": active_units,
        **distance,
        **_dependence(subject, request, seen, latents, absent),
        **seen.quality,
        "explained_variance": explained,
        "verdict": verdict,
        "diagnosis": sentence,
    }


def _dependence(
    subject: EvaluatedModel,
    request: MetricRequest,
    seen: EncodePass,
    latents: AggregatePosterior | None,
    absent: dict[str, str],
) -> EvaluationRecord:
    """How far the latents are from independent, where that is requested."""
    found: EvaluationRecord = {}
    wanted = request.metrics - absent.keys()
    if latents is not None and "total_correlation" in wanted:
        found["total_correlation"] = latents.total_correlation
    if latents is not None and NONLINEAR in wanted:
        with subject.reporter.task("total correlation", STEPS, "steps") as task:
            ratio = total_correlation_bound(seen.posterior, seed=subject.seed, advance=task.advance)
        found[NONLINEAR], found[f"{NONLINEAR}_stderr"] = ratio.bound, ratio.stderr
        found[f"{NONLINEAR}_ceiling"] = ratio.ceiling
        found[f"{NONLINEAR}_held_out"] = ratio.held_out
    return found


def _distance_from_prior(
    subject: EvaluatedModel, seen: EncodePass, latents: AggregatePosterior | None
) -> EvaluationRecord:
    """I(x; z), and KL(q(z) ‖ p(z)) from above and below.

    Of a hierarchy only what follows from 0 ≤ I(x; z) ≤ log n is known.
    """
    if latents is None:
        kl = seen.bound.kl
        return {"aggregate_kl": kl, "aggregate_kl_floor": max(0.0, kl - math.log(seen.bound.n))}
    information = mutual_information(seen.posterior, seed=subject.seed)
    shared = max(0.0, information.lower)  # noise can take it below zero
    ceiling = max(0.0, seen.bound.kl - shared)  # noise can take it below zero as well
    floor = max(0.0, latents.normal_kl, seen.bound.kl - information.upper)
    return {
        "mutual_information": shared,
        "mutual_information_stderr": information.stderr,
        "aggregate_kl": ceiling,
        "aggregate_kl_stderr": information.stderr,
        "aggregate_kl_floor": min(floor, ceiling),
    }


def _calibration(
    subject: EvaluatedModel, request: MetricRequest, seen: EncodePass, absent: dict[str, str]
) -> EvaluationRecord:
    """Whether pixels are spread as the decoder says, where that is requested."""
    if not (request.metrics & set(CALIBRATION_METRICS)) - absent.keys():
        return {}
    if not math.isfinite(seen.bound.kl):
        return dict.fromkeys(CALIBRATION_METRICS)
    found = calibration(subject)
    seen.per_image.update(calibration_bias=found.bias, calibration_spread=found.spread)
    return calibration_record(found)


def _circumstances(
    subject: EvaluatedModel, request: MetricRequest, absent: dict[str, str]
) -> EvaluationRecord:
    path: Path | None = subject.model.path
    likelihood = subject.model.network.likelihood
    return {
        **({} if request.any_of(SAMPLE_METRICS) else {"features": None}),
        "notes": [*([] if likelihood.normalised else [not_normalised(likelihood)]), *subject.notes],
        "absent": absent,
        "seed": subject.seed,
        "model_sha256": sha256(path) if path is not None else None,
        "vaekit_version": __version__,
    }


def without_nonfinite(value: Any) -> Any:
    """The same, with None for NaN and infinity, which JSON cannot hold.

    >>> without_nonfinite({"a": [1.0, math.nan], "b": math.inf})
    {'a': [1.0, None], 'b': None}
    """
    if isinstance(value, dict):
        return {name: without_nonfinite(part) for name, part in value.items()}
    if isinstance(value, list):
        return [without_nonfinite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
