"""Tars of images, read in place: nothing is unpacked to the disk.

Every member's name is checked before anything is read. A name or a link that leads outside the
archive refuses the whole of it: it was made in bad faith, or without care.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

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
    clean_name,
    reason_of,
)
from vaekit.data.sources.label_files import MOST_BYTES, is_label_file
from vaekit.data.sources.listed_files import Container, listed_source
from vaekit.data.sources.tar_stream import TarStream
from vaekit.errors import DataError, ImageError
from vaekit.reporting import Reporter
from vaekit.wording import one_line


def open_tar(path: Path, request: Request) -> Source:
    """The images of a tar, compressed or not."""
    where, containers = one_line(str(path)), [Container(list_tar(path, request.reporter))]
    identity = file_identity(path)
    return listed_source(path.name, where, containers, request.reporter.note, identity)


class TarMember(NamedTuple):
    """Where a member lies: its header, its content, and whether that is stored with holes."""

    header: int
    start: int
    size: int
    sparse: int


def list_tar(path: Path, reporter: Reporter) -> Listing:
    """The files in a tar, compressed or not."""
    where, total, links = one_line(str(path)), 0, 0
    found: dict[str, TarMember] = {}
    labels: dict[str, bytes] = {}
    try:
        with path.open("rb") as file:
            archive = TarStream(file, where)
            for member in archive:
                total += member.size
                check_expansion(total, path, where)
                links += member.issym() or member.islnk()
                if member.isreg():
                    name = clean_name(member.name)
                    found[name] = _located(member)
                    labels |= _label(archive, name, member)
            if archive.is_packed:
                archive.finish()  # the checksum of all content comes last
    except BROKEN_ARCHIVE as error:
        raise DataError(f"{where}: is not a tar that can be read ({reason_of(error)})") from None
    if links:
        reporter.note(f"{where}: {links:,} links in it are left alone")

    def reading(names: Sequence[str]) -> Reading:
        chosen = [found[name] for name in names]
        if archive.is_packed:
            return _PackedTarReader(path, chosen).reading
        return RandomAccess(open_tar_reader, str(path), [member[1:] for member in chosen])

    return Listing(found, reading, labels=labels)


def _label(archive: TarStream, name: str, member: tarfile.TarInfo) -> dict[str, bytes]:
    """What the member holds, if it is a label file; read now, as going back costs more."""
    is_label = is_label_file(name) and member.size <= MOST_BYTES and not member.issparse()
    return {name: archive.content(member)} if is_label else {}


def _located(member: tarfile.TarInfo) -> TarMember:
    return TarMember(member.offset, member.offset_data, member.size, member.issparse())


@contextmanager
def open_tar_reader(path: str) -> Iterator[Read]:
    """Opens the file for each member, as threads cannot share one that has a place in it."""
    yield partial(_from_plain_tar, Path(path))


def _from_plain_tar(path: Path, start: int, size: int, sparse: int) -> bytes:
    _check_size(size, sparse)
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(size)
    if len(data) < size:
        raise ImageError("is truncated")
    return data


@dataclass(frozen=True)
class _PackedTarReader:
    """Members of a compressed tar, in the order they lie in: going back would unpack it again."""

    path: Path
    members: list[TarMember]

    @contextmanager
    def reading(self, indices: Integers) -> Iterator[Iterable[tuple[int, Loader]]]:
        wanted = {self.members[i].header: place for place, i in enumerate(indices.tolist())}
        with self.path.open("rb") as file:
            yield self._forward(TarStream(file, one_line(str(self.path))), wanted)

    def _forward(self, archive: TarStream, wanted: dict[int, int]) -> Iterator[tuple[int, Loader]]:
        try:
            for member in archive:
                if (place := wanted.pop(member.offset, None)) is not None:
                    yield place, tar_loader(archive, member)
                if not wanted:
                    return
        except BROKEN_ARCHIVE as error:
            raise DataError(f"{archive.where}: is damaged ({reason_of(error)})") from None


def tar_loader(archive: TarStream, member: tarfile.TarInfo) -> Loader:
    """The content, read here and now while the archive stands at it."""
    try:
        _check_size(member.size, member.issparse())
    except ImageError as error:
        return partial(_raise, error)
    return InMemory(archive.content(member))


def _check_size(size: int, sparse: int) -> None:
    if size > MAX_BYTES:
        raise ImageError(f"is larger than {MAX_BYTES >> 20} MiB")
    if sparse:
        raise ImageError("is stored with holes, which no image needs")


def _raise(error: ImageError) -> bytes:
    raise error
