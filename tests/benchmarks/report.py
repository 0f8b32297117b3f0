"""A benchmark's results: tables for people, and JSON with the machine and the versions."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.interleaved import Claim, Measurement, Subject, ratio, shown, values

Runs = Mapping[str, Sequence[Measurement]]
PACKAGES = ("vaekit", "torch", "torchvision", "numpy", "pillow", "pythae")


def show(subject: Subject, runs: Runs) -> None:
    """Print both tables, the ratios last."""
    console = Console()
    console.print(", ".join(f"{key}: {value}" for key, value in subject.images.items()))
    console.print(_speeds(subject, runs))
    console.print(_ratios(subject, runs))


def record(name: str, subject: Subject, runs: Runs, settings: Mapping[str, Any]) -> dict[str, Any]:
    """All results and settings as plain values for JSON."""
    return {
        "benchmark": name,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "settings": {key: _plain(value) for key, value in settings.items()},
        "images": dict(subject.images),
        "unit": subject.unit,
        "runs": {contender: list(map(dict, series)) for contender, series in runs.items()},
        "ratios": [_ratio_record(claim, runs) for claim in subject.claims],
    }


def machine() -> dict[str, Any]:
    """The processor, the cores this process may use, the accelerator and the system."""
    import torch

    found = {
        "cpu": _cpu(),
        "cores": _cores(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if torch.cuda.is_available():
        found["accelerator"] = torch.cuda.get_device_name()
    return found


def versions() -> dict[str, str]:
    """Versions of Python and the relevant packages; missing packages are left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _speeds(subject: Subject, runs: Runs) -> Table:
    table = Table("", f"{subject.unit}, median", "lowest", "highest", "beside that")
    for name, series in runs.items():
        found = values(series)
        numbers = [shown(number) for number in (median(found), min(found), max(found))]
        table.add_row(name, *numbers, _rest(series))
    return table


def _rest(series: Sequence[Measurement]) -> str:
    """Medians of the other measurements."""
    keys = [key for key in series[0] if key != "value"]
    return ", ".join(f"{key} {shown(median(values(series, key)))}" for key in keys)


def _ratios(subject: Subject, runs: Runs) -> Table:
    table = Table("", "ratio of medians", "median of pairs", "lowest", "highest", "goal")
    for claim in subject.claims:
        if claim.of not in runs or (claim.to and claim.to not in runs):
            continue
        found = _ratio_record(claim, runs)
        numbers = [f"{found[key]:.3f}" for key in ("of_medians", "of_pairs", "lowest", "highest")]
        label = f"{claim.of} / {claim.to}" if claim.to else f"{claim.of}, {subject.unit}"
        table.add_row(label, f"[bold]{numbers[0]}[/bold]", *numbers[1:], claim.goal)
    return table


def _ratio_record(claim: Claim, runs: Runs) -> dict[str, Any]:
    """A comparison with its numbers; without a rival, the value itself."""
    of = values(runs[claim.of])
    to = values(runs[claim.to]) if claim.to else [1.0] * len(of)
    return asdict(claim) | asdict(ratio(of, to))


def _plain(value: Any) -> Any:
    """The last part of a path, so that reports do not show where it is."""
    return value.name if isinstance(value, Path) else value
