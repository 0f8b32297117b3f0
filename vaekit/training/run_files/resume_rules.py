"""Finds a run to resume, and refuses options or images that would change its result."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from vaekit.configuration.config import RunConfig, facts, flag
from vaekit.configuration.config_sources import resolve_config
from vaekit.errors import DataError, UsageError
from vaekit.reporting import Reporter
from vaekit.training.run_files import checkpoint as checkpoints
from vaekit.training.run_files import checkpoint_checks
from vaekit.training.run_files import run_folder as folders
from vaekit.training.run_files.checkpoint import Checkpoint, RunEnvironment
from vaekit.training.run_files.run_folder import RunFolder
from vaekit.training.step.schedules import depends_on_end

REPEATED = ("output", "batch_size")
"""Options that a repeated command may spell otherwise than the run's config."""


@dataclass(frozen=True)
class FoundRun:
    """A run that can be resumed."""

    folder: RunFolder
    config: RunConfig
    checkpoint: Checkpoint | None
    stamps: list[tuple[Path, int, int]]
    """Each checkpoint with its time and size, which tell whether another process changed them."""


def holds_run(path: Path) -> bool:
    """Whether a folder holds something to resume: a checkpoint, or a run that began."""
    folder = folders.folder_at(path)
    if not path.is_dir():
        return False
    began = folder.config in (folder.manifest.read() or ()) and folder.config.exists()
    return began or bool(folder.checkpoint_files())


def find_run(path: Path, reporter: Reporter) -> FoundRun:
    """The run in a folder; without a checkpoint it starts again."""
    folder = folders.folder_at(path)
    if path.is_file():
        raise UsageError(
            f"--resume {path}: is a file; name the run's folder, such as {path.parent}"
        )
    if not path.is_dir():
        raise UsageError(f"--resume {path}: no such folder")
    stamps = _stamps(folder)
    checkpoint = checkpoints.newest_checkpoint(folder, reporter)
    if checkpoint is not None:
        folder = folders.folder_at(path, model_beside=checkpoint.model_beside)
        config = config_of(checkpoint)
        return FoundRun(folder, config, checkpoint, stamps)
    owned = folder.manifest.read() or set()
    if folder.config not in owned or not folder.config.exists():
        raise UsageError(f"--resume {path}: that folder holds no run")
    folder = folders.folder_at(path, model_beside=folder.manifest.beside in owned)
    return FoundRun(folder, resolve_config({}, environ={}, config=folder.config), None, stamps)


def config_of(checkpoint: Checkpoint) -> RunConfig:
    """The config of a checkpoint; one older than `--upsampling` has the decoder of its time."""
    config = checkpoint.config
    if config.get("model") == "conv" and "upsampling" not in config:
        config = {**config, "upsampling": "transposed"}
    return resolve_config(config, environ={})


def find_again(found: FoundRun, reporter: Reporter) -> FoundRun:
    """The same run; read again if another process has changed its checkpoints meanwhile."""
    unchanged = _stamps(found.folder) == found.stamps
    return found if unchanged else find_run(found.folder.path, reporter)


def _stamps(folder: RunFolder) -> list[tuple[Path, int, int]]:
    with contextlib.suppress(FileNotFoundError):  # of a run that is training now
        facts = [(path, path.stat()) for path in folder.checkpoint_files()]
        return [(path, fact.st_mtime_ns, fact.st_size) for path, fact in facts]
    return []


def merge_options(
    found: FoundRun, options: Mapping[str, Any], *, repeated: bool = False
) -> RunConfig:
    """The run's config with the options that may differ; any other difference is an error.

    A `repeated` command names the run's folder, and perhaps a larger batch than there are images,
    which `refuse_other_batch` compares once they are counted.
    """
    free = REPEATED if repeated else ()
    asked = {name: value for name, value in options.items() if value is not None}
    wanted = resolve_config(asked, environ={})
    changes = {name: getattr(wanted, name) for name in asked}
    for name, value in changes.items():
        before = getattr(found.config, name)
        if value != before and not (_may_change(name) or name in free):
            raise UsageError(
                f"{flag(name)} {asked[name]}: the run in {found.folder.path} has {before}, "
                "and a resumed run keeps its options"
            )
    _check_epochs(found, changes.get("epochs"))
    return found.config.changed(**changes)


