"""Commands that use a model against the bare forward pass of the same network."""

from __future__ import annotations

from functools import partial

from tests.benchmarks.interleaved import Claim, Contender, Subject
from tests.benchmarks.process import contender
from tests.benchmarks.startup import small_model
from tests.benchmarks.works import WORKS, Options, data_for

COMMANDS = ("embed", "reconstruct", "evaluate")
IMAGES = {"mlp": 60_000, "conv": 12_000}


def subject(work: str, options: Options) -> Subject:
    """The benchmark: the whole command, reading and writing included, without starting Python."""
    from vaekit import load

    model = str(small_model(work, options))
    data = data_for(WORKS[work], options, options.count(IMAGES[work]))
    threads = ["--threads", str(options.threads)] if options.threads else []
    flags = ["--dataset", str(data.train), "--split", "all", *threads]
    bare = {
        "work": work,
        "images": str(data.train),
        "batch": load(model).chunk,
        "threads": options.threads,
    }
    contenders: dict[str, Contender] = {}
    for name in COMMANDS:
        settings = {"command": name, "model": model, "flags": flags, "count": data.count}
        contenders[f"vaekit {name}"] = partial(
            contender, "ours", kind="use", threads=options.threads, **settings
        )
        contenders[f"bare {name}"] = partial(contender, "rivals.bare_forward", command=name, **bare)
    claims = [Claim(f"vaekit {name}", f"bare {name}", "at least 0.9") for name in COMMANDS]
    return Subject("images/s", contenders, claims, 5, data.facts)
