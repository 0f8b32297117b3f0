"""The Python functions behind `vaekit train`, `vaekit evaluate` and `vaekit compare`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vaekit.configuration.config_sources import resolve_config
from vaekit.data.source import Source
from vaekit.errors import UsageError
from vaekit.evaluation.comparison import comparison_record
from vaekit.evaluation.evaluation_record import evaluate_each
from vaekit.inference import Model
from vaekit.python.evaluation_images import image_set_for
from vaekit.python.run_result import Run
from vaekit.python.run_watchers import EpochFunction, choose_watcher
from vaekit.python.trained_model import TrainedModel, load_model, request_of
from vaekit.python.training_images import training_source
from vaekit.training.run import TrainingResult, resume_or_start, resume_training, run_training
from vaekit.training.watcher import Watcher

ModelOrPath = Model | str | os.PathLike[str]


def train(
    *,
    images: Any = None,
    recipe: str | None = None,
    config: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    force: bool = False,
    quiet: bool = False,
    watcher: Watcher | EpochFunction | None = None,
    **options: Any,
) -> Run:
    """Train a model; options are those of `vaekit train`, with underscores.

    `images` are what to train on, in any form: arrays, tensors, PIL images, paths, an ImageSet, a
    data set or a loader, or lists of these. Pairs of image and label give labels. They are held in
    memory as bytes. Without `images`, `dataset` names a data set or a path.

    Progress is shown in a notebook and in a terminal, unless `quiet`. `watcher` is a function that
    is called with the record of each epoch (a dictionary, as in metrics.jsonl), or an object of a
    class derived from `vaekit.Watcher`, which has a method for each step as well. An exception
    that it raises ends the training.

    Example:
        run = vaekit.train(dataset="photos/", image_size=64, latent_dim=32, output="runs/photos")
        run.model.sample(16)

    `VAEKIT_*` variables have no effect here, so that a program does what its text says.
    """
    plain = {name: _plain(value) for name, value in options.items()}
    if isinstance(images, str | os.PathLike):
        plain["dataset"], images = os.fspath(images), None
    elif images is not None and plain.get("dataset") is not None:
        raise UsageError("images and dataset exclude each other: both say what to train on")
    chosen = choose_watcher(watcher, quiet=quiet)
    if resume is not None and resume != "auto":
        source = _source(images, None)
        return _run(resume_training(Path(resume), plain, chosen, source=source))
    settled = resolve_config(plain, environ={}, config=config, recipe=recipe)
    source = _source(images, settled.image_size)
    if resume is not None:
        return _run(resume_or_start(settled, plain, chosen, force=force, source=source))
    return _run(run_training(settled, chosen, force=force, source=source))


def evaluate_model(model: ModelOrPath, images: Any = None, **options: Any) -> dict[str, Any]:
    """The numbers of `vaekit evaluate --json`, as a dictionary; keywords as `Model.evaluate`.

    Example:
        vaekit.evaluate("runs/digits-mlp", "digits", metrics="fid", features="pixels")
    """
    return _opened(model).evaluate(images, **options)


def compare_on_images(
    models: Sequence[ModelOrPath],
    images: Any = None,
    *,
    split: str = "test",
    limit: int | None = None,
    metrics: str | Iterable[str] | None = None,
    nll_samples: int | None = None,
    nll: str = "importance",
    nll_temperatures: int = 100,
    features: str = "inception",
    seed: int = 0,
) -> dict[str, Any]:
    """Evaluate several models on the same images, as `vaekit compare --json`.

    The result has the record of each model under `models`, the best of each metric under `best`,
    and paired differences with standard errors under `differences`.

    Example:
        vaekit.compare(["runs/digits-mlp", "runs/digits-mlp-2"])["best"]
    """
    if len(models) < 2:
        raise UsageError("compare takes two models or more: evaluate takes one")
    opened = [_opened(model) for model in models]
    data = image_set_for(opened[0], images, split=split, limit=limit, seed=seed)
    request = request_of(
        metrics,
        nll_samples=nll_samples,
        nll=nll,
        nll_temperatures=nll_temperatures,
        features=features,
        seed=seed,
    )
    found = [evaluate_each(each, data, request) for each in opened]
    names = [str(given) if not isinstance(given, Model) else str(given.path) for given in models]
    records = [{"model": name, **one} for name, (one, _) in zip(names, found, strict=True)]
    return comparison_record(records, [values for _, values in found])


def _opened(model: ModelOrPath) -> TrainedModel:
    if isinstance(model, TrainedModel):
        return model
    if isinstance(model, Model):
        return TrainedModel(model.network, model.header, model.path)
    return load_model(model)


def _source(images: Any, size: tuple[int, int] | None) -> Source | None:
    return None if images is None else training_source(images, size)


def _run(result: TrainingResult) -> Run:
    return Run(result.model, result.folder, result.config, result.best_epoch)


def _plain(value: Any) -> Any:
    """A path as text; other values as they are."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value
