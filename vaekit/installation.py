"""Whether vaekit can work here: versions, devices, a training step on each, disk, permissions."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vaekit import __version__, files

PACKAGES = (
    "torch", "torchvision", "numpy", "pillow", "safetensors", "scikit-learn", "matplotlib",
    "pydantic", "typer", "rich", "PyYAML",
)  # fmt: skip

LITTLE_DISK = 2e9
"""Bytes under which a data set may not fit."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


def check_all() -> list[Check]:
    """Look at everything; a check that fails says why and lets the others go on."""
    steps = [_guarded(f"step on {device}", _step_on(device)) for device in _devices()]
    return [
        Check("vaekit", True, f"{__version__}, Python {platform.python_version()}"),
        *(_guarded(package, _version_of(package)) for package in PACKAGES),
        _guarded("torchvision match", _torchvision_match),
        *steps,
        _guarded("cache", lambda: _place(files.cache_dir())),
        _guarded("current folder", lambda: _place(Path.cwd())),
    ]


def _guarded(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except Exception as error:  # noqa: BLE001 (whatever is broken is what we came to find)
        return Check(name, False, f"{type(error).__name__}: {error}".splitlines()[0])


def _version_of(package: str) -> Callable[[], str]:
    return lambda: importlib.metadata.version(package)


def _devices() -> list[str]:
    try:
        return list(importlib.import_module("vaekit.devices").available())
    except Exception:  # noqa: BLE001 (torch does not import: its own check says so)
        return []


def _torchvision_match() -> str:
    """A torchvision built for another torch imports badly, or lacks its own operators."""
    torch, torchvision = (importlib.import_module(name) for name in ("torch", "torchvision"))
    boxes, scores = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0])
    torchvision.ops.nms(boxes, scores, 0.5)
    return f"torchvision {torchvision.__version__} works with torch {torch.__version__}"


def _step_on(device: str) -> Callable[[], str]:
    def look() -> str:
        began = time.perf_counter()
        loss = _training_step(device)
        return f"one training step, loss {loss:.1f}, {time.perf_counter() - began:.2f} s"

    return look


def _training_step(device: str) -> float:
    """One forward and backward pass of a small conv model, and an update."""
    import torch

    from vaekit.likelihoods import build_likelihood
    from vaekit.models.base import build
    from vaekit.objectives.elbo import elbo

    likelihood = build_likelihood("bce")
    network = build("conv", image=(16, 16, 1), latent_dim=4, likelihood=likelihood).to(device)
    optimizer = torch.optim.Adam(network.parameters())
    x = torch.full((8, 1, 16, 16), 0.5, device=device)
    loss = elbo(network, x, torch.zeros(8, 4, device=device))["loss"].mean()
    loss.backward()
    optimizer.step()
    value = float(loss.detach())
    if value != value:
        raise ArithmeticError("the loss is not a number")
    return value


def _place(folder: Path) -> str:
    """Whether files can be made there, and how much room is left."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        free = shutil.disk_usage(folder).free
    if free < LITTLE_DISK:
        raise OSError(f"{folder}: only {free / 1e9:.1f} GB are free")
    return f"{folder} can be written, {free / 1e9:,.0f} GB free"
