"""Training throughput: the command against pythae, a plain loop, and the bare steps."""

from __future__ import annotations

from functools import partial

from tests.benchmarks.interleaved import Claim, Contender, Subject
from tests.benchmarks.process import contender
from tests.benchmarks.rivals import pythae_run
from tests.benchmarks.works import WORKS, Data, Options, data_for

EPOCHS = 5
SAME = ("--lr", "0.001", "--schedule", "constant", "--optimizer", "adam", "--val-split", "0")
NO_MORE_PICTURES = ("--pictures-every", "1000000")
"""An interval so long that only the first and the last epoch draw; neither is timed."""


def subject(work: str, options: Options) -> Subject:
    """The benchmark: the same network, images, batch and optimizer for all."""
    data = data_for(WORKS[work], options)
    epochs = options.epochs or (3 if options.quick else EPOCHS)
    settings = {
        "work": work,
        "train": str(data.train),
        "epochs": epochs,
        "batch": options.batch,
        "workers": options.workers,
        "threads": options.threads,
        "count": data.count,
    }
    rivals: dict[str, Contender] = {
        f"{name}": partial(contender, f"rivals.{module}", **settings)
        for name, module in _rivals().items()
    }
    flags = _flags(work, data, options)
    ours = {"vaekit": partial(contender, "ours", kind="train", flags=flags, **settings)}
    if options.compile:
        compiled = [*flags, "--compile", "on"]
        ours["vaekit --compile"] = partial(
            contender, "ours", kind="train", flags=compiled, **settings
        )
    claims = [Claim(our, rival, _goal(rival)) for our in ours for rival in rivals]
    return Subject("images/s", ours | rivals, claims, images={**data.facts, "epochs": epochs})


def _rivals() -> dict[str, str]:
    found = {"bare loop": "bare_loop", "plain loop": "plain_loop", "pythae": "pythae_run"}
    if not pythae_run.installed():
        print('pythae is left out: it is not installed (pip install -e ".[bench]")')
        del found["pythae"]
    return found


def _goal(rival: str) -> str:
    return "at least 0.9" if rival == "bare loop" else "above 1"


def _flags(work: str, data: Data, options: Options) -> list[str]:
    threads = ["--threads", str(options.threads)] if options.threads else []
    same = [*data.flags, *WORKS[work].flags, *SAME, *NO_MORE_PICTURES]
    return [*same, "--batch-size", str(options.batch), *threads]
