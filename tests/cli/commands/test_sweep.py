"""`vaekit sweep` and `compare --plot` as they are typed: numbers, curve, and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Runner

TINY = ("--dataset", "digits", "--limit", "60", "--epochs", "1", "--hidden", "8", "--latent-dim",
        "2", "--threads", "1", "--pictures-every", "off")  # fmt: skip


@pytest.fixture
def swept(cli: Runner) -> tuple[list[list[str]], str]:
    """The rows of the table and the messages of a sweep over two betas."""
    done = cli("sweep", *TINY, "--beta", "4,0.5", "-o", "s")
    assert done.code == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()], done.stderr


def test_a_sweep_prints_and_keeps_rate_and_distortion_of_each_beta(
    cli: Runner, swept: tuple[list[list[str]], str]
) -> None:
    (_, *rows), said = swept
    assert [(row[0], row[-1]) for row in rows] == [
        ("0.5", "s/beta-0.5/model.safetensors"), ("4", "s/beta-4/model.safetensors"),
    ]  # fmt: skip
    assert "beta 0.5: run 1 of 2" in said
    kept = json.loads(Path("s/rate-distortion.json").read_text())
    for record in kept["models"]:
        alone = json.loads(cli("evaluate", record["model"], "--dataset", "digits", "--json").stdout)
        assert {**alone, "model": record["model"]} == record
    assert [record["beta"] for record in kept["models"]] == [0.5, 4.0]
    for row, record in zip(rows, kept["models"], strict=True):
        assert float(row[1]) == pytest.approx(record["kl"], rel=1e-3)
        assert float(row[3 if row[2] != "±" else 5]) == pytest.approx(
            record["reconstruction"], rel=1e-3
        )
    assert kept["differences"]["neg_elbo"][0]["stderr"] > 0


def test_the_same_command_again_trains_nothing_and_gives_the_same(
    cli: Runner, swept: tuple[list[list[str]], str]
) -> None:
    before = Path("s/rate-distortion.json").read_bytes(), Path("s/rate-distortion.png").read_bytes()
    done = cli("sweep", *TINY, "--beta", "0.5,4", "-o", "s", "--json")
    assert done.stderr.count("is finished") == 2
    assert json.loads(done.stdout) == json.loads(before[0])
    after = Path("s/rate-distortion.json").read_bytes(), Path("s/rate-distortion.png").read_bytes()
    assert after == before


def test_the_plot_of_given_models_is_that_of_the_sweep(
    cli: Runner, swept: tuple[list[list[str]], str]
) -> None:
    done = cli("compare", "s/beta-4", "s/beta-0.5", "--plot", "both.png")
    assert done.code == 0, done.stderr
    assert "both.png" in done.stderr
    own, given = (np.asarray(Image.open(name)) for name in ("s/rate-distortion.png", "both.png"))
    assert np.array_equal(own, given)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--beta", "1,x"), "--beta 1,x: write numbers"),
        (("--beta", ""), "--beta : write numbers"),
        (("--beta", "-1,1"), "--beta -1,1"),
        (("--beta", "1,nan"), "--beta 1,nan"),
        (("-o", "m.safetensors"), "name a folder"),
    ],
)
def test_a_sweep_refuses_what_it_cannot_do_before_training(
    cli: Runner, arguments: tuple[str, ...], words: str
) -> None:
    done = cli("sweep", *TINY, *arguments)
    assert (done.code, done.stdout) == (2, "")
    assert words in done.stderr
    assert not Path("runs").exists()


@pytest.mark.parametrize("plot", ["p.txt", "-", "folder/"])
def test_a_plot_that_cannot_be_written_is_refused_before_evaluating(
    cli: Runner, tiny_model: Path, plot: str
) -> None:
    done = cli("compare", tiny_model, tiny_model, "--plot", plot)
    assert (done.code, done.stdout) == (2, "")
    assert f"--plot {plot}: name a file that ends in .png" in done.stderr
