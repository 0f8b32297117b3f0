"""`vaekit evaluate`, `score` and `compare` as they are typed: what comes out, and every refusal."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vaekit as package
from tests.conftest import Runner
from vaekit.data.datasets.shapes import SHAPE_NAMES
from vaekit.evaluation.outliers import OUTLIER_COLUMNS
from vaekit.output.contact_sheet import BORDER, BOX

LONGEST_LINE = 400


@pytest.fixture(scope="module")
def factor_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes") / "run"
    return package.train(
        dataset="shapes", limit=200, image_size="8", epochs=2, model="mlp", hidden=[32],
        latent_dim=4, likelihood="logistic", output=folder, threads=1,
    ).path  # fmt: skip


def made(name: str, **arrays: np.ndarray) -> str:
    np.savez(name, **arrays)
    return name


def refused(outcome: Any, code: int, *words: str) -> None:
    """One line on stderr that says all the words, nothing on stdout, and the exit code."""
    lines = outcome.stderr.splitlines()
    assert (outcome.code, outcome.stdout) == (code, ""), outcome
    assert len(lines) == 1, lines
    assert all(word in lines[0] for word in words), lines[0]
    assert len(lines[0]) < LONGEST_LINE


# evaluate


def test_the_table_says_what_the_numbers_are(cli: Runner, tiny_model: Path) -> None:
    done = cli("evaluate", tiny_model)
    assert done.code == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "digits test, 190 images" in lines["data"]
    assert "±" in lines["neg_elbo"]
    assert "nats (not a likelihood)" in lines["neg_elbo"]
    assert "bits_per_dim: bce is not a likelihood" in lines["left"]
    assert "bce is not a likelihood" in lines["note"]
    assert lines["diagnosis"]
    assert "of 4" in lines["active_units"]


def test_json_is_one_object_and_nothing_else(cli: Runner, tiny_model: Path) -> None:
    done = cli("evaluate", tiny_model, "--dataset", "digits", "--json", "-q")
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    record = json.loads(done.stdout)
    assert (record["dataset"], record["split"], record["n"]) == ("digits", "test", 190)
    assert record["likelihood"] == "bce"
    assert "bits_per_dim" not in record


def test_evaluating_twice_and_with_any_batch_size_prints_the_same(
    cli: Runner, factor_model: Path
) -> None:
    metrics = "fid,kid,density,total_correlation,mig,sap,factorvae"
    line = ("evaluate", factor_model, "--limit", "160", "--metrics", metrics, "--features", "model",
            "--nll-samples", "20", "--json")  # fmt: skip
    first = cli(*line).stdout
    assert json.loads(first)["mig"] >= 0
    assert first == cli(*line).stdout
    for size in ("1", "7", "512"):
        assert first == cli(*line, "--batch-size", size).stdout


def test_validation_is_the_part_that_training_kept(cli: Runner, tiny_model: Path) -> None:
    done = cli("evaluate", tiny_model, "--split", "val", "--json")
    header = package.load(tiny_model, "cpu").header
    config = header.training["config"]
    limited = cli(
        "evaluate", tiny_model, "--split", "val", "--limit", str(config["limit"]), "--json"
    )
    assert json.loads(done.stdout)["split"] == "val"
    assert json.loads(limited.stdout)["n"] <= json.loads(done.stdout)["n"]


def test_an_npz_with_factors_is_scored_and_says_how(cli: Runner, tiny_model: Path) -> None:
    random = np.random.default_rng(0)
    path = made("own.npz", x=random.integers(0, 256, (150, 8, 8, 1), np.uint8),
                factors=random.integers(3, size=(150, 2)))  # fmt: skip
    done = cli("evaluate", tiny_model, "--dataset", path, "--split", "all", "--metrics", "mig,sap")
    assert done.code == 0, done.stderr
    assert "disentanglement from 150 images" in done.stderr
    assert "posterior means" in done.stdout
    assert "train 100, test 50, bins 20" in done.stdout


def test_missing_weights_are_one_line_and_every_other_number_comes(
    cli: Runner, tiny_model: Path
) -> None:
    done = cli("evaluate", tiny_model, "--metrics", "fid,total_correlation", "--json")
    assert done.code == 0
    record = json.loads(done.stdout)
    assert "fid" not in record
    assert record["total_correlation"] >= 0
    warnings = [line for line in done.stderr.splitlines() if "fid left out" in line]
    assert len(warnings) == 1
    assert "https://github.com/toshas/torch-fidelity" in warnings[0]
    assert "--features pixels" in warnings[0]


def test_features_are_always_named(cli: Runner, tiny_model: Path) -> None:
    line = ("evaluate", tiny_model, "--metrics", "fid,kid", "--features", "model")
    assert json.loads(cli(*line, "--json").stdout)["features"] == "model"
    shown = cli(*line).stdout.splitlines()
    assert all("(features: model)" in row for row in shown if row.startswith(("fid", "kid")))


def not_a_number(name: str) -> str:
    x = np.zeros((4, 8, 8, 1), np.float32)
    x[:, 2, 3] = np.nan
    return made(name, x=x)


REFUSALS: dict[str, tuple[Callable[[], tuple[str, ...]], int, tuple[str, ...]]] = {
    "no draws": (lambda: ("--nll-samples", "0"), 2, ("--nll-samples 0", "at least 1")),
    "draws of bce": (lambda: ("--nll-samples", "5"), 2, ("--nll-samples", "not a likelihood")),
    "bits of bce": (lambda: ("--metrics", "bits_per_dim"), 2, ("bits_per_dim", "bce")),
    "a misspelt metric": (lambda: ("--metrics", "fjd"), 2, ("fjd", "did you mean 'fid'")),
    "misspelt features": (
        lambda: ("--metrics", "fid", "--features", "pixles"), 2, ("did you mean 'pixels'",)),
    "a misspelt split": (lambda: ("--split", "tset"), 2, ("--split tset", "test")),
    "no factors": (lambda: ("--metrics", "mig"), 3, ("--metrics mig", "digits has no factors")),
    "too few images": (
        lambda: ("--metrics", "density", "--features", "pixels", "--limit", "5"), 3,
        ("--metrics density", "5 images", "at least 6")),
    "another named set": (lambda: ("--dataset", "shapes"), 3, ("8x8x3", "8x8x1", "shapes")),
    "an array of another shape": (
        lambda: ("--dataset", made("wide.npz", x=np.zeros((4, 8, 9, 1), np.uint8))), 3,
        ("wide.npz", "8x9x1", "8x8x1")),
    "NaN among the data": (
        lambda: ("--dataset", not_a_number("nan.npz")), 3, ("nan.npz", "NaN")),
    "no such file": (lambda: ("--dataset", "gone/"), 3, ("gone/", "no such file")),
    "weights that are not there": (
        lambda: ("--metrics", "fid", "--inception-weights", "gone.pth"), 3, ("gone.pth",)),
    "weights of another kind": (
        lambda: ("--metrics", "fid", "--inception-weights", "pyproject"), 3, ("SHA-256",)),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSALS)
def test_what_cannot_be_is_one_line_and_its_exit_code(
    cli: Runner, tiny_model: Path, what: str
) -> None:
    flags, code, words = REFUSALS[what]
    Path("pyproject").write_bytes(b"no weights")
    arguments = flags()
    own = () if "--dataset" in arguments else ("--dataset", "digits")
    refused(cli("evaluate", tiny_model, *own, *arguments), code, *words)


def test_a_split_that_a_data_set_has_not_is_named(cli: Runner, tiny_model: Path) -> None:
    """The one image of a folder goes to train, and so there is no test."""
    Path("own").mkdir()
    Image.new("L", (8, 8), 60).save("own/1.png")
    refused(cli("evaluate", tiny_model, "--dataset", "own"), 3, "own", "test is empty")
    assert cli("evaluate", tiny_model, "--dataset", "own", "--split", "all").code == 0


def test_a_file_that_is_no_model_is_refused(cli: Runner) -> None:
    Path("m.safetensors").write_bytes(b"nothing")
    refused(cli("evaluate", "m.safetensors", "--dataset", "digits"), 3, "m.safetensors")


# score


def test_scores_are_json_lines_in_input_order(cli: Runner, tiny_model: Path) -> None:
    names = ["c.png", "a.png", "b.png"]
    for i, name in enumerate(names):
        Image.new("L", (8, 8), 100 * i).save(name)
    done = cli("score", tiny_model, *names)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["path"] for row in rows] == names
    for row in rows:
        terms = ["neg_elbo", "reconstruction", "kl"]
        assert list(row) == ["path", "label", "trained_on", *terms, *OUTLIER_COLUMNS]
        assert row["neg_elbo"] == pytest.approx(row["reconstruction"] + row["kl"], rel=1e-5)


def test_scores_average_to_the_evaluation(cli: Runner, factor_model: Path) -> None:
    flags = ("--limit", "70", "--nll-samples", "9", "--seed", "3")
    record = json.loads(cli("evaluate", factor_model, *flags, "--json").stdout)
    rows = [json.loads(line) for line in cli("score", factor_model, *flags).stdout.splitlines()]
    assert len(rows) == 70
    for name in ("neg_elbo", "reconstruction", "kl", "nll"):
        assert np.mean([row[name] for row in rows]) == pytest.approx(record[name], rel=1e-5)
    assert {row["label"] for row in rows} <= set(SHAPE_NAMES)


def test_a_log_likelihood_that_cannot_be_trusted_is_told(cli: Runner, factor_model: Path) -> None:
    """The model of two epochs is far from its posteriors."""
    flags = ("--limit", "40", "--nll-samples", "60", "--seed", "3")
    done = cli("score", factor_model, *flags)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert list(rows[0])[-3:] == ["nll", "nll_ess", "nll_pareto_k"]
    assert all(1 <= row["nll_ess"] <= 60 for row in rows)
    bad = np.mean([row["nll_pareto_k"] > 0.7 for row in rows])
    assert bad > 0.1
    table = cli("evaluate", factor_model, *flags)
    for said in (done.stderr, table.stderr, table.stdout):
        assert f"Pareto k is above 0.7 for {bad:.0%} of the images" in said
        assert "of 60 draws" in said
    shown = {line.split()[0]: line for line in table.stdout.splitlines()}
    assert float(shown["nll_pareto_k_bad"].split()[1]) == pytest.approx(bad, abs=1e-3)
    assert "draws" in shown["nll_ess"]


def test_scores_go_to_files_too(cli: Runner, tiny_model: Path) -> None:
    plain = cli("score", tiny_model, "--dataset", "digits", "--limit", "5")
    done = cli("score", tiny_model, "--dataset", "digits", "--limit", "5", "-o", "s.csv", "--json")
    assert json.loads(done.stdout) == {"path": "s.csv", "n": 5}
    with Path("s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in plain.stdout.splitlines()]
    assert [float(row["neg_elbo"]) for row in rows] == [line["neg_elbo"] for line in lines]
    assert cli("score", tiny_model, "--dataset", "digits", "-o", "s.jsonl").stdout == "s.jsonl\n"
    assert cli("score", tiny_model, "--dataset", "digits", "--limit", "5", "--json").stdout == (
        plain.stdout
    )


def test_scoring_refuses_what_cannot_be(cli: Runner, tiny_model: Path) -> None:
    line = ("score", tiny_model, "--dataset", "digits")
    refused(cli(*line, "--nll-samples", "0"), 2, "--nll-samples 0: at least 1")
    refused(cli(*line, "--nll-samples", "4"), 2, "not a likelihood")
    refused(cli(*line, "-o", "s.npy"), 2, "s.npy")
    refused(cli("score", tiny_model, "--dataset", "shapes"), 3, "8x8x3", "8x8x1")
    refused(cli("score", tiny_model, "gone.png"), 3, "gone.png")


def test_the_strangest_are_found_as_the_help_says(
    shell: Any, tiny_model: Path, photos: Path
) -> None:
    shutil.copy(tiny_model, "m.safetensors")
    sorting = r"""vaekit score m.safetensors photos/ \
        | python3 -c 'import json,sys
