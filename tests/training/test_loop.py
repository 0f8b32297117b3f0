"""The training loop against one written by hand: order, noise, objective, step, stopping."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.training.small_trainers import SHAPE, epoch, images, poisoned, trainer, weights
from vaekit import seeds
from vaekit.configuration.config import RunConfig
from vaekit.data.batches import Batches, epoch_order
from vaekit.errors import Diverged
from vaekit.objectives.elbo import elbo
from vaekit.training.defaults import fill_defaults, network_from_config
from vaekit.training.loop import Trainer, model_inputs
from vaekit.training.step.step_metrics import StepMetrics


def close(ours: list[Tensor], theirs: list[Tensor], tolerance: float = 1e-6) -> bool:
    pairs = zip(ours, theirs, strict=True)
    return all(torch.allclose(a, b, rtol=tolerance, atol=tolerance) for a, b in pairs)


def by_hand(run: Trainer, steps: int, *, beta: float = 1.0, clip: float | None = None) -> Any:
    """The same steps in plain PyTorch: no micro-batches, no fused Adam, no library of ours."""
    network = network_from_config(run.config, SHAPE)
    adam = torch.optim.Adam(network.parameters(), lr=run.config.lr, fused=False, foreach=False)
    x = torch.from_numpy(images(len(run.train))).permute(0, 3, 1, 2) / 255
    visit = torch.randperm(len(x), generator=seeds.generator(run.config.seed, "order", 0))
    for step, indices in enumerate(visit.split(run.config.batch_size)[:steps]):
        q = network.encode(x[indices])
        noise = torch.randn(
            len(indices), 3, generator=seeds.generator(run.config.seed, "noise", step)
        )
        logits = network.decode(q.mean + (q.logvar / 2).exp() * noise)
        loss = F.binary_cross_entropy_with_logits(logits, x[indices], reduction="sum")
        loss = loss + beta * 0.5 * (q.mean.square() + q.logvar.exp() - 1 - q.logvar).sum()
        adam.zero_grad()
        (loss / len(indices)).backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
        adam.step()
    return network


@pytest.mark.parametrize(
    "options", [{}, {"beta": 4.0}, {"grad_clip": 0.5}, {"seed": 5}, {"micro_batch": 5}], ids=repr
)
def test_three_steps_are_those_of_a_loop_written_by_hand(options: dict[str, Any]) -> None:
    run = trainer(schedule="constant", **options)
    for indices in list(run.epoch_batches())[:3]:
        run.step(indices)
    hand = by_hand(run, 3, beta=options.get("beta", 1.0), clip=options.get("grad_clip"))
    assert close(weights(run), list(hand.parameters()), 1e-5)


@pytest.mark.parametrize("size", [1, 3, 5, 16, 100])
def test_a_micro_batch_saves_memory_and_changes_nothing(size: int) -> None:
    whole, parts = trainer(), trainer(micro_batch=size)
    first, second = epoch(whole), epoch(parts)
    assert close(weights(whole), weights(parts), 1e-5)
    assert second["train_neg_elbo"] == pytest.approx(first["train_neg_elbo"], rel=1e-5)


def test_the_order_is_keyed_by_seed_and_epoch() -> None:
    run = trainer(seed=3)
    first = torch.cat(list(run.epoch_batches()))
    assert torch.equal(first, epoch_order(50, 3, 0))
    assert sorted(first.tolist()) == list(range(50))
    run.progress.epoch, run.progress.step = 1, 4
    assert torch.equal(torch.cat(list(run.epoch_batches())), epoch_order(50, 3, 1))
    assert not torch.equal(epoch_order(50, 3, 0), epoch_order(50, 3, 1))
    assert not torch.equal(epoch_order(50, 3, 0), epoch_order(50, 4, 0))


def test_an_interrupted_epoch_resumes_at_its_next_batch() -> None:
    straight, left = trainer(), trainer()
    epoch(straight)
    for indices in list(left.epoch_batches())[:2]:
        left.step(indices)
    assert [len(indices) for indices in left.epoch_batches()] == [16, 2]
    epoch(left)
    assert all(map(torch.equal, weights(straight), weights(left)))


def test_noise_depends_on_the_step_and_not_on_what_was_drawn_before() -> None:
    run, other = trainer(), trainer()
    torch.randn(1000)
    indices = torch.arange(16)
    run.step(indices)
    other.progress.step = 1
    other.step(indices)
    again = trainer()
    again.step(indices)
    assert all(map(torch.equal, weights(run), weights(again)))
    assert not close(weights(run), weights(other))


@pytest.mark.parametrize(
    ("count", "size", "lengths"),
    [(50, 16, [16, 16, 16, 2]), (49, 16, [16, 16, 17]), (48, 16, [16, 16, 16]), (3, 16, [3]),
     (17, 16, [17]), (2, 1, [2])],
)  # fmt: skip
def test_a_single_last_image_joins_the_batch_before_it(
    count: int, size: int, lengths: list[int]
) -> None:
    """A batch norm can learn nothing from a batch of one, and says so with an error."""
    run = trainer(count, batch_size=size)
    assert [len(indices) for indices in run.epoch_batches()] == lengths
    assert run.length.steps_per_epoch == len(lengths)
    assert sorted(torch.cat(list(run.epoch_batches())).tolist()) == list(range(count))


def test_a_batch_norm_survives_the_last_image() -> None:
    config = fill_defaults(
        RunConfig(model="conv", channels=(4,), norm="batch", batch_size=8, epochs=1), SHAPE, "x"
    )
    run = Trainer(config, network_from_config(config, SHAPE), Batches(images(17)), None)
    assert epoch(run)["train_neg_elbo"] > 0


# Row 39: a number that is not finite.


@pytest.mark.parametrize("kind", ["loss", "reconstruction", "kl", "gradient"])
def test_what_is_not_finite_stops_the_run_before_the_update(kind: str) -> None:
    run = trainer(ema=0.9)
    run.gradients.objective = poisoned(kind, at=2)
    batches = list(run.epoch_batches())
    run.step(batches[0])
    run.step(batches[1])
    before, average = weights(run), [p.clone() for p in run.eval_network.parameters()]
    with pytest.raises(Diverged, match=rf"step 3 \(epoch 1\): the {kind} is (nan|inf)") as caught:
        run.step(batches[2])
    assert caught.value.exit_code == 4
    assert "--lr" in str(caught.value)
    assert all(map(torch.equal, before, weights(run)))
    assert all(map(torch.equal, average, run.eval_network.parameters()))
    assert run.progress.step == 2


def test_a_weight_with_an_infinite_gradient_is_never_saved() -> None:
    """Only an overflow does that: biases, which are watched, are then still finite."""

    def overflowing(model: Any, x: Tensor, noise: Tensor, **options: Any) -> dict[str, Tensor]:
        terms = dict(elbo(model, x, noise, **options))
        nothing = next(model.parameters()).sum() * 0
        return terms | {"loss": terms["loss"] + nothing.sqrt()}

    for save in (False, True):
        run = trainer()
        run.gradients.objective = overflowing
        first, second, *_ = run.epoch_batches()
        run.step(first)
        with pytest.raises(
            Diverged, match=r"step 1 .*weights after it is nan" if save else "step 2"
        ):
            run.ensure_finite() if save else run.step(second)


def test_grad_clip_checks_the_gradients_of_all_weights() -> None:
    run = trainer(grad_clip=1.0)
    assert len(run.gradients._checked) == len(list(run.network.parameters()))


def gradient_norms(run: Trainer, steps: int) -> list[float]:
    """The norms of the gradients of a run that skips none of its steps."""
    found = []
    for indices in list(run.epoch_batches())[:steps]:
        run.step(indices)
        found.append(float(sum(p.grad.square().sum() for p in run.network.parameters()) ** 0.5))
    return found


def test_grad_skip_leaves_out_the_updates_with_large_gradients_and_counts_them() -> None:
    first = gradient_norms(trainer(), 1)[0]
    run = trainer(grad_skip=first * 0.999)
    before = weights(run)
    run.step(next(iter(run.epoch_batches())))
    assert all(torch.equal(a, b) for a, b in zip(weights(run), before, strict=True))
    assert (run.progress.skipped, run.progress.step) == (1, 1)
    assert run.progress.largest_gradient == pytest.approx(first, rel=1e-5)
    record = epoch(run)
    assert record["skipped_steps"] == run.progress.skipped >= 1
    assert record["largest_gradient"] >= first * 0.999
    assert epoch(run)["skipped_steps"] >= record["skipped_steps"]  # since the run began


def test_grad_skip_above_every_gradient_changes_nothing_and_says_so() -> None:
    plain, careful = trainer(), trainer(grad_skip=1e9)
    norms = gradient_norms(trainer(), 4)
    assert "skipped_steps" not in epoch(plain)
    record = epoch(careful)
    assert all(torch.equal(a, b) for a, b in zip(weights(plain), weights(careful), strict=True))
    assert record["skipped_steps"] == 0
    assert record["largest_gradient"] == pytest.approx(max(norms), rel=1e-4)


def test_grad_skip_on_a_device_that_is_read_later_skips_the_same_updates() -> None:
    """As on an accelerator, where the decision never leaves the device."""
    largest = sorted(gradient_norms(trainer(), 4))[1]
    now, later = trainer(grad_skip=largest), trainer(grad_skip=largest)
    later.step_metrics = StepMetrics(torch.device("cpu"), read_every=3)
    assert epoch(now)["skipped_steps"] == epoch(later)["skipped_steps"] > 0
    assert all(torch.equal(a, b) for a, b in zip(weights(now), weights(later), strict=True))


def test_weights_broken_by_the_last_step_of_an_epoch_end_the_run() -> None:
    run = trainer(count=16, val=8, lr=1e38, schedule="constant")
    run.step(next(run.epoch_batches()))
    with pytest.raises(Diverged, match=r"epoch 1: after its last step the loss is (nan|inf)"):
        run.end_epoch()
    assert run.best_state is None


def test_a_log_variance_without_bounds_stays_finite() -> None:
    """Row 40."""
    run = trainer()
    with torch.no_grad():
        for name, parameter in run.network.named_parameters():
            if name.startswith("posterior"):
                parameter.mul_(1e6)
    facts = run.step(torch.arange(16))
    assert np.isfinite(facts.neg_elbo)


# The end of an epoch.


def test_metrics_are_means_over_images_not_over_batches() -> None:
    run = trainer(lr=1e-30)
    record = epoch(run)
    fresh = trainer(lr=1e-30)
    total = 0.0
    for step, indices in enumerate(epoch_order(50, 0, 0).split(16)):
        noise = torch.randn(len(indices), 3, generator=seeds.generator(0, "noise", step))
        terms = elbo(fresh.network, fresh.train.gather(indices), noise)
        total += float(terms["neg_elbo"].detach().double().sum())
    assert record["train_neg_elbo"] == pytest.approx(total / 50, rel=1e-6)
    assert record["train_neg_elbo"] == pytest.approx(
        record["train_reconstruction"] + record["train_kl"], rel=1e-6
    )


def test_the_sums_begin_again_with_each_epoch() -> None:
    run = trainer(lr=1e-30, schedule="constant")
    first, second = epoch(run), epoch(run)
    assert second["train_neg_elbo"] == pytest.approx(first["train_neg_elbo"], rel=0.02)
    assert (first["epoch"], second["epoch"]) == (1, 2)
    assert (first["step"], second["step"]) == (4, 8)


def test_rate_and_beta_are_as_scheduled() -> None:
    run = trainer(beta=2.0, kl_warmup=2, lr=0.1)
    records = [epoch(run) for _ in range(4)]
    assert records[-1]["lr"] == pytest.approx(0.05 * (1 + np.cos(np.pi * 15 / 16)))
    assert [record["beta"] for record in records[2:]] == [2.0, 2.0]
    assert 0 < records[0]["beta"] < 2.0


@pytest.mark.parametrize("options", [{"beta": 4.0}, {"free_bits": 2.0}, {"beta": 0.0}], ids=repr)
def test_validation_is_the_plain_elbo_whatever_was_trained(options: dict[str, Any]) -> None:
    """Else runs with other betas could not be compared, which is what validation is for."""
    run = trainer(val=20, lr=1e-30, **options)
    plain = trainer(val=20, lr=1e-30)
    record, expected = epoch(run), epoch(plain)
    for name in ("val_neg_elbo", "val_reconstruction", "val_kl"):
        assert record[name] == pytest.approx(expected[name], rel=1e-6)
    total = record["val_reconstruction"] + record["val_kl"]
    assert record["val_neg_elbo"] == pytest.approx(total, rel=1e-6)


def told(run: Trainer, losses: list[float]) -> list[list[Tensor]]:
    """Train while validation says these losses; gives the weights after each epoch."""
    reports = iter(losses)
    run.validate = lambda: SimpleNamespace(  # type: ignore[method-assign, assignment]
        neg_elbo=next(reports), reconstruction=0.0, kl=0.0, active_units=1
    )
    after = []
    while not run.finished:
        epoch(run)
        after.append(weights(run))
    return after


def test_the_weights_that_are_kept_are_those_with_the_lowest_validation() -> None:
    run = trainer(val=8)
    after = told(run, [5.0, 3.0, 4.0, 3.0])
    assert (run.progress.best_epoch, run.progress.best) == (2, 3.0)
    kept = run.state_to_keep()
    names = [name for name, _ in run.network.named_parameters()]
    assert all(torch.equal(kept[n], w) for n, w in zip(names, after[1], strict=True))
    assert not close(after[1], after[3])


def test_without_validation_the_last_weights_are_kept() -> None:
    run = trainer()
    record = epoch(run)
    assert not [name for name in record if name.startswith("val_")]
    assert run.progress.best_epoch == 0
    assert all(torch.equal(v, run.network.state_dict()[k]) for k, v in run.state_to_keep().items())


@pytest.mark.parametrize(
    ("patience", "losses", "epochs"),
    [(2, [5.0, 3.0, 4.0, 4.0, 1.0, 1.0], 4), (1, [5.0, 5.0, 1.0, 1.0, 1.0, 1.0], 2),
     (3, [6.0, 5.0, 4.0, 3.0, 2.0, 1.0], 6), (None, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 6)],
)  # fmt: skip
def test_early_stopping_ends_a_run_without_improvement(
    patience: int | None, losses: list[float], epochs: int
) -> None:
    run = trainer(val=8, early_stop=patience, epochs=6)
    assert len(told(run, losses)) == epochs


def test_early_stopping_needs_validation() -> None:
    run = trainer(early_stop=1)
    for _ in range(4):
        assert not run.finished
        epoch(run)
    assert run.finished


# What the network sees.


def test_a_dynamic_draw_is_fresh_each_step_and_fixed_in_validation() -> None:
    run = trainer(val=20, likelihood="bernoulli")
    seen: list[Tensor] = []

    def watch(model: Any, x: Tensor, noise: Tensor, **options: Any) -> dict[str, Tensor]:
        seen.append(x)
        return elbo(model, x, noise, **options)

    run.gradients.objective = watch
    run.step(torch.arange(16))
    run.step(torch.arange(16))
    assert all(set(x.unique().tolist()) == {0.0, 1.0} for x in seen)
    assert not torch.equal(seen[0], seen[1])
    assert run.val is not None
    first = torch.cat([x for _, x in model_inputs(run.config, run.val)])
    assert torch.equal(first, torch.cat([x for _, x in model_inputs(run.config, run.val)]))
    grey = run.val.gather(torch.arange(20))
    assert abs(float(first.mean() - grey.mean())) < 0.05


def test_the_average_is_what_is_validated_and_kept() -> None:
    run = trainer(val=8, ema=0.5)
    epoch(run)
    assert run.eval_network is not run.network
    kept = run.state_to_keep()
    assert all(torch.equal(kept[n], p) for n, p in run.eval_network.named_parameters())
    assert not close(weights(run), [p.detach() for p in run.eval_network.parameters()])


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_the_optimizer_is_the_one_that_was_asked_for(kind: type[torch.optim.Optimizer]) -> None:
    run = trainer(optimizer=kind.__name__.lower(), weight_decay=0.1, adam_eps=1e-5)
    copies = [weight.requires_grad_() for weight in weights(run)]
    run.step(torch.arange(16))
    for copy, weight in zip(copies, run.network.parameters(), strict=True):
        copy.grad = weight.grad
    kind(copies, lr=run.config.lr, weight_decay=0.1, eps=1e-5).step()
    assert close([copy.detach() for copy in copies], weights(run))
