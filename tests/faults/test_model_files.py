"""Rows 32 and 36 to 38, as they are typed; tests/cli/test_faults_using.py has 27 to 36."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import TINY
from vaekit.model_file.header import read_model_file, sha256
from vaekit.model_file.weights import write_tensors


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of `tiny_run`, in a process of its own, by a user who shares nothing."""
    folder = tmp_path_factory.mktemp("again")
    code = f"import os, vaekit; os.umask(0o077); vaekit.train(**{TINY!r}, output='run', threads=1)"
    environ = {**os.environ, "PYTHONHASHSEED": "7", "XDG_CACHE_HOME": str(folder / "cache")}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder, env=environ, timeout=120)
    return folder / "run"


def test_same_training_in_two_processes_gives_the_same_sha256(
    again: Path, tiny_model: Path
) -> None:
    assert sha256(again / "model.safetensors") == sha256(tiny_model)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_umask_077_keeps_every_file_of_a_run_to_its_owner(again: Path) -> None:
    modes = {str(p.relative_to(again)): stat.S_IMODE(p.stat().st_mode) for p in again.rglob("*")}
    assert {"model.safetensors", "config.yaml", "metrics.jsonl", "loss.png"} <= modes.keys()
    assert any(name.startswith("checkpoint/step-") for name in modes)
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o077} == {}


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_umask_022_lets_everyone_read_a_run(cli: Any) -> None:
    """A temporary file is its owner's alone, and so would be what it becomes."""
    before = os.umask(0o022)
    try:
        done = cli("train", "--dataset", "digits",
               "--limit", "40", "--epochs", "1", "--hidden", "4", "--latent-dim", "2",
                   "--threads", "1", "-o", "run")  # fmt: skip
    finally:
        os.umask(before)
    assert done.code == 0
    files = [path for path in Path("run").rglob("*") if path.is_file()]
    assert len(files) > 6
    assert {str(p): oct(p.stat().st_mode) for p in files if not p.stat().st_mode & 0o004} == {}


def test_training_over_the_model_that_is_being_read_leaves_the_reader_whole(
    cli: Any, tiny_model: Path
) -> None:
    """First a file of another run, then that of the run itself."""
    Path("m.safetensors").write_bytes(tiny_model.read_bytes())
    old = load_file("m.safetensors")  # maps the file into memory
    kept = {name: tensor.clone() for name, tensor in old.items()}
    small = ["--dataset", "digits", "--limit", "40", "--epochs", "1", "--hidden", "4",
             "--latent-dim", "2"]  # fmt: skip
    with Path("m.safetensors").open("rb") as reader:
        for _ in range(2):
            done = cli("train", *small, "--threads", "1", "-o", "m.safetensors", "--force")
            assert done.code == 0, done.stderr
            assert sha256("m.safetensors") != sha256(tiny_model)
        assert reader.read() == tiny_model.read_bytes()
    assert all((old[name] == kept[name]).all() for name in kept)


def test_latent_dim_with_statistics_to_match_is_refused_against_the_tensors(
    cli: Any, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header that contradicts itself is easily refused; this one holds together."""
    count = 50_000
    values = read_model_file(tiny_model).header.model_dump(mode="json")
    values["model"]["latent_dim"] = count
    values["latents"] = {name: [1.0] * count for name in ("mean", "std", "kl")}
    write_tensors(Path("m.safetensors"), lambda _: {"vaekit": values}, load_file(tiny_model))
    made: list[int] = []
    fill = torch.nn.Linear.reset_parameters

    def noted(self: torch.nn.Linear) -> None:
        made.append(0 if self.weight.is_meta else self.weight.numel())
        fill(self)

    monkeypatch.setattr(torch.nn.Linear, "reset_parameters", noted)
    done = cli("sample", "m.safetensors", "-n", "2")
    assert (done.code, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert done.stderr == (
        "vaekit: m.safetensors: tensor decoder.0.weight has shape [32, 4], "
        f"the model needs [32, {count}]\n"
    )
    assert max(made, default=0) < count, "nothing of that size was allocated"
