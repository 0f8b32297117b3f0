"""The model file as a whole: what was trained is what is loaded, to the bit, or nothing is."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file

import vaekit as package
from vaekit.errors import ModelFileError
from vaekit.likelihoods import build_likelihood
from vaekit.model_file.header import TRAINED_ON, ModelHeader, read_model_file, sha256
from vaekit.model_file.weights import (
    LikelihoodSpec,
    likelihood_of,
    load_weights,
    save,
    specification,
    write_tensors,
)
from vaekit.models.vae import VAE, build
from vaekit.registry import LIKELIHOODS, MODELS, resolve

CPU = torch.device("cpu")
FILE = Path("other.safetensors")


def refusal(path: Path = FILE) -> str:
    with pytest.raises(ModelFileError) as caught:
        load_weights(path, CPU)
    assert str(path) in str(caught.value)
    return str(caught.value)


def header_like(path: Path, **changes: Any) -> ModelHeader:
    return ModelHeader.model_validate(
        {**read_model_file(path).header.model_dump(mode="json"), **changes}
    )


def rewritten(
    path: Path,
    state: Callable[[dict[str, Any]], Any] = lambda state: None,
    values: Callable[[dict[str, Any]], Any] = lambda values: None,
) -> Path:
    """A copy whose tensors or header were changed by someone who removed the digest."""
    tensors, header = load_file(path), read_model_file(path).header.model_dump(mode="json")
    state(tensors)
    values(header)
    write_tensors(FILE, lambda _: {"vaekit": {**header, "digest": None}}, tensors)
    return FILE


def test_what_is_saved_is_what_is_loaded(tiny_model: Path) -> None:
    file, network = load_weights(tiny_model, CPU)
    again = header_like(tiny_model)
    save(FILE, again, network.state_dict(), load_file(tiny_model)[TRAINED_ON])
    assert FILE.read_bytes() == tiny_model.read_bytes()
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert file.header == again


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("name", MODELS)
def test_every_model_with_every_likelihood_comes_back_the_same(
    tiny_model: Path, name: str, likelihood: str
) -> None:
    made = build_likelihood(likelihood)
    image = (12, 8, 3)
    kind: type[VAE] = resolve("model", name)
    latent_dim = kind.latent_dim_for(image, kind.defaults(image), None, usual=4)
    network = build(name, image=image, latent_dim=latent_dim, likelihood=made, seed=1).eval()
    network = network.to(memory_format=torch.channels_last)  # as training holds it
    spec = LikelihoodSpec.model_validate({"name": likelihood, **made.settings})
    header = header_like(
        tiny_model,
        model=specification(network, name).model_dump(),
        likelihood=spec.model_dump(),
        latents={statistic: [0.0] * latent_dim for statistic in ("mean", "std", "kl")},
    )
    save(FILE, header, network.state_dict())
    loaded = load_weights(FILE, CPU)[1]
    z = torch.linspace(-1, 1, 2 * latent_dim).reshape(2, latent_dim)
    assert torch.equal(loaded.mean(z), network.mean(z))
    assert likelihood_of(spec).settings == made.settings
    assert all(torch.equal(v, network.state_dict()[k]) for k, v in loaded.state_dict().items())


def test_other_programs_can_open_the_file(tiny_model: Path) -> None:
    tensors = load_file(tiny_model)
    del tensors[TRAINED_ON]
    network = load_weights(tiny_model, CPU)[1]
    assert {n: v.shape for n, v in tensors.items()} == {
        n: v.shape for n, v in network.state_dict().items()
    }
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in tensors.items())
    with safe_open(tiny_model, "pt") as opened:
        assert opened.metadata().keys() == {"format", "vaekit"}


# Row 38: the same bytes.


def test_five_processes_write_the_same_bytes(tiny_model: Path) -> None:
    """safetensors alone would order its metadata anew in each of them."""
    code = (
        "import sys, hashlib, torch\nfrom vaekit.model_file import weights\n"
        f"file, network = weights.load_weights({str(tiny_model)!r}, torch.device('cpu'))\n"
        "values = {'vaekit': file.header.model_dump(mode='json'), 'b': 1, 'a': 2, 'c': 3}\n"
        "from pathlib import Path\n"
        "weights.write_tensors(Path('five'), lambda _: values, network.state_dict())\n"
        "print(hashlib.sha256(Path('five').read_bytes()).hexdigest())\n"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
        ).stdout
        for seed in range(5)
    }
    assert len(digests) == 1


def test_the_order_in_which_tensors_were_made_does_not_matter(tiny_model: Path) -> None:
    tensors = load_file(tiny_model)
    backwards = dict(reversed(tensors.items()))
    write_tensors(FILE, lambda _: {"a": 1, "b": 2}, tensors)
    write_tensors(Path("other"), lambda _: {"b": 2, "a": 1}, backwards)
    assert FILE.read_bytes() == Path("other").read_bytes()


def test_views_and_shared_tensors_are_written_as_what_they_show() -> None:
    base = torch.arange(12.0).reshape(3, 4)
    write_tensors(FILE, lambda _: {}, {"turned": base.T, "row": base[1], "all": base})
    tensors = load_file(FILE)
    assert torch.equal(tensors["turned"], base.T)
    assert torch.equal(tensors["row"], base[1])


def test_a_number_that_is_not_finite_never_gets_into_a_header() -> None:
    """JSON has no NaN: the file could be written, and never be read again."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_tensors(FILE, lambda _: {"vaekit": {"loss": float("nan")}}, {})


