"""A folder of images: listed once, read file by file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from vaekit.data.random_access import RandomAccess, Read
from vaekit.data.source import MAX_BYTES, Listing, Request, Source, file_state
from vaekit.data.sources.folder_layout import is_hidden, is_image
from vaekit.data.sources.label_files import is_label_file
from vaekit.data.sources.listed_files import Container, listed_source
from vaekit.errors import DataError, ImageError
from vaekit.reporting import Reporter
from vaekit.wording import one_line


def open_folder(path: Path, request: Request) -> Source:
    """Images at any depth; links are followed, except back into a folder that contains them."""
    listing, identity = listed_folder(path, request.reporter)
    name = path.resolve().name if path.name in ("", "..") else path.name
    where, note = one_line(str(path)), request.reporter.note
    return listed_source(name, where, [Container(listing)], note, identity)


def list_folder(path: Path, reporter: Reporter) -> Listing:
    """The files of a folder, at any depth."""
    return listed_folder(path, reporter)[0]


def listed_folder(path: Path, reporter: Reporter) -> tuple[Listing, str]:
    """The files of a folder, and what changes whenever one of them may have changed."""
    found = dict(_walk(path, reporter))
    return Listing(found, lambda names: in_folder(path, names)), _identity(path, found)


class _Folder(NamedTuple):
    path: Path
    inside: str
    """Its path within the data set, with a `/` at its end."""
    above: tuple[tuple[int, int], ...]
    """Device and number of each folder around it."""


def _walk(root: Path, reporter: Reporter) -> Iterator[tuple[str, str]]:
    """(path within, state) of every file, at any depth, in order of names."""
    waiting: list[_Folder | tuple[str, str]] = [_Folder(root, "", ())]
    while waiting:
        found = waiting.pop()
        if isinstance(found, _Folder):
            waiting += reversed([*_entries(found, reporter)])
        else:
            yield found


def _entries(folder: _Folder, reporter: Reporter) -> Iterator[_Folder | tuple[str, str]]:
    try:
        status = folder.path.stat()
        with os.scandir(folder.path) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        where = one_line(str(folder.path))
        if not folder.inside:
            raise DataError(f"{where}: {error.strerror}") from None
        reporter.warn(f"{where}: cannot be read ({error.strerror}): left out")
        return
    here = (status.st_dev, status.st_ino)
    if here in folder.above:  # a link that leads back to a folder it lies in
        return
    for entry in entries:
        name = folder.inside + entry.name
        if is_hidden(entry.name):
            continue
        if _is_folder(entry):
            yield _Folder(Path(entry.path), f"{name}/", (*folder.above, here))
        elif _is_file(entry):
            yield name, _state(entry) if _counts(entry.name) else ""


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    """A file, or a link that leads nowhere: it is named when reading it fails."""
    try:
        return entry.is_file() or entry.is_symlink()
    except OSError:
        return True


def _state(entry: os.DirEntry[str]) -> str:
    try:
        return file_state(entry.stat())
    except OSError:
        return "missing"


def _counts(name: str) -> bool:
    """Whether a file may decide what the data set holds."""
    return is_image(name) or is_label_file(name)


def _identity(path: Path, found: dict[str, str]) -> str:
    """Where the folder is, and the path and state of every image and label file."""
    files = "\0".join(f"{name}\0{state}" for name, state in found.items() if _counts(name))
    return f"folder\0{path.resolve()}\0{files}"


def in_folder(root: Path, names: Sequence[str]) -> RandomAccess:
    """How to read some files of a folder, one by one, in the thread that decodes them."""
    return RandomAccess(open_folder_reader, str(root), [(name,) for name in names])


@contextmanager
def open_folder_reader(root: str) -> Iterator[Read]:
    """Reads a file by its name in the folder; each is opened when it is read."""
    folder = Path(root)
    yield lambda name: read_file(folder / name)


def read_file(path: Path) -> bytes:
    """The bytes of one image file; a file too large is refused unread."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):  # opening a pipe would wait for whoever writes to it
        raise ImageError("is a folder" if stat.S_ISDIR(mode) else "is not a file")
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise ImageError(f"is larger than {MAX_BYTES >> 20} MiB")
        return file.read()
