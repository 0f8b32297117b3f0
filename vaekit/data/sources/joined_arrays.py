"""Several arrays of images as one, file after file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from vaekit.data.imageset import Integers, Pixels
from vaekit.data.source import NumberedNames, Rows, Source, in_parts
from vaekit.errors import DataError
from vaekit.wording import one_line

_T = TypeVar("_T")


def joined_arrays(name: str, where: str, sources: Sequence[Source]) -> Source:
    """One source of several; all must have images of one shape, and the same classes."""
    names = [source.name for source in sources]
    parts = [part for source in sources for part in source.parts.values() if isinstance(part, Rows)]
    counts = [len(part.names) for part in parts]

    def blocks(indices: Integers) -> Iterator[Pixels]:
        for part, rows, _ in in_parts(parts, counts, indices):
            yield from part.blocks(rows)

    rows = Rows(
        NumberedNames(sum(counts)),
        _common("images of shape", [part.shape for part in parts], names, where),
        blocks,
        _column([part.labels for part in parts]),
        _column([part.factors for part in parts]),
        quick=all(part.quick for part in parts),
    )
    classes = _common("classes", [source.classes for source in sources], names, where)
    factors = _common("factor_names", [source.factor_names for source in sources], names, where)
    identity = "\0".join(("arrays", *(str(source.identity) for source in sources)))
    return Source(name, {"train": rows}, identity, classes, factors)


def _common(what: str, values: Sequence[_T], names: Sequence[str], where: str) -> _T:
    """The value that all files have."""
    for value, name in zip(values, names, strict=True):
        if value != values[0]:
            raise DataError(
                f"{where}: {one_line(name)} has {what} {value}, {one_line(names[0])} has "
                f"{values[0]}: arrays of one data set have the same (--dataset)"
            )
    return values[0]


def _column(columns: Sequence[Integers | None]) -> Integers | None:
    """The labels or factors of all images; None unless every file has them."""
    found = [column for column in columns if column is not None]
    if len(found) < len(columns) or len({column.shape[1:] for column in found}) > 1:
        return None
    return np.concatenate(found)
