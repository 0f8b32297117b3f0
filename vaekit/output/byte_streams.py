"""Output streams: a file that appears whole or not at all, a pipe, or a device."""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from vaekit.errors import UsageError, VaekitError
from vaekit.files import replacing
from vaekit.output.formats import Target
from vaekit.wording import one_line

SPOOL_BYTES = 8 << 20
"""Bytes that a temporary spool keeps in memory; what is longer goes to the disk."""

COPY_BYTES = 1 << 20


@contextlib.contextmanager
def open_output(target: Target) -> Iterator[IO[bytes]]:
    """The stream to write to. A failure midway leaves no new file, and an old one unchanged."""
    if target.path is None:
        yield from _stdout()
    elif target.path.exists() and not target.path.is_file():
        yield from _device(target.path)
    else:
        # A link stays a link: what it points to is replaced.
        with replacing(target.path.resolve()) as file:
            yield file


def is_regular_file(target: Target) -> bool:
    """Whether the output is a file of ours, whose header can be corrected at the end."""
    return target.path is not None and (target.path.is_file() or not target.path.exists())


def write_output(target: Target, content: bytes) -> None:
    """Write a picture or an animation that is already encoded."""
    with open_output(target) as file:
        file.write(content)


@contextlib.contextmanager
def temporary_spool(target: Target) -> Iterator[IO[bytes]]:
    """A file for bytes that must be written later; it lies beside the target, if that is a file."""
    folder = str(target.path.resolve().parent) if target.path and is_regular_file(target) else None
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES, dir=folder) as file:
        yield file


def copy_spool(spool: IO[bytes], output: IO[bytes]) -> None:
    """Copy everything in a spool to the output."""
    spool.seek(0)
    shutil.copyfileobj(spool, output, COPY_BYTES)


class PipeOutput(io.RawIOBase):
    """A stream that cannot seek and reports that.

    Stdout may be a file opened to append (`>>`): it claims to seek, but what was written to it
    cannot be changed. Every write is flushed, so that the reader of a pipe gets it at once.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.position = stream, 0

    def writable(self) -> bool:
        """Always true."""
        return True

    def tell(self) -> int:
        """The number of bytes written so far."""
        return self.position

    def write(self, content: Any) -> int:
        """Write all of `content` and flush."""
        self.stream.write(content)
        self.stream.flush()
        self.position += memoryview(content).nbytes
        return memoryview(content).nbytes


class AbandonableOutput:
    """A stream that drops whatever is written after a failure: `with` notices the failure.

    Libraries write the end of a zip or a Parquet file whenever they close it. After a failure that
    would make half a file look whole, or meet the broken pipe a second time.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.abandoned = stream, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.abandoned = kind is not None

    def write(self, content: Any) -> int:
        """Write, unless the work has failed."""
        return memoryview(content).nbytes if self.abandoned else self.stream.write(content)

    def flush(self) -> None:
        """Flush, unless the work has failed."""
        if not self.abandoned:
            self.stream.flush()


def _stdout() -> Iterator[IO[bytes]]:
    if sys.stdout is None:
        raise VaekitError("stdout is closed: there is nowhere to write to")
    sys.stdout.flush()
    yield PipeOutput(sys.stdout.buffer)  # type: ignore[misc]


def _device(path: Path) -> Iterator[IO[bytes]]:
    """A named pipe, /dev/null or a shell's >(command): written to, never replaced."""
    if path.is_dir():
        raise UsageError(f"-o {one_line(str(path))}: is a folder, but this format is one file")
    with path.open("wb") as file:
        yield PipeOutput(file)  # type: ignore[misc]
