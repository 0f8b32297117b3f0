"""A zip or tar of images, read in place: nothing is ever unpacked to the disk.

Every member's name is checked before anything is read. One that points outside the archive, by
`..`, an absolute path or a link, means that the archive was not made in good faith or not with
care, and the whole of it is refused.
"""

from __future__ import annotations

import io
import lzma
import posixpath
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Self

from vaekit.data.decode import MAX_BYTES
from vaekit.data.imageset import Integers
from vaekit.data.source import Files, Held, Listing, Loader, Request, Source
from vaekit.data.tree import grow
from vaekit.errors import DataError, ImageError
from vaekit.reporting import Reporter
from vaekit.wording import one_line

MAX_EXPANSION = 200
"""An archive of over 1 GiB unpacked must not be this many times smaller packed: no images are."""

LARGE_DIRECTORY = 4 << 20
"""Bytes of a zip's table of contents, above which it must not be over a third of the file."""

BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError)


def open_zip(path: Path, request: Request) -> Source:
    """The images of a zip."""
    return _source(path, list_zip(path), request)


def open_tar(path: Path, request: Request) -> Source:
    """The images of a tar, compressed or not."""
    return _source(path, list_tar(path, request.reporter), request)


def list_zip(path: Path, where: str | None = None) -> Listing:
    """The files in a zip; `where` names it in messages."""
    members = zip_members(path, where)
    return Listing(members, lambda names: ZipReader(path, [members[n] for n in names]).reading)


def zip_members(path: Path, where: str | None = None) -> dict[str, zipfile.ZipInfo]:
    """The members of a zip by name, none of them pointing out of it."""
    where = where or one_line(str(path))
    try:
        _check_directory(path, where)
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (*BROKEN, NotImplementedError, ValueError) as error:
        raise DataError(f"{where}: is not a zip that can be read ({why(error)})") from None
    for member in members:
        check_member(member.filename, where)
        if member.flag_bits & 1:
            raise DataError(f"{where}: is encrypted: unpack it and give the folder")
    _check_expansion(sum(m.file_size for m in members), path, where)
    _check_overlap(members, where)
    return {clean(m.filename): m for m in members if not m.filename.endswith("/")}


def list_tar(path: Path, reporter: Reporter) -> Listing:
    """The files in a tar, compressed or not."""
    where, total, links = one_line(str(path)), 0, 0
    found: dict[str, tarfile.TarInfo] = {}
    try:
        with tarfile.open(path, tarinfo=Member) as archive:
            packed = not isinstance(archive.fileobj, io.BufferedReader)
            for member in archive:
                check_tar_member(member, where)
                total += member.size
                _check_expansion(total, path, where)
                links += member.issym() or member.islnk()
                if member.isreg():
                    found[clean(member.name)] = member
    except BROKEN as error:
        raise DataError(f"{where}: is not a tar that can be read ({why(error)})") from None
    if links:
        reporter.note(f"{where}: {links:,} links in it are left alone")
    reader = _PackedTarReader if packed else _TarReader
    return Listing(found, lambda names: reader(path, [found[n] for n in names]).reading)


class Member(tarfile.TarInfo):
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


