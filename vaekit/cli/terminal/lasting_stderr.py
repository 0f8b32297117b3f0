"""A stderr that never ends a command: once it cannot be written, its text is dropped."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

STDERR = 2
"""The file descriptor."""


class _LastingStderr(io.RawIOBase):
    """Stderr, replaced by /dev/null for good when its reader is gone or its disk is full."""

    def writable(self) -> bool:
        """Yes."""
        return True

    def fileno(self) -> int:
        """The file descriptor of stderr."""
        return STDERR

    def isatty(self) -> bool:
        """Whether stderr is a terminal."""
        return os.isatty(STDERR)

    def write(self, content: Any) -> int:
        """Write everything, or drop what cannot be written."""
        left = memoryview(content)
        size = left.nbytes
        try:
            while left:
                left = left[os.write(STDERR, left) :]
        except BlockingIOError:
            pass  # a slow reader of a pipe that does not block: this text is lost, the next is not
        except OSError:
            null_device(STDERR)
        return size


def null_device(descriptor: int) -> None:
    """Let a file descriptor lead to /dev/null, for native libraries as well."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


def install_lasting_stderr() -> None:
    """Make `sys.stderr` one that never raises; one that is closed becomes /dev/null."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 (as long as the process)
        return
    sys.stderr = io.TextIOWrapper(
        _LastingStderr(),
        encoding=sys.stderr.encoding,
        errors=sys.stderr.errors,
        write_through=True,
    )
