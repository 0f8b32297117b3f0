"""Detects the kind of source at a path: by its extension, otherwise by its first bytes."""

from __future__ import annotations

import stat
from pathlib import Path

from vaekit.data.source import ENDINGS, Request, Source
from vaekit.data.sources.first_bytes import HEAD_BYTES, Kind, recognise
from vaekit.errors import DataError
from vaekit.wording import one_line, unreadable

TAR_ENDINGS = (*(".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz"),)
_IS = {
    "pipe": "is neither a file nor a folder",
    "nothing": "is a link that leads nowhere",
    "image": "is one image",
    "unknown": "is not a kind of file that holds a data set",
}

TAKEN = "a folder of images, a .zip or .tar of them, a .npy, or a .npz with x"


def open_source_at(path: Path, request: Request) -> Source:
    """The source at a path that exists."""
    kind = kind_of(path)
    if kind == "folder":
        from vaekit.data.sources.folder import open_folder

        return open_folder(path, request)
    if kind in ("zip", "tar"):
        from vaekit.data.sources import tar_files, zip_files

        return (zip_files.open_zip if kind == "zip" else tar_files.open_tar)(path, request)
    if kind in ("npy", "npz"):
        from vaekit.data.sources import array_files

        return (array_files.open_npy if kind == "npy" else array_files.open_npz)(path, request)
    raise not_a_data_set(path, kind)


def not_a_data_set(path: Path, kind: Kind) -> DataError:
    """The error for what cannot be a data set, which says what can."""
    return DataError(f"{one_line(str(path))}: {_IS[kind]}; a data set is {TAKEN} (--dataset)")


def kind_of(path: Path) -> Kind:
    """What a path leads to; a file without a known extension is recognised by its first bytes."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return "nothing"
    if stat.S_ISDIR(mode):
        return "folder"
    if not stat.S_ISREG(mode):
        return "pipe"
    return _by_ending(path.name.lower()) or _by_content(path)


def _by_ending(name: str) -> Kind | None:
    if name.endswith(TAR_ENDINGS):
        return "tar"
    known: dict[str, Kind] = {".zip": "zip", ".npy": "npy", ".npz": "npz"}
    return known.get(name[-4:])


def _by_content(path: Path) -> Kind:
    try:
        with path.open("rb") as file:
            kind = recognise(file.read(HEAD_BYTES))
    except OSError as error:
        raise DataError(f"{one_line(str(path))}: {unreadable(error)}") from None
    if kind == "unknown" and path.name.lower().endswith(ENDINGS):
        return "image"
    return "tar" if kind in ("gz", "bz2", "xz") else kind
