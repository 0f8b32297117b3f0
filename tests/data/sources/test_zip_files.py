"""The table of contents of zips, as `zipfile` would read it, and members packed in rare ways."""

from __future__ import annotations

import contextlib
import random
import zipfile

import numpy as np
import pytest

from vaekit.data import load_dataset
from vaekit.data.sources import zip_files
from vaekit.data.sources.zip_files import open_zip_reader
from vaekit.errors import DataError, ImageError

NAMES = ["a/1.png", "é.png", "./b//2.png", "c.d/3", "folder/", "日本.png"]


@pytest.fixture
def odd(tmp_path):
    """A zip with folders, names in two encodings, extra fields and two ways of packing."""
    path = tmp_path / "odd.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(NAMES):
            info = zipfile.ZipInfo(name)
            info.compress_type = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[number % 2]
            info.extra = b"\x99\x99\x04\x00abcd" * (number % 3) * 10
            archive.writestr(info, b"" if name.endswith("/") else bytes([number]) * 1000 * number)
    return path


def contents(path):
    members = zip_files.zip_members(path)
    with open_zip_reader(str(path)) as read:
        return {name: read(*member) for name, member in members.items()}


def expected(path):
    from vaekit.data.sources.archive_members import clean_name

    with zipfile.ZipFile(path) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        return {clean_name(name): archive.read(name) for name in names}


def test_members_are_what_zipfile_reads(odd):
    assert contents(odd) == expected(odd)


def test_a_comment_and_bytes_before_the_zip_change_nothing(odd):
    whole = expected(odd)
    data = odd.read_bytes()
    odd.write_bytes(b"#!/bin/sh\n" + data)
    assert contents(odd) == whole
    with zipfile.ZipFile(odd, "a") as archive:
        archive.comment = b"made by hand"
    assert contents(odd) == whole


def test_numbers_of_64_bits_are_read(tmp_path, monkeypatch):
    path = tmp_path / "large.zip"
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.png", b"x" * 1000)
        archive.writestr("2.png", b"y" * 10)
    assert contents(path) == {"1.png": b"x" * 1000, "2.png": b"y" * 10}


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_rare_ways_of_packing_are_read_with_one_more_look_at_the_table(
    tmp_path, picture, method, monkeypatch
):
    files = {f"{n}.png": picture(n) for n in range(5)}
    path = tmp_path / "rare.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    tables, read = [], zipfile.ZipFile._RealGetContents
    monkeypatch.setattr(
        zipfile.ZipFile, "_RealGetContents", lambda self: tables.append(1) or read(self)
    )
    assert contents(path) == files
    assert len(tables) == 2


def damaged(data, name, at, value):
    """The archive with one byte of the local header of a member changed."""
    found = data.index(name) - 30
    return data[: found + at] + bytes([value]) + data[found + at + 1 :]


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [(0, 0, "does not begin"), (30, 65, "another name"), (34, 66, "another name")],
)
def test_a_member_that_is_not_where_the_table_says_is_bad(odd, at, value, reason):
    odd.write_bytes(damaged(odd.read_bytes(), b"c.d/3", at, value))
    members = zip_files.zip_members(odd)
    with open_zip_reader(str(odd)) as read, pytest.raises(ImageError, match=reason):
        read(*members["c.d/3"])


def test_two_members_in_one_place_refuse_the_zip(odd):
    data = bytearray(odd.read_bytes())
    first, second = (data.index(b"PK\x01\x02" + b"%c" % 20), data.rindex(b"PK\x01\x02"))
    data[second + 42 : second + 46] = data[first + 42 : first + 46]
    odd.write_bytes(data)
    with pytest.raises(DataError, match="share their bytes"):
        zip_files.zip_members(odd)


def test_a_damaged_table_never_gives_a_member_other_bytes(odd):
    """Most wrong bytes do no harm, some refuse one member or all; a flag may rename a member."""
    data, chance, whole = odd.read_bytes(), random.Random(0), expected(odd)
    table, given = data.index(b"PK\x01\x02"), []
    for _ in range(400):
        changed = bytearray(data)
        changed[chance.randrange(table, len(data))] = chance.randrange(256)
        odd.write_bytes(changed)
        given.append(readable_members(odd))
    assert {content for members in given for content in members} == {*whole.values()}
    lengths = [len(members) for members in given]
    assert lengths.count(len(whole)) > 200
    assert lengths.count(len(whole) - 1) > 0
    assert lengths.count(0) > 0


def readable_members(path):
    """The bytes of the members that can be read; none of an archive that is refused."""
    try:
        members = zip_files.zip_members(path)
    except DataError:
        return []
    found = []
    with open_zip_reader(str(path)) as read:
        for member in members.values():
            with contextlib.suppress(ImageError):
                found.append(read(*member))
    return found


def test_a_set_with_every_way_of_packing_is_decoded(tmp_path, picture):
    methods = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, method in enumerate(methods):
            archive.writestr(f"{number}.png", picture(3), method)
    data = load_dataset(path, "all")
    assert data.images.shape == (4, 12, 12, 3)
    assert np.array_equal(data.images, data.images[:1].repeat(4, 0))
