"""`vaekit embed`: latents beside the names and labels of their images, in every form."""

from __future__ import annotations

import csv
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vaekit as package
from vaekit.inference import Model

NAMES = [*(f"photos/cat/{n}.jpg" for n in range(5)), *(f"photos/dog/{n}.jpg" for n in range(5, 9))]
LABELS = ["cat"] * 5 + ["dog"] * 4
DIGITS = ["--dataset", "digits"]


@pytest.fixture
def z(cli: Any, tiny_model: Path, photos: Path) -> np.ndarray:
    """The photos' latents, against which every form is held; first held against Python itself."""
    assert cli("embed", tiny_model, photos, "-o", "z.npy", "-q").code == 0
    found = np.load("z.npy")
    data = package.load_dataset(photos, "all", image_size=8, grayscale=True)
    assert np.array_equal(found, package.load(tiny_model, "cpu").embed(data.images).numpy())
    return found


def table(path: str = "z.csv") -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def numbers(records: list[dict[str, str]], name: str = "z", width: int = 4) -> np.ndarray:
    return np.array([[row[f"{name}{i}"] for i in range(width)] for row in records], np.float32)


# Forms.


def test_a_table_has_names_labels_and_all_bits(
    cli: Any, tiny_model: Path, photos: Path, z: np.ndarray
) -> None:
    assert cli("embed", tiny_model, photos, "-o", "z.csv").stdout == "z.csv\n"
    records = table()
    assert list(records[0]) == ["path", "label", "z0", "z1", "z2", "z3"]
    assert [row["path"] for row in records] == NAMES
    assert [row["label"] for row in records] == LABELS
    assert np.array_equal(numbers(records), z)


@pytest.mark.parametrize("name", ["z.jsonl", "z.ndjson"])
def test_json_lines_have_them_too(
    cli: Any, tiny_model: Path, photos: Path, z: np.ndarray, name: str
) -> None:
    assert cli("embed", tiny_model, photos, "-o", name).stdout == f"{name}\n"
    records = [json.loads(line) for line in Path(name).read_text().splitlines()]
    assert [list(row) for row in records] == [["path", "label", "z"]] * 9
    assert [(row["path"], row["label"]) for row in records] == list(zip(NAMES, LABELS, strict=True))
    assert np.array_equal(np.array([row["z"] for row in records], np.float32), z)


def test_an_npz_is_the_default_and_has_them_too(
    cli: Any, tiny_model: Path, photos: Path, z: np.ndarray
) -> None:
    assert cli("embed", tiny_model, photos).stdout == "latents.npz\n"
    with np.load("latents.npz") as archive:
        assert archive.files == ["z", "path", "label"]
        assert archive["path"].tolist() == NAMES
        assert archive["label"].tolist() == LABELS
        assert np.array_equal(archive["z"], z)


def test_parquet_has_them_too(cli: Any, tiny_model: Path, photos: Path, z: np.ndarray) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="an extra")
    assert cli("embed", tiny_model, photos, "-o", "z.parquet").stdout == "z.parquet\n"
    found = parquet.read_table("z.parquet")
    assert found["path"].to_pylist() == NAMES
    assert found["label"].to_pylist() == LABELS
    assert np.array_equal(np.array(found["z"].to_pylist(), np.float32), z)


@pytest.mark.parametrize("form", ["npy", "npz", "csv", "jsonl", "parquet"])
def test_statistics_stand_beside_the_mean_where_there_is_room(
    cli: Any, tiny_model: Path, model: Model, form: str
) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="an extra")
    q = model.posterior(package.load_dataset("digits", "test").images)
    assert cli("embed", tiny_model, *DIGITS, "--stats", "-o", f"z.{form}").code == 0
    mean, logvar = _statistics(f"z.{form}")
    assert np.array_equal(mean, q.mean.numpy())
    assert logvar is None if form == "npy" else np.array_equal(logvar, q.logvar.numpy())


def _statistics(path: str) -> tuple[np.ndarray, Any]:
    if path.endswith("npy"):
        return np.load(path), None
    if path.endswith("npz"):
        with np.load(path) as archive:
            return archive["z"], archive["logvar"]
    if path.endswith("csv"):
        return numbers(table(path)), numbers(table(path), "logvar")
    if path.endswith("jsonl"):
        records = [json.loads(line) for line in Path(path).read_text().splitlines()]
    else:
        from pyarrow import parquet

        records = parquet.read_table(path).to_pylist()
    mean, logvar = ([row[name] for row in records] for name in ("z", "logvar"))
    return np.array(mean, np.float32), np.array(logvar, np.float32)


