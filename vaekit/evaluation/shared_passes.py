"""The long passes of an evaluation that ranks share: encoding, and importance weights."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from vaekit.evaluation.encode_pass import encoded_chunks
from vaekit.evaluation.evaluated_model import EvaluatedModel
from vaekit.evaluation.log_likelihood.estimates import estimate_log_likelihood, work_per_image
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
    each, unit = work_per_image(network, how)
    with subject.reporter.task("log-likelihood", each * len(subject.images), unit) as task:
        shown = None if subject.ranks.several else task  # the work of the others comes at once

        def estimate(given: tuple[int, Tensor]) -> ImportanceEstimate:
            start, x = given
            return estimate_log_likelihood(network, x, how, seed=seed, start=start, task=shown)

        for (_, x), found in subject.ranks.in_turns(_observed(subject), estimate):
            yield found
            if shown is None:
                task.advance(each * len(x))


def _observed(subject: EvaluatedModel) -> Iterator[tuple[int, Tensor]]:
    """The images as the model sees them, in pieces small enough for ranks to share."""
    for start, x in subject.observed():
        size = subject.model.chunk if subject.ranks.several else len(x)
        for first in range(0, len(x), size):
            yield start + first, x[first : first + size]
