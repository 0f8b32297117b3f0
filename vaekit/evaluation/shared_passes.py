"""The long passes of an evaluation that ranks share: encoding, and importance weights."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from vaekit.evaluation.encode_pass import encoded_chunks
from vaekit.evaluation.evaluated_model import EvaluatedModel
from vaekit.evaluation.log_likelihood.estimates import estimate_log_likelihood
from vaekit.evaluation.log_likelihood.nll import ImportanceEstimate
from vaekit.evaluation.metrics import MetricRequest, NllSettings


def take_part(subject: EvaluatedModel, request: MetricRequest) -> None:
    """What a rank other than 0 does of an evaluation: its share of the long passes."""
    for _ in encoded_chunks(subject):
        pass
    if request.nll_settings is not None:
        for _ in importance_estimates(subject, request.nll_settings):
            pass


def importance_estimates(subject: EvaluatedModel, how: NllSettings) -> Iterator[ImportanceEstimate]:
    """Estimates of log p(x) for all images, in order."""
    network, seed = subject.model.network, subject.seed
    total = how.samples * len(subject.images)
    with subject.reporter.task("log-likelihood", total, "draws") as task:
        shown = None if subject.ranks.several else task  # the draws of the others come at once

        def estimate(given: tuple[int, Tensor]) -> ImportanceEstimate:
            start, x = given
            return estimate_log_likelihood(network, x, how, seed=seed, start=start, task=shown)

        for (_, x), found in subject.ranks.in_turns(_observed(subject), estimate):
            yield found
            if shown is None:
                task.advance(how.samples * len(x))


def _observed(subject: EvaluatedModel) -> Iterator[tuple[int, Tensor]]:
    """The images as the model sees them, in pieces small enough for ranks to share."""
    for start, x in subject.observed():
        size = subject.model.chunk if subject.ranks.several else len(x)
        for first in range(0, len(x), size):
            yield start + first, x[first : first + size]
