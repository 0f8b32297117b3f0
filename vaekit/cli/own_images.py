"""Finds the images at a path that a model was trained on, if they are still the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vaekit.configuration.dataset_names import is_hub, is_pattern
from vaekit.errors import UsageError, VaekitError
from vaekit.wording import one_line

if TYPE_CHECKING:
    from vaekit.configuration.config import RunConfig
    from vaekit.inference import Model


def path_of_training_images(model: Model, what_to_give: str) -> str:
    """The path in the run's config beside the model, whose training part must be unchanged.

    `what_to_give` ends the error where there is none: what the command takes instead.
    """
    config = _config_beside(model)
    if config is None or not _may_be_there(config.dataset):
        raise UsageError(f"no images: {what_to_give}")
    if not _is_unchanged(model, config):
        where = one_line(config.dataset)
        raise UsageError(
            f"{where} no longer holds the images that the model was trained on: {what_to_give}"
        )
    return config.dataset


def _may_be_there(dataset: str) -> bool:
    return is_hub(dataset) or is_pattern(dataset) or Path(dataset).exists()


def _config_beside(model: Model) -> RunConfig | None:
    """The config of the run that wrote the model; None where it is gone or another's."""
    from vaekit.configuration.config_sources import resolve_config

    if model.path is None:
        return None
    for folder in (model.path.parent, model.path.with_suffix("")):
        path = folder / "config.yaml"
        if path.is_file():
            try:
                config = resolve_config({}, environ={}, config=path)
            except VaekitError:
                continue
            if config.shared() == model.header.training.get("config"):
                return config
    return None


def _is_unchanged(model: Model, config: RunConfig) -> bool:
    """Whether the path still gives the images that the model was trained on, and no others."""
    import numpy as np

    from vaekit.model_file.trained_images import pack_trained_images
    from vaekit.reporting import SILENT
    from vaekit.training.run import load_training_data

    trained = model.trained_images
    if trained is None:
        return False
    try:
        found = load_training_data(config, SILENT)
    except VaekitError:
        return False
    return np.array_equal(pack_trained_images(found.originals), trained.packed())