def test_json_tells_and_data_on_stdout_is_not_followed_by_a_word(
    cli: Any, tiny_model: Path, photos: Path
) -> None:
    done = cli("embed", tiny_model, photos, "-o", "z.npy", "--json", "-q")
    assert json.loads(done.stdout) == {"path": "z.npy", "n": 9, "skipped": 0}
    done = cli("embed", tiny_model, photos, "-o", "-", "--format", "jsonl", "-q")
    assert [json.loads(line)["path"] for line in done.stdout.splitlines()] == NAMES
    assert done.stderr == ""


# Where images come from.


def test_every_way_in_gives_the_same_latents(
    cli: Any, tiny_model: Path, photos: Path, z: np.ndarray
) -> None:
    with zipfile.ZipFile("p.zip", "w") as packed, tarfile.open("p.tar", "w") as tar:
        for name in NAMES:
            packed.write(name, name.removeprefix("photos/"))
            tar.add(name, name.removeprefix("photos/"))
    Path("list").write_text("".join(f"{name}\n" for name in NAMES))
    Path("nul").write_bytes(b"\0".join(name.encode() for name in NAMES))
    for given in ([photos], ["p.zip"], ["p.tar"], ["--files-from", "list"], NAMES,
                  ["--files-from", "nul", "-0"], ["photos/cat", *NAMES[5:]]):  # fmt: skip
        assert cli("embed", tiny_model, *given, "-o", "x.csv").code == 0
        assert np.array_equal(numbers(table("x.csv")), z), given
        ends = [row["path"].split("/")[-1] for row in table("x.csv")]
        assert ends == [name.split("/")[-1] for name in NAMES]
    assert cli("embed", tiny_model, "--dataset", photos, "--split", "all", "-o", "x.npz").code == 0
    with np.load("x.npz") as archive:
        assert np.array_equal(archive["z"], z)
        assert archive["label"].tolist() == LABELS


def test_without_images_it_is_the_models_own_data_set(
    cli: Any, tiny_model: Path, model: Model
) -> None:
    data = package.load_dataset("digits", "test")
    done = cli("embed", tiny_model, "-o", "z.csv")
    assert done.stderr == f"images: {len(data)} of digits (test), the model's own data set\n"
    assert np.array_equal(numbers(table()), model.embed(data.images).numpy())
    assert [row["label"] for row in table()] == [str(label) for label in data.labels]
    chosen = package.load_dataset("digits", "train", limit=20)
    assert cli("embed", tiny_model, "--split", "train", "--limit", "20", "-o", "z.csv").code == 0
    assert np.array_equal(numbers(table()), model.embed(chosen.images).numpy())


def test_a_model_whose_images_cannot_be_found_asks_for_some(cli: Any, photos: Path) -> None:
    path = package.train(dataset=str(photos), image_size="8", epochs=1, hidden=[4], latent_dim=2,
                         model="mlp", val_split=0.2, output="run", threads=1)  # fmt: skip
    Path("run/config.yaml").unlink()
    done = cli("embed", path)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == "vaekit: no images: give paths, - for stdin, or --dataset\n"


# Draws.


def test_a_draw_is_keyed_by_the_seed_and_the_images_number(
    cli: Any, tiny_model: Path, model: Model
) -> None:
    images = package.load_dataset("digits", "test").images
    for size in ("1", "64", "512"):
        options = [*DIGITS, "--sample", "--seed", "6", "--batch-size", size]
        assert cli("embed", tiny_model, *options, "-o", f"{size}.npy").code == 0
        expected = model.embed(images, sample=True, seed=6).numpy()
        assert np.array_equal(np.load(f"{size}.npy"), expected)
    assert cli("embed", tiny_model, *DIGITS, "--sample", "-o", "other.npy").code == 0
    assert not np.array_equal(np.load("other.npy"), expected)


def test_the_first_images_of_many_have_the_draws_that_they_have_alone(
    cli: Any, tiny_model: Path, photos: Path
) -> None:
    drawn = ["--sample", "--seed", "2", "-q"]
    assert cli("embed", tiny_model, photos, *drawn, "-o", "all.npy").code == 0
    assert cli("embed", tiny_model, *NAMES[:3], *drawn, "-o", "some.npy").code == 0
    assert np.array_equal(np.load("some.npy"), np.load("all.npy")[:3])


# Two dimensions.


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_two_dimensions_as_a_table_and_as_a_scatter(
    cli: Any, tiny_model: Path, model: Model, method: str
) -> None:
    from vaekit.output.projection import project_to_plane

    data = package.load_dataset("digits", "test", limit=60)
    given = [*DIGITS, "--limit", "60", "--project", method]
    assert cli("embed", tiny_model, *given, "-o", "z.csv").stdout == "z.csv\n"
    expected, _ = project_to_plane(model.embed(data.images).numpy(), method, 0)
    assert list(table()[0]) == ["path", "label", "z0", "z1"]
    assert np.array_equal(numbers(table(), width=2), expected.astype(np.float32))
    assert [row["label"] for row in table()] == [str(label) for label in data.labels]
    contents = []
    for _ in range(2):
        assert cli("embed", tiny_model, *given, "-o", "z.png").stdout == "z.png\n"
        contents.append(Path("z.png").read_bytes())
    assert contents[0] == contents[1]
    with Image.open("z.png") as shown:
        assert shown.format == "PNG"
        assert min(shown.size) >= 600, "large enough for a legend that can be read"
        assert len(shown.convert("RGB").getcolors(1 << 24)) > 10, "a colour for each digit"