def refuse_other_batch(found: FoundRun, config: RunConfig) -> None:
    """Refuse another batch size than the run's, once it is cut to the number of images."""
    if config.batch_size != found.config.batch_size:
        raise UsageError(
            f"--batch-size {config.batch_size}: the run in {found.folder.path} has "
            f"{found.config.batch_size}, and a resumed run keeps its options"
        )


def _may_change(name: str) -> bool:
    """Whether an option may change on resume: it leaves the result the same, or is `epochs`."""
    free = facts(RunConfig.model_fields[name])["local"] and name != "output"
    return free or name == "epochs"


def _check_epochs(found: FoundRun, epochs: int | None) -> None:
    config = found.config
    done = 0 if found.checkpoint is None else found.checkpoint.progress.epoch
    if epochs in (None, config.epochs):
        return
    if epochs is not None and epochs < done:
        raise UsageError(
            f"--epochs {epochs}: {done} epochs are done; give the number of all epochs, those "
            f"included, such as --epochs {2 * done}"
        )
    if depends_on_end(config.schedule) and not _is_finished(found):
        raise UsageError(
            f"--epochs {epochs}: the {config.schedule} schedule of this run ends after "
            f"{config.epochs} epochs, and {done} are done: first finish it, without --epochs; "
            "resumed again with more --epochs, a new cycle starts from the kept weights"
        )


def _is_finished(found: FoundRun) -> bool:
    """Whether all epochs of the run are done, or early stopping ended it."""
    if found.checkpoint is None:
        return False
    now, config = found.checkpoint.progress, found.config
    waited = now.epoch - max(now.best_epoch, now.cycle_epoch)
    impatient = config.early_stop is not None and config.val_split > 0
    return now.epoch >= (config.epochs or 0) or (impatient and waited >= (config.early_stop or 0))


def begins_cycle(checkpoint: Checkpoint, config: RunConfig) -> bool:
    """Whether a finished run goes on under a schedule that was set for its end."""
    before = checkpoint.config.get("epochs")
    longer = isinstance(before, int) and (config.epochs or 0) > before
    return longer and depends_on_end(config.schedule)


def refuse_changed_options(
    found: FoundRun, config: RunConfig, image: tuple[int, int, int] | None = None
) -> None:
    """Refuse a checkpoint whose tensors do not match its config, before building anything."""
    if found.checkpoint is not None:
        checkpoint_checks.refuse_wrong_tensors(found.checkpoint.layout, config, image)


def refuse_changed_data(
    found: FoundRun,
    fingerprint: str,
    device: torch.device,
    reporter: Reporter,
    ranks: int = 1,
) -> None:
    """Refuse other images; print a note if versions, threads, device or ranks differ."""
    if found.checkpoint is None:
        return
    if fingerprint != found.checkpoint.fingerprint:
        parts = zip_longest(fingerprint.split(), found.checkpoint.fingerprint.split(), fillvalue="")
        now, then = next((now, then) for now, then in parts if now != then)
        raise DataError(
            f"{found.config.dataset}: these are not the images that the run in "
            f"{found.folder.path} was trained and validated on, in the order of their "
            f"names (fingerprint {now[:12] or 'of none'}, then {then[:12] or 'of none'}); put "
            f"them back as they were, names too, or train a new run that starts from its "
            f"weights: vaekit train --init {shlex.quote(str(found.folder.path))} "
            f"--dataset {shlex.quote(found.config.dataset)}"
        )
    changed = found.checkpoint.environment.differences(RunEnvironment.now(device, ranks))
    if changed:
        reporter.note(f"not bit-exact: {'; '.join(changed)}")
