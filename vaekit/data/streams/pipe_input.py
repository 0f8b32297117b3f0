"""Images that come through a pipe, told apart by their first bytes.

A tar, compressed or not, and a .npy are read as they come and never held. A zip and an .npz have
their table of contents at the end, so they are put into a temporary file first.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, BinaryIO

from vaekit.data.source import ENDINGS, MAX_BYTES, InMemory, Request, Shape, same_shape
from vaekit.data.sources import array_files, npy_format, tar_files, zip_files
from vaekit.data.sources.archive_members import BROKEN_ARCHIVE, clean_name, reason_of
from vaekit.data.sources.detect import HEAD_BYTES, recognise
from vaekit.data.sources.folder_layout import is_hidden, is_image, no_image, others_note
from vaekit.data.streams.named_inputs import (
    Input,
    Item,
    blocks_of,
    folder_label,
    from_arrays,
    from_listing,
)
from vaekit.errors import DataError
from vaekit.reporting import Reporter
from vaekit.wording import unreadable

MOST_SPOOLED = 8 << 30
"""So many bytes of a zip are put into a temporary file."""

_OPENERS: dict[str, Callable[[Any], Any]] = {
    "tar": lambda file: file,
    "gz": lambda file: gzip.GzipFile(fileobj=file),
    "bz2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
}


@dataclass(frozen=True)
class PipeInput:
    """Something to be read once, from its beginning to its end."""

    file: BinaryIO
    name: str
    """The name of an image that comes alone."""
    where: str
    """In messages."""
    prefix: str = ""
    """Before the numbers of images in arrays."""

    def open(self, shape: Shape, reporter: Reporter, resources: ExitStack) -> Input:
        """What comes through it; what has to be kept meanwhile is kept in `resources`."""
        head = _head(self)
        if not head:
            raise DataError(f"{self.where}: is empty")
        whole = io.BufferedReader(_Rejoined(head, self.file), 1 << 16)
        match recognise(head):
            case "npy":
                return self._rows(npy_format.in_stream(whole, self.where), shape)
            case "npz":
                path, request = _spooled(whole, self.where, resources), Request(reporter=reporter)
                source = array_files.open_npz(path, request, self.where)
                return from_arrays(source, self.where, self.prefix, shape)
            case "zip":
                listing = zip_files.list_zip(_spooled(whole, self.where, resources), self.where)
                return from_listing(listing, self.where, "", reporter)
            case "tar" | "gz" | "bz2" | "xz" as packing:
                opener = _OPENERS[packing]
                items = _tar_items(whole, opener, self.where, reporter)
                return Input(self.where, lambda: nullcontext(items), None, ())
            case "image":
                return Input(self.where, lambda: nullcontext(_image(whole, self.name)), 1, ())
        raise DataError(f"{self.where}: {_what_else(head)}")

    def _rows(self, stored: npy_format.ArrayInFile, shape: Shape) -> Input:
        own, pieces = array_files.piped_rows(stored)
        same_shape(own, self.where, shape)
        blocks = blocks_of(pieces, self.prefix)
        return Input(self.where, lambda: nullcontext(blocks), stored.shape[0], certain=True)


def _head(pipe: PipeInput) -> bytes:
    """The first bytes, however few arrive at a time."""
    read, head = _reader(pipe.file), b""
    try:
        while len(head) < HEAD_BYTES and (data := read(HEAD_BYTES - len(head))):
            head += data
    except OSError as error:
        raise DataError(f"{pipe.where}: {unreadable(error)}") from None
    return head


def _reader(file: IO[bytes]) -> Callable[[int], bytes]:
    """Reads what is there, where a file's own `read` would wait until all is."""
    read: Callable[[int], bytes] = getattr(file, "read1", file.read)
    return read


class _Rejoined(io.RawIOBase):
    """A stream with its head put back; closing it leaves the stream open."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head, self._read = head, _reader(file)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head[: len(buffer)] or self._read(len(buffer))
        self._head = self._head[len(data) :]
        buffer[: len(data)] = data
        return len(data)


def _what_else(head: bytes) -> str:
    taken = f"a .npy, an .npz, a zip or tar of images, or an image ({' '.join(ENDINGS)})"
    text = head.decode("utf-8", "replace")
    if all(c.isprintable() or c.isspace() for c in text):
        return f"is text, and not {taken}; names of files are read by --files-from -"
    return f"is not {taken}"


def _image(file: IO[bytes], name: str) -> Iterator[Item]:
    yield Item(name, InMemory(file.read(MAX_BYTES + 1)))


def _spooled(file: IO[bytes], where: str, resources: ExitStack) -> Path:
    """All of it in a temporary file, which goes with `resources`."""
    advice = "name the file, or send a tar, which is read as it comes"
    try:
        folder = tempfile.TemporaryDirectory(prefix="vaekit-", ignore_cleanup_errors=True)
        path = Path(resources.enter_context(folder)) / "piped"
        with path.open("wb") as kept:
            while data := file.read(1 << 20):
                if kept.tell() > MOST_SPOOLED:
                    limit = f"over {MOST_SPOOLED >> 30} GiB, too much for a pipe"
                    raise DataError(f"{where}: is a zip of {limit}: {advice}")
                kept.write(data)
    except OSError as error:
        why = f"{error.strerror or error}; TMPDIR names another folder for it"
        raise DataError(f"{where}: cannot be kept in a temporary file ({why}): {advice}") from None
    return path


def _tar_items(
    file: IO[bytes], opener: Callable[[Any], Any], where: str, reporter: Reporter
) -> Iterator[Item]:
    """The images of a tar as they come; what is not taken is said at the end."""
    seen = _Seen()
    try:
        with opener(file) as unpacked:
            yield from _members(unpacked, where, seen)
            while unpacked.read(1 << 16):  # whoever writes it may finish
                pass
    except BROKEN_ARCHIVE as error:
        what = "is damaged" if seen.any else "is not a tar that can be read"
        raise DataError(f"{where}: {what} ({reason_of(error)})") from None
    if seen.links:
        reporter.note(f"{where}: {seen.links:,} links in it are left alone")
    if seen.others:
        reporter.note(others_note(where, seen.others))
    if not seen.images:
        raise no_image(where)


@dataclass
class _Seen:
    """How many there were of each kind."""

    images: int = 0
    links: int = 0
    others: int = 0
    any: bool = False


def _members(unpacked: IO[bytes], where: str, seen: _Seen) -> Iterator[Item]:
    at_hand: Any = SimpleNamespace(read=_reader(unpacked))
    with tarfile.open(
        fileobj=at_hand, mode="r|", tarinfo=tar_files.StrictTarInfo, bufsize=1 << 16
    ) as members:
        for member in members:
            members.members = []  # type: ignore[attr-defined]  # or it remembers every one
            tar_files.check_tar_member(member, where)
            seen.any, name = True, clean_name(member.name)
            if is_hidden(name) or member.isdir():
                continue
            if not member.isreg():
                seen.links += member.issym() or member.islnk()
            elif not is_image(name):
                seen.others += 1
            else:
                seen.images += 1
                yield Item(name, tar_files.tar_loader(members, member), folder_label(name))
