"""Downloads a file whole, with its checksum verified; continues one that was cut off."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vaekit import files
from vaekit.data.source import Request
from vaekit.errors import DataError, DownloadError
from vaekit.reporting import Reporter, Task
from vaekit.wording import one_line


def datasets_dir(request: Request) -> Path:
    """Where named data sets lie: `--data-dir`, or the user's cache."""
    return Path(request.data_dir or files.cache_dir() / "datasets")


TIMEOUT = 30
"""Seconds without a byte after which a server is given up."""

ANSWER_SECONDS = 60
"""Seconds a server has to accept a request and send all headers, redirects included."""

DRIP_SECONDS, DRIP_BYTES = 60, 60 << 10
"""A server that sends fewer bytes than that in so many seconds is given up as well."""
_PIECE = 1 << 18


@dataclass(frozen=True)
class Remote:
    """A file on a server."""

    urls: tuple[str, ...]
    """Tried in turn."""
    md5: str
    """The checksum its publisher gives, mostly the only one. Nothing is used without it, so an
    address may be plain http."""
    megabytes: int
    """Its data set's size in the catalogue, rounded: a much larger file is refused."""

    @property
    def most_bytes(self) -> int:
        """More are not the publisher's file."""
        return (self.megabytes * 11 // 10 + 1) * 1_000_000


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
        with contextlib.suppress(OSError):
            _part_of(target).unlink()
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
    part, failures = _part_of(target), []
    for url in remote.urls:
        try:
            _download_from(url, remote, part, reporter)
            return _finish(remote, part, target)
        except (_Failed, DataError) as error:
            if getattr(error, "code", None) == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink(missing_ok=True)  # it is as long as the file, or longer
                return _download(remote, target, reporter)
            failures.append(error.with_traceback(None))
    first = failures.pop(0)
    raise first if isinstance(first, DataError) else _unreachable(first, part, target)


def _part_of(target: Path) -> Path:
    """Where a download lies until it is whole; one that was cut off goes on there."""
    return target.with_name(f".{target.name}.part")


class _Failed(Exception):
    """One address could not give the file."""

    def __init__(self, url: str, why: str, code: int | None = None) -> None:
        super().__init__(one_line(" ".join(why.split())))
        self.url, self.code = url, code


def _unreachable(error: _Failed, part: Path, target: Path) -> DownloadError:
    kept = ", or run again to go on where it stopped" if part.exists() else ""
    return DownloadError(
        f"cannot download {error.url} ({error}): fetch it by other means and put it at "
        f"{one_line(str(target.absolute()))}, or name a folder that has it with --data-dir{kept}"
    )


def _finish(remote: Remote, part: Path, target: Path) -> None:
    """Give the file its name if it is the right one, and remove it if it is not."""
    with part.open("rb") as file:
        found = hashlib.file_digest(file, _md5).hexdigest()
        os.fsync(file.fileno())
    if found != remote.md5:
        part.unlink()
        raise _mismatch(target, remote, found, "what was downloaded is removed")
    part.replace(target)
    files.sync_folder(target.parent)


def _download_from(url: str, remote: Remote, part: Path, reporter: Reporter) -> None:
    """Add to `part` what it lacks, or write it from its beginning where the server cannot go on."""
    start = part.stat().st_size if part.exists() else 0
    with _answers(url, start) as answer:
        if answer.headers.get_content_type() == "text/html":
            raise _Failed(url, "a web page came instead: its quota may be used up")
        start = start if answer.status == http.client.PARTIAL_CONTENT else 0
        length = answer.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        if total is not None and total > remote.most_bytes:
            raise _too_large(url, remote, part)
        name = part.name.removeprefix(".").removesuffix(".part")
        with reporter.task(f"Downloading {name}", total, unit="bytes") as task:
            task.advance(start)
            done = _copy(answer, url, part, start, remote, task)
    if total is not None and done < total:
        raise _Failed(url, f"cut off after {done:,} of {total:,} bytes")


@contextmanager
def _answers(url: str, start: int) -> Iterator[Any]:
    """What a server says to a request for a file, from byte `start` on."""
    headers = {"User-Agent": "vaekit", **({"Range": f"bytes={start}-"} if start else {})}
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  checked by its MD5
        with _asked(request) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        raise _Failed(url, str(error.reason), error.code) from None
    except urllib.error.URLError as error:
        raise _Failed(url, str(error.reason)) from None
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise _Failed(url, str(error) or "no answer") from None


def _asked(request: urllib.request.Request) -> Any:
    """The answer to a request, with all its headers, or a TimeoutError.

    The timeout of a socket starts again with each byte, so a thread asks. One that is given up
    ends with its server or with the process: nothing can stop it.
    """
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(urllib.request.urlopen(request, timeout=TIMEOUT))  # noqa: S310
        except Exception as error:  # noqa: BLE001  it is raised where the answer is waited for
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=ANSWER_SECONDS)
    except queue.Empty:
        raise TimeoutError(f"no complete answer within {ANSWER_SECONDS} seconds") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _copy(answer: Any, url: str, part: Path, start: int, remote: Remote, task: Task) -> int:
    """Write what comes to `part` from byte `start` on; returns how long it is now."""
    done = mark = start
    since = time.monotonic()
    with part.open("r+b" if start else "wb") as file:
        file.seek(start)
        while piece := _read(answer, url):
            file.write(piece)
            done += len(piece)
            task.advance(len(piece))
            if done > remote.most_bytes:
                raise _too_large(url, remote, part)
            if time.monotonic() - since > DRIP_SECONDS:
                if done - mark < DRIP_BYTES:
                    raise _Failed(url, f"only {done - mark:,} bytes in {DRIP_SECONDS} seconds")
                since, mark = time.monotonic(), done
    return done


def _read(answer: Any, url: str) -> bytes:
    """What has arrived; it waits for the first byte alone."""
    try:
        piece: bytes = answer.read1(_PIECE)
    except (OSError, http.client.HTTPException) as error:
        raise _Failed(url, str(error) or "no answer") from None
    return piece


def _too_large(url: str, remote: Remote, part: Path) -> _Failed:
    part.unlink(missing_ok=True)
    return _Failed(url, f"it is larger than {remote.megabytes:,} MB: refused")
