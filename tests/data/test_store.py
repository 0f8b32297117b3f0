"""Images are decoded once, and the cache never gives wrong ones."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vaekit.data import cache_entry, load_dataset, store
from vaekit.errors import DataError


@pytest.fixture
def folder(fill_folder, picture):
    return fill_folder({f"{n % 2}/{n}.png": picture(n) for n in range(30)})


def entries(cache):
    return [path for path in (cache / "decoded").iterdir() if path.is_dir()]


def test_a_second_run_finds_the_same_images_without_decoding(folder, heard):
    first, second = (load_dataset(folder, "all", reporter=heard) for _ in range(2))
    assert heard.decodings == [30]
    assert np.array_equal(first.images, second.images)
    assert first.fingerprint == second.fingerprint
    assert first.names == second.names


def test_the_kept_fingerprint_is_that_of_the_content(folder):
    from vaekit.data.imageset import fingerprint

    for _ in range(2):
        data = load_dataset(folder, "all")
        assert data.known_fingerprint == fingerprint(data.images, data.labels)


def test_a_changed_file_is_decoded_again(folder, encode, heard):
    load_dataset(folder, "all", reporter=heard)
    (folder / "0" / "0.png").write_bytes(encode(Image.new("RGB", (12, 12), (1, 2, 3))))
    data = load_dataset(folder, "all", reporter=heard)
    assert heard.decodings == [30, 30]
    assert data.images[0, 0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "options", [{"image_size": 8}, {"grayscale": True}, {"limit": 9}, {"limit": 9, "seed": 1}]
)
def test_other_options_never_get_a_wrong_entry(folder, options, heard):
    load_dataset(folder, "all", reporter=heard)
    assert load_dataset(folder, "all", reporter=heard, **options).images.shape != (30, 12, 12, 3)
    assert len(heard.decodings) == 2


def cut_images(entry):
    path = entry / "images.npy"
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_pixel(entry):
    path = entry / "images.npy"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def no_meta(entry):
    (entry / "meta.json").unlink()


def half_meta(entry):
    path = entry / "meta.json"
    path.write_text(path.read_text()[:20])


def other_meta(entry):
    (entry / "meta.json").write_text(json.dumps([1, 2]))


def pickled_images(entry):
    np.save(entry / "images.npy", np.array([{}], object), allow_pickle=True)


def empty(entry):
    shutil.rmtree(entry)
    entry.mkdir()


@pytest.mark.parametrize(
    "damage", [cut_images, flip_a_pixel, no_meta, half_meta, other_meta, pickled_images, empty]
)
def test_a_damaged_entry_is_made_again_silently(folder, cache, damage, heard):
    first = load_dataset(folder, "all", reporter=heard)
    (entry,) = entries(cache)
    damage(entry)
    again = load_dataset(folder, "all", reporter=heard)
    assert np.array_equal(first.images, again.images)
    assert not heard.warnings
    load_dataset(folder, "all", reporter=heard)
    assert heard.decodings == [30, 30]


def test_a_cache_that_cannot_be_written_costs_one_warning(folder, cache, heard):
    cache.mkdir()
    (cache / "decoded").write_text("in the way")
    data = load_dataset(folder, "all", reporter=heard)
    assert len(data) == 30
    assert len(heard.warnings) == 1
    assert "cannot be kept in" in heard.warnings[0]


def test_a_file_system_without_modes_has_a_cache_too(folder, heard, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    for _ in range(2):
        assert len(load_dataset(folder, "all", reporter=heard)) == 30
    assert (heard.decodings, heard.warnings) == ([30], [])


def test_a_full_disk_under_the_cache_costs_one_warning(folder, heard, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.np, "save", full)
    assert len(load_dataset(folder, "all", reporter=heard)) == 30
    assert "No space left on device" in heard.warnings[0]


def test_decoding_leaves_no_temporary_files(folder, cache):
    load_dataset(folder, "all")
    left = {path.suffix or "entry" for path in (cache / "decoded").iterdir()}
    assert left == {"entry", ".lock"}


def test_large_sets_are_mapped_read_only_and_equal(folder, monkeypatch):
    held = load_dataset(folder, "all").images
    monkeypatch.setattr(cache_entry, "LARGE_ARRAY", 1000)
    monkeypatch.setattr(store, "VERSION", -1)
    for _ in range(2):  # made, then found
        mapped = load_dataset(folder, "all").images
        assert isinstance(mapped, np.memmap)
        assert not mapped.flags.writeable
        assert np.array_equal(mapped, held)


def test_large_sets_leave_out_bad_images_too(folder, monkeypatch):
    (folder / "1" / "3.png").write_bytes(b"")
    monkeypatch.setattr(cache_entry, "LARGE_ARRAY", 1000)
    data = load_dataset(folder, "all")
    assert data.images.shape == (29, 12, 12, 3)
    assert data.labels.tolist() == [0] * 15 + [1] * 14
    assert data.images.tolist() == [
        np.asarray(Image.open(folder / name)).tolist() for name in data.names
    ]


def test_large_sets_without_a_cache_are_mapped_elsewhere(folder, cache, monkeypatch):
    cache.mkdir()
    (cache / "decoded").write_text("in the way")
    expected = load_dataset(folder, "all").images
    monkeypatch.setattr(cache_entry, "LARGE_ARRAY", 1000)
    data = load_dataset(folder, "all")
    assert isinstance(data.images, np.memmap)
    assert np.array_equal(data.images, expected)


def test_a_full_disk_everywhere_says_how_to_need_less(folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_entry, "LARGE_ARRAY", 1000)
    monkeypatch.setattr(store, "_reserve", full)
    with pytest.raises(DataError, match="--limit or a smaller --image-size"):
        load_dataset(folder, "all")


def load_and_report(folder, cache, barrier, results, refresh):
    from vaekit import files

    files.cache_dir = lambda: cache

    class Counting:
        decoded = 0

        def note(self, message): ...

        def warn(self, message):
            raise AssertionError(message)

        def task(self, label, total, unit="images"):
            from vaekit.reporting import SILENT

            self.decoded += 1
            return SILENT.task(label, total)

    reporter = Counting()
    barrier.wait(30)
    data = load_dataset(folder, "all", reporter=reporter, refresh=refresh)
    results.put((reporter.decoded, data.fingerprint))


@pytest.mark.parametrize("refresh", [False, True])
def test_two_processes_at_once_decode_once(folder, cache, refresh):
    """With `refresh`, if the second asked before the first had ended, as nearly all attempts do."""
    attempts = 3 if refresh else 1
    assert any(decoded_once(folder, cache, refresh) for _ in range(attempts))


def decoded_once(folder, cache, refresh):
    """Whether one process decoded for both, which have equal images."""
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(2), spawn.Queue()
    processes = [
        spawn.Process(target=load_and_report, args=(folder, cache, barrier, results, refresh))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    (first, second) = sorted(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(30)
    assert first[1] == second[1]
    return (first[0], second[0]) == (0, 1)


def test_threads_that_load_at_once_get_equal_sets(folder):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(load_dataset(folder, "all").fingerprint))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(set(results)) == 1


def test_arrays_of_the_right_shape_are_not_copied_into_the_cache(cache):
    load_dataset("digits", "all")
    assert not (cache / "decoded").exists()