# Rows 31 to 34: a header that lies.


@pytest.mark.parametrize("kind", ["model", "likelihood"])
@pytest.mark.parametrize("name", ["os.system", "vaekit.models.mlp:MLP", "", "../mlp", "__class__"])
def test_a_name_that_is_no_model_imports_nothing(tiny_model: Path, kind: str, name: str) -> None:
    rewritten(tiny_model, values=lambda values: values[kind].update(name=name))
    before = set(sys.modules)
    assert f"unknown {kind} {name!r}" in refusal()
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    "change",
    [
        {"latent_dim": 10**9},
        {"hidden": [10**9]},
        {"hidden": [10**12, 10**12]},
        {"hidden": [10**30]},
        {"image": [65536, 65536, 65536]},
    ],
    ids=repr,
)
def test_a_network_that_fills_the_memory_is_never_made(
    tiny_model: Path, change: dict[str, Any]
) -> None:
    rewritten(tiny_model, values=lambda values: values["model"].update(change))
    tracemalloc.start()
    refusal()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("mlp", {"hidden": [1] * 200_000, "activation": "relu"}),
        ("conv", {"channels": [1] * 200_000}),
        ("resnet", {"channels": [8, 8], "depth": 10**9}),
    ],
    ids=["mlp", "conv", "resnet"],
)
def test_a_network_of_endless_layers_is_never_made(
    tiny_model: Path, name: str, settings: dict[str, Any]
) -> None:
    model = {"name": name, "latent_dim": 4, "image": [8, 8, 1], **settings}
    rewritten(tiny_model, values=lambda values: values.update(model=model))
    assert refusal().endswith("more layers than there are tensors")


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"hidden": "400"}, "hidden"),
        ({"hidden": [0]}, "hidden"),
        ({"hidden": [True]}, "hidden"),
        ({"activation": "system"}, "activation"),
        ({"channels": [1]}, "channels"),
        ({"seed": 1}, "seed"),
        ({"self": 1}, "self"),
        ({"__init__": 1}, "__init__"),
    ],
    ids=repr,
)
def test_an_invalid_setting_is_named(tiny_model: Path, settings: dict[str, Any], word: str) -> None:
    rewritten(tiny_model, values=lambda values: values["model"].update(settings))
    assert word in refusal()


@pytest.mark.parametrize("extra", [{"sigma": 1.0}, {"self": 1}, {"reduction": "none"}], ids=repr)
def test_a_setting_of_the_likelihood_that_it_does_not_take_is_refused(
    tiny_model: Path, extra: dict[str, Any]
) -> None:
    rewritten(tiny_model, values=lambda values: values["likelihood"].update(extra))
    assert "the header describes no network" in refusal()


