"""No image moves between train, val and test."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaekit.data.splits import choose_split, limit

KEYS = st.integers(0, 2**64 - 1)
SETS = st.lists(KEYS, max_size=50, unique=True)
FRACTIONS = st.floats(0, 0.99)


def parts_of(contents, val_split=0.1):
    """For each split, the (part, index) of its images; `contents` are keys by part."""
    keys = {part: np.array(values, np.uint64) for part, values in contents.items()}
    sizes = {part: len(values) for part, values in contents.items()}
    return {
        split: {
            (part, int(row))
            for part, rows in choose_split(sizes, keys.__getitem__, split, val_split)
            for row in rows
        }
        for split in ("train", "val", "test", "all")
    }


def where_each_is(contents, val_split=0.1):
    """The split of each image, by its key, of a source that comes undivided."""
    parts = parts_of({"train": contents}, val_split)
    return {contents[row]: split for split in ("train", "val", "test") for _, row in parts[split]}


@given(
    contents=st.dictionaries(
        st.sampled_from(["train", "val", "test"]), st.lists(KEYS, max_size=99)
    ),
    val=FRACTIONS,
)
def test_splits_are_disjoint_and_make_up_all(contents, val):
    parts = parts_of(contents, val)
    train, valid, test = parts["train"], parts["val"], parts["test"]
    assert len(train) + len(valid) + len(test) == len(train | valid | test)
    assert train | valid | test == parts["all"]


@given(more=SETS, val=st.floats(0.05, 0.95))
def test_added_images_move_no_other_image(more, val):
    """Nor do removed ones, which is the same from the larger set to the smaller."""
    some = range(300)
    before, after = where_each_is(some, val), where_each_is([*some, *set(more) - {*some}], val)
    assert [key for key in some if before[key] != after[key]] == []


@given(contents=SETS, order=st.randoms())
def test_neither_order_nor_names_matter(contents, order):
    shuffled = list(contents)
    order.shuffle(shuffled)
    assert where_each_is(contents) == where_each_is(shuffled)


@given(contents=st.lists(st.integers(0, 20), max_size=60), val=FRACTIONS)
def test_identical_images_are_always_in_the_same_part(contents, val):
    parts = parts_of({"train": contents}, val)
    seen = [{contents[row] for _, row in parts[split]} for split in ("train", "val", "test")]
    assert sum(map(len, seen)) == len(set(contents))


@pytest.mark.parametrize("count", [1000, 20_000])
@pytest.mark.parametrize("val", [0.1, 0.3])
def test_the_shares_are_near_those_asked_for(count, val):
    """Within four standard deviations of the binomial distribution, for any kind of key."""
    generator = np.random.default_rng(count)
    for keys in (np.arange(count), generator.integers(0, 2**32, count), np.arange(count) << 32):
        parts = parts_of({"train": keys}, val)
        for size, of, share in (
            (len(parts["test"]), count, 0.1),
            (len(parts["val"]), count - len(parts["test"]), val),
        ):
            assert abs(size - of * share) < 4 * np.sqrt(of * share * (1 - share))


@given(contents=st.lists(KEYS, min_size=2, max_size=20, unique=True), val=st.floats(0.01, 0.99))
def test_two_different_images_are_enough_for_a_part(contents, val):
    own_test = parts_of({"train": contents, "test": [1, 2]}, val)
    assert own_test["train"]
    assert own_test["val"]
    undivided = parts_of({"train": contents}, val)
    assert undivided["train"]
    assert undivided["test"]
    assert undivided["val"] or len(undivided["train"]) == 1


@given(key=KEYS, copies=st.integers(1, 5))
def test_copies_of_one_image_all_go_to_train(key, copies):
    parts = parts_of({"train": [key] * copies})
    assert (len(parts["train"]), len(parts["val"]), len(parts["test"])) == (copies, 0, 0)


def test_a_fraction_of_nothing_gives_no_validation_part():
    parts = parts_of({"train": range(100), "test": range(5)}, 0)
    assert parts["val"] == set()
    assert len(parts["train"]) == 100


def test_a_split_that_the_source_comes_with_is_used_as_it_is():
    parts = parts_of({"train": range(30), "val": range(7), "test": range(4)}, 0.5)
    assert parts["val"] == {("val", row) for row in range(7)}
    assert parts["test"] == {("test", row) for row in range(4)}
    assert len(parts["train"]) == 30


def test_the_val_fraction_moves_no_test_image_and_a_larger_one_holds_a_smaller():
    some, more = parts_of({"train": range(300)}, 0.1), parts_of({"train": range(300)}, 0.4)
    assert some["test"] == more["test"]
    assert some["val"] < more["val"]


def test_no_release_moves_an_image_between_splits():
    """Were they to move between releases, a model's training images would turn up in test."""
    keys = range(300)
    test = {key for key in keys if by_hand(key, "split/test") < 0.1}
    val = {key for key in keys if key not in test and by_hand(key, "split/val") < 0.25}
    parts = parts_of({"train": keys}, 0.25)
    assert parts["test"] == {("train", key) for key in test}
    assert parts["val"] == {("train", key) for key in val}


def by_hand(key, place):
    """SHA-256 of the place, then SplitMix64 as its authors print it, in whole numbers."""
    salt = int.from_bytes(hashlib.sha256(place.encode()).digest()[:8], "little") >> 1
    z = ((key ^ salt) + 0x9E3779B97F4A7C15) % 2**64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return (z ^ (z >> 31)) / 2**64


def refuse(part):
    raise AssertionError(f"{part} was read")


def test_no_image_is_read_where_the_source_has_the_split_itself():
    """Reading every file of a large test folder would take minutes."""
    sizes = {"train": 9, "val": 5, "test": 5}
    for split in ("train", "val", "test", "all"):
        limit(choose_split(sizes, refuse, split, 0.1), refuse, None, 0)
    choose_split({"train": 9}, refuse, "all", 0.1)
    choose_split({"train": 9, "test": 5}, refuse, "train", 0)


@given(contents=SETS, count=st.integers(1, 300), seed=st.integers(0, 99))
def test_a_limit_keeps_order_and_holds_smaller_limits(contents, count, seed):
    keys = {"train": np.array(contents, np.uint64), "test": np.array(contents[::2], np.uint64)}
    everything = [(part, np.arange(len(each))) for part, each in keys.items()]
    some = limit(everything, keys.__getitem__, count, seed)
    fewer = limit(everything, keys.__getitem__, max(1, count // 2), seed)
    assert sum(len(rows) for _, rows in some) == min(count, sum(map(len, keys.values())))
    for (_, rows), (_, less) in zip(some, fewer, strict=True):
        assert np.all(np.diff(rows) > 0)
        assert set(less.tolist()) <= set(rows.tolist())


@given(contents=st.lists(KEYS, min_size=30, max_size=99, unique=True), seed=st.integers(0, 9))
def test_an_image_that_is_removed_changes_one_image_of_a_limit(contents, seed):
    def kept(keys):
        chosen = limit([("train", np.arange(len(keys)))], lambda _: keys, 20, seed)
        return set(keys[chosen[0][1]].tolist())

    keys = np.array(contents, np.uint64)
    assert len(kept(keys) - kept(keys[1:])) <= 1


def test_the_seed_moves_the_limit():
    keys = np.arange(1000, dtype=np.uint64)
    first, second = (
        limit([("train", np.arange(1000))], lambda _: keys, 50, seed)[0][1] for seed in (0, 1)
    )
    assert len(set(first.tolist()) & set(second.tolist())) < 15
