"""A model file from a stranger is refused before it does harm: `header` and `tensor_file`."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vaekit.errors import ModelFileError
from vaekit.model_file.header import (
    FORMAT_VERSION,
    ModelFile,
    read_model_file,
    sha256,
)
from vaekit.model_file.tensor_file import LONGEST_HEADER, is_tensor_file

FILE = Path("strange.safetensors")


def parts(path: Path) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """The entries of a file's header, what vaekit says in it, and the tensors' bytes."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    entries = json.loads(content[8 : 8 + length])
    return entries, json.loads(entries["__metadata__"]["vaekit"]), content[8 + length :]


def assemble(entries: dict[str, Any], values: dict[str, Any] | None, data: bytes) -> bytes:
    if values is not None:
        entries = {**entries, "__metadata__": {"format": "pt", "vaekit": json.dumps(values)}}
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


def rewritten(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Path:
    """A copy of a file whose header was changed by someone who knows the format."""
    entries, values, data = parts(path)
    change(entries, values)
    FILE.write_bytes(assemble(entries, values, data))
    return FILE


def refusal(content: bytes | None = None) -> str:
    """The one line that a file is refused with; it names the file."""
    if content is not None:
        FILE.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        read_model_file(FILE)
    message = str(caught.value)
    assert str(FILE) in message
    assert caught.value.exit_code == 3
    return message


KNOWN: dict[str, Any] = {
    "part": "validation", "n": 99, "neg_elbo": [100.0, 5.0], "error_of_size": [10.0, 0.5, 4.0],
    "mean": [0.0] * 4, "precision": [[1.0, 0.0, 0.0, 0.0]] * 4, "rates": [0.5, 0.01],
    "scores": [2.0, 4.0],
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mean": [0.0] * 3}, "mean and precision disagree"),
        ({"mean": [0.0] * 10_000, "precision": [[0.0]]}, "mean and precision disagree"),
        ({"rates": [0.5]}, "rates and scores disagree"),
        ({"rates": [], "scores": []}, "rates and scores disagree"),
        ({"scores": [4.0, 2.0]}, "not in order"),
        ({"rates": [0.01, 0.5]}, "not in order"),
        ({"neg_elbo": [100.0, 0.0]}, "a spread is not positive"),
        ({"rates": [2.0, 0.01]}, "known.rates.0"),
        ({"n": 0}, "known.n"),
    ],
)
def test_known_images_that_make_no_sense_are_refused(
    tiny_model: Path, change: dict[str, Any], said: str
) -> None:
    rewritten(tiny_model, lambda entries, values: values.update(known=KNOWN))
    assert read_model_file(FILE).header.known is not None
    rewritten(tiny_model, lambda entries, values: values.update(known={**KNOWN, **change}))
    message = refusal()
    assert "bad header: known" in message
    assert said in message


def test_a_good_file_says_what_it_is(tiny_model: Path) -> None:
    file = read_model_file(tiny_model)
    assert isinstance(file, ModelFile)
    assert file.path == tiny_model
    assert file.size == tiny_model.stat().st_size
    assert file.header.format_version == FORMAT_VERSION
    assert file.header.image == (8, 8, 1)
    assert file.header.model.name == "mlp"
    assert file.header.model.latent_dim == 4
    assert file.header.model.settings == {"hidden": [32], "activation": "relu"}
    assert file.header.likelihood.name == "bce"
    assert file.header.classes == [str(digit) for digit in range(10)]
    assert file.tensors["output.weight"].shape == (64, 32)
    assert len(file.header.latents.mean) == len(file.header.latents.kl) == 4


def test_the_header_is_that_of_the_interface(tiny_model: Path) -> None:
    entries, values, _ = parts(tiny_model)
    assert entries["__metadata__"].keys() == {"format", "vaekit"}
    assert entries["__metadata__"]["format"] == "pt"
    assert values.keys() == {
        "format_version", "vaekit_version", "model", "likelihood", "objective", "classes",
        "latents", "training", "known", "digest",
    }  # fmt: skip
    assert {
        "dataset",
        "fingerprint",
        "n",
        "seed",
        "steps",
        "epochs",
        "final",
        "best",
        "config",
    } <= (values["training"].keys())
    assert values["training"]["n"] == 300
    assert values["training"]["epochs"] == 3
    assert values["training"]["final"]["epoch"] == 3


def test_the_header_is_sorted_and_aligned(tiny_model: Path) -> None:
    """In an order that depends on nothing: else equal models would have unequal files."""
    content = tiny_model.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    text = content[8 : 8 + length].rstrip(b" ")
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")).encode()
    vaekit = json.loads(text)["__metadata__"]["vaekit"]
    assert vaekit == json.dumps(json.loads(vaekit), sort_keys=True)
    assert length % 8 == 0


