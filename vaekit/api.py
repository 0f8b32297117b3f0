"""`vaekit.train`: the Python function behind `vaekit train`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from vaekit.config import resolve_config
from vaekit.training.run import resume_training, run_training
from vaekit.training.watcher import Watcher


def train(
    *,
    recipe: str | None = None,
    config: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    force: bool = False,
    watcher: Watcher | None = None,
    **options: Any,
) -> Path:
    """Train a model and return the path of its file; options are those of `vaekit train`.

    Example:
        vaekit.train(dataset="photos/", image_size=64, latent_dim=32, output="runs/photos")

    `VAEKIT_*` variables have no effect here, so that a program does what its text says.
    """
    plain = {name: _plain(value) for name, value in options.items()}
    if resume is not None:
        return resume_training(Path(resume), plain, watcher).model
    settled = resolve_config(plain, environ={}, config=config, recipe=recipe)
    return run_training(settled, watcher, force=force).model


def _plain(value: Any) -> Any:
    """A path as text; other values as they are."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value
