"""The gradient of one batch: images, noise, objective, backward pass.

The noise is keyed by (seed, step), with one row per image of the batch, so that neither
micro-batches nor ranks change it, and a run can be resumed at any step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vaekit import registry, seeds, torch_internals
from vaekit.configuration.config import RunConfig
from vaekit.data.batches import Batches, binarize_dynamic, to_device
from vaekit.evaluation.dataset_elbo import TERMS, Objective
from vaekit.machine import devices
from vaekit.machine.ranks import ALONE, Ranks
from vaekit.machine.threads import alone
from vaekit.models.vae import VAE
from vaekit.reporting import SILENT, Reporter
from vaekit.training.run_length import run_length
from vaekit.training.step.augment import augmentation
from vaekit.training.step.compiling import Compiled, compiling_pays
from vaekit.training.step.micro_batch import MicroBatch
from vaekit.training.step.shared_gradients import SharedGradients


class BatchShare(NamedTuple):
    """The images of a batch that this rank computes: all of them where there is one rank."""

    indices: Tensor
    start: int
    """The place of the first of them in the batch."""
    whole: int
    """Images in the whole batch."""


class Gradients:
    """Computes gradients for a network, in micro-batches if memory is short."""

    def __init__(
        self,
        config: RunConfig,
        network: VAE,
        images: Batches,
        reporter: Reporter = SILENT,
        ranks: Ranks = ALONE,
        *,
        counts_latents: bool = True,
    ) -> None:
        self._rows = -(-config.images_per_step // ranks.world)
        self.objective = objective_of(config, len(images), images.device, reporter, self._rows)
        self.micro_batch = MicroBatch(config.micro_batch, images.device, "training", reporter)
        self.micro_batch.caveat = _caveat(config, network)
        self.micro_batch.whole = ranks.several and config.sync_bn
        self._config, self._network, self._images, self._ranks = config, network, images, ranks
        self._counts_latents = counts_latents
        self._upcoming: tuple[Tensor, BatchShare] | None = None
        self._parameters = list(network.parameters())
        measured = config.grad_clip is not None or config.grad_skip is not None
        self._checked = self._parameters if measured else _non_finite_indicators(self._parameters)
        numbers = len(TERMS) + 1 + 2 * network.latent_dim * counts_latents
        device = images.device
        several = ranks.several
        self.shared = SharedGradients(network, ranks, device, numbers) if several else None

    def expect(self, indices: Tensor) -> None:
        """Start prefetching this rank's share of the next batch."""
        self._upcoming = indices, self._cut(indices)
        self._images.expect(self._upcoming[1].indices)

    def _cut(self, indices: Tensor) -> BatchShare:
        """The share of this rank in a batch; the very same tensor that was prefetched, if any."""
        if self._upcoming is not None and self._upcoming[0] is indices:
            return self._upcoming[1]
        if not self._ranks.several:
            return BatchShare(indices, 0, len(indices))
        rows = self._ranks.rows(len(indices))
        return BatchShare(indices[rows], rows.start, len(indices))

    def of(self, indices: Tensor, step: int, beta: float) -> tuple[Tensor, Tensor | None]:
        """Set the weights' gradients to those of the batch's mean loss.

        Returns the batch's sums of the terms and the loss, with the gradient's norm
        (`STEP_METRIC_NAMES`), and the sum and the sum of squares of each latent, (2, D), if they
        are counted.
        """
        share = self._cut(indices)
        sums, means = self.micro_batch.run(
            lambda size: self._in_parts(share, step, beta, size), max(1, len(share.indices))
        )
        moments = _moments(means) if self._counts_latents else None
        if self.shared is not None:
            sums, moments = self._added_up(self.shared, sums, moments, share)
        return torch.cat([sums, self._norm().to(sums).reshape(1)]), moments

    def agree_to_stop(self, requested: bool, step: int) -> bool:
        """Whether to stop before step `step`: as requested here, or on any rank."""
        shared = self.shared
        return requested if shared is None else shared.agree_to_stop(requested, step)

    def _added_up(
        self, shared: SharedGradients, sums: Tensor, moments: Tensor | None, share: BatchShare
    ) -> tuple[Tensor, Tensor | None]:
        """Gradients, sums and moments of all ranks."""
        numbers = sums if moments is None else torch.cat([sums, moments.flatten()])
        total = shared.add_up(numbers, len(share.indices) / share.whole)
        rest = total[len(sums) :]
        return total[: len(sums)], None if moments is None else rest.reshape(moments.shape)

    def _in_parts(
        self, share: BatchShare, step: int, beta: float, size: int
    ) -> tuple[Tensor, Tensor]:
        self._clear()
        if (
            not len(share.indices) and not self._config.sync_bn
        ):  # the last batch of an epoch may have fewer images than ranks
            return self._nothing()
        parts = self._parts(share, step, size)
        with alone(if_light=self._is_light(min(size, len(share.indices)))):
            sums, means = zip(
                *(self._backward(x, noise, beta, share.whole) for x, noise in parts), strict=True
            )
        return sum(sums[1:], sums[0]), torch.cat(means) if len(means) > 1 else means[0]

    def _clear(self) -> None:
        if self.shared is not None:
            self.shared.clear()
            return
        for parameter in self._parameters:
            parameter.grad = None

    def _nothing(self) -> tuple[Tensor, Tensor]:
        """The sums and the means of no image."""
        device = self._images.device
        sums = torch.zeros(len(TERMS) + 1, dtype=devices.exact(device), device=device)
        return sums, torch.zeros(0, self._network.latent_dim, device=device)

    def _is_light(self, rows: int) -> bool:
        plain = self._config.precision == "float32" and not isinstance(self.objective, Compiled)
        return plain and self._network.is_light(rows)

    def _parts(self, share: BatchShare, step: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The network's input and the noise of its latents, one micro-batch at a time.

        Every rank draws the noise of the whole batch: a generator cannot start in the middle.
        """
        seed, device, whole = self._config.seed, self._images.device, share.whole
        noise = torch.randn(
            whole, self._network.latent_dim, generator=seeds.generator(seed, "noise", step)
        )
        uniform = self._binarization_noise(whole, step)
        augmented = augmentation(self._config.augment or (), whole, seed, step)
        count = len(share.indices)
        for start in range(0, max(1, count), size):
            end = min(start + size, count)
            x = self._images.gather(share.indices if size >= count else share.indices[start:end])
            here = slice(share.start + start, share.start + end)
            x = augmented.apply(x, here.start)
            if uniform is not None:
                x = binarize_dynamic(x, to_device(uniform[here], device))
            yield x, to_device(noise[here], device)

    def _binarization_noise(self, count: int, step: int) -> Tensor | None:
        """Uniform noise for `--binarize dynamic`; else None."""
        if self._config.binarize != "dynamic":
            return None
        height, width, channels = self._network.image
        generator = seeds.generator(self._config.seed, "binarize", step)
        return torch.rand(count, channels, height, width, generator=generator)

    def _backward(self, x: Tensor, noise: Tensor, beta: float, whole: int) -> tuple[Tensor, Tensor]:
        with torch.autocast(x.device.type, torch.bfloat16, self._config.precision == "bfloat16"):
            terms = self.objective(
                self._network, x, noise, beta=beta, free_bits=self._config.free_bits
            )
        loss = terms["loss"]
        # sum / whole; a gradient given to `backward` would import sympy, which takes half a second
        torch.dot(loss, torch.full_like(loss, 1 / whole)).backward()
        values = torch.stack([terms[name].detach() for name in (*TERMS, "loss")])
        return values.sum(1, dtype=devices.exact(x.device)), terms["mean"]

    def _norm(self) -> Tensor:
        """The norm of the gradients that are checked, before --grad-clip scales them."""
        gradients = [p.grad for p in self._checked if p.grad is not None]
        norm: Tensor = torch.linalg.vector_norm(torch_internals.norms(gradients))
        if self._config.grad_clip is not None:
            scale = (self._config.grad_clip / (norm + 1e-6)).clamp(max=1.0)
            torch_internals.multiply_each(gradients, scale)
        return norm


def _non_finite_indicators(parameters: list[nn.Parameter]) -> list[nn.Parameter]:
    """Biases and other vectors, whose gradients show any NaN or infinity of the backward pass.

    A layer's bias gets the sum of the gradients that pass through the layer. Checking the
    gradients of all weights would add a twentieth to the step of a small network.
    """
    return [p for p in parameters if p.ndim < 2] or parameters


def objective_of(
    config: RunConfig,
    images: int,
    device: torch.device,
    reporter: Reporter = SILENT,
    rows: int | None = None,
) -> Objective:
    """The objective, compiled where that pays, for `rows` images of a batch: this rank's."""
    objective: Objective = registry.resolve("objective", config.objective)
    if not compiling_pays(config, run_length(config, images).steps, device):
        return objective
    return Compiled(objective, config, device, reporter, rows)


def batch_statistics(config: RunConfig, network: VAE) -> list[str]:
    """What of a run takes statistics of the images that are computed together, by name."""
    found = {
        "batch norm": any(isinstance(module, nn.BatchNorm2d) for module in network.modules()),
        "--sigma optimal": network.likelihood.uses_batch,
        "--free-bits": config.free_bits > 0,
    }
    return [name for name, is_so in found.items() if is_so]


def _caveat(config: RunConfig, network: VAE) -> str:
    """Whether micro-batches change the result: the options that use statistics of a whole batch."""
    names = batch_statistics(config, network)
    if not names:
        return "; the result is the same up to rounding"
    return f"; the result differs, since {', '.join(names)} took statistics of the whole batch"


def _moments(means: Tensor) -> Tensor:
    """The sum over a batch and the sum of squares of each latent, (2, D)."""
    exact = means.to(devices.exact(means.device))
    return torch.stack([exact.sum(0), exact.square().sum(0)])
