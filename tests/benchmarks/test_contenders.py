"""Every contender runs and reports a speed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.process import contender
from tests.benchmarks.rivals import bare_forward, bare_loop, pillow_zip, plain_loop
from tests.benchmarks.works import WORKS, jpeg_zip, made

EPOCHS = 3


@pytest.fixture
def images(tmp_path: Path) -> str:
    path = tmp_path / "images.npy"
    np.save(path, made(40, WORKS["mlp"].image))
    return str(path)


@pytest.fixture
def settings(images: str) -> dict:
    return {"work": "mlp", "train": images, "epochs": EPOCHS, "batch": 16, "workers": 0}


@pytest.mark.parametrize("loop", [bare_loop, plain_loop])
def test_a_loop_has_a_speed(loop, settings: dict) -> None:
    assert loop.measure(**settings, began=0.0)["value"] > 0


def test_the_plain_loop_learns(settings: dict, images: str) -> None:
    settings["epochs"] = 1
    before = plain_loop.measure(**settings, test=images, began=0.0)
    settings["epochs"] = 12
    after = plain_loop.measure(**settings, test=images, began=0.0)
    assert after["neg_elbo"] < before["neg_elbo"] - 10


def test_the_bare_loop_learns_what_vaekit_would(images: str) -> None:
    import torch

    from vaekit.objectives.elbo import elbo

    model, x = bare_loop.network(WORKS["mlp"]), bare_loop.floats(images).permute(0, 3, 1, 2)
    torch.manual_seed(0)
    found = bare_loop.loss(model, x)
    torch.manual_seed(0)
    expected = elbo(model, x, torch.randn(len(x), model.latent_dim))["neg_elbo"].mean()
    assert torch.allclose(found, expected)


def test_pythae_has_a_speed(settings: dict) -> None:
    pytest.importorskip("pythae", reason='the rival comes with pip install -e ".[bench]"')
    assert contender("rivals.pythae_run", **settings)["value"] > 0


def test_vaekit_has_a_speed_in_a_process_of_its_own(settings: dict, tmp_path: Path) -> None:
    flags = ["--dataset", "digits", "--limit", "100", "--hidden", "8", "--val-split", "0"]
    assert contender("ours", kind="train", flags=flags, count=100, **settings)["value"] > 0


@pytest.mark.parametrize("command", bare_forward.PASSES)
def test_the_bare_network_has_a_speed(command: str, images: str) -> None:
    samples = 2 if command == "decode" else 0
    measured = bare_forward.measure("mlp", images, command, batch=16, samples=samples)
    assert measured["value"] > 0


def test_pillow_reads_the_zip_that_is_made_where_none_is_given(tmp_path: Path) -> None:
    archive = jpeg_zip(tmp_path / "images.zip", 5)
    assert pillow_zip.decoded(str(archive)).shape == (5, 32, 32, 3)
    assert pillow_zip.measure(str(archive))["images"] == 5


def test_a_contender_that_fails_is_named_with_its_error() -> None:
    with pytest.raises(SystemExit, match=r"pillow_zip[\s\S]*FileNotFoundError"):
        contender("rivals.pillow_zip", archive="no-such.zip")
