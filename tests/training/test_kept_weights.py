"""The weights of a run that still trains are those that it would keep."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import vaekit
from tests.conftest import TINY
from vaekit.errors import ModelFileError
from vaekit.reporting import SILENT
from vaekit.training.kept_weights import (
    kept_in_words,
    model_of_checkpoint,
    newest_weights,
    read_kept,
    weights_file,
    weights_in_words,
)
from vaekit.training.run import load_training_data
from vaekit.training.run_files.resume_rules import config_of
from vaekit.training.run_files.run_folder import RunFolder, folder_at


@pytest.mark.parametrize(
    ("options", "words"),
    [({}, "epoch 3, the best on validation so far"), ({"val_split": 0}, "epoch 3"),
     ({"val_split": 0, "ema": 0.9}, "epoch 3"), ({"binarize": "static", "likelihood": "bernoulli"},
                                                 "epoch 3, the best on validation so far")],
    ids=["best", "last", "average", "binarized"],
)  # fmt: skip
def test_the_last_checkpoint_gives_the_model_that_the_run_kept(
    options: dict[str, Any], words: str
) -> None:
    vaekit.train(**{**TINY, **options}, output="run", pictures_every="off", threads=1)
    folder, kept = folder_at(Path("run")), vaekit.load("run", "cpu")
    newest = weights_file(folder.checkpoint_files()[-1])
    assert newest is not None
    read = read_kept(newest)
    checkpoint = read.checkpoint
    config = config_of(checkpoint)
    data = load_training_data(config, SILENT)
    model = model_of_checkpoint(read, config, data, torch.device("cpu"))
    assert read.are_of(kept.network)
    expected, found = kept.network.state_dict(), model.network.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    for part in ("model", "likelihood", "objective", "classes"):
        assert getattr(model.header, part) == getattr(kept.header, part), part
    for name in ("dataset", "n", "parameters", "seed", "steps", "epochs", "best", "config"):
        assert model.header.training[name] == kept.header.training[name], name
    assert kept_in_words(checkpoint.progress) == words


def test_weights_are_told_apart_by_what_they_are_not_by_their_names(tiny_run: Path) -> None:
    """A run that was started again writes the same steps and epochs to the same names."""
    folder = folder_at(Path(shutil.copytree(tiny_run, "run")))
    file = weights_file(folder.checkpoint_files()[-1])
    assert file is not None
    network = vaekit.load("run", "cpu").network
    assert read_kept(file).are_of(network)
    with torch.no_grad():
        next(network.parameters()).view(-1)[-1] += 1e-6
    assert not read_kept(file).are_of(network)


def test_a_checkpoint_that_is_replaced_while_it_is_read_is_not_taken_for_the_first(
    tiny_run: Path,
) -> None:
    folder = folder_at(Path(shutil.copytree(tiny_run, "run")))
    path = folder.checkpoint_files()[-1]
    file = weights_file(path)
    assert file is not None
    shutil.copy(path, "other")
    Path("other").replace(path)
    with pytest.raises(ModelFileError, match="was replaced while it was read"):
        read_kept(file)


def test_the_newest_of_model_and_checkpoints_counts(tiny_run: Path) -> None:
    folder = folder_at(Path(shutil.copytree(tiny_run, "run")))
    newest = newest_weights(folder)
    assert newest is not None
    assert newest.path == folder.model
    assert weights_in_words(vaekit.load("run", "cpu").header) == "epoch 3, the best on validation"
    last = folder.checkpoint_files()[-1]
    later = newest.changed_ns + 1
    os.utime(last, ns=(later, later))  # as when the run is resumed for more epochs
    assert newest_weights(folder) == weights_file(last)
    os.utime(folder.model, ns=(later, later))
    assert newest_weights(folder) == weights_file(folder.model)


def test_a_replaced_file_is_another_even_with_the_time_and_size_of_the_first(
    tiny_model: Path,
) -> None:
    shutil.copy2(tiny_model, "a")
    before = weights_file(Path("a"))
    shutil.copy2(tiny_model, "b")
    Path("b").replace("a")
    after = weights_file(Path("a"))
    assert before is not None
    assert after is not None
    assert (after.changed_ns, after.size) == (before.changed_ns, before.size)
    assert after != before


def test_a_folder_without_weights_has_none() -> None:
    assert newest_weights(folder_at(Path("nowhere"))) is None
    assert newest_weights(RunFolder(Path("nowhere"), Path("m.safetensors"))) is None
