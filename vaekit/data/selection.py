"""Choose the images of one split of a source, with their names, labels and factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vaekit import registry
from vaekit.data import splits
from vaekit.data.imageset import Integers
from vaekit.data.source import SPLITS, Part, Request, SelectedNames, Source
from vaekit.errors import DataError, UsageError
from vaekit.wording import one_line


@dataclass(frozen=True)
class Selection:
    """The chosen images of a source, before they are decoded."""

    source: Source
    split: str
    chosen: splits.Chosen
    """Names of parts, each with the indices taken from it; none is empty."""

    @property
    def pieces(self) -> list[tuple[Part, Integers]]:
        """The parts with their indices."""
        return [(self.source.parts[name], rows) for name, rows in self.chosen]

    @cached_property
    def names(self) -> Sequence[str]:
        """The name of each image."""
        selected = [SelectedNames(part.names, rows) for part, rows in self.pieces]
        return selected[0] if len(selected) == 1 else [name for names in selected for name in names]

    @cached_property
    def labels(self) -> Integers | None:
        """The label of each image; None unless every part has labels."""
        return _gathered([(part.labels, rows) for part, rows in self.pieces])

    @cached_property
    def factors(self) -> Integers | None:
        """The factors of each image; None unless every part has them."""
        return _gathered([(part.factors, rows) for part, rows in self.pieces])


def check_split(split: str) -> None:
    """Refuse an unknown split, before anything is downloaded for it."""
    if split not in (*SPLITS, "all"):
        raise UsageError(f"--split {split}: {registry.near_miss(split, (*SPLITS, 'all'))}")


def select(source: Source, split: str, request: Request, keys: splits.Keys) -> Selection:
    """The images of a split, up to the request's limit; an empty split is an error."""
    sizes = {name: len(part.names) for name, part in source.parts.items()}
    chosen = splits.choose_split(sizes, keys, split, request.val_split)
    chosen = splits.limit(chosen, keys, request.limit, request.seed)
    chosen = [(name, rows) for name, rows in chosen if len(rows)]
    if not chosen:
        raise DataError(f"{one_line(source.name)}: {_why_empty(sizes, split, request.val_split)}")
    return Selection(source, split, chosen)


def _gathered(columns: Sequence[tuple[Integers | None, Integers]]) -> Integers | None:
    taken = [column[rows] for column, rows in columns if column is not None]
    return np.concatenate(taken) if len(taken) == len(columns) else None


def _why_empty(sizes: Mapping[str, int], split: str, val_split: float) -> str:
    if split == "val" and sizes.get("train"):
        if val_split:
            return "only copies of one image are left to train on: --val-split 0 keeps none back"
        return "has no validation images: --val-split must be over 0 to cut some from train"
    if sum(sizes.values()) == 1:
        return f"holds a single image, which goes to train: {split} is empty (--split all takes it)"
    if split not in sizes and [*sizes] == ["train"] and sizes["train"]:
        return f"holds only copies of one image, which go to train: {split} is empty"
    has = ", ".join(f"{name} ({count:,})" for name, count in sizes.items() if count)
    return f"has no {split} images (--split); it has {has or 'none at all'}"
