"""How the batch of a run is divided among its ranks, and what that changes."""

from __future__ import annotations

import torch
from torch import nn

from vaekit.configuration.config import RunConfig
from vaekit.errors import UsageError
from vaekit.machine.ranks import Ranks
from vaekit.models.vae import VAE
from vaekit.reporting import Reporter
from vaekit.training.step.gradients import batch_statistics


def refuse_uneven(config: RunConfig, world: int, images: int | None = None) -> None:
    """Refuse a batch that the ranks do not divide, or a share that micro-batches do not.

    A batch of all `images` is divided as evenly as it can be.
    """
    batch, micro = config.images_per_step, config.micro_batch
    if world == 1 or batch == images:
        return
    if batch % world:
        raise UsageError(
            f"--batch-size {batch}: is the batch of all ranks, and {world} ranks do not "
            f"divide it; {_nearest(batch, world)}"
        )
    share = batch // world
    if micro is not None and micro < share and share % micro:
        fitting = [str(n) for n in range(1, share) if share % n == 0]
        raise UsageError(
            f"--micro-batch {micro}: does not divide the {share} images of a rank "
            f"(--batch-size {batch} on {world} ranks); {', '.join(fitting)} would"
        )


def refuse_sync_bn(config: RunConfig, ranks: Ranks, device: torch.device) -> None:
    """Refuse `--sync-bn` where torch has no such layer, or where it would wait for ever."""
    if not (config.sync_bn and ranks.several):
        return
    if device.type != "cuda":
        raise UsageError("--sync-bn is for GPUs: torch has no batch norm across ranks on CPUs")
    if config.micro_batch is not None:
        raise UsageError("--sync-bn excludes --micro-batch: it needs a rank's images together")


def _nearest(count: int, divisor: int) -> str:
    """The multiples on both sides.

    >>> _nearest(100, 3), _nearest(2, 4)
    ('99 and 102 would fit', '4 would fit')
    """
    below = count // divisor * divisor
    numbers = [str(n) for n in (below, below + divisor) if n]
    return f"{' and '.join(numbers)} would fit"


def report_division(config: RunConfig, network: VAE, ranks: Ranks, reporter: Reporter) -> None:
    """Print how the batch is divided, and what differs from one process."""
    if not ranks.several:
        return
    reporter.note(division(config, ranks))
    names = batch_statistics(config, network)
    if names:
        verb = "takes" if len(names) == 1 else "take"
        reporter.note(
            f"{' and '.join(names)} {verb} statistics of each rank's own images, so the result "
            "differs from that of one process"
        )


def division(config: RunConfig, ranks: Ranks) -> str:
    """The ranks, micro-batches and their product, in one line.

    >>> from vaekit.machine.ranks import Place
    >>> division(RunConfig(batch_size=128, micro_batch=16), Ranks(Place(0, 4)))
    '4 ranks x 16 images x 2 micro-batches = 128 images a step'
    >>> division(RunConfig(batch_size=9), Ranks(Place(0, 4)))
    '4 ranks x 2 or 3 images x 1 micro-batch = 9 images a step'
    """
    share, left = divmod(config.images_per_step, ranks.world)
    micro = min(config.micro_batch or share + 1, share + bool(left))
    parts = -(-(share + bool(left)) // micro)
    exact = str(micro) if not left and share % micro == 0 else f"up to {micro}"
    images = f"{share} or {share + 1}" if left and parts == 1 else exact
    return (
        f"{ranks.world} ranks x {images} images x {parts} micro-batch{'es' * (parts > 1)} = "
        f"{config.images_per_step} images a step"
    )


def with_sync_bn(network: VAE, config: RunConfig, ranks: Ranks) -> VAE:
    """The network with batch norm over the images of all ranks, if that is asked for."""
    if not (config.sync_bn and ranks.several):
        return network
    converted: VAE = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return converted
