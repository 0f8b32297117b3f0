"""The frames of sliders and player: the latents that they say they show."""

from __future__ import annotations

import numpy as np
import torch

from vaekit.data import ImageSet
from vaekit.inference import Model
from vaekit.page.decoded_frames import (
    LEG_STEPS,
    REACH,
    STEPS,
    round_trip,
    shown_dimensions,
    traversal_facts,
    traversals,
    varied_images,
)


def test_a_frame_is_the_start_with_one_dimension_moved(model: Model, digits: ImageSet) -> None:
    bases = torch.cat([torch.zeros(1, 4), model.embed(digits.images[:1])])
    frames = traversals(model, [2, 0], bases)
    assert len(frames) == 2 * 2 * STEPS
    z = bases[1].clone()
    z[0] = REACH
    last = frames[(1 * 2 + 1) * STEPS + STEPS - 1]  # base 1, second dimension, last step
    assert torch.allclose(last, model.decode(z[None])[0], atol=1e-5)
    assert torch.allclose(frames[STEPS // 2], model.decode(torch.zeros(1, 4))[0], atol=1e-5)


def test_dimensions_that_carry_nothing_have_no_slider_unless_none_carries_anything() -> None:
    kl = [0.2, 0.0, None, 1.5]
    assert shown_dimensions(kl, torch.tensor([0.5, 1e-4, 0.0, 0.8])) == [3, 0]
    assert shown_dimensions(kl, torch.zeros(4)) == [3, 0, 1, 2]
    assert len(shown_dimensions([1.0] * 100, torch.ones(100))) == 16


def test_the_sliders_know_where_each_start_lies(digits: ImageSet) -> None:
    bases = torch.tensor([[0.0, 0.0, 0.0], [0.5, -1.25, 9.0]])
    facts = traversal_facts(digits, [7], bases, [1, 2], [0.1, 2.0, 0.3])
    assert facts["own"] == [[0.0, 0.0], [-1.25, 9.0]]
    assert facts["dims"] == [{"dim": 1, "kl": 2.0}, {"dim": 2, "kl": 0.3}]
    assert facts["left_out"] == 1
    assert len(facts["bases"]) == 2


def test_stops_are_of_different_classes() -> None:
    labels = np.array([0] * 90 + [1] * 5 + [2] * 5)
    images = ImageSet("x", "all", np.zeros((100, 2, 2, 1), np.uint8), labels)
    assert sorted(labels[varied_images(images, 3, 0, "stops")]) == [0, 1, 2]
    unlabelled = ImageSet("x", "all", np.zeros((2, 2, 2, 1), np.uint8))
    assert sorted(varied_images(unlabelled, 6, 0, "stops")) == [0, 1]


def test_the_walk_passes_every_stop_and_returns(model: Model, digits: ImageSet) -> None:
    z = model.embed(digits.images[:3])
    frames = round_trip(model, z)
    assert len(frames) == 3 * LEG_STEPS
    assert torch.allclose(frames[::LEG_STEPS], model.decode(z), atol=1e-5)
    step = (frames[-1] - frames[0]).abs().mean(), (frames[LEG_STEPS] - frames[0]).abs().mean()
    assert step[0] < step[1], "the last frame is close to the first"
