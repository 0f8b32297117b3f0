"""Processes decode to the same bytes and messages as threads.

This also tests `data/decoding/worker.py` and `data/random_access.py`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vaekit.data import load_dataset
from vaekit.data.decoding import process_pool, thread_pool
from vaekit.errors import DataError

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")

PATCHED = """
import os, sys, time
sys.path[:] = sys.argv[1:]
from vaekit.data.decoding import decode_batch
decode = decode_batch.decode_image
def patched(data, *options):
    {}
    return decode(data, *options)
decode_batch.decode_image = patched
from vaekit.data.decoding.worker import serve
serve()
"""
DEADLY = PATCHED.format("if b'deadly' in data: os.kill(os.getpid(), 11)")


@pytest.fixture
def files(picture):
    """Enough for orders of several sizes; of each kind of fault one."""
    files = {f"{n:03d}.jpg": picture(n, form="JPEG") for n in range(200)}
    files["050.jpg"] = b""
    files["120.jpg"] = files["120.jpg"][:300]
    files["121.jpg"] = b"no picture"
    return files


@pytest.fixture
def folder(fill_folder, files):
    return fill_folder(files)


@pytest.fixture
def both(monkeypatch, cache):
    """What threads give, and what processes do; each with a cache of its own."""

    def load(path, **options):
        results = []
        for few in (10**9, 1):
            monkeypatch.setattr(process_pool, "FEWEST_FOR_PROCESSES", few)
            monkeypatch.setattr("vaekit.files.cache_dir", lambda few=few: cache / str(few))
            results.append(load_dataset(path, "all", **options))
        return results

    monkeypatch.setattr(thread_pool, "_cores", lambda: 2)
    return load


def assert_equal(first, second):
    assert np.array_equal(first.images, second.images)
    assert first.fingerprint == second.fingerprint
    assert first.names == second.names
    assert first.skipped == second.skipped


def packed(path, files):
    if path.suffix == ".tar":
        with tarfile.open(path, "w") as archive:
            for name in files:
                archive.add(path.parent / "pictures" / name, name)
        return path
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def used(monkeypatch):
    """The processes that were started."""
    started, start = [], process_pool._Process

    def starting():
        started.append(start())
        return started[-1]

    monkeypatch.setattr(process_pool, "_Process", starting)
    return started


@pytest.mark.parametrize("ending", ["", "zip", "tar"])
@pytest.mark.parametrize("options", [{}, {"image_size": 7, "grayscale": True}])
def test_processes_decode_as_threads_do(tmp_path, folder, files, both, used, ending, options):
    path = packed(tmp_path / f"set.{ending}", files) if ending else folder
    first, second = both(path, **options)
    assert_equal(first, second)
    assert [line[:7] for line in second.skipped] == ["050.jpg", "120.jpg", "121.jpg"]
    assert len(used) == 2
    assert all(process.process.poll() is not None for process in used)


def test_processes_notice_an_image_unlike_the_first(folder, both, encode, heard):
    from PIL import Image

    (folder / "000.jpg").write_bytes(encode(Image.new("L", (12, 12)), "JPEG"))
    (folder / "150.jpg").write_bytes(encode(Image.new("RGB", (20, 12)), "JPEG"))
    first, second = both(folder, reporter=heard)
    assert_equal(first, second)
    assert second.images.shape == (197, 64, 64, 3)
    assert len(set(heard.notes)) == 2  # each said the same


def test_strict_names_the_first_bad_image(folder, both, monkeypatch):
    for few in (10**9, 1):
        monkeypatch.setattr(process_pool, "FEWEST_FOR_PROCESSES", few)
        with pytest.raises(DataError, match=r"050\.jpg: is empty \(--strict\)"):
            load_dataset(folder, "all", strict=True)


def test_an_image_that_crashes_its_process_loses_no_other(folder, both, monkeypatch):
    data = (folder / "077.jpg").read_bytes()
    monkeypatch.setattr(process_pool, "_START", DEADLY)
    whole, _ = both(folder)
    (folder / "077.jpg").write_bytes(data + b"deadly")
    _, second = both(folder)
    why = "cannot be decoded (its decoder died of SIGSEGV)"
    assert [line for line in second.skipped if "077" in line] == [f"077.jpg: {why}"]
    assert np.array_equal(second.images, np.delete(whole.images, 76, 0))


def test_decoders_that_always_crash_are_an_error(folder, both, monkeypatch):
    monkeypatch.setattr(process_pool, "_START", PATCHED.format("os._exit(3)"))
    with pytest.raises(DataError, match=r"over 10 images ended the process .*\(ended with 3\)"):
        both(folder)


def test_threads_decode_where_no_process_starts(folder, both, monkeypatch):
    for other in ("/nowhere/python", "/bin/true", "/bin/echo"):
        monkeypatch.setattr(sys, "executable", other)
        assert_equal(*both(folder, seed=len(other)))


def test_a_process_that_never_gets_ready_is_not_waited_for_long(folder, both, monkeypatch):
    monkeypatch.setattr(process_pool, "_START", "import time; time.sleep(60)")
    monkeypatch.setattr(process_pool, "_STARTUP_SECONDS", 0.2)
    assert_equal(*both(folder))


def test_the_threads_option_bounds_processes_too(folder, both, used, monkeypatch):
    monkeypatch.setattr(thread_pool, "_cores", lambda: 8)
    with thread_pool.at_most(3):
        both(folder)
    assert len(used) == 3
    with thread_pool.at_most(1):
        both(folder)
    assert len(used) == 3


def test_a_failure_in_the_parent_ends_the_processes(folder, both, used, heard, monkeypatch):
    def stopped(amount=1):
        raise KeyboardInterrupt

    monkeypatch.setattr(heard, "advance", stopped)
    monkeypatch.setattr(process_pool, "FEWEST_FOR_PROCESSES", 1)
    with pytest.raises(KeyboardInterrupt):
        load_dataset(folder, "all", reporter=heard)
    assert used
    assert all(process.process.poll() is not None for process in used)


def test_a_zip_that_disappears_is_an_error_that_names_it(tmp_path, files, both, monkeypatch):
    path = packed(tmp_path / "set.zip", files)
    monkeypatch.setattr(
        "vaekit.data.decoding.decode_all._guessed_form", lambda *_: path.unlink() or guessed
    )
    from vaekit.data.decoding.decode_batch import TargetForm

    guessed = TargetForm((12, 12), 3, native=True)
    monkeypatch.setattr(process_pool, "FEWEST_FOR_PROCESSES", 1)
    with pytest.raises(DataError, match=r"set\.zip: cannot be read \(No such file"):
        load_dataset(path, "all")


def test_a_decoder_imports_nothing_slow():
    heavy = (
        "import sys, vaekit.data.decoding.worker; "
        "print(*{'torch', 'matplotlib', 'rich'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


SCRIPT = """
print("main", flush=True)
import sys
from pathlib import Path
import vaekit.files
from vaekit.data import load_dataset
from vaekit.data.decoding import process_pool, thread_pool
vaekit.files.cache_dir = lambda: Path(sys.argv[2])
process_pool.FEWEST_FOR_PROCESSES, thread_pool._cores = 1, lambda: 2
if len(sys.argv) > 3:
    process_pool._START = sys.argv[3]
