"""What a user would lose: vectors, names and thumbnails that TensorBoard shows in one order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from vaekit.errors import UsageError, VaekitError
from vaekit.output import projector
from vaekit.output.projector import open_projector

rng = np.random.default_rng(0)


def flat(*greys: int, size=(8, 8), channels=1) -> np.ndarray:
    return np.stack([np.full((*size, channels), grey, np.uint8) for grey in greys])


def send(folder, images, *, piece=7):
    count = len(images)
    with open_projector(folder) as out:
        for start in range(0, count, piece):
            part = images[start : start + piece]
            names = [f"{start + i}.png" for i in range(len(part))]
            out.write(names, np.zeros((len(part), 2)), images=part)
    with Image.open(folder / "sprite.png") as read:
        return np.asarray(read)


def test_latents_and_their_labels_are_in_the_same_order(tmp_path):
    z = rng.normal(size=(3, 4)).astype(np.float32)
    with open_projector(tmp_path / "p") as out:
        out.write(["a.png", "b\tc\nd.png"], z[:2], labels=["cat", None])
        out.write(["\udcff.png"], z[2:], labels=[7])
    read = np.loadtxt(tmp_path / "p" / "tensors.tsv", delimiter="\t")
    assert np.array_equal(read.astype(np.float32), z)
    assert (tmp_path / "p" / "metadata.tsv").read_text("utf-8").split("\n") == [
        "name\tlabel",
        "a.png\tcat",
        "b\\tc\\nd.png\t",
        "\\xff.png\t7",
        "",
    ]
    config = (tmp_path / "p" / "projector_config.pbtxt").read_text()
    assert 'tensor_path: "tensors.tsv"' in config
    assert 'metadata_path: "metadata.tsv"' in config
    assert "sprite" not in config
    assert len(list((tmp_path / "p").iterdir())) == 3


def test_the_config_names_the_sprite_and_the_side_of_its_thumbnails(tmp_path):
    send(tmp_path, flat(0, 100, 200))
    assert (tmp_path / "projector_config.pbtxt").read_text() == (
        'embeddings {\n  tensor_name: "latents"\n  tensor_path: "tensors.tsv"\n'
        '  metadata_path: "metadata.tsv"\n  sprite {\n    image_path: "sprite.png"\n'
        "    single_image_dim: 64\n    single_image_dim: 64\n  }\n}\n"
    )


@pytest.mark.parametrize("count", [1, 2, 4, 5, 100])
def test_thumbnails_fill_a_square_row_by_row(tmp_path, count):
    greys = [i * 2 for i in range(count)]
    sprite = send(tmp_path, flat(*greys))
    across = math.ceil(math.sqrt(count))
    assert sprite.shape == (across * 64, across * 64)
    cells = sprite[32::64, 32::64].ravel()
    assert cells.tolist() == greys + [255] * (across**2 - count)


@pytest.mark.parametrize("size", [(8, 4), (4, 8), (200, 100)])
def test_images_that_are_not_square_keep_their_shape_on_white(tmp_path, size):
    sprite = send(tmp_path, flat(10, size=size, channels=3))
    dark = (sprite == 10).all(axis=-1)
    assert dark.sum() == 64 * 32
    assert dark[32, 32]
    assert (sprite[~dark] == 255).all()


@pytest.mark.parametrize(("count", "side"), [(16, 64), (17, 32), (64, 32), (65, 16), (1025, 4)])
def test_many_thumbnails_become_small_and_still_fit(tmp_path, monkeypatch, count, side):
    monkeypatch.setattr(projector, "SHEET", 256)
    greys = [i % 250 for i in range(count)]
    sprite = send(tmp_path, flat(*greys), piece=10)
    assert max(sprite.shape) <= 256
    assert f"single_image_dim: {side}\n" in (tmp_path / "projector_config.pbtxt").read_text()
    assert sprite[side // 2 :: side, side // 2 :: side].ravel()[:count].tolist() == greys


def test_too_many_for_any_thumbnail_are_shown_without(tmp_path, monkeypatch):
    send(tmp_path, flat(1, 2))
    monkeypatch.setattr(projector, "SHEET", 16)
    with open_projector(tmp_path) as out:
        out.write([str(i) for i in range(17)], np.zeros((17, 2)), images=flat(*range(17)))
        out.write(["last"], np.zeros((1, 2)), images=flat(3))
    assert not (tmp_path / "sprite.png").exists()
    assert "sprite" not in (tmp_path / "projector_config.pbtxt").read_text()


def test_what_is_not_finite_cannot_be_shown(tmp_path):
    z = np.array([[1.0, 2.0], [np.nan, 1.0]])
    with open_projector(tmp_path) as out, pytest.raises(VaekitError, match=r"b\.png: its latents"):
        out.write(["a.png", "b.png"], z)


def test_a_failure_leaves_no_half_of_it(tmp_path):
    def stop() -> None:
        with open_projector(tmp_path) as out:
            out.write(["a"], np.zeros((1, 2)), images=flat(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert list(tmp_path.iterdir()) == []


def test_a_training_run_is_no_place_for_it(tmp_path):
    for name in ("config.yaml", "metrics.jsonl"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match="holds a training run"):
        send(tmp_path, flat(1))
