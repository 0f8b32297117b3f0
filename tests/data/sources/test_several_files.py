"""Several archives, folders and images are one data set: what one archive of all would give.

This also tests `data/sources/listed_files.py` and `data/sources/joined_reading.py`.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from vaekit.data import load_dataset
from vaekit.data.decoding import process_pool, thread_pool
from vaekit.data.sources import joined_reading
from vaekit.data.sources.zip_files import open_zip_reader
from vaekit.errors import DataError

SHARDS = 3


def shell(*command: str | Path, cwd: Path) -> None:
    subprocess.run([*map(os.fspath, command)], cwd=cwd, check=True, capture_output=True)


def pack(folder: Path, archive: Path, names: list[str]) -> None:
    """Make an archive by the programs that people use."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    if archive.suffix == ".zip":
        shell("zip", "-q", archive, *names, cwd=folder)
    else:
        shell("tar", "-caf", archive, *names, cwd=folder)


@pytest.fixture
def samples(fill_folder, picture):
    """WebDataset's samples in a folder: 60 images, each with the number of its class."""
    files = {}
    for n in range(60):
        files[f"{n:04d}.png"] = picture(n)
        files[f"{n:04d}.cls"] = b"%d\n" % (n % 7)
        files[f"{n:04d}.json"] = b"{}"
    return fill_folder(files, "samples")


def shard(folder: Path, ending: str = "tar", place: str = "shards") -> None:
    """Pack a folder's files into shards in the order of their names, and once into one archive."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    stems = sorted({name.split(".")[0] for name in names})
    for number, part in enumerate(np.array_split(stems, SHARDS)):
        own = [name for name in names if name.split(".")[0] in set(part)]
        pack(folder, folder.parent / place / f"s-{number}.{ending}", own)
    pack(folder, folder.parent / f"whole.{ending}", names)


def same(several, whole):
    assert np.array_equal(several.images, whole.images)
    assert several.fingerprint == whole.fingerprint
    assert several.classes == whole.classes
    assert [name.split("/", 1)[1] for name in several.names] == list(whole.names)


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "zip"])
def test_shards_give_the_parts_order_and_labels_of_one_archive(samples, ending):
    shard(samples, ending)
    for split in ("train", "val", "test"):
        several, whole = (
            load_dataset(path, split) for path in (f"shards/*.{ending}", f"whole.{ending}")
        )
        same(several, whole)
        numbers = [int(Path(name).stem) for name in whole.names]
        assert several.labels.tolist() == [n % 7 for n in numbers]
    assert load_dataset(f"shards/*.{ending}", "all").names[59] == f"s-2.{ending}/0059.png"


def test_a_pattern_of_numbers_in_braces_names_every_shard(samples):
    shard(samples)
    same(load_dataset("shards/s-{0..2}.tar", "all"), load_dataset("whole.tar", "all"))
    assert len(load_dataset("shards/s-{0,2}.tar", "all")) == 40
    with pytest.raises(DataError, match=r"shards/s-3\.tar: no such file .*s-\{0\.\.3\}\.tar"):
        load_dataset("shards/s-{0..3}.tar")


def test_copies_of_an_image_in_several_shards_stay_in_one_part(tmp_path, fill_folder, picture):
    for number in range(3):
        own = {f"{number}-{n:03d}.png": picture(n) for n in range(40)}
        pack(fill_folder(own, f"part{number}"), tmp_path / f"s-{number}.tar", [*own])
    parts = [load_dataset("s-*.tar", split) for split in ("train", "val", "test")]
    keys = [{image.tobytes() for image in part.images} for part in parts]
    assert [len(part) for part in parts] == [3 * len(own) for own in keys]
    assert sum(map(len, keys)) == len(set().union(*keys)) == 40


def test_classes_are_those_of_all_shards_though_each_has_one(tmp_path, fill_folder, picture):
    for number, pet in enumerate(("cat", "dog", "cat")):
        own = {f"{pet}/{number}{n}.png": picture(10 * number + n) for n in range(4)}
        pack(fill_folder(own, f"part{number}"), tmp_path / f"s-{number}.tar", [*own])
    data = load_dataset("s-*.tar", "all")
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [0] * 4 + [1] * 4 + [0] * 4
    assert [name.split("/")[1] for name in data.names] == ["cat"] * 4 + ["dog"] * 4 + ["cat"] * 4


def test_folders_of_archives_are_splits(tmp_path, fill_folder, picture):
    for split, seeds in (("train", range(12)), ("test", range(20, 25))):
        own = {f"{n}.png": picture(n) for n in seeds}
        pack(fill_folder(own, f"files-{split}"), tmp_path / f"sets/{split}/0.tar", [*own])
    assert len(load_dataset("sets/*/*.tar", "test")) == 5
    assert load_dataset("sets/{train,test}/0.tar", "test").names[0] == "test/0.tar/20.png"
    assert len(load_dataset("sets/*/*.tar", "all")) == 17


@pytest.mark.parametrize(
    ("folders", "classes"), [(("s-01", "s-02"), None), (("cat", "dog"), ("cat", "dog"))]
)
def test_a_folder_that_repeats_an_archives_number_is_no_class(
    tmp_path, fill_folder, picture, folders, classes
):
    """`tar cf s-01.tar s-01` puts the folder's name before every path."""
    for number, name in enumerate(folders):
        place = fill_folder({f"{name}/{n}.png": picture(10 * number + n) for n in range(3)}, "all")
        pack(place, tmp_path / f"packed/{name}.tar", [name])
    assert load_dataset("packed/*.tar", "all").classes == classes


