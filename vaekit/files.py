"""Writes files whole or not at all; file locks; the cache folder."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

LONGEST_FILE_NAME = 200
"""Bytes of a file's name that a temporary name repeats; file systems take 255 in all."""

TEMPORARY = ".part"
RANDOM = 8
"""Characters that `tempfile` puts in the middle of a temporary name."""

NO_ROOM = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room within your quota",
    errno.EFBIG: "files of that size are not allowed there (see ulimit -f, or use another disk)",
}
"""What to do about a write that failed for want of room."""


def cache_dir() -> Path:
    """Where downloads and decoded images live: the platform's cache folder for this user."""
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "vaekit"


def current_umask() -> int:
    """The umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file so that `path` holds the old content, or all of the new one, never a part.

    The bytes go to a temporary name beside it, are fsynced, get the mode that the umask gives
    any new file, and are renamed; the folder is fsynced, so that the name survives a power cut
    too. On any failure the temporary file is gone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with errors_naming_file(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path), suffix=TEMPORARY)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~current_umask())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


@contextlib.contextmanager
def errors_naming_file(path: Path) -> Iterator[None]:
    """Let a failed write say which file it was for.

    The system names no file once it is open, and a temporary name says nothing to people.
    """
    try:
        yield
    except OSError as error:
        nameless = error.filename is None and error.errno in (*NO_ROOM, errno.EIO, errno.EROFS)
        if nameless or str(error.filename).endswith(TEMPORARY):
            error.filename = str(path)
        raise


def remove_leftovers(path: Path) -> None:
    """Remove what writers of `path` left half written when they were killed.

    Only for one who knows that nobody writes it now.
    """
    pattern = glob.escape(f".{path.name}.") + "?" * RANDOM + TEMPORARY
    for left in path.parent.glob(pattern):
        left.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    """The beginning of a temporary name beside `path`, which leaves room for the rest of it."""
    return f".{path.name}." if len(os.fsencode(path.name)) <= LONGEST_FILE_NAME else ".long-name."


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, whole or not at all."""
    with replacing(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Replace `path` by UTF-8 text, whole or not at all."""
    write_bytes(path, content.encode())


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable, where the platform can open a folder at all."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock file at `path`; yields False at once if another holds it and `wait` is off.

    The lock belongs to the open file, not to its name, so the system drops it when the process
    ends, however it ends: a lock is never left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        got = _acquire(file, wait)
        try:
            yield got
        finally:
            if got:
                _release(file)


if sys.platform == "win32":
    import msvcrt

    def _acquire(file: IO[bytes], wait: bool) -> bool:
        file.seek(0)
        while True:
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError:
                if not wait:
                    return False
            else:
                return True

    def _release(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _acquire(file: IO[bytes], wait: bool) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def _release(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


def hold(file: IO[bytes]) -> None:
    """Mark an open file as in use until every handle of it is closed; several may hold it.

    Where locks are not supported, removing the file is still harmless: POSIX keeps its content
    for those who have it open, and Windows refuses.
    """
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_SH)


def is_held(path: Path) -> bool:
    """Whether another open file holds this one."""
    if sys.platform == "win32" or not path.exists():
        return False
    with path.open("rb") as file:
        return not _acquire(file, wait=False)
