"""What the live page is told of a model is what the commands say of it."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vaekit
from vaekit.data import ImageSet
from vaekit.errors import DataError, ImageError
from vaekit.evaluation.image_scores import scores
from vaekit.inference import Model
from vaekit.output.pictures import to_uint8
from vaekit.page.live_model import NEIGHBOURS, WALK_STEPS, LiveModel


@pytest.fixture
def live(model: Model, digits: ImageSet) -> LiveModel:
    return LiveModel(model, digits, range(len(digits)))


def pixels(uri: str) -> np.ndarray:
    prefix, _, content = uri.partition(",")
    assert prefix == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def encoded(image: np.ndarray, form: str = "png") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze()).save(buffer, form)
    return buffer.getvalue()


def test_a_latent_is_decoded_as_decode_does(live: LiveModel, model: Model) -> None:
    z = [0.5, -1.0, 2.0, 0.0]
    expected = to_uint8(model.decode(torch.tensor([z])))[0, ..., 0].astype(int)
    assert np.abs(pixels(live.decode(z)["image"]).astype(int) - expected).max() <= 1


def test_an_image_lands_on_its_own_point_and_is_its_nearest(
    live: LiveModel, model: Model, digits: ImageSet
) -> None:
    found = live.place(encoded(digits.images[7]))
    assert found["neighbours"][0] == 7
    assert found["distances"][0] < 1e-5
    assert found["distances"] == sorted(found["distances"])
    assert len(found["neighbours"]) == NEIGHBOURS
    assert [found["x"], found["y"]] == pytest.approx(live.plane.points[7], abs=1e-5)
    assert found["z"] == pytest.approx(model.embed(digits.images[7:8])[0].tolist())
    assert np.array_equal(pixels(found["image"]), digits.images[7, ..., 0])
    back = to_uint8(model.reconstruct(digits.images[7:8]))[0, ..., 0]
    assert np.array_equal(pixels(found["reconstruction"]), back)
    expected = {name: values[0] for name, values in scores(model, digits.images[7:8]).items()}
    assert found["numbers"] == expected
    assert "neg_elbo" in expected


def test_an_image_that_the_model_was_trained_on_is_said_to_be(
    live: LiveModel, model: Model, digits: ImageSet
) -> None:
    assert model.trained_images is not None
    seen = vaekit.load_dataset("digits", "train").images
    seen = seen[model.trained_images.found(seen)]
    assert len(seen) > 10
    assert live.place(encoded(seen[3]))["trained_on"] is True
    assert live.place(encoded(digits.images[7]))["trained_on"] is False
    unsaved = Model(model.network, model.header)
    told = LiveModel(unsaved, digits, range(9)).place(encoded(seen[3]))
    assert told["trained_on"] is None


def test_a_photo_of_another_size_and_colour_is_converted(live: LiveModel) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    assert pixels(live.place(encoded(photo, "jpeg"))["image"]).shape == (8, 8)


def test_a_walk_goes_from_the_first_to_the_second(live: LiveModel, model: Model) -> None:
    a, b = [1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]
    sheet = live.walk([a, b])
    board = np.asarray(
        Image.open(io.BytesIO(base64.b64decode(sheet["src"].partition(",")[2]))).convert("L")
    )
    assert sheet["count"] == WALK_STEPS
    expected = to_uint8(model.decode(torch.tensor([a, b])))[..., 0]
    row, column = divmod(WALK_STEPS - 1, sheet["columns"])
    assert np.array_equal(board[:8, :8], expected[0])
    last = board[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
    assert np.array_equal(last, expected[1])


@pytest.mark.parametrize(
    "z", [None, 1.0, "1111", [0.0] * 3, [0.0, 0.0, 0.0, float("nan")], [0.0, 0.0, 0.0, 1e39],
          [True, 0.0, 0.0, 0.0], [[0.0]] * 4],
)  # fmt: skip
def test_what_is_no_latent_is_refused(live: LiveModel, z: Any) -> None:
    with pytest.raises(DataError, match="list of 4 finite numbers"):
        live.decode(z)
    with pytest.raises(DataError):
        live.walk([z, [0.0] * 4])


def test_what_is_no_image_is_refused(live: LiveModel) -> None:
    with pytest.raises(ImageError, match="is not an image"):
        live.place(b"no image")
