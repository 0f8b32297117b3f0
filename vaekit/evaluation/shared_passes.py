"""The long passes of an evaluation that ranks share: encoding, and importance weights."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from vaekit.evaluation.encode_pass import encoded_chunks
from vaekit.evaluation.evaluated_model import EvaluatedModel
from vaekit.evaluation.log_likelihood.nll import ImportanceEstimate, importance_estimate
from vaekit.evaluation.metrics import MetricRequest


def take_part(subject: EvaluatedModel, request: MetricRequest) -> None:
    """What a rank other than 0 does of an evaluation: its share of the long passes."""
    for _ in encoded_chunks(subject):
        pass
    samples, refined = request.nll_samples, request.nll == "refined"
    if samples is not None:
        for _ in importance_estimates(subject, samples, refined=refined):
            pass


def importance_estimates(
    subject: EvaluatedModel, samples: int, *, refined: bool
) -> Iterator[ImportanceEstimate]:
    """Estimates of log p(x) for all images, in order."""
    network, seed = subject.model.network, subject.seed
    total = samples * len(subject.images)
    with subject.reporter.task("log-likelihood", total, "draws") as task:
        shown = None if subject.ranks.several else task  # the draws of the others come at once

        def estimate(given: tuple[int, Tensor]) -> ImportanceEstimate:
            start, x = given
            return importance_estimate(
                network, x, samples, seed=seed, start=start, refined=refined, task=shown
            )

        for (_, x), found in subject.ranks.in_turns(_observed(subject), estimate):
            yield found
            if shown is None:
                task.advance(samples * len(x))


def _observed(subject: EvaluatedModel) -> Iterator[tuple[int, Tensor]]:
    """The images as the model sees them, in pieces small enough for ranks to share."""
    for start, x in subject.observed():
        size = subject.model.chunk if subject.ranks.several else len(x)
        for first in range(0, len(x), size):
            yield start + first, x[first : first + size]
