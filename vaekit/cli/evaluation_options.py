"""Options that `evaluate`, `score` and `compare` share: which images, which metrics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vaekit.cli.console import Terminal
from vaekit.cli.model_commands import dataset_of_model, require_positive, val_split_of
from vaekit.cli.options import (
    DataDir,
    Dataset,
    ImageOptions,
    Limit,
    Refresh,
    Split,
    Strict,
    UseOptions,
)

if TYPE_CHECKING:
    from vaekit.data import ImageSet
    from vaekit.evaluation.metrics import MetricRequest
    from vaekit.inference import Model

NllSamples = Annotated[
    int | None,
    typer.Option("--nll-samples", metavar="K", help="estimate log p(x) from K draws per image"),
]


@dataclass(frozen=True)
class DatasetOptions:
    """Which images to evaluate on."""

    dataset: Dataset = None
    split: Split = "test"
    limit: Limit = None
    data_dir: DataDir = None
    strict: Strict = False
    refresh: Refresh = False


@dataclass(frozen=True)
class MetricOptions:
    """Which metrics to compute."""

    metrics: Annotated[
        str | None,
        typer.Option("--metrics", metavar="NAMES", help="extra metrics: all, or fid,mig,..."),
    ] = None
    nll_samples: NllSamples = None
    features: Annotated[
        str,
        typer.Option(
            "--features", metavar="NAME", help="features for fid etc.: inception, pixels, model"
        ),
    ] = "inception"
    inception_weights: Annotated[
        Path | None,
        typer.Option(
            "--inception-weights", metavar="FILE", help="local file of the Inception weights"
        ),
    ] = None


def metric_request(what: MetricOptions, use: UseOptions) -> MetricRequest:
    """The request for the library; unknown metrics are refused."""
    from vaekit.evaluation.metrics import MetricRequest, parse

    if what.nll_samples is not None:
        require_positive("--nll-samples", what.nll_samples)
    metrics, everything = parse(what.metrics)
    return MetricRequest(
        metrics=metrics,
        everything=everything,
        nll_samples=what.nll_samples,
        features=what.features,
        inception_weights=what.inception_weights,
        seed=use.seed,
        batch_size=use.batch_size,
    )


def load_images(
    model: Model, by: DatasetOptions | ImageOptions, use: UseOptions, terminal: Terminal
) -> ImageSet:
    """The images in the model's shape; by default the named data set it was trained on."""
    dataset = by.dataset or dataset_of_model(model, by.split, terminal)
    return _load(model, by, dataset, by.limit, use, terminal)


def load_evaluation_images(
    model: Model, by: DatasetOptions, asked: MetricRequest, use: UseOptions, terminal: Terminal
) -> tuple[ImageSet, ImageSet | None]:
    """The images, and for disentanglement scores as many images as published scores use."""
    from vaekit.evaluation.factor_scores import POINTS
    from vaekit.evaluation.metrics import FACTOR_METRICS

    images = load_images(model, by, use, terminal)
    if by.limit is not None or images.factors is None or not asked.any_of(FACTOR_METRICS):
        return images, None
    return images, _load(model, by, by.dataset or images.name, POINTS, use, terminal)


def _load(
    model: Model,
    by: DatasetOptions | ImageOptions,
    dataset: str,
    limit: int | None,
    use: UseOptions,
    terminal: Terminal,
) -> ImageSet:
    from vaekit.data.load import load_for_model
    from vaekit.data.source import Request

    request = Request(
        limit=limit,
        seed=use.seed,
        val_split=val_split_of(model),
        data_dir=by.data_dir,
        strict=by.strict,
        refresh=by.refresh,
        reporter=terminal,
    )
    is_own = dataset == model.header.training.get("dataset")
    return load_for_model(dataset, by.split, model.header.image, request, is_own=is_own)
