"""Groups of latents: what Python callers ask of them, and what a model file says of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.ladder_files import SHAPES, SIZES, ladder_header, small_ladder
from vaekit.errors import DataError, UsageError
from vaekit.inference import Model
from vaekit.latents.groups import groups_of, parse_temperatures, temperatures
from vaekit.model_file.header import ModelSpec
from vaekit.seeds import normal_rows


@pytest.fixture(scope="module")
def ladder() -> Model:
    return Model(small_ladder(), ladder_header())


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)


# What a header says.


def test_groups_lie_one_after_another_with_the_nats_of_their_latents() -> None:
    found = groups_of(ladder_header())
    assert [group.shape for group in found] == SHAPES
    assert [(group.start, group.stop) for group in found] == [(0, 2), (2, 10), (10, 138)]
    assert [group.nats for group in found] == [3, sum(range(3, 11)), sum(range(11, 139))]
    assert [group.grid for group in found] == ["1x1", "2x2", "8x8"]


def test_the_groups_of_the_header_are_those_of_the_network(ladder: Model) -> None:
    assert [len(group) for group in ladder.groups] == ladder.network.group_sizes


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"latent_groups": [10**9, 1, 0, 1], "latent_channels": 2},
        {"latent_groups": [1, 1], "latent_channels": 2},
        {"latent_groups": [1, 1, 0, 1], "latent_channels": "2"},
        {"latent_groups": "1,1,0,1", "latent_channels": 2},
        {"latent_groups": [True, 1, 0, 1], "latent_channels": 2},
    ],
    ids=str,
)
def test_latents_are_one_group_where_the_settings_do_not_make_them_up(settings: Any) -> None:
    """A header may lie; `info` must neither fail nor fill the memory."""
    spec = ModelSpec.model_validate(
        {"name": "ladder", "latent_dim": 138, "image": [8, 8, 1], **settings}
    )
    (only,) = groups_of(ladder_header(spec))
    assert (only.shape, only.start, only.stop, only.grid) == ((138,), 0, 138, "")


# What options ask.


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("0.7", [0.7, 0.7, 0.7]),
        (1, [1.0, 1.0, 1.0]),
        ("1,0.5", [1.0, 0.5, 0.5]),
        ([1, 0.5, 0], [1.0, 0.5, 0.0]),
        ("0,1,2", [0.0, 1.0, 2.0]),
    ],
)
def test_the_last_temperature_is_for_the_rest(asked: Any, expected: list[float]) -> None:
    assert temperatures(asked, groups_of(ladder_header())) == expected


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("-0.1", "--temperature -0.1: must be a finite number, at least 0"),
        ("1,nan", "--temperature nan: must be a finite number"),
        ([0.5, float("inf")], "--temperature inf: must be a finite number"),
        ("warm", "--temperature warm: give a number, or several such as"),
        ("1,,2", "--temperature 1,,2: give a number"),
        ("", "--temperature : give a number"),
        ([], r"--temperature \[\]: give a number"),
    ],
)
def test_a_temperature_that_makes_no_sense_is_refused(asked: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_temperatures(asked)


def test_more_temperatures_than_groups_are_refused(ladder: Model) -> None:
    with pytest.raises(UsageError, match="4 numbers, where 3 groups of latents are drawn"):
        ladder.sample(1, temperature=[1, 1, 1, 1])


@pytest.mark.parametrize("groups", [-1, 0, 4])
def test_groups_out_of_range_say_what_would_fit(
    ladder: Model, images: np.ndarray, groups: int
) -> None:
    says = rf"--groups {groups}: this model has 3 groups of latents \(1x1, 2x2, 8x8\): give 1 to 3"
    for use in (ladder.embed, ladder.reconstruct):
        with pytest.raises(UsageError, match=says):
            use(images, groups=groups)
    with pytest.raises(UsageError, match=says):
        ladder.interpolate(images[0], images[1], groups=groups)
    with pytest.raises(UsageError, match=says):
        ladder.traverse(groups=groups)


# What a model does with them.


def test_each_group_is_drawn_at_its_temperature(ladder: Model) -> None:
    noise = normal_rows(0, 6, sum(SIZES), 3, "sample")
    expected = torch.cat([noise[:, :2], 0.5 * noise[:, 2:10], 0 * noise[:, 10:]], 1)
    assert torch.equal(ladder.draw_latents(6, seed=3, temperature=[1, 0.5, 0]), expected)
    assert torch.equal(ladder.sample(6, seed=3, temperature=[1, 0.5, 0]), ladder.decode(expected))


def test_a_temperature_of_0_gives_the_means(ladder: Model) -> None:
    assert torch.equal(ladder.sample(2, temperature=0.0), ladder.decode(torch.zeros(2, 138)))


def test_the_first_groups_are_the_first_of_all_latents(ladder: Model, images: np.ndarray) -> None:
    whole = ladder.embed(images)
    for groups, stop in ((1, 2), (2, 10), (3, 138)):
        assert torch.equal(ladder.embed(images, groups=groups), whole[:, :stop])
    drawn = ladder.embed(images, groups=2, sample=True, seed=4)
    assert torch.equal(drawn, ladder.embed(images, sample=True, seed=4)[:, :10])


def test_groups_that_are_left_out_are_at_their_means(ladder: Model, images: np.ndarray) -> None:
    z = ladder.embed(images)
    z[:, 10:] = 0
    assert torch.equal(ladder.reconstruct(images, groups=2), ladder.decode(z))
    assert torch.equal(ladder.decode(z[:, :10]), ladder.decode(z))
    assert torch.equal(ladder.reconstruct(images, groups=3), ladder.reconstruct(images))


def test_groups_that_are_left_out_may_be_drawn(ladder: Model, images: np.ndarray) -> None:
    z = ladder.embed(images)
    noise = normal_rows(0, 5, 138, 7, "sample")
    z[:, 10:] = 0.5 * noise[:, 10:]
    drawn = ladder.reconstruct(images, groups=2, temperature=[9, 9, 0.5], seed=7)
    assert torch.equal(drawn, ladder.decode(z))
    later = ladder.decode(z[3:, :10], temperature=0.5, seed=7, start=3)
    assert torch.equal(later, drawn[3:])


def test_latents_that_are_no_whole_groups_are_refused(ladder: Model) -> None:
    for width in (1, 3, 11, 139):
        with pytest.raises(DataError, match=r"needs \(N, 138\) or \(N, 10\) or \(N, 2\)"):
            ladder.decode(torch.zeros(2, width))


def test_a_path_in_the_first_groups_ends_at_their_reconstructions(
    ladder: Model, images: np.ndarray
) -> None:
    path = ladder.interpolate(images[0], images[1], steps=5, groups=1)
    assert torch.equal(path[[0, -1]], ladder.reconstruct(images[:2], groups=1))


def test_a_traversal_of_the_first_groups_shows_their_latents_alone(ladder: Model) -> None:
    """By KL, which here is the number of the latent."""
    shown = ladder.traverse(groups=2, steps=3)
    every = ladder.traverse(dims=[9, 8, 7, 6, 5, 4, 3, 2, 1, 0], steps=3)
    assert torch.equal(shown, every)
