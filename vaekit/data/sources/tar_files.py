"""Tars of images, read in place: nothing is unpacked to the disk.

Every member's name is checked before anything is read. One that points outside the archive, by
`..`, an absolute path or a link, means that the archive was not made in good faith or not with
care, and the whole of it is refused.
"""

from __future__ import annotations

import io
import posixpath
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Self

from vaekit.data.imageset import Integers
from vaekit.data.random_access import RandomAccess, Read
from vaekit.data.source import (
    MAX_BYTES,
    InMemory,
    Listing,
    Loader,
    Reading,
    Request,
    Source,
    file_identity,
)
from vaekit.data.sources.archive_members import (
    BROKEN_ARCHIVE,
    check_expansion,
    check_member,
    clean_name,
    reason_of,
)
from vaekit.data.sources.folder_layout import listed_source
from vaekit.errors import DataError, ImageError
from vaekit.reporting import Reporter
from vaekit.wording import one_line


def open_tar(path: Path, request: Request) -> Source:
    """The images of a tar, compressed or not."""
    listing = list_tar(path, request.reporter)
    return listed_source(path, listing, request.reporter.note, file_identity(path))


def list_tar(path: Path, reporter: Reporter) -> Listing:
    """The files in a tar, compressed or not."""
    where, total, links = one_line(str(path)), 0, 0
    found: dict[str, tarfile.TarInfo] = {}
    try:
        with tarfile.open(path, tarinfo=StrictTarInfo) as archive:
            packed = not isinstance(archive.fileobj, io.BufferedReader)
            for member in archive:
                check_tar_member(member, where)
                total += member.size
                check_expansion(total, path, where)
                links += member.issym() or member.islnk()
                if member.isreg():
                    found[clean_name(member.name)] = member
    except BROKEN_ARCHIVE as error:
        raise DataError(f"{where}: is not a tar that can be read ({reason_of(error)})") from None
    if links:
        reporter.note(f"{where}: {links:,} links in it are left alone")

    def reading(names: Sequence[str]) -> Reading:
        chosen = [found[name] for name in names]
        return _PackedTarReader(path, chosen).reading if packed else in_plain_tar(path, chosen)

    return Listing(found, reading)


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
    """Refuse an archive with a member or a link that leads out of it."""
    check_member(member.name, where)
    if member.issym() or member.islnk():
        base = PurePosixPath(member.name).parent if member.issym() else PurePosixPath()
        target = posixpath.normpath(str(base / member.linkname.replace("\\", "/")))
        if target.startswith(("..", "/")) or re.match(r"[A-Za-z]:", member.linkname):
            raise DataError(
                f"{where}: link {one_line(member.name)!r} points outside the archive: refused"
            )


def in_plain_tar(path: Path, members: Sequence[tarfile.TarInfo]) -> RandomAccess:
    """Members of an uncompressed tar in any order: their bytes lie in the file as they are."""
    return RandomAccess(
        open_tar_reader, str(path), [(m.offset_data, m.size, m.issparse()) for m in members]
    )


@contextmanager
def open_tar_reader(path: str) -> Iterator[Read]:
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
        with tarfile.open(self.path, tarinfo=StrictTarInfo) as archive:
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
        except BROKEN_ARCHIVE as error:
            where = one_line(str(self.path))
            raise DataError(f"{where}: is damaged ({reason_of(error)})") from None


def tar_loader(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Loader:
    """The bytes are read here and now, while the archive stands at them."""
    if member.size > MAX_BYTES:
        return lambda: _too_large()
    file = archive.extractfile(member)
    assert file is not None
    return InMemory(file.read())


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        _too_large()


def _too_large() -> bytes:
    raise ImageError(f"is larger than {MAX_BYTES >> 20} MiB")
