"""A run's folder: no run or file of the user is lost, and an unusable folder is refused early."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import vaekit as package
from vaekit.errors import UsageError, VaekitError
from vaekit.training.run_files import run_folder as folders
from vaekit.training.run_files.manifest import Manifest
from vaekit.training.watcher import RunFacts, SilentWatcher

SMALL = {
    "dataset": "digits",
    "limit": 40,
    "epochs": 1,
    "hidden": [4],
    "latent_dim": 2,
    "threads": 1,
}


def refuse(output: str, *, force: bool = False) -> str:
    with pytest.raises(UsageError) as caught:
        folders.check_output(output, force=force)
    assert "output" in str(caught.value)
    return str(caught.value)


def test_a_folder_holds_the_model_and_a_model_has_its_folder_beside_it() -> None:
    inside = folders.choose_folder("deep/run", "x")
    assert (inside.path, inside.model) == (Path("deep/run"), Path("deep/run/model.safetensors"))
    beside = folders.choose_folder("deep/name.v2.safetensors", "x")
    assert beside.path == Path("deep/name.v2")
    assert beside.model == Path("deep/name.v2.safetensors")
    assert folders.choose_folder("dir.with.dots/", "x").path == Path("dir.with.dots")


def test_a_run_without_a_name_takes_the_next_that_is_free() -> None:
    taken = [folders.choose_folder(None, "digits-mlp").path.as_posix() for _ in range(3)]
    assert taken == ["runs/digits-mlp", "runs/digits-mlp-2", "runs/digits-mlp-3"]
    Path("runs/digits-mlp-2").rmdir()
    assert folders.choose_folder(None, "digits-mlp").path == Path("runs/digits-mlp-2")


def test_runs_that_begin_at_once_take_different_folders() -> None:
    taken: list[Path] = []
    threads = [
        threading.Thread(target=lambda: taken.append(folders.choose_folder(None, "x").path))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == 16


@pytest.mark.parametrize("ending", [".pth", ".pt", ".ckpt", ".pkl", ".bin", ".PTH"])
def test_a_pickles_name_is_refused_with_a_better_one(ending: str) -> None:
    assert refuse(f"deep/vae{ending}").endswith("try deep/vae.safetensors")


@pytest.mark.parametrize("output", ["", "-"])
def test_an_empty_name_and_a_dash_are_refused(output: str) -> None:
    """Otherwise an empty variable in a script would fill the current folder."""
    assert "name a folder" in refuse(output)
    assert list(Path().iterdir()) == []


def test_a_folder_with_a_run_is_never_replaced_but_by_force() -> None:
    folders.check_output("run", force=False)
    run = folders.folder_at(Path("run"))
    run.manifest.write([run.config])
    folders.check_output("run", force=False)
    run.config.touch()
    assert "holds a run already" in refuse("run")
    folders.check_output("run", force=True)
    assert "holds a run already" in refuse("run.safetensors")


def test_a_file_or_folder_in_the_way_is_named_before_training() -> None:
    Path("file").touch()
    Path("model.safetensors").mkdir()
    assert "is a file, not a folder" in refuse("file")
    assert "is a file, not a folder" in refuse("file.safetensors")
    assert "is a folder, where the run writes a file" in refuse("model.safetensors")
    with pytest.raises(VaekitError, match="cannot write there: not a directory"):
        folders.check_output("file/run", force=False)


@pytest.mark.parametrize("output", ["locked/run", "locked/model.safetensors", None])
def test_a_folder_that_cannot_be_written_is_refused_before_training(
    output: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 43. Permissions do not bind root, so the refusal is played."""

    def refuse_it(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    def began(*_: Any) -> None:
        pytest.fail("training began")

    monkeypatch.setattr("vaekit.training.loop.Trainer.step", began)
    monkeypatch.setattr("vaekit.training.run_files.run_folder.Path.mkdir", refuse_it)
    monkeypatch.setattr("vaekit.training.run_files.run_folder.tempfile.TemporaryFile", refuse_it)
    with pytest.raises(VaekitError, match="cannot write there: permission denied") as caught:
        package.train(**SMALL, output=output)
    assert caught.value.exit_code == 1
    assert "output" in str(caught.value)


def test_a_folder_that_another_process_trains_in_is_refused() -> None:
    """Row 52: by force as well."""
    hold = (
        "import sys\nfrom pathlib import Path\nfrom vaekit.files import locked\n"
        "with locked(Path('run/.lock')):\n print('held', flush=True)\n sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(VaekitError, match="another run is writing there"):
            package.train(**SMALL, output="run", force=True)
        process.communicate()
    assert package.train(**SMALL, output="run", force=True).path == Path("run/model.safetensors")


def test_force_leaves_nothing_of_the_run_before() -> None:
    package.train(**{**SMALL, "epochs": 2}, output="run")
    package.train(**SMALL, output="run", force=True)
    assert len(Path("run/metrics.jsonl").read_text().splitlines()) == 1
    assert [path.name for path in Path("run/samples").iterdir()] == ["epoch-001.png"]


class LeftAtOnce(SilentWatcher):
    """A run that is killed before its first step."""

    def started(self, facts: RunFacts) -> None:
        raise KeyboardInterrupt


def left_at_once(output: str, *, force: bool = True) -> None:
    with pytest.raises(KeyboardInterrupt):
        package.train(**SMALL, output=output, force=force, watcher=LeftAtOnce())


@pytest.mark.parametrize("output", ["run", "run.safetensors"])
def test_force_leaves_no_model_of_the_run_before_beside_a_run_that_ends_early(output: str) -> None:
    """It would be unclear which run the model is from; `--resume` would take it for its own."""
    model = package.train(**SMALL, output=output).path
    Path("run/notes.txt").write_text("mine")
    Path("run/samples/mine.png").write_text("mine")
    Path("run/mine.safetensors").write_text("mine")
    left_at_once(output)
    assert not model.exists()
    left = {path.name for path in Path("run").rglob("*") if path.is_file()}
    assert left - {".lock", ".vaekit-run.json"} == {
        *("config.yaml", "metrics.jsonl"),
        *("notes.txt", "mine.png", "mine.safetensors"),
    }


def test_force_keeps_a_model_of_another_origin_until_the_new_one_replaces_it() -> None:
    Path("run.safetensors").write_text("mine")
    left_at_once("run.safetensors", force=True)
    assert Path("run.safetensors").read_text() == "mine"


# The manifest.


def manifest_of(name: str) -> Manifest:
    return folders.folder_at(Path(name)).manifest


@pytest.mark.parametrize("tensorboard", [False, True])
def test_the_manifest_lists_every_file_of_a_run_and_no_other(tensorboard: bool) -> None:
    if tensorboard:
        pytest.importorskip("tensorboard", reason="the extra `tensorboard` is not installed")
    package.train(**{**SMALL, "tensorboard": tensorboard}, output="deep/run.safetensors")
    Path("deep/run/notes.txt").touch()
    written = {p for p in Path("deep").rglob("*") if p.is_file()}
    others = {Path("deep/run") / name for name in (".lock", ".vaekit-run.json", "notes.txt")}
    assert manifest_of("deep/run").read() == written - others
    entries = json.loads(Path("deep/run/.vaekit-run.json").read_text())
    assert entries[0] == "../run.safetensors"
    assert {"config.yaml", "samples/epoch-001.png"} < set(entries)


@pytest.mark.parametrize(
    "content",
    [b"", b"[", b"{}", b"[1]", b'["config.yaml", null]', b"[" * 100_000, b"\xff\xfe"],
    ids=["empty", "cut", "object", "number", "null", "deep", "bytes"],
)
def test_a_damaged_manifest_owns_nothing(content: bytes) -> None:
    Path("run").mkdir()
    Path("run/.vaekit-run.json").write_bytes(content)
    Path("run/config.yaml").touch()
    assert manifest_of("run").read() is None
    assert "config.yaml" in refuse("run", force=True)


def test_a_manifest_that_leads_out_of_its_folder_removes_nothing_there() -> None:
    for name in ("mine.txt", "run.txt", "other.safetensors"):
        Path(name).write_text("mine")
    Path("run").mkdir()
    entries = ["../mine.txt", "../other.safetensors", str(Path("run.txt").resolve()), "a/../../x"]
    Path("run/.vaekit-run.json").write_text(json.dumps(entries))
    assert manifest_of("run").read() == set()
    package.train(**SMALL, output="run", force=True)
    assert {Path(n).read_text() for n in ("mine.txt", "run.txt", "other.safetensors")} == {"mine"}


@pytest.mark.parametrize("entry", ["\0", "\ud800", "x" * 300, "a/" * 3000 + "b", "config.yaml/x"])
def test_a_manifest_with_a_name_that_no_file_has_is_read_without_it(entry: str) -> None:
    """Such a name, from a damaged disk, ended `--force` with an internal error."""
    Path("run").mkdir()
    Path("run/config.yaml").write_text("epochs: 1")
    Path("run/.vaekit-run.json").write_text(json.dumps([entry, "config.yaml"]))
    assert manifest_of("run").read() == {Path("run/config.yaml")}
    package.train(**SMALL, output="run", force=True)
    assert Path("run/model.safetensors").exists()


def test_a_file_that_appears_while_a_run_trains_is_not_replaced() -> None:
    class Dropper(SilentWatcher):
        def started(self, facts: RunFacts) -> None:
            Path("run/samples").mkdir()
            Path("run/samples/epoch-001.png").write_text("mine")

    with pytest.raises(VaekitError, match=r"run/samples/epoch-001\.png: this run did not write"):
        package.train(**SMALL, output="run", watcher=Dropper())
    assert Path("run/samples/epoch-001.png").read_text() == "mine"
    Path("run/samples/epoch-001.png").rename("mine.png")
    assert package.train(resume="run").path.exists()


def test_removed_checkpoints_leave_the_manifest() -> None:
    package.train(**{**SMALL, "epochs": 6}, checkpoint_every=1, output="run")
    listed = {p for p in manifest_of("run").read() or () if p.parent.name == "checkpoint"}
    assert set(Path("run/checkpoint").iterdir()) <= listed
    assert len(listed) <= 3


def test_metrics_are_one_json_object_a_line() -> None:
    folder = folders.choose_folder("run", "x")
    folder.path.mkdir()
    folder.add_metrics({"epoch": 1, "lr": 1e-3})
    folder.add_metrics({"epoch": 2, "lr": 0.5})
    lines = folder.metrics.read_text().splitlines()
    assert [json.loads(line) for line in lines] == folder.records()
    with folder.metrics.open("a") as file:
        file.write('{"epoch": 3, "l')  # a power cut
    assert [record["epoch"] for record in folder.records()] == [1, 2]
    folder.cut_metrics(1)
    assert folder.metrics.read_text() == '{"epoch": 1, "lr": 0.001}\n'
