"""Reads .npy arrays, in files and in .npz members, without trusting their header.

The type and shape in a header are compared with the size of the file before anything is
allocated. An array of Python objects, which only a pickle can hold, is refused.
"""

from __future__ import annotations

import math
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from vaekit.array_types import AnyArray
from vaekit.data.imageset import Integers
from vaekit.errors import DataError
from vaekit.wording import one_line

BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class ArrayInFile:
    """One array on disk: what its header says, and how to get at its bytes."""

    where: str
    """For messages: the file, and the member if there is one."""
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    path: Path
    offset: int | None
    """Where in the file the values begin; None where they are compressed."""
    open: Callable[[], IO[bytes]]
    """Opens a stream that stands at the first value."""
    again: bool = True
    """Whether it can be opened a second time: a pipe cannot."""

    def whole(self) -> AnyArray:
        """All of it: mapped from the file where it lies there as it is, otherwise read."""
        order: Literal["C", "F"] = "F" if self.fortran else "C"
        if self.offset is not None and self._bytes(self.shape):
            mapped: AnyArray = np.memmap(
                self.path, self.dtype, "r", offset=self.offset, shape=self.shape, order=order
            )
            return mapped.view(np.ndarray)
        with self.open() as file:
            values = np.frombuffer(file.read(self._bytes(self.shape)), self.dtype)
        return values.reshape(self.shape, order=order)

    def blocks(self, indices: Integers) -> Iterator[AnyArray]:
        """The rows at ascending `indices`, some at a time; compressed rows are read past once."""
        row = self._bytes(self.shape[1:])
        rows = max(1, BLOCK_BYTES // max(1, row))
        if self.offset is not None or self.fortran:
            values = self.whole()
            for start in range(0, len(indices), rows):
                yield values[indices[start : start + rows]]
            return
        first = 0
        for values in self.forward():
            here = indices[slice(*np.searchsorted(indices, (first, first + len(values))))]
            if len(here):
                yield values[here - first]
            first += len(values)

    def forward(self) -> Iterator[AnyArray]:
        """All rows, some at a time, from a stream that is read once."""
        row = self._bytes(self.shape[1:])
        rows = max(1, BLOCK_BYTES // max(1, row))
        try:
            with self.open() as file:
                for first in range(0, self.shape[0], rows):
                    count = min(rows, self.shape[0] - first)
                    values = np.frombuffer(_exactly(file, count * row), self.dtype)
                    yield values.reshape(count, *self.shape[1:])
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise DataError(f"{self.where}: is damaged ({error})") from None

    def _bytes(self, shape: tuple[int, ...]) -> int:
        return int(math.prod(shape)) * self.dtype.itemsize


def in_file(path: Path, where: str) -> ArrayInFile:
    """The array of a .npy file."""
    with path.open("rb") as file:
        dtype, shape, fortran = read_header(file, where)
        offset = file.tell()

    def reopen() -> IO[bytes]:
        opened = path.open("rb")
        opened.seek(offset)
        return opened

    stored = ArrayInFile(where, dtype, shape, fortran, path, offset, reopen)
    _check_size(stored, path.stat().st_size - offset)
    return stored


def in_archive(
    archive: zipfile.ZipFile, path: Path, member: zipfile.ZipInfo, where: str
) -> ArrayInFile:
    """The array of one member of an .npz."""
    with archive.open(member) as file:
        dtype, shape, fortran = read_header(file, where)
        skipped = file.tell()

    def reopen() -> IO[bytes]:
        with zipfile.ZipFile(path) as opened:
            stream = opened.open(member)  # keeps the file open for itself
        _exactly(stream, skipped)
        return stream

    plain = member.compress_type == zipfile.ZIP_STORED
    offset = _start_of(path, member) + skipped if plain else None
    stored = ArrayInFile(where, dtype, shape, fortran, path, offset, reopen)
    _check_size(stored, member.file_size - skipped)
    return stored


def in_stream(file: IO[bytes], where: str) -> ArrayInFile:
    """The array that comes through a pipe: its values can be read once, forward."""
    dtype, shape, fortran = read_header(file, where)
    if fortran:
        raise DataError(
            f"{where}: is an array in Fortran order, which cannot be read as it comes: "
            "give it as a file"
        )
    if min(shape, default=0) < 0:
        raise DataError(f"{where}: claims the shape {shape}")
    return ArrayInFile(where, dtype, shape, fortran, Path(), None, lambda: file, again=False)


def _start_of(path: Path, member: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin: after its local header, whose length stands in it."""
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)
        name, extra = struct.unpack("<HH", _exactly(file, 4))
    return member.header_offset + 30 + int(name) + int(extra)


def read_header(
    file: IO[bytes], where: str, *, through: tuple[type[Exception], ...] = ()
) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """Type, shape and order of the array that follows; errors in `through` pass."""
    try:
        version = np.lib.format.read_magic(file)
        read: Any = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape, fortran, dtype = read(file)
    except through:
        raise
    except Exception as error:  # noqa: BLE001  numpy raises what it likes on a bad header
        why = one_line(" ".join(str(error).split()))[:100]
        raise DataError(f"{where}: is not an array that can be read ({why})") from None
    if dtype.hasobject:
        raise DataError(f"{where}: holds Python objects, which only a pickle can: refused")
    if dtype.subdtype is not None:  # the array would have more axes than its shape says
        raise DataError(f"{where}: holds values of the type {dtype}, each an array of its own")
    if dtype.itemsize == 0:
        raise DataError(f"{where}: holds values of the type {dtype}, which has no bytes")
    return dtype, tuple(int(side) for side in shape), bool(fortran)


def _check_size(stored: ArrayInFile, there: int) -> None:
    needed = int(math.prod(stored.shape)) * stored.dtype.itemsize
    if there < needed or min(stored.shape, default=0) < 0:
        raise DataError(
            f"{stored.where}: is truncated: its header claims {stored.shape} of {stored.dtype}, "
            f"{needed:,} bytes, but it holds {there:,}"
        )


def _exactly(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError("ends early")
    return data
