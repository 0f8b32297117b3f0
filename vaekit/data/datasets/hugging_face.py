"""Hugging Face data sets, from the hub or a local folder, read by the package `datasets`.

hf:owner/name            the newest version on the hub; downloaded once, then found on the disk
hf:owner/name:config     one of its configurations
hf:./folder              a folder from `save_to_disk`, or one that `load_dataset` can read
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.configuration.dataset_names import HUB, hub_folder, short_name
from vaekit.data.imageset import Integers
from vaekit.data.source import (
    MAX_BYTES,
    SPLITS,
    Files,
    InMemory,
    Loader,
    NumberedNames,
    Request,
    Source,
    file_identity,
)
from vaekit.data.sources.folder import read_file
from vaekit.errors import DataError, ImageError, UsageError
from vaekit.reporting import Reporter
from vaekit.wording import one_line

ROWS_AT_ONCE = 16
"""Rows that are read at a time."""

_SPLITS = {
    **{name: name for name in SPLITS},
    **dict.fromkeys(("validation", "valid", "dev"), "val"),
}
_IMAGES, _LABELS = ("image", "img"), ("label", "labels")
"""Column names that are preferred where there are several columns of the kind."""
_SAVED = ("dataset_dict.json", "state.json")
"""Files that `save_to_disk` writes."""


def open_hugging_face(text: str, request: Request) -> Source:
    """The splits of a data set, with the labels of its column of classes."""
    library = _library(text)
    found = _loaded(library, text, request)
    splits = _splits(found, text, request.reporter)
    first = next(iter(splits.values()))
    image = _image_column(library, first, text, request.reporter)
    label = _label_column(library, first)
    parts = {split: _part(library, rows, image, label) for split, rows in splits.items()}
    classes = None if label is None else getattr(first.features[label], "names", None)
    identity = _identity(splits.values(), image, label)
    return Source(short_name(text), parts, identity, tuple(classes) if classes else None)


def _library(text: str) -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError:
        raise UsageError(
            f"--dataset {text}: needs the package datasets: pip install 'vaekit[hf]'"
        ) from None


def _loaded(library: Any, text: str, request: Request) -> Any:
    """The data set as the library gives it, or an error in one line."""
    cache = None if request.data_dir is None else str(Path(request.data_dir) / "huggingface")
    folder = hub_folder(text)
    if folder is not None and not folder.is_dir():
        raise DataError(f"{one_line(text)}: no such folder (--dataset)")
    try:
        with _without_bars(library):
            if folder is None:
                request.reporter.note(f"{text}: asks the Hugging Face hub")
                name, _, config = text.removeprefix(HUB).partition(":")
                return library.load_dataset(name, config or None, cache_dir=cache)
            if any((folder / name).exists() for name in _SAVED):
                return library.load_from_disk(str(folder))
            return library.load_dataset(str(folder), cache_dir=cache)
    except (OSError, ValueError, library.exceptions.DatasetsError) as error:
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{one_line(text)}: cannot be loaded ({why}) (--dataset)") from None


@contextmanager
def _without_bars(library: Any) -> Iterator[None]:
    """Without the library's own progress bars, which would also fill a log."""
    hidden = library.are_progress_bars_disabled()
    library.disable_progress_bars()
    try:
        yield
    finally:
        if not hidden:
            library.enable_progress_bars()


def _splits(found: Any, text: str, reporter: Reporter) -> dict[str, Any]:
    """The splits by the names that they have here."""
    if not isinstance(found, Mapping):
        return {"train": found}
    known: dict[str, Any] = {}
    for name, rows in found.items():
        known.setdefault(_SPLITS.get(name, ""), rows)
    known.pop("", None)
    if not known and len(found) == 1:
        return {"train": next(iter(found.values()))}
    others = [name for name in found if name not in _SPLITS]
    if not known:
        raise DataError(f"{text}: has no split train; it has {', '.join(map(one_line, others))}")
    if others:
        reporter.note(f"{text}: splits left alone: {', '.join(map(one_line, others))}")
    return {split: known[split] for split in SPLITS if split in known}


def _image_column(library: Any, rows: Any, text: str, reporter: Reporter) -> str:
    columns = [name for name, kind in rows.features.items() if isinstance(kind, library.Image)]
    if not columns:
        has = ", ".join(map(one_line, rows.features))
        raise DataError(f"{text}: has no column of images; its columns are {has}")
    column = _preferred(columns, _IMAGES)
    if len(columns) > 1:
        others = ", ".join(one_line(name) for name in columns if name != column)
        reporter.note(f"{text}: takes the column {one_line(column)}; other images: {others}")
    return column


def _label_column(library: Any, rows: Any) -> str | None:
    """The column of classes; else one of whole numbers whose name says that it is labels."""
    columns = [n for n, kind in rows.features.items() if isinstance(kind, library.ClassLabel)]
    if columns:
        return _preferred(columns, _LABELS)
    return next((name for name in _LABELS if _is_whole(rows.features.get(name))), None)


def _is_whole(kind: Any) -> bool:
    return str(getattr(kind, "dtype", "")).startswith(("int", "uint"))


def _preferred(columns: list[str], names: tuple[str, ...]) -> str:
    return next((name for name in names if name in columns), columns[0])


def _part(library: Any, rows: Any, image: str, label: str | None) -> Files:
    """One split: encoded images, named by their numbers."""
    undecoded = rows.select_columns([image]).cast_column(image, library.Image(decode=False))
    labels = None if label is None else _labels(rows.select_columns([label])[:][label])
    return Files(NumberedNames(len(rows)), _Encoded(undecoded, image).reading, labels)


def _labels(values: list[int | None]) -> Integers | None:
    """Labels; None where some are missing, which this library also writes as -1."""
    if any(value is None or value < 0 for value in values):
        return None
    return np.array(values, np.int64)


@dataclass(frozen=True)
class _Encoded:
    """A column of encoded images, read a few rows at a time."""

    rows: Any
    column: str

    @contextmanager
    def reading(self, indices: Integers) -> Iterator[Iterable[tuple[int, Loader]]]:
        yield self._loaders(indices)

    def _loaders(self, indices: Integers) -> Iterator[tuple[int, Loader]]:
        for start in range(0, len(indices), ROWS_AT_ONCE):
            values = self.rows[indices[start : start + ROWS_AT_ONCE].tolist()][self.column]
            yield from ((start + place, _loader(value)) for place, value in enumerate(values))


def _loader(value: Mapping[str, Any] | None) -> Loader:
    """Loads one value of an image column, which holds an image's bytes or its path."""
    data, path = (value or {}).get("bytes"), (value or {}).get("path")
    if data is not None:
        return InMemory(data) if len(data) <= MAX_BYTES else partial(_refuse, "is too large")
    return partial(read_file, Path(path)) if path else partial(_refuse, "is missing")


def _refuse(why: str) -> bytes:
    raise ImageError(why)


def _identity(splits: Iterable[Any], *columns: str | None) -> str | None:
    """The state of the files that the library keeps on the disk; None where it keeps none."""
    files = [file["filename"] for rows in splits for file in rows.cache_files]
    if not files:
        return None
    states = (file_identity(Path(name)) for name in files)
    return "\0".join(("hugging face", *map(str, columns), *states))
