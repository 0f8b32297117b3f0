"""Unpacks a downloaded file, or some files of a tar: all of them or none."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from vaekit import files
from vaekit.errors import DataError, DownloadError
from vaekit.wording import one_line

_PIECE = 1 << 18


def unpack_gz(packed: Path, target: Path) -> Path:
    """Unpack one file, whole or not at all."""
    try:
        with gzip.open(packed) as source, files.replacing(target) as file:
            shutil.copyfileobj(source, file, _PIECE)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{one_line(str(packed))}: is damaged ({error})") from None
    except OSError as error:
        raise _unwritable(target, error) from None
    return target


def unpack_tar(packed: Path, target: Path, wanted: Collection[str]) -> Path:
    """Unpack the wanted files of a tar into the folder `target`, all of them or none.

    Only regular files are taken, by their last name alone, so no member can land elsewhere.
    """
    try:
        with files.locked(target.parent / f".{target.name}.lock"):
            if not target.exists():
                _unpack_members(packed, target, wanted)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{one_line(str(packed))}: is damaged ({error})") from None
    except OSError as error:
        raise _unwritable(target, error) from None
    return target


def _unpack_members(packed: Path, target: Path, wanted: Collection[str]) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        building = Path(folder) / "whole"
        building.mkdir()
        missing = set(wanted)
        with tarfile.open(packed) as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                source = archive.extractfile(member) if member.isreg() else None
                if name in missing and source is not None:
                    with (building / name).open("wb") as file:
                        shutil.copyfileobj(source, file, _PIECE)
                    missing.discard(name)
        if missing:
            raise DataError(f"{one_line(str(packed))}: lacks {', '.join(sorted(missing))}")
        files.sync_folder(building)
        building.rename(target)


def damaged_file(path: Path, why: object) -> DataError:
    """The error for a downloaded file that cannot be read."""
    text = one_line(" ".join(str(why).split()))[:100]
    return DataError(f"{one_line(str(path))}: is damaged ({text}): remove it to download it again")


def _unwritable(target: Path, error: OSError) -> DownloadError:
    return DownloadError(
        f"cannot unpack to {one_line(str(target))} ({error.strerror or error}): "
        "--data-dir names another folder for data sets"
    )
