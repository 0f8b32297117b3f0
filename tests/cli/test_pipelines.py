"""The pipelines of the guide, typed into a real shell: each does what it says, to the byte."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

import vaekit as package
from vaekit.inference import Model
from vaekit.output.pictures import encode_picture, grid

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="pipelines of a POSIX shell"),
    pytest.mark.usefixtures("placed", "photos"),
]


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"there is no {tool} here")


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    """What came on stdout; the line must have succeeded."""
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def latents(*paths: Path | str) -> np.ndarray:
    """What the library gives for image files, in this order."""
    from vaekit.data.streams.mixed_inputs import stream_images

    model = package.load("model.safetensors", "cpu")
    with stream_images([os.fspath(path) for path in paths], shape=model.header.image) as stream:
        return np.concatenate([model.embed(chunk.images).numpy() for chunk in stream])


def in_order(folder: str = "photos") -> list[Path]:
    return sorted(Path(folder).rglob("*.jpg"))


def test_sample(shell: Any, model: Model) -> None:
    assert said(shell("vaekit sample model.safetensors -n 64")) == "samples.png\n"
    assert Path("samples.png").read_bytes() == encode_picture(grid(model.sample(64)))


def test_sample_to_stdout(shell: Any, model: Model) -> None:
    done = shell("vaekit sample model.safetensors -n 16 -o - --format png > grid.png")
    assert (said(done), done.stderr) == ("", b"")
    assert Path("grid.png").read_bytes() == encode_picture(grid(model.sample(16)))


def test_embed_into_decode(shell: Any, model: Model) -> None:
    line = "vaekit embed model.safetensors photos/ -o - | vaekit decode model.safetensors - -o"
    assert said(shell(f"{line} back.png")) == "back.png\n"
    assert said(shell("vaekit reconstruct model.safetensors photos/ -o same.npy")) == "same.npy\n"
    again = np.load("same.npy").transpose(0, 3, 1, 2)
    assert again.shape == (9, 1, 8, 8)
    assert Path("back.png").read_bytes() == encode_picture(grid(again))


@needs("find")
def test_find_into_embed(shell: Any) -> None:
    line = "find photos -name '*.jpg' -print0 | "
    line += "vaekit embed model.safetensors --files-from - -0 -o z.jsonl"
    assert said(shell(line)) == "z.jsonl\n"
    records = [json.loads(row) for row in Path("z.jsonl").read_text().splitlines()]
    assert sorted(row["path"] for row in records) == [str(path) for path in in_order()]
    assert all(row["label"] == Path(row["path"]).parent.name for row in records)
    found = np.array([row["z"] for row in records], np.float32)
    assert np.array_equal(found, latents(*[row["path"] for row in records]))


@needs("jq")
def test_a_choice_by_jq(shell: Any, model: Model) -> None:
    line = "vaekit embed model.safetensors photos/ -o - --format jsonl | "
    line += "jq -c 'select(.label==\"cat\")' | vaekit decode model.safetensors - -o cats.png"
    assert said(shell(line)) == "cats.png\n"
    cats = [path for path in in_order() if path.parent.name == "cat"]
    assert len(cats) == 5
    expected = encode_picture(grid(model.decode(latents(*cats))))
    assert Path("cats.png").read_bytes() == expected


@needs("file")
def test_a_photo_through_stdin_and_stdout(shell: Any) -> None:
    line = "cat photo.jpg | vaekit reconstruct model.safetensors - -o - --format png"
    assert "PNG image data" in said(shell(f"{line} | file -"))


def test_a_model_that_was_trained_on_the_same_line(shell: Any) -> None:
    line = 'vaekit sample "$(vaekit train --dataset digits --epochs 2 -q)" -n 4 -o d.png'
    assert said(shell(line)) == "d.png\n"
    trained = package.load("runs/digits-mlp/model.safetensors", "cpu")
    assert Path("d.png").read_bytes() == encode_picture(grid(trained.sample(4)))


def test_a_reader_that_wants_little_of_much(shell: Any) -> None:
    line = "vaekit sample model.safetensors -n 100000 -o - --format npy | head -c 200"
    done = shell(f"{line} > /dev/null")
    assert (said(done), done.stderr) == ("", b"")
    assert b"'shape': (100000, 8, 8, 1)" in shell(line).stdout


def test_interpolate(shell: Any) -> None:
    line = "vaekit interpolate model.safetensors a.jpg b.jpg --steps 6 -o morph.gif"
    assert said(shell(line)) == "morph.gif\n"
    with Image.open("morph.gif") as gif:
        frames = [frame.convert("L").tobytes() for frame in ImageSequence.Iterator(gif)]
    assert len(frames) == 10, "6 there and the 4 between the ends once more on the way back"
    assert frames[6:] == frames[4:0:-1]


@needs("tar")
def test_tar_into_embed(shell: Any) -> None:
    assert said(shell("tar c photos | vaekit embed model.safetensors - -o z.npy")) == "z.npy\n"
    found = np.load("z.npy")
    assert found.shape == (9, 4)
    with tarfile.open(fileobj=io.BytesIO(shell("tar c photos").stdout)) as packed:
        members = [name for name in packed.getnames() if name.endswith(".jpg")]
    assert np.array_equal(found, latents(*members))


# What else a shell can do to a command.


def test_a_failure_in_a_pipeline_fails_it_and_leaves_nothing(shell: Any) -> None:
    """Or a script would go on with half a result."""
    done = shell(
        "vaekit embed model.safetensors nowhere/ -o - | vaekit decode model.safetensors - -o x.png"
    )
    assert done.returncode == 3
    assert not Path("x.png").exists()
    lines = done.stderr.decode().splitlines()
    assert sorted(lines) == ["vaekit: nowhere/: no such file or folder",
                             "vaekit: stdin: is empty: it holds no latents"]  # fmt: skip


def test_substitutions_are_read_and_written_as_files(shell: Any, model: Model) -> None:
    """<(…) and >(…) are pipes with names: nothing there may be replaced or gone back to."""
    line = "vaekit decode model.safetensors <(vaekit embed model.safetensors photos/ -q -o -)"
    done = shell(
        f"{line} --format npy -o >(cat > x.npy; touch done) && until [ -e done ]; do :; done"
    )
    assert said(done).startswith("/dev/fd/")
    expected = model.decode(latents("photos/")).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(np.load("x.npy"), expected)
    done = shell(f"{line} -o >(cat)")
    assert done.returncode == 2
    assert b"is not a folder and has no extension: add --format" in done.stderr


def test_stdout_that_is_appended_to_stays_a_whole_array(shell: Any) -> None:
    """`>>` cannot be gone back in, though it looks like a file."""
    line = "vaekit embed model.safetensors photos/ -q -o -"
    said(shell(f"printf before > x; {line} >> x; {line} > y.npy"))
    assert Path("x").read_bytes() == b"before" + Path("y.npy").read_bytes()
    assert np.load("y.npy").shape == (9, 4)