def test_a_header_is_read_without_torch(tiny_model: Path) -> None:
    code = (
        "import sys\nfrom vaekit.model_file.header import read_model_file\n"
        f"assert read_model_file({str(tiny_model)!r}).header.model.name == 'mlp'\n"
        "print(sorted({'torch', 'numpy', 'safetensors'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_sha256_is_that_of_the_file(tiny_model: Path) -> None:
    import hashlib

    assert sha256(tiny_model) == hashlib.sha256(tiny_model.read_bytes()).hexdigest()


# Row 27: truncated, anywhere.


def test_a_file_cut_off_anywhere_is_truncated_or_no_model(tiny_model: Path) -> None:
    content = tiny_model.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    for size in (0, 1, 7, 8, 9, 7 + length, 8 + length, 9 + length, len(content) - 1):
        assert "file is truncated" in refusal(content[:size]), size


def test_bytes_after_the_last_tensor_are_refused(tiny_model: Path) -> None:
    assert "1 bytes follow the last tensor" in refusal(tiny_model.read_bytes() + b"x")


# Row 28: a header without end.


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, LONGEST_HEADER + 1])
def test_a_header_length_without_sense_is_refused_before_it_is_allocated(length: int) -> None:
    FILE.write_bytes(struct.pack("<Q", length) + b"{}")
    tracemalloc.start()
    message = refusal()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert f"its header claims {length:,} bytes" in message
    assert peak < 2_000_000


def test_a_header_longer_than_its_file_is_truncated() -> None:
    assert "truncated within its header" in refusal(struct.pack("<Q", 1 << 20) + b"{}")


# Rows 29 and 30: not ours, or not yet ours.


def test_a_safetensors_file_of_another_program_is_not_a_vaekit_model() -> None:
    for metadata in ({}, {"format": "pt"}, {"vaekit": 3}, "vaekit", None, []):
        assert "is not a vaekit model" in refusal(assemble({"__metadata__": metadata}, None, b""))
    assert "is not a vaekit model" in refusal(assemble({}, None, b""))


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 10**9])
def test_a_newer_format_asks_for_a_newer_vaekit(tiny_model: Path, version: int) -> None:
    """Even where the newer header has fields that this version does not know."""

    def change(_: Any, values: dict[str, Any]) -> None:
        values.update(format_version=version, something_new=True)

    rewritten(tiny_model, change)
    assert refusal().endswith("upgrade vaekit")


@pytest.mark.parametrize("version", ["1", 1.0, None, True, [1]])
def test_a_format_version_that_is_no_number_is_refused(tiny_model: Path, version: object) -> None:
    rewritten(tiny_model, lambda _, values: values.update(format_version=version))
    assert "bad header: format_version" in refusal()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("model", "latent_dim"), 0),
        (("model", "latent_dim"), "4"),
        (("model", "latent_dim"), 2**70),
        (("model", "image"), [8, 8]),
        (("model", "image"), [8, 8, 0]),
        (("model", "image"), [8, 8, -1]),
        (("model", "image"), [10**9, 8, 1]),
        (("model", "image"), "8x8x1"),
        (("model", "name"), ["mlp"]),
        (("model",), None),
        (("classes",), "0123456789"),
        (("classes",), [1, 2]),
        (("latents", "mean"), [0.0]),
        (("latents", "std"), ["0"] * 4),
        (("latents",), {"mean": []}),
        (("training",), []),
        (("objective",), "elbo"),
        (("digest",), "sha256:0"),
        (("digest",), "crc32:" + "0" * 32 + "\n"),
        (("surprise",), 1),
    ],
)
def test_an_invalid_field_is_named(tiny_model: Path, path: tuple[str, ...], value: object) -> None:
    def change(_: Any, values: dict[str, Any]) -> None:
        *outer, last = path
        for name in outer:
            values = values[name]
        values[last] = value

    rewritten(tiny_model, change)
    assert "bad header: " + ".".join(path) in refusal()


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"3", b"null", b"{", b"\xff\xfe", b'{"a":NaN}', b'{"a":1e999}', b"[" * 100_000,
     b'{"a":' * 50_000, b'{"a":' + b"9" * 5_000 + b"}", b'"' + b"x" * 100 + b'"'],
    ids=lambda text: repr(text[:12]),
)  # fmt: skip
def test_a_header_that_is_not_json_is_refused(text: bytes) -> None:
    assert "header is not" in refusal(struct.pack("<Q", len(text)) + text)


@pytest.mark.parametrize("text", ["", "[]", "null", '{"a": Infinity}', "[" * 50_000])
def test_a_vaekit_header_that_is_not_json_is_refused(text: str) -> None:
    assert "vaekit header is not" in refusal(
        assemble({"__metadata__": {"vaekit": text}}, None, b"")
    )


# Where the tensors lie.


