"""Images from a pipe, whose format is recognised from the first bytes.

A tar, compressed or not, and a .npy are read as they arrive, in bounded memory. A zip and an .npz
have their table of contents at the end, so they are copied to a temporary file first.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from vaekit.data.source import ENDINGS, MAX_BYTES, InMemory, Request, Shape, same_shape
from vaekit.data.sources import array_files, npy_format, zip_files
from vaekit.data.sources.archive_members import BROKEN_ARCHIVE, clean_name, reason_of
from vaekit.data.sources.first_bytes import HEAD_BYTES, recognise
from vaekit.data.sources.folder_layout import is_hidden, is_image, no_image, others_note
from vaekit.data.sources.tar_files import tar_loader
from vaekit.data.sources.tar_stream import TarStream
from vaekit.data.streams.named_inputs import (
    EncodedImage,
    OpenedInput,
    folder_label,
    from_arrays,
    from_listing,
    pixel_blocks,
)
from vaekit.errors import DataError
from vaekit.peekable import PeekableStream
from vaekit.reporting import Reporter
from vaekit.wording import unreadable

MOST_SPOOLED = 8 << 30
"""Most bytes that are copied to a temporary file."""


@dataclass(frozen=True)
class PipeInput:
    """A pipe with images, which can be read once."""

    file: BinaryIO
    name: str
    """The name of a single image."""
    where: str
    """Its name in messages."""
    prefix: str = ""
    """Comes before the numbers of images in arrays."""

    def open(self, shape: Shape, reporter: Reporter, resources: ExitStack) -> OpenedInput:
        """Recognise what it gives; temporary files last until `resources` is closed."""
        peekable = PeekableStream(self.file)
        try:
            head = peekable.peek(HEAD_BYTES)
        except OSError as error:
            raise DataError(f"{self.where}: {unreadable(error)}") from None
        if not head:
            raise DataError(f"{self.where}: is empty")
        whole = io.BufferedReader(peekable, 1 << 16)
        match recognise(head):
            case "npy":
                return self._rows(npy_format.in_stream(whole, self.where), shape)
            case "npz":
                path = _spooled(whole, self.where, resources)
                source = array_files.open_npz(path, Request(reporter=reporter), self.where)
                return from_arrays(source, self.where, self.prefix, shape)
            case "zip":
                listing = zip_files.list_zip(_spooled(whole, self.where, resources), self.where)
                return from_listing(listing, self.where, "", reporter)
            case "tar" | "gz" | "bz2" | "xz":
                items = _tar_items(whole, self.where, reporter)
                return OpenedInput(self.where, lambda: nullcontext(items), None, ())
            case "image":
                return OpenedInput(self.where, lambda: nullcontext(_image(whole, self.name)), 1, ())
        raise DataError(f"{self.where}: {_what_else(head)}")

    def _rows(self, stored: npy_format.ArrayInFile, shape: Shape) -> OpenedInput:
        own, pieces = array_files.piped_rows(stored)
        same_shape(own, self.where, shape)
        blocks = pixel_blocks(pieces, self.prefix)
        return OpenedInput(self.where, lambda: nullcontext(blocks), stored.shape[0], certain=True)


def _what_else(head: bytes) -> str:
    taken = f"a .npy, an .npz, a zip or tar of images, or an image ({' '.join(ENDINGS)})"
    text = head.decode("utf-8", "replace")
    if all(c.isprintable() or c.isspace() for c in text):
        return f"is text, and not {taken}; names of files are read by --files-from -"
    return f"is not {taken}"


def _image(file: IO[bytes], name: str) -> Iterator[EncodedImage]:
    yield EncodedImage(name, InMemory(file.read(MAX_BYTES + 1)))


def _spooled(file: IO[bytes], where: str, resources: ExitStack) -> Path:
    """A copy in a temporary file, which is removed with `resources`."""
    advice = "name the file, or send a tar, which is read as it arrives"
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
    file: io.BufferedReader[Any], where: str, reporter: Reporter
) -> Iterator[EncodedImage]:
    """The images of a tar as they arrive; ignored members are reported at the end."""
    seen = _Seen()
    try:
        archive = TarStream(file, where)
        yield from _members(archive, seen)
        archive.finish()
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
    """How many members there were of each kind."""

    images: int = 0
    links: int = 0
    others: int = 0
    any: bool = False


def _members(archive: TarStream, seen: _Seen) -> Iterator[EncodedImage]:
    for member in archive:
        seen.any, name = True, clean_name(member.name)
        if is_hidden(name) or member.isdir():
            continue
        if not member.isreg():
            seen.links += member.issym() or member.islnk()
        elif not is_image(name):
            seen.others += 1
        else:
            seen.images += 1
            yield EncodedImage(name, tar_loader(archive, member), folder_label(name))
