"""Randomness that is counted: if a place moved, no run could be taken up and no draw repeated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vaekit.seeds import (
    BLOCK,
    SPLITMIX_STEP,
    generator,
    hashed,
    key,
    normal_rows,
    numpy_generator,
    splitmix,
    uniform_rows,
)

ROWS = st.integers(0, 4 * BLOCK)


def test_keys_never_change_from_one_version_to_the_next() -> None:
    """Every published number hangs on these: the first eight bytes of a SHA-256, halved."""
    assert key(0, "order", 3) == 5172884068272721061
    assert key(0, "weights") == 4194789700723333633


PLACES = st.tuples(st.integers(0, 10**6), st.sampled_from(["order", "noise"]), st.integers(0, 99))


@given(st.lists(PLACES, unique=True, min_size=2, max_size=50))
def test_places_do_not_share_a_key(places: list[tuple[int, str, int]]) -> None:
    keys = [key(*place) for place in places]
    assert len(set(keys)) == len(places)
    assert all(0 <= value < 2**63 for value in keys)


def test_a_key_depends_on_its_place_and_not_on_earlier_calls() -> None:
    first = torch.randn(4, generator=generator(1, "a"))
    torch.manual_seed(5)
    generator(2, "b")
    assert torch.equal(first, torch.randn(4, generator=generator(1, "a")))
    assert numpy_generator(1, "a").integers(1 << 30) == numpy_generator(1, "a").integers(1 << 30)


def test_splitmix_gives_the_published_numbers() -> None:
    """The first five from the state 1234567, as other implementations print them."""
    states = [(1234567 + n * SPLITMIX_STEP) % 2**64 for n in range(5)]
    assert splitmix(np.array(states, np.uint64)).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_hashes_of_two_places_tell_nothing_of_each_other() -> None:
    """Else an image's part of the data would decide whether a limit keeps it."""
    values = np.arange(20_000, dtype=np.uint64)
    one, other = (hashed(values, *place) / 2**64 for place in ((0, "limit"), ("split", "test")))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03
    for uniform in (one, other):
        counts = np.histogram(uniform, 10, (0, 1))[0]
        assert np.square(counts - 2000).sum() / 2000 < 27.9, "chi-squared, p = 0.001"


def test_drawing_leaves_the_global_generators_as_they_were() -> None:
    before = torch.random.get_rng_state()
    normal_rows(0, 100, 3, 0, "sample")
    numpy_generator(0).random()
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("rows", [normal_rows, uniform_rows])
@given(start=ROWS, length=ROWS, width=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_any_rows_are_those_of_the_whole(rows, start: int, length: int, width: int) -> None:
    whole = rows(0, 8 * BLOCK, width, 3, "place")
    part = rows(start, start + length, width, 3, "place")
    assert torch.equal(part, whole[start : start + length])


def test_noise_is_normal_and_rows_do_not_repeat() -> None:
    noise = normal_rows(0, 20_000, 2, 0, "sample")
    assert noise.mean().abs() < 0.02
    assert abs(noise.std() - 1) < 0.02
    assert len(noise.unique(dim=0)) == len(noise)
    flat = uniform_rows(0, 20_000, 1, 0, "sample")
    assert 0 <= flat.min() < 0.001
    assert 0.999 < flat.max() < 1


def test_other_seeds_and_other_uses_draw_other_noise() -> None:
    noise = normal_rows(0, 8, 2, 0, "sample")
    assert not torch.equal(noise, normal_rows(0, 8, 2, 1, "sample"))
    assert not torch.equal(noise, normal_rows(0, 8, 2, 0, "evaluate"))
