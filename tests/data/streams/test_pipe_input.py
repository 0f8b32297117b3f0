"""Images through a pipe: recognised by the first bytes, and read once in bounded memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import threading
import tracemalloc

import numpy as np
import pytest

from tests.data.input_ways import SHAPE, Unseekable, gathered, taken, tarred, zipped
from vaekit.data.decoding import thread_pool
from vaekit.data.streams import pipe_input
from vaekit.data.streams.mixed_inputs import stream_images
from vaekit.errors import DataError, ImageError

PIXELS = np.random.default_rng(0).integers(0, 256, (150, *SHAPE), np.uint8)


def piped_in(data, **options):
    return taken("-", stdin=Unseekable(data), **options)


def saved(array, save=np.save, **arrays):
    buffer = io.BytesIO()
    save(buffer, array) if save is np.save else save(buffer, x=array, **arrays)
    return buffer.getvalue()


@pytest.fixture
def files(picture):
    """In an order that is neither natural nor sorted."""
    return {name: picture(n) for n, name in enumerate(["b/10.png", "b/2.png", "a/1.png"])}


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_an_image_of_every_format_is_recognised(picture, form):
    data = picture(form=form)
    got = piped_in(data)
    assert got.names == ["-"]
    assert got.words == [None]
    expected = taken("-", stdin=io.BytesIO(data)).images
    assert np.array_equal(got.images, expected)


def test_fault_1_a_truncated_image_is_an_error_that_says_so(picture):
    with pytest.raises(ImageError, match="standard input: is truncated"):
        piped_in(picture(form="JPEG", size=(64, 64))[:700])


def test_a_tar_keeps_its_order_and_names(files):
    got = piped_in(tarred({f"./{name}": data for name, data in files.items()}))
    assert got.names == [*files]
    assert got.words == ["b", "b", "a"]
    assert got.classes == ["b", "a"]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_tar_may_be_compressed(files, compress):
    plain, packed = piped_in(tarred(files)), piped_in(compress(tarred(files)))
    assert np.array_equal(plain.images, packed.images)
    assert packed.names == [*files]


def test_a_gzip_of_many_parts_is_read_to_its_end(files):
    """As pigz and bgzip write them."""
    data = tarred(files)
    assert len(piped_in(gzip.compress(data[:1000]) + gzip.compress(data[1000:])).images) == 3


def test_what_a_tar_holds_beside_images_is_left_alone_and_counted(files, heard):
    link = tarfile.TarInfo("b/link.png")
    link.type, link.linkname = tarfile.SYMTYPE, "2.png"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("notes.txt"))
        archive.addfile(tarfile.TarInfo(".hidden.png"))
        archive.addfile(link)
        member = tarfile.TarInfo("b/2.png")
        member.size = len(files["b/2.png"])
        archive.addfile(member, io.BytesIO(files["b/2.png"]))
    assert piped_in(buffer.getvalue(), reporter=heard).names == ["b/2.png"]
    assert heard.notes == [
        "standard input: 1 links in it are left alone",
        "standard input: 1 file that is no image is left alone",
    ]


@pytest.mark.parametrize("cut", [3000, 700])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_tar_cut_short_is_an_error_after_its_good_images(picture, cut, compress):
    """Silence would make a broken download look like a small data set."""
    data = compress(tarred({f"{n}.png": picture(n, (20, 20)) for n in range(30)}))
    with stream_images(
        ["-"], shape=SHAPE, stdin=Unseekable(data[: len(data) // 2 + cut])
    ) as stream:
        got = []
        with pytest.raises(DataError, match="standard input: is damaged"):
            got.extend(stream)
    assert sum(len(chunk) for chunk in got) >= 14


def test_a_damaged_header_is_not_taken_for_the_end(picture):
    data = bytearray(tarred({f"{n}.png": picture(n) for n in range(5)}))
    at = data.find(b"2.png")
    data[at : at + 300] = b"\x01" * 300
    with pytest.raises(DataError, match=r"standard input: is damaged"):
        piped_in(bytes(data))


def test_damage_in_a_pipe_does_not_lose_the_inputs_after_it(files, fill_folder, picture):
    root = fill_folder({"last.png": picture()})
    stdin, got = Unseekable(tarred(files)[:1500]), []
    stream = stream_images(["-", str(root)], shape=SHAPE, stdin=stdin)
    with stream, pytest.raises(DataError, match="is damaged"):
        got.extend(stream)
    assert got[-1].names[-1] == f"{root}/last.png"


@pytest.mark.parametrize("name", ["../x.png", "/etc/x.png", "C:/x.png"])
def test_fault_22_a_member_outside_refuses_the_archive(files, picture, name):
    for data in (tarred({**files, name: picture()}), zipped({**files, name: picture()})):
        with pytest.raises(DataError, match="points outside the archive: refused"):
            piped_in(data)


@pytest.mark.parametrize("pack", [tarred, zipped])
def test_fault_16_an_archive_without_images_lists_the_endings_taken(pack):
    for held in ({}, {"notes.txt": b"hello"}):
        with pytest.raises(DataError, match=r"standard input: holds no image; taken are \.png"):
            piped_in(pack(held))


def test_a_compressed_file_that_is_no_tar_says_so():
    with pytest.raises(DataError, match="standard input: is not a tar that can be read"):
        piped_in(gzip.compress(b"hello" * 1000))


def test_a_zip_leaves_no_temporary_file(files, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    got = piped_in(zipped(files))
    assert got.names == ["a/1.png", "b/2.png", "b/10.png"]
    assert got.words == ["a", "b", "b"]
    assert not [*tmp_path.glob("vaekit-*")]


def test_a_zip_too_large_for_a_temporary_file_says_what_to_do(files, monkeypatch):
    monkeypatch.setattr(pipe_input, "MOST_SPOOLED", 100)
    with pytest.raises(DataError, match="too much for a pipe: name the file, or send a tar"):
        piped_in(zipped(files) + bytes(3 << 20))


def test_a_full_disk_says_what_to_do(files, monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryDirectory", full)
    with pytest.raises(DataError, match=r"temporary file \(No space left on device; TMPDIR"):
        piped_in(zipped(files))


@pytest.mark.parametrize("array", [PIXELS, PIXELS / 255, PIXELS.transpose(0, 3, 1, 2).copy()])
def test_a_npy_gives_its_rows_and_their_number_beforehand(array):
    with stream_images(["-"], shape=SHAPE, stdin=Unseekable(saved(array))) as stream:
        assert stream.count == 150
        got = gathered(stream)
    assert np.array_equal(got.images, PIXELS)
    assert got.names == [str(n) for n in range(150)]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_is_told_from_a_zip_of_images(save):
    got = piped_in(saved(PIXELS, save, y=np.arange(150), classes=[f"c{n}" for n in range(150)]))
    assert np.array_equal(got.images, PIXELS)
    assert got.words[149] == "c149"


def test_a_npy_cut_short_is_an_error_after_its_good_rows(monkeypatch):
    monkeypatch.setattr("vaekit.data.sources.npy_format.BLOCK_BYTES", 10 * PIXELS[0].nbytes)
    got, stdin = [], Unseekable(saved(PIXELS)[:-5])
    stream = stream_images(["-"], shape=SHAPE, stdin=stdin)
    with stream, pytest.raises(DataError, match=r"standard input: is damaged \(ends early\)"):
        got.extend(stream)
    assert sum(len(chunk) for chunk in got) == 140


def test_a_header_that_claims_a_huge_array_allocates_nothing():
    header = io.BytesIO()
    claim = {"descr": "<f8", "fortran_order": False, "shape": (1 << 40, *SHAPE)}
    np.lib.format.write_array_header_1_0(header, claim)
    tracemalloc.start()
    with pytest.raises(DataError, match="is damaged"):
        piped_in(header.getvalue() + b"few")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20


def test_an_array_in_the_order_of_columns_says_what_to_do():
    with pytest.raises(DataError, match=r"Fortran order.*give it as a file"):
        piped_in(saved(np.asfortranarray(PIXELS)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"photos/1.png\nphotos/2.png\n", "is text, .* names of files are read by --files-from -"),
        (b"\x80\x05\x95pickle", r"is not a \.npy, an \.npz, a zip or tar of images, or an image"),
        (b"\x93NUMPY\x09\x00", "is not an array that can be read"),
    ],
)
def test_an_unknown_format_lists_what_is_taken(data, message):
    with pytest.raises(DataError, match=f"standard input: {message}"):
        piped_in(data)


def test_a_pipe_that_fails_is_named():
    class Failing(Unseekable):
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    with pytest.raises(DataError, match=r"standard input: cannot be read \(Input/output error\)"):
        taken("-", stdin=Failing(b""))


def test_a_tar_is_used_before_it_has_ended_in_bounded_memory(picture, monkeypatch):
    """`tar c photos | vaekit embed` of more than fits in memory."""

    monkeypatch.setattr(thread_pool, "workers", lambda: 2)
    data = tarred({f"{n}.bmp": picture(0, (100, 100), form="BMP") for n in range(100)})[:-10240]
    reading, writing = os.pipe()
    seen = threading.Event()

    def write():
        with os.fdopen(writing, "wb") as end:
            for _ in range(10):  # 30 MB in all
                end.write(data)
            assert seen.wait(20)
            end.write(tarred({}))

    writer = threading.Thread(target=write)
    writer.start()
    tracemalloc.start()
    with os.fdopen(reading, "rb") as end, stream_images(["-"], shape=SHAPE, stdin=end) as stream:
        total = 0
        for chunk in stream:
            seen.set()
            total += len(chunk)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    writer.join()
    assert total == 1000
    assert peak < 16 << 20


def test_a_named_pipe_is_read_like_stdin(tmp_path, files):
    """As `<(curl …)` gives in a shell."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(tarred(files)))
    writer.start()
    assert taken(path).names == [*files]
    writer.join()
