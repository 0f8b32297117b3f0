"""Checks of the names and sizes of archive members, and their error messages."""

from __future__ import annotations

import lzma
import re
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from vaekit.errors import DataError
from vaekit.wording import one_line

BROKEN_ARCHIVE = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError),
)
"""What the readers of archives raise on damage."""

MAX_EXPANSION = 200
"""How many times larger than its file an archive may be, once unpacked: images never are."""

EXPANSION_FROM = 128 << 20
"""Bytes that any archive may unpack to; half of an image that is as large as it may be."""


def check_member(name: str, where: str) -> None:
    """Refuse an archive with a member whose name leads out of it."""
    if _is_plain(name):
        return
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        raise DataError(f"{where}: member {one_line(name)!r} points outside the archive: refused")


def clean_name(name: str) -> str:
    """`./a//b.png`, as some programs write, is `a/b.png`."""
    return name if _is_plain(name) else str(PurePosixPath(name.replace("\\", "/")))


def _is_plain(name: str) -> bool:
    """Whether a name is clean and stays inside the archive: quicker than making a path of each.

    >>> _is_plain("a/b.png"), _is_plain("a/../b.png"), _is_plain("a//b.png"), _is_plain("C:/b.png")
    (True, False, False, False)
    """
    return not (
        not name
        or name[0] in "./"
        or name[-1] == "/"
        or "/." in name
        or "//" in name
        or "\\" in name
        or name[1:2] == ":"
    )


def check_expansion(unpacked: int, path: Path, where: str) -> None:
    """Refuse an archive that unpacks to over 200 times its size."""
    if unpacked > EXPANSION_FROM and unpacked > MAX_EXPANSION * path.stat().st_size:
        raise DataError(f"{where}: unpacks to over {MAX_EXPANSION} times its size: refused")


def reason_of(error: BaseException) -> str:
    """What is wrong with an archive, in a few words."""
    text = one_line(" ".join(str(error).split()))
    if not text or "could not be opened successfully" in text:  # a list of all that was tried
        return "its format is not known" if text else type(error).__name__
    return text[:100]
