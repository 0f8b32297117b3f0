"""The cache stays private and within its limit, and never loses what is in use."""

from __future__ import annotations

import os

import numpy as np
import pytest

from vaekit import files
from vaekit.data import cache_entry, cache_folder, load_dataset
from vaekit.errors import UsageError

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX alone has these modes and locks")


@pytest.fixture
def fill(fill_folder, picture):
    """Put a data set of 10 images into the cache; returns the entry's key."""

    def fill(name):
        before = {entry.path for entry in cache_folder.entries()}
        load_dataset(fill_folder({f"{n}.png": picture(n) for n in range(10)}, name), "all")
        (new,) = {entry.path for entry in cache_folder.entries()} - before
        return new

    return fill


def age(path, seconds):
    os.utime(path, (1e9 - seconds, 1e9 - seconds))


def test_entries_say_what_they_hold(fill):
    path = fill("pets")
    (entry,) = cache_folder.entries()
    assert (entry.path, entry.facts.name, entry.facts.split) == (path, "pets", "all")
    assert entry.facts.shape == (10, 12, 12, 3)
    assert 4320 < entry.size < 8000


def test_the_least_recently_used_entry_goes_first(fill, tmp_path):
    first, second, third = (fill(name) for name in ("one", "two", "three"))
    for path in (first, second, third):
        age(path, 1000)
    age(second, 5000)
    load_dataset(tmp_path / "one", "all")  # used again
    size = cache_folder.entries()[0].size
    cache_folder.shrink(2 * size + 100, keep=third)
    assert {entry.path for entry in cache_folder.entries()} == {first, third}
    cache_folder.shrink(0, keep=third)
    assert [entry.path for entry in cache_folder.entries()] == [third]


def test_a_new_entry_takes_the_place_of_old_ones(fill, fill_folder, picture, monkeypatch):
    age(fill("one"), 1000)
    monkeypatch.setenv("VAEKIT_CACHE_LIMIT", "6kB")
    load_dataset(fill_folder({f"{n}.png": picture(n) for n in range(9)}, "two"), "all")
    assert [entry.facts.name for entry in cache_folder.entries()] == ["two"]


@posix
def test_an_entry_in_use_stays(fill, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_entry, "LARGE_ARRAY", 1000)
    path = fill("one")
    mapped = load_dataset(tmp_path / "one", "all").images
    assert isinstance(mapped, np.memmap)
    assert cache_folder.clear() == []
    del mapped
    assert [entry.path for entry in cache_folder.clear()] == [path]


def test_an_entry_that_a_process_is_making_stays(fill):
    path = fill("one")
    with files.locked(path.with_suffix(".lock")):
        assert cache_folder.clear() == []
        assert path.exists()


def test_clearing_leaves_nothing(fill, cache):
    path = fill("one")
    (path.parent / f".{path.name}.left").mkdir()
    (path.parent / f".{'0' * 64}.left").mkdir()
    assert len(cache_folder.clear()) == 1
    assert list((cache / "decoded").iterdir()) == []
    assert cache_folder.clear() == []


def test_what_a_killed_process_left_goes_after_a_day(fill, cache):
    """Else a set that is never asked for again would take its room for ever."""
    fill("one")
    left, busy, new = (cache / "decoded" / f".{digit * 64}.left" for digit in "012")
    for folder in (left, busy, new):
        folder.mkdir()
        (folder / "1.npy").write_bytes(b"half")
    age(left, 0)
    age(busy, 0)
    with files.locked(cache / "decoded" / f"{'1' * 64}.lock"):
        fill("two")
    assert [folder.exists() for folder in (left, busy, new)] == [False, True, True]


def test_nothing_but_entries_is_ever_removed(fill, cache):
    fill("one")
    (cache / "decoded" / "mine").mkdir()
    (cache / "decoded" / "notes.txt").write_text("keep")
    cache_folder.clear()
    assert sorted(path.name for path in (cache / "decoded").iterdir()) == ["mine", "notes.txt"]


@pytest.mark.parametrize(
    ("text", "size"),
    [("", 20e9), ("500MB", 5e8), ("1.5 gb", 1.5e9), ("0", 0), ("2T", 2e12), ("7k", 7e3)],
)
def test_the_limit_is_read_in_every_unit(text, size, monkeypatch):
    monkeypatch.setenv("VAEKIT_CACHE_LIMIT", text)
    assert cache_folder.size_limit() == size


@pytest.mark.parametrize("text", ["much", "-1", "1e9GB", "GB", "nan", "20 PB"])
def test_a_limit_that_is_no_size_is_refused_by_name(text, monkeypatch):
    monkeypatch.setenv("VAEKIT_CACHE_LIMIT", text)
    with pytest.raises(UsageError, match=f"VAEKIT_CACHE_LIMIT={text}: write a size"):
        cache_folder.size_limit()


@posix
def test_the_folder_is_for_this_user_alone(fill, cache):
    (cache / "decoded").mkdir(parents=True, mode=0o777)
    (cache / "decoded").chmod(0o777)
    fill("one")
    assert (cache / "decoded").stat().st_mode & 0o777 == 0o700
