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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Self

from vaekit.data.apart import Apart, Read
from vaekit.data.decode import MAX_BYTES
from vaekit.data.imageset import Integers
from vaekit.data.members import check_expansion, check_member, clean, why
from vaekit.data.source import Files, Held, Listing, Loader, Reading, Request, Source
from vaekit.data.tree import Note, grow
from vaekit.data.zips import in_zip, zip_members
from vaekit.errors import DataError, ImageError
from vaekit.reporting import Reporter
from vaekit.wording import one_line

BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError)


def open_zip(path: Path, request: Request) -> Source:
    """The images of a zip; its table is read once, whichever splits are asked for."""
    source, notes = _zip_source(path, file_identity(path))
    for note in notes:
        request.reporter.note(note)
    return source


@lru_cache(maxsize=1)
def _zip_source(path: Path, identity: str) -> tuple[Source, Sequence[str]]:
    """A zip as it is while its `identity` lasts, and what is to be said of it."""
    notes: list[str] = []
    return _source(path, list_zip(path), notes.append, identity), notes


def open_tar(path: Path, request: Request) -> Source:
    """The images of a tar, compressed or not."""
    listing = list_tar(path, request.reporter)
    return _source(path, listing, request.reporter.note, file_identity(path))


def list_zip(path: Path, where: str | None = None) -> Listing:
    """The files in a zip; `where` names it in messages."""
    members = zip_members(path, where)
    return Listing(members, lambda names: in_zip(path, [members[name] for name in names]))


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
                check_expansion(total, path, where)
                links += member.issym() or member.islnk()
                if member.isreg():
                    found[clean(member.name)] = member
    except BROKEN as error:
        raise DataError(f"{where}: is not a tar that can be read ({why(error)})") from None
    if links:
        reporter.note(f"{where}: {links:,} links in it are left alone")

    def reading(names: Sequence[str]) -> Reading:
        chosen = [found[name] for name in names]
        return _PackedTarReader(path, chosen).reading if packed else in_plain_tar(path, chosen)

    return Listing(found, reading)


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


def _source(path: Path, listing: Listing, note: Note, identity: str) -> Source:
    tree = grow(listing.names, one_line(str(path)), note)
    parts = {
        split: Files(branch.names, listing.reading(branch.names), branch.labels)
        for split, branch in tree.branches.items()
    }
    return Source(path.name, parts, identity, tree.classes)


def file_identity(path: Path) -> str:
    """Where a file is, its size and its time of change."""
    status = path.stat()
    return f"file\0{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"


def in_plain_tar(path: Path, members: Sequence[tarfile.TarInfo]) -> Apart:
    """Members of an uncompressed tar in any order: their bytes lie in the file as they are."""
    return Apart("tar", str(path), [(m.offset_data, m.size, m.issparse()) for m in members])


@contextmanager
def reading_plain_tar(path: str) -> Iterator[Read]:
    """Opens the file for each member, as threads cannot share one that has a place in it."""
    yield partial(_from_plain_tar, Path(path))


def _from_plain_tar(path: Path, start: int, size: int, sparse: int) -> bytes:
    _check_size(size)
    if sparse:
        raise ImageError("is stored with holes, which no image needs")
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(size)
    if len(data) < size:
        raise ImageError("is truncated")
    return data


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
