"""Compiles the objective where that pays, or falls back to eager mode.

Compiling takes 10 to 50 seconds; docs/defaults.md has the gains. `--compile auto` compiles runs
that are long enough to win that time back.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from typing import Any

import torch
from torch import Tensor

from vaekit.configuration.config import RunConfig
from vaekit.errors import VaekitError
from vaekit.evaluation.dataset_elbo import Objective
from vaekit.models.vae import VAE
from vaekit.reporting import Reporter
from vaekit.training.step.micro_batch import is_out_of_memory

PAYS_AFTER = 100_000
"""Steps that win back the time to compile, with a margin: each gains about a millisecond."""


def compiling_pays(config: RunConfig, steps: int, device: torch.device) -> bool:
    """Whether to compile for a run of `steps` steps."""
    if config.compile != "auto":
        return config.compile == "on"
    gains = device.type == "cuda" or (device.type == "cpu" and config.model != "mlp")
    return gains and steps >= PAYS_AFTER and _has_compiler(device)


def _has_compiler(device: torch.device) -> bool:
    """Whether torch's compiler finds its back end: a C++ compiler, and Triton for CUDA."""
    usual = "clang++" if sys.platform == "darwin" else "g++"
    if shutil.which(os.environ.get("CXX", usual)) is None:
        return False
    return device.type == "cpu" or importlib.util.find_spec("triton") is not None


class Compiled:
    """An objective, compiled for one batch size and one beta.

    Other sizes (the last batch of an epoch) and other betas (during KL warm-up) run in eager mode:
    compiling again for them would not pay.
    """

    def __init__(
        self,
        objective: Objective,
        config: RunConfig,
        device: torch.device,
        reporter: Reporter,
        rows: int | None = None,
    ) -> None:
        self._objective, self._option, self._reporter = objective, config.compile, reporter
        self._size: int | None = config.micro_batch or rows or config.images_per_step
        self._beta = config.beta
        # A CUDA graph reuses its output memory: a second micro-batch would overwrite the first's
        # gradients.
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
            if is_out_of_memory(error):
                raise
            terms = self._objective(
                model, x, *args, **options
            )  # raises if the objective is at fault
            self._give_up(error)
            return terms

    def _give_up(self, error: Exception) -> None:
        why = (str(error) or type(error).__name__).splitlines()[0]
        if self._option == "on":
            raise VaekitError(f"--compile on: torch cannot compile here ({why})") from error
        self._size = None
        self._reporter.note(f"continues without compiling: torch cannot compile here ({why})")