def check_member(name: str, where: str) -> None:
    """Refuse an archive with a member whose name leads out of it."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        raise DataError(f"{where}: member {one_line(name)!r} points outside the archive: refused")


def check_tar_member(member: tarfile.TarInfo, where: str) -> None:
    """Refuse an archive with a member or a link that leads out of it."""
    check_member(member.name, where)
    if member.issym() or member.islnk():
        base = PurePosixPath(member.name).parent if member.issym() else PurePosixPath()
        target = posixpath.normpath(str(base / member.linkname.replace("\\", "/")))
        if target.startswith(("..", "/")) or re.match(r"[A-Za-z]:", member.linkname):
            raise DataError(
                f"{where}: link {one_line(member.name)!r} points outside the archive: refused"
            )


def _check_expansion(unpacked: int, path: Path, where: str) -> None:
    if unpacked > 1 << 30 and unpacked > MAX_EXPANSION * path.stat().st_size:
        raise DataError(f"{where}: unpacks to over {MAX_EXPANSION} times its size: refused")


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


def _check_overlap(members: Iterable[zipfile.ZipInfo], where: str) -> None:
    """Refuse members that share their bytes: so a small file passes for a large one."""
    places = sorted((m.header_offset, m.header_offset + m.compress_size) for m in members)
    if any(end > start for (_, end), (start, _) in pairwise(places)) or len(
        {start for start, _ in places}
    ) < len(places):
        raise DataError(f"{where}: its members share their bytes: refused")


def clean(name: str) -> str:
    """`./a//b.png`, as some programs write, is `a/b.png`."""
    return str(PurePosixPath(name.replace("\\", "/")))


def _source(path: Path, listing: Listing, request: Request) -> Source:
    tree = grow(listing.names, one_line(str(path)), request.reporter.note)
    parts = {
        split: Files(branch.names, listing.reading(branch.names), branch.labels)
        for split, branch in tree.branches.items()
    }
    return Source(path.name, parts, file_identity(path), tree.classes)


def file_identity(path: Path) -> str:
    """Where a file is, its size and its time of change."""
    status = path.stat()
    return f"file\0{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"


@dataclass(frozen=True)
class ZipReader:
    """Members of a zip in any order; `zipfile` lets threads share one open archive."""

    path: Path
    members: list[zipfile.ZipInfo]

    @contextmanager
    def reading(self, indices: Integers) -> Iterator[Iterable[tuple[int, Loader]]]:
        """Opens the archive once for all."""
        with zipfile.ZipFile(self.path) as archive:
            yield (
                (place, _zip_loader(archive, self.members[index]))
                for place, index in enumerate(indices.tolist())
            )


def _zip_loader(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Loader:
    def load() -> bytes:
        _check_size(member.file_size)
        try:
            with archive.open(member) as file:
                return file.read(MAX_BYTES)
        except (*BROKEN, NotImplementedError, RuntimeError) as error:
            raise ImageError(f"cannot be unpacked ({why(error)})") from None

    return load


@dataclass(frozen=True)
class _TarReader:
    """Members of an uncompressed tar in any order: their bytes lie in the file as they are."""

    path: Path
    members: list[tarfile.TarInfo]

    @contextmanager
    def reading(self, indices: Integers) -> Iterator[Iterable[tuple[int, Loader]]]:
        yield ((place, self._loader(index)) for place, index in enumerate(indices.tolist()))

    def _loader(self, index: int) -> Loader:
        def load() -> bytes:
            member = self.members[index]
            _check_size(member.size)
            if member.issparse():
                raise ImageError("is stored with holes, which no image needs")
            with self.path.open("rb") as file:
                file.seek(member.offset_data)
                data = file.read(member.size)
            if len(data) < member.size:
                raise ImageError("is truncated")
            return data

        return load


@dataclass(frozen=True)
class _PackedTarReader:
    """Members of a compressed tar, in the order they lie in: going back would unpack it anew."""

    path: Path
    members: list[tarfile.TarInfo]

    @contextmanager
    def reading(self, indices: Integers) -> Iterator[Iterable[tuple[int, Loader]]]:
        wanted = {self.members[i].offset: place for place, i in enumerate(indices.tolist())}
        with tarfile.open(self.path, tarinfo=Member) as archive:
            yield self._forward(archive, wanted)

    def _forward(
        self, archive: tarfile.TarFile, wanted: dict[int, int]
    ) -> Iterator[tuple[int, Loader]]:
        try:
            for member in archive:
                if (place := wanted.pop(member.offset, None)) is not None:
                    yield place, tar_loader(archive, member)
                archive.members = []  # type: ignore[attr-defined]  # or it remembers every one
                if not wanted:
                    return
        except BROKEN as error:
            where = one_line(str(self.path))
            raise DataError(f"{where}: is damaged ({why(error)})") from None


def tar_loader(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Loader:
    """The bytes are read here and now, while the archive stands at them."""
    if member.size > MAX_BYTES:
        return lambda: _too_large()
    file = archive.extractfile(member)
    assert file is not None
    return Held(file.read())


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        _too_large()


def _too_large() -> bytes:
    raise ImageError(f"is larger than {MAX_BYTES >> 20} MiB")


def why(error: BaseException) -> str:
    """What is wrong with an archive, in few words."""
    text = " ".join(str(error).split())
    if not text or "could not be opened successfully" in text:  # a list of all that was tried
        return "its format is not known" if text else type(error).__name__
    return text[:100]
