"""Private parts of libraries that vaekit uses, each with a test that notices changes.

Where a part is gone, what is here does without it: with more memory, or by asking another way.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import mmap
import tarfile
from typing import Any


def forget_members(archive: tarfile.TarFile) -> None:
    """Drop the members that an archive has passed: it keeps every one, millions of them too.

    Reading goes on where the archive stands, which it knows by its offset.
    """
    archive.members = []  # type: ignore[attr-defined]


def expect_random_reads(array: Any) -> None:
    """Tell the system that a mapped array is read at random: it then reads no further ahead.

    Of a set larger than memory it would read a hundred times as much as is wanted.
    """
    mapping = getattr(array, "_mmap", None)
    if isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_RANDOM"):
        mapping.madvise(mmap.MADV_RANDOM)


def pillow_opens(plugins: tuple[str, ...]) -> tuple[str, ...]:
    """Which formats Pillow can open with these plugins; a plugin is known once it is imported.

    >>> pillow_opens(("Png", "Ppm"))
    ('PNG', 'PPM')
    """
    from PIL import Image

    for plugin in plugins:
        importlib.import_module(f"PIL.{plugin}ImagePlugin")
    formats = tuple(plugin.upper() for plugin in plugins)
    known = getattr(Image, "OPEN", formats)
    return tuple(name for name in formats if name in known)


def silence_libtiff() -> None:
    """Keep libtiff, which decodes TIFFs inside Pillow, from printing to stderr in any thread.

    It prints what is wrong with a damaged file; Pillow raises an error for it as well. Where
    libtiff cannot be reached, as on Windows, it goes on printing.
    """
    with contextlib.suppress(OSError, AttributeError):
        pillow = ctypes.CDLL(importlib.import_module("PIL._imaging").__file__ or "")
        for setter in (pillow.TIFFSetErrorHandler, pillow.TIFFSetWarningHandler):
            setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
            setter(None)
