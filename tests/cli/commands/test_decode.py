"""`vaekit decode`: what `embed` gave becomes what `reconstruct` gives, to the bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vaekit.inference import Model
from vaekit.output.pictures import encode_picture, grid, to_uint8

FORMS = ["npy", "npz", "csv", "jsonl", "parquet"]


def needed(form: str) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="an extra")


@pytest.fixture
def many(any_model: Path) -> list[str]:
    """More images than a chunk holds, in the shape of either model."""
    del any_model
    return ["--dataset", "shapes", "--limit", "100"]


@pytest.mark.parametrize("form", FORMS)
def test_embed_and_decode_is_reconstruct_to_the_bit(
    cli: Any, any_model: Path, many: list[str], form: str
) -> None:
    needed(form)
    assert cli("embed", any_model, *many, "-o", f"z.{form}", "-q").code == 0
    assert cli("decode", any_model, f"z.{form}", "-o", "back.npy").stdout == "back.npy\n"
    assert cli("reconstruct", any_model, *many, "-o", "same.npy", "-q").code == 0
    assert np.load("back.npy").shape[0] == 100
    assert Path("back.npy").read_bytes() == Path("same.npy").read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_it_is_so_for_draws_and_beside_statistics(cli: Any, tiny_model: Path, form: str) -> None:
    needed(form)
    drawn = ["--dataset", "digits", "--sample", "--seed", "3"]
    assert cli("embed", tiny_model, *drawn, "--stats", "-o", f"z.{form}").code == 0
    assert cli("decode", tiny_model, f"z.{form}", "-o", "back.npy").code == 0
    assert cli("reconstruct", tiny_model, *drawn, "-o", "same.npy").code == 0
    assert Path("back.npy").read_bytes() == Path("same.npy").read_bytes()
    assert cli("reconstruct", tiny_model, *drawn[:2], "-o", "mean.npy").code == 0
    assert not np.array_equal(np.load("mean.npy"), np.load("same.npy"))


@pytest.mark.parametrize("form", FORMS)
def test_it_is_so_when_a_bad_image_was_skipped(
    cli: Any, tiny_model: Path, photos: Path, form: str
) -> None:
    """A hole in the numbering would move every image after it."""
    needed(form)
    (photos / "cat" / "1a.png").write_text("no image")
    done = cli("embed", tiny_model, photos, "-o", f"z.{form}")
    assert done.code == 0
    assert "1 bad image was skipped: photos/cat/1a.png" in done.stderr
    assert cli("decode", tiny_model, f"z.{form}", "-o", "back.npy").code == 0
    assert cli("reconstruct", tiny_model, photos, "-o", "same.npy").code == 0
    assert np.load("same.npy").shape == (9, 8, 8, 1)
    assert Path("back.npy").read_bytes() == Path("same.npy").read_bytes()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_it_is_so_through_pipes_of_every_form(
    shell: Any, cli: Any, placed: Path, photos: Path
) -> None:
    (photos / "dog" / "7a.png").write_text("no image")
    """test_pipelines.py has .npy and JSON lines."""
    forms = ["npz", "csv", *(["parquet"] if pyarrow() else [])]
    for form in forms:
        line = f"vaekit embed {placed} photos -q -o - --format {form}"
        done = shell(f"{line} | vaekit decode {placed} -o {form}.npy")
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{form}.npy\n".encode(), b"")
    assert cli("reconstruct", placed, photos, "-o", "same.npy").code == 0
    for form in forms:
        assert Path(f"{form}.npy").read_bytes() == Path("same.npy").read_bytes()


def pyarrow() -> bool:
    from importlib.util import find_spec

    return find_spec("pyarrow") is not None


def test_an_array_is_what_python_gives_to_the_bit(cli: Any, tiny_model: Path, model: Model) -> None:
    z = model.draw_latents(70, seed=9).numpy()
    np.save("z.npy", z)
    assert cli("decode", tiny_model, "z.npy", "-o", "x.npy").code == 0
    expected = model.decode(z)
    assert np.array_equal(np.load("x.npy"), expected.permute(0, 2, 3, 1).numpy())
    assert cli("decode", tiny_model, "z.npy", "-o", "b.npz", "--uint8").code == 0
    with np.load("b.npz") as archive:
        assert np.array_equal(archive["x"], to_uint8(expected))


def test_pictures_folders_and_json(cli: Any, tiny_model: Path, model: Model) -> None:
    z = model.draw_latents(5)
    np.save("z.npy", z.numpy())
    assert cli("decode", tiny_model, "z.npy").stdout == "decoded.png\n"
    assert Path("decoded.png").read_bytes() == encode_picture(grid(model.decode(z)))
    assert cli("decode", tiny_model, "z.npy", "-o", "out/").stdout == "out\n"
    images = [np.asarray(Image.open(f"out/{number:04}.png")) for number in range(5)]
    assert np.array_equal(np.stack(images)[..., None], to_uint8(model.decode(z)))
    done = cli("decode", tiny_model, "z.npy", "--json")
    assert json.loads(done.stdout) == {"path": "decoded.png", "n": 5}


def test_latents_made_by_hand_are_taken(cli: Any, tiny_model: Path, model: Model) -> None:
    Path("z.jsonl").write_text("[0, 0, 0, 0]\n[1.5, -2, 1e-3, 0]\n")
    assert cli("decode", tiny_model, "z.jsonl", "-o", "x.npy").code == 0
    z = np.array([[0, 0, 0, 0], [1.5, -2, 1e-3, 0]], np.float32)
    assert np.array_equal(np.load("x.npy"), model.decode(z).permute(0, 2, 3, 1).numpy())


def test_a_file_may_be_replaced_by_what_was_read_from_it(
    cli: Any, tiny_model: Path, model: Model
) -> None:
    """Row 36: latents of more than a buffer, which are read while their successor is written."""
    z = model.draw_latents(5000).numpy()
    np.save("z.npy", z)
    assert cli("decode", tiny_model, "z.npy", "-o", "z.npy").code == 0
    assert np.array_equal(np.load("z.npy"), model.decode(z).permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize(
    ("z", "message"),
    [(np.zeros((3, 5), np.float32), "latents have 5 numbers, this model needs 4"),
     (np.zeros(4, np.float32), "a single latent needs a first axis"),
     (np.zeros((0, 4), np.float32), "holds no latents"),
     (np.array([[0, 1, np.nan, 0]]), "row 1, z2 is nan"),
     (np.array([[0, 0, 0, 0], [0, 1, 0, np.inf]]), "row 2, z3 is inf"),
     (np.array([["a"] * 4]), "latents are floats")],
    ids=["wide", "flat", "none", "nan", "inf", "text"],
)  # fmt: skip
def test_what_is_no_latents_of_this_model_is_named_and_nothing_is_left(
    cli: Any, tiny_model: Path, z: np.ndarray, message: str
) -> None:
    np.save("z.npy", z)
    done = cli("decode", tiny_model, "z.npy", "-o", "x.npy")
    assert (done.code, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert done.stderr.startswith("vaekit: z.npy: ")
    assert message in done.stderr
    assert not Path("x.npy").exists()


def test_nan_is_taken_where_it_is_asked_for(cli: Any, tiny_model: Path) -> None:
    np.save("z.npy", np.full((2, 4), np.nan, np.float32))
    assert cli("decode", tiny_model, "z.npy", "-o", "x.npy", "--allow-nonfinite").code == 0
    assert np.isnan(np.load("x.npy")).all()
    done = cli("decode", tiny_model, "z.npy", "-o", "x.png", "--allow-nonfinite")
    assert (done.code, Path("x.png").exists()) == (1, False)
    assert "NaN" in done.stderr


def test_a_terminal_is_not_waited_on_for_latents(terminal: Any, tiny_model: Path) -> None:
    code, shown = terminal("decode", tiny_model, "-o", "x.png")
    assert code == 2
    assert shown == "vaekit: no latents: name a file of latents, or pipe one to stdin\n"


def test_no_stdin_and_an_empty_one_are_told(shell: Any, placed: Path) -> None:
    ends = {
        "<&-": "standard input: is closed",
        "< /dev/null": "stdin: is empty: it holds no latents",
    }
    for redirection, message in ends.items():
        done = shell(f"vaekit decode {placed} {redirection}")
        assert (done.returncode, done.stdout) == (3, b"")
        assert done.stderr.decode() == f"vaekit: {message}\n"
