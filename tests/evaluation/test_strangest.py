"""The strangest images of a stream: which are kept, in which order, and the count of outliers."""

from __future__ import annotations

import numpy as np

from vaekit.evaluation.strangest import AMBER, RED, SHOWN, Strangest, highest_rate, is_outlier


def some(count: int, start: int = 0) -> np.ndarray:
    """Images whose grey level is their number."""
    levels = np.arange(start, start + count, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, 8, 8, 1))


def test_outliers_are_counted_at_one_percent() -> None:
    kept = Strangest("validation", 4096)
    kept.add(some(4), "abcd", {"outlier": [1, 9, 8, 2], "false_alarm_rate": [0.5, 0.01, 0.02, 0.3]})
    kept.add(some(1), "e", {"outlier": [None], "false_alarm_rate": [None]})
    assert kept.summary() == (
        "2 of 5 images are outliers; of images like the 4,096 validation images, 1% would be, "
        "up to 1.2% by chance"
    )
    few = Strangest("training", 84)
    few.add(some(1), "a", {"outlier": [37.7], "false_alarm_rate": [1 / 85]})
    assert few.summary() == (
        "no image can be called an outlier at a rate of 1%: the model knows 84 training images, "
        "too few for a rate under 1.2%, and new images exceed the rates"
    )
    seen = Strangest("training", 300)
    assert seen.summary() == (
        "0 of 0 images are outliers; of the 300 training images that the model knows, 1% would be, "
        "and more of new ones"
    )
    assert [is_outlier(rate) for rate in (0.01, 0.011, None)] == [True, False, True]


def test_the_sheet_shows_the_strangest_first_and_no_more_than_it_holds() -> None:
    kept = Strangest("validation", 4096)
    scores = [float(i) for i in range(SHOWN + 5)]
    for start in range(0, len(scores), 9):
        part = scores[start : start + 9]
        numbers = {"outlier": part, "false_alarm_rate": [1.0] * len(part)}
        kept.add(some(len(part), start), [str(i) for i in part], numbers)
    sheet = kept.sheet()
    levels = [level for level in range(SHOWN + 5) if (sheet == level).all(-1).sum() > 5000]
    assert levels == list(range(5, SHOWN + 5))  # the five least strange are not shown
    top = {level: int(np.argwhere((sheet == level).all(-1))[0][0]) for level in levels}
    assert top[SHOWN + 4] < top[5]


def test_outliers_are_marked() -> None:
    kept = Strangest("validation", 4096)
    kept.add(some(1), ["x"], {"outlier": [9.0], "false_alarm_rate": [0.001]})
    assert (kept.sheet() == RED).all(-1).any()
    assert kept.legend() == "Red: outliers, at a rate of 1% or less. "
    kept.add(some(1), ["y"], {"outlier": [2.0], "false_alarm_rate": [0.1]})
    assert (kept.sheet() == AMBER).all(-1).any()
    assert kept.legend() == "Red: outliers, at a rate of 1% or less. Amber: 10% or less. "
    kept = Strangest("validation", 4096)
    kept.add(some(1), ["x"], {"outlier": [1.0], "false_alarm_rate": [0.9]})
    assert not (kept.sheet() == RED).all(-1).any()


def test_the_rate_of_one_set_of_known_images_may_be_this_high() -> None:
    """The share of uniform numbers above the k-th largest of n others, by simulation."""
    random = np.random.default_rng(0)
    for rate, known in ((0.01, 99), (0.02, 200), (0.05, 60)):
        rank = int(rate * (known + 1))
        thresholds = np.sort(random.random((20_000, known)))[:, -rank]
        exceeded = (1 - thresholds > highest_rate(rate, known)).mean()
        assert abs(exceeded - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 20_000)
