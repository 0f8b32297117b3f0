"""Rows 65, 66 and 84: training deletes and replaces nothing that a run of vaekit did not write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import refused

FORCE = pytest.mark.parametrize("force", [[], ["--force"]], ids=["plain", "force"])

NAMES_OF_A_RUN = (
    "metrics.jsonl",
    "config.yaml",
    "model.safetensors",
    "loss.png",
    "samples/epoch-best.png",
    "samples/epoch-001.png",
    "checkpoint/step-00000100.safetensors",
    ".movie.mkv.part",
)

DIVERGES = ["--lr", "1e30", "--likelihood", "mse"]


def put(*names: str) -> None:
    for name in names:
        path = Path("run") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"mine: {name}")


def all_mine(*names: str) -> bool:
    return all((Path("run") / name).read_text() == f"mine: {name}" for name in names)


def files_in_run() -> set[str]:
    found = {p.relative_to("run").as_posix() for p in Path("run").rglob("*") if p.is_file()}
    return found - {".lock", ".vaekit-run.json"}


@FORCE
def test_a_folder_full_of_the_users_files_is_refused_and_stays_as_it_was(
    train: Any, force: list[str]
) -> None:
    put(*NAMES_OF_A_RUN)
    done = train("--limit", "40", *force)
    assert (done.code, done.stdout) == (2, "")
    assert "--output run: the folder is not empty" in done.stderr.splitlines()[-1]
    assert all_mine(*NAMES_OF_A_RUN)
    assert files_in_run() == set(NAMES_OF_A_RUN)


@FORCE
@pytest.mark.parametrize("name", NAMES_OF_A_RUN)
def test_a_single_file_of_the_users_is_refused_and_stays(
    train: Any, name: str, force: list[str]
) -> None:
    put(name)
    for more in ([], DIVERGES):
        assert train("--limit", "40", *force, *more).code == 2
        assert all_mine(name)
        assert files_in_run() == {name}


def test_force_removes_the_files_of_the_run_before_and_no_other(train: Any) -> None:
    """Also where their names look like those of a run, and where the new run diverges at once."""
    assert train("--limit", "40").code == 0
    mine = ("notes.txt", ".movie.mkv.part", "samples/epoch-best.png", "checkpoint/step-best.pt",
            ".model.safetensors.download.part", "checkpoint/step-best.safetensors")  # fmt: skip
    put(*mine)
    assert train("--limit", "40", "--force").code == 0
    assert all_mine(*mine)
    assert train("--limit", "40", "--force", *DIVERGES).code == 4
    assert all_mine(*mine)
    assert not Path("run/model.safetensors").exists()


@pytest.mark.parametrize("name", ["samples/epoch-002.png", "checkpoint/step-00000100.safetensors"])
def test_force_refuses_where_a_new_run_could_meet_a_file_of_the_users(
    train: Any, name: str
) -> None:
    assert train("--limit", "40").code == 0
    before = files_in_run()
    put(name)
    done = train("--limit", "40", "--force")
    assert done.code == 2
    assert f"did not write run/{name}" in done.stderr.splitlines()[-1]
    assert all_mine(name)
    assert files_in_run() == {*before, name}


def test_resuming_leaves_files_of_the_users_alone(cli: Any, train: Any) -> None:
    assert train("--limit", "40", "--schedule", "constant").code == 0
    mine = (".movie.mkv.part", "checkpoint/step-99999999.safetensors", "samples/epoch-best.png")
    put(*mine)
    assert cli("train", "--resume", "run", "--epochs", "2").code == 0
    assert all_mine(*mine)


@pytest.mark.parametrize("name", ["name.safetensors", "name/notes.txt"])
def test_output_file_that_exists_is_refused_and_stays(cli: Any, name: str) -> None:
    """Row 66: a model, or a file of any other kind, and a folder beside it."""
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("mine")
    done = cli(
        "train", "--dataset", "digits", "--limit", "40", "--epochs", "1", "-o", "name.safetensors"
    )
    refused(done, 2, "--output name", "choose another name")
    assert Path(name).read_text() == "mine"
    assert not Path("name/config.yaml").exists()


def test_output_file_that_exists_is_replaced_with_force(cli: Any) -> None:
    Path("name.safetensors").write_text("old")
    options = ["--dataset", "digits", "--limit", "40", "--epochs", "1", "--hidden", "4", "-o",
               "name.safetensors"]  # fmt: skip
    assert cli("train", *options, "--force").code == 0
    assert cli("info", "name.safetensors").code == 0
    assert cli("train", *options).code == 2
    assert cli("train", *options, "--force").code == 0


def test_model_in_the_folder_of_a_run_whose_model_is_beside_it_is_refused(cli: Any) -> None:
    options = ["--dataset", "digits", "--limit", "40", "--epochs", "1", "--hidden", "4", "--force",
               "-o"]  # fmt: skip
    assert cli("train", *options, "run.safetensors").code == 0
    put("model.safetensors")
    assert cli("train", *options, "run.safetensors").code == 0
    done = cli("train", *options, "run")
    assert done.code == 2
    assert "did not write run/model.safetensors" in done.stderr.splitlines()[-1]
    assert all_mine("model.safetensors")


@pytest.mark.parametrize("name", ["samples", "reconstructions", "checkpoint", "tensorboard"])
@pytest.mark.parametrize("how", ["resume", "force"])
def test_file_where_a_run_needs_a_folder_is_found_before_training(
    cli: Any, train: Any, name: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 84."""
    assert train("--limit", "40", "--schedule", "constant").code == 0
    subfolder = Path("run") / name
    if subfolder.exists():
        subfolder.rename(f"old-{name}")
    put(name)
    monkeypatch.setattr("vaekit.training.loop.Trainer.step", lambda *_: pytest.fail("it trains"))
    resume = how == "resume"
    done = cli("train", "--resume", "run", "--epochs", "2") if resume else train("--force")
    assert (done.code, done.stdout) == (2, ""), done.stderr
    assert f"run/{name} is a file, where the run needs a folder" in done.stderr.splitlines()[-1]
    assert all_mine(name)


@pytest.mark.parametrize("name", ["loss.png", "metrics.jsonl", "interpolation.png"])
def test_folder_where_a_run_writes_a_file_is_found_before_training(train: Any, name: str) -> None:
    (Path("run") / name).mkdir(parents=True)
    refused(train("--limit", "40"), 2, f"run/{name} is a folder, where the run writes a file")
