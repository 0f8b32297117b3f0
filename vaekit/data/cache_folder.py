"""The folder of decoded images: kept private, listed, cleared, and limited in size."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vaekit import files
from vaekit.data.cache_entry import IMAGES, EntryFacts, is_private, read_facts
from vaekit.errors import UsageError

LIMIT_VARIABLE = "VAEKIT_CACHE_LIMIT"
USUAL_LIMIT = 20_000_000_000

KEYS_ENDING = ".keys"
"""Files of content keys, which lie beside the entries and are small."""

_ENTRY = re.compile(r"[0-9a-f]{64}")
_WORKSHOP = re.compile(r"\.([0-9a-f]{64})\.")
_DAY = 86_400
_KEYS_DAYS = 90
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


@dataclass(frozen=True)
class CacheEntry:
    """One entry of the cache."""

    path: Path
    facts: EntryFacts | None
    """None where the entry is damaged or of an earlier version."""
    size: int
    """Bytes on the disk."""
    last_used: float
    """Seconds since 1970."""


def decoded_dir() -> Path:
    """Where decoded images are kept."""
    return files.cache_dir() / "decoded"


def private_folder() -> Path:
    """The folder, made if it is missing; an OSError says why it cannot be used.

    Whoever can write to it could give a training run other images.
    """
    folder = decoded_dir()
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    with suppress(OSError):
        if os.name == "posix" and folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    if not is_private(folder.stat()):
        raise PermissionError(errno.EPERM, "another user owns it or can write to it")
    return folder


def entries() -> list[CacheEntry]:
    """All entries, the least recently used first."""
    found = [_entry(path) for path in _paths() if _ENTRY.fullmatch(path.name)]
    return sorted(found, key=lambda entry: entry.last_used)


def clear() -> list[CacheEntry]:
    """Remove every entry that is not in use, and what killed processes left; returns them."""
    removed = [entry for entry in entries() if _remove(entry.path)]
    _remove_orphans(0)
    _remove_keys(0)
    for path in _paths():
        if path.suffix == ".lock" and not path.with_suffix("").exists():
            with files.locked(path, wait=False) as free:
                if free:
                    path.unlink(missing_ok=True)
    return removed


def shrink(limit: int, keep: Path) -> None:
    """Remove the least recently used entries until the rest fit; never `keep` or one in use.

    What killed processes left goes too, after a day: not every file system has locks that tell
    whether a process still works on it.
    """
    _remove_orphans(_DAY)
    _remove_keys(_KEYS_DAYS * _DAY)
    found = entries()
    total = sum(entry.size for entry in found)
    for entry in found:
        if total <= limit:
            return
        if entry.path != keep and _remove(entry.path):
            total -= entry.size


def size_limit() -> int:
    """The most bytes that the cache keeps: `VAEKIT_CACHE_LIMIT`, or 20 GB.

    >>> os.environ[LIMIT_VARIABLE] = "1.5 GB"
    >>> size_limit()
    1500000000
    >>> del os.environ[LIMIT_VARIABLE]
    """
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not text:
        return USUAL_LIMIT
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) *([kmgt]?)b?", text.lower())
    if not found:
        raise UsageError(f"{LIMIT_VARIABLE}={text}: write a size, such as 20GB or 500MB")
    return int(float(found[1]) * _UNITS[found[2]])


def _paths() -> Iterator[Path]:
    with suppress(OSError):
        yield from sorted(decoded_dir().iterdir())


def _entry(path: Path) -> CacheEntry:
    size = 0
    with suppress(OSError):
        size = sum(file.stat().st_size for file in path.iterdir())
    return CacheEntry(path, read_facts(path), size, _last_used(path))


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _remove(path: Path) -> bool:
    """Remove an entry and the leftovers of its makers, unless a process makes or maps it."""
    with suppress(OSError), files.locked(path.with_suffix(".lock"), wait=False) as free:
        if not free or files.is_held(path / IMAGES):
            return False
        remove_workshops(path)
        shutil.rmtree(path)
        return True
    return False


def _remove_orphans(seconds: float) -> None:
    """Remove the workshops of killed processes, older than this, whichever entry they were for."""
    latest = time.time() - seconds
    old = [path for path in _paths() if _last_used(path) <= latest]
    matches = [_WORKSHOP.match(path.name) for path in old]
    for key in {match[1] for match in matches if match}:
        entry = decoded_dir() / key
        with suppress(OSError), files.locked(entry.with_suffix(".lock"), wait=False) as free:
            if free:
                remove_workshops(entry)


def _remove_keys(seconds: float) -> None:
    """Remove the content keys that were last used before this."""
    latest = time.time() - seconds
    for path in _paths():
        if path.suffix == KEYS_ENDING and _last_used(path) <= latest:
            with suppress(OSError):
                path.unlink()


def remove_workshops(entry: Path) -> None:
    """Remove what killed processes left of an entry; only for the holder of its lock."""
    for left in entry.parent.glob(f".{entry.name}.*"):
        shutil.rmtree(left, ignore_errors=True)
