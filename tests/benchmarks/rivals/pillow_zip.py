"""Decode every image of a zip with Pillow, one after another, into one array."""

from __future__ import annotations

import io
import time
import zipfile
from typing import Any

import numpy as np
from PIL import Image

from tests.benchmarks.process import contend


def decoded(archive: str) -> np.ndarray:
    """The images, bytes (N, H, W, C)."""
    with zipfile.ZipFile(archive) as file:
        names = [name for name in file.namelist() if name.endswith(".jpg")]
        images = [np.asarray(Image.open(io.BytesIO(file.read(name)))) for name in names]
    return np.stack(images)


def measure(archive: str, **_: Any) -> dict[str, float]:
    """Images per second."""
    began = time.perf_counter()
    images = decoded(archive)
    return {"value": len(images) / (time.perf_counter() - began), "images": len(images)}


if __name__ == "__main__":
    contend(measure)
