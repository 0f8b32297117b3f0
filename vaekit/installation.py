"""The checks of `vaekit doctor`: versions, devices, a training step, disk, permissions."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vaekit import __version__, files
from vaekit.machine import thread_waiting

PACKAGES = (
    "torch", "torchvision", "numpy", "pillow", "safetensors", "scikit-learn", "matplotlib",
    "pydantic", "typer", "rich", "PyYAML",
)  # fmt: skip

EXTRAS = {
    "tensorboard": ("tensorboard", "--tensorboard"),
    "pyarrow": ("parquet", "tables as .parquet"),
    "torch-fidelity": ("fid", "FID on Inception features"),
}
"""Optional packages: the extra that installs each, and its purpose."""

LITTLE_DISK = 2e9
"""Free bytes below which a data set may not fit."""

MISMATCH = "install matching versions: pip install --upgrade torch torchvision"


@dataclass(frozen=True)
class Check:
    """The result of one check; `ok` is None if an optional package is absent."""

    name: str
    ok: bool | None
    detail: str


def check_all() -> list[Check]:
    """Run every check; one that fails says why and does not stop the others."""
    return [
        Check("vaekit", True, f"{__version__}, in {Path(__file__).parent}"),
        Check(
            "python", True, f"{platform.python_version()}, {platform.system()} {platform.machine()}"
        ),
        *(_guarded(package, _version_of(package)) for package in PACKAGES),
        _guarded("torchvision match", _torchvision_match),
        *_device_checks(),
        _guarded("threads", _threads),
        _guarded("cache", lambda: _folder(files.cache_dir())),
        _guarded("current folder", lambda: _folder(Path.cwd())),
        *(_extra(package, *facts) for package, facts in EXTRAS.items()),
    ]


def _guarded(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, f"is not installed: pip install {name}")
    except Exception as error:  # noqa: BLE001 (whatever is broken is what we came to find)
        return Check(name, False, _reason(error))


def _reason(error: Exception) -> str:
    """The error in one line; an OSError names its file."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _version_of(package: str) -> Callable[[], str]:
    return lambda: importlib.metadata.version(package)


def _extra(package: str, extra: str, purpose: str) -> Check:
    try:
        return Check(package, True, f"{importlib.metadata.version(package)}, for {purpose}")
    except importlib.metadata.PackageNotFoundError:
        needed = f"not installed; for {purpose}: pip install 'vaekit[{extra}]'"
        return Check(package, None, needed)


def _torchvision_match() -> str:
    """Check that torchvision's own operators load; built for another torch, they do not."""
    torch = importlib.import_module("torch")
    try:
        torchvision = importlib.import_module("torchvision")
        boxes, scores = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0])
        torchvision.ops.nms(boxes, scores, 0.5)
    except Exception as error:  # noqa: BLE001 (it fails in many ways, all of one cause)
        versions = [importlib.metadata.version(name) for name in ("torchvision", "torch")]
        raise RuntimeError(
            f"torchvision {versions[0]} does not work with torch {versions[1]} "
            f"({_reason(error)}): {MISMATCH}"
        ) from None
    return f"{torchvision.__version__} works with torch {torch.__version__}"


def _device_checks() -> Iterator[Check]:
    """Two checks per device: its name and memory, and a training step."""
    try:
        names = _devices()
    except Exception as error:  # noqa: BLE001 (torch does not import, or a driver is broken)
        yield Check("devices", False, _reason(error))
        return
    for name in names:
        yield _guarded(name, lambda name=name: _description(name))  # type: ignore[misc]
        yield _guarded(f"step on {name}", _step_on(name))


def _threads() -> str:
    threads = importlib.import_module("torch").get_num_threads()
    return f"{threads} of torch; in training they {thread_waiting.expected_in_training()}"


def _devices() -> list[str]:
    return list(importlib.import_module("vaekit.machine.devices").available_devices())


def _description(name: str) -> str:
    """A device's name and memory."""
    import torch

    if name.startswith("cuda"):
        facts = torch.cuda.get_device_properties(torch.device(name))
        return f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"
    chip = _processor() or platform.processor() or platform.machine()
    if name == "mps":
        return f"{chip}, {torch.mps.recommended_max_memory() / 2**30:.0f} GiB"
    threads = torch.get_num_threads()
    memory = _memory()
    return ", ".join(
        [chip, "1 thread" if threads == 1 else f"{threads} threads", *([memory] if memory else [])]
    )


def _processor() -> str:
    """The processor's name, where Linux gives it."""
    place = Path("/proc/cpuinfo")
    lines = place.read_text(errors="replace").splitlines() if place.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "")


def _memory() -> str:
    """The machine's memory, where the system gives it."""
    names = ("SC_PAGE_SIZE", "SC_PHYS_PAGES")
    if not hasattr(os, "sysconf") or not set(names) <= os.sysconf_names.keys():
        return ""
    page, pages = (os.sysconf(name) for name in names)
    return f"{page * pages / 2**30:.0f} GiB"


def _step_on(device: str) -> Callable[[], str]:
    def check() -> str:
        start = time.perf_counter()
        loss = _training_step(device)
        return f"one training step, loss {loss:.1f}, {time.perf_counter() - start:.2f} s"

    return check


def _training_step(device: str) -> float:
    """One forward and backward pass of a small conv model, and an update."""
    import torch

    from vaekit.likelihoods import build_likelihood
    from vaekit.models.vae import build
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


def _folder(folder: Path) -> str:
    """Check that files can be made in a folder, and the space left."""
    folder.mkdir(parents=True, exist_ok=True)
    with files.errors_naming_file(folder), tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"\0")
        file.flush()
    free = shutil.disk_usage(folder).free
    if free < LITTLE_DISK:
        raise OSError(f"{folder}: only {free / 1e9:.1f} GB are free")
    return f"{folder} can be written, {free / 1e9:,.0f} GB free"
