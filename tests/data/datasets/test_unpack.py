from __future__ import annotations

import gzip

import pytest

from tests.data.datasets.made_files import tar_of
from vaekit.data.datasets.unpack import unpack_gz, unpack_tar
from vaekit.errors import DataError

CONTENT = bytes(range(256)) * 3000


def left(folder):
    """What stands in the folder, the lock aside."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_gz_is_unpacked_whole_or_not_at_all(tmp_path):
    packed, target = tmp_path / "a.gz", tmp_path / "a"
    packed.write_bytes(gzip.compress(CONTENT))
    assert unpack_gz(packed, target).read_bytes() == CONTENT
    target.unlink()
    packed.write_bytes(gzip.compress(CONTENT)[:-20])
    with pytest.raises(DataError, match=r"a\.gz: is damaged"):
        unpack_gz(packed, target)
    assert left(tmp_path) == ["a.gz"]


def packed_in(path, files):
    path.write_bytes(tar_of(files))
    return path


def test_of_a_tar_only_the_wanted_files_are_unpacked_and_only_here(tmp_path):
    files = {"set/a.bin": b"a", "../../b.bin": b"b", "/c.bin": b"c", "set/other": b"x"}
    packed = packed_in(tmp_path / "set.tar.gz", files)
    folder = unpack_tar(packed, tmp_path / "set", {"a.bin", "b.bin", "c.bin"})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "a.bin": b"a",
        "b.bin": b"b",
        "c.bin": b"c",
    }
    assert left(tmp_path) == ["set", "set.tar.gz"]
    assert not (tmp_path.parent / "b.bin").exists()


def test_a_tar_that_lacks_a_file_leaves_nothing(tmp_path):
    packed = packed_in(tmp_path / "set.tar.gz", {"set/a.bin": b"a"})
    with pytest.raises(DataError, match=r"set\.tar\.gz: lacks b\.bin"):
        unpack_tar(packed, tmp_path / "set", {"a.bin", "b.bin"})
    assert left(tmp_path) == ["set.tar.gz"]


def test_a_damaged_tar_leaves_nothing(tmp_path):
    packed = packed_in(tmp_path / "set.tar.gz", {"set/a.bin": CONTENT})
    packed.write_bytes(packed.read_bytes()[:500])
    with pytest.raises(DataError, match="is damaged"):
        unpack_tar(packed, tmp_path / "set", {"a.bin"})
    assert left(tmp_path) == ["set.tar.gz"]
