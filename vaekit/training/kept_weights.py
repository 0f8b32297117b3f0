"""The weights that a run would keep now: in its model file, or in its newest checkpoint."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vaekit.errors import ModelFileError
from vaekit.training.run_files.run_folder import RunFolder

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vaekit.configuration.config import RunConfig
    from vaekit.inference import Model
    from vaekit.model_file.header import ModelHeader
    from vaekit.models.vae import VAE
    from vaekit.training.loop import Progress
    from vaekit.training.run import TrainingData
    from vaekit.training.run_files.checkpoint import Checkpoint

FEW_IMAGES = 1024
"""Training images from which the latent statistics are taken: enough to look at a model with."""


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights, and what tells whether it has been replaced."""

    path: Path
    changed_ns: int
    inode: int
    size: int


def weights_file(path: Path) -> WeightsFile | None:
    """A file of weights as it is now; None where there is none."""
    with contextlib.suppress(OSError):
        found = path.stat()
        return WeightsFile(path, found.st_mtime_ns, found.st_ino, found.st_size)
    return None


def newest_weights(folder: RunFolder) -> WeightsFile | None:
    """The newest of a run's model file and its checkpoints; of equal times the model file.

    A run writes its model file once, after the last checkpoint. A resumed run has both.
    """
    with contextlib.suppress(OSError):
        paths = [*folder.checkpoint_files(), folder.model]
        found = [file for path in paths if (file := weights_file(path)) is not None]
        return max(
            found, key=lambda file: (file.changed_ns, file.path == folder.model), default=None
        )
    return None


@dataclass(frozen=True, eq=False)
class CheckpointRead:
    """A checkpoint, and of its tensors those that the run would keep."""

    checkpoint: Checkpoint
    kept: dict[str, Tensor]

    def are_of(self, network: VAE) -> bool:
        """Whether a network has these very weights."""
        import torch

        own = network.state_dict()
        return own.keys() == self.kept.keys() and all(
            torch.equal(own[name].cpu(), tensor) for name, tensor in self.kept.items()
        )


def read_kept(file: WeightsFile) -> CheckpointRead:
    """Read a checkpoint: its header and its tensors are those of one file.

    A run that is started again in the same folder writes other weights to the same names.
    """
    from vaekit.training.run_files.checkpoint import read_checkpoint

    checkpoint = read_checkpoint(file.path)
    found = CheckpointRead(checkpoint, _kept(checkpoint))
    if weights_file(file.path) != file:
        raise ModelFileError(f"{file.path}: was replaced while it was read")
    return found


def model_of_checkpoint(
    read: CheckpointRead, config: RunConfig, data: TrainingData, device: torch.device
) -> Model:
    """The model that the run would keep, had it ended with this checkpoint.

    `config` is the run's, `data` are its images. The header describes no known images: that takes
    seconds, and outlier scores are not needed of a model that changes every epoch.
    """
    from vaekit.inference import Model
    from vaekit.training.defaults import network_from_config
    from vaekit.training.run_files.checkpoint_checks import refuse_wrong_tensors

    shape = data.train.image_shape
    refuse_wrong_tensors(read.checkpoint.layout, config, shape)
    network = network_from_config(config, shape)
    network.load_state_dict(read.kept)
    network = network.to(device).eval().requires_grad_(False)
    return Model(network, _header(network, read.checkpoint.progress, config, data))


def _kept(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The best weights on validation, else the average of weights, else the current ones."""
    from vaekit.model_file.weights import read_tensors

    kinds = [name.partition(".")[0] for name in checkpoint.layout.tensors]
    kind = next((kind for kind in ("best", "average") if kind in kinds), "network")
    names = [name for name in checkpoint.layout.tensors if name.startswith(f"{kind}.")]
    found = read_tensors(checkpoint.layout.path, names)
    return {name.removeprefix(f"{kind}."): tensor for name, tensor in found.items()}


def _header(network: VAE, progress: Progress, config: RunConfig, data: TrainingData) -> ModelHeader:
    from vaekit import __version__
    from vaekit.data.batches import Batches
    from vaekit.model_file.header import FORMAT_VERSION, ModelHeader
    from vaekit.model_file.weights import specification
    from vaekit.models.vae import parameter_count
    from vaekit.training import model_description as described

    assert config.model is not None
    device = next(network.parameters()).device
    train = Batches(data.train, device)
    report = described.latent_statistics(network, config, train, FEW_IMAGES)
    best = {"epoch": progress.best_epoch, "val_neg_elbo": progress.best}
    return ModelHeader(
        format_version=FORMAT_VERSION,
        vaekit_version=__version__,
        model=specification(network, config.model),
        likelihood=described.likelihood_spec(config, network),
        objective=described.objective_facts(config),
        classes=list(data.train.classes) if data.train.classes else None,
        latents=described.latents_of(report),
        training={
            "dataset": data.train.name,
            "n": len(data.train),
            "parameters": parameter_count(network),
            "seed": config.seed,
            "steps": progress.step,
            "epochs": progress.epoch,
            "best": best if progress.best_epoch else None,
            "config": config.shared(),
        },
    )


def weights_in_words(header: ModelHeader) -> str:
    """Which weights a model file has, as in `epoch 6, the best on validation`."""
    training = header.training
    best = training.get("best")
    if isinstance(best, dict):
        return _best(best.get("epoch"))
    return f"epoch {training.get('epochs')}, the last"


def kept_in_words(progress: Progress) -> str:
    """Which weights a checkpoint would keep, in the same words."""
    if progress.best_epoch:
        return f"{_best(progress.best_epoch)} so far"
    return f"step {progress.step:,}" if progress.seen else f"epoch {progress.epoch}"


def _best(epoch: object) -> str:
    return f"epoch {epoch}, the best on validation"
