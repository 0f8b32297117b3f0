"""Writes files whole or not at all; file locks; the cache folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

LONGEST_FILE_NAME = 200
"""Bytes of a longer file name are left out of its temporary name; file systems take 255."""

TEMPORARY = ".part"
MARK = ".vaekit-"
"""Part of each temporary name: files of other programs may end in `.part` too."""

RANDOM = 8
"""Random characters in the middle of a temporary name."""

UNSUPPORTED = {
    errno.ENOLCK,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.EINVAL,
    errno.EPERM,
}
"""The errors of a file system that lacks locks or modes, or cannot sync a folder."""

NO_ROOM = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room within your quota",
    errno.EFBIG: "files of that size are not allowed there (see ulimit -f, or use another disk)",
}
"""What to do about a write that failed for want of room."""


def cache_dir() -> Path:
    """Where downloads and decoded images are kept: the platform's cache folder for this user.

    A user without a home, as in many containers, gets a folder of their own for temporary files.
    """
    try:
        return _user_caches() / "vaekit"
    except RuntimeError:  # from `Path.home`
        owner = os.getuid() if sys.platform != "win32" else "user"
        return Path(tempfile.gettempdir()) / f"vaekit-{owner}"


def _user_caches() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def current_umask() -> int:
    """The umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file so that `path` holds the old content, or all of the new one, never a part.

    The bytes go to a temporary file beside it, which is removed on any failure, and by the next
    writer of `path` if this process is killed. They are on the disk before the name is, and the
    name before this returns, so that both survive a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, {path})
    with _replacing(path) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def write_one_of_many(path: Path, content: bytes) -> None:
    """Replace a file in a folder of thousands, whole or not at all, without waiting for the disk.

    Leftovers are not looked for: `remove_leftovers` does that once for the folder.
    """
    with _replacing(path) as file:
        file.write(content)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    with errors_naming_file(path), contextlib.ExitStack() as cleanup:
        file, temporary = _temporary_file(path, cleanup)
        yield file
        file.flush()
        with _where_supported():
            temporary.chmod(0o666 & ~current_umask())
        if sys.platform == "win32":  # where an open file cannot be renamed
            file.close()
        temporary.replace(path)


def _temporary_file(path: Path, cleanup: contextlib.ExitStack) -> tuple[IO[bytes], Path]:
    """A new file beside `path`, locked as long as it is open: an unlocked one is a leftover.

    `cleanup` closes and removes it, and knows its name before it exists: a signal may arrive
    between any two instructions.
    """
    while True:
        name = f"{_prefix(path)}{secrets.token_hex(RANDOM // 2)}{TEMPORARY}"
        temporary = path.with_name(name)
        cleanup.callback(temporary.unlink, missing_ok=True)
        file = cleanup.enter_context(_new_file(temporary))
        if sys.platform == "win32":  # where nobody can remove an open file
            return file, temporary
        _lock(file, wait=True)
        if os.fstat(file.fileno()).st_nlink:
            return file, temporary
        file.close()  # another process removed it before it was locked


def _new_file(path: Path) -> IO[bytes]:
    """A file that did not exist, which no other user can open."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o600), "wb")


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


def replaced_by(temporary: Path) -> Path | None:
    """The file that a temporary file would have replaced; None if `replacing` did not name it.

    >>> replaced_by(Path("run/.loss.png.vaekit-k3j_9x2a.part")).as_posix()
    'run/loss.png'
    """
    pattern = rf"\.(.+){re.escape(MARK)}[a-z0-9_]{{{RANDOM}}}{re.escape(TEMPORARY)}"
    found = re.fullmatch(pattern, temporary.name, re.DOTALL)
    return temporary.with_name(found[1]) if found else None


def remove_leftovers(folder: Path, targets: Collection[Path] | None = None) -> None:
    """Remove the temporary files of killed writers of these targets, or of any, in `folder`.

    A file that a living process writes is locked, and stays; so does every file where the file
    system has no locks to tell by.
    """
    names = {_temporary_stem(target) for target in targets or () if target.parent == folder}
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            target = replaced_by(Path(entry.name)) if entry.name.endswith(TEMPORARY) else None
            if target is not None and (targets is None or target.name in names):
                _remove_if_unlocked(Path(entry.path))


def _remove_if_unlocked(temporary: Path) -> None:
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            temporary.unlink()  # fails while a process has it open
            return
        handle = os.open(temporary, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            if _lock(file, wait=False):
                temporary.unlink()


def _prefix(path: Path) -> str:
    return f".{_temporary_stem(path)}{MARK}"


def _temporary_stem(path: Path) -> str:
    """The part of a temporary name that tells whose it is: the file's name, or a hash of it."""
    name = os.fsencode(path.name)
    return path.name if len(name) <= LONGEST_FILE_NAME else hashlib.sha256(name).hexdigest()


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, whole or not at all."""
    with replacing(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Replace `path` by UTF-8 text, whole or not at all."""
    write_bytes(path, content.encode())


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` durable, where the system can sync a folder."""
    if os.name != "posix":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder that can be written but not listed
        return
    try:
        with _where_supported():
            os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _where_supported() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock file at `path`; yields False at once if another holds it and `wait` is off.

    The system drops the lock when the process ends in any way, so none is left behind. That is
    also why this is not `filelock`: where a file system has no locks, it makes marker files, which
    a killed process leaves. There, the work goes on without a lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        got = _lock(file, wait=wait)
        try:
            yield got is not False
        finally:
            if got:
                _unlock(file)  # a child process may still have the file open


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes], *, wait: bool) -> bool | None:
        file.seek(0)
        while True:
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            except OSError:
                if not wait:
                    return False
            else:
                return True

    def _unlock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes], *, wait: bool) -> bool | None:
        """Lock an open file; False if another process holds it, None if locks are unsupported."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in UNSUPPORTED:
                return None
            raise
        return True

    def _unlock(file: IO[bytes]) -> None:
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
        return _lock(file, wait=False) is False


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock file at `path`; False where there are no locks.

    The question takes a shared lock for a moment, so that several can ask at once.
    """
    with contextlib.suppress(OSError), path.open("rb") as file:
        if sys.platform == "win32":
            return _lock(file, wait=False) is False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
