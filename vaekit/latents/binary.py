"""Read latents from .npy, .npz and Parquet; headers are checked and pickles refused."""

from __future__ import annotations

import math
import re
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from vaekit.array_types import AnyArray
from vaekit.data.sources.npy_format import read_header
from vaekit.errors import DataError
from vaekit.output.parquet import pyarrow
from vaekit.wording import one_line

CountAndRows = tuple[int | None, Iterator[AnyArray]]
"""The number of latents, where the file states it, and the latents in arrays (n, D)."""

ROWS_PER_READ = 1024
READ_BYTES = 1 << 20
WIDEST_LATENTS = 1 << 20
"""A header with more numbers per latent than this is broken."""


def read_npy(file: IO[bytes], where: str) -> CountAndRows:
    """An array (N, D), a few rows at a time; one in Fortran order is read whole."""
    dtype, shape, fortran = read_header(file, where, through=_BROKEN)
    _check(dtype, shape, where)
    if fortran:
        return shape[0], iter([_fortran(file, dtype, shape, where)])
    return shape[0], _rows(file, dtype, shape, where)


def read_npz(file: IO[bytes], where: str) -> CountAndRows:
    """The array `z`, or the only one in the file."""
    try:
        archive = zipfile.ZipFile(file)
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        name = "z.npy" if "z.npy" in names else names[0] if len(names) == 1 else None
        if name is None:
            found = ", ".join(one_line(name.removesuffix(".npy")) for name in names) or "none"
            raise DataError(f"{where}: has no array z; its arrays: {found}")
        count, rows = read_npy(
            archive.open(name), f"{where}: {one_line(name.removesuffix('.npy'))}"
        )
    except (*_BROKEN, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{where}: is not an .npz that can be read ({_brief(error)})") from None
    return count, _report_damage(rows, where)


def read_parquet(file: IO[bytes], where: str) -> CountAndRows:
    """A column `z` of lists, or columns z0, z1 and so on."""
    pa = pyarrow()
    try:
        table = pa.parquet.ParquetFile(file)
        names = table.schema_arrow.names
        columns = ["z"] if "z" in names else numbered_columns(names, where)
        return table.metadata.num_rows, _batches(table, columns, where)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{where}: is not Parquet that can be read ({_brief(error)})") from None


def numbered_columns(names: list[str], where: str) -> list[str]:
    """The columns z0, z1, … among others, sorted by number.

    >>> numbered_columns(["path", "z10", *(f"z{i}" for i in range(10))], "z.csv")[-1]
    'z10'
    """
    found = {int(name[1:]): name for name in names if re.fullmatch(r"z\d{1,7}", name)}
    if not found:
        present = ", ".join(one_line(name) for name in names[:8])
        raise DataError(f"{where}: has no columns z0, z1, …, but {present}")
    missing = next((number for number in range(max(found)) if number not in found), None)
    kept = set(found.values())
    if missing is not None or sum(name in kept for name in names) > len(found):
        why = "one occurs twice" if missing is None else f"z{missing} is missing"
        raise DataError(f"{where}: has columns z0 to z{max(found)}, but {why}")
    return [found[number] for number in sorted(found)]


_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, OSError)


def _brief(error: BaseException) -> str:
    return one_line(" ".join(str(error).split()))[:100]


def _check(dtype: np.dtype[Any], shape: tuple[int, ...], where: str) -> None:
    """Refuse an array that is not a table of numbers."""
    if dtype.kind not in "fiu":
        raise DataError(f"{where}: has the type {dtype}; latents are floats")
    if len(shape) != 2:
        why = "; a single latent needs a first axis: z[None]" if len(shape) == 1 else ""
        raise DataError(f"{where}: has the shape {shape}, but latents are (N, D){why}")
    if shape[0] < 0 or not 0 < shape[1] <= WIDEST_LATENTS:
        raise DataError(f"{where}: claims the shape {shape}, which latents cannot have")


