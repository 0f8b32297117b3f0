"""If these fail, training minimises something else than it says, or prints nats it has not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from vaekit.gaussian import Normal as Posterior
from vaekit.gaussian import StandardNormal
from vaekit.likelihoods import Likelihood, build_likelihood
from vaekit.objectives.elbo import elbo


@dataclass
class Known:
    """A model whose posterior is given and whose decoder spreads z over the image."""

    mean: Tensor
    logvar: Tensor
    likelihood: Likelihood = field(default_factory=lambda: build_likelihood("mse"))
    prior: StandardNormal = field(default_factory=StandardNormal)

    def encode(self, x: Tensor) -> Posterior:
        return Posterior(self.mean, self.logvar)

    def decode(self, z: Tensor) -> Tensor:
        return z.reshape(len(z), 1, 1, -1)


@pytest.fixture
def model() -> Known:
    # KL of each dimension: mean²/2 where the variance is one.
    return Known(torch.tensor([[1.0, 0.2], [3.0, 0.4]]), torch.zeros(2, 2))


X = torch.tensor([[1.5, 0.2], [3.0, 1.4]]).reshape(2, 1, 1, 2)
NOISE = torch.zeros(2, 2)
CONSTANT = math.log(2 * math.pi)  # of two values under a unit normal


def test_terms_are_those_computed_by_hand(model: Known) -> None:
    terms = elbo(model, X, NOISE)
    expected = {
        "reconstruction": [0.5 * 0.5**2 + CONSTANT, 0.5 * 1.0**2 + CONSTANT],
        "kl": [0.5 + 0.02, 4.5 + 0.08],
    }
    expected["neg_elbo"] = [r + k for r, k in zip(*expected.values(), strict=True)]
    for name, values in expected.items():
        torch.testing.assert_close(terms[name], torch.tensor(values))
    torch.testing.assert_close(terms["loss"], terms["neg_elbo"])
    torch.testing.assert_close(terms["kl_per_dim"], torch.tensor([[0.5, 0.02], [4.5, 0.08]]))
    assert torch.equal(terms["mean"], model.mean)


def test_terms_are_those_of_torch_distributions() -> None:
    g = torch.Generator().manual_seed(0)
    mean, logvar, noise = torch.randn(3, 5, 4, generator=g)
    x = (torch.rand(5, 1, 1, 4, generator=g) > 0.5).float()
    terms = elbo(Known(mean, logvar, build_likelihood("bernoulli")), x, noise)
    q = Independent(Normal(mean, (logvar / 2).exp()), 1)
    z = mean + (logvar / 2).exp() * noise
    log_likelihood = Bernoulli(logits=z).log_prob(x.flatten(1)).sum(1)
    kl = kl_divergence(q, Independent(Normal(torch.zeros(5, 4), torch.ones(5, 4)), 1))
    torch.testing.assert_close(terms["neg_elbo"], kl - log_likelihood)


def test_beta_changes_the_loss_and_no_other_term(model: Known) -> None:
    plain, weighed = elbo(model, X, NOISE), elbo(model, X, NOISE, beta=4.0)
    torch.testing.assert_close(weighed["loss"], plain["reconstruction"] + 4 * plain["kl"])
    for name in ("reconstruction", "kl", "neg_elbo"):
        assert torch.equal(plain[name], weighed[name])


@pytest.mark.parametrize("beta", [1.0, 0.5])
@pytest.mark.parametrize("free_bits", [0.01, 0.3, 10.0])
def test_free_bits_floor_the_batch_mean_of_each_dimension(
    model: Known, free_bits: float, beta: float
) -> None:
    terms = elbo(model, X, NOISE, beta=beta, free_bits=free_bits)
    charged = max(free_bits, (0.5 + 4.5) / 2) + max(free_bits, (0.02 + 0.08) / 2)
    expected = terms["reconstruction"].mean().item() + beta * charged
    assert terms["loss"].mean().item() == pytest.approx(expected, rel=1e-6)
    assert terms["kl"].tolist() == pytest.approx([0.52, 4.58])


def test_a_dimension_below_its_free_bits_is_not_pushed_down() -> None:
    mean = torch.tensor([[1.0, 0.2], [3.0, 0.4]], requires_grad=True)
    model = Known(mean, torch.zeros(2, 2))
    terms = elbo(model, X, NOISE, free_bits=0.3)
    (grad,) = torch.autograd.grad((terms["loss"] - terms["reconstruction"]).sum(), mean)
    torch.testing.assert_close(grad, torch.tensor([[1.0, 0.0], [3.0, 0.0]]))


def test_monitored_terms_carry_no_gradient() -> None:
    model = Known(torch.ones(2, 2, requires_grad=True), torch.zeros(2, 2, requires_grad=True))
    terms = elbo(model, X, NOISE)
    watched = {name for name, term in terms.items() if not term.requires_grad}
    assert watched == {"kl_per_dim", "mean"}
    assert {tuple(terms[name].shape) for name in watched} == {(2, 2)}
    assert {tuple(terms[name].shape) for name in terms.keys() - watched} == {(2,)}


def test_noise_moves_the_reconstruction_by_the_posteriors_spread() -> None:
    model = Known(torch.zeros(1, 1), torch.full((1, 1), math.log(0.25)))
    terms = elbo(model, torch.zeros(1, 1, 1, 1), torch.full((1, 1), 2.0))
    assert terms["reconstruction"].item() == pytest.approx(0.5 * (0.5 * 2) ** 2 + CONSTANT / 2)
