"""Load a data set: open the source, choose the split, decode, and say what was left out."""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vaekit import registry
from vaekit.data import splits, store
from vaekit.data.decoding.decode_all import TargetSize
from vaekit.data.decoding.skipped import warn_or_refuse
from vaekit.data.imageset import ImageSet, Integers
from vaekit.data.once import Once
from vaekit.data.source import SPLITS, NumberedNames, Request, SelectedNames, Size, Source
from vaekit.errors import DataError, UsageError
from vaekit.reporting import SILENT, Reporter
from vaekit.wording import one_line

LARGEST_SIDE = 8192


def load_dataset(
    dataset: str | os.PathLike[str],
    split: str = "test",
    *,
    image_size: str | int | tuple[int, int] | None = None,
    grayscale: bool = False,
    channels: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    val_split: float = 0.1,
    data_dir: str | os.PathLike[str] | None = None,
    strict: bool = False,
    reporter: Reporter = SILENT,
) -> ImageSet:
    """Load one split of a named data set, a folder, an archive or an array of images.

    `image_size` is 64, "64", "48x64" (height x width) or (48, 64); without it images keep the size
    they share, or become 64x64 where they share none. `grayscale` makes them grey; `channels`
    (1 or 3) makes them grey or RGB, as a model that exists already needs them. `limit` is a choice
    of that many images from the split, seeded by `seed` and made before decoding; `all` counts as
    a split of its own. A bad image is left out and named; with `strict` it is an error.

    >>> load_dataset("digits", split="test", limit=10)
    ImageSet('digits', 'test', 10 images (8, 8, 1))
    """
    check_options(split, channels, limit, val_split)
    size = parse_size(image_size)
    folder, reporter = Path(data_dir) if data_dir else None, Once(reporter)
    with errors_naming_dataset(dataset):
        source = open_source(dataset, Request(size, limit, val_split, folder, reporter))
        taking = Taking(split, 1 if grayscale else channels, limit, seed, val_split, size)
        return take(source, taking, reporter, strict=strict)


@dataclass(frozen=True)
class Taking:
    """Which images are taken from a source, and what they are brought to."""

    split: str
    channels: int | None
    limit: int | None
    seed: int
    val_split: float
    size: Size | None
    shape_is_asked: bool = True
    """Whether the user chose the shape, and so need not be told that images were brought to it."""


def take(source: Source, taking: Taking, reporter: Reporter, *, strict: bool) -> ImageSet:
    """The images of a source that was opened; what is to be said of them is said."""
    selection = _select(source, taking)
    wanted = TargetSize(taking.size, taking.channels, source.usual_size)
    stored = store.fetch_images(_order(source, selection, wanted), reporter, strict=strict)
    where = f"{one_line(source.name)} ({taking.split}): "
    skipped = _skipped(where, stored.bad, selection.names, strict=strict, reporter=reporter)
    for note in stored.notes if taking.shape_is_asked else (*stored.changes, *stored.notes):
        reporter.note(f"{one_line(source.name)}: {note}")
    return _image_set(source, taking.split, stored, selection, skipped)


