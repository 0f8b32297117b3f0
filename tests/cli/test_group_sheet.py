"""`--groups` and temperatures on the command line: what each group of a ladder's latents holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vaekit as package
from tests.ladder_files import save_ladder
from vaekit.cli.group_sheet import ACROSS
from vaekit.inference import Model
from vaekit.output.pictures import encode_picture, strip, to_uint8


@pytest.fixture(scope="module")
def ladder_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_ladder(tmp_path_factory.mktemp("ladder") / "ladder.safetensors")


@pytest.fixture
def ladder(ladder_file: Path) -> Model:
    return package.load(ladder_file, "cpu")


@pytest.fixture
def images() -> np.ndarray:
    """Also as `in.npy`."""
    found = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    np.save("in.npy", found)
    return found


def last(images: torch.Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).numpy()


def test_samples_have_a_temperature_for_each_group(
    cli: Any, ladder_file: Path, ladder: Model
) -> None:
    done = cli("sample", ladder_file, "-n", "3", "--temperature", "1,0.5,0", "-o", "x.npy")
    assert (done.code, done.stderr) == (0, "")
    assert np.array_equal(np.load("x.npy"), last(ladder.sample(3, temperature=[1, 0.5, 0])))


def test_reconstructions_of_the_first_groups_are_those_of_python(
    cli: Any, ladder_file: Path, ladder: Model, images: np.ndarray
) -> None:
    options = ["--groups", "2", "--temperature", "0.7", "--seed", "5", "-o", "x.npy"]
    assert cli("reconstruct", ladder_file, "in.npy", *options).code == 0
    expected = ladder.reconstruct(images, groups=2, temperature=0.7, seed=5)
    assert np.array_equal(np.load("x.npy"), last(expected))


def test_a_sheet_has_a_row_for_the_originals_and_for_each_number_of_groups(
    cli: Any, ladder_file: Path, ladder: Model, images: np.ndarray
) -> None:
    done = cli("reconstruct", ladder_file, "in.npy", "--groups", "all", "-o", "levels.png")
    assert (done.code, done.stdout) == (0, "levels.png\n")
    rows = [to_uint8(ladder.reconstruct(images, groups=groups)) for groups in (1, 2, 3)]
    labels = ["original", "1  1x1  3 nats", "2  2x2  52 nats", "3  8x8  9536 nats"]
    assert Path("levels.png").read_bytes() == encode_picture(strip([images, *rows], labels))


def test_a_sheet_of_many_images_continues_in_another_block_of_rows(
    cli: Any, ladder_file: Path, images: np.ndarray
) -> None:
    np.save("many.npy", np.concatenate([images] * 5)[: ACROSS + 3])
    assert cli("reconstruct", ladder_file, "many.npy", "--groups", "all", "-o", "x.png").code == 0
    assert cli("reconstruct", ladder_file, "in.npy", "--groups", "all", "-o", "y.png").code == 0
    wide, narrow = (np.asarray(Image.open(name)) for name in ("x.png", "y.png"))
    assert wide.shape[1] - narrow.shape[1] == (ACROSS - 5) * 66
    first = narrow[: narrow.shape[0]]
    shift = wide.shape[0] - narrow.shape[0]
    below = wide[shift:]
    assert np.array_equal(below[:, -ACROSS * 66 : -(ACROSS - 3) * 66], first[:, -330:-132])


def test_latents_of_the_first_groups_decode_to_the_reconstruction_of_these(
    cli: Any, ladder_file: Path, images: np.ndarray
) -> None:
    for name in ("z.npy", "z.csv", "z.jsonl"):
        assert cli("embed", ladder_file, "in.npy", "--groups", "2", "-o", name).code == 0
        done = cli("decode", ladder_file, name, "-o", "x.npy")
        assert done.code == 0
        assert "the first 2 of 3 groups: the others are at their prior's means" in done.stderr
        cli("reconstruct", ladder_file, "in.npy", "--groups", "2", "-o", "y.npy")
        assert np.array_equal(np.load("x.npy"), np.load("y.npy"))
    assert np.load("z.npy").shape == (5, 10)
    done = cli("decode", ladder_file, "z.npy", "--temperature", "0.7", "-o", "x.npy")
    assert "the others are drawn from their prior" in done.stderr
    options = ["--groups", "2", "--temperature", "0.7", "-o", "y.npy"]
    cli("reconstruct", ladder_file, "in.npy", *options)
    assert np.array_equal(np.load("x.npy"), np.load("y.npy"))


def test_walks_stay_in_the_first_groups(
    cli: Any, ladder_file: Path, ladder: Model, images: np.ndarray
) -> None:
    options = ["--groups", "1", "--steps", "3", "-o", "x.npy"]
    assert cli("traverse", ladder_file, *options).code == 0
    assert np.array_equal(np.load("x.npy"), last(ladder.traverse(groups=1, steps=3).flatten(0, 1)))
    for number in (0, 1):
        Image.fromarray(images[number, ..., 0]).save(f"{number}.png")
    assert cli("interpolate", ladder_file, "0.png", "1.png", *options).code == 0
    expected = ladder.interpolate(images[0], images[1], steps=3, groups=1)
    assert np.array_equal(np.load("x.npy"), last(expected))


def test_info_lists_the_groups_with_their_share_of_the_rate(cli: Any, ladder_file: Path) -> None:
    shown = cli("info", ladder_file).stdout
    assert "2 latents on each cell of 2x2: 52.00 nats, 0.5% of the KL" in shown
    record = json.loads(cli("info", ladder_file, "--json").stdout)
    assert [group["shape"] for group in record["groups"]] == [[2, 1, 1], [2, 2, 2], [2, 8, 8]]
    assert [group["latents"] for group in record["groups"]] == [2, 8, 128]
    assert [group["nats"] for group in record["groups"]] == [3, 52, 9536]
    assert sum(group["share"] for group in record["groups"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("sample M --temperature -1", 2, "--temperature -1: must be a finite number, at least 0"),
        ("sample M --temperature 1,1,1,1", 2, "4 numbers, where 3 groups of latents are drawn"),
        ("reconstruct M in.npy --groups 4", 2, "(1x1, 2x2, 8x8): give 1 to 3"),
        ("reconstruct M in.npy --groups most", 2, "--groups most: give a number of groups, or all"),
        ("reconstruct M in.npy --temperature 1", 2, "--temperature needs --groups"),
        ("reconstruct M in.npy --groups all -o x.npy", 2, "--groups all is a picture"),
        ("embed M in.npy --groups 0", 2, "--groups 0: this model has 3 groups"),
        ("decode M wide.npy", 3, "latents have 9 numbers, this model needs 138, or of its first"),
        ("decode M all.npy --temperature 1", 2, "--temperature is for latents of a ladder's first"),
        ("traverse M --groups 9", 2, "--groups 9: this model has 3 groups"),
        ("interpolate M --groups 9", 2, "--groups 9: this model has 3 groups"),
        ("reconstruct T in.npy --groups 1", 2, "the latents of this model are one group"),
        ("reconstruct T in.npy --groups all", 2, "the latents of this model are one group"),
        ("sample T --temperature 1,1", 2, "2 numbers, where one group of latents is drawn"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(
    cli: Any,
    ladder_file: Path,
    tiny_model: Path,
    images: np.ndarray,
    line: str,
    code: int,
    says: str,
) -> None:
    np.save("wide.npy", np.zeros((2, 9), np.float32))
    np.save("all.npy", np.zeros((2, 138), np.float32))
    files = {"M": ladder_file, "T": tiny_model}
    done = cli(*(files.get(word, word) for word in line.split()))
    assert (done.code, done.stderr.count("\n")) == (code, 1)
    assert says in done.stderr
