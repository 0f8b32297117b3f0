"""Features: which they are, and that a stranger's weights are never unpickled."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vaekit
from vaekit import files
from vaekit.errors import InputError, UsageError
from vaekit.evaluation.samples import image_features
from vaekit.evaluation.samples.image_features import (
    WEIGHTS,
    FeaturesMissing,
    extractor,
    pixels,
    read_weights,
)


def images(side: int, channels: int, count: int = 5) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, side, side, channels), np.uint8)


def test_pixels_of_small_images_are_the_values_themselves() -> None:
    x = images(28, 1)
    assert pixels(x) == pytest.approx(x.reshape(5, -1) / 255)


@pytest.mark.parametrize(("side", "channels", "width"), [(32, 3, 768), (64, 3, 768), (33, 1, 289)])
def test_pixels_of_large_images_are_averaged_over_squares(
    side: int, channels: int, width: int
) -> None:
    found = pixels(images(side, channels))
    assert found.shape == (5, width)
    assert width <= image_features.WIDEST_FEATURES


def test_an_averaged_pixel_is_the_mean_of_its_square() -> None:
    x = images(64, 1)
    squares = x.reshape(5, 32, 2, 32, 2).mean((2, 4)).reshape(5, -1) / 255
    assert pixels(x) == pytest.approx(squares, abs=1e-6)


def test_the_models_features_are_its_posterior_means(tiny_model: Path) -> None:
    model, x = vaekit.load(tiny_model, "cpu"), images(8, 1)
    found = extractor("model", model.network)(x)
    assert np.array_equal(found, model.embed(x).numpy())


def test_unknown_features_are_named(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="--features vgg"):
        extractor("vgg", vaekit.load(tiny_model, "cpu").network)


def test_missing_weights_say_where_to_fetch_and_put_them() -> None:
    with pytest.raises(FeaturesMissing) as failure:
        read_weights(None)
    message = str(failure.value)
    assert "https://github.com/toshas/torch-fidelity/releases/download/" in message
    assert str(files.cache_dir() / "weights" / WEIGHTS) in message
    assert "--inception-weights" in message
    with pytest.raises(InputError, match=r"own\.pth: no such file \(--inception-weights\)"):
        read_weights(Path("own.pth"))


class Bomb:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("exploded"),)


def test_other_weights_are_refused_before_they_are_opened() -> None:
    Path("evil.pth").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError, match="SHA-256"):
        read_weights(Path("evil.pth"))
    assert not Path("exploded").exists()


def test_weights_are_read_as_tensors_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even a file that has the checksum: a second lock behind the first."""
    torch.save({"layer": Bomb()}, "evil.pth")
    digest = hashlib.sha256(Path("evil.pth").read_bytes()).hexdigest()
    monkeypatch.setattr(image_features, "WEIGHTS_SHA256", digest)
    with pytest.raises(pickle.UnpicklingError):
        read_weights(Path("evil.pth"))
    assert not Path("exploded").exists()


@pytest.mark.parametrize("channels", [1, 3])
def test_inception_features_are_torch_fidelitys(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Path, channels: int
) -> None:
    """With weights drawn at random: the standard ones are not for a test to fetch."""
    reason = "the extra `fid` is not installed"
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3", reason=reason)
    torch.manual_seed(0)
    with monkeypatch.context() as patch:
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        empty = Path("empty.pth")
        torch.save({}, empty)
        theirs = module.FeatureExtractorInceptionV3("inception", ["2048"], str(empty))
    torch.save(theirs.state_dict(), "weights.pth")
    digest = hashlib.sha256(Path("weights.pth").read_bytes()).hexdigest()
    monkeypatch.setattr(image_features, "WEIGHTS_SHA256", digest)
    network = vaekit.load(tiny_model, "cpu").network
    x = images(20, channels, 3)
    found = extractor("inception", network, Path("weights.pth"))(x)
    colour = torch.from_numpy(np.repeat(x, 3, 3) if channels == 1 else x).permute(0, 3, 1, 2)
    assert found.shape == (3, 2048)
    assert found == pytest.approx(theirs(colour)[0].numpy(), rel=1e-4, abs=1e-5)
