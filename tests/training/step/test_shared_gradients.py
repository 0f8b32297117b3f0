"""The gradients and sums that ranks compute add up to those of one process.

The ranks are played one after the other in this process: each is heard, and the last is told the
sum of all.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.small_trainers import SHAPE, images
from vaekit.configuration.config import RunConfig
from vaekit.data.batches import Batches
from vaekit.errors import LostRank, UsageError
from vaekit.evaluation.dataset_elbo import WATCHED_TERMS, Moments
from vaekit.machine.ranks import Place, Ranks, as_told_by, place
from vaekit.models.vae import VAE
from vaekit.training.defaults import fill_defaults, network_from_config
from vaekit.training.rank_division import refuse_uneven
from vaekit.training.step.gradients import Gradients

WORLD = 3


class PlayedRank(Ranks):
    """A rank that hears what is to be added, and is told the sums in `told`."""

    def __init__(self, rank: int, told: list[Tensor] | None = None) -> None:
        super().__init__(Place(rank, WORLD))
        self.heard: list[Tensor] = []
        self.told = told or []

    def add_up(self, tensor: Tensor) -> None:
        self.heard.append(tensor.clone())
        if self.told:
            tensor.copy_(self.told.pop(0))


def settled(**options: Any) -> RunConfig:
    plain = {"epochs": 4, "batch_size": 16, "latent_dim": 3, "likelihood": "bce"}
    return fill_defaults(RunConfig(**{**plain, **options}), SHAPE, "digits")


def gradient_of(
    config: RunConfig, network: VAE, indices: Tensor, ranks: Ranks | None = None
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """The gradient by name, the sums, and the moments of the latents."""
    network.train()
    data = Batches(images(50))
    gradients = Gradients(config, network, data, **({} if ranks is None else {"ranks": ranks}))
    sums, moments = gradients.of(indices, 7, 0.5)
    assert moments is not None
    named = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
    return named, sums, moments


def added(config: RunConfig, network: VAE, indices: Tensor) -> list[Tensor]:
    """What three ranks add up."""
    heard = []
    for rank in range(WORLD):
        ranks = PlayedRank(rank)
        gradient_of(config, copy.deepcopy(network), indices, ranks)
        heard.append(ranks.heard)
    return [sum(tensors[1:], tensors[0]) for tensors in zip(*heard, strict=True)]


CASES: dict[str, dict[str, Any]] = {
    "mlp": {"model": "mlp", "hidden": (16,)},
    "conv": {"model": "conv", "channels": (8, 16), "norm": "group"},
    "ladder": {"model": "ladder", "size": "small", "latent_dim": None},
    "binarized": {"model": "mlp", "hidden": (16,), "likelihood": "bernoulli"},
    "augmented": {"model": "mlp", "hidden": (16,), "augment": ("hflip", "crop")},
    "micro": {"model": "mlp", "hidden": (16,), "micro_batch": 2},
    "clipped": {"model": "mlp", "hidden": (16,), "grad_clip": 0.01},
    "frozen": {"model": "mlp", "hidden": (16,), "freeze": "encoder"},
}


@pytest.mark.parametrize("count", [16, 5, 2])  # on three ranks: 6 + 5 + 5, 2 + 2 + 1, 1 + 1 + 0
@pytest.mark.parametrize("case", CASES)
def test_shares_add_up_to_the_gradient_of_one_process(case: str, count: int) -> None:
    config, indices = settled(**CASES[case]), torch.arange(count) * 3
    network = network_from_config(config, SHAPE)
    if config.freeze:
        network.encoder.requires_grad_(False)
        network.posterior.requires_grad_(False)
    alone, sums, moments = gradient_of(config, copy.deepcopy(network), indices)
    ranks = PlayedRank(1, told=added(config, network, indices))
    shared, shared_sums, shared_moments = gradient_of(config, network, indices, ranks)
    assert shared.keys() == alone.keys()
    for name, gradient in shared.items():
        assert torch.allclose(gradient, alone[name], rtol=1e-4, atol=1e-6), name
        assert gradient.stride() == dict(network.named_parameters())[name].stride()
    assert torch.allclose(shared_sums, sums, rtol=1e-4, atol=1e-5)
    assert torch.allclose(shared_moments, moments, rtol=1e-4, atol=1e-5)


def test_running_statistics_are_the_mean_over_the_images_of_all_ranks() -> None:
    config = settled(model="conv", channels=(8,), norm="batch")
    network, indices = network_from_config(config, SHAPE), torch.arange(7)
    each = []
    for rank in range(WORLD):  # with 3, 2 and 2 images
        each.append(_unshared(config, network, indices[Ranks(Place(rank, WORLD)).rows(7)]))
    expected = {n: (3 * each[0][n] + 2 * each[1][n] + 2 * each[2][n]) / 7 for n in each[0]}
    ranks = PlayedRank(2, told=added(config, network, indices))
    gradient_of(config, network, indices, ranks)
    found = dict(network.named_buffers())
    for name, value in expected.items():
        assert torch.allclose(found[name], value, atol=1e-6), name


def _unshared(config: RunConfig, network: VAE, indices: Tensor) -> dict[str, Tensor]:
    """The running statistics after a step of one process on these images."""
    mine = copy.deepcopy(network).train()
    mine(Batches(images(50)).gather(indices))
    return {n: b for n, b in mine.named_buffers() if b.is_floating_point()}


class LastRank(PlayedRank):
    """A rank whose others are gone."""

    def add_up(self, tensor: Tensor) -> None:
        tensor.fill_(float("nan"))
        raise LostRank("another rank ended")


def test_running_statistics_stay_as_they_were_when_another_rank_is_gone() -> None:
    config = settled(model="conv", channels=(8,), norm="batch")
    network = network_from_config(config, SHAPE)
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    with pytest.raises(LostRank):
        gradient_of(config, network, torch.arange(7), LastRank(0))
    for name, buffer in network.named_buffers():
        if buffer.is_floating_point():
            assert torch.equal(buffer, before[name]), name


def test_all_ranks_learn_that_one_was_asked_to_stop() -> None:
    config, indices = settled(model="mlp", hidden=(16,)), torch.arange(9)
    network = network_from_config(config, SHAPE)
    asked = Gradients(config, network, Batches(images(50)), ranks=PlayedRank(1))
    assert not asked.agree_to_stop(True, 1)
    asked.of(indices, 1, 1.0)
    other = PlayedRank(0, told=[asked._ranks.heard[0]])  # type: ignore[attr-defined]
    told = Gradients(config, network, Batches(images(50)), ranks=other)
    told.of(indices, 1, 1.0)
    assert told.agree_to_stop(False, 2)


# Sums over a split.


@pytest.mark.parametrize("count", [7, 2])
def test_sums_of_ranks_are_those_of_all_images_even_where_one_has_none(count: int) -> None:
    rng = np.random.default_rng(0)
    values = {n: torch.from_numpy(rng.normal(size=(count, 3))) for n in ("kl_per_dim", "mean")}
    values |= {n: torch.from_numpy(rng.normal(size=count)) for n in WATCHED_TERMS[:3]}
    heard = [_heard(values, rank) for rank in range(WORLD)]
    moments = Moments()
    moments.add_up(PlayedRank(2, told=[sum(heard[1:], heard[0])]), 3)
    assert moments.n == count
    for name, rows in values.items():
        exact = rows.numpy()
        assert np.allclose(moments.mean(name).numpy(), exact.mean(0), rtol=1e-12)
        assert np.allclose(moments.variance(name).numpy(), exact.var(0), rtol=1e-9, atol=1e-12)


def _heard(values: dict[str, Tensor], rank: int) -> Tensor:
    ranks, moments = PlayedRank(rank), Moments()
    rows = ranks.rows(len(values["mean"]))
    if rows.stop > rows.start:
        moments.add({name: terms[rows] for name, terms in values.items()})
    moments.add_up(ranks, 3)
    return ranks.heard[0]


# Who is who.


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Place(0, 1, 0)),
        ({"WORLD_SIZE": "4"}, Place(0, 1, 0)),  # a leftover of another program
        ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, Place(0, 1, 0)),
        ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}, Place(5, 8, 1)),
        ({"RANK": "5", "WORLD_SIZE": "8"}, Place(5, 8, 0)),
        ({"RANK": "", "WORLD_SIZE": "many"}, Place(0, 1, 0)),
    ],
)
def test_the_launchers_variables_give_the_place(environ: dict[str, str], expected: Place) -> None:
    assert place(environ) == expected


def test_rows_of_ranks_are_neighbours_that_cover_everything_once() -> None:
    for count in (0, 1, 2, 7, 8, 100):
        for world in (1, 2, 3, 8):
            rows = [Ranks(Place(rank, world)).rows(count) for rank in range(world)]
            assert [i for part in rows for i in range(count)[part]] == [*range(count)]
            sizes = [part.stop - part.start for part in rows]
            assert max(sizes) - min(sizes) <= 1
            assert sizes[0] == max(sizes)


def test_micro_batches_that_do_not_divide_a_ranks_share_are_refused_with_those_that_do() -> None:
    with pytest.raises(UsageError, match=r"--micro-batch 5: .* 12 images .* 1, 2, 3, 4, 6 would"):
        refuse_uneven(RunConfig(batch_size=24, micro_batch=5), 2)
    refuse_uneven(RunConfig(batch_size=24, micro_batch=5), 1)
    refuse_uneven(RunConfig(batch_size=24, micro_batch=99), 2)
    refuse_uneven(RunConfig(batch_size=25), 2, images=25)


def test_an_error_that_rank_0_reports_too_is_reported_once() -> None:
    here = Place(3, 4)
    assert as_told_by(here, LostRank("gone", is_news=False), "gone") == ""
    assert as_told_by(here, LostRank("gone"), "gone") == "rank 3: gone"
    assert as_told_by(Place(0, 4), LostRank("gone"), "gone") == "gone"
