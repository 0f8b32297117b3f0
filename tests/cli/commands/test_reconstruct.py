"""`vaekit reconstruct`: originals above reconstructions, or the reconstructions alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vaekit as package
from vaekit.inference import Model
from vaekit.output.image_writer import LABELS
from vaekit.output.pictures import encode_picture, rows, to_uint8

DIGITS = ["--dataset", "digits"]


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return package.load_dataset("digits", "test").images


def last(array: Any) -> np.ndarray:
    return array.permute(0, 2, 3, 1).numpy()


def pairs(model: Model, images: np.ndarray) -> bytes:
    return encode_picture(rows([images, to_uint8(model.reconstruct(images))], LABELS))


def test_a_picture_shows_each_original_above_its_reconstruction(
    cli: Any, tiny_model: Path, model: Model, images: np.ndarray
) -> None:
    done = cli("reconstruct", tiny_model, *DIGITS, "-n", "10")
    assert (done.code, done.stdout, done.stderr) == (
        0,
        "reconstructions.png\n",
        "images: 190 of digits (test)\n",
    )
    assert Path("reconstructions.png").read_bytes() == pairs(model, images[:10])


def test_a_picture_of_a_data_set_shows_images_of_all_kinds(
    cli: Any, tiny_model: Path, model: Model
) -> None:
    """The first 16 of class folders would all be of one class."""
    chosen = package.load_dataset("digits", "test", limit=16)
    done = cli("reconstruct", tiny_model, "-o", "x.png")
    assert done.stderr == "images: 16 of digits (test), the model's own data set\n"
    assert Path("x.png").read_bytes() == pairs(model, chosen.images)
    cli("reconstruct", tiny_model, *DIGITS, "--limit", "20", "-n", "3", "-o", "y.png")
    few = package.load_dataset("digits", "test", limit=20).images[:3]
    assert Path("y.png").read_bytes() == pairs(model, few)


def test_an_array_holds_all_of_them_as_python_gives_them(
    cli: Any, tiny_model: Path, model: Model, images: np.ndarray
) -> None:
    assert cli("reconstruct", tiny_model, *DIGITS, "-o", "x.npy").stdout == "x.npy\n"
    assert np.array_equal(np.load("x.npy"), last(model.reconstruct(images)))
    assert cli("reconstruct", tiny_model, *DIGITS, "-n", "70", "-o", "y.npy").code == 0
    assert np.array_equal(np.load("y.npy"), np.load("x.npy")[:70])
    assert cli("reconstruct", tiny_model, *DIGITS, "-n", "5", "-o", "b.npz", "--uint8").code == 0
    with np.load("b.npz") as archive:
        assert np.array_equal(archive["x"], to_uint8(model.reconstruct(images[:5])))


def test_a_draw_is_keyed_by_the_seed_and_the_image(
    cli: Any, tiny_model: Path, model: Model, images: np.ndarray
) -> None:
    drawn = ["--sample", "--seed", "4"]
    assert cli("reconstruct", tiny_model, *DIGITS, *drawn, "-o", "x.npy").code == 0
    expected = last(model.reconstruct(images, sample=True, seed=4))
    assert np.array_equal(np.load("x.npy"), expected)
    assert cli("reconstruct", tiny_model, *DIGITS, *drawn, "-n", "66", "-o", "y.npy").code == 0
    assert np.array_equal(np.load("y.npy"), expected[:66])


@pytest.mark.parametrize("size", ["1", "7", "512"])
def test_the_batch_size_changes_no_byte(cli: Any, tiny_model: Path, size: str) -> None:
    assert cli("reconstruct", tiny_model, *DIGITS, "-o", "x.npy").code == 0
    assert cli("reconstruct", tiny_model, *DIGITS, "--batch-size", size, "-o", "y.npy").code == 0
    assert Path("x.npy").read_bytes() == Path("y.npy").read_bytes()


def test_files_of_a_folder_keep_their_order_and_their_names(
    cli: Any, tiny_model: Path, photos: Path
) -> None:
    done = cli("reconstruct", tiny_model, photos, "a.jpg", "-o", "out/")
    assert (done.code, done.stdout) == (0, "out\n")
    part, converted = done.stderr.splitlines()
    assert part == f"images: all 10 of {photos}, a.jpg"
    assert "9 images were resized and cropped from 24 wide x 16 high to 8x8" in converted
    assert "10 RGB images were turned to grey" in converted
    names = sorted(path.name for path in Path("out").iterdir())
    assert names == [*(f"{number:06}-{number}.png" for number in range(9)), "000009-a.png"]
    cli("reconstruct", tiny_model, photos, "a.jpg", "-o", "x.npy", "--uint8")
    found = [np.asarray(Image.open(Path("out") / name)) for name in names]
    assert np.array_equal(np.stack(found)[..., None], np.load("x.npy"))


def test_json_and_quiet(cli: Any, tiny_model: Path, photos: Path) -> None:
    done = cli("reconstruct", tiny_model, photos, "--json", "-q")
    assert json.loads(done.stdout) == {"path": "reconstructions.png", "n": 9, "skipped": 0}
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [(["photos", "--dataset", "digits"], "--dataset and images exclude each other"),
     (["photos", "--limit", "3"], "--limit needs --dataset"),
     (["photos", "--split", "train"], "--split needs --dataset"),
     (["--dataset", "digit"], "did you mean 'digits'?"),
     (["-n", "0"], "'-n'"), (["--smaple"], "--sample"), (["photos", "-o", "x.csv"], ".csv"),
     (["-", "--files-from", "-"], "can be read once"), (["-0", "photos"], "-0")],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
@pytest.mark.usefixtures("photos")
def test_what_cannot_be_meant_is_a_wrong_command_line(
    cli: Any, tiny_model: Path, options: list[str], message: str
) -> None:
    done = cli("reconstruct", tiny_model, *options)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert message in done.stderr


def test_a_picture_of_hundreds_is_capped_with_a_note(cli: Any, tiny_model: Path) -> None:
    np.save("many.npy", np.zeros((230, 8, 8, 1), np.uint8))
    done = cli("reconstruct", tiny_model, "many.npy", "--json")
    assert json.loads(done.stdout)["n"] == 200
    assert "the picture shows the first 200 of 230 images; -n takes another number" in done.stderr
    done = cli("reconstruct", tiny_model, "many.npy", "-n", "220", "--json")
    assert (json.loads(done.stdout)["n"], done.stderr) == (220, "")
    assert cli("reconstruct", tiny_model, "many.npy", "-o", "x.npy", "-q").code == 0
    assert len(np.load("x.npy")) == 230
