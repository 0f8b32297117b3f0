"""Chooses the device to compute on, by name."""

from __future__ import annotations

import os

import torch

from vaekit.errors import UsageError, VaekitError


def available_devices() -> list[str]:
    """The devices this machine has, the preferred one first."""
    found = []
    if torch.cuda.is_available():
        found += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; `auto` is cuda, then mps, then cpu."""
    devices = available_devices()
    if name == "auto":
        return torch.device(devices[0])
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in devices:
        raise UsageError(f"--device {name}: this machine has {', '.join(devices)}")
    return torch.device(wanted)


def exact(device: torch.device) -> torch.dtype:
    """The type for long sums: float64 where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64


def describe_device(device: torch.device) -> str:
    """The device with its model, for messages.

    >>> describe_device(torch.device("cpu"))
    'cpu'
    """
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return str(device)


def device_of_rank(name: str, local: int) -> torch.device:
    """The device of one of several processes of a host: a GPU of its own, or the CPU.

    >>> device_of_rank("cpu", local=3)
    device(type='cpu')
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(
            f"--device {name}: on several ranks write cuda, which gives each rank a GPU of its "
            "own, or cpu"
        )
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    choose_device(name)  # an error where there is no GPU
    count = torch.cuda.device_count()
    if count == 1 and "CUDA_VISIBLE_DEVICES" in os.environ:  # the launcher chose this rank's GPU
        return torch.device("cuda:0")
    if local >= count:
        raise VaekitError(
            f"there is no GPU for process {local + 1} of this host, which has {count}: start one "
            "process per GPU, or use --device cpu"
        )
    return torch.device(f"cuda:{local}")
