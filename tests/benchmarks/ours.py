"""vaekit as a contender: the real command, timed from inside its process."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.process import contend, limit_threads
from tests.benchmarks.rivals.steady import Epochs


class FirstStep(Exception):
    """Raised at the first step, to end the run."""


def train(train: str, flags: Sequence[str], epochs: int, count: int, **_: Any) -> dict[str, float]:
    """Throughput of `vaekit train`, with its progress bar, metrics and checkpoints."""
    _wait_as_the_command()
    from vaekit.cli import run
    from vaekit.cli.terminal import training_view

    marks = Epochs()

    class Watched(training_view.TrainingView):
        def epoch_ended(self, record: Mapping[str, float]) -> None:
            super().epoch_ended(record)
            marks.ended()

    training_view.TrainingView = Watched  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        _succeed(run(["train", *flags, "--epochs", str(epochs), "-o", f"{folder}/run"]))
    return marks.measured(count)


def _wait_as_the_command() -> None:
    """Decide how threads wait, as `vaekit train` does before it imports torch."""
    from vaekit.machine import thread_waiting

    thread_waiting.decide(["train"], os.environ)


def first_step(flags: Sequence[str], **_: Any) -> dict[str, float]:
    """Seconds from the start of `vaekit train` to its first step, after all imports."""
    _wait_as_the_command()
    import vaekit.training.run  # noqa: F401 (imported before the clock starts)
    from vaekit.cli import run
    from vaekit.cli.terminal import training_view

    reached: list[float] = []

    class Stopped(training_view.TrainingView):
        def stepped(self, facts: object) -> None:
            reached.append(time.perf_counter())
            raise FirstStep

    training_view.TrainingView = Stopped  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run(["train", *flags, "-o", f"{folder}/run"])
    return {"value": reached[0] - began}


def store(archive: str, **_: Any) -> dict[str, float]:
    """Images per second from a zip into an empty cache; imports are not timed."""
    import PIL.JpegImagePlugin  # noqa: F401

    from vaekit import load_dataset

    began = time.perf_counter()
    images = load_dataset(archive, "all")
    return {"value": len(images) / (time.perf_counter() - began), "images": len(images)}


def use(command: str, model: str, flags: Sequence[str], count: int, **_: Any) -> dict[str, float]:
    """Images per second of a command that uses a model, in its second run in one process."""
    from vaekit.cli import run

    with tempfile.TemporaryDirectory() as folder:
        asked = [command, model, *flags]
        once, again = [
            [] if command == "evaluate" else ["-o", str(Path(folder) / name)]
            for name in ("once.npy", "again.npy")
        ]
        _succeed(run([*asked, *once]))
        began = time.perf_counter()
        _succeed(run([*asked, *again]))
        return {"value": count / (time.perf_counter() - began)}


def nll(
    model: str, images: str, samples: int, threads: int | None = None, **_: Any
) -> dict[str, float]:
    """Draws per second of the importance-weighted bound."""
    import numpy as np

    from vaekit import load
    from vaekit.evaluation.log_likelihood.nll import importance_estimate
    from vaekit.image_arguments import as_floats

    limit_threads(threads)
    network, x = load(model).network.eval(), as_floats(np.load(images))
    x = x.to(next(network.parameters()).device)
    importance_estimate(network, x[:8], samples)
    began = time.perf_counter()
    importance_estimate(network, x, samples)
    return {"value": len(x) * samples / (time.perf_counter() - began)}


def _succeed(code: int) -> None:
    if code:
        raise SystemExit(code)


KINDS: dict[str, Callable[..., dict[str, float]]] = {
    "train": train,
    "first_step": first_step,
    "store": store,
    "use": use,
    "nll": nll,
}


def measure(kind: str, **settings: Any) -> dict[str, float]:
    """Run the measurement of this kind."""
    return KINDS[kind](**settings)


if __name__ == "__main__":
    contend(measure)
