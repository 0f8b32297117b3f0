"""The training loop: gradient, check, update, and the end of an epoch.

No random state is carried from step to step: the order is keyed by (seed, epoch) and the noise by
(seed, step), so that a run can be resumed at any step.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vaekit import registry, torch_internals
from vaekit.configuration.config import RunConfig
from vaekit.data.batches import Batches, epoch_order
from vaekit.errors import Diverged
from vaekit.evaluation.binarize import binarize
from vaekit.evaluation.dataset_elbo import ACTIVE_VARIANCE, TERMS, ElboReport, evaluate_elbo
from vaekit.machine import devices
from vaekit.machine.ranks import ALONE, Ranks
from vaekit.models.vae import VAE
from vaekit.reporting import SILENT, Reporter
from vaekit.seeds import BLOCK
from vaekit.training.initial_weights import freeze
from vaekit.training.run_length import run_length, split_epoch
from vaekit.training.step.adam import Adam
from vaekit.training.step.ema import WeightAverage
from vaekit.training.step.gradients import Gradients
from vaekit.training.step.micro_batch import MicroBatch
from vaekit.training.step.schedules import kl_weight, learning_rate
from vaekit.training.step.step_metrics import StepMetrics, first_nonfinite
from vaekit.training.watcher import StepFacts

EVALUATION_BATCH = 512
EVALUATION_VALUES = 1 << 23
"""The most values in a batch of validation images: large images would take more than training."""
REMEDY = "try a lower --lr, --grad-clip 1, or --kl-warmup 5"


@dataclass
class Progress:
    """Position in a run: a checkpoint holds this and the trainer's tensors."""

    step: int = 0
    epoch: int = 0
    seen: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    best_epoch: int = 0
    best: float = math.inf
    cycle_epoch: int = 0
    """The number of epochs that were done when the schedule last started."""
    skipped: int = 0
    """Updates that `--grad-skip` left out."""
    largest_gradient: float = 0.0
    """The largest norm of a gradient in this epoch, with `--grad-skip`."""


