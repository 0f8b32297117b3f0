"""Opens what a user names as images: files, folders, archives and arrays, in order.

    photo.jpg       itself
    photos/         every image in it at any depth, in natural order; train/ and test/ too
    photos.zip      likewise; the members of a compressed tar come in the order of the archive
    images.npy      its rows; also of an .npz

Class folders are labels, as in a data set. The label of a file that is named by itself is the
folder in its path, if there is one: `photos/cat/1.jpg` is a `cat`. That depends on the path alone,
so a long list can be embedded as it arrives, and a file has the same label in every list.
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
from vaekit.data.sources.first_bytes import Kind
from vaekit.data.sources.folder_layout import gather_images
from vaekit.errors import DataError, UsageError
from vaekit.reporting import Reporter
from vaekit.wording import one_line

BLOCK_ROWS = 1024
"""Rows of an array in one block."""

LabelValue = str | int | None
"""A class name, or a number where classes have no names; None without a label."""


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """One encoded image."""

    name: str
    load: Loader
    label: LabelValue = None


@dataclass(frozen=True, slots=True)
class PixelBlock:
    """Images that are pixels already, in the model's shape."""

    names: Sequence[str]
    labels: Integers | None
    """Indices into the classes of the input, or numbers where those have no names."""
    pixels: Pixels


@dataclass(frozen=True)
class OpenedInput:
    """One thing that the user named, opened."""

    where: str
    """Its name in messages."""
    reading: Callable[[], AbstractContextManager[Iterable[EncodedImage | PixelBlock]]]
    """Yields its images; they can be loaded by several threads while the context is open."""
    expected: int | None = None
    """The number of images, bad ones included, where it is known."""
    classes: tuple[str, ...] | None = None
    """The names of labels known so far; None where labels have no names."""
    certain: bool = False
    """Whether no image can be bad."""


def open_input(given: str, shape: Shape, reporter: Reporter, *, alone: bool) -> OpenedInput:
    """Open a path that is not a pipe; array rows are named after it unless it is `alone`."""
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


def input_kind(given: str) -> Kind:
    """What is at a path; one that does not exist is refused.

    A file that cannot be read, or of no known kind, counts as an image: a bad one, it turns out.
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


def image_files(names: Sequence[str]) -> OpenedInput:
    """Image files that were named one by one."""
    return OpenedInput(
        one_line(names[0]), lambda: nullcontext(map(image_file, names)), len(names), ()
    )


def image_file(name: str) -> EncodedImage:
    """One image file."""
    return EncodedImage(name, lambda: folder.read_file(Path(name)), folder_label(name))


def folder_label(name: str) -> str | None:
    """The name of the folder that a file is in, according to its path.

    >>> folder_label("photos/cat/1.jpg"), folder_label("./1.jpg"), folder_label("1.jpg")
    ('cat', None, None)
    """
    above = os.path.basename(os.path.dirname(name))  # noqa: PTH119, PTH120  (Path drops a `.`)
    return None if above in ("", ".", "..") else above


def from_listing(listing: Listing, where: str, prefix: str, reporter: Reporter) -> OpenedInput:
    """The images of a folder or an archive, their names after `prefix`."""
    found = gather_images(listing.names, where, reporter.note)

    @contextmanager
    def reading() -> Iterator[Iterator[EncodedImage]]:
        with listing.reading(found.names)(np.arange(len(found.names))) as loaders:
            yield (
                EncodedImage(prefix + found.names[place], load, found.labels[place])
                for place, load in loaders
            )

    return OpenedInput(where, reading, len(found.names), found.classes)


def from_arrays(source: Source, where: str, prefix: str, shape: Shape) -> OpenedInput:
    """The rows of an array, which must have the model's shape."""
    (rows,) = source.parts.values()
    assert isinstance(rows, Rows)
    same_shape(rows.shape, where, shape)

    def reading() -> AbstractContextManager[Iterator[PixelBlock]]:
        pixels = rows.blocks(np.arange(len(rows.names)))
        return nullcontext(pixel_blocks(pixels, prefix, rows.labels))

    return OpenedInput(where, reading, len(rows.names), source.classes, certain=True)


def pixel_blocks(
    pieces: Iterable[Pixels], prefix: str = "", labels: Integers | None = None
) -> Iterator[PixelBlock]:
    """Rows from pieces of any size, each row named by its number after `prefix`."""
    start = 0
    for piece in pieces:
        for first in range(0, len(piece), BLOCK_ROWS):
            pixels = piece[first : first + BLOCK_ROWS]
            stop = start + len(pixels)
            names = [f"{prefix}{row}" for row in range(start, stop)]
            yield PixelBlock(names, None if labels is None else labels[start:stop], pixels)
            start = stop
