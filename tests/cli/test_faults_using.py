"""Bad input to the commands that use a model: what a person sees, and that nothing is left behind.

tests/data/streams/test_mixed_inputs.py, and test_header.py and test_weights.py in tests/model_file,
prove each fault in every way it can come; here each comes once to a command. Row 60 is in
test_interpolate.py.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

USING = ["sample", "reconstruct", "interpolate", "traverse", "embed", "decode"]


def upright() -> Image.Image:
    """Colours that are no two alike, so that a turned picture is another one."""
    side = np.arange(8, dtype=np.uint8) * 30
    pixels = np.stack(np.broadcast_arrays(side[:, None], side[None], np.uint8(90)), axis=-1)
    return Image.fromarray(np.ascontiguousarray(pixels))


def encoded(image: Image.Image, form: str, **how: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **how)
    return buffer.getvalue()


def bomb() -> bytes:
    """A small file that claims to be a picture of 30,000 x 30,000 pixels."""
    content = bytearray(encoded(Image.new("L", (8, 8)), "PNG"))
    content[16:24] = struct.pack(">II", 30_000, 30_000)
    import zlib

    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def embedded(cli: Any, model: Path, *given: str | Path) -> tuple[list[str], np.ndarray, str]:
    """Names, latents, and what was said."""
    done = cli("embed", model, *given, "-o", "z.jsonl")
    assert (done.code, done.stdout) == (0, "z.jsonl\n"), done.stderr
    records = [json.loads(line) for line in Path("z.jsonl").read_text().splitlines()]
    z = np.array([row["z"] for row in records], np.float32)
    return [row["path"] for row in records], z, done.stderr


# Rows 1 to 3, 10 and 13: a bad image is left out and named.

BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "1-truncated.jpg": (lambda: encoded(upright().resize((64, 64)), "JPEG")[:600], "truncated"),
    "2-empty.png": (lambda: b"", "is empty"),
    "3-text.png": (lambda: b"This is no image.", "not an image"),
    "10-bomb.png": (bomb, "pixels"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_skipped_and_named_and_an_error_with_strict(
    cli: Any, tiny_model: Path, name: str
) -> None:
    content, why = BAD[name]
    Path("in").mkdir()
    Path("in", name).write_bytes(content())
    for place in range(2):
        upright().save(f"in/{place}0.png")
    names, _, said = embedded(cli, tiny_model, "in")
    assert sorted(names) == ["in/00.png", "in/10.png"]
    (warning,) = [line for line in said.splitlines() if line.startswith("warning: ")]
    assert f"1 bad image was skipped: in/{name}: " in warning
    assert why in warning
    done = cli("reconstruct", tiny_model, "in", "--strict", "-q", "-o", "x.png")
    assert (done.code, done.stdout, Path("x.png").exists()) == (3, "", False)
    assert f"in/{name}: " in done.stderr
    alone = cli("embed", tiny_model, f"in/{name}", "-o", "x.npy")
    assert (alone.code, Path("x.npy").exists()) == (3, False)
    assert alone.stderr.startswith(f"vaekit: in/{name}: ")


def test_quiet_hides_the_warning_of_skipped_images_and_json_counts_them(
    cli: Any, tiny_model: Path
) -> None:
    Path("in").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    for place, pixels in enumerate(noise):
        Image.fromarray(pixels).save(f"in/{place}.png")
    for place in range(9):
        Path(f"in/cut-{place}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    counts = {}
    for command in (
        ["embed", tiny_model, "in", "-o", "z.npy"],
        ["reconstruct", tiny_model, "in", "-o", "x.npy"],
        ["evaluate", tiny_model, "--dataset", "in", "--split", "all"],
    ):
        done = cli(*command, "--json", "-q")
        assert (done.code, done.stderr) == (0, "")
        record = json.loads(done.stdout)
        counts[command[0]] = (record["n"], record["skipped"])
    assert counts == dict.fromkeys(["embed", "reconstruct", "evaluate"], (40, 9))
    options = ["--epochs", "1", "--hidden", "8", "--latent-dim", "2", "--pictures-every", "off"]
    shutil.copytree("in", "parts/train")
    shutil.copytree("in", "parts/test", ignore=shutil.ignore_patterns("cut-*"))
    done = cli("train", "--dataset", "parts", "-o", "run", *options, "--json", "-q")
    assert (done.code, done.stderr) == (0, "")
    assert json.loads(done.stdout)["skipped_images"] == 9, "of training and validation together"
    (line,) = Path("run/metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["skipped_images"] == 9


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root reads every file")
def test_a_file_without_read_permission_is_skipped_and_named(cli: Any, tiny_model: Path) -> None:
    """As root see tests/data/streams/test_mixed_inputs.py, which pretends."""
    upright().save("a.png")
    upright().save("b.png")
    Path("b.png").chmod(0)
    names, _, said = embedded(cli, tiny_model, "a.png", "b.png")
    assert names == ["a.png"]
    assert "b.png: cannot be read" in said


# Rows 4 to 9, 11 and 12: odd images are what they show.


def same(cli: Any, model: Path, odd: bytes, plain: Image.Image, name: str) -> str:
    """Both give the same latents; gives what was said of the odd one."""
    Path(name).write_bytes(odd)
    plain.save("plain.png")
    _, z, said = embedded(cli, model, name)
    assert np.allclose(z, embedded(cli, model, "plain.png")[1], atol=1e-5)
    return str(said)


def test_a_cmyk_photo_gives_the_latents_of_its_rgb_version(cli: Any, tiny_model: Path) -> None:
    image = upright().convert("CMYK")
    content = encoded(image, "JPEG", quality=100, subsampling=0)
    with Image.open(io.BytesIO(content)) as opened:
        same(cli, tiny_model, content, opened.convert("RGB"), "odd.jpg")


def test_16_bit_grey_is_scaled_not_clipped(cli: Any, tiny_model: Path) -> None:
    grey = np.asarray(upright().convert("L"))
    wide = Image.fromarray(grey.astype(np.uint16) * 257)
    same(cli, tiny_model, encoded(wide, "PNG"), Image.fromarray(grey), "odd.png")


@pytest.mark.parametrize("mode", ["RGBA", "P"])
def test_colours_under_full_transparency_do_not_change_latents(
    cli: Any, tiny_model: Path, mode: str
) -> None:
    """Two pictures that differ only where nobody can see it are the same."""
    found = []
    for hidden in ((0, 0, 0), (255, 0, 255)):
        pixels = np.array(upright().convert("RGBA"))
        pixels[:4] = (*hidden, 0)
        if mode == "RGBA":
            content = encoded(Image.fromarray(pixels), "PNG")
        else:
            flat = Image.fromarray(np.where(pixels[..., 3:] == 0, np.uint8(1), np.uint8(2))[..., 0])
            flat = flat.convert("P")
            flat.putpalette([0, 0, 0, *hidden, 200, 100, 50])
            content = encoded(flat, "PNG", transparency=1)
        Path("odd.png").write_bytes(content)
        found.append(embedded(cli, tiny_model, "odd.png")[1])
    assert np.array_equal(*found)


def test_an_animation_counts_as_its_first_frame_with_a_note(cli: Any, tiny_model: Path) -> None:
    first, second = upright().convert("L"), Image.new("L", (8, 8), 255)
    moving = encoded(first, "GIF", save_all=True, append_images=[second])
    assert "frame" in same(cli, tiny_model, moving, first, "odd.gif")


def test_a_photo_is_turned_upright_by_its_exif_tag(cli: Any, tiny_model: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = upright().transpose(Image.Transpose.ROTATE_90)
    same(cli, tiny_model, encoded(turned, "PNG", exif=exif), upright(), "odd.png")


@pytest.mark.parametrize("size", [(1, 1), (2000, 1), (1, 2000)], ids=str)
def test_images_of_extreme_sizes_are_resized_to_the_models(
    cli: Any, colour_model: Path, size: tuple[int, int]
) -> None:
    Image.new("RGB", size, (200, 10, 10)).save("odd.png")
    _, z, said = embedded(cli, colour_model, "odd.png")
    assert z.shape == (1, 3)
    assert said.count("\n") == 1
    assert "16x16" in said


def test_grey_images_beside_colour_are_converted_with_one_note(
    cli: Any, colour_model: Path
) -> None:
    Path("in").mkdir()
    for place, mode in enumerate(["L", "RGB", "L"]):
        upright().resize((16, 16)).convert(mode).save(f"in/{place}.png")
    _, z, said = embedded(cli, colour_model, "in")
    assert said == "images: all 3 of in\n2 grey images were turned to RGB\n"
    assert np.array_equal(z[0], z[2])
    assert not np.array_equal(z[0], z[1])


# Rows 14 and 15: folders and names.


@pytest.mark.skipif(os.name != "posix", reason="links and names of POSIX")
def test_a_loop_of_symlinks_does_not_hang_a_command(cli: Any, tiny_model: Path) -> None:
    Path("in/deep").mkdir(parents=True)
    upright().save("in/a.png")
    Path("in/deep/again").symlink_to(Path("in").resolve())
    assert embedded(cli, tiny_model, "in")[0] == ["in/a.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="names that other systems refuse")
@pytest.mark.parametrize("form", ["jsonl", "csv", "npz"])
def test_records_hold_any_file_name_and_decode_reads_them_back(
    cli: Any, tiny_model: Path, form: str
) -> None:
    """Lines stay lines whatever names are in them, and what is written can be read again."""
    names = [b"new\nline.png", b"not-utf-8-\xff.png", b'quote",comma.png', b" space .png"]
    Path("in").mkdir()
    for name in names:
        upright().save(os.fsdecode(b"in/" + name), "PNG")
    done = cli("embed", tiny_model, "in", "-o", f"z.{form}")
    assert done.code == 0
    if form == "jsonl":
        lines = Path("z.jsonl").read_bytes().split(b"\n")
        assert len(lines) == 5
        found = {os.fsencode(json.loads(line)["path"]) for line in lines[:-1]}
        assert found == {b"in/" + name for name in names}
    assert cli("decode", tiny_model, f"z.{form}", "-o", "x.npy").code == 0
    x = np.load("x.npy")
    assert x.shape == (4, 8, 8, 1)
    assert (x == x[0]).all()
    out = cli("reconstruct", tiny_model, "in", "-o", "out/")
    assert out.code == 0
    assert len([*Path("out").iterdir()]) == 4
    assert all(path.name.isprintable() for path in Path("out").iterdir())


# Row 26: images in another shape.


@pytest.mark.parametrize("given", [["x.npy"], ["--dataset", "x.npy"]], ids=" ".join)
def test_an_array_of_another_shape_is_refused_and_both_shapes_are_named(
    cli: Any, tiny_model: Path, given: list[str]
) -> None:
    np.save("x.npy", np.zeros((3, 9, 8, 1), np.uint8))
    for command in ("embed", "reconstruct"):
        done = cli(command, tiny_model, *given, "-q")
        assert (done.code, done.stdout, done.stderr.count("\n")) == (3, "", 1)
        assert "x.npy" in done.stderr
        assert "9x8x1" in done.stderr
        assert "8x8x1" in done.stderr


# Rows 27 to 35: model files.


def header(path: Path) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    entries = json.loads(content[8 : 8 + length])
    return entries, json.loads(entries["__metadata__"]["vaekit"]), content[8 + length :]


def changed(path: Path, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The file with a header that someone has changed."""
    entries, values, data = header(path)
    change(values)
    entries["__metadata__"]["vaekit"] = json.dumps(values)
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def weights(path: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> bytes:
    """The file with other tensors under the same header, by someone who drops the digest."""
    tensors, values = load_file(path), header(path)[1]
    change(tensors)
    save_file(tensors, "w", metadata={"vaekit": json.dumps({**values, "digest": None})})
    return Path("w").read_bytes()


def first(tensors: dict[str, torch.Tensor]) -> str:
    return min(tensors)


def cut(tensors: dict[str, torch.Tensor]) -> None:
    tensors[first(tensors)] = tensors[first(tensors)][..., :1].clone()


STRANGE: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "27 truncated": (lambda path: path.read_bytes()[:-9], "truncated"),
    "28 length": (lambda path: struct.pack("<Q", 1 << 63) + path.read_bytes()[8:], "header"),
    "29 no key": (lambda path: struct.pack("<Q", 8) + b"{}      ", "not a vaekit model"),
    "30 newer": (lambda p: changed(p, lambda v: v.update(format_version=99)), "upgrade vaekit"),
    "31 a name": (lambda p: changed(p, lambda v: v["model"].update(name="os.system")), "os.system"),
    "32 huge": (lambda p: changed(p, lambda v: v["model"].update(latent_dim=10**9)), "latent"),
    "33 missing": (lambda p: weights(p, lambda t: t.pop(first(t))), "missing"),
    "33 extra": (lambda p: weights(p, lambda t: t.update(extra=torch.zeros(1))), "extra"),
    "33 misshaped": (lambda p: weights(p, cut), "shape"),
    "72 type": (lambda p: weights(p, lambda t: t.update({first(t): t[first(t)].int()})), "int32"),
    "34 nan": (lambda p: weights(p, lambda t: t[first(t)].fill_(float("nan"))), "nonfinite"),
    "35 pickle": (lambda path: pickle.dumps({"a": 1}) + b" " * 99, "pickle"),
}


