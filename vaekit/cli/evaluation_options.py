"""Options that `evaluate`, `score` and `compare` share: which images, which metrics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vaekit.cli.model_commands import (
    dataset_of_model,
    note_part,
    request_for,
    require_positive,
)
from vaekit.cli.options import DatasetOptions, UseOptions
from vaekit.cli.terminal.console import Terminal

if TYPE_CHECKING:
    from vaekit.data import ImageSet
    from vaekit.evaluation.metrics import MetricRequest, NllSettings
    from vaekit.inference import Model

NllSamples = Annotated[
    int | None,
    typer.Option("--nll-samples", metavar="K", help="estimate log p(x) from K draws per image"),
]


NllMethod = Annotated[
    str,
    typer.Option(
        "--nll",
        metavar="METHOD",
        help="where the draws come from: importance (the encoder), refined (a posterior fitted "
        "to each image) or ais (annealed importance sampling: slowest, with evidence of its error)",
    ),
]

NllTemperatures = Annotated[
    int,
    typer.Option(
        "--nll-temperatures", metavar="N", help="steps of each chain of --nll ais: more are closer"
    ),
]


@dataclass(frozen=True)
class NllOptions:
    """How log p(x) is estimated, if it is."""

    nll_samples: NllSamples = None
    nll: NllMethod = "importance"
    nll_temperatures: NllTemperatures = 100

    @property
    def settings(self) -> NllSettings | None:
        """The settings for the library; None where no draws are asked for."""
        from vaekit.evaluation.metrics import NllSettings

        if self.nll_samples is None:
            return None
        return NllSettings(self.nll_samples, self.nll, self.nll_temperatures)


@dataclass(frozen=True)
class MetricOptions:
    """Which metrics to compute."""

    metrics: Annotated[
        str | None,
        typer.Option("--metrics", metavar="NAMES", help="extra metrics: all, or fid,mig,..."),
    ] = None
    nll_samples: NllSamples = None
    nll: NllMethod = "importance"
    nll_temperatures: NllTemperatures = 100
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds", metavar="N", help="draw samples N times: mean and sd of fid, kid, ..."
        ),
    ] = 1
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


def refuse_too_few(what: NllOptions | MetricOptions) -> None:
    """Refuse no draws at all, and no temperatures."""
    if what.nll_samples is not None:
        require_positive("--nll-samples", what.nll_samples)
    require_positive("--nll-temperatures", what.nll_temperatures)


def metric_request(what: MetricOptions, by: DatasetOptions, use: UseOptions) -> MetricRequest:
    """The request for the library; unknown metrics are refused."""
    from vaekit.evaluation.metrics import MetricRequest, parse

    refuse_too_few(what)
    require_positive("--seeds", what.seeds)
    metrics, everything = parse(what.metrics)
    return MetricRequest(
        metrics=metrics,
        everything=everything,
        nll_samples=what.nll_samples,
        nll=what.nll,
        nll_temperatures=what.nll_temperatures,
        seeds=what.seeds,
        features=what.features,
        inception_weights=what.inception_weights,
        seed=use.seed,
        batch_size=use.batch_size,
        allow_trained=by.allow_trained,
    )


def load_images(model: Model, by: DatasetOptions, use: UseOptions, terminal: Terminal) -> ImageSet:
    """The images in the model's shape; by default the named data set it was trained on."""
    dataset = by.dataset or dataset_of_model(model, by)
    images = _load(model, replace(by, dataset=dataset), use, terminal)
    if not by.dataset:
        note_part(by, len(images), dataset, terminal)
    return images


def load_evaluation_images(
    model: Model, by: DatasetOptions, asked: MetricRequest, use: UseOptions, terminal: Terminal
) -> tuple[ImageSet, ImageSet | None]:
    """The images, and for disentanglement scores as many images as published scores use."""
    from vaekit.evaluation.factor_scores import POINTS
    from vaekit.evaluation.metrics import FACTOR_METRICS

    images = load_images(model, by, use, terminal)
    if by.limit is not None or images.factors is None or not asked.any_of(FACTOR_METRICS):
        return images, None
    many = replace(by, dataset=by.dataset or images.name, limit=POINTS)
    return images, _load(model, many, use, terminal)


def _load(model: Model, by: DatasetOptions, use: UseOptions, terminal: Terminal) -> ImageSet:
    from vaekit.data.load import load_for_model

    assert by.dataset is not None
    is_own = by.dataset == model.header.training.get("dataset")
    request = request_for(model, by, use, terminal)
    return load_for_model(by.dataset, by.split, model.header.image, request, is_own=is_own)
