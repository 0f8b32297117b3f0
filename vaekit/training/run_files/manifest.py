"""A run's list of its own files: no other file is ever removed or replaced.

The list is `.vaekit-run.json` in the run's folder: a JSON array of paths relative to it, such as
`["../photos.safetensors", "config.yaml", "samples/epoch-001.png"]`. A file is listed before it is
written, so a run that is killed at any moment leaves no file of its own that is not in the list.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vaekit import files
from vaekit.errors import VaekitError

MANIFEST_NAME = ".vaekit-run.json"


@dataclass(frozen=True)
class Manifest:
    """The list of a run in `folder`, whose model may be the file `beside` the folder."""

    folder: Path
    beside: Path

    @property
    def path(self) -> Path:
        """The list itself."""
        return self.folder / MANIFEST_NAME

    def read(self) -> set[Path] | None:
        """The run's files; None where the list is missing or damaged."""
        try:
            entries = json.loads(self.path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            return None
        return {path for entry in entries if (path := self._located(entry)) is not None}

    def write(self, paths: Iterable[Path]) -> None:
        """Replace the list, whole or not at all."""
        entries = sorted(self._entry(path) for path in paths)
        files.write_text(self.path, json.dumps(entries, indent=1) + "\n")

    def claim(self, *paths: Path) -> None:
        """List files that are written next; one that exists and is not listed is an error."""
        owned = self.read() or set()
        new = set(paths) - owned
        if not new:
            return
        for path in sorted(new):
            if os.path.lexists(path):
                raise VaekitError(
                    f"{path}: this run did not write that file and will not replace it; "
                    f"move it away, then resume the run in {self.folder}"
                )
        self.write(new | {path for path in owned if not _is_old_checkpoint(path)})

    def record(self, paths: Iterable[Path]) -> None:
        """List files that the run has just written under names that no other file had."""
        owned = self.read() or set()
        if not owned.issuperset(paths):
            self.write(owned.union(paths))

    def remove_leftovers(self) -> None:
        """Remove what a killed run left half written: the temporary files of listed files."""
        owned = {self.path, *(self.read() or ())}
        for parent in {path.parent for path in owned}:
            files.remove_leftovers(parent, owned)

    def _entry(self, path: Path) -> str:
        beside = path == self.beside
        return f"../{path.name}" if beside else path.relative_to(self.folder).as_posix()

    def _located(self, entry: str) -> Path | None:
        """The path of an entry; None for one that leads out of the folder, or that no file has.

        A list may be damaged.
        """
        if entry == f"../{self.beside.name}":
            return self.beside
        plain = PurePosixPath(entry)
        is_inside = plain.parts and not plain.is_absolute() and ".." not in plain.parts
        path = self.folder / plain
        return path if is_inside and _may_exist(path) else None


def _may_exist(path: Path) -> bool:
    """Whether the system takes such a path: no NUL in it, not too long, not below a file."""
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return True


def _is_old_checkpoint(path: Path) -> bool:
    """Whether a listed checkpoint was removed since, so that the list need not grow with it."""
    return path.parent.name == "checkpoint" and not path.exists()