for line in sys.stdin:
    row = json.loads(line); print(row["outlier"], row["path"], sep="\t")' \
        | sort -rn | head -3"""
    done = shell(sorting)
    rows = [line.split("\t") for line in done.stdout.decode().splitlines()]
    assert len(rows) == 3, done.stderr
    values = [float(value) for value, _ in rows]
    assert values == sorted(values, reverse=True)
    assert b"of images like the 156 validation images, 1% would be" in done.stderr
    if shutil.which("jq"):
        typed = (
            "vaekit score m.safetensors photos/ | jq -r '[.outlier,.path]|@tsv' | sort -rn | head"
        )
        assert shell(typed).stdout.decode().splitlines()[0].split("\t")[1] == rows[0][1]


def test_a_picture_shows_the_strangest(cli: Runner, tiny_model: Path) -> None:
    """A black square among digits stands first on the sheet."""
    Image.new("L", (8, 8), 0).save("black.png")
    digits = package.load_dataset("digits", limit=45).images
    for number, image in enumerate(digits):
        Image.fromarray(image[..., 0]).save(f"digit-{number}.png")
    names = [*sorted(str(path) for path in Path().glob("digit-*.png")), "black.png"]
    rows = [json.loads(line) for line in cli("score", tiny_model, *names).stdout.splitlines()]
    assert max(rows, key=lambda row: row["outlier"])["path"] == "black.png"
    done = cli("score", tiny_model, *names, "-o", "outliers.png")
    assert (done.code, done.stdout) == (0, "outliers.png\n")
    sheet = np.asarray(Image.open("outliers.png"))
    first = sheet[BORDER + 60 : BORDER + 160, BORDER + 8 : BORDER + BOX - 8]
    assert sheet.shape[1] > 5 * BOX
    assert (first[30:] == 0).all()  # the black square


