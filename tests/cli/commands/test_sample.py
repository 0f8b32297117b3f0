"""`vaekit sample`: the same images for the same seed in every form, however many are asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vaekit.inference import Model
from vaekit.output.pictures import encode_picture, grid, to_uint8

HEAVY = {"torchvision", "sklearn", "matplotlib", "scipy", "pandas", "sympy"}


def channels_last(images: torch.Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).numpy()


def array(cli: Any, model: Path, *options: str | Path) -> np.ndarray:
    """The images as an array."""
    done = cli("sample", model, "-o", "x.npy", *options)
    assert (done.code, done.stdout, done.stderr) == (0, "x.npy\n", "")
    return np.load("x.npy")


# Forms.


def test_without_options_it_is_a_grid_of_64_and_its_name_is_told(
    cli: Any, tiny_model: Path, model: Model
) -> None:
    done = cli("sample", tiny_model)
    assert (done.code, done.stdout, done.stderr) == (0, "samples.png\n", "")
    assert Path("samples.png").read_bytes() == encode_picture(grid(model.sample(64)))


@pytest.mark.parametrize(
    ("options", "path", "form"),
    [(["-o", "x.png"], "x.png", "PNG"), (["-o", "x.JPG"], "x.JPG", "JPEG"),
     (["-o", "deep/er/x.webp"], "deep/er/x.webp", "WEBP"),
     (["--format", "jpg"], "samples.jpg", "JPEG"), (["--format", "webp"], "samples.webp", "WEBP"),
     (["-o", "x.bin", "--format", "png"], "x.bin", "PNG")],
    ids=" ".join,
)  # fmt: skip
def test_the_ending_or_format_says_what_picture_it_is(
    cli: Any, tiny_model: Path, options: list[str], path: str, form: str
) -> None:
    done = cli("sample", tiny_model, "-n", "6", *options)
    assert (done.code, done.stdout) == (0, f"{path}\n")
    with Image.open(path) as shown:
        assert (shown.format, shown.size) == (form, (196, 130))


def test_an_array_is_what_python_gives_to_the_bit(
    cli: Any, any_model: Path, request: pytest.FixtureRequest
) -> None:
    import vaekit as package

    expected = channels_last(package.load(any_model, "cpu").sample(70, seed=5, temperature=0.7))
    options = ["-n", "70", "--seed", "5", "--temperature", "0.7"]
    found = array(cli, any_model, *options)
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)
    assert cli("sample", any_model, *options, "-o", "x.npz").code == 0
    with np.load("x.npz") as archive:
        assert archive.files == ["x"]
        assert np.array_equal(archive["x"], expected)
    assert cli("sample", any_model, *options, "--format", "npy").stdout == "samples.npy\n"
    assert np.array_equal(np.load("samples.npy"), expected)


def test_bytes_are_what_the_pictures_show(cli: Any, tiny_model: Path, model: Model) -> None:
    found = array(cli, tiny_model, "-n", "5", "--uint8")
    assert found.dtype == np.uint8
    assert np.array_equal(found, to_uint8(model.sample(5)))


def test_a_folder_holds_single_images_in_the_order_of_their_numbers(
    cli: Any, tiny_model: Path, model: Model
) -> None:
    done = cli("sample", tiny_model, "-n", "12", "-o", "out/")
    assert (done.code, done.stdout) == (0, "out\n")
    paths = sorted(Path("out").iterdir())
    assert [path.name for path in paths] == [f"{number:04}.png" for number in range(12)]
    found = np.stack([np.asarray(Image.open(path)) for path in paths])
    assert np.array_equal(found[..., None], to_uint8(model.sample(12)))
    cli("sample", tiny_model, "-n", "2", "-o", "photos", "--format", "jpeg")
    assert not Path("photos").is_dir(), "a file without an ending, as --format says"
    Path("there").mkdir()
    cli("sample", tiny_model, "-n", "2", "-o", "there", "--format", "jpeg")
    assert sorted(path.name for path in Path("there").iterdir()) == ["0000.jpg", "0001.jpg"]


def test_what_an_earlier_longer_set_leaves_in_a_folder_is_said(cli: Any, tiny_model: Path) -> None:
    """Whoever takes `out/*.png` would take images of another model for those of this one."""

    def said(*options: str) -> str:
        done = cli("sample", tiny_model, "-o", "out/", *options)
        assert (done.code, done.stdout) == (0, "out\n")
        return str(done.stderr)

    assert said("-n", "6") == ""
    Path("out/holiday.png").write_text("mine")
    assert said("-n", "6") == ""
    assert said("-n", "4") == (
        "warning: out: 2 older numbered images beside the 4 new ones "
        "(0004.png to 0005.png): remove them, or use another folder\n"
    )
    assert "1 older numbered image" in said("-n", "5")
    assert said("-n", "1", "-q") == ""
    assert len([*Path("out").iterdir()]) == 7, "nothing is removed"


def test_json_is_one_object_and_quiet_keeps_the_path(cli: Any, tiny_model: Path) -> None:
    done = cli("sample", tiny_model, "-n", "3", "--json")
    assert done.stdout.count("\n") == 1
    assert json.loads(done.stdout) == {"path": "samples.png", "n": 3}
    done = cli("sample", tiny_model, "-n", "3", "-q")
    assert (done.code, done.stdout, done.stderr) == (0, "samples.png\n", "")


def test_a_named_file_is_replaced(cli: Any, tiny_model: Path) -> None:
    Path("x.npy").write_bytes(b"old")
    assert array(cli, tiny_model, "-n", "2").shape == (2, 8, 8, 1)


# The same seed, the same images.


@pytest.mark.parametrize("count", [1, 16, 63, 64, 65, 129])
def test_more_images_begin_with_the_fewer(cli: Any, any_model: Path, count: int) -> None:
    """A user who asks for more keeps the ones already liked."""
    many = array(cli, any_model, "-n", "130", "--seed", "7")
    assert np.array_equal(array(cli, any_model, "-n", str(count), "--seed", "7"), many[:count])


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.png", "x.webp"])
def test_a_seed_twice_is_the_same_file_and_another_seed_is_not(
    cli: Any, tiny_model: Path, name: str
) -> None:
    def content(seed: str) -> bytes:
        assert cli("sample", tiny_model, "-n", "9", "--seed", seed, "-o", name).code == 0
        return Path(name).read_bytes()

    assert content("7") == content("7")
    assert content("7") != content("8")


def test_the_environment_may_say_the_seed(
    cli: Any, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = array(cli, tiny_model, "-n", "3", "--seed", "11")
    monkeypatch.setenv("VAEKIT_SEED", "11")
    assert np.array_equal(array(cli, tiny_model, "-n", "3"), expected)
    assert not np.array_equal(array(cli, tiny_model, "-n", "3", "--seed", "0"), expected)


@pytest.mark.parametrize("name", ["x.npy", "x.png"])
def test_the_batch_size_changes_no_byte(cli: Any, any_model: Path, name: str) -> None:
    found = set()
    for size in ("1", "7", "64", "512"):
        options = ["-n", "200", "--batch-size", size, "--threads", "1", "-o", name]
        assert cli("sample", any_model, *options).code == 0
        found.add(Path(name).read_bytes())
    assert len(found) == 1


def test_temperature_scales_the_latents(cli: Any, tiny_model: Path, model: Model) -> None:
    cold = array(cli, tiny_model, "-n", "70", "--temperature", "0")
    assert (cold == cold[0]).all()
    assert np.array_equal(cold[:1], channels_last(model.decode(torch.zeros(1, 4))))
    warm = array(cli, tiny_model, "-n", "3", "--temperature", "2")
    assert np.array_equal(warm, channels_last(model.decode(2 * model.draw_latents(3))))


# Refusals.


@pytest.mark.parametrize(
    ("options", "message"),
    [(["-n", "0"], "-n 0: at least 1"), (["-n", "-1"], "-n -1: at least 1"),
     (["-n", "many"], "'-n'"), (["--temperature", "-1"], "--temperature"),
     (["--temperature", "nan"], "--temperature"),
     (["--temperature", "inf"], "--temperature inf: must be a finite number"),
     (["--seed", "-1"], "--seed"), (["--batch-size", "0"], "--batch-size"),
     (["--threads", "0"], "--threads"), (["--formt", "npy"], "--format"),
     (["--format", "gif"], "--format gif: this command writes png, jpeg, webp, folder, npy, npz"),
     (["-o", "x.gif"], ".gif is not one of them"),
     (["-o", "x.pt"], ".pt is not one of them"),
     (["-o", ""], "-o '': give a file name"),
     (["-o", "x.png", "--format", "npy"], "disagree"),
     (["-o", "-", "--json"], "--json and -o - exclude each other"),
     (["-o", "-", "--format", "folder"], "stdout cannot be a folder"),
     (["-n", "10001"], "10,001 images are too many for one picture"),
     (["--device", "gpu"], "gpu"), (["extra"], "extra")],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_cannot_be_meant_is_a_wrong_command_line(
    cli: Any, tiny_model: Path, options: list[str], message: str
) -> None:
    done = cli("sample", tiny_model, *options)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert message in done.stderr
    assert [path.name for path in Path().iterdir() if path.name[0] != "."] == []


def test_binary_to_a_terminal_is_refused_before_anything_is_done(
    terminal: Any, tiny_model: Path
) -> None:
    code, shown = terminal("sample", tiny_model, "-o", "-")
    assert code == 2
    assert shown.startswith("vaekit: -o -: png is binary and would garble the terminal")


# Start-up.


def test_sampling_imports_nothing_that_it_does_not_need(tiny_model: Path) -> None:
    """Else the command would take seconds to begin."""
    code = (
        "import sys, torch; before = set(sys.modules)\n"
        "from vaekit.cli import run\n"
        f"assert run(['sample', {str(tiny_model)!r}, '-n', '64', '-q']) == 0\n"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    path, modules = done.stdout.splitlines()
    assert path == "samples.png"
    assert "vaekit" in modules.split()
    # Shapes without memory cost older versions of torch an import of their own: seen in 2.6.
    old = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 15)
    by_torch = {"sympy"} if old else set()
    assert HEAVY & {*modules.split()} - by_torch == set()
