"""A model file knows which images it was trained on, whichever way they come in."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

import vaekit
from tests.conftest import TINY
from vaekit.errors import ModelFileError
from vaekit.model_file.header import TRAINED_ON, read_model_file
from vaekit.model_file.trained_images import TrainedImages, pack_trained_images, read_trained_images
from vaekit.model_file.weights import load_weights, save

FILE = Path("m.safetensors")
NETWORK = {"model": "mlp", "hidden": [8], "latent_dim": 2, "epochs": 1, "threads": 1}


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 1), np.uint8)


def numbers(packed: np.ndarray) -> list[int]:
    return [int.from_bytes(bytes(row), "big") for row in packed]


def test_the_tensor_is_the_sorted_first_48_bits_of_each_images_hash() -> None:
    images = noise(50)
    hashes = [hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in images]
    expected = sorted(int.from_bytes(each, "little") >> 16 for each in hashes)
    packed = pack_trained_images(np.concatenate([images, images[:9]]))
    assert packed.shape == (50, 6)
    assert numbers(packed) == expected


def test_training_images_are_found_and_no_others() -> None:
    trained = TrainedImages(np.array(numbers(pack_trained_images(noise(999))), np.uint64))
    mixed = np.concatenate([noise(5000, seed=1), noise(999)[::-1][:400], noise(7, seed=2)])
    assert trained.found(mixed).tolist() == [False] * 5000 + [True] * 400 + [False] * 7
    assert trained.count(mixed) == 400
    assert np.array_equal(trained.packed(), pack_trained_images(noise(999)))


def test_a_set_of_none_finds_none() -> None:
    assert TrainedImages(np.empty(0, np.uint64)).count(noise(3)) == 0


def test_a_file_holds_the_images_of_its_training(tiny_model: Path) -> None:
    model = vaekit.load(tiny_model, "cpu")
    assert model.trained_images is not None
    train = vaekit.load_dataset("digits", "train", limit=TINY["limit"])
    assert model.trained_images.found(train.images).all()
    assert len(model.trained_images.keys) == len(train) == model.header.training["n"]
    for split in ("val", "test"):
        assert model.trained_images.count(vaekit.load_dataset("digits", split).images) == 0


@pytest.mark.parametrize("how", ["static", "threshold", "dynamic"])
def test_binarized_training_remembers_the_images_as_they_were(how: str) -> None:
    path = vaekit.train(
        dataset="digits", limit=60, likelihood="bernoulli", binarize=how, output=FILE, **NETWORK
    ).path
    train = vaekit.load_dataset("digits", "train", limit=60)
    assert vaekit.load(path, "cpu").trained_images.count(train.images) == 60


def test_image_files_of_other_sizes_are_recognised_after_conversion(tmp_path: Path) -> None:
    """However they come in: as a data set, in a stream, or read by a Python program."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(30):
        colours = np.random.default_rng(n).integers(0, 256, (9 + n % 3, 12, 3), np.uint8)
        Image.fromarray(colours).save(folder / f"{n}.jpg")
    model = vaekit.load(
        vaekit.train(dataset=folder, image_size=6, grayscale=True, output=FILE, **NETWORK).path
    )
    names = {*vaekit.load_dataset(folder, "train", image_size=6, grayscale=True).names}
    record = model.evaluate(str(folder), split="all")
    assert (record["n"], record["trained_on"]) == (30, len(names))
    assert record["trained_on"] > 10
    assert f"{len(names)} of 30 images were trained on" in " ".join(record["notes"])


def test_only_the_network_is_loaded_and_the_rest_is_left_in_the_file(tiny_model: Path) -> None:
    file, network = load_weights(tiny_model, torch.device("cpu"))
    assert TRAINED_ON in file.tensors
    assert TRAINED_ON not in file.weights
    assert {*file.weights} == {*network.state_dict()}
    assert file.parameters == sum(each.numel() for each in network.parameters())


def test_a_saved_model_keeps_them_and_an_older_file_has_none(tiny_model: Path) -> None:
    model = vaekit.load(tiny_model, "cpu")
    assert model.save(FILE).read_bytes() == tiny_model.read_bytes()
    save(FILE, model.header, model.network.state_dict())
    assert TRAINED_ON not in load_file(FILE)
    older = vaekit.load(FILE, "cpu")
    assert older.trained_images is None
    record = older.evaluate("digits", split="train", limit=20)
    assert record["trained_on"] is None
    assert "trained on" not in " ".join(record["notes"])


def test_a_file_that_was_replaced_after_loading_is_not_asked(tiny_model: Path) -> None:
    header = read_model_file(tiny_model).header
    assert read_trained_images(tiny_model, header) is not None
    assert read_trained_images(tiny_model, header.model_copy(update={"classes": None})) is None
    assert read_trained_images(Path("gone.safetensors"), header) is None


@pytest.mark.parametrize("tensor", [torch.zeros(6), torch.zeros(3, 6), torch.zeros(3, 5).byte()])
def test_a_tensor_that_is_no_list_of_hashes_is_refused(
    tiny_model: Path, tensor: torch.Tensor
) -> None:
    model = vaekit.load(tiny_model, "cpu")
    save(FILE, model.header, model.network.state_dict(), tensor)
    changed = vaekit.load(FILE, "cpu")
    with pytest.raises(ModelFileError, match="is not a list of 6-byte hashes"):
        changed.evaluate("digits", limit=5)