@pytest.mark.parametrize(
    "entry",
    [
        {"data_offsets": [4, 0]},
        {"data_offsets": [0, 2**63]},
        {"data_offsets": [-4, 0]},
        {"data_offsets": [0]},
        {"data_offsets": [0.0, 16.0]},
        {"data_offsets": [False, True]},
        {"shape": [-1]},
        {"shape": [2**61, 2**61]},
        {"shape": [2**62]},
        {"shape": "4"},
        {"shape": [1] * 9},
        {"dtype": "F33"},
        {"dtype": ["F32"]},
        {"extra": 1},
    ],
    ids=repr,
)
def test_a_tensor_that_cannot_be_placed_is_named(tiny_model: Path, entry: dict[str, Any]) -> None:
    rewritten(tiny_model, lambda entries, _: entries["posterior.mean.bias"].update(entry)
              if "posterior.mean.bias" in entries else pytest.fail("no such tensor"))  # fmt: skip
    assert "bad entry for tensor 'posterior.mean.bias'" in refusal()


def test_tensors_must_fill_the_file_without_holes_or_overlaps(tiny_model: Path) -> None:
    def swap(entries: dict[str, Any], _: Any) -> None:
        bias, other = entries["output.bias"], entries["output.weight"]
        bias["data_offsets"] = [other["data_offsets"][0], other["data_offsets"][0] + 256]

    rewritten(tiny_model, swap)
    assert "does not start where the last one ended" in refusal()


# Row 35: a pickle is said to be one, and is never unpickled.


class Bomb:
    """Unpickling this makes a file."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("exploded",)


def torch_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Bomb()))
    return file.getvalue()


PICKLES = [*(pickle.dumps(Bomb(), protocol) for protocol in range(6)), torch_zip(),
           pickle.dumps([Bomb(), b"x" * 10**6], 4)]  # fmt: skip


@pytest.mark.parametrize("content", PICKLES, ids=range(len(PICKLES)))
def test_a_pickle_under_another_name_is_never_unpickled(content: bytes) -> None:
    refusal(content)
    assert not Path("exploded").exists()
    if content[:1] in b"\x80P":
        assert "is a pickle" in refusal()
    pickle.loads(PICKLES[4])
    assert Path("exploded").exists(), "the bomb is a real one"


@pytest.mark.parametrize("length", [640, 896, 1152, 1408, 66176])
def test_a_header_whose_length_looks_like_a_pickle_is_read(tiny_model: Path, length: int) -> None:
    """640 is 0x280: in the file's first two bytes it reads as a pickle of protocol 2."""
    content = b'{"__metadata__":{}}'.ljust(length)
    assert "is not a vaekit model" in refusal(struct.pack("<Q", length) + content)


# What was not thought of.


@settings(max_examples=400, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(data=st.data())
def test_a_mutated_header_is_refused_or_read_and_nothing_else(
    tiny_model: Path, data: st.DataObject
) -> None:
    content = bytearray(tiny_model.read_bytes())
    (length,) = struct.unpack("<Q", content[:8])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, 7 + length))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    FILE.write_bytes(content)
    with contextlib.suppress(ModelFileError):
        assert isinstance(read_model_file(FILE), ModelFile)


def test_what_cannot_be_opened_is_named() -> None:
    assert refusal().endswith("no such file or directory")
    FILE.mkdir()
    assert "is a folder without a model.safetensors" in refusal()


def test_a_runs_folder_stands_for_its_model_in_it_or_beside_it(tiny_run: Path) -> None:
    inside = tiny_run / "model.safetensors"
    assert read_model_file(tiny_run).path == inside
    Path("mine").mkdir()
    Path("mine.safetensors").write_bytes(inside.read_bytes())
    assert read_model_file("mine").path == Path("mine.safetensors")
    assert read_model_file("mine").header == read_model_file(inside).header


def test_the_folder_that_one_is_in_stands_for_its_model_too(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mine").mkdir()
    Path("mine.safetensors").write_bytes((tiny_run / "model.safetensors").read_bytes())
    monkeypatch.chdir("mine")
    assert read_model_file(".").header == read_model_file(tiny_run).header
    Path("empty").mkdir()
    for other in ("/", "empty", ".."):
        with pytest.raises(ModelFileError, match="is a folder without a model"):
            read_model_file(other)


@pytest.mark.parametrize(
    ("content", "is_model"),
    [(b"", False), (b"{}", False), (b"\x93NUMPY\x01\x00v", False), (b'{"path": "a"}', False),
     (b"\x02\0\0\0\0\0\0\0{}", True), (b"\x89PNG\r\n\x1a\n{", False)],
)  # fmt: skip
def test_a_model_file_is_recognised_by_its_first_bytes(content: bytes, is_model: bool) -> None:
    FILE.write_bytes(content)
    assert is_tensor_file(FILE) is is_model
    assert not is_tensor_file(FILE.with_name("missing"))
    assert not is_tensor_file(Path())
