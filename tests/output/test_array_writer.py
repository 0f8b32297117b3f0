"""What a user would lose: arrays that numpy opens, whole, and a memory that does not fill up."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from vaekit.errors import UsageError, VaekitError
from vaekit.output.array_writer import open_array_writer
from vaekit.output.byte_streams import write_output
from vaekit.output.formats import Target

Z = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32)


def send(target, array, count, name="z", **options):
    with open_array_writer(target, array.shape[1:], count=count, name=name, **options) as out:
        for start in range(0, len(array), 33):
            out.write(array[start : start + 33])


@pytest.mark.parametrize("count", [100, None])
def test_npy_is_what_numpy_itself_would_have_written(tmp_path, piped, count):
    expected = io.BytesIO()
    np.save(expected, Z)
    send(Target(tmp_path / "z.npy", "npy"), Z, count)
    assert (tmp_path / "z.npy").read_bytes() == expected.getvalue()
    with piped("npy") as (target, taken):
        send(target, Z, count)
    assert taken.getvalue() == expected.getvalue()


@pytest.mark.parametrize("count", [100, None])
def test_npz_opens_from_a_file_and_from_a_pipe(tmp_path, piped, count):
    send(Target(tmp_path / "z.npz", "npz"), Z, count, "x")
    with piped("npz") as (target, taken):
        send(target, Z, count, "x")
    for source in (tmp_path / "z.npz", taken):
        with np.load(source, allow_pickle=False) as arrays:
            assert list(arrays) == ["x"]
            assert np.array_equal(arrays["x"], Z)
            assert arrays["x"].dtype == np.float32


def test_npz_is_the_same_bytes_every_time(tmp_path):
    for name in ("a", "b"):
        send(Target(tmp_path / name, "npz"), Z, 100)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_header_leaves_first_where_the_count_is_known(tmp_path):
    """So that `| head -c 200` sees the right shape while rows are still being made."""
    os.mkfifo(tmp_path / "pipe")
    first, ready = [], threading.Event()

    def read() -> None:
        with (tmp_path / "pipe").open("rb", buffering=0) as file:
            first.append(file.read(128))
            ready.set()
            while file.read(1000):
                pass

    thread = threading.Thread(target=read)
    thread.start()
    with open_array_writer(Target(tmp_path / "pipe", "npy"), (5,), count=100) as out:
        assert ready.wait(10)
        out.write(Z)
    thread.join()
    assert b"(100, 5)" in first[0]


def test_fewer_rows_than_announced_are_corrected_in_a_file_and_an_error_in_a_pipe(tmp_path, piped):
    send(Target(tmp_path / "z.npy", "npy"), Z[:7], 100)
    assert np.array_equal(np.load(tmp_path / "z.npy"), Z[:7])
    with piped("npy") as (target, _), pytest.raises(VaekitError, match=r"7 rows .* 100 "):
        send(target, Z[:7], 100)


@pytest.mark.parametrize("form", ["npy", "npz"])
def test_no_rows_make_a_valid_array(tmp_path, form):
    send(Target(tmp_path / "z", form), Z[:0], None)
    loaded = np.load(tmp_path / "z")
    assert (loaded if form == "npy" else loaded["z"]).shape == (0, 5)
    if form == "npz":
        loaded.close()


@pytest.mark.parametrize("form", ["npy", "npz"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, form):
    path = tmp_path / "z.bin"
    path.write_bytes(b"old")

    def stop() -> None:
        with open_array_writer(Target(path, form), (5,)) as out:
            out.write(Z)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("form", ["npy", "npz"])
def test_a_reader_that_has_gone_is_a_broken_pipe_and_nothing_worse(monkeypatch, form):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        with pytest.raises(BrokenPipeError):
            send(Target(None, form), Z, 100)
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)


def test_rows_of_another_shape_are_refused(tmp_path):
    with (
        open_array_writer(Target(tmp_path / "z", "npy"), (5,)) as out,
        pytest.raises(VaekitError, match=r"\(4,\) among rows of shape \(5,\)"),
    ):
        out.write(Z[:, :4])


def test_a_link_stays_a_link_and_a_device_a_device(tmp_path):
    (tmp_path / "real.npy").write_bytes(b"old")
    (tmp_path / "link.npy").symlink_to("real.npy")
    send(Target(tmp_path / "link.npy", "npy"), Z, 100)
    assert (tmp_path / "link.npy").is_symlink()
    assert np.array_equal(np.load(tmp_path / "real.npy"), Z)
    (tmp_path / "null").symlink_to(os.devnull)
    send(Target(tmp_path / "null", "npy"), Z, None)
    assert Path(os.devnull).is_char_device()


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(UsageError, match="is a folder"):
        write_output(Target(tmp_path, "png"), b"")


def test_appending_stdout_is_never_written_over(tmp_path, monkeypatch):
    path = tmp_path / "log"
    path.write_bytes(b"before")
    with path.open("a") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        send(Target(None, "npz"), Z, None)
        monkeypatch.undo()
    content = path.read_bytes()
    assert content.startswith(b"before")
    with np.load(io.BytesIO(content[6:])) as arrays:
        assert np.array_equal(arrays["z"], Z)


PEAK = """
import resource, sys
import numpy as np
from vaekit.output.array_writer import open_array_writer
from vaekit.output.latent_records import open_record_writer
from vaekit.output.formats import Target

rows, form, known = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "known"
z = np.random.default_rng(0).normal(size=(500, 16)).astype(np.float32)
count = rows if known else None
with open_record_writer(Target(None, form), width=16, count=count, logvar=form != "npy") as out:
    for start in range(0, rows, 500):
        names = [f"photos/of/somewhere/{start + i}.jpg" for i in range(500)]
        out.write(names, z, logvar=z if form != "npy" else None)
sys.stderr.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""


@pytest.mark.parametrize(
    ("form", "rows", "known"),
    [("npy", 200_000, "known"), ("npz", 200_000, "unknown"), ("jsonl", 50_000, "known")],
)
def test_memory_does_not_grow_with_the_rows(form, rows, known):
    peaks = []
    for count in (2_000, rows):
        command = [sys.executable, "-c", PEAK, str(count), form, known]
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True
        )
        peaks.append(int(done.stderr) / 1024)
    # An .npz may hold its four spools, of at most 8 MiB, in memory.
    assert peaks[1] - peaks[0] < (36 if form == "npz" else 4)
