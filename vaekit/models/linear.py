"""Linear layers, computed by the faster of two libraries.

torch leaves a float32 matrix product on the CPU to MKL, which uses half the vector width of an AMD
processor with AVX-512: oneDNN, which torch uses for convolutions, is twice as fast there
(docs/benchmarks.md). Both add up in float32 and differ in the last bits. The choice depends on the
processor and on shapes alone, so the same run on the same machine gives the same bytes.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from vaekit.machine.threads import together
from vaekit.torch_internals import has_onednn_linear, onednn_linear

LARGE_PRODUCT = 1 << 22
"""Number of multiplications from which oneDNN's overhead pays."""

CPU_FACTS = Path("/proc/cpuinfo")


class Linear(nn.Linear):
    """`nn.Linear`, equal up to rounding.

    >>> layer = Linear(784, 400)
    >>> x = torch.rand(64, 784)
    >>> torch.allclose(layer(x), nn.functional.linear(x, layer.weight, layer.bias), atol=1e-5)
    True
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name for it
        """The product x Wᵀ + b: (N, inputs) to (N, outputs)."""
        if not _better_by_onednn(input, self.weight):
            return super().forward(input)
        if torch.is_grad_enabled():
            result: Tensor = _Product.apply(input.contiguous(), self.weight, self.bias)
            return result
        return _product(input.contiguous(), self.weight, self.bias)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """The product x Wᵀ without gradients, for x (N, inputs) and W (outputs, inputs)."""
    better = _better_by_onednn(x, weight)
    return _product(x, weight, None) if better else nn.functional.linear(x, weight)


class _Product(torch.autograd.Function):
    """The product with its gradients, which oneDNN's operator lacks."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        to_x = _product(grad, weight.t(), None) if ctx.needs_input_grad[0] else None
        return to_x, _product(grad.t(), x.t(), None), grad.sum(0)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The product x Wᵀ + b by oneDNN, with all threads."""
    return together(onednn_linear, x, weight, bias)


def _better_by_onednn(x: Tensor, weight: Tensor) -> bool:
    if torch.compiler.is_compiling():  # dynamo cannot trace the calls below
        return False
    return (
        len(x) * weight.numel() >= LARGE_PRODUCT
        and x.ndim == 2
        and x.dtype == torch.float32
        and suits(weight)
        and not torch.is_autocast_enabled("cpu")
    )


def suits(weight: Tensor) -> bool:
    """Whether large products with these weights use oneDNN."""
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and _on_amd()


@functools.cache
def _on_amd() -> bool:
    """Whether this is an AMD processor with AVX-512, where oneDNN was measured to be faster."""
    wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    if not (wide and has_onednn_linear() and CPU_FACTS.exists()):
        return False
    return "AuthenticAMD" in CPU_FACTS.read_text(errors="replace")
