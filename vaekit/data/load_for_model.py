"""One split of a data set, in the shape that a model takes."""

from __future__ import annotations

import os
from pathlib import Path

from vaekit import registry
from vaekit.data import load
from vaekit.data.imageset import ImageSet
from vaekit.data.once import Once
from vaekit.data.source import Request, Rows, Shape, Source, same_shape
from vaekit.errors import DataError
from vaekit.reporting import SILENT, Reporter
from vaekit.wording import one_line


def load_fitted(
    dataset: str | os.PathLike[str],
    split: str = "test",
    *,
    shape: Shape,
    brought: bool = False,
    limit: int | None = None,
    seed: int = 0,
    val_split: float = 0.1,
    data_dir: str | os.PathLike[str] | None = None,
    strict: bool = False,
    reporter: Reporter = SILENT,
) -> ImageSet:
    """Load a split for a model whose images are of this shape (H, W, C).

    Image files are converted, and it is said. An array must have the shape, and so must a named
    data set, unless it is to be `brought` to it, as training did with the model's own.
    """
    load.check_options(split, shape[2], limit, val_split)
    reporter, folder = Once(reporter), Path(data_dir) if data_dir else None
    with load.errors_naming_dataset(dataset):
        source = load.open_source(dataset, Request(shape[:2], limit, val_split, folder, reporter))
        _refuse_other(source, os.fspath(dataset), shape, brought=brought)
        taking = load.Taking(
            split, shape[2], limit, seed, val_split, shape[:2], shape_is_asked=False
        )
        return load.take(source, taking, reporter, strict=strict)


def _refuse_other(source: Source, dataset: str, shape: Shape, *, brought: bool) -> None:
    named = dataset in registry.DATASETS
    for part in source.parts.values():
        if not isinstance(part, Rows) or (named and brought):
            continue
        own = (part.shape[0], part.shape[1], part.shape[2])
        if not named:
            same_shape(own, one_line(dataset), shape)
        elif own != shape:
            has, takes = ("x".join(map(str, sides)) for sides in (own, shape))
            raise DataError(
                f"{one_line(dataset)}: its images are {has}, the model's are {takes} (--dataset)"
            )
