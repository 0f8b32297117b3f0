"""Whether a file holds latents, and the names of the images that they were made from."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from vaekit.errors import DataError
from vaekit.latents.reading import read_latents

ONLY_LATENTS = (".csv", ".jsonl", ".ndjson", ".parquet")
"""Endings of formats that hold no images."""


def holds_latents(path: str) -> bool:
    """Whether a file holds latents: by its extension, or because its array is (N, D)."""
    place = Path(path)
    ending = place.suffix.lower()
    if ending in ONLY_LATENTS:
        return True
    if ending == ".npz" and zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as archive:
            return "z.npy" in archive.namelist()
    if ending != ".npy" or not place.is_file():
        return False
    try:
        read_latents(place).close()
    except DataError:
        return False
    return True


def latent_names(path: str, count: int) -> list[str]:
    """The paths in an .npz that `embed` wrote; the numbers of the rows in any other file."""
    if path.lower().endswith(".npz"):
        try:
            with np.load(path, allow_pickle=False) as arrays:
                names = [str(name) for name in arrays["path"]] if "path" in arrays else []
        except (ValueError, OSError, EOFError, zipfile.BadZipFile):
            names = []
        if len(names) == count:
            return names
    return [str(row) for row in range(count)]
