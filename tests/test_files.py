"""Files appear whole or not at all, and a lock dies with whoever held it."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

import pytest

from vaekit import files

HOLDER = """
import sys, time
from pathlib import Path
from vaekit.files import locked
with locked(Path("lock"), wait="wait" in sys.argv) as got:
    print(got, flush=True)
    if "stay" in sys.argv:
        time.sleep(60)
"""

FULL = Path("/dev/full")


def holder(*how: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", HOLDER, *how], stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def asked() -> str:
    """Whether another process gets the lock at once."""
    with holder() as process:
        return said(process)


def names() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_a_file_is_replaced_by_the_new_content() -> None:
    target = Path("a/b/file.txt")
    files.write_text(target, "old")
    files.write_text(target, "né\n")
    assert target.read_bytes() == "né\n".encode()
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), OSError(28, "full")])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(error: BaseException) -> None:
    target = Path("file.bin")
    target.write_bytes(b"old")

    def write() -> None:
        with files.replacing(target) as file:
            file.write(b"half of the n")
            raise error

    with pytest.raises(type(error)):
        write()
    assert target.read_bytes() == b"old"
    assert names() == ["file.bin"]


def test_a_reader_never_sees_half_a_file() -> None:
    target = Path("file.bin")
    target.write_bytes(b"old")
    with files.replacing(target) as file:
        file.write(b"new")
        file.flush()
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


def test_a_rename_that_fails_leaves_no_temporary_file(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Path("folder")
    target.mkdir()
    with pytest.raises(OSError, match="directory"):
        files.write_bytes(target, b"content")
    assert names() == ["folder"]


def test_content_and_name_are_forced_to_the_disk_in_that_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without the first a power cut leaves an empty file; without the second, the old name."""
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(handle: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def note_replace(self: Path, target: Path) -> Path:
        done.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    files.write_bytes(Path("file.bin"), b"content")
    assert done == ["file", "rename", "folder"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o000, 0o666)])
def test_a_new_file_has_the_mode_of_any_new_file(umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        files.write_bytes(Path("file.bin"), b"")
        assert files.current_umask() == umask
        assert os.umask(umask) == umask, "reading the umask leaves it as it was"
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("file.bin").stat().st_mode) == mode


@pytest.mark.parametrize("name", ["é" * 120 + ".png", "x" * 255, "new\nline", "\udcff.png", ".h"])
def test_any_name_that_a_file_can_have_can_be_written(name: str) -> None:
    files.write_bytes(Path(name), b"content")
    assert Path(name).read_bytes() == b"content"
    assert names() == [name]


def test_a_lock_keeps_another_process_out_until_it_is_given_back() -> None:
    with files.locked(Path("deep/lock")) as got:
        assert got is True
    with files.locked(Path("lock")) as got:
        assert got is True
        assert asked() == "False"
    assert asked() == "True"


def test_a_waiting_process_gets_the_lock_when_it_is_free() -> None:
    with contextlib.ExitStack() as stack:
        with files.locked(Path("lock")):
            waiting = stack.enter_context(holder("wait"))
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(0.5)
        assert said(waiting) == "True"
        assert waiting.wait(20) == 0


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_lock_dies_with_a_process_that_is_killed() -> None:
    """Else a run that was killed could never be taken up."""
    with holder("stay") as holding:
        assert said(holding) == "True"
        with files.locked(Path("lock"), wait=False) as got:
            assert got is False
        holding.send_signal(signal.SIGKILL)
        holding.wait(20)
    with files.locked(Path("lock"), wait=False) as got:
        assert got is True


def test_a_lock_is_given_back_when_the_work_fails() -> None:
    with pytest.raises(ValueError, match="work"), files.locked(Path("lock")):
        raise ValueError("work")
    with files.locked(Path("lock"), wait=False) as got:
        assert got is True


@pytest.mark.skipif(sys.platform != "linux", reason="XDG is Linux's")
def test_the_cache_is_where_the_platform_keeps_caches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert files.cache_dir() == Path("/somewhere/vaekit")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.cache_dir() == tmp_path / ".cache" / "vaekit"


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_a_write_that_fails_says_for_which_file() -> None:
    """The system names none, and the temporary name means nothing to anyone."""
    mine = files.errors_naming_file(Path("mine.bin"))
    with pytest.raises(OSError, match="No space left") as caught, mine, FULL.open("wb") as file:
        file.write(b"content")
    assert caught.value.filename == "mine.bin"
    Path("folder").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        files.write_bytes(Path("folder"), b"content")
    assert caught.value.filename == "folder"


def test_another_files_error_keeps_its_own_name() -> None:
    with pytest.raises(FileNotFoundError) as caught, files.replacing(Path("mine.bin")):
        Path("missing").read_bytes()
    assert caught.value.filename == "missing"
    with pytest.raises(BrokenPipeError) as broken, files.replacing(Path("mine.bin")):
        raise BrokenPipeError(32, "Broken pipe")
    assert broken.value.filename is None


KILLED = """
import os, signal, sys
from pathlib import Path
from vaekit.files import replacing
with replacing(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    if "wait" in sys.argv:
        print("writing", flush=True)
        sys.stdin.read()
    else:
        os.kill(os.getpid(), signal.SIGKILL)
"""
posix_only = pytest.mark.skipif(os.name != "posix", reason="SIGKILL and flock are POSIX's")


