"""A folder of photos and a very short training run, for the tests of faults."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

SMALL = ["--epochs", "1", "--hidden", "4", "--latent-dim", "2", "--threads", "1",
         "--likelihood", "bce", "--pictures-every", "9"]  # fmt: skip


def photo(seed: int, side: int = 8) -> Image.Image:
    """Noise, different for each seed."""
    values = np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)
    return Image.fromarray(values)


def encoded(image: Image.Image, form: str, **how: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **how)
    return buffer.getvalue()


@pytest.fixture
def photos() -> Path:
    """A folder of 20 good photos to train on, and one to test on."""
    folder = Path("photos")
    for name in ("train", "test"):
        (folder / name).mkdir(parents=True)
    for seed in range(20):
        photo(seed).save(folder / "train" / f"{seed:02}.png")
    photo(20).save(folder / "test" / "20.png")
    return folder


@pytest.fixture
def train(cli: Any) -> Callable[..., Any]:
    """`vaekit train` with a tiny network, into the folder `run`."""

    def run(*options: str | Path) -> Any:
        return cli("train", *SMALL, "-o", "run", *options)

    return run


def refused(done: Any, code: int, *words: str) -> None:
    """Check the exit code, an empty stdout, and that stderr ends with one line with these words."""
    assert (done.code, done.stdout) == (code, ""), done.stderr
    *_, last = done.stderr.splitlines()
    assert last.startswith("vaekit: ")
    assert done.stderr.count("vaekit: ") == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in last
    assert not Path("run/model.safetensors").exists()