def test_a_missing_an_extra_and_a_misshaped_tensor_are_named(tiny_model: Path) -> None:
    rewritten(tiny_model, lambda state: state.pop("output.bias"))
    assert refusal().endswith("tensor output.bias is missing")
    rewritten(tiny_model, lambda state: state.update(intruder=torch.zeros(2)))
    assert refusal().endswith("tensor intruder is not part of the model")
    rewritten(tiny_model, lambda state: state.update({"output.bias": torch.zeros(65)}))
    assert refusal().endswith("tensor output.bias has shape [65], the model needs [64]")


@pytest.mark.parametrize("kind", [torch.int32, torch.bool, torch.int64])
def test_weights_of_another_type_are_refused_and_named(tiny_model: Path, kind: torch.dtype) -> None:
    rewritten(tiny_model, lambda s: s.update({"output.bias": s["output.bias"].to(kind)}))
    name = str(kind).removeprefix("torch.")
    assert refusal().endswith(f"tensor output.bias is {name}, the model needs float32")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused_unless_asked_for(
    tiny_model: Path, value: float
) -> None:
    rewritten(tiny_model, lambda state: state["output.bias"].index_fill_(0, torch.tensor(3), value))
    assert "tensor output.bias holds NaN or infinity" in refusal()
    assert "--allow-nonfinite" in refusal()
    network = load_weights(FILE, CPU, allow_nonfinite=True)[1]
    assert not torch.isfinite(network.output.bias[3])
    assert package.load(FILE, "cpu", allow_nonfinite=True).latent_dim == 4


def test_tensors_of_another_precision_are_taken_as_the_networks_own(tiny_model: Path) -> None:
    rewritten(tiny_model, lambda state: state.update({k: v.double() for k, v in state.items()}))
    network = load_weights(FILE, CPU)[1]
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


# Row 71: a bit that flipped on a disk or on the way.


