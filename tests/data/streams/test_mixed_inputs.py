"""A model is given the pixels that training saw, whatever the images come from.

This also tests `data/streams/image_stream.py`.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.image_bytes import png_that_claims
from tests.data.input_ways import (
    SHAPE,
    WAYS,
    as_arguments,
    as_folder,
    as_list,
    as_tar_on_stdin,
    gathered,
    taken,
    zipped,
)
from vaekit.data import load_dataset
from vaekit.data.decoding import thread_pool
from vaekit.data.sources import folder as folder_module
from vaekit.data.streams.mixed_inputs import IMAGE_CHUNK, Chunk, stream_images
from vaekit.errors import DataError, ImageError, InputError, UsageError


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def give(request, fill_folder):
    """Gives the same files in each of the ways, and what a data set of them would be."""

    def give(files, shape=SHAPE, **options):
        root = fill_folder(files)
        got = request.param(files, root, shape=shape, **options)
        data = load_dataset(root, "all", image_size=shape[:2], channels=shape[2])
        assert np.array_equal(got.images, data.images)
        return got

    return give


# One image at a time: what can be wrong with it, or odd about it.


@pytest.mark.parametrize(
    ("row", "spoil", "why"),
    [
        (1, lambda data: data[:300], "is truncated"),
        (2, lambda data: b"", "is empty"),
        (3, lambda data: b"dear diary", "is not an image that can be read"),
        (10, lambda data: png_that_claims(60_000), "has more than 100 million pixels"),
    ],
    ids=["fault_1_truncated", "fault_2_zero_bytes", "fault_3_text", "fault_10_bomb"],
)
def test_faults_1_2_3_10_a_bad_image_is_skipped_and_named(give, picture, heard, row, spoil, why):
    good = {f"{n}.png": picture(n) for n in (1, 3)}
    got = give({**good, "2.png": spoil(picture(2, (64, 64), form="JPEG"))}, reporter=heard)
    (line,) = got.skipped
    assert line.endswith(f"2.png: {why}")
    assert heard.warnings == [f"1 bad image was skipped: {line}"]


def faultless(encode, picture):
    """Images that are odd and yet good, by the row of the list of faults that names them."""
    clear = Image.new("RGBA", (12, 12), (255, 0, 0, 255))
    clear.putpixel((1, 0), (255, 0, 0, 0))
    palette = Image.new("P", (12, 12), 0)
    palette.putpalette([0, 0, 200, 0, 90, 0])
    palette.putpixel((1, 0), 1)
    turned = Image.Exif()
    turned[0x0112] = 6
    deep = Image.fromarray(np.linspace(0, 65535, 144).astype(np.uint16).reshape(12, 12))
    return {
        "fault_4_cmyk": ("a.jpg", encode(Image.new("CMYK", (12, 12), (0, 255, 255, 0)), "JPEG")),
        "fault_5_deep_grey": ("a.png", encode(deep)),
        "fault_6_rgba": ("a.png", encode(clear)),
        "fault_7_palette": ("a.png", encode(palette, transparency=1)),
        "fault_9_exif": ("a.jpg", picture(5, (12, 20), form="JPEG", exif=turned)),
        "fault_11_one_pixel": ("a.png", picture(1, (1, 1))),
        "fault_11_extreme": ("a.jpg", picture(1, (3, 900), form="JPEG")),
    }


@pytest.mark.parametrize("odd", [*faultless(lambda *a, **k: b"", lambda *a, **k: b"")])
def test_odd_images_come_as_training_saw_them(give, encode, picture, odd):
    """Else a model would be shown other pixels than it was trained on."""
    name, data = faultless(encode, picture)[odd]
    got = give({name: data, "b.png": picture(2)})
    assert len(got.images) == 2
    if odd == "fault_6_rgba":
        assert got.images[0, 0, :2].tolist() == [[255, 0, 0], [255, 255, 255]]


def test_fault_8_of_animations_the_first_frame_is_taken_and_it_is_said_once(give, encode, heard):
    frames = [Image.new("RGB", (12, 12), colour) for colour in ("red", "lime")]
    gif = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    got = give({f"{n}.gif": gif for n in range(3)}, reporter=heard)
    assert got.images[2, 0, 0].tolist() == [255, 0, 0]
    assert heard.notes == ["3 images have several frames: the first frame was taken"]


@pytest.mark.parametrize("channels", [1, 3])
def test_fault_12_grey_and_colour_become_what_the_model_takes(give, picture, heard, channels):
    files = {"a.png": picture(1, mode="L"), "b.png": picture(2), "c.png": picture(3)}
    give(files, (12, 12, channels), reporter=heard)
    few, many = "1 grey image was turned to RGB", "2 RGB images were turned to grey"
    assert heard.notes == [few if channels == 3 else many]


def test_other_sizes_are_converted_with_one_note(give, picture, heard):
    files = {"a.png": picture(1, (24, 24)), "b.png": picture(2, (12, 40)), "c.png": picture(3)}
    give(files, (12, 12, 1), reporter=heard)
    assert heard.notes == [
        "2 images were resized and cropped from sizes between 40 wide x 12 high and 24x24 "
        "to 12x12; "
        "3 RGB images were turned to grey"
    ]


def test_images_of_the_right_shape_cause_no_note(give, picture, heard):
    give({"a.png": picture(1), "b.png": picture(2)}, reporter=heard)
    assert heard.notes == heard.warnings == []


@pytest.mark.parametrize("way", [as_folder, as_arguments, as_list])
def test_fault_13_an_unreadable_file_is_skipped_and_named(
    way, fill_folder, picture, heard, monkeypatch
):
    files = {f"{n}.png": picture(n) for n in range(3)}
    root, read = fill_folder(files), folder_module.read_file

    def refusing(path):
        if path.name == "1.png":
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(folder_module, "read_file", refusing)
    got = way(files, root, reporter=heard)
    assert [name.rpartition("/")[2] for name in got.names] == ["0.png", "2.png"]
    assert got.skipped == [f"{root}/1.png: cannot be read (Permission denied)"]


def test_fault_14_a_loop_of_links_ends(fill_folder, picture):
    root = fill_folder({"a/1.png": picture(1), "b/2.png": picture(2)})
    (root / "a" / "up").symlink_to(root, target_is_directory=True)
    (root / "self.png").symlink_to("self.png")
    got = taken(root)
    assert got.names == [f"{root}/a/1.png", f"{root}/b/2.png"]
    assert "self.png: cannot be read" in got.skipped[0]


ODD_NAMES = [b"two\nlines.png", b"\xff\xfe.png", "größe 猫.png".encode(), b" a .png"]


@pytest.mark.parametrize("way", [as_folder, as_arguments, as_list, as_tar_on_stdin])
def test_fault_15_any_name_a_file_can_have_comes_back_as_it_is(way, fill_folder, picture):
    files = {os.fsdecode(name): picture(n) for n, name in enumerate(ODD_NAMES)}
    root = fill_folder({})
    for name, data in files.items():
        (root / name).write_bytes(data)
    got = way(files, root)
    assert sorted(os.fsencode(name).rpartition(b"/")[2] for name in got.names) == sorted(ODD_NAMES)


def test_fault_15_a_bad_image_with_an_odd_name_is_named_on_one_line(fill_folder, picture, heard):
    root = fill_folder({"good.png": picture()})
    (root / os.fsdecode(b"a\nb\xff.png")).write_bytes(b"")
    taken(root, reporter=heard)
    assert heard.warnings == [rf"1 bad image was skipped: {root}/a\nb\xff.png: is empty"]


def test_fault_16_an_empty_folder_lists_the_endings_taken(tmp_path):
    with pytest.raises(DataError, match=r"holds no image; taken are \.png \.jpg"):
        stream_images([str(tmp_path)], shape=SHAPE)


def test_fault_18_a_file_gone_during_the_read_is_named(fill_folder, picture):
    root = fill_folder({f"{n}.png": picture(n) for n in range(3)})
    with stream_images([str(root)], shape=SHAPE) as stream:
        (root / "1.png").unlink()
        got = gathered(stream)
    assert got.skipped == [f"{root}/1.png: cannot be read (No such file or directory)"]


# How many bad ones are survived.


def test_many_images_come_in_order(give, picture):
    got = give({f"{n:03}.png": picture(n) for n in range(150)})
    assert [int(name[-7:-4]) for name in got.names] == list(range(150))


def test_a_label_below_zero_means_no_label(tmp_path, picture):
    np.savez(tmp_path / "x.npz", x=np.zeros((4, *SHAPE), np.uint8), y=np.array([-1, 2, -3, 0]))
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(picture(1))
    alone = taken(tmp_path / "x.npz")
    assert alone.words == [None, 2, None, 0]
    mixed = taken(tmp_path / "x.npz", tmp_path / "cat" / "1.png")
    assert mixed.words == [None, "2", None, "0", "cat"]


@pytest.mark.parametrize("chunk", [1, 7, 256])
def test_chunks_have_the_size_that_was_asked_for(tmp_path, chunk):
    """Files come in sixteens and arrays in thousands, whatever a model takes at once."""
    pixels = np.arange(40, dtype=np.uint8).repeat(16).reshape(40, 4, 4, 1)
    np.savez(tmp_path / "x.npz", x=pixels, y=np.arange(40) % 3)
    for row in range(40):
        Image.fromarray(pixels[row, ..., 0]).save(tmp_path / f"{row:02}.png")
    files = [str(tmp_path / f"{row:02}.png") for row in range(40)]
    shape = (4, 4, 1)
    with stream_images([str(tmp_path / "x.npz"), *files], shape=shape, chunk=chunk) as stream:
        chunks = list(stream)
    assert {len(part) for part in chunks[:-1]} <= {chunk}
    assert np.array_equal(np.concatenate([part.images for part in chunks])[40:], pixels)
    assert [name for part in chunks for name in part.names][40:] == files


def test_whole_chunks_that_are_there_come_together(tmp_path):
    rows = np.arange(300 * 4, dtype=np.uint64).astype(np.uint8).reshape(300, 2, 2, 1)
    np.save(tmp_path / "rows.npy", rows)
    with stream_images(
        [str(tmp_path / "rows.npy")], shape=(2, 2, 1), chunk=64, at_once=200
    ) as stream:
        chunks = list(stream)
    assert [len(chunk) for chunk in chunks] == [192, 64, 44]
    assert np.array_equal(np.concatenate([chunk.images for chunk in chunks]), rows)
    assert [name for chunk in chunks for name in chunk.names] == [str(row) for row in range(300)]


def test_too_many_bad_ones_are_an_error_when_all_good_ones_have_come(fill_folder, picture):
    files = {f"{n:03}.png": b"" if n < 11 else picture(n) for n in range(100)}
    root, got = fill_folder(files), []
    stream = stream_images([str(root)], shape=SHAPE)
    with stream, pytest.raises(DataError, match="11 of 100 images are bad"):
        got.extend(stream)
    assert sum(len(chunk) for chunk in got) == 89


def test_ten_bad_ones_are_survived_whatever_their_share(fill_folder, picture, heard):
    root = fill_folder({f"{n:03}.png": b"" if n < 10 else picture(n) for n in range(13)})
    assert len(taken(root, reporter=heard).images) == 3
    (line,) = heard.warnings
    assert line.startswith("10 bad images were skipped")
    assert line.endswith("; and 7 more")


def test_no_good_image_at_all_lists_what_is_taken(fill_folder):
    with pytest.raises(DataError, match=r"no image can be read \(.*taken are \.png"):
        taken(fill_folder({"1.png": b"", "2.png": b""}))


def test_a_single_bad_image_is_an_error_that_names_it_and_why(fill_folder, picture):
    root = fill_folder({"a.png": b"", "notes.txt": b"hello", "good.png": picture()})
    for name, why in (("a.png", "is empty"), ("notes.txt", "is not an image")):
        with pytest.raises(ImageError, match=f"{name}: {why}"):
            taken(root / name)
        assert taken(root / name, root / "good.png").skipped[0].startswith(f"{root}/{name}: {why}")


def test_strict_stops_at_the_first_bad_one(fill_folder, picture):
    root = fill_folder({f"{n:03}.png": b"" if n in (70, 90) else picture(n) for n in range(100)})
    got = []
    with stream_images([str(root)], shape=SHAPE, strict=True) as stream:
        assert stream.count == 100  # no bad one can be left out
        with pytest.raises(ImageError, match=r"070\.png: is empty \(--strict\)"):
            got.extend(stream)
    assert [len(chunk) for chunk in got] == [64]


# The command line's own mistakes.


class Terminal(io.BytesIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("inputs", "options", "error", "message"),
    [
        ([], {}, UsageError, "no images"),
        (["-", "-"], {}, UsageError, "can be read once"),
        (["-"], {"files_from": "-"}, UsageError, "can be read once"),
        (["x.png"], {"null_separated": True}, UsageError, "-0 is for --files-from"),
        ([""], {}, UsageError, "name is empty"),
        (["-"], {"stdin": Terminal()}, UsageError, "is a terminal"),
        ([], {"files_from": "-", "stdin": Terminal()}, UsageError, "is a terminal"),
        (["gone.png"], {}, InputError, r"gone\.png: no such file or folder"),
        (["gone/", "x.png"], {}, InputError, "gone/: no such file or folder"),
        ([], {"files_from": "gone"}, InputError, r"gone \(--files-from\): cannot be read \(No"),
        (["-"], {"stdin": io.BytesIO()}, InputError, "standard input: is empty"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_read(inputs, options, error, message):
    with pytest.raises(error, match=message):
        stream_images(inputs, shape=SHAPE, **options)


def test_a_closed_stdin_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(InputError, match="standard input: is closed"):
        stream_images(["-"], shape=SHAPE)


def test_a_stream_that_is_iterated_twice_is_an_error(fill_folder, picture):
    with stream_images([str(fill_folder({"1.png": picture()}))], shape=SHAPE) as stream:
        list(stream)
        with pytest.raises(RuntimeError, match="once"):
            iter(stream)


def test_a_slice_of_a_chunk_keeps_its_names_and_labels():
    chunk = Chunk(np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1), tuple("abc"), np.arange(3))
    cut = chunk[1:]
    assert (len(cut), cut.names, cut.labels.tolist()) == (2, ("b", "c"), [1, 2])
    assert cut.images.ravel().tolist() == [1, 2]


# Ending early, and what it costs.


def written_to_a_closed_pipe(stream):
    with stream:
        for _ in stream:
            raise BrokenPipeError


def open_files():
    """How many, where the system tells."""
    place = Path("/proc/self/fd")
    return len([*place.iterdir()]) if place.exists() else 0


def test_fault_53_leaving_early_ends_all_threads_and_closes_all_files(tmp_path, picture):
    """`| head -1` must not leave a process decoding a million images."""
    files = {f"{n}.png": picture(n) for n in range(500)}
    (tmp_path / "set.zip").write_bytes(zipped(files))
    before = open_files()
    stream = stream_images([str(tmp_path / "set.zip")], shape=SHAPE)
    with pytest.raises(BrokenPipeError):
        written_to_a_closed_pipe(stream)
    assert not [t for t in threading.enumerate() if t.name.startswith("vaekit-decode")]
    assert open_files() == before


def test_conversions_are_reported_when_only_some_images_are_taken(fill_folder, picture, heard):
    """`reconstruct photos/ -n 16` converts images too."""
    files = {f"{n:03}.png": picture(n, (24, 24)) for n in range(64)}
    root = fill_folder({**files, "005.png": b"", "100.png": picture(1, (24, 24))})
    with stream_images([str(root)], shape=SHAPE, reporter=heard) as stream:
        next(iter(stream))
    assert heard.notes == ["64 images were resized from 24x24 to 12x12"]
    assert heard.warnings == [f"1 bad image was skipped: {root}/005.png: is empty"]


def test_only_a_few_batches_are_read_ahead(fill_folder, picture, monkeypatch):

    root, seen = fill_folder({f"{n}.png": picture(n) for n in range(600)}), []
    read = folder_module.read_file
    monkeypatch.setattr(thread_pool, "workers", lambda: 2)
    monkeypatch.setattr(folder_module, "read_file", lambda path: seen.append(1) or read(path))
    with stream_images([str(root)], shape=SHAPE) as stream:
        next(iter(stream))
        assert len(seen) <= IMAGE_CHUNK + 16 * (3 * 2 + 2)


def test_nothing_heavy_is_imported(tmp_path, picture):
    """`embed` starts as fast as torch alone: so nothing else on its way in may be slow."""
    (tmp_path / "1.png").write_bytes(picture())
    code = (
        "import sys; from vaekit.data.streams.mixed_inputs import stream_images\n"
        "with stream_images(['1.png'], shape=(12, 12, 3)) as stream: list(stream)\n"
        "print({'torch', 'torchvision', 'sklearn', 'scipy', 'matplotlib'} & {*sys.modules})"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "set()\n"