print(len(load_dataset(sys.argv[1], "all")))
"""


@pytest.fixture
def script(tmp_path, folder):
    """A user's script with no guard around its main part, as a command."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return [sys.executable, str(path), str(folder), str(tmp_path / "cache")]


def test_a_script_without_a_main_guard_runs_once(script):
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["main", "197"]


def children(pid):
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition):
    for _ in range(1000):
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError("waited in vain")


@linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_decoder_outlives_its_parent(script, number):
    slow = PATCHED.format("time.sleep(0.05)")
    process = subprocess.Popen(
        [*script, slow], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    found = wait_for(lambda: len(children(process.pid)) == 2 and children(process.pid))
    process.send_signal(number)
    process.wait(20)
    wait_for(lambda: not any(map(is_running, found)))
    assert process.returncode == -number or number == signal.SIGINT
    if number == signal.SIGINT:  # the others leave the folder of the cache to the next run
        left = [path.name for path in (Path(script[3]) / "decoded").iterdir()]
        assert [name for name in left if not name.endswith(".lock")] == []


@linux
def test_ctrl_c_reaches_everyone_and_only_the_parent_speaks(script):
    slow = PATCHED.format("time.sleep(0.05)")
    process = subprocess.Popen(
        [*script, slow], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    found = wait_for(lambda: len(children(process.pid)) == 2 and children(process.pid))
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert errors.decode().count("Traceback") == 1
    assert errors.decode().rstrip().endswith("KeyboardInterrupt")
    wait_for(lambda: not any(map(is_running, found)))
