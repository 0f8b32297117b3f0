"""Remembers where a named data set was found, so that `--data-dir` is given once.

A file in the cache has the last folder of each. It only saves typing: without it, or where it
cannot be written, a data set is looked for in its usual place.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from vaekit import files


def remember_folder(name: str, folder: str | os.PathLike[str]) -> None:
    """Note that this data set was opened from this folder."""
    path, known = _path(), _known()
    where = str(Path(folder).absolute())
    if known.get(name) == where:
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(path, json.dumps({**known, name: where}, indent=1, sort_keys=True) + "\n")


def remembered_folder(name: str) -> Path | None:
    """The folder from which this data set was last opened, if it is still there."""
    where = _known().get(name)
    return Path(where) if where is not None and Path(where).is_dir() else None


def _path() -> Path:
    return files.cache_dir() / "data-folders.json"


def _known() -> dict[str, str]:
    try:
        found = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    entries = found.items() if isinstance(found, dict) else ()
    return {name: where for name, where in entries if isinstance(where, str)}
