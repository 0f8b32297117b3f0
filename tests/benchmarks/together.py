"""Two training runs at once on the cores of one machine, beside one run alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.benchmarks.interleaved import Claim, Contender, Subject
from tests.benchmarks.process import contender
from tests.benchmarks.training import EPOCHS, NO_MORE_PICTURES, SAME
from tests.benchmarks.works import WORKS, Data, Options, data_for

ALONE, ONE_THREAD, BOTH = "alone", "alone, --threads 1", "slower of two at once"


def subject(work: str, options: Options) -> Subject:
    """The benchmark: each run has the same work, and the slower of two counts."""
    data = data_for(WORKS[work], options)
    epochs = options.epochs or (3 if options.quick else EPOCHS)
    run = partial(train, work, data, options, epochs)
    contenders: dict[str, Contender] = {
        ALONE: partial(run, options.threads),
        ONE_THREAD: partial(run, 1),
        BOTH: partial(slower_of_two, partial(run, options.threads)),
    }
    claims = [Claim(BOTH, ONE_THREAD, "at least 0.8"), Claim(ALONE, ONE_THREAD, "at least 1")]
    return Subject("images/s", contenders, claims, images={**data.facts, "epochs": epochs})


def train(
    work: str, data: Data, options: Options, epochs: int, threads: int | None
) -> dict[str, float]:
    """Images per second of one run of `vaekit train`."""
    asked = ["--threads", str(threads)] if threads else []
    same = [*data.flags, *WORKS[work].flags, *SAME, *NO_MORE_PICTURES]
    flags = [*same, "--batch-size", str(options.batch), *asked]
    settings = {"train": str(data.train), "epochs": epochs, "threads": threads}
    return contender("ours", kind="train", flags=flags, count=data.count, **settings)


def slower_of_two(run: Contender) -> dict[str, float]:
    """Start it twice at the same moment; each waits for its own process."""
    with ThreadPoolExecutor(2) as pool:
        speeds = sorted(each["value"] for each in pool.map(lambda _: run(), range(2)))
    return {"value": speeds[0], "faster": speeds[1]}