class Trainer:
    """A network, its optimizer, and its training images."""

    def __init__(
        self,
        config: RunConfig,
        network: VAE,
        train: Batches,
        val: Batches | None,
        reporter: Reporter = SILENT,
        ranks: Ranks = ALONE,
    ) -> None:
        self.config, self.network, self.train, self.val = config, network, train, val
        self.ranks = ranks
        self.length = run_length(config, len(train))
        self._frozen = freeze(network, config.freeze)
        self.gradients = Gradients(
            config, network, train, reporter, ranks, counts_latents=val is None
        )
        self.optimizer = self._new_optimizer()
        self.average = WeightAverage(network, config.ema) if config.ema else None
        self.progress = Progress()
        self.step_metrics = StepMetrics(train.device)
        self.sums = [0.0] * len(TERMS)
        kind = devices.exact(train.device)
        self.latents = torch.zeros(2, network.latent_dim, dtype=kind, device=train.device)
        self.best_state: dict[str, Tensor] | None = None
        self._next_batch: Tensor | None = None
        self._validation = MicroBatch(None, train.device, "validation", reporter)

    def _new_optimizer(self) -> Adam:
        return Adam(
            self.network.parameters(),
            eps=self.config.adam_eps,
            weight_decay=self.config.weight_decay,
            decoupled=self.config.optimizer == "adamw",
        )

    def begin_cycle(self) -> None:
        """Start the schedule again, from the weights that would be kept and a new optimizer."""
        kept = dict(self.state_to_keep())
        for network in (self.network, self.eval_network):
            network.load_state_dict(kept)
        self.optimizer = self._new_optimizer()
        self.progress.cycle_epoch = self.progress.epoch

    @property
    def eval_network(self) -> VAE:
        """The network to evaluate and to save: the average of weights where there is one."""
        return self.average.network if self.average else self.network

    @property
    def finished(self) -> bool:
        """Whether the last epoch is done, or early stopping has ended the run."""
        now, patience = self.progress, self.config.early_stop
        impatient = self.val is not None and patience is not None
        waited = now.epoch - max(now.best_epoch, now.cycle_epoch)
        return now.epoch >= self.length.epochs or (impatient and waited >= (patience or 0))

    def epoch_batches(self) -> Iterator[Tensor]:
        """The indices of each remaining batch of this epoch."""
        visit = epoch_order(len(self.train), self.config.seed, self.progress.epoch)
        batches = split_epoch(visit, self.config.images_per_step)
        left = batches[self.progress.step - self.progress.epoch * len(batches) :]
        self.network.train()
        for module in self._frozen:  # the statistics of a batch norm stay too
            module.eval()
        for batch, self._next_batch in itertools.zip_longest(left, left[1:]):
            yield batch

    def step(self, indices: Tensor) -> StepFacts:
        """One update; skipped from the first NaN or infinity on."""
        began = time.perf_counter()
        now = self.progress
        values, moments = self.gradients.of(indices, now.step, self._beta(now.step))
        if self._next_batch is not None:
            self.gradients.expect(self._next_batch)
        self.step_metrics.add(values, len(indices))
        if self.step_metrics.full:
            self.read_step_metrics(now.step)
        self._update(values[-1])
        if moments is not None:  # else validation counts the active latents
            self.latents += moments
        self._count(len(indices), time.perf_counter() - began)
        return self._facts()

    def agrees_to_stop(self, requested: bool) -> bool:
        """Whether to stop now: where it was requested, at the same step on all ranks."""
        return self.gradients.agree_to_stop(requested, self.progress.step)

    def _update(self, gradient: Tensor) -> None:
        """One step of the optimizer, unless the gradient's norm is above `--grad-skip`."""
        now = self.progress
        metrics, largest = self.step_metrics, self.config.grad_skip
        if metrics.read_every > 1:  # decided on the device, which nothing waits for
            skip = metrics.skip_updates
            if largest is not None:
                skip = torch.maximum(skip, (gradient > largest).to(skip.dtype))
            self.optimizer.step(self._learning_rate(now.step), skip)
        elif largest is None or float(gradient) <= largest:
            self.optimizer.step(self._learning_rate(now.step))
        if self.average:
            self.average.update(self.network, now.step)

    def read_step_metrics(self, last_step: int | None = None) -> None:
        """Add up the metrics of the steps since the last read; NaN or infinity stops the run."""
        rows = self.step_metrics.read()
        wrong = first_nonfinite(rows)
        if wrong is not None:
            last = self.progress.step - 1 if last_step is None else last_step
            raise self._diverged(last - wrong.steps_ago, wrong.name, wrong.value)
        for row in rows:
            self.sums = [total + value for total, value in zip(self.sums, row, strict=False)]
            self._count_skipped(row[-1])

    def _count_skipped(self, gradient: float) -> None:
        now, largest = self.progress, self.config.grad_skip
        if largest is not None:
            now.skipped += gradient > largest
            now.largest_gradient = max(now.largest_gradient, gradient)

    def ensure_finite(self) -> None:
        """Stop if the metrics of a step or the weights after the last one hold NaN or infinity."""
        self.read_step_metrics()
        norms = torch_internals.norms([*self.network.parameters()])
        if not bool(torch.isfinite(norms).all()):
            last = self.progress.step - 1
            raise self._diverged(last, "size of the weights after it", float(norms.detach().max()))

    def _diverged(self, step: int, name: str, value: float) -> Diverged:
        epoch, rate = step // self.length.steps_per_epoch + 1, self._learning_rate(step)
        return Diverged(
            f"step {step + 1} (epoch {epoch}): the {name} is {value} "
            f"at learning rate {rate:.3g}; {REMEDY}"
        )

    def end_epoch(self) -> dict[str, float]:
        """Validate, remember the best weights, and return the epoch's record."""
        now, began = self.progress, time.perf_counter()
        self.read_step_metrics()  # waits for the device
        self._take_time(time.perf_counter() - began)
        report = self.validate()
        now.epoch += 1
        self.check_finite(report if report is not None else self._evaluate_some())
        if report is not None and report.neg_elbo < now.best:
            now.best, now.best_epoch = report.neg_elbo, now.epoch
            self.best_state = _copied(self.eval_network)
        record = self._record(report)
        now.seen, now.epoch_seconds, now.largest_gradient = 0, 0.0, 0.0
        self.sums = [0.0] * len(TERMS)
        self.latents.zero_()
        return record

    def validate(self) -> ElboReport | None:
        """The plain ELBO on the validation images, without training's beta and free bits."""
        if self.val is None:
            return None
        return self._validation.run(self._evaluate, evaluation_batch(self.val.image_shape))

    def _evaluate(self, size: int) -> ElboReport:
        assert self.val is not None
        objective = registry.resolve("objective", self.config.objective)
        rows = self.ranks.rows(len(self.val))
        images = model_inputs(self.config, self.val, size, torch.arange(rows.start, rows.stop))
        return evaluate_elbo(
            self.eval_network, objective, images, seed=self.config.seed, ranks=self.ranks
        )

    def _evaluate_some(self) -> ElboReport:
        """The plain ELBO of some training images, for runs without validation."""
        some = itertools.islice(model_inputs(self.config, self.train, BLOCK), 1)
        objective = registry.resolve("objective", self.config.objective)
        return evaluate_elbo(self.eval_network, objective, some, seed=self.config.seed)

    def check_finite(self, report: ElboReport) -> None:
        """Stop if the ELBO is not finite: the last step may have broken the weights."""
        if not math.isfinite(report.neg_elbo):
            raise Diverged(
                f"epoch {self.progress.epoch}: after its last step the loss is {report.neg_elbo}; "
                f"{REMEDY}"
            )

    def state_to_keep(self) -> Mapping[str, Tensor]:
        """The weights to save: the best on validation; the last where there is no validation."""
        return self.best_state if self.best_state is not None else self.eval_network.state_dict()

    def _learning_rate(self, step: int) -> float:
        assert self.config.lr is not None
        start = self.progress.cycle_epoch * self.length.steps_per_epoch
        total = self.length.steps - start
        return learning_rate(self.config.schedule, self.config.lr, step - start, total)

    def _beta(self, step: int) -> float:
        warmup = self.config.kl_warmup * self.length.steps_per_epoch
        return kl_weight(self.config.beta, warmup_steps=warmup, step=step)

    def _count(self, images: int, seconds: float) -> None:
        self.progress.step += 1
        self.progress.seen += images
        self._take_time(seconds)

    def _take_time(self, seconds: float) -> None:
        self.progress.seconds += seconds
        self.progress.epoch_seconds += seconds

    def _facts(self) -> StepFacts:
        now = self.progress
        read = now.seen - self.step_metrics.images
        means = [total / read if read else math.nan for total in self.sums]
        return StepFacts(now.epoch + 1, now.step, now.seen, *means)

    def _record(self, report: ElboReport | None) -> dict[str, float]:
        now = self.progress
        record = {
            "epoch": now.epoch,
            "step": now.step,
            "seconds": round(now.seconds, 3),
            "images_per_second": round(now.seen / max(now.epoch_seconds, 1e-9), 1),
            "lr": self._learning_rate(now.step - 1),
            "beta": self._beta(now.step - 1),
        }
        for name, total in zip(TERMS, self.sums, strict=True):
            record[f"train_{name}"] = total / now.seen
        if self.config.grad_skip is not None:
            record |= {"skipped_steps": now.skipped, "largest_gradient": now.largest_gradient}
        if report is None:
            return record | {"active_units": self._active_units()}
        record |= {f"val_{name}": getattr(report, name) for name in TERMS}
        return record | {"active_units": report.active_units}

    def _active_units(self) -> int:
        """Active latent dimensions, counted from training images."""
        mean, square = self.latents / self.progress.seen
        return int((square - mean.square() > ACTIVE_VARIANCE).sum())


def model_inputs(
    config: RunConfig, batches: Batches, size: int = EVALUATION_BATCH, visit: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches in order, as the model sees them: binarized where the draw is dynamic."""
    how = "dynamic" if config.binarize == "dynamic" else None
    for indices, x in batches.in_order(size, visit):
        yield indices, binarize(x, indices, how, config.seed)


def evaluation_batch(image: tuple[int, int, int]) -> int:
    """Images in a batch of validation: fewer of large ones, in whole blocks.

    >>> [evaluation_batch((side, side, 3)) for side in (64, 144, 999)]
    [512, 128, 64]
    """
    blocks = EVALUATION_VALUES // (math.prod(image) * BLOCK)
    return min(EVALUATION_BATCH, BLOCK * max(1, blocks))


def _copied(network: VAE) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
