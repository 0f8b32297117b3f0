"""The gradient of one batch: images, noise, objective, backward pass.

The noise is keyed by (seed, step), with one row per image of the batch, so that micro-batches do
not change it, and a run can be resumed at any step.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from vaekit import devices, registry, seeds, torch_internals
from vaekit.config import RunConfig
from vaekit.data.batches import Batches, binarize_dynamic, to_device
from vaekit.evaluation.dataset_elbo import TERMS, Objective
from vaekit.models.vae import VAE
from vaekit.reporting import SILENT, Reporter
from vaekit.threads import alone
from vaekit.training.augment import augmentation
from vaekit.training.compiling import Compiled, compiling_pays
from vaekit.training.micro_batch import MicroBatch


class Gradients:
    """Computes gradients for a network, in micro-batches if memory is short."""

    def __init__(
        self, config: RunConfig, network: VAE, images: Batches, reporter: Reporter = SILENT
    ) -> None:
        self.objective = objective_of(config, len(images), images.device, reporter)
        self.micro_batch = MicroBatch(config.micro_batch, images.device, "training", reporter)
        self.micro_batch.caveat = _caveat(config, network)
        self._config, self._network, self._images = config, network, images
        self._parameters = list(network.parameters())
        measured = config.grad_clip is not None or config.grad_skip is not None
        self._checked = self._parameters if measured else _non_finite_indicators(self._parameters)

    def of(self, indices: Tensor, step: int, beta: float) -> tuple[Tensor, Tensor]:
        """Set the weights' gradients to those of the batch's mean loss.

        Returns the batch's sums of the terms and the loss, with the gradient's norm
        (`STEP_METRIC_NAMES`), and the posterior means.
        """
        sums, means = self.micro_batch.run(
            lambda size: self._in_parts(indices, step, beta, size), len(indices)
        )
        return torch.cat([sums, self._norm().to(sums).reshape(1)]), means

    def _in_parts(
        self, indices: Tensor, step: int, beta: float, size: int
    ) -> tuple[Tensor, Tensor]:
        for parameter in self._parameters:
            parameter.grad = None
        parts = self._parts(indices, step, size)
        with alone(if_light=self._is_light(min(size, len(indices)))):
            sums, means = zip(
                *(self._backward(x, noise, beta, len(indices)) for x, noise in parts), strict=True
            )
        return sum(sums[1:], sums[0]), torch.cat(means) if len(means) > 1 else means[0]

    def _is_light(self, rows: int) -> bool:
        plain = self._config.precision == "float32" and not isinstance(self.objective, Compiled)
        return plain and self._network.is_light(rows)

    def _parts(self, indices: Tensor, step: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The network's input and the noise of its latents, one micro-batch at a time."""
        seed, device, count = self._config.seed, self._images.device, len(indices)
        noise = torch.randn(
            count, self._network.latent_dim, generator=seeds.generator(seed, "noise", step)
        )
        uniform = self._binarization_noise(count, step)
        augmented = augmentation(self._config.augment or (), count, seed, step)
        for start in range(0, count, size):
            here = slice(start, start + size)
            x = self._images.gather(indices if size >= count else indices[here])
            x = augmented.apply(x, start)
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
        loss.backward(torch.full_like(loss, 1 / whole))  # sum / whole, without another kernel
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
    config: RunConfig, images: int, device: torch.device, reporter: Reporter = SILENT
) -> Objective:
    """The objective, compiled where that pays."""
    objective: Objective = registry.resolve("objective", config.objective)
    steps = (config.epochs or 0) * -(-images // config.batch_size)
    if not compiling_pays(config, steps, device):
        return objective
    return Compiled(objective, config, device, reporter)


def _caveat(config: RunConfig, network: VAE) -> str:
    """Whether micro-batches change the result: the options that use statistics of a whole batch."""
    normed = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    found = {
        "batch norm": normed,
        "--sigma optimal": network.likelihood.uses_batch,
        "--free-bits": config.free_bits > 0,
    }
    names = [name for name, is_so in found.items() if is_so]
    if not names:
        return "; the result is the same up to rounding"
    return f"; the result differs, since {', '.join(names)} took statistics of the whole batch"
