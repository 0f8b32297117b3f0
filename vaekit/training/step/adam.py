"""Adam and AdamW with torch's own kernels.

Creating a `torch.optim.Adam` imports torch's compiler, which takes a second. The functions that it
calls do not, and a step needs one call of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor

from vaekit import torch_internals

BETAS = (0.9, 0.999)
FUSED_ON = ("cpu", "cuda")
"""Devices with a kernel that reads each weight once instead of a dozen times."""


class Adam:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980); AdamW if `decoupled` (1711.05101).

    >>> weight = torch.tensor([1.0, -1.0], requires_grad=True)
    >>> optimizer = Adam([weight])
    >>> (weight**2).sum().backward()
    >>> optimizer.step(lr=0.1)  # the first step moves each weight by the rate
    >>> weight.detach()
    tensor([ 0.9000, -0.9000])
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled: bool = False,
    ) -> None:
        self.parameters = list(parameters)
        fused = all(p.device.type in FUSED_ON for p in self.parameters)
        self.state = {p: _initial_state(p, fused=fused) for p in self.parameters}
        self._update = partial(
            torch_internals.adamw if decoupled else torch_internals.adam,
            fused=fused,
            amsgrad=False,
            maximize=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            eps=eps,
            weight_decay=weight_decay,
        )

    @torch.no_grad()
    def step(self, lr: float, skip: Tensor | None = None) -> None:
        """Update every weight that has a gradient; none if `skip`, on the device, is 1."""
        updated = [(p, p.grad, self.state[p]) for p in self.parameters if p.grad is not None]
        self._update(
            [weight for weight, _, _ in updated],
            [gradient for _, gradient, _ in updated],
            [state["exp_avg"] for _, _, state in updated],
            [state["exp_avg_sq"] for _, _, state in updated],
            [],
            [state["step"] for _, _, state in updated],
            lr=lr,
            found_inf=skip,
        )


def _initial_state(parameter: Tensor, *, fused: bool) -> dict[str, Tensor]:
    """State of one weight, under torch's names; only a fused kernel counts steps on the device."""
    where = parameter.device if fused else torch.device("cpu")
    return {
        "step": torch.zeros((), device=where),
        "exp_avg": torch.zeros_like(parameter),
        "exp_avg_sq": torch.zeros_like(parameter),
    }
