"""CelebA, aligned faces in three splits, from the publisher's zip or the unpacked folder.

<data-dir>/celeba/list_eval_partition.txt     a name and its split (0, 1, 2) on each line
<data-dir>/celeba/img_align_celeba.zip        or the folder img_align_celeba/
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from vaekit.data.datasets import torchvision_files
from vaekit.data.datasets.download import datasets_dir, downloaded
from vaekit.data.source import SPLITS, Files, Request, Source, file_identity
from vaekit.data.sources.folder import in_folder
from vaekit.data.sources.zip_files import ZipMember, in_zip, zip_keys, zip_members
from vaekit.errors import DataError
from vaekit.reporting import Reporter
from vaekit.wording import one_line

_FOLDER = "img_align_celeba"


def open_celeba(request: Request) -> Source:
    """Faces of 218x178; unless a size is asked for, they become 64x64, as is usual."""
    root = datasets_dir(request) / "celeba"
    listing = _file(root / "list_eval_partition.txt", request.reporter)
    rows = [line.split() for line in listing.read_text().splitlines() if line.strip()]
    place = root / _FOLDER
    members: dict[str, ZipMember] | None = None
    if not place.is_dir():
        place = _file(root / f"{_FOLDER}.zip", request.reporter)
        members = zip_members(place)
    parts: dict[str, Files] = {}
    for number, split in enumerate(SPLITS):
        names = tuple(row[0] for row in rows if row[1:] == [str(number)])
        if members is None:
            parts[split] = Files(names, in_folder(place, names))
        else:
            inside = _members(place, members, names)
            parts[split] = Files(names, in_zip(place, inside), keys=partial(zip_keys, inside))
    identity = f"celeba\n{file_identity(listing)}\n{file_identity(place)}"
    return Source("celeba", parts, identity, usual_size=(64, 64))


def _file(path: Path, reporter: Reporter) -> Path:
    return downloaded(path, partial(torchvision_files.celeba_file, path.name), reporter)


def _members(path: Path, members: dict[str, ZipMember], names: Sequence[str]) -> list[ZipMember]:
    inside = [f"{_FOLDER}/{name}" for name in names]
    missing = next((name for name in inside if name not in members), None)
    if missing is not None:
        raise DataError(f"{one_line(str(path))}: lacks {one_line(missing)}")
    return [members[name] for name in inside]
