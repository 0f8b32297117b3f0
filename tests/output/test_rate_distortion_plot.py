"""What a user would lose: models where they are, and lines on which −ELBO is what they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from vaekit.errors import UsageError
from vaekit.output.rate_distortion_plot import RatePoint, rate_distortion_figure

from .test_plots import assert_unclipped

BETAS = [0.1, 0.5, 1.0, 4.0]


def curve(name: str = "", shift: float = 0.0) -> list[RatePoint]:
    """Rates and distortions like those of digits."""
    rates, distortions = [31.0, 21.0, 16.5, 7.9], [101.0, 104.0, 108.5, 131.0]
    places = zip(BETAS, rates, distortions, strict=True)
    return [
        RatePoint(f"β {beta:g}", rate + shift, distortion, 0.2, 0.9, name)
        for beta, rate, distortion in places
    ]


def drawn_points(figure: Figure) -> list[list[tuple[float, float]]]:
    lines = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    return [[*zip(line.get_xdata(), line.get_ydata(), strict=True)] for line in lines]


def test_each_model_is_where_its_numbers_are_with_its_name() -> None:
    figure = rate_distortion_figure(curve())
    (points,) = drawn_points(figure)
    assert points == [(point.rate, point.distortion) for point in curve()]
    texts = {text.get_text(): text.xy for text in figure.axes[0].texts}
    for point in curve():
        assert texts[point.label] == (point.rate, point.distortion)
    assert_unclipped(figure)


def test_bars_are_the_standard_errors() -> None:
    bars = [c.get_segments() for c in rate_distortion_figure(curve()).axes[0].collections]
    spans = {tuple(np.ptp(segment, axis=0).round(6)) for each in bars for segment in each}
    assert spans == {(0.4, 0.0), (0.0, 1.8)}


def test_rate_and_distortion_add_up_to_the_number_of_their_line() -> None:
    axes = rate_distortion_figure(curve()).axes[0]
    lines = [line for line in axes.lines if line.get_linestyle() == ":"]
    sums = []
    for line in lines:
        total = np.add(line.get_xdata(), line.get_ydata())
        assert total[0] == pytest.approx(total[1])
        sums.append(f"{total[0]:g}")
    assert len(sums) >= 4
    written = [text for text in axes.texts if text.get_text() in sums]
    assert [text.get_text() for text in written] == sums
    for text in written:
        assert sum(text.xy) == pytest.approx(float(text.get_text()))
        assert axes.get_xlim()[0] <= text.xy[0] <= axes.get_xlim()[1]
        assert axes.get_ylim()[0] <= text.xy[1] <= axes.get_ylim()[1]


def test_curves_have_a_colour_and_a_name_each() -> None:
    figure = rate_distortion_figure([*curve("latent_dim 8"), *curve("latent_dim 16", 3.0)])
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[-2:] == ["latent_dim 8", "latent_dim 16"] or {*names} >= {
        "latent_dim 8",
        "latent_dim 16",
    }
    lines = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert len({to_hex(line.get_color()) for line in lines}) == 2
    assert_unclipped(figure)


def test_one_model_and_models_without_errors_are_drawn() -> None:
    figure = rate_distortion_figure([RatePoint("m", 5.0, 90.0, math.nan, math.nan)])
    assert drawn_points(figure) == [[(5.0, 90.0)]]
    assert_unclipped(figure)


def test_models_that_diverged_are_left_out() -> None:
    broken = RatePoint("broken", math.nan, 3.0)
    assert len(drawn_points(rate_distortion_figure([*curve(), broken]))[0]) == len(BETAS)
    with pytest.raises(UsageError, match="no model with a finite rate"):
        rate_distortion_figure([broken])
