"""Outlier scores of the page's images, where the model file has statistics for them."""

from __future__ import annotations

from vaekit.data import ImageSet
from vaekit.evaluation.image_scores import scores
from vaekit.evaluation.strangest import is_outlier
from vaekit.inference import Model
from vaekit.reporting import SILENT, Reporter

Scores = list[float | None]


def outlier_numbers(
    model: Model, images: ImageSet, seed: int = 0, reporter: Reporter = SILENT
) -> tuple[Scores, Scores] | None:
    """The outlier score and the false-alarm rate of each image, as `vaekit score` gives them."""
    if model.header.known is None:
        return None
    outlying, rates = Scores(), Scores()
    step = model.images_at_once()
    with reporter.task("outlier scores", len(images)) as task:
        for start in range(0, len(images), step):
            pixels = images.images[start : start + step]
            found = scores(model, pixels, start=start, seed=seed)
            outlying += found["outlier"]
            rates += found["false_alarm_rate"]
            task.advance(len(pixels))
    return outlying, rates


def most_outlying(outlying: Scores, count: int) -> list[int]:
    """The images with the highest scores, the highest first; one that is NaN counts as highest.

    >>> most_outlying([1.0, None, 3.0], 2)
    [1, 2]
    """
    order = sorted(range(len(outlying)), key=lambda i: (-_strangeness(outlying[i]), i))
    return order[:count]


def _strangeness(score: float | None) -> float:
    return float("inf") if score is None else score


def flagged(rates: Scores) -> int:
    """How many images are called outliers, at a false-alarm rate of 1 percent.

    >>> flagged([0.5, 0.01, 0.001])
    2
    """
    return sum(map(is_outlier, rates))
