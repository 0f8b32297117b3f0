"""Doors to what vaekit keeps for its own later use: a run's folder, and the cache.

A user trusts these files without a look, so it is not enough that reading them ends well: what is
read must also be right. The judge puts the valid files beside the changed one, to compare with.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vaekit.errors import Interrupted, VaekitError

VALID = "valid"
"""The folder of valid files beside the changed one."""

ONE_STEP = "one step is enough"
"""What ends a run that was resumed."""

RUN: dict[str, Any] = {
    "dataset": "digits", "limit": 40, "epochs": 2, "latent_dim": 2, "batch_size": 8,
    "likelihood": "bce", "checkpoint_every": 1, "device": "cpu", "pictures_every": "off",
    "model": "mlp", "hidden": (8,), "ema": 0.9, "threads": 1,
}  # fmt: skip
"""A run that is trained in no time."""


def metrics(path: Path) -> None:
    """`train --resume` of a run that is finished, and of one that has a step to go."""
    from vaekit.training.run import resume_training

    run = _copy_of_run(path.parent)
    right = (run / "model.safetensors").read_bytes()
    shutil.copy(path, run / "metrics.jsonl")
    with suppress(VaekitError):  # which says that the last epoch's line is not there
        resume_training(run, {"device": "cpu"})
    max((run / "checkpoint").iterdir()).unlink()
    resume_training(run, {"device": "cpu"})
    assert (run / "model.safetensors").read_bytes() == right, "it ends as another model"


def manifest(path: Path) -> None:
    """`train --resume` and `train --force` on a folder whose list of files is this one."""
    from vaekit.training.run_files.run_folder import check_output, exclusive_use, folder_at

    run = _copy_of_run(path.parent)
    theirs = [run.parent / "precious.txt", run / "my photos.txt"]
    for file in theirs:
        file.write_text("mine")
    shutil.copy(path, run / ".vaekit-run.json")
    folder = folder_at(run)
    with exclusive_use(folder, fresh=False), suppress(VaekitError):
        folder.manifest.claim(run / "samples" / "epoch-001.png")
    try:
        check_output(str(run), force=True)
        with exclusive_use(folder, force=True):
            pass
    finally:
        assert all(file.read_text() == "mine" for file in theirs), "a file of the user's is gone"


def flipped(path: Path) -> None:
    """`train --resume` of a checkpoint as it lies there, its checksum not set right."""
    from safetensors.numpy import load

    from vaekit.training.run import resume_training

    run = _copy_of_run(path.parent)
    checkpoint, *later = sorted((run / "checkpoint").iterdir())
    shutil.copy(path, checkpoint)
    for file in later:
        file.unlink()
    try:
        resume_training(run, {"device": "cpu"}, one_step())
    except Interrupted:
        read = load(path.read_bytes())
        assert any(_are_equal(read, load(data)) for data in _valid(path)), "other numbers"
        raise


def cached_images(path: Path) -> None:
    """`train --dataset` with a cache in which the array of images is this file."""
    _load_with(path, "images.npy")


def cached_facts(path: Path) -> None:
    """The same with what the cache says of its images; then with the checksum set right."""
    from vaekit.data.cache_entry import _checksum_of, read_entry, read_facts

    entry = _load_with(path, "meta.json")
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        meta = json.loads(path.read_bytes())["meta"]
        record = {"meta": meta, "checksum": _checksum_of(meta)}
        (entry / "meta.json").write_text(json.dumps(record))
    read_entry(entry)
    read_facts(entry)


def _load_with(path: Path, name: str) -> Path:
    """Load images from an entry with one file replaced: they must be what they were."""
    import vaekit

    folder = picture_folder(path.parent)
    before = vaekit.load_dataset(folder, "all")
    (entry,) = (Path(os.environ["XDG_CACHE_HOME"]) / "vaekit" / "decoded").glob("?" * 64)
    shutil.copy(path, entry / name)
    after = vaekit.load_dataset(folder, "all")
    assert np.array_equal(before.images, after.images), "other pixels"
    assert before.names == after.names
    assert before.fingerprint == after.fingerprint
    return entry


@cache
def picture_folder(parent: Path) -> Path:
    """Two classes of small pictures, with one among them that is damaged."""
    folder = parent / "pictures"
    for number in range(6):
        file = folder / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), 40 * number, np.uint8)).save(file)
    (folder / "a" / "6.png").write_bytes(b"not a picture")
    return folder


def _copy_of_run(parent: Path) -> Path:
    """A finished run, which may be changed."""
    folder = parent / "trained"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(_finished_run(parent), folder / "run")
    return folder / "run"


@cache
def _finished_run(parent: Path) -> Path:
    import vaekit

    shutil.rmtree(parent / "finished", ignore_errors=True)
    vaekit.train(**RUN, output=parent / "finished")
    return parent / "finished"


def one_step() -> Any:
    """A watcher that ends a run as soon as it has begun."""
    from vaekit.training.watcher import SilentWatcher

    class OneStep(SilentWatcher):
        def stepped(self, facts: object) -> None:
            raise Interrupted(ONE_STEP)

        def epoch_ended(self, record: object) -> None:
            raise Interrupted(ONE_STEP)

    return OneStep()


def _valid(path: Path) -> list[bytes]:
    return [file.read_bytes() for file in (path.parent / VALID).glob(f"*-{path.name}")]


def _are_equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].tobytes() == other[name].tobytes()
        for name in one
    )


KEPT_DOORS: dict[str, Callable[[Path], None]] = {
    door.__name__: door for door in (metrics, manifest, flipped, cached_images, cached_facts)
}
