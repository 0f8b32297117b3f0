"""`vaekit traverse`: one row a dimension, the most informative first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vaekit as package
from vaekit.inference import Model
from vaekit.latents.walks import traversal
from vaekit.model_file.header import read_model_file
from vaekit.output.pictures import encode_picture, strip


def array(cli: Any, model: Path, *options: str | Path) -> np.ndarray:
    done = cli("traverse", model, "-o", "x.npy", "-q", *options)
    assert (done.code, done.stdout, done.stderr) == (0, "x.npy\n", "")
    return np.load("x.npy")


def rows(
    model: Model, order: list[int], base: torch.Tensor, steps: int = 11, reach: float = 3.0
) -> list[torch.Tensor]:
    return [model.decode(traversal(base, dim, steps, reach)) for dim in order]


def last(paths: list[torch.Tensor]) -> np.ndarray:
    return torch.cat(paths).permute(0, 2, 3, 1).numpy()


def by_header(path: Path) -> tuple[list[int], list[float]]:
    kl = read_model_file(path).header.latents.kl
    return sorted(range(len(kl)), key=lambda dim: -kl[dim]), list(kl)


def test_rows_are_in_the_order_that_the_model_file_tells_and_labelled(
    cli: Any, tiny_model: Path, model: Model
) -> None:
    order, kl = by_header(tiny_model)
    assert order != sorted(order), "else this test would see nothing"
    expected = rows(model, order, torch.zeros(4))
    assert np.array_equal(array(cli, tiny_model), last(expected))
    assert cli("traverse", tiny_model).stdout == "traversal.png\n"
    labels = [f"z{dim}  {kl[dim]:.2f} nats" for dim in order]
    start = model.decode(torch.zeros(1, 4))
    marks = ["-3", "-2.4", "-1.8", "-1.2", "-0.6", "0", "0.6", "1.2", "1.8", "2.4", "3"]
    rows_shown = [torch.cat([start, path]) for path in expected]
    picture = strip(rows_shown, labels, headings=["start", *marks])
    assert Path("traversal.png").read_bytes() == encode_picture(picture)


def test_a_data_set_may_say_the_order(cli: Any, tiny_model: Path, model: Model) -> None:
    images = package.load_dataset("digits", "test", limit=3, seed=2).images
    kl = model.posterior(images).kl_to_standard().double().mean(0)
    order = sorted(range(4), key=lambda dim: -float(kl[dim]))
    assert order != by_header(tiny_model)[0], "else this test would see nothing"
    found = array(cli, tiny_model, "--dataset", "digits", "--limit", "3", "--seed", "2")
    assert np.array_equal(found, last(rows(model, order, torch.zeros(4))))


@pytest.mark.usefixtures("photos")
def test_an_image_may_be_what_rows_depart_from(cli: Any, tiny_model: Path, model: Model) -> None:
    from vaekit.data.streams.mixed_inputs import stream_images

    with stream_images(["a.jpg"], shape=(8, 8, 1)) as stream:
        (chunk,) = stream
    order, _ = by_header(tiny_model)
    base = model.embed(chunk.images)[0]
    options = ["--dims", "2", "--steps", "5", "--range", "1.5"]
    expected = last(rows(model, order[:2], base, 5, 1.5))
    assert np.array_equal(array(cli, tiny_model, "a.jpg", *options), expected)
    assert array(cli, tiny_model, "a.jpg", "--dataset", "digits", "--limit", "9").shape[0] % 11 == 0


def test_dimensions_that_carry_nothing_are_left_out_with_a_note(
    cli: Any, tiny_model: Path, model: Model
) -> None:
    given = ["--dataset", "digits", "--limit", "9"]
    images = package.load_dataset("digits", "test", limit=9).images
    carrying = int((model.posterior(images).kl_to_standard().double().mean(0) >= 0.01).sum())
    assert 0 < carrying < 4, "else this test would see nothing"
    assert array(cli, tiny_model, *given).shape[0] == 11 * carrying
    done = cli("traverse", tiny_model, *given)
    nothing = f"{4 - carrying} of 4 dimensions carry nothing: left out"
    assert nothing in done.stderr
    shown = "the 1 most informative of 4 dimensions are shown; --dims for more"
    assert shown not in done.stderr
    done = cli("traverse", tiny_model, *given, "--dims", "1")
    assert (f"{shown}; {nothing}" if carrying > 1 else nothing) in done.stderr


def test_a_collapsed_model_is_said_to_be_one(
    cli: Any, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaekit.cli.commands.traverse._kl", lambda *_: [0.0, 0.009, 0.0, 0.0])
    done = cli("traverse", tiny_model, "--dims", "2")
    assert done.code == 0
    assert "none of 4 dimensions carries anything: the decoder ignores them" in done.stderr
    assert "most informative" not in done.stderr


def test_an_image_that_was_trained_on_is_said_to_be(cli: Any, tiny_model: Path) -> None:
    for split in ("train", "test"):
        image = package.load_dataset("digits", split, limit=300).images[0]
        Image.fromarray(image[:, :, 0]).save(f"{split}.png")
    assert "1 of 1 images was trained on" in cli("traverse", tiny_model, "train.png").stderr
    assert "trained on" not in cli("traverse", tiny_model, "test.png").stderr


@pytest.mark.usefixtures("photos")
def test_an_animation_is_large_and_as_fast_as_asked(cli: Any, tiny_model: Path) -> None:
    assert cli("traverse", tiny_model, "a.jpg", "--fps", "4", "-o", "x.gif").code == 0
    with Image.open("x.gif") as shown:
        assert max(shown.size) >= 256
        shown.seek(1)
        assert shown.info["duration"] == 250
    assert cli("traverse", tiny_model, "--dims", "1", "--scale", "3", "-o", "x.webp").code == 0
    with Image.open("x.webp") as shown:
        assert shown.height == 24


def test_the_middle_of_each_row_is_the_middle_of_all(cli: Any, tiny_model: Path) -> None:
    found = array(cli, tiny_model).reshape(4, 11, 8, 8, 1)
    assert np.allclose(found[:, 5], found[0, 5], atol=1e-5)
    assert not np.allclose(found[:, 0], found[0, 0], atol=1e-3)
    still = array(cli, tiny_model, "--range", "0")
    assert (still == still[0]).all()


def test_an_animation_has_a_frame_for_each_step(cli: Any, tiny_model: Path) -> None:
    done = cli("traverse", tiny_model, "-o", "x.gif", "--steps", "4", "--json")
    assert json.loads(done.stdout) == {"path": "x.gif", "n": 16}
    with Image.open("x.gif") as gif:
        assert gif.n_frames == 6


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [(["a.jpg", "b.jpg"], 2, "starts from one image, not 2"), (["gone.jpg"], 3, "gone.jpg"),
     (["bad.png"], 3, "bad.png: is not an image"), (["--dims", "0"], 2, "--dims"),
     (["--steps", "1"], 2, "--steps"), (["--range", "inf"], 2, "--range inf"),
     (["--range", "-1"], 2, "--range"), (["--limit", "3"], 2, "--limit needs --dataset"),
     (["--dim", "3"], 2, "--dims"), (["-o", "x.csv"], 2, ".csv")],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
@pytest.mark.usefixtures("photos")
def test_what_cannot_be_is_said_in_one_line(
    cli: Any, tiny_model: Path, options: list[str], code: int, message: str
) -> None:
    Path("bad.png").write_text("no image")
    done = cli("traverse", tiny_model, "-q", *options)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert message in done.stderr
    assert "--strict" not in done.stderr