def leave_half(target: str) -> Path:
    """What a process leaves beside `target` that is killed while it writes."""
    before = set(names())
    subprocess.run([sys.executable, "-c", KILLED, target], timeout=60)
    (left,) = set(names()) - before
    assert Path(left).read_bytes() == b"half"
    return Path(left)


@posix_only
@pytest.mark.parametrize("target", ["model[1].bin", "new\nline", "x" * 255])
def test_what_a_killed_writer_left_is_removed_by_the_next_one(target: str) -> None:
    left = leave_half(target)
    files.write_bytes(Path("another.bin"), b"")
    assert left.exists(), "it belongs to another file"
    files.write_bytes(Path(target), b"whole")
    assert names() == sorted([target, "another.bin"])


@posix_only
def test_a_users_own_files_are_never_taken_for_leftovers() -> None:
    """Browsers and downloaders name half a file `.part` too."""
    own = [
        *(".m.bin.part", ".m.bin.abcdefgh.part", "m.bin.part", ".movie.mkv.part"),
        *(".m.bin.vaekit-abcdefghi.part", ".m.bin.vaekit-ABCDEFGH.part"),
        ".m.bin.vaekit-abcdefgh.parts",
    ]
    for name in own:
        Path(name).touch()
    files.write_bytes(Path("m.bin"), b"")
    files.remove_leftovers(Path())
    assert names() == sorted([*own, "m.bin"])


@posix_only
def test_a_file_that_a_living_process_writes_is_not_removed() -> None:
    """Else the slower of two writers would fail at its end."""
    command = [sys.executable, "-c", KILLED, "m.bin", "wait"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as writer:
        assert said(writer) == "writing"
        files.write_bytes(Path("m.bin"), b"mine")
        files.remove_leftovers(Path())
        assert len(names()) == 2
        writer.communicate(timeout=60)
    assert writer.returncode == 0
    assert names() == ["m.bin"]
    assert Path("m.bin").read_bytes() == b"half"


@posix_only
def test_many_writers_of_one_file_all_succeed_and_leave_nothing() -> None:
    """Each looks for leftovers of the others, a moment after they create their files too."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom vaekit import files\n"
        "for _ in range(300):\n    files.write_bytes(Path('m.bin'), sys.argv[1].encode() * 1000)\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, letter]) for letter in "abc"]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    assert names() == ["m.bin"]
    assert Path("m.bin").read_bytes() in {letter * 1000 for letter in (b"a", b"b", b"c")}


@posix_only
def test_a_writer_whose_new_file_was_taken_for_a_leftover_starts_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lock, removed = files._lock, []

    def slow_lock(file: IO[bytes], *, wait: bool) -> bool | None:
        if not removed:  # another process is faster
            removed.extend(Path().glob(".m.bin*"))
            removed[0].unlink()
        return lock(file, wait=wait)

    monkeypatch.setattr(files, "_lock", slow_lock)
    files.write_bytes(Path("m.bin"), b"content")
    assert removed
    assert Path("m.bin").read_bytes() == b"content"
    assert names() == ["m.bin"]


@posix_only
def test_a_link_named_like_a_leftover_is_not_followed() -> None:
    Path("precious").write_bytes(b"content")
    Path(".m.bin.vaekit-abcdefgh.part").symlink_to("precious")
    files.write_bytes(Path("m.bin"), b"")
    assert Path("precious").read_bytes() == b"content"


@posix_only
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_is_written_to_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Whether a leftover is still written cannot be told there, so it stays."""
    left = leave_half("m.bin")

    def no_locks(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", no_locks)
    files.write_bytes(Path("m.bin"), b"whole")
    with files.locked(Path("lock"), wait=False) as got:
        assert got is True
    with files.locked(Path("lock")) as got:
        assert got is True
    assert Path("m.bin").read_bytes() == b"whole"
    assert names() == sorted([left.name, "lock", "m.bin"])


@posix_only
def test_a_lock_that_fails_for_another_reason_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr("fcntl.flock", broken)
    with pytest.raises(OSError, match="broken"):
        files.write_bytes(Path("m.bin"), b"")
    assert names() == []
    with pytest.raises(OSError, match="broken"), files.locked(Path("lock")):
        pass


@posix_only
def test_a_folder_that_cannot_be_synced_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """As over some networks."""
    fsync = os.fsync

    def no_folders(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", no_folders)
    files.write_bytes(Path("m.bin"), b"content")
    assert Path("m.bin").read_bytes() == b"content"


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP])
def test_a_file_system_without_modes_is_written_to(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """As on most USB sticks."""

    def no_modes(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "chmod", no_modes)
    files.write_bytes(Path("m.bin"), b"content")
    assert names() == ["m.bin"]


@posix_only
def test_a_user_without_a_home_has_a_cache_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(tempfile, "tempdir", "/scratch")
    assert files.cache_dir() == Path(f"/scratch/vaekit-{os.getuid()}")


def test_a_signal_in_the_moment_a_file_is_made_leaves_no_temporary_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One of thousands of images of a folder was left so."""
    make = files._new_file

    def interrupted(path: Path) -> object:
        make(path).close()
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "_new_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_bytes(Path("x.bin"), b"x")
    assert [*Path().iterdir()] == []
