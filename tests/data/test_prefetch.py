"""A prefetched batch is the batch that was asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.small_trainers import epoch, trainer, weights
from vaekit.data.batches import Batches
from vaekit.data.prefetch import Prefetcher

CPU = torch.device("cpu")


def test_a_prefetched_batch_is_fetched_once() -> None:
    fetched: list[list[int]] = []

    def fetch(indices: Tensor) -> Tensor:
        fetched.append(indices.tolist())
        return indices.clone()

    ahead = Prefetcher(fetch, CPU)
    first, second = torch.tensor([0, 1]), torch.tensor([2, 3])
    assert ahead.take(first).tolist() == [0, 1]
    ahead.expect(second)
    assert ahead.take(first.clone()).tolist() == [0, 1], "another batch is no reason to forget it"
    assert ahead.take(second).tolist() == [2, 3]
    assert fetched == [[0, 1], [2, 3], [0, 1]]


@pytest.mark.parametrize("options", [{}, {"micro_batch": 5}, {"val": 10}], ids=str)
def test_training_is_the_same_with_batches_fetched_ahead(options: dict[str, int]) -> None:
    run, plain = trainer(**options), trainer(**options)
    run.train._prefetcher = Prefetcher(run.train._gather, CPU)
    for _ in range(2):
        assert epoch(run)["train_neg_elbo"] == epoch(plain)["train_neg_elbo"]
    assert all(map(torch.equal, weights(run), weights(plain)))


def test_images_on_the_device_are_not_prefetched() -> None:
    batches = Batches(np.zeros((4, 2, 2, 1), np.uint8))
    batches.expect(torch.tensor([1]))
    assert batches._prefetcher is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_next_batch_is_copied_on_its_own_stream() -> None:
    images = np.random.default_rng(0).integers(0, 256, (512, 8, 8, 3), dtype=np.uint8)
    batches, plain = Batches(images, "cuda"), Batches(images)
    batches._resident = None
    batches._prefetcher = Prefetcher(batches._gather, batches.device)
    parts = torch.randperm(512).split(64)
    for part, later in zip(parts, [*parts[1:], parts[0]], strict=True):
        x = batches.gather(part)
        batches.expect(later)
        assert torch.equal(x.cpu(), plain.gather(part))
