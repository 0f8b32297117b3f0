"""The ladder: what each group of latents depends on, and the numbers of its draws."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vaekit.errors import UsageError
from vaekit.evaluation.log_likelihood.nll import importance_estimate
from vaekit.gaussian import Draw, Normal, StandardNormal
from vaekit.likelihoods import build_likelihood
from vaekit.models.ladder import Ladder
from vaekit.models.vae import build, parameter_count

IMAGE = (9, 6, 3)
GROUPS = [1, 2, 0, 1, 1]
"""On grids of 1x1, 2x1, 3x2, 5x3 and 9x6 cells."""


def ladder(**settings: Any) -> Ladder:
    settings = {"channels": [8], "latent_groups": GROUPS, "latent_channels": 2, **settings}
    defaults = Ladder.defaults(IMAGE)
    latent_dim = Ladder.latent_dim_for(IMAGE, {**defaults, **settings}, None, usual=1)
    likelihood = build_likelihood("logistic")
    made = build(
        "ladder", image=IMAGE, latent_dim=latent_dim, likelihood=likelihood, settings=settings
    )
    assert isinstance(made, Ladder)
    g = torch.Generator().manual_seed(2)
    with torch.no_grad():  # away from the start, where the posterior is the prior
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=g))
    return made.eval()


def pictures(count: int = 3) -> Tensor:
    g = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, *IMAGE[:2]), generator=g) / 255


def noise(model: Ladder, *shape: int) -> Tensor:
    g = torch.Generator().manual_seed(1)
    return torch.randn(*shape, model.latent_dim, generator=g)


def test_groups_lie_from_the_coarsest_grid_to_the_finest() -> None:
    model = ladder()
    assert model.group_shapes == [(2, 1, 1), (2, 2, 1), (2, 2, 1), (2, 5, 3), (2, 9, 6)]
    assert model.group_sizes == [2, 4, 4, 30, 108]


@torch.no_grad()
def test_latents_decode_to_the_image_that_they_were_drawn_with() -> None:
    """Else `embed | decode` would give other pictures than `reconstruct`."""
    model = ladder()
    drawn = model.encode(pictures()).draw(noise(model, 3))
    assert drawn.params is not None
    assert torch.equal(model.decode(drawn.z).flatten(1), drawn.params.flatten(1))


@torch.no_grad()
def test_the_density_of_a_draw_is_that_of_its_normals() -> None:
    model = ladder()
    epsilon = noise(model, 3)
    z, q, _ = model.encode(pictures()).draw(epsilon)
    spread = q.logvar.double().exp().sqrt()
    exact_z = q.mean.double() + spread * epsilon.double()
    torch.testing.assert_close(z.double(), exact_z, rtol=1e-5, atol=1e-5)
    normals = torch.distributions.Normal(q.mean.double(), spread)
    expected = normals.log_prob(exact_z).sum(1)
    torch.testing.assert_close(q.log_prob_of_noise(epsilon).double(), expected, rtol=1e-4, atol=0.0)


@torch.no_grad()
@pytest.mark.parametrize("changed", range(5))
def test_a_group_depends_on_those_above_it_and_on_no_other(changed: int) -> None:
    model = ladder()
    posterior, one = model.encode(pictures()), noise(model, 3)
    starts = [0, 2, 6, 10, 40, 148]
    here = slice(starts[changed], starts[changed + 1])
    other = one.clone()
    other[:, here] += 1.0
    first, second = posterior.draw(one).q, posterior.draw(other).q
    assert torch.equal(first.mean[:, : here.stop], second.mean[:, : here.stop])
    if changed < 4:
        below = slice(here.stop, None)
        assert not torch.allclose(first.mean[:, below], second.mean[:, below])


@torch.no_grad()
def test_many_draws_of_an_image_are_the_draws_one_by_one() -> None:
    model = ladder()
    epsilon, posterior = noise(model, 3, 4), model.encode(pictures())
    many = posterior.draw(epsilon)
    for k in range(4):
        alone = posterior.draw(epsilon[:, k])
        torch.testing.assert_close(many.z[:, k], alone.z, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(many.q.logvar[:, k], alone.q.logvar, rtol=1e-3, atol=1e-3)


def test_training_starts_at_the_prior() -> None:
    """A divergence that is there before anything is learned closes the groups for good."""
    latent_dim = Ladder.latent_dim_for(IMAGE, Ladder.defaults(IMAGE), None, usual=1)
    model = build("ladder", image=IMAGE, latent_dim=latent_dim, likelihood=build_likelihood("mse"))
    q = model.encode(pictures()).at_mean()
    assert torch.all(q.kl_to_standard().sum(1) < 1.0)


@pytest.mark.parametrize(
    ("image", "groups"),
    [((32, 32, 3), [1, 1, 2, 4, 2]), ((28, 28, 1), [1, 1, 2, 4, 2]), ((5, 4, 3), [1, 1, 2, 2])],
)
def test_a_size_has_most_groups_on_grids_of_about_8x8(image: Any, groups: list[int]) -> None:
    assert Ladder.sized(image, "base")["latent_groups"] == groups


def test_sizes_grow() -> None:
    """`large` has about as many weights as the VDVAE of CIFAR-10, 39 million."""
    weights = []
    for size in Ladder.size_names:
        settings = Ladder.sized((32, 32, 3), size)
        latents = Ladder.latent_dim_for((32, 32, 3), settings, None, usual=1)
        with torch.device("meta"):
            likelihood = build_likelihood("logistic")
            model = build(
                "ladder",
                image=(32, 32, 3),
                latent_dim=latents,
                likelihood=likelihood,
                settings=settings,
            )
        weights.append(parameter_count(model) / 1e6)
    small, base, large = weights
    assert small < 1 < 3 < base < 5
    assert large == pytest.approx(39, rel=0.05)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"latent_groups": [10**9, 1, 1, 1, 1]}, "1,000,000,004 groups; up to 1,000 are built"),
        ({"latent_groups": [1, 1]}, "--latent-groups: 2 numbers; this image has 5 grids"),
        ({"channels": [8] * 6}, "--channels: 6 widths; this image has 5 grids"),
        ({"latent_groups": [0] * 5}, "--latent_groups"),
    ],
)
def test_settings_that_do_not_fit_the_image_say_what_would(
    settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        ladder(**settings)


def test_another_number_of_latents_than_the_groups_have_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--latent-dim 7: .* have 148 latents"):
        Ladder.latent_dim_for(IMAGE, ladder().settings, 7, usual=1)


# A chain of two groups whose answer is known: x = W u + σ e, so that x is normal.

W = torch.tensor([[0.9, 0.0], [0.4, 1.2]], dtype=torch.float64)
SIGMA = 0.5


class Chain(nn.Module):
    """u₁, then u₂, each with its exact posterior given x and what came before, or a wider one."""

    factorised = False
    latent_dim, image, output_channels, chunk = 2, (1, 2, 1), 1, 64

    def __init__(self, too_wide: float = 0.0) -> None:
        super().__init__()
        self.prior, self.too_wide = StandardNormal(), too_wide
        self.likelihood = build_likelihood("gaussian", sigma=SIGMA)
        self.anchor = nn.Parameter(torch.zeros(()))

    def decode(self, z: Tensor) -> Tensor:
        return (z @ W.T.to(z)).reshape(-1, 1, 1, 2)

    def encode(self, x: Tensor) -> ChainPosterior:
        return ChainPosterior(self, x.flatten(1))


class ChainPosterior:
    def __init__(self, chain: Chain, x: Tensor) -> None:
        precision = torch.eye(2).double() + W.T @ W / SIGMA**2
        covariance = torch.linalg.inv(precision)
        self.chain, self.means = chain, x.double() @ W @ covariance / SIGMA**2
        self.covariance = covariance

    def to(self, *_: object) -> ChainPosterior:
        return self

    def draw(self, noise: Tensor) -> Draw:
        c, wide = self.covariance, self.chain.too_wide
        first = self.means[:, None, :1].expand(-1, noise.shape[1], -1)
        logvars = torch.log(torch.stack([c[0, 0], c[1, 1] - c[0, 1] ** 2 / c[0, 0]])) + wide
        u1 = first + torch.exp(logvars[0] / 2) * noise[..., :1]
        second = self.means[:, None, 1:] + c[0, 1] / c[0, 0] * (u1 - first)
        mean = torch.cat([first, second], 2).to(noise)
        q = Normal(mean, logvars.to(noise).expand(mean.shape))
        return Draw(q.sample(noise), q)


def exact(x: Tensor) -> Tensor:
    covariance = W @ W.T + SIGMA**2 * torch.eye(2).double()
    normal = torch.distributions.MultivariateNormal(torch.zeros(2).double(), covariance)
    return normal.log_prob(x.flatten(1).double())


def test_one_draw_gives_the_likelihood_of_a_chain_with_its_exact_posterior() -> None:
    x = torch.rand(5, 1, 1, 2)
    found = importance_estimate(Chain().eval(), x, 1).bound  # type: ignore[arg-type]
    torch.testing.assert_close(found, exact(x), atol=1e-4, rtol=0.0)


def test_many_draws_give_the_likelihood_of_a_chain_with_a_wrong_posterior() -> None:
    x = torch.rand(5, 1, 1, 2)
    found = importance_estimate(Chain(too_wide=0.5).eval(), x, 20_000)  # type: ignore[arg-type]
    errors = found.variance.sqrt()
    assert float(errors.max()) < 0.02
    assert torch.all((found.bound - exact(x)).abs() < 5 * errors + 1e-4)
    assert math.isfinite(float(found.effective.sum()))
