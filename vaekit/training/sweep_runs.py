"""Trains a run for each of several betas in one folder, and keeps runs already there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vaekit.configuration.config import RunConfig, facts, flag
from vaekit.errors import UsageError
from vaekit.training.initial_weights import inherited
from vaekit.training.run import TrainingResult, prepare, resume_training, run_training
from vaekit.training.run_files import resume_rules
from vaekit.training.run_files.run_folder import RUNS, dataset_stem
from vaekit.training.watcher import Watcher


def sweep_folder(config: RunConfig) -> Path:
    """The folder of the runs: `--output`, or runs/DATA-betas.

    >>> sweep_folder(RunConfig(dataset="digits")).as_posix()
    'runs/digits-betas'
    """
    if config.output is not None:
        return Path(config.output)
    return RUNS / f"{dataset_stem(config.dataset)}-betas"


def run_name(beta: float) -> str:
    """The name of a run's folder.

    >>> run_name(0.25), run_name(4.0)
    ('beta-0.25', 'beta-4')
    """
    return f"beta-{beta:.10g}"


def train_betas(
    config: RunConfig,
    betas: Sequence[float],
    watch: Callable[[float], Watcher],
    *,
    force: bool = False,
) -> Iterator[TrainingResult]:
    """Train the config with each beta, in a folder of its own.

    A run that is there already is resumed, which leaves a finished one as it is; if its options
    are others, it is refused, unless `force` replaces it. `watch` gives the watcher of each run.
    """
    settled: RunConfig | None = None
    for beta in betas:
        path, watcher = sweep_folder(config) / run_name(beta), watch(beta)
        if force or not resume_rules.holds_run(path):
            own = config.changed(beta=beta, output=str(path))
            yield run_training(own, watcher, force=force)
            continue
        found = resume_rules.find_run(path, watcher)
        if settled is None:
            settled, _ = prepare(inherited(config), watcher)
        _refuse_other_options(path, found.config, settled.changed(beta=beta))
        yield resume_training(path, _local_options(config), watcher)


def _local_options(config: RunConfig) -> dict[str, Any]:
    """The options that were given and leave the result the same, such as the device."""
    fields = RunConfig.model_fields
    given = [name for name in config.model_fields_set if facts(fields[name])["local"]]
    found = {name: getattr(config, name) for name in given if name != "output"}
    return {name: value for name, value in found.items() if value is not None}


def _refuse_other_options(path: Path, found: RunConfig, wanted: RunConfig) -> None:
    """Refuse a run that was trained otherwise, naming the first option that differs."""
    before, now = found.shared(), wanted.shared()
    for name, value in now.items():
        if before[name] != value:
            raise UsageError(
                f"{flag(name)} {value}: the run in {path} has {before[name]}; choose another "
                "--output, or --force to train all runs again"
            )
