"""Start-up time of commands, beside the imports that they need."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.benchmarks.interleaved import Claim, Subject
from tests.benchmarks.process import VAEKIT, run
from tests.benchmarks.works import WORKS, Options, data_for

ROUNDS = 11


def subject(work: str, options: Options) -> Subject:
    """The benchmark, of whole processes."""
    model = small_model(work, options)
    picture = str(options.folder / "samples.png")
    commands = {
        "vaekit --help": [*VAEKIT, "--help"],
        "import typer, rich": [sys.executable, "-c", "import typer, rich"],
        "vaekit info": [*VAEKIT, "info", str(model)],
        "vaekit sample -n 64": [*VAEKIT, "sample", str(model), "-n", "64", "-o", picture],
        "import torch": [sys.executable, "-c", "import torch"],
    }
    claims = [
        Claim("vaekit --help", "import typer, rich", "at most 3"),
        Claim("vaekit info", None, "below 0.3"),
        Claim("vaekit sample -n 64", "import torch", "at most 1.3"),
    ]
    return Subject("s", {name: partial(seconds, c) for name, c in commands.items()}, claims, ROUNDS)


def seconds(command: Sequence[str]) -> dict[str, float]:
    """Seconds from the start of a process to its end."""
    return {"value": run(command).seconds}


def small_model(work: str, options: Options) -> Path:
    """A model after a very short training: speed does not depend on the weights."""
    data = data_for(WORKS[work], options, 1000)
    folder = options.folder / f"model-{work}"
    flags = [*data.flags, *WORKS[work].flags, "--epochs", "1", "-o", str(folder), "--quiet"]
    run([*VAEKIT, "train", *flags])
    return folder / "model.safetensors"
