"""`vaekit interpolate`: paths whose ends are exact, as strips, animations and arrays."""

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
from vaekit.latents.walks import latent_path
from vaekit.output.pictures import encode_picture, strip, to_uint8


def last(images: torch.Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).numpy()


def array(cli: Any, model: Path, *options: str | Path) -> np.ndarray:
    done = cli("interpolate", model, "-o", "x.npy", "-q", *options)
    assert (done.code, done.stdout, done.stderr) == (0, "x.npy\n", "")
    return np.load("x.npy")


def grey(*paths: str) -> np.ndarray:
    """Image files as the small model takes them."""
    from vaekit.data.streams.mixed_inputs import stream_images

    with stream_images([*paths], shape=(8, 8, 1)) as stream:
        return np.concatenate([chunk.images for chunk in stream])


# Between images.


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("method", ["slerp", "linear"])
def test_between_two_images_is_what_python_gives_and_the_ends_are_exact(
    cli: Any, tiny_model: Path, model: Model, method: str
) -> None:
    """The first and last picture of a morph are the reconstructions of what it is between."""
    a, b = grey("a.jpg", "b.jpg")
    found = array(cli, tiny_model, "a.jpg", "b.jpg", "--steps", "12", "--method", method)
    assert np.array_equal(found, last(model.interpolate(a, b, steps=12, method=method)))
    assert cli("reconstruct", tiny_model, "a.jpg", "b.jpg", "-o", "ends.npy", "-q").code == 0
    assert np.array_equal(found[[0, -1]], np.load("ends.npy"))
    assert len(np.unique(found.reshape(12, -1), axis=0)) == 12


@pytest.mark.usefixtures("photos")
def test_slerp_is_the_default_and_keeps_to_the_arc(
    cli: Any, tiny_model: Path, model: Model
) -> None:
    given = ["a.jpg", "b.jpg", "--steps", "5"]
    arc = array(cli, tiny_model, *given)
    assert np.array_equal(arc, array(cli, tiny_model, *given, "--method", "slerp"))
    assert not np.array_equal(arc, array(cli, tiny_model, *given, "--method", "linear"))
    a, b = model.embed(grey("a.jpg", "b.jpg"))
    assert np.array_equal(arc, last(model.decode(latent_path(a, b, 5, "slerp"))))


@pytest.mark.usefixtures("photos")
def test_a_path_through_three_images_passes_each_once(
    cli: Any, tiny_model: Path, model: Model
) -> None:
    names = ["a.jpg", "b.jpg", "photos/dog/7.jpg"]
    found = array(cli, tiny_model, *names, "--steps", "6")
    assert found.shape == (11, 8, 8, 1)
    assert np.array_equal(found[[0, 5, 10]], last(model.reconstruct(grey(*names))))
    done = cli("interpolate", tiny_model, *names, "--steps", "6", "-o", "x.png", "--json")
    assert json.loads(done.stdout) == {"path": "x.png", "n": 11}
    legs = [
        torch.from_numpy(found.transpose(0, 3, 1, 2)[part]) for part in (slice(6), slice(5, 11))
    ]
    originals = torch.from_numpy(grey(*names)).permute(0, 3, 1, 2) / 255
    shown = [torch.cat([originals[i : i + 1], legs[i], originals[i + 1 : i + 2]]) for i in (0, 1)]
    picture = strip(shown, headings=["original", *[""] * 6, "original"])
    assert Path("x.png").read_bytes() == encode_picture(picture), "a row for each leg"


# Drawn, and from a data set.


def test_without_images_eight_pairs_are_drawn(cli: Any, tiny_model: Path, model: Model) -> None:
    assert cli("interpolate", tiny_model).stdout == "interpolation.png\n"
    z = model.draw_latents(16)
    paths = [model.decode(latent_path(z[i], z[i + 1], 10)) for i in range(0, 16, 2)]
    assert Path("interpolation.png").read_bytes() == encode_picture(strip(paths))
    few = array(cli, tiny_model, "-n", "3")
    assert np.array_equal(few, np.concatenate([last(path) for path in paths[:3]]))
    assert not np.array_equal(few, array(cli, tiny_model, "-n", "3", "--seed", "1"))


def test_the_ends_of_many_paths_are_exact(model: Model) -> None:
    """sin(ω) a / sin(ω) is not always a."""
    z = model.draw_latents(400)
    paths = [(a, b, latent_path(a, b, 3)) for a, b in zip(z[::2], z[1::2], strict=True)]
    assert all(torch.equal(path[0], a) and torch.equal(path[-1], b) for a, b, path in paths)


def test_the_ends_may_be_images_of_a_data_set(cli: Any, tiny_model: Path, model: Model) -> None:
    found = array(cli, tiny_model, "--dataset", "digits", "-n", "2", "--steps", "4", "--seed", "5")
    chosen = package.load_dataset("digits", "test", limit=4, seed=5).images
    ends = found.reshape(2, 4, 8, 8, 1)[:, [0, -1]].reshape(4, 8, 8, 1)
    assert np.array_equal(ends, last(model.reconstruct(chosen)))


def test_colour_too(cli: Any, colour_model: Path) -> None:
    assert array(cli, colour_model, "-n", "1", "--steps", "3").shape == (3, 16, 16, 3)
    assert cli("interpolate", colour_model, "-o", "x.gif").code == 0
    with Image.open("x.gif") as gif:
        assert gif.n_frames == 18