def test_archives_folders_and_images_may_be_mixed(tmp_path, fill_folder, picture):
    """Compressed tars are read forward, the others in any order, by several threads."""
    kinds = {"a.tar.gz": 0, "b.zip": 20, "c.tar": 40}
    for name, first in kinds.items():
        own = {f"{n}.png": picture(n) for n in range(first, first + 20)}
        pack(fill_folder(own, f"files-{first}"), tmp_path / "mix" / name, [*own])
    fill_folder({"d/60.png": picture(60), "e.png": picture(61)}, "mix")
    data = load_dataset("mix/*", "all")
    assert data.names[0] == "e.png"
    assert data.names[-1] == "d/60.png"
    seeds = {int(Path(name).stem): row for row, name in enumerate(data.names) if "e" not in name}
    assert sorted(seeds) == list(range(61))
    for seed, row in seeds.items():
        alone = fill_folder({"x.png": picture(seed)}, f"alone-{seed}")
        if seed % 20 == 0:
            assert np.array_equal(data.images[row], load_dataset(alone, "all").images[0])


def test_processes_decode_several_archives_to_the_same_bytes(samples, monkeypatch):
    shard(samples)
    shard(samples, "zip")
    monkeypatch.setattr(thread_pool, "_cores", lambda: 2)
    monkeypatch.setattr(process_pool, "FEWEST_FOR_PROCESSES", 1)
    several = load_dataset("shards/*", "all")  # s-0.tar, s-0.zip, s-1.tar, ...
    whole = load_dataset("whole.tar", "all").images
    assert np.array_equal(several.images[:20], whole[:20])
    assert np.array_equal(several.images[20:60], whole[[*range(20), *range(20, 40)]])


def test_a_thread_keeps_one_archive_open_however_many_there_are(samples, monkeypatch):
    """Systems allow about a thousand open files, and sets have more archives."""
    shard(samples, "zip")
    opened, most = [], 0

    @contextmanager
    def counted(path):
        nonlocal most
        opened.append(path)
        most = max(most, len(opened))
        with open_zip_reader(path) as read:
            yield read
        opened.remove(path)

    monkeypatch.setitem(joined_reading._READERS, "open_zip_reader", counted)
    with thread_pool.at_most(1):
        assert len(load_dataset("shards/*.zip", "all")) == 60
    assert (opened, most) == ([], 1)


# The cache.


def add(shards):
    pack(shards.parent / "samples", shards / "s-9.tar", ["0000.png", "0000.cls"])


def remove(shards):
    (shards / "s-1.tar").unlink()


def change(shards):
    path = shards / "s-1.tar"
    path.unlink()
    pack(shards.parent / "samples", path, ["0005.png", "0005.cls"])


@pytest.mark.parametrize(("what", "count"), [(add, 61), (remove, 40), (change, 41)])
def test_the_cache_notices_that_a_shard_was_changed(samples, heard, what, count):
    shard(samples)
    for _ in range(2):
        assert len(load_dataset("shards/*.tar", "all", reporter=heard)) == 60
    assert heard.decodings == [60]
    what(samples.parent / "shards")
    assert len(load_dataset("shards/*.tar", "all", reporter=heard)) == count
    assert heard.decodings == [60, count]


# What goes wrong.


def test_a_pattern_without_a_match_says_so_and_to_quote_it():
    with pytest.raises(DataError, match=r"shards/\*\.tar: the pattern matches nothing.*in quotes"):
        load_dataset("shards/*.tar")


@pytest.mark.parametrize("content", [b"no tar at all" * 99, b""])
def test_a_bad_shard_is_named(samples, content):
    shard(samples)
    Path("shards/s-1.tar").write_bytes(content)
    with pytest.raises(DataError, match=r"^shards/s-1\.tar: is not a tar that can be read"):
        load_dataset("shards/*.tar")


def test_a_shard_that_was_cut_off_is_named(samples):
    shard(samples)
    path = Path("shards/s-2.tar")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"^shards/s-2\.tar: is not a tar that can be read"):
        load_dataset("shards/*.tar")


def test_a_shard_that_leads_outside_is_refused_by_its_name(samples):
    shard(samples)
    shell(
        "tar",
        "-cPf",
        Path("shards/s-3.tar").absolute(),
        "--transform",
        "s,^,../,",
        "0000.png",
        cwd=samples,
    )
    with pytest.raises(DataError, match=r"s-3\.tar: member '\.\./0000\.png' points outside"):
        load_dataset("shards/*.tar")


def test_a_bad_image_is_named_with_its_shard(samples, heard):
    (samples / "0030.png").write_bytes(b"no picture")
    shard(samples)
    data = load_dataset("shards/*.tar", "all", reporter=heard)
    assert len(data) == len(data.labels) == 59
    assert data.skipped == ("s-1.tar/0030.png: is not an image that can be read",)


def test_a_file_of_another_kind_is_refused_by_its_name(samples):
    shard(samples)
    Path("shards/notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"shards/notes\.txt: is not a kind of file that holds"):
        load_dataset("shards/*")
    np.save("shards/array.npy", np.zeros((2, 8, 8), np.uint8))
    with pytest.raises(DataError, match=r"matches arrays \(array\.npy\) and other files \(notes"):
        load_dataset("shards/{array,notes}*")
