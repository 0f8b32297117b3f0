"""A list of image files, one per line or NUL-separated, read as it arrives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from vaekit.data.streams.named_inputs import EncodedImage, OpenedInput, image_file
from vaekit.errors import DataError, UsageError
from vaekit.reporting import Reporter

LONGEST_NAME = 1 << 16
"""No path has more bytes."""


def open_list(file: BinaryIO, where: str, reporter: Reporter, *, null: bool) -> OpenedInput:
    """The image files that a list names; folders are ignored, so that `find` may write it."""

    def parts() -> Iterator[EncodedImage]:
        folders = files = 0
        for name in read_names(file, where, null=null):
            if Path(name).is_dir():
                folders += 1
            else:
                files += 1
                yield image_file(name)
        if folders:
            reporter.note(f"{where}: {folders:,} folders in it are ignored: only files are read")
        if not files:
            raise DataError(f"{where}: names no image file")

    return OpenedInput(where, lambda: nullcontext(parts()), None, ())


def read_names(file: BinaryIO, where: str, *, null: bool) -> Iterator[str]:
    r"""The names in a list, each as soon as it arrives.

    >>> import io
    >>> list(read_names(io.BytesIO(b"a b.png\n\nc.png"), "list", null=False))
    ['a b.png', 'c.png']
    """
    for line in _pieces(file, b"\0" if null else b"\n", where):
        if null:
            name = line
        elif b"\0" in line:
            raise UsageError(f"{where}: its names are NUL-separated: add -0")
        else:
            name = line.removesuffix(b"\r")
        if name.strip():
            yield os.fsdecode(name)


def _pieces(file: BinaryIO, separator: bytes, where: str) -> Iterator[bytes]:
    """The text between separators; a pipe is read as it fills."""
    read = getattr(file, "read1", file.read)
    rest = b""
    while data := read(LONGEST_NAME):
        *whole, rest = (rest + data).split(separator)
        yield from whole
        if len(rest) > LONGEST_NAME:
            raise DataError(
                f"{where}: holds a line of over {LONGEST_NAME:,} bytes, which is not a path "
                "(one path per line, or NUL-separated with -0)"
            )
    yield rest
