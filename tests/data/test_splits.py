"""No image moves between train, val and test."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vaekit.data.splits import choose_split, limit

counts = st.integers(0, 400)
fractions = st.floats(0, 0.99)


def chosen(sizes, split, val_split=0.1):
    return {(part, int(i)) for part, rows in choose_split(sizes, split, val_split) for i in rows}


@given(sizes=st.dictionaries(st.sampled_from(["train", "val", "test"]), counts), val=fractions)
def test_splits_are_disjoint_and_make_up_all(sizes, val):
    train, valid, test = (chosen(sizes, split, val) for split in ("train", "val", "test"))
    assert len(train) + len(valid) + len(test) == len(train | valid | test)
    assert train | valid | test == chosen(sizes, "all", val)


@given(count=st.integers(2, 2000))
def test_one_in_ten_goes_to_test_where_there_is_no_test_split(count):
    assert len(chosen({"train": count}, "test")) == max(1, count // 10)


@given(count=st.integers(2, 500), val=st.floats(0.01, 0.99))
def test_two_images_are_enough_for_a_test_split(count, val):
    sizes = {"train": count, "test": 5}
    assert chosen(sizes, "train", val)
    assert chosen(sizes, "val", val)


def test_a_fraction_of_nothing_gives_no_validation_part():
    assert chosen({"train": 100, "test": 5}, "val", 0) == set()
    assert len(chosen({"train": 100, "test": 5}, "train", 0)) == 100


def test_a_split_that_the_source_comes_with_is_used_as_it_is():
    sizes = {"train": 30, "val": 7, "test": 4}
    assert chosen(sizes, "val", 0.5) == {("val", i) for i in range(7)}
    assert len(chosen(sizes, "train", 0.5)) == 30


def test_the_val_fraction_does_not_move_the_test_images():
    assert chosen({"train": 300}, "test", 0.1) == chosen({"train": 300}, "test", 0.4)


def test_no_release_moves_an_image_between_splits():
    """Were they to move between releases, a model's training images would turn up in test."""
    (_, test), *_ = choose_split({"train": 30}, "test", 0.1)
    (_, val), *_ = choose_split({"train": 30}, "val", 0.1)
    assert (test.tolist(), val.tolist()) == ([3, 16, 21], [14, 20, 27])


@given(total=counts, count=st.integers(1, 500), seed=st.integers(0, 99))
def test_a_limit_keeps_order_and_holds_smaller_limits(total, count, seed):
    everything = [("train", np.arange(total)), ("test", np.arange(total // 2))]
    some = limit(everything, count, seed, "all")
    fewer = limit(everything, max(1, count // 2), seed, "all")
    assert sum(len(rows) for _, rows in some) == min(count, total + total // 2)
    for (_, rows), (_, less) in zip(some, fewer, strict=True):
        assert np.all(np.diff(rows) > 0)
        assert set(less.tolist()) <= set(rows.tolist())


def test_the_seed_moves_the_limit():
    everything = [("train", np.arange(1000))]
    first, second = (limit(everything, 50, seed, "train")[0][1] for seed in (0, 1))
    assert first.tolist() != second.tolist()
