"""Load a data set: open its source, choose a split, decode it, report skipped images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from vaekit import registry
from vaekit.configuration.dataset_names import is_hub, is_pattern
from vaekit.data import store
from vaekit.data.cache_entry import StoredImages
from vaekit.data.datasets.catalogue import CATALOGUE
from vaekit.data.decoding.skipped import skipped_warning
from vaekit.data.imageset import ImageSet, Integers
from vaekit.data.part_keys import PartKeys
from vaekit.data.remembered_folders import remember_folder, remembered_folder
from vaekit.data.selection import Selection, check_split, select
from vaekit.data.source import (
    USUAL_SHARE,
    NumberedNames,
    Request,
    Rows,
    SelectedNames,
    Shape,
    Size,
    Source,
    same_shape,
)
from vaekit.errors import DataError, UsageError, VaekitError
from vaekit.reporting import SILENT, Reporter, ToldOnce
from vaekit.wording import one_line


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
    max_bad: float = USUAL_SHARE,
    refresh: bool = False,
    reporter: Reporter = SILENT,
) -> ImageSet:
    """Load one split of a named data set, a path, a pattern of paths, or `hf:owner/name`.

    `image_size` is 64, "64", "48x64" (height x width) or (48, 64); without it images keep the size
    they share, or become 64x64 where they share none. `grayscale` makes them grey; `channels`
    (1 or 3) makes them grey or RGB, as an existing model needs them. `limit` chooses that many
    images of the split, seeded by `seed`, before decoding; `all` counts as a split of its own.
    A bad image is skipped and named; with `strict` it is an error. So are more than ten whose
    share is above `max_bad`.

    >>> load_dataset("digits", split="test", limit=10)
    ImageSet('digits', 'test', 10 images (8, 8, 1))
    """
    check_split(split)
    request = Request(
        size=_target_size(image_size),
        channels=1 if grayscale else channels,
        limit=limit,
        seed=seed,
        val_split=val_split,
        data_dir=data_dir,
        strict=strict,
        max_bad=max_bad,
        refresh=refresh,
        reporter=reporter,
    )
    return open_dataset(dataset, request).take(split)


def load_for_model(
    dataset: str | os.PathLike[str],
    split: str,
    shape: Shape,
    request: Request,
    *,
    is_own: bool = False,
) -> ImageSet:
    """Load a split for a model whose images have this shape (H, W, C).

    Image files are converted to it, with a note. An array must have the shape already, and so must
    a named data set, unless it is the model's own, which training converted in the same way.
    """
    check_split(split)
    request = replace(request, size=shape[:2], channels=shape[2], report_conversions=True)
    opened = open_dataset(dataset, request)
    if not (is_own and dataset in registry.DATASETS):
        _refuse_other_shape(opened.source, os.fspath(dataset), shape)
    return opened.take(split)


def open_dataset(dataset: str | os.PathLike[str], request: Request) -> OpenDataset:
    """Find and list a data set, decoding nothing yet; its splits can then be taken from it."""
    request = replace(request, reporter=ToldOnce(request.reporter))
    where = one_line(os.fspath(dataset))
    with _system_errors_as_data_errors(where):
        source = open_source(dataset, request)
    request = replace(request, size=request.size or source.usual_size)
    return OpenDataset(where, source, request)


@dataclass(frozen=True)
class OpenDataset:
    """A data set that was listed once; each note about it is told once, whatever is taken."""

    where: str
    """Its name or path as the user gave it."""
    source: Source
    request: Request

    @cached_property
    def keys(self) -> PartKeys:
        """The content keys of its images, which are read when a part has to be cut."""
        return PartKeys(self.source, self.request)

    def take(self, split: str, like: ImageSet | None = None) -> ImageSet:
        """Decode one split, to the shape of the images `like` where they are given."""
        request = self.request
        if like is not None:
            height, width, channels = like.image_shape
            request = replace(request, size=(height, width), channels=channels)
        with _system_errors_as_data_errors(self.where):
            selection = select(self.source, split, request, self.keys)
            stored = store.fetch_images(selection, request)
        name = one_line(self.source.name)
        skipped = _check_skipped(f"{name} ({split}): ", stored.bad, selection.names, request)
        for note in (
            (*stored.changes, *stored.notes) if request.report_conversions else stored.notes
        ):
            request.reporter.note(f"{name}: {note}")
        return _image_set(split, stored, selection, skipped)


@contextmanager
def _system_errors_as_data_errors(where: str) -> Iterator[None]:
    """Make the system's refusal to read an error that names the data set."""
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise DataError(f"{where}: cannot be read ({why}) (--dataset)") from None


