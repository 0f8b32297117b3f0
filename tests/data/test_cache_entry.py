"""An entry of the cache gives the images that were put into it, or nothing."""

from __future__ import annotations

import json
import os
import random

import numpy as np
import pytest

from vaekit.data import cache_entry
from vaekit.data.cache_entry import EntryFacts, StoredImages, checksums, read_entry, write_meta

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 5, 6, 3), np.uint8)


@pytest.fixture(params=["held", "mapped"])
def entry(request, tmp_path, monkeypatch):
    """An entry of 40 images, read into memory or memory-mapped."""
    if request.param == "mapped":
        monkeypatch.setattr(cache_entry, "LARGE_ARRAY", 1000)
    monkeypatch.setattr(cache_entry, "_BLOCK", 700)
    folder = tmp_path / "entry"
    folder.mkdir(mode=0o700)
    np.save(folder / "images.npy", IMAGES)
    stored = StoredImages(IMAGES, {3: "is empty"}, ("a note",), ("a change",), "abc")
    write_meta(folder, stored, EntryFacts("pets", "train", IMAGES.shape), checksums(IMAGES))
    return folder


def test_an_entry_gives_back_what_was_written(entry):
    found = read_entry(entry)
    assert np.array_equal(found.images, IMAGES)
    assert (found.bad, found.notes, found.changes) == ({3: "is empty"}, ("a note",), ("a change",))
    assert found.fingerprint == "abc"
    assert cache_entry.read_facts(entry) == EntryFacts("pets", "train", IMAGES.shape)


def test_a_read_only_cache_is_read(entry, monkeypatch):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    assert read_entry(entry) is not None


def test_fault_71_every_flipped_bit_of_an_image_is_found(entry):
    path = entry / "images.npy"
    whole = path.read_bytes()
    for place in range(128, len(whole), 131):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        assert read_entry(entry) is None
    path.write_bytes(whole)
    assert read_entry(entry) is not None


def test_fault_71_every_flipped_bit_of_the_facts_is_found(entry):
    path = entry / "meta.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 7
        path.write_bytes(flipped)
        found = read_entry(entry)
        assert found is None or (found.bad, found.fingerprint) == ({3: "is empty"}, "abc")


ODD = [None, -1, 0, 1.5, 10**30, "x", [], [[]], {}, [10**9] * 4, [-40, 5, 6, 3], True, "9" * 5000]


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
def test_fault_78_no_damage_to_the_facts_is_an_internal_error(entry, signed):
    """Damage has no checksum; but neither does an entry that has one make trouble."""
    path = entry / "meta.json"
    whole = json.loads(path.read_text())
    for name in (*whole["meta"], "new"):
        for value in ODD:
            meta = {**whole["meta"], name: value}
            sum_ = cache_entry._checksum_of(meta) if signed else whole["checksum"]
            path.write_text(json.dumps({"meta": meta, "checksum": sum_}))
            found = read_entry(entry)
            cache_entry.read_facts(entry)
            assert found is None or (signed and found.images.shape == IMAGES.shape)
    for text in ("", "[]", "null", "1", '{"meta": 1}', '{"meta": {}, "checksum": 2}', "[" * 10**5):
        path.write_text(text)
        assert read_entry(entry) is None
        assert cache_entry.read_facts(entry) is None


def test_fault_78_no_damage_to_the_array_file_is_an_internal_error(entry):
    path, chance = entry / "images.npy", random.Random(0)
    whole = path.read_bytes()
    header = chance.randbytes(128)
    for bad in (b"", whole[:-1], whole[:64], whole + b"x" * 70_000, chance.randbytes(4000)):
        path.write_bytes(bad)
        assert read_entry(entry) is None
    path.write_bytes(header + whole[128:])  # the pixels are whole, and the header is not needed
    assert np.array_equal(read_entry(entry).images, IMAGES)


posix = pytest.mark.skipif(os.name != "posix", reason="looks at owners and modes")


@posix
@pytest.mark.parametrize("name", [".", "images.npy", "meta.json"])
def test_fault_82_what_another_user_can_write_is_not_read(entry, name, monkeypatch):
    mode = (entry / name).stat().st_mode
    (entry / name).chmod(mode | 0o020)
    assert read_entry(entry) is None
    (entry / name).chmod(mode)
    assert read_entry(entry) is not None
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert read_entry(entry) is None


@posix
def test_fault_82_what_is_written_is_for_this_user_alone(entry):
    assert [path.stat().st_mode & 0o777 for path in sorted(entry.iterdir())] == [0o600, 0o600]
