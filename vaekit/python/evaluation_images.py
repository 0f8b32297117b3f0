"""The images that a Python caller measures a model on: a set, a name, a path, or pixels."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from vaekit import registry
from vaekit.data import ImageSet
from vaekit.data.load import load_for_model
from vaekit.data.source import Request
from vaekit.errors import UsageError
from vaekit.image_arguments import as_floats, image_blocks
from vaekit.inference import Model
from vaekit.output.pictures import to_uint8


def image_set_for(
    model: Model,
    images: Any = None,
    *,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    data_dir: str | os.PathLike[str] | None = None,
) -> ImageSet:
    """The images in the model's shape; by default the named data set that it was trained on.

    A name or a path is a data set, of which `split` is taken; anything else is taken whole.
    """
    if isinstance(images, ImageSet):
        return images
    if images is not None and not isinstance(images, str | os.PathLike):
        return _of_pixels(model, images)
    dataset = images if images is not None else dataset_of(model)
    request = Request(limit=limit, seed=seed, val_split=model.header.val_split, data_dir=data_dir)
    is_own = dataset == model.header.training.get("dataset")
    return load_for_model(dataset, split, model.header.image, request, is_own=is_own)


def dataset_of(model: Model) -> str:
    """The named data set that the model was trained on."""
    name = str(model.header.training.get("dataset"))
    if name not in registry.names("dataset"):
        raise UsageError(
            f"no images: this model was trained on {name}, which is not a named data set; pass "
            "images, or the name or path of a data set"
        )
    return name


def _of_pixels(model: Model, images: Any) -> ImageSet:
    """Images as bytes; floats are rounded to 256 levels, as pictures are."""
    blocks = image_blocks(images, model.header.image, model.images_at_once())
    return ImageSet("images", "all", np.concatenate([to_uint8(as_floats(b)) for b in blocks]))
