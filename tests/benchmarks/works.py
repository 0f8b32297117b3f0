"""The two networks that are timed, their training images, and the benchmark's options."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Image = tuple[int, int, int]
BLOCKS = 4
"""Made-up images have this many blocks of one colour per side: they compress like photographs."""


@dataclass(frozen=True)
class Work:
    """A network and its images, for `vaekit train` and for its rivals."""

    model: str
    image: Image
    latent_dim: int
    settings: dict[str, Any]
    images: int
    """The number of images that is enough to time."""

    @property
    def flags(self) -> list[str]:
        """The flags that give `vaekit train` this network."""
        pairs = {"model": self.model, "latent-dim": self.latent_dim, "likelihood": "bce"}
        widths = {name: ",".join(map(str, value)) for name, value in self.settings.items()}
        decoder = {"upsampling": "transposed"} if self.model == "conv" else {}
        options = (pairs | widths | decoder).items()
        return [part for name, value in options for part in (f"--{name}", str(value))]


WORKS = {
    "mlp": Work("mlp", (28, 28, 1), 20, {"hidden": [400]}, 60_000),
    "conv": Work("conv", (32, 32, 3), 128, {"channels": [32, 64, 128, 256]}, 12_000),
}


@dataclass(frozen=True)
class Options:
    """The options from the command line."""

    folder: Path
    data_dir: Path | None = None
    cifar_zip: Path | None = None
    threads: int | None = None
    images: int | None = None
    epochs: int | None = None
    vaekit_epochs: int | None = None
    batch: int = 128
    workers: int = 2
    compile: bool = False
    quick: bool = False

    def count(self, usual: int) -> int:
        """The number of images asked for, or the usual number."""
        return self.images or (min(usual, 2000) if self.quick else usual)


@dataclass(frozen=True)
class Data:
    """The images for `vaekit`, and decoded into arrays for its rivals."""

    dataset: str
    flags: list[str]
    train: Path
    test: Path
    count: int

    @property
    def facts(self) -> dict[str, str | int]:
        """What they are, for the report; without their path."""
        made = self.dataset.endswith(".npz")
        return {"images": "made up" if made else Path(self.dataset).name, "number": self.count}


def data_for(work: Work, options: Options, count: int | None = None) -> Data:
    """The real images if given, else made-up ones; the rivals get equal arrays."""
    from vaekit import load_dataset

    count = count or options.count(work.images)
    dataset, where = _source(work, options, count)
    paths = {split: options.folder / f"{work.model}-{split}.npy" for split in ("train", "test")}
    for split, path in paths.items():
        images = load_dataset(dataset, split, limit=count, val_split=0, data_dir=where).images
        np.save(path, images)
        if split == "train":
            count_found = len(images)
    flags = ["--dataset", dataset, "--limit", str(count)]
    flags += ["--data-dir", str(where)] if where else []
    return Data(dataset, flags, paths["train"], paths["test"], count_found)


def _source(work: Work, options: Options, count: int) -> tuple[str, Path | None]:
    if work.model == "mlp" and options.data_dir:
        return "mnist", options.data_dir.resolve()
    if work.model == "conv" and options.cifar_zip:
        return str(options.cifar_zip.resolve()), None
    path = options.folder / f"{work.model}.npz"
    np.savez(path, x=made(count * 10 // 9 + 1, work.image))  # one in ten becomes the test split
    return str(path), None


def made(count: int, image: Image) -> np.ndarray:
    """Made-up images, bytes (N, H, W, C)."""
    height, width, channels = image
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (count, BLOCKS, BLOCKS, channels), dtype=np.uint8)
    return coarse.repeat(height // BLOCKS, 1).repeat(width // BLOCKS, 2)


def jpeg_zip(path: Path, count: int, image: Image = (32, 32, 3)) -> Path:
    """A zip of small JPEGs in one folder."""
    from PIL import Image as Pictures

    with zipfile.ZipFile(path, "w") as archive:
        for number, pixels in enumerate(made(count, image)):
            buffer = io.BytesIO()
            Pictures.fromarray(pixels).save(buffer, "JPEG")
            archive.writestr(f"images/{number:05d}.jpg", buffer.getvalue())
    return path
