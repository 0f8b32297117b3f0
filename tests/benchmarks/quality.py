"""Time until `vaekit train` is as good as a plain loop after a recipe's epochs."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from functools import partial

from tests.benchmarks.interleaved import Claim, Contender, Subject
from tests.benchmarks.process import VAEKIT, contender, run
from tests.benchmarks.works import WORKS, Data, Options, Work, data_for

RECIPE_EPOCHS = {"mlp": 20, "conv": 15}
OUR_EPOCHS = {"mlp": 7, "conv": 8}

OTHER = {"mlp": ({"hidden": [300, 300]}, 5)}
"""Another network, and its epochs, that reach the quality sooner: a second figure."""


def subject(work: str, options: Options) -> Subject:
    """The benchmark, of whole processes; models are evaluated after the clock has stopped."""
    data = data_for(WORKS[work], options)
    few = 2 if options.quick else None
    recipe = options.epochs or few or RECIPE_EPOCHS[work]
    ours = options.vaekit_epochs or few or OUR_EPOCHS[work]
    plain = partial(
        contender,
        "rivals.plain_loop",
        work=work,
        train=str(data.train),
        test=str(data.test),
        epochs=recipe,
        batch=options.batch,
        workers=options.workers,
        threads=options.threads,
    )
    contenders: dict[str, Contender] = {
        "vaekit": partial(vaekit, WORKS[work], data, options, ours),
        "plain loop": plain,
    }
    facts = {**data.facts, "vaekit's epochs": ours, "plain loop's epochs": recipe}
    if work in OTHER:
        settings, epochs = OTHER[work]
        name = f"vaekit, {settings}"
        other = replace(WORKS[work], settings=settings)
        contenders[name] = partial(vaekit, other, data, options, few or epochs)
        facts[f"epochs of {name}"] = few or epochs
    goal = "below 1, with a neg_elbo that is no higher"
    claims = [Claim(name, "plain loop", goal) for name in contenders if name != "plain loop"]
    return Subject("s", contenders, claims, rounds=1, images=facts, warm_up=False)


def vaekit(work: Work, data: Data, options: Options, epochs: int) -> dict[str, float]:
    """Flags for the network, the likelihood and the epochs; all others keep their defaults."""
    threads = ["--threads", str(options.threads)] if options.threads else []
    with tempfile.TemporaryDirectory() as folder:
        flags = [*data.flags, *work.flags, "--epochs", str(epochs), *threads]
        trained = run([*VAEKIT, "train", *flags, "-o", f"{folder}/run"])
        model = f"{folder}/run/model.safetensors"
        judged = run([*VAEKIT, "evaluate", model, *data.flags, "--split", "test", "--json"])
    return {"value": trained.seconds, "neg_elbo": json.loads(judged.stdout)["neg_elbo"]}
