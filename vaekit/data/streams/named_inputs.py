"""What a user names as images, each thing as a series of items to be decoded in its order.

    photo.jpg       itself
    photos/         every image in it at any depth, in natural order; train/ and test/ too
    photos.zip      likewise; the members of a compressed tar come in the order they lie in
    images.npy      its rows; also of an .npz

Class folders are labels, as in a data set. A file that is named by itself has the name of the
folder it lies in for a label, if its name says one: `photos/cat/1.jpg` is a `cat`. That depends on
nothing but the name, so that a long list can be embedded as it comes, and any part of a list has
the labels that it has within the whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vaekit.data.imageset import Integers, Pixels
from vaekit.data.source import ENDINGS, Listing, Loader, Request, Rows, Shape, Source, same_shape
from vaekit.data.sources import array_files, detect, folder, tar_files, zip_files
from vaekit.data.sources.folder_layout import gather_images
from vaekit.errors import DataError, UsageError
from vaekit.reporting import Reporter
from vaekit.wording import one_line

BLOCK_ROWS = 1024
"""Rows of an array that travel together."""

LabelValue = str | int | None
"""A class's name; a number where classes have no names; None where there is none."""


@dataclass(frozen=True, slots=True)
class Item:
    """One encoded image."""

    name: str
    load: Loader
    label: LabelValue = None


@dataclass(frozen=True, slots=True)
class PixelBlock:
    """Some images that are pixels already, in the model's shape."""

    names: Sequence[str]
    labels: Integers | None
    """Places among the classes of the input, or numbers where those have no names."""
    pixels: Pixels


@dataclass(frozen=True)
class Input:
    """One of the things that were named."""

    where: str
    """Its name in messages."""
    reading: Callable[[], AbstractContextManager[Iterable[Item | PixelBlock]]]
    """Opens it; items can be loaded while it is open, by several threads."""
    expected: int | None = None
    """How many images there are, bad ones too, where that is known."""
    classes: tuple[str, ...] | None = None
    """The names of labels, as far as they are known; None where labels have none."""
    certain: bool = False
    """Whether none of them can turn out to be bad."""


def open_input(given: str, shape: Shape, reporter: Reporter, *, alone: bool) -> Input:
    """What lies at a path that is no pipe; images in arrays are named after it unless `alone`."""
    where, path = one_line(given), Path(given)
    request = Request(reporter=reporter)
    match input_kind(given):
        case "folder":
            listing = folder.list_folder(path, reporter)
            return from_listing(listing, where, os.path.join(given, ""), reporter)  # noqa: PTH118
        case "zip":
            return from_listing(zip_files.list_zip(path), where, f"{given}/", reporter)
        case "tar":
            return from_listing(tar_files.list_tar(path, reporter), where, f"{given}/", reporter)
        case "npy":
            source = array_files.open_npy(path, request)
        case _:
            source = array_files.open_npz(path, request)
    return from_arrays(source, where, "" if alone else f"{given}/", shape)


def input_kind(given: str) -> detect.Kind:
    """What a name leads to: one that leads nowhere is refused; what cannot be read, or is of no
    known kind, counts as an image, which will turn out to be bad.
    """
    if not given:
        raise UsageError("an image's name is empty: is a variable in the command not set?")
    if not os.path.lexists(given):
        raise DataError(f"{one_line(given)}: no such file or folder")
    if given.lower().endswith(ENDINGS) and Path(given).is_file():
        return "image"
    try:
        found = detect.kind_of(Path(given))
    except DataError:
        return "image"
    return "image" if found in ("unknown", "nothing") else found


def image_files(names: Sequence[str]) -> Input:
    """Image files that are named one by one."""
    return Input(one_line(names[0]), lambda: nullcontext(map(image_file, names)), len(names), ())


def image_file(name: str) -> Item:
    """An image file under its name."""
    return Item(name, lambda: folder.read_file(Path(name)), folder_label(name))


def folder_label(name: str) -> str | None:
    """The name of the folder that a file lies in, as far as its own name tells.

    >>> folder_label("photos/cat/1.jpg"), folder_label("./1.jpg"), folder_label("1.jpg")
    ('cat', None, None)
    """
    above = os.path.basename(os.path.dirname(name))  # noqa: PTH119, PTH120  (Path drops a `.`)
    return None if above in ("", ".", "..") else above


def from_listing(listing: Listing, where: str, prefix: str, reporter: Reporter) -> Input:
    """The images of a folder or an archive, their names put after `prefix`."""
    found = gather_images(listing.names, where, reporter.note)

    @contextmanager
    def reading() -> Iterator[Iterator[Item]]:
        with listing.reading(found.names)(np.arange(len(found.names))) as loaders:
            yield (
                Item(prefix + found.names[place], load, found.labels[place])
                for place, load in loaders
            )

    return Input(where, reading, len(found.names), found.classes)


def from_arrays(source: Source, where: str, prefix: str, shape: Shape) -> Input:
    """The rows of an array, which must have the model's shape."""
    (rows,) = source.parts.values()
    assert isinstance(rows, Rows)
    same_shape(rows.shape, where, shape)

    def reading() -> AbstractContextManager[Iterator[PixelBlock]]:
        pixels = rows.blocks(np.arange(len(rows.names)))
        return nullcontext(blocks_of(pixels, prefix, rows.labels))

    return Input(where, reading, len(rows.names), source.classes, certain=True)


def blocks_of(
    pieces: Iterable[Pixels], prefix: str = "", labels: Integers | None = None
) -> Iterator[PixelBlock]:
    """Rows that come in pieces of any size, each named by its number after `prefix`."""
    start = 0
    for piece in pieces:
        for at in range(0, len(piece), BLOCK_ROWS):
            pixels = piece[at : at + BLOCK_ROWS]
            stop = start + len(pixels)
            names = [f"{prefix}{row}" for row in range(start, stop)]
            yield PixelBlock(names, None if labels is None else labels[start:stop], pixels)
            start = stop