def test_a_model_that_describes_no_known_images_says_so(cli: Runner, tmp_path: Path) -> None:
    path = package.train(
        dataset="digits", limit=18, epochs=1, hidden=[8], latent_dim=2, likelihood="bce",
        output=tmp_path / "few", threads=1,
    )  # fmt: skip
    done = cli("score", path, "--dataset", "digits", "--limit", "2")
    assert list(json.loads(done.stdout.splitlines()[0]))[3:] == ["neg_elbo", "reconstruction", "kl"]
    assert "outlier scores are left out" in done.stderr
    refused(cli("score", path, "--dataset", "digits", "-o", "o.png"), 3, "no outlier scores")


# compare


def another(folder: Path, **options: Any) -> Path:
    usual = {"dataset": "digits", "limit": 300, "epochs": 1, "hidden": [32], "latent_dim": 4}
    return package.train(**{**usual, **options}, output=folder / "other", threads=1).path


def test_the_best_of_each_row_is_marked(cli: Runner, tiny_model: Path, tmp_path: Path) -> None:
    other = another(tmp_path, likelihood="bce", epochs=4)
    done = cli("compare", tiny_model, other, "--dataset", "digits", "--limit", "50")
    rows = {line.split()[0]: line for line in done.stdout.splitlines()[1:]}
    assert rows["neg_elbo"].count("*") == 1
    assert rows["kl"].count("*") == 0
    record = json.loads(cli("compare", tiny_model, other, "--dataset", "digits", "--json").stdout)
    first, second = record["models"]
    assert [first["model"], second["model"]] == [str(tiny_model), str(other)]
    winner = min(record["models"], key=lambda model: model["neg_elbo"])
    assert record["best"]["neg_elbo"] == [winner["model"]]
    alone = json.loads(cli("evaluate", other, "--dataset", "digits", "--json").stdout)
    assert {**alone, "model": str(other)} == second