def test_a_walk_passes_all_draws_and_comes_back(cli: Any, tiny_model: Path, model: Model) -> None:
    z = model.draw_latents(3)
    legs = [last(model.decode(latent_path(z[i], z[(i + 1) % 3], 5))) for i in range(3)]
    expected = np.concatenate([legs[0], legs[1][1:], legs[2][1:]])
    found = array(cli, tiny_model, "--walk", "-n", "3", "--steps", "5")
    assert np.array_equal(found, expected)
    assert np.array_equal(found[0], found[-1])
    assert cli("interpolate", tiny_model, "--walk", "-n", "3", "--steps", "5", "-o", "x.gif")
    with Image.open("x.gif") as gif:
        assert gif.n_frames == 12, "the last would be the first again"
        assert {gif.seek(i) or gif.info["duration"] for i in range(12)} == {80}


@pytest.mark.usefixtures("photos")
def test_a_walk_through_images_shows_them_beside_each_leg(cli: Any, tiny_model: Path) -> None:
    found = array(cli, tiny_model, "a.jpg", "b.jpg", "--walk", "--steps", "4")
    there = array(cli, tiny_model, "a.jpg", "b.jpg", "--steps", "4")
    assert np.array_equal(found[:4], there)
    assert np.allclose(found[3:], there[::-1], atol=1e-5)
    data = array(cli, tiny_model, "--dataset", "digits", "-n", "3", "--walk", "--steps", "4")
    assert data.shape == (10, 8, 8, 1)
    assert cli("interpolate", tiny_model, "a.jpg", "b.jpg", "--walk").code == 0


# Forms.


@pytest.mark.parametrize("name", ["x.gif", "x.webp", "x.apng"])
@pytest.mark.usefixtures("photos")
def test_an_animation_goes_there_and_back(cli: Any, tiny_model: Path, name: str) -> None:
    given = ["a.jpg", "b.jpg", "--steps", "7"]
    frames = to_uint8(array(cli, tiny_model, *given).transpose(0, 3, 1, 2))
    assert cli("interpolate", tiny_model, *given, "-o", name).stdout == f"{name}\n"
    with Image.open(name) as shown:
        assert shown.n_frames == 12, "7 there, and 5 on the way back before it begins again"
        assert shown.info["loop"] == 0
        for number, step in enumerate([*range(7), *range(5, 0, -1)]):
            shown.seek(number)
            small = shown.convert("L").resize((8, 8), Image.Resampling.NEAREST)
            assert np.abs(np.asarray(small, int) - frames[step][..., 0]).max() <= 1


@pytest.mark.usefixtures("photos")
def test_a_folder_and_bytes(cli: Any, tiny_model: Path) -> None:
    given = ["a.jpg", "b.jpg", "--steps", "3"]
    found = array(cli, tiny_model, *given, "--uint8")
    assert found.dtype == np.uint8
    assert cli("interpolate", tiny_model, *given, "-o", "out/").stdout == "out\n"
    shown = [np.asarray(Image.open(f"out/000{n}.png")) for n in range(3)]
    assert np.array_equal(np.stack(shown)[..., None], found)


# Refusals.


@pytest.mark.parametrize("given", [["a.jpg", "gone.jpg"], ["gone.jpg", "a.jpg"], ["a.jpg", "x.png"],
                                   ["a.jpg", "empty.png", "b.jpg"]], ids=" ".join)  # fmt: skip
@pytest.mark.usefixtures("photos")
def test_a_missing_or_unreadable_image_to_interpolate_is_named(
    cli: Any, tiny_model: Path, given: list[str]
) -> None:
    """A morph to another image than was asked for would be worse than none."""
    Path("x.png").write_text("no image")
    Path("empty.png").touch()
    done = cli("interpolate", tiny_model, *given, "-o", "m.gif")
    bad = next(name for name in given if name not in ("a.jpg", "b.jpg"))
    assert (done.code, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert done.stderr.startswith(f"vaekit: {bad}: ")
    assert "--strict" not in done.stderr, "nobody gave it"
    assert not Path("m.gif").exists()


@pytest.mark.usefixtures("photos")
def test_one_image_is_too_few(cli: Any, tiny_model: Path) -> None:
    done = cli("interpolate", tiny_model, "a.jpg", "-q")
    assert done.code == 3
    assert "needs at least two images, not 1" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--steps", "1"], "--steps"), (["--method", "lerp"], "--method lerp: slerp or linear"),
     (["-n", "0"], "-n"), (["--walk", "-n", "1"], "-n 1: a walk needs two stops or more"),
     (["a.jpg", "b.jpg", "-n", "2"], "one path goes through all images"),
     (["--limit", "3"], "--limit needs --dataset"), (["-o", "x.csv"], ".csv"),
     (["a.jpg", "--dataset", "digits"], "exclude each other"), (["--step", "3"], "--steps"),
     (["--steps", "20000", "-n", "1"], "too many for one picture")],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
@pytest.mark.usefixtures("photos")
def test_what_cannot_be_meant_is_a_wrong_command_line(
    cli: Any, tiny_model: Path, options: list[str], message: str
) -> None:
    done = cli("interpolate", tiny_model, *options)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert message in done.stderr
