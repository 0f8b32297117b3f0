"""The cache of decoded images never gives a run other images than the user's (rows 71 to 82)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.faults.conftest import photo

posix = pytest.mark.skipif(os.name != "posix", reason="looks at owners, inodes and modes")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder for this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vaekit" / "decoded"


def entries(cache: Path) -> list[Path]:
    return [path for path in cache.iterdir() if path.is_dir()]


def model_of(train: Any, name: str) -> bytes:
    done = train("--dataset", "photos", "-o", name, "--val-split", "0")
    assert done.code == 0, done.stderr
    assert "warning" not in done.stderr
    return Path(name, "model.safetensors").read_bytes()


def flipped_pixel(entry: Path) -> None:
    path = entry / "images.npy"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def cut_array(entry: Path) -> None:
    path = entry / "images.npy"
    path.write_bytes(path.read_bytes()[:-1])


def garbage_array(entry: Path) -> None:
    (entry / "images.npy").write_bytes(b"\x93NUMPY\x01\x00\xff\xff{")


def facts_of_another_kind(entry: Path) -> None:
    (entry / "meta.json").write_text("[1, 2]")


def negative_shape(entry: Path) -> None:
    record = json.loads((entry / "meta.json").read_text())
    record.get("meta", record)["shape"] = [-20, 8, 8, 1]
    (entry / "meta.json").write_text(json.dumps(record))


def row_far_away(entry: Path) -> None:
    record = json.loads((entry / "meta.json").read_text())
    record.get("meta", record)["bad"] = [[10**6, "is empty"]]
    (entry / "meta.json").write_text(json.dumps(record))


def file_in_its_place(entry: Path) -> None:
    for path in entry.iterdir():
        path.unlink()
    entry.rmdir()
    entry.write_text("in the way")


DAMAGES = [
    *(flipped_pixel, cut_array, garbage_array, facts_of_another_kind, negative_shape),
    *(row_far_away, file_in_its_place),
]


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_cache_entry_is_rebuilt_and_the_model_is_the_same(
    train: Any, cache: Path, damage: Callable[[Path], None]
) -> None:
    first = model_of(train, "one")
    (entry,) = entries(cache)
    damage(entry)
    assert model_of(train, "two") == first


@posix
@pytest.mark.parametrize("how", ["in place", "by renaming"])
def test_image_replaced_at_equal_size_and_time_is_noticed(
    train: Any, photos: Path, how: str
) -> None:
    first = model_of(train, "one")
    old, new = photos / "train" / "00.bmp", photos / "new"
    photo(0).save(old)
    before = model_of(train, "two")
    status = old.stat()
    Image.fromarray(255 - np.asarray(photo(0))).save(new, "BMP")
    if how == "in place":
        old.write_bytes(new.read_bytes())
        new.unlink()
    else:
        new.replace(old)
    os.utime(old, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (old.stat().st_size, old.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    after = model_of(train, "three")
    assert len({first, before, after}) == 3


@posix
@pytest.mark.usefixtures("photos")
def test_cache_entry_that_another_user_can_write_is_not_trusted(train: Any, cache: Path) -> None:
    """Its checksums are right: whoever changes the images changes them too."""
    first = model_of(train, "one")
    (entry,) = entries(cache)
    from vaekit.data import cache_entry

    found = cache_entry.read_entry(entry)
    assert found is not None
    swapped = np.ascontiguousarray(found.images[::-1])
    np.save(entry / "images.npy", swapped)
    facts = cache_entry.read_facts(entry)
    assert facts is not None
    cache_entry.write_meta(entry, found, facts, cache_entry.checksums(swapped))
    assert model_of(train, "two") != first, "the test must be able to change the images"
    (entry / "images.npy").chmod(0o666)
    assert model_of(train, "three") == first


@posix
@pytest.mark.usefixtures("photos")
def test_cache_folder_of_another_user_is_not_used_and_one_warning_says_so(
    train: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = model_of(train, "one")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    done = train("--dataset", "photos", "-o", "two", "--val-split", "0.2")
    assert done.code == 0
    assert done.stderr.count("another user owns it or can write to it") == 1
    assert len(entries(cache)) == 1
    assert first


@pytest.mark.usefixtures("photos")
def test_refresh_decodes_again_what_the_cache_holds(train: Any, cache: Path) -> None:
    first = model_of(train, "one")
    (entry,) = entries(cache)
    os.utime(entry, (1, 1))
    made = (entry / "images.npy").stat().st_mtime_ns
    done = train("--dataset", "photos", "-o", "two", "--val-split", "0", "--refresh")
    assert Path("two/model.safetensors").read_bytes() == first, done.stderr
    assert (entry / "images.npy").stat().st_mtime_ns > made