def _rows(
    file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...], where: str
) -> Iterator[AnyArray]:
    count, width = shape
    step = max(1, min(ROWS_PER_READ, READ_BYTES // width))
    for start in range(0, count, step):
        rows = min(step, count - start)
        content = _read_up_to(file, rows * width * dtype.itemsize)
        whole = len(content) // (width * dtype.itemsize)
        if whole < rows:
            raise _truncated(where, start + whole, count)
        yield np.frombuffer(content, dtype).reshape(rows, width)
    _check_end(file, where, count)


def _fortran(file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...], where: str) -> AnyArray:
    content = _read_up_to(file, math.prod(shape) * dtype.itemsize)
    if len(content) < math.prod(shape) * dtype.itemsize:
        raise DataError(f"{where}: is truncated: it has {len(content):,} bytes of values")
    _check_end(file, where, shape[0])
    return np.frombuffer(content, dtype).reshape(shape, order="F")


def _read_up_to(file: IO[bytes], size: int) -> bytes:
    """Up to `size` bytes; memory grows with what arrives, not with what a header claims."""
    content = bytearray()
    while len(content) < size:
        more = file.read(min(READ_BYTES, size - len(content)))
        if not more:
            break
        content += more
    return bytes(content)


def _truncated(where: str, found: int, count: int) -> DataError:
    return DataError(f"{where}: is truncated: it ends after {found:,} of {count:,} rows")


def _check_end(file: IO[bytes], where: str, count: int) -> None:
    if file.read(1):
        raise DataError(f"{where}: continues after its {count:,} rows: give one array at a time")


def _report_damage(rows: Iterator[AnyArray], where: str) -> Iterator[AnyArray]:
    """Rows of an archive member, whose damage shows only while it is read."""
    try:
        yield from rows
    except _BROKEN as error:
        raise DataError(f"{where}: is damaged ({_brief(error)})") from None


def _batches(table: Any, columns: list[str], where: str) -> Iterator[AnyArray]:
    pa = pyarrow()
    before, width = 0, None
    try:
        for batch in table.iter_batches(ROWS_PER_READ, columns=columns):
            rows = _lists(batch, where, before) if columns == ["z"] else _table(batch, where)
            width = width or rows.shape[1]
            if rows.shape[1] != width:
                raise _ragged(where, before, rows.shape[1], width)
            before += len(rows)
            yield rows
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{where}: is damaged ({_brief(error)})") from None


def _lists(batch: Any, where: str, before: int) -> AnyArray:
    """A column of lists of one length, as rows."""
    pa = pyarrow()
    column = batch.column(0)
    kind = column.type
    if not hasattr(kind, "value_type"):
        raise DataError(f"{where}: its column z holds {kind}, not lists of numbers")
    lengths = pa.compute.fill_null(pa.compute.list_value_length(column), -1).to_numpy()
    odd = np.flatnonzero(lengths != lengths[:1].sum())
    if odd.size:
        row = int(odd[0])
        raise _ragged(where, before + row, max(0, int(lengths[row])), int(lengths[0]))
    width = max(0, int(lengths[0])) if len(lengths) else 1
    if width == 0:
        raise DataError(f"{where}: row {before + 1}: has no numbers")
    return _numbers(column.flatten(), where).reshape(-1, width)


def _ragged(where: str, row: int, found: int, wanted: int) -> DataError:
    return DataError(f"{where}: row {row + 1}: has {found} numbers, where others have {wanted}")


def _table(batch: Any, where: str) -> AnyArray:
    return np.stack([_numbers(column, where) for column in batch.columns], axis=1)


def _numbers(column: Any, where: str) -> AnyArray:
    if column.null_count:
        raise DataError(f"{where}: has missing values (null) among its latents")
    values: AnyArray = column.to_numpy(zero_copy_only=False)
    if values.dtype.kind not in "fiu":
        raise DataError(f"{where}: has latents of the type {column.type}; latents are floats")
    return values