def flipped(path: Path, bit: int) -> Path:
    """A copy with one bit of its tensors changed."""
    file, content = read_model_file(path), bytearray(path.read_bytes())
    begin = file.size - max(place.stop for place in file.tensors.values())
    content[begin + bit // 8] ^= 1 << bit % 8
    FILE.write_bytes(content)
    return FILE


@settings(max_examples=40, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(data=st.data())
def test_any_flipped_bit_of_a_tensor_is_found(tiny_model: Path, data: st.DataObject) -> None:
    tensors = read_model_file(tiny_model).tensors.values()
    bits = 8 * max(place.stop for place in tensors)
    flipped(tiny_model, data.draw(st.integers(0, bits - 1)))
    assert "is damaged" in refusal()
    load_weights(tiny_model, CPU)


@pytest.mark.parametrize("bit", [0, -1])
def test_the_first_and_the_last_bit_are_part_of_the_digest(tiny_model: Path, bit: int) -> None:
    tensors = read_model_file(tiny_model).tensors.values()
    flipped(tiny_model, bit % (8 * max(place.stop for place in tensors)))
    assert "is damaged" in refusal()


def test_tensors_that_changed_places_are_found(tiny_model: Path) -> None:
    """Equal shapes and types: only the digest tells them apart."""
    header = read_model_file(tiny_model).header.model_dump(mode="json")
    tensors = load_file(tiny_model)
    one, other = "posterior.mean.bias", "posterior.logvar.bias"
    tensors[one], tensors[other] = tensors[other], tensors[one]
    write_tensors(FILE, lambda _: {"vaekit": header}, tensors)
    assert "is damaged" in refusal()


def test_a_model_that_is_changed_and_saved_gets_its_own_digest(tiny_model: Path) -> None:
    file, network = load_weights(tiny_model, CPU)
    state = {name: tensor + 1 for name, tensor in network.state_dict().items()}
    save(FILE, file.header, state)
    assert read_model_file(FILE).header.digest != file.header.digest
    load_weights(FILE, CPU)


def test_a_file_without_a_digest_still_loads(tiny_model: Path) -> None:
    rewritten(tiny_model)
    assert load_weights(FILE, CPU)[0].header.digest is None


def test_the_digest_is_that_of_the_documentation(tiny_model: Path) -> None:
    lines = []
    for name, tensor in sorted(load_file(tiny_model).items()):
        crc = zlib.crc32(tensor.numpy().tobytes())
        kind = "U8" if name == TRAINED_ON else "F32"
        lines.append(f'"{name}" {kind} {list(tensor.shape)} {crc:08x}\n')
    digest = hashlib.blake2b("".join(lines).encode(), digest_size=16).hexdigest()
    assert read_model_file(tiny_model).header.digest == f"crc32:{digest}"


# Rows 36, 37 and 42: the file on the disk.


def test_saving_over_the_file_that_is_open_leaves_the_reader_with_the_old_one(
    tiny_model: Path,
) -> None:
    shutil.copy(tiny_model, FILE)
    old = load_file(FILE)  # maps the file into memory
    kept = {name: tensor.clone() for name, tensor in old.items()}
    with FILE.open("rb") as reader:
        save(FILE, header_like(FILE), {n: torch.zeros_like(t) for n, t in old.items()})
        assert reader.read() == tiny_model.read_bytes()
    assert all(torch.equal(old[name], kept[name]) for name in kept)
    assert not load_file(FILE)["output.weight"].any()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_model_file_can_be_read_by_whom_the_umask_allows(
    tiny_model: Path, umask: int, mode: int
) -> None:
    network = load_weights(tiny_model, CPU)[1]
    before = os.umask(umask)
    try:
        save(FILE, header_like(tiny_model), network.state_dict())
    finally:
        os.umask(before)
    assert stat.S_IMODE(FILE.stat().st_mode) == mode


def test_a_disk_that_fills_up_leaves_the_old_file_and_nothing_else(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(tiny_model, FILE)
    network = load_weights(tiny_model, CPU)[1]

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vaekit.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(FILE, header_like(tiny_model), network.state_dict())
    assert sha256(FILE) == sha256(tiny_model)
    assert [path.name for path in Path().iterdir() if path.is_file()] == [FILE.name]


def test_a_file_whose_tensors_vanish_after_the_header_was_read_is_named(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(tiny_model, FILE)

    def gone(path: Path, _: str) -> Any:
        raise FileNotFoundError(2, "No such file", str(path))

    monkeypatch.setattr("vaekit.model_file.weights.safetensors.safe_open", gone)
    assert "No such file" in refusal()


# No pickle, and no check that `python -O` takes away.


@pytest.mark.parametrize("module", ["model_file", "configuration/yaml_files.py", "data"])
def test_no_assert_stands_between_input_and_harm(module: str) -> None:
    """Under `python -O` an assert is gone, and so would be what it checked.

    Telling the type checker what a name is by then is another thing.
    """
    root = Path(package.__file__).parent / module
    found = [
        f"{path.name}:{node.lineno}"
        for path in ([root] if root.is_file() else sorted(root.rglob("*.py")))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert)
        and not re.fullmatch(r"isinstance\(\w+, \w+\)|\w+ is not None", ast.unparse(node.test))
    ]
    assert found == []


def test_nothing_in_the_package_unpickles() -> None:
    """Neither by name nor through torch.load, numpy's allow_pickle or their kin.

    But for CIFAR's Python edition, each file of which is opened after its MD5 was found right,
    and the published Inception weights, likewise after their SHA-256, and as tensors only.
    """
    banned = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"}
    for path in Path(package.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name.split(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [(node.module or "").split(".")[0]]
            assert not banned & set(names) or path.name == "cifar.py", path
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                called = (node.value.id, node.attr)
                assert called not in {("torch", "load"), ("torch", "save")} or (
                    path.name == "image_features.py"
                ), path
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert "weights_only=True" in ast.unparse(node)
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant), path
                assert node.value.value is False, path


def test_the_length_in_front_counts_the_padding(tiny_model: Path) -> None:
    content = tiny_model.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    entries = json.loads(content[8 : 8 + length])
    ends = [e["data_offsets"][1] for name, e in entries.items() if name != "__metadata__"]
    assert 8 + length + max(ends) == len(content)
