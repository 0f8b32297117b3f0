"""Training sees each image's exact bytes, in an order that depends on seed and epoch alone."""

from __future__ import annotations

import hashlib

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


@pytest.mark.parametrize("images", [GREY, COLOUR])
@pytest.mark.parametrize("size", [1, 7, 200])
def test_an_image_has_one_static_version_wherever_it_stands(images, size):
    batches = Batches(images)
    whole = binarize_static(batches.gather(torch.arange(200)))
    parts = torch.cat([binarize_static(x) for _, x in batches.in_order(size)])
    assert torch.equal(parts, whole)
    some = torch.tensor([150, 2, 66])
    assert torch.equal(binarize_static(batches.gather(some)), whole[some])
    others = Batches(np.concatenate([images[66:67], 255 - images[:30], images[2:3]]))
    assert torch.equal(binarize_static(others.gather(torch.tensor([31, 0]))), whole[[2, 66]])


def test_static_draws_of_different_images_are_independent_and_follow_the_pixels():
    same = np.full((200, 20, 20, 1), 51, np.uint8)
    same[:, 0, 0, 0] = np.arange(200)  # one pixel tells them apart
    drawn = binarize_static(Batches(same).gather(torch.arange(200))).flatten(1)[:, 1:]
    assert drawn.mean().item() == pytest.approx(0.2, abs=0.005)
    disagreements = (drawn[:100] != drawn[100:]).float().mean().item()
    assert disagreements == pytest.approx(2 * 0.2 * 0.8, abs=0.008)


def test_static_never_turns_black_white_nor_white_black():
    ends = np.zeros((50, 40, 40, 1), np.uint8)
    ends[:, ::2] = 255
    ends[:, 0, 0, 0] = np.arange(50)
    drawn = statically_binarized(ImageSet("ends", "all", ends)).images
    assert np.array_equal(drawn[:, 1:], ends[:, 1:])


def test_no_release_changes_the_static_version_of_an_image():
    """By hand: BLAKE2b of the pixels seeds SplitMix64, of whose halves each pixel takes one."""
    image = bytes(range(90, 99))
    seed = int.from_bytes(hashlib.blake2b(image, digest_size=8).digest(), "little")
    salt = int.from_bytes(hashlib.sha256(b"binarize").digest()[:8], "little") >> 1
    state, halves = splitmix((seed ^ salt) % 2**64), []
    for step in range(5):
        number = splitmix((state + step * 0x9E3779B97F4A7C15) % 2**64)
        halves += [number % 2**32, number >> 32]
    expected = [
        255 * (half * 255 < value * 2**32) for half, value in zip(halves[:9], image, strict=True)
    ]
    stored = np.frombuffer(image, np.uint8).reshape(1, 3, 3, 1)
    assert statically_binarized(ImageSet("one", "all", stored)).images.ravel().tolist() == expected


def splitmix(state):
    z = (state + 0x9E3779B97F4A7C15) % 2**64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return z ^ (z >> 31)


def test_a_set_binarized_once_is_what_static_draws():
    images = ImageSet("grey", "all", GREY, names=[str(i) for i in range(200)])
    binary = statically_binarized(images)
    assert set(np.unique(binary.images)) == {0, 255}
    everything = torch.arange(200)
    expected = binarize_static(Batches(GREY).gather(everything))
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
    assert torch.equal(binarize_static(x).cpu(), binarize_static(x.cpu()))
