"""`vaekit nearest`: the right neighbours among images and saved latents, as sheet and records."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import NearestNeighbors

import vaekit as package
from vaekit.inference import Model
from vaekit.latents.names import holds_latents, latent_names

Z = "z.npz"


@pytest.fixture
def digits() -> package.ImageSet:
    return package.load_dataset("digits", "test")


@pytest.fixture
def queries(digits: package.ImageSet) -> Path:
    for row in (3, 8, 1):
        folder = Path("queries") / str(digits.labels[row])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.images[row, ..., 0]).save(folder / f"{row}.png")
    return Path("queries")


def expected(model: Model, digits: package.ImageSet, rows: list[int], k: int) -> np.ndarray:
    z = model.embed(digits.images).double().numpy()
    return NearestNeighbors(n_neighbors=k).fit(z).kneighbors(z[rows])[1]


def test_records_name_the_neighbours_that_scikit_learn_finds(
    cli: Any, tiny_model: Path, model: Model, digits: package.ImageSet, queries: Path
) -> None:
    done = cli("nearest", tiny_model, queries, "-k", "4", "-o", "n.jsonl", "-q")
    assert (done.code, done.stdout, done.stderr) == (0, "n.jsonl\n", "")
    lines = [json.loads(line) for line in Path("n.jsonl").read_text().splitlines()]
    rows = [int(Path(line["query"]).stem) for line in lines[::4]]
    found = [line["row"] for line in lines]
    assert found == expected(model, digits, rows, 4).flatten().tolist()
    assert [line["rank"] for line in lines] == [1, 2, 3, 4] * 3
    assert all(line["row"] == rows[i // 4] for i, line in enumerate(lines) if line["rank"] == 1)
    assert all(line["distance"] == 0 for line in lines if line["rank"] == 1)
    assert all(str(line["label"]) == str(digits.labels[line["row"]]) for line in lines)


def test_saved_latents_give_the_neighbours_and_the_paths_of_their_images(
    cli: Any, tiny_model: Path, model: Model, digits: package.ImageSet, queries: Path
) -> None:
    assert cli("embed", tiny_model, queries, "-o", Z, "-q").code == 0
    one = next(queries.rglob("8.png"))
    copy = Path("copy.png")
    copy.write_bytes(one.read_bytes())
    done = cli("nearest", tiny_model, copy, "--among", Z, "-k", "9", "--format", "csv", "-o", "-")
    table = list(csv.DictReader(done.stdout.splitlines()))
    assert len(table) == 3, "fewer than asked for are all there is"
    assert (table[0]["path"], float(table[0]["distance"])) == (str(one), 0.0)
    assert holds_latents(Z)
    assert latent_names(Z, 3)[0].startswith("queries/")
    assert latent_names(Z, 4) == ["0", "1", "2", "3"]


def test_the_sheet_shows_each_query_and_then_its_neighbours(
    cli: Any, tiny_model: Path, model: Model, digits: package.ImageSet, queries: Path
) -> None:
    assert cli("nearest", tiny_model, queries, "-k", "2").stdout == "nearest.png\n"
    sheet = np.asarray(Image.open("nearest.png"))
    rows = [int(path.stem) for path in sorted(queries.rglob("*.png"), key=lambda p: p.parent.name)]
    neighbours = expected(model, digits, rows, 2)
    for line, row in enumerate(rows):
        bottom = sheet.shape[0] - (len(rows) - 1 - line) * 66
        cells = [sheet[bottom - 64 : bottom : 8, sheet.shape[1] - 64 - 66 * i :: 8][:, :8]
                 for i in (2, 1, 0)]  # fmt: skip
        for cell, shown in zip(cells, [row, *neighbours[line]], strict=True):
            assert np.array_equal(cell, digits.images[shown, ..., 0])


def test_an_image_is_not_its_own_neighbour_and_its_copy_is(
    cli: Any, tiny_model: Path, queries: Path
) -> None:
    one, two = sorted(queries.rglob("*.png"))[:2]
    copy = queries / "copy.png"
    copy.write_bytes(one.read_bytes())
    done = cli("nearest", tiny_model, one, two, "--among", queries, "-k", "1", "-o", "n.jsonl")
    assert done.code == 0
    lines = [json.loads(line) for line in Path("n.jsonl").read_text().splitlines()]
    assert [line["query"] for line in lines] == [str(one), str(two)]
    assert (lines[0]["path"], lines[0]["distance"]) == (str(copy), 0)
    assert lines[1]["path"] != str(two)
    done = cli("nearest", tiny_model, one, "--among", one)
    assert (done.code, "but the one that is searched for" in done.stderr) == (3, True)


def test_where_labels_are_known_their_agreement_is_told(
    cli: Any, tiny_model: Path, queries: Path
) -> None:
    Path("copies").mkdir()
    shutil.copytree(queries, "copies", dirs_exist_ok=True)
    done = cli("nearest", tiny_model, queries, "--among", "copies", "-o", "n.csv")
    assert "the nearest has the label of its query for 3 of 3" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no image: vaekit nearest MODEL IMAGE"),
        (["q.npy", "--among", "x", "--dataset", "digits"], "--among and --dataset exclude"),
        (["q.npy", "--among", "missing"], "missing: no such file"),
        (["q.npy", "--among", "wide.npy"], "latents have 7 numbers, this model needs 4"),
    ],
)
def test_what_cannot_be_searched_is_refused(
    cli: Any, tiny_model: Path, arguments: list[str], said: str
) -> None:
    np.save("q.npy", np.zeros((1, 8, 8, 1), np.uint8))
    np.save("wide.npy", np.zeros((2, 7), np.float32))
    done = cli("nearest", tiny_model, *arguments)
    assert done.code in (2, 3)
    assert said in done.stderr
