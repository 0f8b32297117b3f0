"""Bytes on their way out: to a file that appears whole or not at all, or down a pipe."""

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

OUTPUT_SPOOL = 8 << 20
"""Bytes that wait in memory; more of them wait on the disk."""

WRITE_PIECE = 1 << 20


@contextlib.contextmanager
def open_output(target: Target) -> Iterator[IO[bytes]]:
    """The stream to write to. What fails midway leaves no file, and an old one as it was."""
    if target.path is None:
        yield from _stdout()
    elif target.path.exists() and not target.path.is_file():
        yield from _device(target.path)
    else:
        # A link stays a link: what it points to is replaced.
        with replacing(target.path.resolve()) as file:
            yield file


def rewindable(target: Target) -> bool:
    """Whether the stream is a file of our own, so that its header can be mended at the end."""
    return target.path is not None and (target.path.is_file() or not target.path.exists())


def write_output(target: Target, content: bytes) -> None:
    """All of it at once: a picture or an animation that is already encoded."""
    with open_output(target) as file:
        file.write(content)


@contextlib.contextmanager
def waiting(target: Target) -> Iterator[IO[bytes]]:
    """A place for bytes that cannot go out yet; beside the target, where there is room for them."""
    folder = str(target.path.resolve().parent) if target.path and rewindable(target) else None
    with tempfile.SpooledTemporaryFile(OUTPUT_SPOOL, dir=folder) as file:
        yield file


def pour(source: IO[bytes], into: IO[bytes]) -> None:
    """Everything that waited, on its way."""
    source.seek(0)
    shutil.copyfileobj(source, into, WRITE_PIECE)


class PipeOutput(io.RawIOBase):
    """A stream that only goes forward, and says so.

    Stdout may be a file opened to append (`>>`), in which nothing that was written can be mended,
    though it looks as if it could. What is written is passed on at once, to whoever waits for it.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.place = stream, 0

    def writable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """How many bytes went through."""
        return self.place

    def write(self, content: Any) -> int:
        """All of it, always."""
        self.stream.write(content)
        self.stream.flush()
        self.place += memoryview(content).nbytes
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
    """A named pipe, /dev/null, a shell's >(command): nothing of that kind is ever replaced."""
    if path.is_dir():
        raise UsageError(f"-o {path}: is a folder, and this form is one file")
    with path.open("wb") as file:
        yield PipeOutput(file)  # type: ignore[misc]
