"""The base class of every model, and `build`, which makes one by name.

    >>> from vaekit.likelihoods import build_likelihood
    >>> model = build("conv", image=(28, 28, 1), latent_dim=20, likelihood=build_likelihood("bce"))
    >>> model.encode(torch.zeros(2, 1, 28, 28)).mean.shape
    torch.Size([2, 20])
    >>> model.mean(torch.zeros(2, 20)).shape
    torch.Size([2, 1, 28, 28])

Under `torch.device("meta")` a model has all its shapes and takes no memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vaekit.errors import UsageError
from vaekit.gaussian import Normal, Posterior, StandardNormal
from vaekit.likelihoods import Likelihood
from vaekit.models.layers import PosteriorHead, full_precision
from vaekit.models.settings import Image, check_image, check_latent_dim, resolve_settings
from vaekit.registry import resolve
from vaekit.seeds import BLOCK, key
from vaekit.torch_internals import seed_cpu


class VAE(nn.Module):
    """The contract of every model.

    A subclass makes four parts: `encoder` (x to features), `posterior` (features to q(z|x)),
    `decoder` (z to features) and `output` (features to the parameters of p(x|z), the one layer
    whose bias sets what an untrained model draws). Parameters come out of `decode` in float32,
    under autocast too: bfloat16 cannot tell grey levels apart.
    """

    name: ClassVar[str]
    size_names: ClassVar[tuple[str, ...]] = ()
    """The names of its sizes, if it has several."""
    factorised: ClassVar[bool] = True
    """Whether q(z|x) of one latent depends on no other latent."""
    image: Image
    latent_dim: int
    likelihood: Likelihood
    prior: StandardNormal
    encoder: nn.Module
    posterior: PosteriorHead
    decoder: nn.Module
    output: nn.Linear | nn.Conv2d | nn.ConvTranspose2d

    def __init__(self, image: Image, latent_dim: int, likelihood: Likelihood) -> None:
        super().__init__()
        check_image(image)
        check_latent_dim(latent_dim)
        self.image = (image[0], image[1], image[2])
        self.latent_dim = latent_dim
        self.likelihood = likelihood
        self.prior = StandardNormal()

    @classmethod
    def defaults(cls, image: Image) -> dict[str, Any]:
        """The network's default settings for images of this shape."""
        raise NotImplementedError

    @classmethod
    def size_for(cls, images: int) -> str | None:
        """The name of the size that suits this number of images; None in a model of one size."""
        return None

    @classmethod
    def sized(cls, image: Image, size: str) -> dict[str, Any]:
        """The settings of a size by name, in models that have several."""
        raise NotImplementedError

    @classmethod
    def latent_dim_for(
        cls, image: Image, settings: Mapping[str, Any], asked: int | None, usual: int
    ) -> int:
        """How many latents a network with these settings has: any number that is asked for.

        A model whose settings decide it raises UsageError where another number is asked for.
        """
        return asked or usual

    @property
    def group_sizes(self) -> list[int]:
        """How many latents each group has, the coarsest first; most models have one group."""
        return [self.latent_dim]

    @property
    def settings(self) -> dict[str, Any]:
        """The network's own settings, in values JSON can hold."""
        raise NotImplementedError

    @property
    def chunk(self) -> int:
        """Rows per call in inference: one block of noise, or several where that is faster."""
        return BLOCK

    def is_light(self, rows: int) -> bool:
        """Whether, on `rows` images, training is light work apart from large products."""
        return False

    @property
    def output_channels(self) -> int:
        """Channels of the decoder's output: the parameters of a pixel."""
        return self.likelihood.parameters_per_pixel(self.image[2])

    def encode(self, x: Tensor) -> Posterior:
        """q(z|x), for images (N, C, H, W) in [0, 1]."""
        q: Normal = self.posterior(self.encoder(x))
        return q

    def decode(self, z: Tensor) -> Tensor:
        """The parameters of p(x|z), (N, P, H, W), for latents (N, D)."""
        h: Tensor = self.decoder(z)
        with full_precision(h):
            params: Tensor = self.output(h.to(self.output.weight.dtype))
        height, width, _ = self.image
        return params.reshape(len(z), self.output_channels, height, width)

    def mean(self, z: Tensor) -> Tensor:
        """The mean of p(x|z), (N, C, H, W), which pictures show. It is not clamped."""
        return self.likelihood.mean(self.decode(z))

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction: the mean image at the posterior's mean."""
        return self.mean(self.encode(x).at_mean().mean)

    @torch.no_grad()
    def start_at(self, mean_image: Tensor) -> None:
        """Set the output's bias so that an untrained model draws this image, (C, H, W).

        Per pixel where the output has a bias per pixel, else per channel. Training then need not
        learn the data's brightness first.
        """
        bias = self.output.bias
        if bias is None or bias.is_meta:
            return
        per_pixel = isinstance(self.output, nn.Linear)
        mean = mean_image if per_pixel else mean_image.mean((1, 2), keepdim=True)
        bias.copy_(self.likelihood.params_of_mean(mean.to(bias)[None]).flatten())


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in eval mode within the block, then as it was.

    In training mode, batch normalisation would use and learn the statistics of the batch, so using
    a model would change it. A model already in eval mode is left alone: visiting its layers takes
    a good part of the time in which a small network encodes a chunk.
    """
    if not model.training:
        yield
        return
    model.eval()
    try:
        yield
    finally:
        model.train()


def build(
    name: str,
    *,
    image: Image,
    latent_dim: int,
    likelihood: Likelihood,
    settings: Mapping[str, object] | None = None,
    seed: int = 0,
    mean_image: Tensor | None = None,
) -> VAE:
    """Make the model with this name, with weights that depend on the seed alone.

    Weights are drawn on the CPU, unless the default device is `meta`, and torch's global generators
    stay as they were. Missing settings take the model's defaults.
    """
    kind: type[VAE] = resolve("model", name)
    full = resolve_settings(name, image, settings or {})
    check_latent_dim(latent_dim)
    # torch.get_default_device() ignores `with torch.device` before torch 2.7.
    device = "meta" if torch.empty(0).is_meta else "cpu"
    with torch.random.fork_rng(devices=[]), torch.device(device):
        seed_cpu(key(seed, "weights"))
        model = kind(image, latent_dim, likelihood, **full)
    if mean_image is not None:
        model.start_at(mean_image)
    return model


def parameter_count(model: nn.Module) -> int:
    """The number of trainable weights."""
    return sum(parameter.numel() for parameter in model.parameters())


def parameter_count_of(
    name: str,
    *,
    image: Image,
    latent_dim: int,
    likelihood: Likelihood,
    settings: Mapping[str, object] | None = None,
) -> int:
    """`parameter_count` of the model that `build` would make, in milliseconds and without memory.

    All blocks of a stage have the same size, so the count is linear in `depth`: networks of depth
    1 and 2, without weights, give the line.
    """
    full = resolve_settings(name, image, settings or {})

    def count(**more: object) -> int:
        every = {**full, **more}
        try:
            with torch.device("meta"):
                model = build(
                    name, image=image, latent_dim=latent_dim, likelihood=likelihood, settings=every
                )
        except (RuntimeError, OverflowError):
            raise UsageError(f"--model {name}: a layer has over 2^63 weights") from None
        return parameter_count(model)

    depth = full.get("depth")
    if not isinstance(depth, int):
        return count()
    first = count(depth=1)
    return first + (depth - 1) * (count(depth=2) - first)
