"""Our Adam makes the same steps as `torch.optim`."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from vaekit.training.step.adam import Adam

RATES = (0.1, 0.02, 0.3, 0.05)
REFERENCES = {False: torch.optim.Adam, True: torch.optim.AdamW}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))


def gradients(of: nn.Module) -> None:
    torch.manual_seed(1)
    of.zero_grad()
    of(torch.randn(16, 5)).square().sum().backward()


def weights(of: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in of.parameters()]


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize(("eps", "decay"), [(1e-8, 0.0), (1e-2, 0.3)])
def test_steps_equal_those_of_torch_optim(decoupled: bool, eps: float, decay: float) -> None:
    ours, theirs = network(), network()
    adam = Adam(ours.parameters(), eps=eps, weight_decay=decay, decoupled=decoupled)
    reference = REFERENCES[decoupled](
        theirs.parameters(), eps=eps, weight_decay=decay, foreach=False, fused=False
    )
    for rate in RATES:
        gradients(ours)
        adam.step(rate)
        reference.param_groups[0]["lr"] = rate
        gradients(theirs)
        reference.step()
    for mine, other in zip(weights(ours), weights(theirs), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)
    assert [float(state["step"]) for state in adam.state.values()] == [len(RATES)] * 4


def test_a_skipped_step_changes_no_weight_and_no_state() -> None:
    ours, never = network(), network()
    adam = Adam(ours.parameters())
    gradients(ours)
    next(ours.parameters()).grad.fill_(torch.nan)
    adam.step(0.1, torch.ones(()))
    pairs = zip(weights(ours), weights(never), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not any(tensor.any() for state in adam.state.values() for tensor in state.values())


def test_a_weight_without_a_gradient_stays() -> None:
    ours = network()
    adam, before = Adam(ours.parameters()), weights(ours)
    gradients(ours)
    ours[2].bias.grad = None
    adam.step(0.1)
    moved = [not torch.equal(a, b) for a, b in zip(before, weights(ours), strict=True)]
    assert moved == [True, True, True, False]


def test_training_imports_neither_a_compiler_nor_symbolic_algebra(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Each takes half a second or more, which a run of a minute feels."""
    folder = tmp_path_factory.mktemp("run")
    flags = ["--dataset", "digits", "--limit", "20", "--epochs", "1", "-q", "-o", str(folder / "r")]
    code = (
        "import sys; from vaekit.cli import run; "
        f"assert run({['train', *flags]!r}) in (0, None)\n"
        "print({'torch._dynamo', 'sympy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
