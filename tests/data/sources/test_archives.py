from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import numpy as np
import pytest

from vaekit.data import load_dataset
from vaekit.data.streams.mixed_inputs import stream_images
from vaekit.errors import DataError

TARS = {"tar": "w", "tar.gz": "w:gz", "tgz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}


def pack(path, files):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, TARS[path.name.split(".", 1)[1]]) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def files(picture):
    """In an order that is neither natural nor sorted."""
    names = ["test/b/3.png", "train/b/10.png", "train/a/9.png", "train/a/10.png", "train/b/2.png"]
    return {name: picture(seed) for seed, name in enumerate(names)}


@pytest.mark.parametrize("ending", ["zip", *TARS])
@pytest.mark.parametrize("wrapper", ["", "set/", "./"])
def test_an_archive_gives_what_its_folder_would(tmp_path, fill_folder, files, ending, wrapper):
    folder = fill_folder(files)
    path = pack(tmp_path / f"set.{ending}", {wrapper + name: data for name, data in files.items()})
    for split in ("all", "test"):
        unpacked, packed = load_dataset(folder, split), load_dataset(path, split)
        assert np.array_equal(packed.images, unpacked.images)
        assert packed.labels.tolist() == unpacked.labels.tolist()
        assert packed.classes == unpacked.classes
        assert [name.removeprefix("set/") for name in packed.names] == list(unpacked.names)
    assert packed.name == f"set.{ending}"


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("name", ["../x.png", "a/../../x.png", "/etc/x.png", "C:/x.png", "..\\x"])
def test_fault_22_a_member_outside_refuses_the_archive(tmp_path, picture, ending, name):
    path = pack(tmp_path / f"bad.{ending}", {"good.png": picture(), name: picture()})
    with pytest.raises(DataError, match="points outside the archive: refused"):
        load_dataset(path)


@pytest.mark.parametrize("target", ["../../etc/passwd", "/etc/passwd", "C:\\secret"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_fault_22_a_link_outside_refuses_the_archive(tmp_path, target, kind):
    path = tmp_path / "links.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("a/1.png")
        member.type, member.linkname = kind, target
        archive.addfile(member)
    with pytest.raises(DataError, match=r"link 'a/1.png' points outside"):
        load_dataset(path)


def test_links_within_are_left_alone_and_counted(tmp_path, picture, heard):
    path = tmp_path / "links.tar"
    with tarfile.open(path, "w") as archive:
        data = picture()
        member = tarfile.TarInfo("a/1.png")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("a/2.png")
        link.type, link.linkname = tarfile.SYMTYPE, "1.png"
        archive.addfile(link)
    assert list(load_dataset(path, "all", reporter=heard).names) == ["a/1.png"]
    assert any("1 links" in note for note in heard.notes)


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "npz"])
def test_a_file_that_is_not_what_its_ending_says_is_refused(tmp_path, ending):
    path = tmp_path / f"wrong.{ending}"
    path.write_bytes(b"not an archive at all" * 100)
    with pytest.raises(DataError, match=rf"wrong\.{ending}: is not an? \.?{ending[:3]}"):
        load_dataset(path)


@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
def test_a_truncated_archive_is_refused(tmp_path, files, ending):
    path = pack(tmp_path / f"cut.{ending}", files)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="cut"):
        load_dataset(path)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("way", ["dataset", "named", "pipe"])
def test_a_flipped_bit_in_a_packed_tar_is_found(tmp_path, kind, way):
    """A .pgm has no checksum of its own: only that of the packing tells of other pixels."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        member = tarfile.TarInfo("1.pgm")
        image = b"P5 8 8 255\n" + bytes(64)
        member.size = len(image)
        archive.addfile(member, io.BytesIO(image))
    data = {
        "gz": lambda tar: gzip.compress(tar, 0),
        "bz2": bz2.compress,
        "xz": lambda tar: lzma.compress(tar, check=lzma.CHECK_CRC32),
    }[kind](tar.getvalue())
    damaged = bytearray(data)
    damaged[data.index(image) + 40 if kind == "gz" else -10] ^= 1
    path = tmp_path / f"images.tar.{kind}"
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"is not a tar that can be read|is damaged"):
        everything(path, way)
    path.write_bytes(data)
    assert everything(path, way) == 1


def everything(path, way):
    """How many images there are, each read."""
    if way == "dataset":
        return len(load_dataset(path, "all"))
    with path.open("rb") as file:
        names = [str(path)] if way == "named" else ["-"]
        with stream_images(names, shape=(8, 8, 1), stdin=file) as stream:
            return sum(len(chunk.names) for chunk in stream)


def test_an_encrypted_zip_says_so(tmp_path, files):
    path = pack(tmp_path / "secret.zip", files)
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\x01\x02")
    data[at + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="is encrypted: unpack it"):
        load_dataset(path)


def test_a_member_whose_bytes_are_damaged_is_skipped(tmp_path, picture):
    good = {f"{n}.bmp": picture(n, form="BMP") for n in range(3)}
    path = tmp_path / "damaged.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in good.items():
            archive.writestr(name, data)
    data = bytearray(path.read_bytes())
    data[data.find(b"1.bmp") + 100] ^= 0xFF
    path.write_bytes(data)
    assert load_dataset(path, "all").skipped[0].startswith("1.bmp: cannot be unpacked (Bad CRC-32")


def test_a_member_that_claims_to_be_huge_is_not_read(tmp_path, picture, monkeypatch):
    path = pack(tmp_path / "big.zip", {"1.png": picture(), "2.png": b"\0" * 50_000})
    monkeypatch.setattr("vaekit.data.sources.zip_files.MAX_BYTES", 20_000)
    assert load_dataset(path, "all").skipped[0].startswith("2.png: is larger than")


@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, ending):
    path = tmp_path / f"bomb.{ending}"
    zeros = bytes(1 << 20)
    if ending == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("1.png", zeros)
        data = bytearray(path.read_bytes())
        at = data.find(b"PK\x01\x02")
        data[at + 24 : at + 28] = (3 << 30).to_bytes(4, "little")
        path.write_bytes(data)
    else:
        import gzip

        member = tarfile.TarInfo("1.png")
        member.size = 3 << 30
        path.write_bytes(gzip.compress(member.tobuf() + zeros))
    with pytest.raises(DataError, match="200 times its size: refused"):
        load_dataset(path)


def test_a_packed_tar_is_only_ever_read_forward(tmp_path, files, monkeypatch):
    path = pack(tmp_path / "set.tar.gz", files)
    import gzip

    rewinds = []
    monkeypatch.setattr(gzip._GzipReader, "_rewind", lambda self: rewinds.append(1))
    assert len(load_dataset(path, "all")) == 5
    assert not rewinds


def test_content_decides_where_the_ending_says_nothing(tmp_path, files):
    path = pack(tmp_path / "set.zip", files)
    renamed = path.rename(tmp_path / "set.download")
    assert len(load_dataset(renamed, "all")) == 5
