"""Training sees each image's exact bytes, in an order that depends on seed and epoch alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vaekit.data import ImageSet
from vaekit.data.batches import (
    Batches,
    binarize_by_threshold,
    binarize_dynamic,
    binarize_static,
    epoch_order,
    statically_binarized,
)

GREY = np.random.default_rng(0).integers(0, 256, (200, 5, 7, 1), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (200, 5, 7, 3), np.uint8)


@pytest.fixture(params=["held", "mapped"])
def stored(request, tmp_path):
    """The same array in memory and mapped from a file."""

    def store(array):
        if request.param == "held":
            return array.copy()
        np.save(tmp_path / "x.npy", array)
        return np.load(tmp_path / "x.npy", mmap_mode="r")

    return store


def test_every_byte_v_becomes_exactly_v_over_255():
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    x = Batches(every).gather(torch.tensor([0]))
    assert x.dtype == torch.float32
    expected = (np.arange(256) / 255).astype(np.float32)
    assert np.array_equal(x.numpy().ravel(), expected)


@pytest.mark.parametrize("array", [GREY, COLOUR])
def test_gather_takes_the_rows_asked_for_in_their_order(stored, array):
    indices = torch.tensor([7, 3, 3, 199])
    x = Batches(stored(array)).gather(indices)
    expected = (array[indices] / np.float32(255)).transpose(0, 3, 1, 2)
    assert np.array_equal(x.numpy(), expected)


def test_colour_batches_are_channels_last():
    indices = torch.arange(4)
    colour = Batches(COLOUR).gather(indices)
    assert colour.is_contiguous(memory_format=torch.channels_last)
    assert Batches(GREY).gather(indices).stride() == (35, 35, 7, 1)


def test_gathering_does_not_change_the_images(stored):
    batches = Batches(stored(GREY))
    first = batches.gather(torch.arange(9))
    first.zero_()
    assert batches.gather(torch.arange(9)).sum() > 0


@pytest.mark.parametrize(("size", "lengths"), [(64, [64, 64, 64, 8]), (200, [200]), (500, [200])])
def test_in_order_ends_with_a_smaller_batch(stored, size, lengths):
    batches = list(Batches(stored(GREY)).in_order(size))
    assert [len(x) for _, x in batches] == lengths
    assert torch.cat([indices for indices, _ in batches]).tolist() == list(range(200))
    whole = torch.cat([x for _, x in batches])
    assert torch.equal(whole, Batches(GREY).gather(torch.arange(200)))


def test_in_order_visits_another_order_when_given_one():
    visit = epoch_order(200, 0, 0)
    seen = torch.cat([indices for indices, _ in Batches(GREY).in_order(33, visit)])
    assert torch.equal(seen, visit)


def test_order_is_a_permutation_keyed_by_seed_and_epoch():
    assert sorted(epoch_order(50, 0, 0).tolist()) == list(range(50))
    assert torch.equal(epoch_order(50, 3, 4), epoch_order(50, 3, 4))
    different = {
        tuple(epoch_order(50, seed, epoch).tolist()) for seed in (0, 1) for epoch in (0, 1)
    }
    assert len(different) == 4


def test_batches_take_an_image_set_or_an_array(stored):
    images = ImageSet("grey", "all", stored(GREY))
    assert len(Batches(images)) == 200


def test_threshold_is_at_one_half():
    x = torch.tensor([0, 127 / 255, 0.5, 128 / 255, 1])
    assert binarize_by_threshold(x).tolist() == [0, 0, 0, 1, 1]


def test_dynamic_draws_are_one_with_probability_x():
    x = torch.full((100_000,), 77 / 255)
    uniform = torch.rand(100_000, generator=torch.Generator().manual_seed(0))
    assert binarize_dynamic(x, uniform).mean().item() == pytest.approx(77 / 255, abs=0.006)
    assert binarize_dynamic(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 0.999])).tolist() == [0, 1]


@pytest.mark.parametrize("size", [1, 7, 64, 100, 200])
def test_static_draws_do_not_depend_on_the_batch(size):
    batches = Batches(GREY)
    whole = binarize_static(batches.gather(torch.arange(200)), torch.arange(200))
    parts = torch.cat([binarize_static(x, indices) for indices, x in batches.in_order(size)])
    assert torch.equal(parts, whole)
    some = torch.tensor([150, 2, 66])
    assert torch.equal(binarize_static(batches.gather(some), some), whole[some])


def test_static_draws_differ_between_images_and_follow_the_pixels():
    same = Batches(np.full((200, 20, 20, 1), 51, np.uint8))
    drawn = binarize_static(same.gather(torch.arange(200)), torch.arange(200))
    assert drawn.mean().item() == pytest.approx(0.2, abs=0.01)
    assert len(drawn.flatten(1).unique(dim=0)) == 200


def test_a_set_binarized_once_is_what_static_draws():
    images = ImageSet("grey", "all", GREY, names=[str(i) for i in range(200)])
    binary = statically_binarized(images)
    assert set(np.unique(binary.images)) == {0, 255}
    everything = torch.arange(200)
    expected = binarize_static(Batches(GREY).gather(everything), everything)
    assert torch.equal(Batches(binary).gather(everything), expected)
    assert binary.fingerprint != images.fingerprint
    assert binary.names == images.names


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("fits", [True, False])
def test_a_gpu_gives_the_same_bits_whether_the_images_fit_or_not(stored, fits, monkeypatch):
    if not fits:
        monkeypatch.setattr("vaekit.data.batches.MEMORY_SHARE", 0)
    indices = epoch_order(200, 0, 0)
    batches = Batches(stored(COLOUR), "cuda")
    x = batches.gather(indices)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(x.cpu(), Batches(COLOUR).gather(indices))
    assert torch.equal(binarize_static(x, indices).cpu(), binarize_static(x.cpu(), indices))
