from __future__ import annotations

import io
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


class Recorder:
    """A reporter that records what it is told."""

    def __init__(self):
        self.notes, self.warnings, self.tasks = [], [], []

    def note(self, message):
        self.notes.append(message)

    def warn(self, message):
        self.warnings.append(message)

    @contextmanager
    def task(self, label, total, unit="images"):
        self.tasks.append((label, total, unit))
        yield self

    def advance(self, amount=1):
        pass

    @property
    def decodings(self):
        return [total for label, total, _ in self.tasks if label == "Decoding"]


@pytest.fixture
def heard():
    return Recorder()


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache folder for this test alone, in place of the user's."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setattr("vaekit.files.cache_dir", lambda: folder / "vaekit")
    return folder / "vaekit"


@pytest.fixture
def picture():
    """Makes an encoded image: noise that the seed decides, in a mode and format."""

    def make(seed=0, size=(12, 12), mode="RGB", form="PNG", **options):
        height, width = size
        depth = len(Image.new(mode, (1, 1)).getbands())
        values = np.random.default_rng(seed).integers(0, 256, (height, width, depth), np.uint8)
        image = Image.fromarray(values[..., 0] if depth == 1 else values, mode=None)
        if image.mode != mode:
            image = image.convert(mode)
        return encoded(image, form, **options)

    return make


@pytest.fixture
def encode():
    return encoded


def encoded(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.fixture
def fill_folder(tmp_path):
    """Writes files {name: bytes} under a folder, and gives the folder."""

    def fill(files, name="pictures"):
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        for inside, data in files.items():
            path = root / Path(inside)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return root

    return fill


@pytest.fixture
def pets(fill_folder, picture, monkeypatch):
    """A folder `pictures` of class folders, in the folder one is in; gives its files."""
    files = {f"{pet}/{n}.png": picture(n) for pet in ("cat", "dog") for n in (2, 10)}
    root = fill_folder(files)
    monkeypatch.chdir(root.parent)
    return files
