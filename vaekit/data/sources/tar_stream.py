"""Reads tars forward, compressed or not, with bounds on headers, members and expansion.

A tar of a few MB can unpack to gigabytes: in one header, in millions of empty members, in zeros.
Bytes are counted as they are unpacked, so such a tar is refused before it costs memory or time.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import posixpath
import re
import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any, Self

from vaekit.data.sources.archive_members import EXPANSION_FROM, MAX_EXPANSION, check_member
from vaekit.data.sources.first_bytes import HEAD_BYTES, recognise
from vaekit.errors import DataError
from vaekit.library_internals import forget_members
from vaekit.wording import one_line

MOST_HEADER_BYTES = 1 << 20
"""Bytes of headers for one member: its names, attributes, and a map of its holes."""

MOST_NAME = 4096
"""Characters in a member's name; paths on a disk are no longer."""

MOST_SHARED = 1000
"""Attributes that hold for all members."""

MOST_EMPTY = 20_000
"""From this many empty members on, a third of all must hold something."""

LEAST_PACKED = 32
"""From that many members on, bytes of the packed file for each: an image takes more."""

MOST_TRAILING = 64 << 20
"""Bytes read after the end, so that whoever writes them can finish."""

PIECE = 1 << 20
"""Bytes of a member that are read at a time."""


class TarStream:
    """The members of a tar, in the order they lie in, and their content.

    It stands in for the file that `tarfile` reads, so it sees each byte. It never goes back.
    """

    def __init__(self, file: io.BufferedReader[Any], where: str) -> None:
        """Read from `file`, which is at its beginning; `where` names it in messages."""
        self.where = where
        self.count = self.empty = 0
        self.is_packed = False
        self._packed = _Counted(file)
        self._file: IO[bytes] = self._unpack(file)
        self._can_skip = not self.is_packed and file.seekable()
        self._at = 0
        self._headers: int | None = 0
        """Bytes of headers since the last member; None while its content is read."""

    def _unpack(self, file: io.BufferedReader[Any]) -> Any:
        kind = recognise(file.peek(HEAD_BYTES))
        if kind not in ("gz", "bz2", "xz"):
            return file
        self.is_packed = True
        packed: Any = self._packed
        if kind == "gz":
            return gzip.GzipFile(fileobj=packed)
        return bz2.BZ2File(packed) if kind == "bz2" else lzma.LZMAFile(packed)

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        stand_in: Any = self
        try:
            with tarfile.open(fileobj=stand_in, mode="r:", tarinfo=StrictTarInfo) as archive:
                for member in archive:
                    forget_members(archive)
                    self._check(member, len(archive.pax_headers))
                    self._headers = None
                    yield member
                    self._headers = 0
                self._headers = None
        except RecursionError:
            raise self._refused("has headers within headers") from None
        except (ValueError, LookupError, ArithmeticError) as error:  # numbers that are none
            raise tarfile.ReadError(str(error)) from None

    def content(self, member: tarfile.TarInfo) -> bytes:
        """The bytes of the member at which the iteration stands."""
        self.seek(member.offset_data)
        # Asked for all at once, a decompressor holds three copies of it.
        starts = range(0, member.size, PIECE)
        data = b"".join(self.read(min(PIECE, member.size - start)) for start in starts)
        if len(data) < member.size:
            raise tarfile.ReadError("unexpected end of data")
        return data

    def finish(self) -> None:
        """Read what follows the last member, up to a limit."""
        end = self._at + MOST_TRAILING
        while self._at < end and self.read(1 << 16):
            pass

    def read(self, size: int) -> bytes:
        """The next bytes; `tarfile` calls this, and `tell` and `seek`."""
        if size < 0:  # the rest of the file, however long it is
            raise tarfile.ReadError("a size is negative")
        if self._headers is not None:
            self._headers += size
            if self._headers > MOST_HEADER_BYTES:
                raise self._refused(f"has a header of over {MOST_HEADER_BYTES >> 20} MiB")
        data = self._file.read(size)
        self._at += len(data)
        most = max(EXPANSION_FROM, MAX_EXPANSION * self._packed.count)
        if self.is_packed and self._at > most:
            raise self._refused(f"unpacks to over {MAX_EXPANSION} times its size")
        return data

    def tell(self) -> int:
        """How many bytes were read or skipped."""
        return self._at

    def seek(self, place: int) -> None:
        """Skip ahead to a place."""
        if self._can_skip:
            self._file.seek(place - self._at, io.SEEK_CUR)
            self._at = place
        headers, self._headers = self._headers, None
        while self._at < place and self.read(min(place - self._at, 1 << 18)):
            pass
        self._headers = headers

    def _check(self, member: tarfile.TarInfo, shared: int) -> None:
        check_tar_member(member, self.where)
        if member.size < 0:
            raise tarfile.ReadError("a size is negative")
        self.count += 1
        self.empty += not (member.isreg() and member.size)
        if shared > MOST_SHARED:
            raise self._refused(f"has over {MOST_SHARED:,} shared attributes")
        if self.empty > MOST_EMPTY and 3 * self.empty > 2 * self.count:
            raise self._refused(f"has over {MOST_EMPTY:,} members with nothing in them")
        if self.is_packed and self.count > max(MOST_EMPTY, self._packed.count // LEAST_PACKED):
            raise self._refused(f"has {self.count:,} members, too many for its size")

    def _refused(self, why: str) -> DataError:
        return DataError(f"{self.where}: {why}: refused")


class _Counted:
    """A file that counts the bytes read from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.count = file, 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.count += len(data)
        return data


class StrictTarInfo(tarfile.TarInfo):
    """A header that makes no sense is damage; tarfile would take it for the archive's end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read a header."""
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if not any(buf):  # zeros are the end indeed
                raise
            raise tarfile.ReadError(str(error)) from None


def check_tar_member(member: tarfile.TarInfo, where: str) -> None:
    """Refuse an archive with a member or a link that leads out of it, or with an endless name."""
    if len(member.name) > MOST_NAME:
        raise DataError(f"{where}: has a name of {len(member.name):,} characters: refused")
    check_member(member.name, where)
    if member.issym() or member.islnk():
        base = PurePosixPath(member.name).parent if member.issym() else PurePosixPath()
        target = posixpath.normpath(str(base / member.linkname.replace("\\", "/")))
        if target.startswith(("..", "/")) or re.match(r"[A-Za-z]:", member.linkname):
            raise DataError(
                f"{where}: link {one_line(member.name)!r} points outside the archive: refused"
            )
