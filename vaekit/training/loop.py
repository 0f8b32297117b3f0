"""The loop: order, noise, objective, step; an epoch; the next.

Nothing random is carried from step to step: the order is keyed by (seed, epoch) and the noise by
(seed, step) with one row for each place in the global batch, so that micro-batches change nothing
and a run can be taken up at any step.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vaekit import registry, seeds
from vaekit.config import RunConfig
from vaekit.data.batches import Batches, dynamic, order
from vaekit.errors import Diverged
from vaekit.evaluation.elbo import ACTIVE_VARIANCE, TERMS, ElboReport, evaluate_elbo
from vaekit.evaluation.observing import observe
from vaekit.models.base import VAE
from vaekit.training.averaging import WeightAverage
from vaekit.training.schedules import kl_weight, learning_rate
from vaekit.training.watching import StepFacts

EVALUATION_BATCH = 512
REMEDY = "try a lower --lr, --grad-clip 1, or --kl-warmup 5"


@dataclass
class Progress:
    """Where a run stands: with the tensors of a trainer, all that a checkpoint needs."""

    step: int = 0
    epoch: int = 0
    seen: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    best_epoch: int = 0
    best: float = math.inf


class _Sums(NamedTuple):
    """Sums over a batch: of the terms and the loss, and of the latents and their squares."""

    terms: Tensor
    latents: Tensor


class Trainer:
    """A network, its optimizer, and the images it learns from."""

    def __init__(
        self, config: RunConfig, network: VAE, train: Batches, val: Batches | None
    ) -> None:
        self.config, self.network, self.train, self.val = config, network, train, val
        self.objective = _objective(config)
        self.optimizer = _optimizer(config, network)
        self.average = WeightAverage(network, config.ema) if config.ema else None
        self.progress = Progress()
        self.sums = torch.zeros(len(TERMS), dtype=torch.float64)
        self.latents = torch.zeros(2, network.latent_dim, dtype=torch.float64)
        self.best_state: dict[str, Tensor] | None = None

    @property
    def epochs(self) -> int:
        """How many there will be at most."""
        assert self.config.epochs is not None
        return self.config.epochs

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one pass."""
        return steps_in(len(self.train), self.config.batch_size)

    @property
    def shown(self) -> VAE:
        """The network to evaluate and to keep: the average where there is one."""
        return self.average.network if self.average else self.network

    @property
    def finished(self) -> bool:
        """Whether the last epoch was made, or patience has ended."""
        now, patience = self.progress, self.config.early_stop
        impatient = self.val is not None and patience is not None
        return now.epoch >= self.epochs or (
            impatient and now.epoch - now.best_epoch >= (patience or 0)
        )

    def epoch_batches(self) -> Iterator[Tensor]:
        """The indices of each batch of this epoch that is still to be made."""
        visit = order(len(self.train), self.config.seed, self.progress.epoch)
        batches = _split(visit, self.config.batch_size)
        self.network.train()
        yield from batches[self.progress.step - self.progress.epoch * len(batches) :]

    def step(self, indices: Tensor) -> StepFacts:
        """One update; stops before it if a number is not finite."""
        began = time.perf_counter()
        rate = self._learning_rate(self.progress.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        sums = self._backward(indices)
        self._check(sums, self._gradient_norm())
        self.optimizer.step()
        if self.average:
            self.average.update(self.network, self.progress.step)
        self._count(sums, len(indices), time.perf_counter() - began)
        return self._facts()

    def end_epoch(self) -> dict[str, float]:
        """Validate, remember the best, and give the epoch's record."""
        now = self.progress
        now.epoch += 1
        report = self.validate()
        self.check_report(report if report is not None else self._glance())
        if report is not None and report.neg_elbo < now.best:
            now.best, now.best_epoch = report.neg_elbo, now.epoch
            self.best_state = _copied(self.shown)
        record = self._record(report)
        now.seen, now.epoch_seconds = 0, 0.0
        self.sums.zero_()
        self.latents.zero_()
        return record

    def validate(self) -> ElboReport | None:
        """The plain ELBO of the validation part, whatever beta and free bits training has."""
        if self.val is None:
            return None
        objective = registry.resolve("objective", self.config.objective)
        return evaluate_elbo(
            self.shown, objective, observed(self.config, self.val), seed=self.config.seed
        )

    def _glance(self) -> ElboReport:
        """The plain ELBO of some training images, where nothing is held for validation."""
        some = itertools.islice(observed(self.config, self.train), 1)
        objective = registry.resolve("objective", self.config.objective)
        return evaluate_elbo(self.shown, objective, some, seed=self.config.seed)

    def check_report(self, report: ElboReport) -> None:
        """Stop if the weights no longer give numbers: the step before may have broken them."""
        if not math.isfinite(report.neg_elbo):
            raise Diverged(
                f"epoch {self.progress.epoch}: after its last step the loss is {report.neg_elbo}; "
                f"{REMEDY}"
            )

    def kept_state(self) -> Mapping[str, Tensor]:
        """The weights to write: the best on validation; the last where there is none."""
        return self.best_state if self.best_state is not None else self.shown.state_dict()

    def _learning_rate(self, step: int) -> float:
        total = self.epochs * self.steps_per_epoch
        return learning_rate(self.config.schedule, self.config.lr, step, total)

    def _beta(self, step: int) -> float:
        warmup = self.config.kl_warmup * self.steps_per_epoch
        return kl_weight(self.config.beta, warmup_steps=warmup, step=step)

    def _backward(self, indices: Tensor) -> _Sums:
        """Gradients of the mean loss of the batch; gives the sums of its terms."""
        place = (self.config.seed, "noise", self.progress.step)
        noise = torch.randn(
            len(indices), self.network.latent_dim, generator=seeds.generator(*place)
        ).to(self.train.device)
        x = self._observe(self.train.gather(indices))
        size = self.config.micro_batch or len(indices)
        parts = zip(x.split(size), noise.split(size), strict=True)
        return _added([self._backward_part(part, draws, len(indices)) for part, draws in parts])

    def _backward_part(self, x: Tensor, noise: Tensor, whole: int) -> _Sums:
        with torch.autocast(x.device.type, torch.bfloat16, self.config.precision == "bfloat16"):
            beta, free_bits = self._beta(self.progress.step), self.config.free_bits
            terms = self.objective(self.network, x, noise, beta=beta, free_bits=free_bits)
        (terms["loss"].sum() / whole).backward()
        mean = terms["mean"].cpu().double()  # not every device has float64
        values = torch.stack([terms[name].detach() for name in (*TERMS, "loss")])
        latents = torch.stack([mean.sum(0), mean.square().sum(0)])
        return _Sums(values.cpu().double().sum(1), latents)

    def _observe(self, x: Tensor) -> Tensor:
        """What the model sees: a fresh draw of black and white where that is asked for."""
        if self.config.binarize != "dynamic":
            return x
        generator = seeds.generator(self.config.seed, "binarize", self.progress.step)
        return dynamic(x, torch.rand(x.shape, generator=generator).to(x.device))

    def _gradient_norm(self) -> float:
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.config.grad_clip is not None:
            scale = (self.config.grad_clip / (norm + 1e-6)).clamp(max=1.0)
            torch._foreach_mul_(gradients, scale)
        return float(norm)

    def _check(self, sums: _Sums, norm: float) -> None:
        values = dict(zip((*TERMS, "loss"), sums.terms.tolist(), strict=True), gradient=norm)
        for name in ("reconstruction", "kl", "loss", "gradient"):
            if not math.isfinite(values[name]):
                now, rate = self.progress, self._learning_rate(self.progress.step)
                raise Diverged(
                    f"step {now.step + 1} (epoch {now.epoch + 1}): the {name} is {values[name]} "
                    f"at learning rate {rate:.3g}; "
                    f"{REMEDY}"
                )

    def _count(self, sums: _Sums, images: int, seconds: float) -> None:
        self.sums += sums.terms[: len(TERMS)]
        self.latents += sums.latents
        self.progress.step += 1
        self.progress.seen += images
        self.progress.seconds += seconds
        self.progress.epoch_seconds += seconds

    def _facts(self) -> StepFacts:
        now = self.progress
        means = dict(zip(TERMS, (self.sums / now.seen).tolist(), strict=True))
        return StepFacts(now.epoch + 1, now.step, now.seen, **means)

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
        for name, total in zip(TERMS, self.sums.tolist(), strict=True):
            record[f"train_{name}"] = total / now.seen
        if report is None:
            return record | {"active_units": self._active_units()}
        record |= {f"val_{name}": getattr(report, name) for name in TERMS}
        return record | {"active_units": report.active_units}

    def _active_units(self) -> int:
        """Active dimensions as seen in training, where no validation can tell."""
        mean, square = self.latents / self.progress.seen
        return int((square - mean.square() > ACTIVE_VARIANCE).sum())


def observed(config: RunConfig, batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches in order as the model sees them; what is drawn once for all was drawn before."""
    how = "dynamic" if config.binarize == "dynamic" else None
    for indices, x in batches.in_order(EVALUATION_BATCH):
        yield indices, observe(x, indices, how, config.seed)


def _added(parts: list[_Sums]) -> _Sums:
    terms, latents = zip(*parts, strict=True)
    return _Sums(torch.stack(terms).sum(0), torch.stack(latents).sum(0))


def _split(indices: Tensor, size: int) -> list[Tensor]:
    """Batches of `size`, the last one smaller; but one image alone joins the batch before it,
    since a batch norm learns nothing from a batch of one.
    """
    batches = list(indices.split(size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def steps_in(images: int, size: int) -> int:
    """How many batches `_split` makes, without making them: every step asks.

    >>> [steps_in(n, 4) for n in (1, 4, 5, 6, 8, 9)]
    [1, 1, 1, 2, 2, 2]
    """
    count = -(-images // size)
    alone = images - (count - 1) * size == 1
    return count - 1 if alone and count > 1 else count


def _objective(config: RunConfig) -> Callable[..., dict[str, Tensor]]:
    objective: Callable[..., dict[str, Tensor]] = registry.resolve("objective", config.objective)
    if config.compile == "on":
        return torch.compile(objective)
    return objective


def _optimizer(config: RunConfig, network: VAE) -> torch.optim.Optimizer:
    """Adam or AdamW, in the fused form: one pass over each weight in place of a dozen."""
    kind = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
    fused = next(network.parameters()).device.type in ("cpu", "cuda")
    return kind(
        network.parameters(),
        lr=config.lr,
        eps=config.adam_eps,
        weight_decay=config.weight_decay,
        fused=fused,
    )


def _copied(network: VAE) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
