"""Read latents from a file or a pipe as chunks of float32 (n, D), in bounded memory.

The format is recognised by content, never by name:

    npy      an array (N, D) of numbers
    npz      the array `z`, or the only one
    csv      columns z0, z1, … of a table with a header, or a table of nothing but numbers
    jsonl    {"z": [...]} or [...], one after another
    parquet  a column `z` of lists, or columns z0, z1, …

Values that are missing, not numbers, not finite or of another width are errors with their place.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vaekit.array_types import Float32s
from vaekit.errors import DataError
from vaekit.latents import binary, text
from vaekit.output.byte_streams import SPOOL_BYTES
from vaekit.peekable import PeekableStream
from vaekit.wording import one_line

LatentReader = Callable[[IO[bytes], str], binary.CountAndRows]

LATENT_CHUNK = 1024
"""Rows of a chunk; the last one may have fewer."""

LATENT_HEAD_BYTES = 4096

_MAGIC = {b"\x93NUMPY": "npy", b"PK\x03\x04": "npz", b"PK\x05\x06": "npz", b"PAR1": "parquet"}
_READERS: dict[str, LatentReader] = {
    "npy": binary.read_npy,
    "npz": binary.read_npz,
    "parquet": binary.read_parquet,
    "csv": text.read_csv,
    "jsonl": text.read_jsonl,
}
_NEED_SEEKING = ("npz", "parquet")
"""Formats whose table of contents is at the end: input from a pipe is spooled first."""


class LatentStream:
    """Latents in chunks, to iterate over once; closed at the end, or by `with`."""

    width: int
    """D: the number of values in a latent."""
    count: int | None
    """N, where the format states it at its beginning."""
    form: str
    where: str
    """The file's name, for messages."""

    def __init__(
        self,
        where: str,
        form: str,
        count: int | None,
        chunks: Iterator[Float32s],
        closing: contextlib.ExitStack,
    ) -> None:
        self.where, self.form, self.count = where, form, count
        self._closing, self._rest = closing, chunks
        self._first = next(chunks, None)
        if self._first is None:
            raise DataError(f"{where}: holds no latents")
        self.width = int(self._first.shape[1])

    def __iter__(self) -> Iterator[Float32s]:
        with self._closing:
            if self._first is not None:
                first, self._first = self._first, None
                yield first
            yield from self._rest

    def __enter__(self) -> LatentStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._closing.close()


def read_latents(
    source: Path | BinaryIO,
    *,
    widths: Sequence[int] = (),
    allow_nonfinite: bool = False,
    where: str | None = None,
) -> LatentStream:
    """Open latents; a width that is none of `widths`, which the model takes, is refused at once.

    Example:
        with read_latents(Path("z.csv"), widths=[16]) as latents:
            for z in latents:
                images = model.decode(z)
    """
    name = one_line(where or (str(source) if isinstance(source, Path) else "stdin"))
    closing = contextlib.ExitStack()
    try:
        file, form = _opened(source, name, closing)
        count, arrays = _READERS[form](file, name)
        chunks = _chunks(arrays, name, allow_nonfinite)
        stream = LatentStream(name, form, count, chunks, closing)
        _check_width(stream, widths)
    except BaseException:
        closing.close()
        raise
    return stream


def _check_width(stream: LatentStream, widths: Sequence[int]) -> None:
    if widths and stream.width not in widths:
        whole, *parts = widths
        firsts = f", or of its first groups {', '.join(map(str, parts))}" if parts else ""
        raise DataError(
            f"{stream.where}: latents have {stream.width} numbers, this model needs {whole}{firsts}"
        )


def _opened(
    source: Path | BinaryIO, where: str, stack: contextlib.ExitStack
) -> tuple[IO[bytes], str]:
    """A stream at its beginning, and the format of its content."""
    if isinstance(source, Path):
        try:
            stream: IO[bytes] = stack.enter_context(source.open("rb"))
        except OSError as error:
            raise DataError(f"{where}: cannot be read ({error.strerror})") from None
    else:
        stream = source
    peekable = PeekableStream(stream)
    head = peekable.peek(LATENT_HEAD_BYTES, lambda head: len(head.lstrip()) >= 8)
    form = _form(head, where)
    if form in _NEED_SEEKING and isinstance(source, Path) and stream.seekable():
        stream.seek(0)
        return stream, form
    whole = io.BufferedReader(peekable)
    return (_spooled(whole, stack) if form in _NEED_SEEKING else whole), form


def _form(head: bytes, where: str) -> str:
    for magic, form in _MAGIC.items():
        if head.startswith(magic):
            return form
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise DataError(f"{where}: is empty: it holds no latents")
    if b"\0" in text or not text[:1].isascii():
        raise DataError(f"{where}: is none of .npy, .npz, .csv, .jsonl, .parquet")
    return "jsonl" if text[:1] in b"{[" else "csv"


def _spooled(stream: IO[bytes], stack: contextlib.ExitStack) -> IO[bytes]:
    """A copy of the stream that can seek; on the disk if it is long."""
    file: IO[bytes] = stack.enter_context(tempfile.SpooledTemporaryFile(SPOOL_BYTES))  # noqa: SIM115
    shutil.copyfileobj(stream, file)
    file.seek(0)
    return file


def _chunks(
    arrays: Iterator[NDArray[Any]], where: str, allow_nonfinite: bool
) -> Iterator[Float32s]:
    """Arrays of any size as checked float32 chunks of one size."""
    held: list[Float32s] = []
    held_rows = before = 0
    for array in arrays:
        rows = _floats(array)
        if not allow_nonfinite:
            _refuse_nonfinite(rows, before, where)
        before += len(rows)
        held.append(rows)
        held_rows += len(rows)
        if held_rows >= LATENT_CHUNK:
            joined = np.concatenate(held)
            whole = held_rows - held_rows % LATENT_CHUNK
            yield from np.split(joined[:whole], whole // LATENT_CHUNK)
            held, held_rows = [joined[whole:]], held_rows - whole
    if held_rows:
        yield np.concatenate(held)


def _floats(values: NDArray[Any]) -> Float32s:
    # A value too large for 32 bits becomes infinite, and is refused for that.
    with np.errstate(over="ignore"):
        return values.astype(np.float32, copy=False)


def _refuse_nonfinite(rows: Float32s, before: int, where: str) -> None:
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad):
        row, column = bad[0].tolist()
        raise DataError(
            f"{where}: row {before + row + 1}, z{column} is {rows[row, column]}, not a finite"
            " 32-bit number (--allow-nonfinite accepts it)"
        )