def test_a_picture_is_a_scatter_by_itself_and_may_have_thumbnails(
    cli: Any, tiny_model: Path
) -> None:
    few = [*DIGITS, "--limit", "20"]
    options = {"a.png": [], "b.png": ["--project", "pca"], "c.png": ["--thumbnails"]}
    for name, more in options.items():
        assert cli("embed", tiny_model, *few, *more, "-o", name).stdout == f"{name}\n"
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert Path("a.png").read_bytes() != Path("c.png").read_bytes()


# The projector's folder.


def test_the_projector_has_the_same_order_and_bits(
    cli: Any, tiny_model: Path, photos: Path, z: np.ndarray
) -> None:
    done = cli("embed", tiny_model, photos, "--projector", "board", "-q")
    assert (done.code, done.stdout) == (0, "board\n")
    assert {path.name for path in Path("board").iterdir()} == {
        "tensors.tsv", "metadata.tsv", "sprite.png", "projector_config.pbtxt",
    }  # fmt: skip
    assert np.array_equal(np.loadtxt("board/tensors.tsv", np.float32), z)
    lines = Path("board/metadata.tsv").read_text().splitlines()
    assert lines == ["name\tlabel", *map("\t".join, zip(NAMES, LABELS, strict=True))]
    assert not Path("latents.npz").exists()


def test_the_projector_goes_beside_what_else_was_asked_for(
    cli: Any, tiny_model: Path, photos: Path, z: np.ndarray
) -> None:
    """`-o` beside it was once silently left out."""
    done = cli("embed", tiny_model, photos, "--projector", "board", "-o", "x.npy", "-q")
    assert (done.code, done.stdout) == (0, "x.npy\nboard\n")
    assert np.array_equal(np.load("x.npy"), z)
    assert np.array_equal(np.loadtxt("board/tensors.tsv", np.float32), z)
    done = cli("embed", tiny_model, photos, "--projector", "b", "-o", "x.npy", "-q", "--json")
    assert json.loads(done.stdout) == {"path": "x.npy", "n": 9, "skipped": 0, "projector": "b"}
    done = cli("embed", tiny_model, photos, "--projector", "c", "-q", "-o", "-", "--format", "csv")
    assert done.stdout.count("\n") == 10
    assert Path("c/projector_config.pbtxt").exists()


# A terminal.


def test_text_on_a_terminal_is_not_mixed_with_a_bar(terminal: Any, tiny_model: Path) -> None:
    given = [*DIGITS, "--limit", "2", "-o", "-", "--format", "jsonl"]
    code, shown = terminal("embed", tiny_model, *given)
    assert code == 0
    records = [line for line in shown.splitlines() if line.startswith("{")]
    assert [len(json.loads(line)["z"]) for line in records] == [4, 4]
    assert "embedding" not in shown


def test_work_on_a_terminal_shows_a_bar_that_goes_away(terminal: Any, tiny_model: Path) -> None:
    code, shown = terminal("embed", tiny_model, *DIGITS, "-o", "z.csv")
    assert code == 0
    assert "embedding" in shown
    assert shown.endswith("z.csv\n")


# Refusals.


@pytest.mark.parametrize(
    ("options", "message"),
    [(["photos", "--project", "umap"], "--project umap: must be auto, pca or tsne"),
     (["photos", "--thumbnails"], "--thumbnails needs a picture"),
     (["photos", "--stats", "--project", "pca"], "--stats does not go with a 2-D projection"),
     (["photos", "--stats", "-o", "x.png"], "--stats does not go with a 2-D projection"),
     (["photos", "-o", "out/"], "is a folder"), (["photos", "-o", "x"], "it has no extension"),
     (["photos", "--limit", "3"], "--limit needs --dataset"),
     (["photos", "-o", "-", "--json"], "exclude each other"), (["-0"], "-0"),
     (["photos", "--projectr", "x"], "--projector"), (["--datset", "digits"], "--dataset"),
     (["", "photos"], "is empty"), (["photos", "--device", "tpu"], "tpu")],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
@pytest.mark.usefixtures("photos")
def test_what_cannot_be_meant_is_a_wrong_command_line(
    cli: Any, tiny_model: Path, options: list[str], message: str
) -> None:
    before = {*Path().iterdir()}
    done = cli("embed", tiny_model, *options)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert message in done.stderr
    assert {*Path().iterdir()} == before
