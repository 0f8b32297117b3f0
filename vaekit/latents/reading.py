"""From a file or a pipe to chunks of float32 (n, D), in bounded memory.

The form is recognised by content, never by name:

    npy      an array (N, D) of numbers
    npz      the array `z`, or the only one
    csv      columns z0, z1, … of a table with a header, or a table of nothing but numbers
    jsonl    {"z": [...]} or [...], one after another
    parquet  a column `z` of lists, or columns z0, z1, …

What is not there, not a number, not finite or of another width is an error that says where.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vaekit.array_types import Float32s
from vaekit.errors import DataError
from vaekit.latents import binary, text
from vaekit.peekable import PeekableStream
from vaekit.wording import one_line

LatentReader = Callable[[IO[bytes], str], tuple[int | None, Iterator[NDArray[Any]]]]

LATENT_CHUNK = 1024
"""Rows that are given at a time; the last chunk may have fewer."""

LATENT_HEAD_BYTES = 4096
LATENT_SPOOL = 8 << 20

_MAGIC = {b"\x93NUMPY": "npy", b"PK\x03\x04": "npz", b"PK\x05\x06": "npz", b"PAR1": "parquet"}
_READERS: dict[str, LatentReader] = {
    "npy": binary.read_npy,
    "npz": binary.read_npz,
    "parquet": binary.read_parquet,
    "csv": text.read_csv,
    "jsonl": text.read_jsonl,
}
_NEED_ALL = ("npz", "parquet")
"""Forms whose table of contents stands at their end: what comes down a pipe is stored first."""


class LatentStream:
    """Latents in chunks, to be gone through once; closed at the end, or by `with`."""

    width: int
    """D: how many numbers a latent has."""
    count: int | None
    """N, where the form says so at its beginning."""
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
        """Let go of the file."""
        self._closing.close()


def read_latents(
    source: Path | BinaryIO,
    *,
    width: int | None = None,
    allow_nonfinite: bool = False,
    where: str | None = None,
) -> LatentStream:
    """Open latents; `width` is what the model needs, and another one is refused at once.

    Example:
        with read_latents(Path("z.csv"), width=16) as latents:
            for z in latents:
                images = model.decode(z)
    """
    name = one_line(where or (str(source) if isinstance(source, Path) else "stdin"))
    closing = contextlib.ExitStack()
    try:
        file, form = _opened(source, name, closing)
        count, pieces = _READERS[form](file, name)
        chunks = _chunks(pieces, name, allow_nonfinite)
        stream = LatentStream(name, form, count, chunks, closing)
        _check_width(stream, width)
    except BaseException:
        closing.close()
        raise
    return stream


def _check_width(stream: LatentStream, needed: int | None) -> None:
    if needed is not None and stream.width != needed:
        raise DataError(
            f"{stream.where}: latents have {stream.width} numbers, this model needs {needed}"
        )


def _opened(
    source: Path | BinaryIO, where: str, stack: contextlib.ExitStack
) -> tuple[IO[bytes], str]:
    """A stream that stands at the beginning, and the form of what is in it."""
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
    if form in _NEED_ALL and isinstance(source, Path) and stream.seekable():
        stream.seek(0)
        return stream, form
    whole = io.BufferedReader(peekable)
    return (_stored(whole, stack) if form in _NEED_ALL else whole), form


def _form(head: bytes, where: str) -> str:
    for magic, form in _MAGIC.items():
        if head.startswith(magic):
            return form
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise DataError(f"{where}: is empty: there are no latents in it")
    if b"\0" in text or not text[:1].isascii():
        raise DataError(f"{where}: is none of .npy, .npz, .csv, .jsonl, .parquet")
    return "jsonl" if text[:1] in b"{[" else "csv"


def _stored(stream: IO[bytes], stack: contextlib.ExitStack) -> IO[bytes]:
    """A copy of all that comes, in which one can go back; on the disk where it is much."""
    file: IO[bytes] = stack.enter_context(tempfile.SpooledTemporaryFile(LATENT_SPOOL))  # noqa: SIM115
    shutil.copyfileobj(stream, file)
    file.seek(0)
    return file


def _chunks(
    pieces: Iterator[NDArray[Any]], where: str, allow_nonfinite: bool
) -> Iterator[Float32s]:
    """Pieces of any size in chunks of one size, as float32, looked through."""
    held: list[Float32s] = []
    waiting = before = 0
    for piece in pieces:
        rows = _floats(piece)
        if not allow_nonfinite:
            _refuse_nonfinite(rows, before, where)
        before += len(rows)
        held.append(rows)
        waiting += len(rows)
        if waiting >= LATENT_CHUNK:
            joined = np.concatenate(held)
            whole = waiting - waiting % LATENT_CHUNK
            yield from np.split(joined[:whole], whole // LATENT_CHUNK)
            held, waiting = [joined[whole:]], waiting - whole
    if waiting:
        yield np.concatenate(held)


def _floats(values: NDArray[Any]) -> Float32s:
    # What is too large for 32 bits becomes infinite, and is then refused as that.
    with np.errstate(over="ignore"):
        return values.astype(np.float32, copy=False)


def _refuse_nonfinite(rows: Float32s, before: int, where: str) -> None:
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad):
        row, column = bad[0].tolist()
        raise DataError(
            f"{where}: row {before + row + 1}, z{column} is {rows[row, column]}, which is no finite"
            " 32-bit number (--allow-nonfinite takes it)"
        )