@contextmanager
def errors_naming_dataset(dataset: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the system's refusal to read into an error that names the data set."""
    try:
        yield
    except OSError as error:
        what, why = one_line(os.fspath(dataset)), error.strerror or error
        raise DataError(f"{what}: cannot be read ({why}) (--dataset)") from None


def _order(source: Source, selection: _Selection, wanted: TargetSize) -> store.Order:
    parts = tuple((name, source.parts[name], rows) for name, rows in selection.chosen)
    return store.Order(source.identity, parts, wanted, selection.labels)


def parse_size(value: str | int | tuple[int, int] | None) -> Size | None:
    """Height and width out of what a user writes.

    >>> parse_size("64"), parse_size("48x64"), parse_size((48, 64)), parse_size(None)
    ((64, 64), (48, 64), (48, 64), None)
    """
    if value is None:
        return None
    if isinstance(value, str):
        found = re.fullmatch(r"([0-9]{1,6})(?:x([0-9]{1,6}))?", value.strip().lower())
        sides = [int(side) for side in found.groups() if side] if found else []
    else:
        sides = list(value) if isinstance(value, tuple) else [value]
    try:
        height, width = (operator.index(side) for side in (sides[0], sides[-1]))
    except (TypeError, IndexError):
        height = width = 0
    if len(sides) > 2 or not (0 < height <= LARGEST_SIDE and 0 < width <= LARGEST_SIDE):
        raise UsageError(
            f"--image-size {value}: write a number of pixels, such as 64, or HEIGHTxWIDTH, "
            f"such as 48x64, from 1 to {LARGEST_SIDE}"
        )
    return height, width


def open_source(dataset: str | os.PathLike[str], request: Request) -> Source:
    """The source behind a name or a path; a known name is that data set, `./NAME` the path."""
    text = os.fspath(dataset)
    known = isinstance(dataset, str) and text in registry.DATASETS
    path = Path(text)
    if known:
        if path.is_dir():
            request.reporter.note(f"{text} is the data set; write ./{text} for the folder here")
        opened: Source = registry.resolve("dataset", text)(request)
        return opened
    if os.path.lexists(path):
        from vaekit.data.sources.detect import open_source_at

        return open_source_at(path, request)
    if isinstance(dataset, str) and not _looks_like_path(text):
        raise UsageError(
            f"{registry.suggest('dataset', text)}; "
            "a path to a folder, .zip, .tar, .npy or .npz is taken too"
        )
    raise DataError(f"{one_line(text)}: no such file or folder (--dataset)")


def _looks_like_path(text: str) -> bool:
    separators = [sep for sep in (os.sep, os.altsep) if sep]
    return any(sep in text for sep in separators) or bool(Path(text).suffix)


def check_options(split: str, channels: int | None, limit: int | None, val_split: float) -> None:
    """Refuse values that make no sense, with the name of their flag."""
    if split not in (*SPLITS, "all"):
        raise UsageError(f"--split {split}: {registry.near_miss(split, (*SPLITS, 'all'))}")
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: must be at least 1")
    if not 0 <= val_split < 1:
        raise UsageError(f"--val-split {val_split}: must be at least 0 and less than 1")
    if channels not in (None, 1, 3):
        raise UsageError(f"channels={channels}: must be 1 (grey) or 3 (RGB)")


@dataclass(frozen=True)
class _Selection:
    """The chosen images, before decoding."""

    chosen: splits.Chosen
    names: Sequence[str]
    labels: Integers | None
    factors: Integers | None


def _select(source: Source, taking: Taking) -> _Selection:
    split = taking.split
    sizes = {name: len(part.names) for name, part in source.parts.items()}
    chosen = splits.choose_split(sizes, split, taking.val_split)
    chosen = splits.limit(chosen, taking.limit, taking.seed, split)
    chosen = [(name, rows) for name, rows in chosen if len(rows)]
    if not chosen:
        raise DataError(f"{one_line(source.name)}: {_why_empty(sizes, split)}")
    names = _names(chosen, source)
    labels = _gathered(chosen, {name: part.labels for name, part in source.parts.items()})
    factors = _gathered(chosen, {name: part.factors for name, part in source.parts.items()})
    return _Selection(chosen, names, labels, factors)


def _names(chosen: splits.Chosen, source: Source) -> Sequence[str]:
    picked = [SelectedNames(source.parts[name].names, rows) for name, rows in chosen]
    return picked[0] if len(picked) == 1 else [name for names in picked for name in names]


def _gathered(chosen: splits.Chosen, columns: Mapping[str, Integers | None]) -> Integers | None:
    """The chosen rows of a column; None unless every part has it."""
    taken = [(columns[name], rows) for name, rows in chosen]
    if any(column is None for column, _ in taken):
        return None
    return np.concatenate([column[rows] for column, rows in taken if column is not None])


def _why_empty(sizes: Mapping[str, int], split: str) -> str:
    if split == "val" and sizes.get("train"):
        return "has no validation images: --val-split must be over 0 to cut some from train"
    if sum(sizes.values()) == 1:
        return f"holds a single image, which goes to train: {split} is empty (--split all takes it)"
    has = ", ".join(f"{name} ({count:,})" for name, count in sizes.items() if count)
    return f"has no {split} images (--split); it has {has or 'none at all'}"


def _skipped(
    where: str,
    bad: Mapping[int, str],
    names: Sequence[str],
    *,
    strict: bool,
    reporter: Reporter,
) -> tuple[str, ...]:
    """Name the bad images that were left out, or refuse where they are too many."""
    lines = tuple(f"{one_line(names[row])}: {reason}" for row, reason in sorted(bad.items()))
    if lines and strict:
        raise DataError(f"{where}{lines[0]} (--strict)")
    if warning := warn_or_refuse(lines, len(names), where):
        reporter.warn(warning)
    return lines


def _image_set(
    source: Source,
    split: str,
    stored: store.StoredImages,
    selection: _Selection,
    skipped: tuple[str, ...],
) -> ImageSet:
    bad = list(stored.bad)

    def good(column: Integers | None) -> Integers | None:
        return column if column is None or not bad else np.delete(column, bad, axis=0)

    return ImageSet(
        name=source.name,
        split=split,
        images=stored.images,
        labels=good(selection.labels),
        factors=good(selection.factors),
        classes=source.classes,
        factor_names=source.factor_names,
        names=_good_names(selection.names, stored.bad),
        skipped=skipped,
        known_fingerprint=stored.fingerprint,
    )


def _good_names(names: Sequence[str], bad: Mapping[int, str]) -> Sequence[str]:
    """Names of files are held, since a reader wants them all; numbers are made when asked for."""
    if isinstance(names, SelectedNames) and isinstance(names.names, NumberedNames) and not bad:
        return names
    return tuple(name for row, name in enumerate(names) if row not in bad)
