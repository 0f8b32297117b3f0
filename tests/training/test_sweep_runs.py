"""What a user would lose: a sweep that can be stopped, run again, and is of one config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import vaekit
from vaekit.configuration.config import RunConfig
from vaekit.errors import Interrupted, UsageError
from vaekit.model_file.header import read_model_file
from vaekit.training.sweep_runs import train_betas
from vaekit.training.watcher import RunFacts, SilentWatcher

BETAS = [0.5, 2.0]


def config(**options: Any) -> RunConfig:
    tiny = {
        "dataset": "digits", "limit": 60, "epochs": 2, "hidden": (8,), "latent_dim": 2,
        "threads": 1, "pictures_every": "off", "output": "sweep", "checkpoint_every": 1,
    }  # fmt: skip
    return RunConfig.model_validate({**tiny, **options})


class Recorder(SilentWatcher):
    """Counts the runs that train, and can stop one."""

    def __init__(self, *, stop: bool = False) -> None:
        self.trained = 0
        self.stop = stop

    def started(self, facts: RunFacts) -> None:
        self.trained += 1

    def epoch_ended(self, record: Mapping[str, float]) -> None:
        if self.stop:
            raise Interrupted("stopped")


def swept(options: RunConfig, **more: Any) -> tuple[list[Path], list[int]]:
    """The models, and how often each run trained."""
    watchers: list[Recorder] = []

    def watch(beta: float) -> Recorder:
        watchers.append(Recorder())
        return watchers[-1]

    models = [result.model for result in train_betas(options, BETAS, watch, **more)]
    return models, [watcher.trained for watcher in watchers]


def test_each_run_is_the_one_that_train_gives_with_its_beta() -> None:
    models, trained = swept(config())
    assert trained == [1, 1]
    assert [model.parent.as_posix() for model in models] == ["sweep/beta-0.5", "sweep/beta-2"]
    for beta, model in zip(BETAS, models, strict=True):
        assert read_model_file(model).header.objective["beta"] == beta
        alone = vaekit.train(
            dataset="digits", limit=60, epochs=2, hidden=[8], latent_dim=2, threads=1, beta=beta,
            pictures_every="off", output=f"alone-{beta}", quiet=True,
        )  # fmt: skip
        assert alone.path.read_bytes() == model.read_bytes()


def test_again_trains_nothing_and_one_more_beta_trains_that_alone() -> None:
    before = [(m, m.read_bytes(), m.stat().st_mtime_ns) for m in swept(config())[0]]
    models, trained = swept(config())
    assert trained == [0, 0]
    assert [(m, m.read_bytes(), m.stat().st_mtime_ns) for m in models] == before
    watcher = Recorder()
    assert len([*train_betas(config(), [*BETAS, 9.0], lambda beta: watcher)]) == 3
    assert watcher.trained == 1


def test_a_sweep_that_was_stopped_goes_on_to_the_same_bytes() -> None:
    whole = [model.read_bytes() for model in swept(config(output="whole"))[0]]
    with pytest.raises(Interrupted):
        list(train_betas(config(), BETAS, lambda beta: Recorder(stop=beta > 1)))
    assert not Path("sweep/beta-2/model.safetensors").exists()
    models, trained = swept(config())
    assert trained == [0, 1]
    assert [model.read_bytes() for model in models] == whole


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"latent_dim": 3}, "--latent-dim 3: the run in sweep/beta-0.5 has 2"),
        ({"latent_dim": None}, "--latent-dim 16: the run in sweep/beta-0.5 has 2"),
        ({"seed": 1}, "--seed 1"),
    ],
)
def test_runs_of_another_config_are_refused_defaults_included(
    options: dict[str, Any], words: str
) -> None:
    swept(config())
    with pytest.raises(UsageError, match=words):
        swept(config(**options))


def test_force_trains_all_again() -> None:
    models, _ = swept(config())
    assert swept(config(latent_dim=3), force=True) == (models, [1, 1])
    assert read_model_file(models[0]).header.model.latent_dim == 3


def test_without_output_the_folder_has_the_name_of_the_data() -> None:
    models, _ = swept(config(output=None))
    assert models[0].as_posix() == "runs/digits-betas/beta-0.5/model.safetensors"
    assert swept(config(output=None))[1] == [0, 0]
