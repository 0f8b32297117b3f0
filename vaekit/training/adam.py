"""Adam and AdamW, by torch's own kernels.

`torch.optim.Adam` imports torch's compiler as soon as it is made, which takes a second that a run
of a minute feels. The functions underneath do not, and one call of them is all that a step needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor

from vaekit import torch_internals

BETAS = (0.9, 0.999)
FUSED_ON = ("cpu", "cuda")
"""Where there is a kernel that goes over each weight once, in place of a dozen times."""


class Adam:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980); AdamW if `decoupled` (1711.05101).

    >>> weight = torch.tensor([1.0, -1.0], requires_grad=True)
    >>> optimizer = Adam([weight])
    >>> (weight**2).sum().backward()
    >>> optimizer.step(lr=0.1)  # the first step moves each weight by the rate, against its gradient
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
        self.state = {p: _fresh(p, fused=fused) for p in self.parameters}
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
    def step(self, lr: float, held_back: Tensor | None = None) -> None:
        """Move every weight that has a gradient; none where `held_back`, on the device, is 1."""
        moved = [(p, p.grad, self.state[p]) for p in self.parameters if p.grad is not None]
        self._update(
            [weight for weight, _, _ in moved],
            [gradient for _, gradient, _ in moved],
            [state["exp_avg"] for _, _, state in moved],
            [state["exp_avg_sq"] for _, _, state in moved],
            [],
            [state["step"] for _, _, state in moved],
            lr=lr,
            found_inf=held_back,
        )


def _fresh(parameter: Tensor, *, fused: bool) -> dict[str, Tensor]:
    """What is kept of one weight, under torch's names; only a fused kernel counts on the device."""
    where = parameter.device if fused else torch.device("cpu")
    return {
        "step": torch.zeros((), device=where),
        "exp_avg": torch.zeros_like(parameter),
        "exp_avg_sq": torch.zeros_like(parameter),
    }
