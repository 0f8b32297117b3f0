"""A list of image files, one a line or parted by NUL, that may still be growing as it is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from vaekit.data.streams.named_inputs import Input, Item, image_file
from vaekit.errors import DataError, UsageError
from vaekit.reporting import Reporter

LONGEST_NAME = 1 << 16
"""No path has so many bytes."""


def open_list(file: BinaryIO, where: str, reporter: Reporter, *, null: bool) -> Input:
    """The image files that a list names; folders in it are left alone, so that `find` may list."""

    def parts() -> Iterator[Item]:
        folders = files = 0
        for name in read_names(file, where, null=null):
            if Path(name).is_dir():
                folders += 1
            else:
                files += 1
                yield image_file(name)
        if folders:
            reporter.note(f"{where}: {folders:,} folders in it are left alone: it lists files")
        if not files:
            raise DataError(f"{where}: names no image file")

    return Input(where, lambda: nullcontext(parts()), None, ())


def read_names(file: BinaryIO, where: str, *, null: bool) -> Iterator[str]:
    r"""The names in a list, each as soon as it has arrived.

    >>> import io
    >>> list(read_names(io.BytesIO(b"a b.png\n\nc.png"), "list", null=False))
    ['a b.png', 'c.png']
    """
    for line in _pieces(file, b"\0" if null else b"\n", where):
        if null:
            name = line
        elif b"\0" in line:
            raise UsageError(f"{where}: its names are parted by NUL: -0 reads it so")
        else:
            name = line.removesuffix(b"\r")
        if name.strip():
            yield os.fsdecode(name)


def _pieces(file: BinaryIO, separator: bytes, where: str) -> Iterator[bytes]:
    """What lies between separators; a pipe is read as it fills."""
    read = getattr(file, "read1", file.read)
    rest = b""
    while data := read(LONGEST_NAME):
        *whole, rest = (rest + data).split(separator)
        yield from whole
        if len(rest) > LONGEST_NAME:
            raise DataError(
                f"{where}: holds a line of over {LONGEST_NAME:,} bytes, which is no name "
                "(one name a line, or with -0 parted by NUL)"
            )
    yield rest
