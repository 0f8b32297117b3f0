"""A stream whose first bytes can be read ahead, to recognise its format."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import IO, Any


class PeekableStream(io.RawIOBase):
    r"""Reads from a file, starting with what was peeked at; closing it leaves the file open.

    Bytes are passed on as they arrive: a pipe is never waited on for more than it has.

    >>> stream = PeekableStream(io.BytesIO(b"\x93NUMPY and more"))
    >>> stream.peek(6), io.BufferedReader(stream).read()
    (b'\x93NUMPY', b'\x93NUMPY and more')
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._head = b""
        self._read: Callable[[int], bytes] = getattr(file, "read1", file.read)

    def peek(self, most: int, is_enough: Callable[[bytes], bool] = lambda head: False) -> bytes:
        """The first `most` bytes, or fewer where they are enough or the file ends."""
        while len(self._head) < most and not is_enough(self._head):
            if not (data := self._read(most - len(self._head))):
                break
            self._head += data
        return self._head

    def readable(self) -> bool:
        """Always: this is what makes it an input of `io.BufferedReader`."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Some bytes, as soon as there are any."""
        data = self._head[: len(buffer)] or self._read(len(buffer))
        self._head = self._head[len(data) :]
        buffer[: len(data)] = data
        return len(data)
