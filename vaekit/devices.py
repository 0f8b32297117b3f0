"""Chooses the device to compute on, by name."""

from __future__ import annotations

import torch

from vaekit.errors import UsageError


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
