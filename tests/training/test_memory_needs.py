"""A network that cannot fit is refused by arithmetic; one that fits is never refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vaekit.configuration.config import RunConfig
from vaekit.errors import UsageError
from vaekit.models.vae import parameter_count
from vaekit.training import memory_needs
from vaekit.training.defaults import fill_defaults, network_from_config

CPU = torch.device("cpu")
SHAPE = (8, 8, 1)


def config(**options: object) -> RunConfig:
    return fill_defaults(RunConfig.model_validate({"model": "mlp", **options}), SHAPE, "x")


@pytest.mark.parametrize("ema", [None, 0.9])
def test_the_limit_is_the_memory_of_weights_gradients_and_moments(
    monkeypatch: pytest.MonkeyPatch, ema: float | None
) -> None:
    plain = config(hidden=(32,), ema=ema)
    needed = 4 * (5 if ema else 4) * parameter_count(network_from_config(plain, SHAPE))
    monkeypatch.setattr(memory_needs, "free_memory", lambda _: needed)
    memory_needs.refuse_too_large(plain, SHAPE, CPU)
    monkeypatch.setattr(memory_needs, "free_memory", lambda _: needed - 1)
    with pytest.raises(UsageError, match="choose lower values for --hidden, --latent-dim"):
        memory_needs.refuse_too_large(plain, SHAPE, CPU)
    monkeypatch.setattr(memory_needs, "free_memory", lambda _: None)
    memory_needs.refuse_too_large(plain, SHAPE, CPU)


def test_free_memory_is_the_least_of_machine_and_container(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts, new, old = Path("meminfo"), Path("memory.max"), Path("limit_in_bytes")
    monkeypatch.setattr(memory_needs, "MEMORY_FACTS", facts)
    monkeypatch.setattr(memory_needs, "CGROUP_LIMITS", (new, old))
    assert memory_needs.free_memory(CPU) is None
    facts.write_text("MemTotal: 90 kB\nMemAvailable: 40 kB\nSwapFree: 10 kB\nHugePages_Free: 0\n")
    assert memory_needs.free_memory(CPU) == 50 * 1024
    new.write_text("max\n")
    assert memory_needs.free_memory(CPU) == 50 * 1024
    old.write_text("30000\n")
    assert memory_needs.free_memory(CPU) == 30000


def test_a_micro_batch_keeps_the_outputs_of_fewer_images() -> None:
    whole = memory_needs.footprint(config(hidden=(32,), batch_size=128), SHAPE)
    part = memory_needs.footprint(config(hidden=(32,), batch_size=128, micro_batch=32), SHAPE)
    assert (part.weights, 4 * part.activations) == (whole.weights, whole.activations)


def test_a_rank_keeps_the_outputs_of_its_share_of_a_batch() -> None:
    whole = memory_needs.footprint(config(hidden=(32,), batch_size=128), SHAPE)
    share = memory_needs.footprint(config(hidden=(32,), batch_size=128), SHAPE, processes=4)
    assert (share.weights, 4 * share.activations) == (whole.weights, whole.activations)
