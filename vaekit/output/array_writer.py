"""Rows of numbers to .npy and .npz, some at a time, in memory that does not grow with their number.

A .npy says in its first bytes how many rows follow. Where the number is known, the header goes
out first, down a pipe too. Where it is not, a file's header is mended at the end, and the rows on
their way to a pipe wait, on the disk once they are many.
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
from vaekit.output.byte_streams import AbandonableOutput, open_output, pour, rewindable, waiting
from vaekit.output.formats import Target


class ArrayWriter:
    """Takes arrays (n, *row) and writes their values one after another."""

    def __init__(self, file: IO[bytes], row: tuple[int, ...], dtype: DTypeLike) -> None:
        self.file, self.row, self.dtype = file, row, np.dtype(dtype)
        self.count = 0

    def write(self, rows: AnyArray) -> None:
        """Some more rows."""
        if rows.shape[1:] != self.row:
            raise VaekitError(f"rows have shape {rows.shape[1:]} among rows of shape {self.row}")
        self.file.write(np.ascontiguousarray(rows, self.dtype).tobytes())
        self.count += len(rows)

    def header(self, count: int) -> bytes:
        """What a .npy of so many rows begins with; as long for any number of them."""
        buffer = io.BytesIO()
        said = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (count, *self.row),
        }
        np.lib.format.write_array_header_1_0(buffer, said)
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
        with open_arrays(choose("z.npy", ...), (16,)) as out:
            for z in latents:
                out.write(z)
    """
    with open_output(target) as file:
        if target.form == "npy":
            with npy_rows(file, target, row, count, dtype, mend=rewindable(target)) as rows:
                yield rows
        else:
            with (
                open_zip_writer(file) as archive,
                member(archive, target, name, row, count, dtype) as z,
            ):
                yield z


@contextlib.contextmanager
def open_zip_writer(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """An archive without compression, as numpy writes it; after a failure it gets no end."""
    stream = AbandonableOutput(file)
    with zipfile.ZipFile(cast("IO[bytes]", stream), "w", allowZip64=True) as archive, stream:
        yield archive


@contextlib.contextmanager
def member(
    archive: zipfile.ZipFile,
    target: Target,
    name: str,
    row: tuple[int, ...],
    count: int | None,
    dtype: DTypeLike,
) -> Iterator[ArrayWriter]:
    """One array of an .npz. A member cannot be mended: its checksum is taken as it is written."""
    # ZipInfo's own date is fixed, so that equal arrays are equal bytes.
    info = zipfile.ZipInfo(f"{name}.npy")
    with (
        archive.open(info, "w", force_zip64=True) as file,
        npy_rows(file, target, row, count, dtype, mend=False) as rows,
    ):
        yield rows


@contextlib.contextmanager
def npy_rows(
    file: IO[bytes],
    target: Target,
    row: tuple[int, ...],
    count: int | None,
    dtype: DTypeLike,
    *,
    mend: bool,
) -> Iterator[ArrayWriter]:
    """A .npy on a stream; `mend` says whether its beginning can be written over at the end."""
    if count is None and not mend:
        with waiting(target) as held:
            rows = ArrayWriter(held, row, dtype)
            yield rows
            file.write(rows.header(rows.count))
            pour(held, file)
        return
    rows = ArrayWriter(file, row, dtype)
    file.write(rows.header(count or 0))
    yield rows
    if rows.count != count:
        _mend(file, rows, count, mend)


def _mend(file: IO[bytes], rows: ArrayWriter, count: int | None, mend: bool) -> None:
    if not mend:
        raise VaekitError(f"{rows.count} rows were written where {count} were promised")
    file.seek(0)
    file.write(rows.header(rows.count))
    file.seek(0, io.SEEK_END)
