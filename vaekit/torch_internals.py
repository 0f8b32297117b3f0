"""Private functions of torch that vaekit calls: check this file when torch is upgraded.

torch may change or drop any of these without notice. tests/test_torch_internals.py fails when it
does; where the same numbers can be had by public functions, those take over.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim.adam import adam as adam
from torch.optim.adamw import adamw as adamw


def norms(tensors: list[Tensor]) -> Tensor:
    """The norm of each tensor, by one kernel where torch has it."""
    if hasattr(torch, "_foreach_norm"):
        return torch.stack(torch._foreach_norm(tensors))
    return torch.stack([torch.linalg.vector_norm(tensor) for tensor in tensors])


def multiply_each(tensors: list[Tensor], factor: Tensor) -> None:
    """Multiply each tensor by one factor, in place."""
    if hasattr(torch, "_foreach_mul_"):
        torch._foreach_mul_(tensors, factor)
        return
    for tensor in tensors:
        tensor.mul_(factor)


def lerp_each(tensors: list[Tensor], targets: list[Tensor], weight: float) -> None:
    """Move each tensor to its target by the fraction `weight` of the way, in place."""
    if hasattr(torch, "_foreach_lerp_"):
        torch._foreach_lerp_(tensors, targets, weight)
        return
    for tensor, target in zip(tensors, targets, strict=True):
        tensor.lerp_(target, weight)


def has_onednn_linear() -> bool:
    """Whether torch carries oneDNN's product, which on some processors is faster than MKL's."""
    mkldnn = torch.backends.mkldnn.is_available()
    return mkldnn and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`nn.functional.linear` by oneDNN, without gradients; by torch's own where it is missing."""
    if not has_onednn_linear():
        return torch.nn.functional.linear(x, weight, bias)
    product: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise
    return product(x, weight, bias, "none", [], "")


def seed_cpu(seed: int) -> None:
    """Seed torch's CPU generator alone; `torch.manual_seed` would reseed the accelerators' too."""
    torch.default_generator.manual_seed(seed)