def _refuse_other_shape(source: Source, dataset: str, shape: Shape) -> None:
    where = one_line(dataset)
    for part in source.parts.values():
        if not isinstance(part, Rows):
            continue
        if dataset not in registry.DATASETS:
            same_shape(part.shape, where, shape)
        elif part.shape != shape:
            has, takes = ("x".join(map(str, sides)) for sides in (part.shape, shape))
            raise DataError(f"{where}: its images are {has}, the model's are {takes} (--dataset)")


def _target_size(value: str | int | tuple[int, int] | None) -> Size | None:
    # pydantic, which decoding processes do not need
    from vaekit.configuration.option_types import parse_size

    try:
        return None if value is None else parse_size(value)
    except ValueError as error:
        raise UsageError(f"--image-size {value}: {error}") from None


def _named_source(name: str, request: Request) -> Source:
    """A named data set: in the folder given, else where it was found before, else in its place."""
    given, has_files = request.data_dir, not CATALOGUE[name].is_embedded
    if given is None and has_files and (found := remembered_folder(name)) is not None:
        request.reporter.note(f"{name}: from {one_line(str(found))}, as last time (--data-dir)")
        request = replace(request, data_dir=found)
    opened: Source = registry.resolve("dataset", name)(request)
    if given is not None and has_files:
        remember_folder(name, given)
    return opened


def open_source(dataset: str | os.PathLike[str], request: Request) -> Source:
    """The source of a name, a path or a pattern; a known name is that data set, `./NAME` a path."""
    text = os.fspath(dataset)
    known = isinstance(dataset, str) and text in registry.DATASETS
    path = Path(text)
    if known:
        if path.is_dir():
            request.reporter.note(f"{text} is the data set; write ./{text} for the folder here")
        return _named_source(text, request)
    if is_hub(text):
        from vaekit.data.datasets.hugging_face import open_hugging_face

        return open_hugging_face(text, request)
    if is_pattern(text):
        from vaekit.data.sources.several_files import open_pattern

        return open_pattern(text, request)
    if os.path.lexists(path):
        from vaekit.data.sources.detect import open_source_at

        return open_source_at(path, request)
    raise _nothing_there(dataset, text)


def _nothing_there(dataset: str | os.PathLike[str], text: str) -> VaekitError:
    if isinstance(dataset, str) and not _looks_like_path(text):
        return UsageError(
            f"{registry.suggest('dataset', text)}; a path to a folder, .zip, .tar, .npy or .npz, a "
            "pattern in quotes such as 'shards/*.tar', and hf:owner/name are taken too"
        )
    return DataError(f"{one_line(text)}: no such file or folder (--dataset)")


def _looks_like_path(text: str) -> bool:
    separators = [sep for sep in (os.sep, os.altsep) if sep]
    return any(sep in text for sep in separators) or bool(Path(text).suffix)


def _check_skipped(
    where: str, bad: Mapping[int, str], names: Sequence[str], request: Request
) -> tuple[str, ...]:
    """Name the bad images that were skipped; too many of them are an error."""
    lines = tuple(f"{one_line(names[row])}: {reason}" for row, reason in sorted(bad.items()))
    if lines and request.strict:
        raise DataError(f"{where}{lines[0]} (--strict)")
    if warning := skipped_warning(lines, len(names), where, request.max_bad):
        request.reporter.warn(warning)
    return lines


def _image_set(
    split: str, stored: StoredImages, selection: Selection, skipped: tuple[str, ...]
) -> ImageSet:
    source, bad = selection.source, list(stored.bad)

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
    """Names of files as a tuple, since readers want them all; numbers are made on demand."""
    if isinstance(names, SelectedNames) and isinstance(names.names, NumberedNames) and not bad:
        return names
    return tuple(name for row, name in enumerate(names) if row not in bad)
