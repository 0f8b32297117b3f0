"""Estimates a run's memory by arithmetic, and refuses a network that cannot fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vaekit.configuration.config import RunConfig, flag
from vaekit.errors import UsageError
from vaekit.models.vae import VAE, parameter_count_of
from vaekit.training.defaults import likelihood_for_config, network_from_config, settings_of

MEMORY_FACTS = Path("/proc/meminfo")
CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where Linux tells a container its limit, in its two versions of control groups."""


@dataclass(frozen=True)
class Footprint:
    """Parameter count, and the memory that a run needs in bytes."""

    parameters: int
    weights: int
    activations: int

    @property
    def total(self) -> int:
        """Weights and activations kept for the backward pass."""
        return self.weights + self.activations


def footprint(config: RunConfig, image: tuple[int, int, int], processes: int = 1) -> Footprint:
    """Parameters and expected memory of each process, without allocating it.

    Each weight takes four numbers (value, gradient, Adam's two moments; five with an average), and
    each layer's output is kept for the backward pass, for every image of its share of a
    batch, or of a micro-batch.
    """
    parameters = _parameters(config, image)
    with torch.device("meta"):
        network = network_from_config(config, image)
    share = -(-config.images_per_step // processes)
    rows = min(share, config.micro_batch or share)
    outputs = _outputs(network, image) * rows
    return Footprint(parameters, _weight_bytes(config, parameters), 4 * outputs)


def refuse_too_large(config: RunConfig, image: tuple[int, int, int], device: torch.device) -> None:
    """Refuse a network whose weights cannot fit into the memory, before any of it is allocated."""
    parameters, free = _parameters(config, image), free_memory(device)
    needed = _weight_bytes(config, parameters)
    if free is not None and needed > free:
        sizes = [n for n in ("hidden", "channels", "depth") if getattr(config, n) is not None]
        options = ", ".join(flag(name) for name in (*sizes, "latent_dim"))
        raise UsageError(
            f"the network has {parameters:,} weights, which take {needed / 1e9:,.0f} GB with their "
            f"gradients and Adam's moments; {device} has {free / 1e9:,.0f} GB free: "
            f"choose lower values for {options}"
        )


def free_memory(device: torch.device) -> int | None:
    """Bytes of memory that a run on this device may take; None where that is unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    limits = [_free_of_machine(), *(_number_in(path) for path in CGROUP_LIMITS)]
    return min((limit for limit in limits if limit is not None), default=None)


def _free_of_machine() -> int | None:
    if not MEMORY_FACTS.exists():
        return None
    lines = (line.split() for line in MEMORY_FACTS.read_text().splitlines())
    kibibytes = {line[0]: int(line[1]) for line in lines}
    return 1024 * (kibibytes["MemAvailable:"] + kibibytes["SwapFree:"])


def _number_in(path: Path) -> int | None:
    """The limit of a container; None where there is none (`max`)."""
    text = path.read_text().strip() if path.exists() else ""
    return int(text) if text.isdecimal() else None


def _parameters(config: RunConfig, image: tuple[int, int, int]) -> int:
    assert config.model is not None
    assert config.latent_dim is not None
    return parameter_count_of(
        config.model,
        image=image,
        latent_dim=config.latent_dim,
        likelihood=likelihood_for_config(config),
        settings=settings_of(config),
    )


def _weight_bytes(config: RunConfig, parameters: int) -> int:
    return 4 * (5 if config.ema else 4) * parameters


def _outputs(network: VAE, image: tuple[int, int, int]) -> int:
    """Count the layers' outputs for one image, by a pass on the meta device."""
    height, width, channels = image
    count = 0

    def add(_module: object, _args: object, output: object) -> None:
        nonlocal count
        count += output.numel() if isinstance(output, Tensor) else 0

    hooks = [m.register_forward_hook(add) for m in network.modules() if not list(m.children())]
    network.eval()
    x = torch.empty(1, channels, height, width, device="meta")
    network.decode(network.encode(x).at_mean().mean)
    for hook in hooks:
        hook.remove()
    return count