def test_two_seeds_of_one_configuration_are_not_starred(
    cli: Runner, tiny_model: Path, tmp_path: Path
) -> None:
    """A difference within its standard error is not a better model."""
    other = another(tmp_path, likelihood="bce", epochs=3, seed=1)
    line = ("compare", tiny_model, other, "--dataset", "digits", "--limit", "20")
    record = json.loads(cli(*line, "--json").stdout)
    (found,) = record["differences"]["neg_elbo"]
    assert abs(found["difference"]) < 2 * found["stderr"]
    means = [model["neg_elbo"] for model in record["models"]]
    assert found["difference"] == pytest.approx(means[1] - means[0], abs=1e-4)
    assert found["stderr"] < record["models"][0]["neg_elbo_stderr"]
    assert record["best"]["neg_elbo"] == [str(tiny_model), str(other)]
    rows = {row.split()[0]: row for row in cli(*line).stdout.splitlines()[1:]}
    assert "*" not in rows["neg_elbo"]
    assert f"({found['difference']:+.3g} ± {found['stderr']:.2g})" in rows["neg_elbo"]


def test_nats_of_other_kinds_have_no_best(cli: Runner, tiny_model: Path, tmp_path: Path) -> None:
    other = another(tmp_path, likelihood="mse")
    done = cli("compare", tiny_model, other, "--dataset", "digits", "--json")
    assert "do not compare" in done.stderr
    assert "neg_elbo" not in json.loads(done.stdout)["best"]


def test_comparing_refuses_one_model_and_other_shapes(
    cli: Runner, tiny_model: Path, factor_model: Path
) -> None:
    refused(cli("compare", tiny_model, "--dataset", "digits"), 2, "two model files")
    refused(cli("compare", tiny_model, factor_model, "--dataset", "digits"), 3, "8x8x3", "8x8x1")
