"""Which kind of source a path is: by its ending, or by its first bytes where that says nothing."""

from __future__ import annotations

from pathlib import Path

from vaekit.data.decode import ENDINGS
from vaekit.data.source import Request, Source
from vaekit.data.wording import one_line
from vaekit.errors import DataError

TAR_ENDINGS = (*(".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz"),)
TAKEN = "a folder of images, a .zip or .tar of them, a .npy, or a .npz with x"


def open_path(path: Path, request: Request) -> Source:
    """The source at a path that exists."""
    kind = _kind(path)
    if kind == "folder":
        from vaekit.data.folder import open_folder

        return open_folder(path, request)
    if kind in ("zip", "tar"):
        from vaekit.data import archive

        return (archive.open_zip if kind == "zip" else archive.open_tar)(path, request)
    if kind in ("npy", "npz"):
        from vaekit.data import arrays

        return (arrays.open_npy if kind == "npy" else arrays.open_npz)(path, request)
    raise DataError(f"{one_line(str(path))}: {kind}; a data set is {TAKEN} (--dataset)")


def _kind(path: Path) -> str:
    """`folder`, `zip`, `tar`, `npy` or `npz`; otherwise what the path is instead."""
    if path.is_dir():
        return "folder"
    if not path.is_file():
        return "is neither a file nor a folder, or a link that leads nowhere"
    name = path.name.lower()
    for kind in ("zip", "npy", "npz"):
        if name.endswith(f".{kind}"):
            return kind
    if name.endswith(TAR_ENDINGS):
        return "tar"
    return _kind_by_content(path)


def _kind_by_content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise DataError(f"{one_line(str(path))}: cannot be read ({error.strerror})") from None
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head[257:262] == b"ustar":
        return "tar"
    if path.name.lower().endswith(ENDINGS):
        return "is one image"
    return "is not a kind of file that holds a data set"
