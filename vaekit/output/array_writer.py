"""Write .npy and .npz a few rows at a time, in memory that does not grow with their number.

A .npy begins with its number of rows. Where the number is known, the header is written first, to a
pipe too. Where it is not, the header of a file is corrected at the end; rows for a pipe are
spooled first, on the disk if they are many.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Iterator
from typing import IO, cast

import numpy as np
from numpy.typing import DTypeLike

from vaekit.array_types import AnyArray
from vaekit.errors import VaekitError
from vaekit.output.byte_streams import (
    AbandonableOutput,
    copy_spool,
    is_regular_file,
    open_output,
    temporary_spool,
)
from vaekit.output.formats import Target


class ArrayWriter:
    """Writes arrays (n, *row) one after another."""

    def __init__(self, file: IO[bytes], row: tuple[int, ...], dtype: DTypeLike) -> None:
        self.file, self.row, self.dtype = file, row, np.dtype(dtype)
        self.count = 0

    def write(self, rows: AnyArray) -> None:
        """Append rows."""
        if rows.shape[1:] != self.row:
            raise VaekitError(f"rows have shape {rows.shape[1:]} among rows of shape {self.row}")
        self.file.write(np.ascontiguousarray(rows, self.dtype).reshape(-1).view(np.uint8).data)
        self.count += len(rows)

    def header(self, count: int) -> bytes:
        """The header of a .npy of `count` rows; its length is the same for every count."""
        buffer = io.BytesIO()
        fields = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (count, *self.row),
        }
        np.lib.format.write_array_header_1_0(buffer, fields)
        return buffer.getvalue()


@contextlib.contextmanager
def open_array_writer(
    target: Target,
    row: tuple[int, ...],
    *,
    count: int | None = None,
    dtype: DTypeLike = np.float32,
    name: str = "z",
) -> Iterator[ArrayWriter]:
    """Write one array of rows as .npy, or as .npz under `name`.

    Example:
        with open_array_writer(target, (16,)) as out:
            for z in latents:
                out.write(z)
    """
    with open_output(target) as file:
        if target.form == "npy":
            with open_npy_rows(
                file, target, row, count, dtype, seekable=is_regular_file(target)
            ) as rows:
                yield rows
        else:
            with (
                open_zip_writer(file) as archive,
                open_npz_member(archive, target, name, row, count, dtype) as rows,
            ):
                yield rows


@contextlib.contextmanager
def open_zip_writer(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """An archive without compression, as numpy writes it; after a failure it gets no end."""
    stream = AbandonableOutput(file)
    with zipfile.ZipFile(cast("IO[bytes]", stream), "w", allowZip64=True) as archive, stream:
        yield archive


@contextlib.contextmanager
def open_npz_member(
    archive: zipfile.ZipFile,
    target: Target,
    name: str,
    row: tuple[int, ...],
    count: int | None,
    dtype: DTypeLike,
) -> Iterator[ArrayWriter]:
    """One array of an .npz. Its header must be right at once: the checksum is taken in passing."""
    # ZipInfo's default date is fixed, so that equal arrays give equal bytes.
    info = zipfile.ZipInfo(f"{name}.npy")
    with (
        archive.open(info, "w", force_zip64=True) as file,
        open_npy_rows(file, target, row, count, dtype, seekable=False) as rows,
    ):
        yield rows


@contextlib.contextmanager
def open_npy_rows(
    file: IO[bytes],
    target: Target,
    row: tuple[int, ...],
    count: int | None,
    dtype: DTypeLike,
    *,
    seekable: bool,
) -> Iterator[ArrayWriter]:
    """A .npy on a stream; a seekable one gets its number of rows at the end."""
    if count is None and not seekable:
        with temporary_spool(target) as spool:
            rows = ArrayWriter(spool, row, dtype)
            yield rows
            file.write(rows.header(rows.count))
            copy_spool(spool, file)
        return
    rows = ArrayWriter(file, row, dtype)
    file.write(rows.header(count or 0))
    yield rows
    if rows.count != count:
        _correct_count(file, rows, count, seekable)


def _correct_count(file: IO[bytes], rows: ArrayWriter, count: int | None, seekable: bool) -> None:
    if not seekable:
        raise VaekitError(f"{rows.count} rows were written where {count} were promised")
    file.seek(0)
    file.write(rows.header(rows.count))
    file.seek(0, io.SEEK_END)
