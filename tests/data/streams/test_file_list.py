"""Lists of image files, such as `find` makes."""

from __future__ import annotations

import io
import os

import pytest

from tests.data.input_ways import SHAPE, taken
from vaekit.data.streams.mixed_inputs import IMAGE_CHUNK, stream_images
from vaekit.errors import DataError, UsageError


def test_a_list_is_used_before_it_has_ended(fill_folder, picture):
    """`find` over a large disk takes minutes; embedding begins meanwhile."""
    root = fill_folder({"1.png": picture()})
    reading, writing = os.pipe()
    line = os.fsencode(root / "1.png") + b"\n"
    with os.fdopen(reading, "rb") as end, os.fdopen(writing, "wb", 0) as start:
        stream = stream_images([], shape=SHAPE, files_from="-", stdin=end)
        start.write(line * 200)
        chunks = iter(stream)
        assert len(next(chunks)) == IMAGE_CHUNK
        start.write(line * 10)
        start.close()
        assert sum(len(chunk) for chunk in chunks) == 210 - IMAGE_CHUNK


def test_a_missing_file_in_a_list_is_skipped_and_folders_are_ignored(pets, heard):
    listing = b"pictures\npictures/cat\npictures/cat/2.png\npictures/gone.png\n"
    got = taken(files_from="-", stdin=io.BytesIO(listing), reporter=heard)
    assert got.names == ["pictures/cat/2.png"]
    assert got.skipped == ["pictures/gone.png: cannot be read (No such file or directory)"]
    assert heard.notes == [
        "standard input (--files-from): 2 folders in it are ignored: only files are read"
    ]


def test_a_pipe_in_a_list_does_not_hang(pets):
    os.mkfifo("pipe.png")
    got = taken(files_from="-", stdin=io.BytesIO(b"pipe.png\npictures/cat/2.png"))
    assert got.skipped == ["pipe.png: is not a file"]


@pytest.mark.parametrize(
    ("listing", "error", "message"),
    [
        (b"", DataError, r"standard input \(--files-from\): names no image file"),
        (b"\n \n", DataError, "names no image file"),
        (b"a.png\0b.png\0", UsageError, "NUL-separated: add -0"),
        (b"x" * 200_000, DataError, "a line of over 65,536 bytes"),
    ],
)
def test_a_file_that_is_not_a_list_is_refused(listing, error, message):
    with pytest.raises(error, match=message):
        taken(files_from="-", stdin=io.BytesIO(listing))
