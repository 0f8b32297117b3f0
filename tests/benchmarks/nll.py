"""Importance weighting against its decodes alone."""

from __future__ import annotations

from functools import partial

from tests.benchmarks.interleaved import Claim, Subject
from tests.benchmarks.process import contender
from tests.benchmarks.startup import small_model
from tests.benchmarks.works import WORKS, Options, data_for
from vaekit.evaluation.log_likelihood.nll import CHUNKS

IMAGES = {"mlp": 500, "conv": 60}
SAMPLES = 512


def subject(work: str, options: Options) -> Subject:
    """Draws per second; the decodes use chunks of the same length as the bound."""
    from vaekit import load

    model = str(small_model(work, options))
    rows = CHUNKS * load(model).chunk
    count = options.images or (8 if options.quick else IMAGES[work])
    data = data_for(WORKS[work], options, count)
    settings = {"images": str(data.train), "samples": SAMPLES, "threads": options.threads}
    contenders = {
        "decodes alone": partial(
            contender, "rivals.bare_forward", work=work, command="decode", batch=rows, **settings
        ),
        "importance weighting": partial(contender, "ours", kind="nll", model=model, **settings),
    }
    claim = Claim("decodes alone", "importance weighting", "at most 1.3")
    facts = {**data.facts, "draws for each": SAMPLES}
    return Subject("draws/s", contenders, [claim], 5, facts)
