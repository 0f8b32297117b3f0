"""What `evaluate`, `score` and `compare` have in common: which images a model is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vaekit.cli.console import Terminal
from vaekit.cli.model_commands import own_dataset, val_split_of
from vaekit.cli.options import DataDir, Dataset, ImageOptions, Limit, Split, Strict, UseOptions
from vaekit.errors import UsageError

if TYPE_CHECKING:
    from vaekit.data import ImageSet
    from vaekit.evaluation.metrics import MetricRequest
    from vaekit.inference import Model

NllSamples = Annotated[
    int | None,
    typer.Option(
        "--nll-samples", metavar="K", help="log-likelihood, from K draws an image; 5000 in papers"
    ),
]


@dataclass(frozen=True)
class EvaluationOptions:
    """The images to judge by."""

    dataset: Dataset = None
    split: Split = "test"
    limit: Limit = None
    data_dir: DataDir = None
    strict: Strict = False


@dataclass(frozen=True)
class What:
    """The numbers to give."""

    metrics: Annotated[
        str | None,
        typer.Option("--metrics", metavar="NAME,...|all", help="fid, mig, ... beside the usual"),
    ] = None
    nll_samples: NllSamples = None
    features: Annotated[
        str,
        typer.Option(
            "--features", metavar="NAME", help="of fid and the like: inception, pixels or model"
        ),
    ] = "inception"
    inception_weights: Annotated[
        Path | None,
        typer.Option(
            "--inception-weights", metavar="FILE", help="a local file of the standard weights"
        ),
    ] = None


def wanted(what: What, use: UseOptions) -> MetricRequest:
    """What was asked for, with every name known."""
    from vaekit.evaluation.metrics import MetricRequest, parse

    if what.nll_samples is not None and what.nll_samples < 1:
        raise UsageError(f"--nll-samples {what.nll_samples}: at least 1")
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


def images_for(
    model: Model, by: EvaluationOptions | ImageOptions, use: UseOptions, terminal: Terminal
) -> ImageSet:
    """The images in the model's shape; without --dataset those it was trained on, if named."""
    return _load(model, by, by.dataset or own_dataset(model, by, terminal), by.limit, use, terminal)


def loaded(
    model: Model, by: EvaluationOptions, asked: MetricRequest, use: UseOptions, terminal: Terminal
) -> tuple[ImageSet, ImageSet | None]:
    """The images; and for scores of disentanglement as many as published ones take."""
    from vaekit.evaluation.factor_scores import POINTS
    from vaekit.evaluation.metrics import FACTOR_METRICS

    images = images_for(model, by, use, terminal)
    if by.limit is not None or images.factors is None or not asked.any_of(FACTOR_METRICS):
        return images, None
    return images, _load(model, by, by.dataset or images.name, POINTS, use, terminal)


def _load(
    model: Model,
    by: EvaluationOptions | ImageOptions,
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
        reporter=terminal,
    )
    is_own = dataset == model.header.training.get("dataset")
    return load_for_model(dataset, by.split, model.header.image, request, is_own=is_own)
