"""Whether the objective is compiled, and how.

Compiling takes 10 to 50 seconds and gains what docs/defaults.md says, so `--compile auto` looks at
the length of the run: where there is something to gain, it compiles for runs that are long enough
to win the time back, and goes on without where torch finds that it cannot compile here.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from typing import Any

import torch
from torch import Tensor

from vaekit.config import RunConfig
from vaekit.errors import VaekitError
from vaekit.evaluation.dataset_elbo import Objective
from vaekit.models.vae import VAE
from vaekit.reporting import Reporter
from vaekit.training.micro_batch import ran_out

PAYS_AFTER = 100_000
"""Steps that win back what compiling takes, with something to spare: a step gains a millisecond."""


def pays(config: RunConfig, steps: int, device: torch.device) -> bool:
    """Whether to compile for so many steps."""
    if config.compile != "auto":
        return config.compile == "on"
    gains = device.type == "cuda" or (device.type == "cpu" and config.model != "mlp")
    return gains and steps >= PAYS_AFTER and _has_compiler(device)


def _has_compiler(device: torch.device) -> bool:
    """What torch's compiler hands its code to: one for C++, and for CUDA Triton's."""
    usual = "clang++" if sys.platform == "darwin" else "g++"
    if shutil.which(os.environ.get("CXX", usual)) is None:
        return False
    return device.type == "cpu" or importlib.util.find_spec("triton") is not None


class Compiled:
    """An objective, compiled for one size of batch and one beta.

    The last batch of an epoch is smaller, and beta rises while the KL warms up: neither is worth
    compiling again for.
    """

    def __init__(
        self, objective: Objective, config: RunConfig, device: torch.device, reporter: Reporter
    ) -> None:
        self._objective, self._asked, self._reporter = objective, config.compile, reporter
        self._size: int | None = config.micro_batch or config.batch_size
        self._beta = config.beta
        # Graphs keep their results in one place, where a second part of a batch would overwrite
        # the gradients of the first.
        self._graphs = device.type == "cuda" and config.micro_batch is None
        mode = "reduce-overhead" if self._graphs else "default"
        self._compiled: Objective = torch.compile(objective, dynamic=False, mode=mode)

    def __call__(self, model: VAE, x: Tensor, *args: Any, **options: Any) -> dict[str, Tensor]:
        """The terms of each image."""
        if len(x) != self._size or options.get("beta", self._beta) != self._beta:
            return self._objective(model, x, *args, **options)
        if self._graphs:
            torch.compiler.cudagraph_mark_step_begin()
        try:
            return self._compiled(model, x, *args, **options)
        except Exception as error:
            if ran_out(error):
                raise
            terms = self._objective(model, x, *args, **options)  # which may be what is wrong
            self._give_up(error)
            return terms

    def _give_up(self, error: Exception) -> None:
        why = (str(error) or type(error).__name__).splitlines()[0]
        if self._asked == "on":
            raise VaekitError(f"--compile on: torch cannot compile here ({why})") from error
        self._size = None
        self._reporter.note(f"goes on without compiling, which torch cannot do here ({why})")
