"""Zips of images: checks the whole table of contents, then reads members in place.

`zipfile` reads the table. The members are read here: `zipfile` reads each with several locked
seeks and reads, which makes threads wait for each other; one `pread` does for most.
"""

from __future__ import annotations

import lzma
import os
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from vaekit.array_types import UInt64s
from vaekit.data.content_keys import file_key
from vaekit.data.random_access import RandomAccess, Read
from vaekit.data.source import MAX_BYTES, Listing, Request, Source, file_identity
from vaekit.data.sources.archive_members import check_expansion, check_member, clean_name, reason_of
from vaekit.data.sources.listed_files import Container, listed_source
from vaekit.errors import DataError, ImageError
from vaekit.wording import one_line

LARGE_DIRECTORY = 4 << 20
"""Bytes of a zip's table of contents, above which it must not be over a third of the file."""

_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)
_ENCRYPTED, _PATCHED, _UTF8 = 0x1, 0x20 | 0x40, 0x800
_USUAL = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LOCAL = struct.Struct("<4s22xHH")
_MORE = 64
"""Bytes read beyond what a member should need: what lies before it says how long it is itself."""


class ZipMember(NamedTuple):
    """A line of the table of contents: where a member lies, and how to check it."""

    start: int
    packed: int
    size: int
    method: int
    crc: int
    flags: int
    raw: str
    """Its name as stored, each byte a character."""


def open_zip(path: Path, request: Request) -> Source:
    """The images of a zip."""
    where, containers = one_line(str(path)), [Container(list_zip(path))]
    identity = file_identity(path)
    return listed_source(path.name, where, containers, request.reporter.note, identity)


def list_zip(path: Path, where: str | None = None) -> Listing:
    """The files in a zip; `where` names it in messages."""
    members = zip_members(path, where)
    return Listing(
        members,
        lambda names: in_zip(path, [members[name] for name in names]),
        lambda names: zip_keys([members[name] for name in names]),
    )


def zip_members(path: Path, where: str | None = None) -> dict[str, ZipMember]:
    """The members of a zip by name, none of them pointing out of it; `where` names it."""
    where = where or one_line(str(path))
    try:
        _check_directory(path, where)
        table = _table(path)
    except (*_BROKEN, OSError, NotImplementedError, ValueError) as error:
        raise DataError(f"{where}: is not a zip that can be read ({reason_of(error)})") from None
    for name, member in table:
        check_member(name, where)
        if member.flags & _ENCRYPTED:
            raise DataError(f"{where}: is encrypted: unpack it and give the folder")
    check_expansion(sum(member.size for _, member in table), path, where)
    _check_overlap((member for _, member in table), where)
    return {clean_name(name): member for name, member in table if not name.endswith("/")}


def in_zip(path: Path, members: Sequence[ZipMember]) -> RandomAccess:
    """How to read some members."""
    return RandomAccess(open_zip_reader, str(path), members)


def zip_keys(members: Sequence[ZipMember]) -> UInt64s:
    """The content keys of some members: the table of contents holds all that they are made of."""
    return np.array([file_key(member.size, member.crc) for member in members], np.uint64)


def _check_directory(path: Path, where: str) -> None:
    """Refuse a zip that is mostly table of contents, before it is read: each line takes memory."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - (1 << 16) - 200))
        tail = file.read()
    end, large = tail.rfind(b"PK\x05\x06"), tail.rfind(b"PK\x06\x06")
    length = int.from_bytes(tail[end + 12 : end + 16], "little") if end >= 0 else 0
    if length == 0xFFFFFFFF and large >= 0:
        length = int.from_bytes(tail[large + 40 : large + 48], "little")
    if LARGE_DIRECTORY < length <= size and 3 * length > size:
        raise DataError(f"{where}: is mostly a table of contents, with little in it: refused")


def _table(path: Path) -> list[tuple[str, ZipMember]]:
    with zipfile.ZipFile(path) as archive:
        return [(info.filename, _member(info)) for info in archive.infolist()]


def _member(info: zipfile.ZipInfo) -> ZipMember:
    raw = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
    sizes = info.compress_size, info.file_size
    checks = info.compress_type, info.CRC, info.flag_bits
    return ZipMember(info.header_offset, *sizes, *checks, raw.decode("latin-1"))


def _check_overlap(members: Iterable[ZipMember], where: str) -> None:
    """Refuse members that share their bytes: overlapping members make a small file a bomb."""
    places = sorted((member.start, member.start + member.packed) for member in members)
    for (start, end), (following, _) in pairwise(places):
        if end > following or start == following:
            raise DataError(f"{where}: its members share their bytes: refused")


@contextmanager
def open_zip_reader(path: str) -> Iterator[Read]:
    """Opens a zip; yields a function that reads a member, in any thread."""
    with ExitStack() as stack:
        file = stack.enter_context(Path(path).open("rb"))
        yield _Zip(file, os.fstat(file.fileno()).st_size, stack).read


class _Zip:
    def __init__(self, file: IO[bytes], end: int, stack: ExitStack) -> None:
        self.file, self.end, self.stack = file, end, stack
        self.lock = threading.Lock()
        self.rare: tuple[zipfile.ZipFile, dict[int, zipfile.ZipInfo]] | None = None

    def read(self, *spot: int | str) -> bytes:
        member = ZipMember(*spot)  # type: ignore[arg-type]
        if max(member.size, member.packed // 2) > MAX_BYTES:
            raise ImageError(f"is larger than {MAX_BYTES >> 20} MiB")
        try:
            if member.flags & _PATCHED or member.method not in _USUAL:
                return self.rarely(member)
            data = self.unpacked(member)
        except (*_BROKEN, struct.error, NotImplementedError, RuntimeError) as error:
            raise ImageError(f"cannot be unpacked ({reason_of(error)})") from None
        if zlib.crc32(data) != member.crc:
            raise ImageError("cannot be unpacked (Bad CRC-32)")
        return data

    def unpacked(self, member: ZipMember) -> bytes:
        data = self.packed(member)
        if member.method == zipfile.ZIP_DEFLATED and member.size:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.size)
        return data[: member.size]

    def packed(self, member: ZipMember) -> bytes:
        """A member's bytes as they lie in the file, mostly with one read."""
        name = member.raw.encode("latin-1")
        before = _LOCAL.size + len(name)
        data = self.at(member.start, before + member.packed + _MORE)
        mark, named, extra = _LOCAL.unpack_from(data)
        if mark != b"PK\x03\x04":
            raise zipfile.BadZipFile("it does not begin where the table of contents says")
        if data[_LOCAL.size : _LOCAL.size + named] != name:
            raise zipfile.BadZipFile("it has another name in the table of contents")
        before += extra
        if before + member.packed > len(data):
            data = self.at(member.start, before + member.packed)
        return data[before : before + member.packed]

    def at(self, start: int, length: int) -> bytes:
        length = min(length, self.end - start)
        if start < 0 or length <= 0:  # the table of contents may say anything
            return b""
        if hasattr(os, "pread"):
            return os.pread(self.file.fileno(), length, start)
        with self.lock:
            self.file.seek(start)
            return self.file.read(length)

    def rarely(self, member: ZipMember) -> bytes:
        """Rare ways of packing are left to `zipfile`."""
        with self.lock:
            if self.rare is None:
                archive = self.stack.enter_context(zipfile.ZipFile(self.file.name))
                self.rare = archive, {info.header_offset: info for info in archive.infolist()}
        archive, infos = self.rare
        with archive.open(infos[member.start]) as opened:
            return opened.read(MAX_BYTES)
