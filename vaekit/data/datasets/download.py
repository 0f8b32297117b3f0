"""Downloads a file whole and with its checksum verified, or leaves nothing behind."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from vaekit import files
from vaekit.data.source import Request
from vaekit.errors import DataError, DownloadError
from vaekit.reporting import Reporter
from vaekit.wording import one_line


def datasets_dir(request: Request) -> Path:
    """Where named data sets lie: `--data-dir`, or the user's cache."""
    return Path(request.data_dir or files.cache_dir() / "datasets")


TIMEOUT = 30
"""Seconds without a byte after which a server is given up."""
_PIECE = 1 << 18


@dataclass(frozen=True)
class Remote:
    """A file on a server."""

    urls: tuple[str, ...]
    """Tried in turn."""
    md5: str
    """The checksum its publisher gives: MD5 finds damage and mistakes, and they give no other."""


def downloaded(
    path: Path, remote: Callable[[], Remote], reporter: Reporter, *, check: bool = False
) -> Path:
    """The file at `path`, downloaded if it is missing; `remote` is called only when needed.

    A download is checked when it arrives. `check` verifies a file that is there already, too: an
    archive is verified before it is unpacked.
    """
    return path if path.is_file() and not check else fetch(remote(), path, reporter)


def fetch(remote: Remote, target: Path, reporter: Reporter) -> Path:
    """The file at `target`: the one that is there if its checksum is right, or downloaded.

    Of several processes that want it at once, one downloads and the others wait for it.
    """
    if target.exists():
        return _checked(target, remote)
    try:
        with files.locked(target.with_name(f".{target.name}.lock")):
            if target.exists():
                return _checked(target, remote)
            _download(remote, target, reporter)
    except OSError as error:
        raise DownloadError(
            f"cannot write {one_line(str(target))} ({error.strerror or error}): put "
            f"{remote.urls[0]} there, or name another folder for data sets with --data-dir"
        ) from None
    return target


def _checked(path: Path, remote: Remote) -> Path:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, _md5).hexdigest()
    if found != remote.md5:
        with contextlib.suppress(OSError):
            path.unlink()
        raise _mismatch(path, remote, found, "removed; run again to download it")
    return path


def _mismatch(path: Path, remote: Remote, found: str, done: str) -> DataError:
    return DataError(
        f"{one_line(str(path))}: is not the file that {remote.urls[0]} should give "
        f"(MD5 {found} instead of {remote.md5}): {done}"
    )


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _download(remote: Remote, target: Path, reporter: Reporter) -> None:
    """Try one address after another; the error is that of the first, the main one."""
    failures = []
    for url in remote.urls:
        try:
            return _download_from(url, remote, target, reporter)
        except (DownloadError, DataError) as error:
            failures.append(error.with_traceback(None))
    raise failures.pop(0)


def _download_from(url: str, remote: Remote, target: Path, reporter: Reporter) -> None:
    for left in target.parent.glob(f".{target.name}.*.part"):  # by a process that was killed
        left.unlink(missing_ok=True)
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "vaekit"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
            if answer.headers.get_content_type() == "text/html":
                raise _failed(url, "a web page came instead: its quota may be used up", target)
            with files.replacing(target) as file:
                _copy_checked(answer, file, url, remote, target, reporter)
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        raise _failed(url, str(error.reason), target) from None
    except urllib.error.URLError as error:
        raise _failed(url, str(error.reason), target) from None
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _failed(url, str(error) or "no answer", target) from None


def _copy_checked(
    answer: Any, file: IO[bytes], url: str, remote: Remote, target: Path, reporter: Reporter
) -> None:
    """Copy and verify; on failure `files.replacing` removes what was written."""
    length = answer.headers.get("Content-Length")
    total = int(length) if length and length.isdecimal() else None
    digest, done = _md5(), 0
    with reporter.task(f"Downloading {target.name}", total, unit="bytes") as task:
        while piece := _read(answer, url, target):
            file.write(piece)
            digest.update(piece)
            done += len(piece)
            task.advance(len(piece))
    if total is not None and done < total:
        raise _failed(url, f"cut off after {done:,} of {total:,} bytes", target)
    if digest.hexdigest() != remote.md5:
        raise _mismatch(target, remote, digest.hexdigest(), "what was downloaded is removed")


def _read(answer: Any, url: str, target: Path) -> bytes:
    try:
        piece: bytes = answer.read(_PIECE)
    except (OSError, http.client.HTTPException) as error:
        raise _failed(url, str(error) or "no answer", target) from None
    return piece


def _failed(url: str, why: str, target: Path) -> DownloadError:
    return DownloadError(
        f"cannot download {url} ({' '.join(why.split())}): fetch it by other means and put it at "
        f"{one_line(str(target.absolute()))}, or name a folder that has it with --data-dir"
    )


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
