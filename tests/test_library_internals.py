"""An upgrade of a library would break vaekit without a word; these tests speak up first."""

from __future__ import annotations

import ctypes
import importlib
import io
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vaekit.library_internals import (
    expect_random_reads,
    forget_members,
    pillow_opens,
    silence_libtiff,
)


def archive_of(count: int) -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for number in range(count):
            archive.addfile(tarfile.TarInfo(f"{number}.png"))
    packed.seek(0)
    return packed


@pytest.mark.parametrize("mode", ["r:", "r|"])
def test_a_tar_of_millions_of_members_takes_no_memory_for_those_passed(mode: str) -> None:
    with tarfile.open(fileobj=archive_of(300), mode=mode) as archive:
        names, longest = [], 0
        for member in archive:
            names.append(member.name)
            longest = max(longest, len(archive.members))
            forget_members(archive)
    assert names == [f"{number}.png" for number in range(300)]
    assert longest == 1, "tarfile keeps its members elsewhere now"


def test_tarfile_still_keeps_every_member_unless_told_to_forget() -> None:
    with tarfile.open(fileobj=archive_of(300)) as archive:
        assert len([*archive]) == len(archive.members) == 300


def test_pillow_says_which_formats_it_opens() -> None:
    assert pillow_opens(("Png", "Jpeg", "Gif")) == ("PNG", "JPEG", "GIF")
    assert {"PNG", "JPEG", "GIF"} <= Image.OPEN.keys(), "Pillow keeps its formats elsewhere now"


def test_a_format_that_this_pillow_cannot_open_is_not_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pillow_opens(("Gif",))
    monkeypatch.delitem(Image.OPEN, "GIF")
    assert pillow_opens(("Png", "Gif")) == ("PNG",)


def test_without_pillows_table_every_allowed_format_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pillow_opens(("Png", "Gif"))
    monkeypatch.delattr(Image, "OPEN")
    assert pillow_opens(("Png", "Gif")) == ("PNG", "GIF")


@pytest.mark.skipif(sys.platform == "win32", reason="libtiff cannot be reached there")
def test_libtiff_can_still_be_reached_through_pillow() -> None:
    pillow = ctypes.CDLL(importlib.import_module("PIL._imaging").__file__ or "")
    assert pillow.TIFFSetErrorHandler, "damaged TIFFs print to stderr now"
    silence_libtiff()
    pillow.TIFFSetErrorHandler.restype = ctypes.c_void_p
    assert pillow.TIFFSetErrorHandler(None) is None, "a handler is still set"


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="Linux says how memory is read")
def test_a_mapped_array_is_read_at_random(tmp_path: Path) -> None:
    """Reading ahead of random places read 100 times as much as a set larger than memory holds."""
    path = tmp_path / "mapped.bin"
    path.write_bytes(bytes(1 << 16))
    array = np.memmap(path, np.uint8, "r")
    assert "rr" not in _flags(path)
    expect_random_reads(array)
    assert "rr" in _flags(path)
    expect_random_reads(np.zeros(3))  # not mapped: nothing to do


def _flags(path: Path) -> list[str]:
    """The flags of the memory that maps a file."""
    facts = Path("/proc/self/smaps").read_text()
    return facts.partition(str(path))[2].partition("VmFlags:")[2].splitlines()[0].split()