@pytest.mark.parametrize("row", STRANGE)
def test_a_damaged_or_foreign_model_file_is_refused_in_one_line(
    cli: Any, tiny_model: Path, row: str
) -> None:
    make, why = STRANGE[row]
    Path("m.safetensors").write_bytes(make(tiny_model))
    done = cli("sample", "m.safetensors", "-n", "2")
    assert (done.code, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert done.stderr.startswith("vaekit: m.safetensors")
    assert why in done.stderr
    assert not Path("samples.png").exists()


@pytest.mark.parametrize("command", USING)
def test_every_command_refuses_it_before_it_looks_at_anything_else(
    cli: Any, tiny_model: Path, command: str
) -> None:
    Path("m.safetensors").write_bytes(tiny_model.read_bytes()[:-1])
    done = cli(command, "m.safetensors", "-o", "x.npy")
    assert (done.code, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert "truncated" in done.stderr
    gone = cli(command, "gone.safetensors")
    assert (gone.code, gone.stderr) == (3, "vaekit: gone.safetensors: no such file or directory\n")


def test_allow_nonfinite_accepts_nan_weights(cli: Any, tiny_model: Path) -> None:
    Path("m.safetensors").write_bytes(STRANGE["34 nan"][0](tiny_model))
    assert cli("sample", "m.safetensors", "--allow-nonfinite", "-n", "2", "-o", "x.npy").code == 0
    assert np.load("x.npy").shape == (2, 8, 8, 1)


def overflow(tensors: dict[str, torch.Tensor]) -> None:
    """Finite weights, whose products are infinite and whose sums are NaN."""
    generator = torch.Generator().manual_seed(0)
    for tensor in tensors.values():
        tensor.copy_(3e38 * torch.randn(tensor.shape, generator=generator).sign())


@pytest.mark.parametrize(
    "line",
    [
        ["sample", "-n", "2"],
        ["reconstruct", "x.npy"],
        ["embed", "x.npy"],
        ["decode", "z.npy"],
        ["interpolate"],
        ["traverse"],
        ["score", "x.npy"],
        ["evaluate"],
    ],
    ids=lambda line: line[0],
)
def test_finite_weights_that_give_infinity_are_an_error_unless_allowed(
    cli: Any, tiny_model: Path, line: list[str]
) -> None:
    """Or NaN would go into plots and tables that look like results."""
    Path("m.safetensors").write_bytes(weights(tiny_model, overflow))
    np.save("x.npy", np.full((2, 8, 8, 1), 99, np.uint8))
    np.save("z.npy", np.ones((2, 4), np.float32))
    command, *given = line
    end = {"evaluate": ["--json"], "score": ["-o", "s.csv"]}.get(command, ["-o", "out.npy"])
    done = cli(command, "m.safetensors", *given, *end, "-q")
    assert (done.code, done.stderr.count("\n")) == (3, 1), done
    assert "m.safetensors" in done.stderr
    assert "NaN or infinity" in done.stderr
    assert "--allow-nonfinite" in done.stderr
    assert not Path("out.npy").exists()
    assert cli(command, "m.safetensors", *given, *end, "-q", "--allow-nonfinite").code == 0


@pytest.mark.parametrize("command", USING)
@pytest.mark.parametrize("form", [[], ["--format", "npy"]], ids=["", "npy"])
def test_an_output_never_replaces_the_model_it_is_made_with(
    cli: Any, placed: Path, command: str, form: list[str]
) -> None:
    """Hours of training would be gone."""
    before = placed.read_bytes()
    Path("link").symlink_to(placed)
    for name in (placed.name, f"./{placed.name}", *(["link"] if form else [])):
        done = cli(command, placed, "-o", name, *form)
        assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert placed.read_bytes() == before


@pytest.mark.parametrize("command", [*USING, "score"])
def test_another_model_is_replaced_only_with_force(cli: Any, placed: Path, command: str) -> None:
    """`-o` with a slip of the hand cost the model of another run."""
    other = Path("other.safetensors")
    other.write_bytes(placed.read_bytes())
    form = "csv" if command == "score" else "npy"
    done = cli(command, placed, "-o", other, "--format", form)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == "vaekit: -o other.safetensors: is a model file; --force replaces it\n"
    assert other.read_bytes() == placed.read_bytes()


def test_force_replaces_a_model_and_other_files_need_no_force(cli: Any, placed: Path) -> None:
    Path("other.npy").write_bytes(placed.read_bytes())
    for _ in range(2):
        done = cli("sample", placed, "-n", "2", "-o", "other.npy", "--force")
        assert (done.code, np.load("other.npy").shape) == (0, (2, 8, 8, 1))
    assert cli("sample", placed, "-n", "3", "-o", "other.npy").code == 0
    assert np.load("other.npy").shape == (3, 8, 8, 1)


def test_a_runs_folder_stands_for_its_model_in_every_command(cli: Any, tiny_run: Path) -> None:
    model = tiny_run / "model.safetensors"
    outputs = []
    for given in (tiny_run, model):
        assert cli("embed", given, "-o", "z.npy", "-q").code == 0
        outputs.append(Path("z.npy").read_bytes())
        outputs.append(cli("info", given).stdout)
    assert outputs[:2] == outputs[2:]
    done = cli("sample", tiny_run, "-o", model, "--format", "png", "--force")
    assert (done.code, done.stderr.count("is the model itself")) == (2, 1)
    Path("empty").mkdir()
    done = cli("sample", "empty")
    assert (done.code, done.stdout) == (3, "")
    assert "empty: is a folder without a model.safetensors" in done.stderr


def test_an_image_may_be_replaced_by_its_own_reconstruction(cli: Any, tiny_model: Path) -> None:
    upright().save("a.png")
    assert cli("reconstruct", tiny_model, "a.png", "-o", "a.png", "-q").code == 0
    with Image.open("a.png") as shown:
        assert shown.size != (8, 8)


# Rows 53 to 57: streams. Row 56 is in each command's own tests as well.


@pytest.mark.skipif(os.name != "posix", reason="the shell's own streams")
@pytest.mark.usefixtures("placed")
class TestStreams:
    STREAMS = (
        "sample model.safetensors -n 20000 -o - --format npy",
        "embed model.safetensors -q --dataset digits --split all -o - --format jsonl",
    )

    @pytest.mark.parametrize("command", STREAMS, ids=lambda text: text.split()[0])
    def test_head_ends_a_command_quietly(self, shell: Any, command: str) -> None:
        done = shell(f"vaekit {command} | head -c 10")
        assert (done.returncode, len(done.stdout), done.stderr) == (0, 10, b"")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
    @pytest.mark.parametrize(
        "command",
        [
            *STREAMS,
            "interpolate model.safetensors -o - --format gif",
        ],
    )
    def test_a_full_disk_behind_stdout_is_an_error_in_one_line(
        self, shell: Any, command: str
    ) -> None:
        done = shell(f"vaekit {command} > /dev/full")
        assert (done.returncode, done.stderr) == (1, b"vaekit: No space left on device\n")

    def test_a_closed_stdout_is_an_error_in_one_line(self, shell: Any) -> None:
        done = shell("vaekit sample model.safetensors -n 2 >&-")
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr == b"vaekit: stdout is closed: there is nowhere to print to\n"

    def test_a_closed_stdin_does_not_matter_where_it_is_not_read(self, shell: Any) -> None:
        done = shell("vaekit reconstruct model.safetensors -n 2 --dataset digits <&-")
        assert (done.returncode, done.stdout) == (0, b"reconstructions.png\n")
        done = shell("vaekit embed model.safetensors - <&-")
        assert (done.returncode, done.stderr.count(b"\n")) == (3, 1)
        assert b"closed" in done.stderr

    def test_a_log_has_no_cursor_codes(self, shell: Any) -> None:
        done = shell("vaekit embed model.safetensors -o z.npy", FORCE_COLOR="1")
        assert (done.returncode, done.stdout) == (0, b"z.npy\n")
        assert b"own data set" in done.stderr
        assert not re.search(rb"\x1b\[[0-9;?]*[A-HJKSThl]|\r", done.stderr)

    def test_binary_output_to_a_terminal_is_refused(self, terminal: Any) -> None:
        code, shown = terminal("embed", "model.safetensors", "--dataset", "digits", "-o", "-")
        assert code == 2
        assert shown.startswith("vaekit: -o -: npy is binary and would garble the terminal")


@pytest.mark.parametrize("command", USING)
def test_no_command_writes_binary_to_a_terminal(
    cli: Any, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    done = cli(command, tiny_model, "-o", "-", "--format", "npz")
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "npz is binary and would garble the terminal" in done.stderr


# Memory.

PEAK = """\
import resource, subprocess, sys
subprocess.run(["bash", "-c", sys.argv[1]], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak(line: str, path: str) -> int:
    """Bytes that the largest process of a pipeline held at most."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, f"set -o pipefail; {line}"],
        capture_output=True,
        check=True,
        env={**os.environ, "PATH": path},
    )
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="peak memory as POSIX tells it")
@pytest.mark.usefixtures("placed")
class TestMemory:
    """A million images must not need the memory of a million images."""

    def test_sampling_to_a_pipe(self, command_path: str) -> None:
        few, many = (
            peak(f"vaekit sample model.safetensors -n {n} -o - --format npy | cat > x{n}",
                 command_path) for n in (2000, 200_000)
        )  # fmt: skip
        assert Path("x200000").stat().st_size == 200_000 * 64 * 4 + 128
        assert many - few < 100e6

    @pytest.mark.parametrize("name", ["z.csv", "z.npz", "z.jsonl"])
    def test_embedding_many_images(self, command_path: str, name: str) -> None:
        generator = np.random.default_rng(0)
        found = []
        for n in (2000, 400_000):
            np.save("x.npy", generator.integers(0, 256, (n, 8, 8, 1), np.uint8))
            line = f"vaekit embed model.safetensors x.npy -q -o {name} > path"
            found.append(peak(line, command_path))
        assert found[1] - found[0] < 100e6

    def test_embedding_into_decoding(self, command_path: str) -> None:
        found = []
        for n in (2000, 400_000):
            np.save("x.npy", np.zeros((n, 8, 8, 1), np.uint8))
            line = "cat x.npy | vaekit embed model.safetensors - -q -o - | "
            line += "vaekit decode model.safetensors - -q -o y.npy > path"
            found.append(peak(line, command_path))
        assert found[1] - found[0] < 100e6
        assert np.load("y.npy", mmap_mode="r").shape == (400_000, 8, 8, 1)
