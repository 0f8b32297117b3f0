"""Uses a model: images to latents, latents to images, and paths between them.

Everything runs in chunks of one fixed size, the last one padded: kernels round differently at
other batch shapes, so the number of images never changes a bit of any of them.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit.chunks import pad_rows
from vaekit.errors import DataError, ModelFileError, UsageError
from vaekit.gaussian import Draw, Normal, concatenate_normals
from vaekit.image_arguments import as_floats, as_tensor, image_blocks, one_image
from vaekit.latents.groups import (
    LatentGroup,
    Temperature,
    groups_of,
    latents_in,
    temperatures,
)
from vaekit.latents.walks import latent_path, order_by_kl, traversal
from vaekit.machine import devices
from vaekit.model_file import weights
from vaekit.model_file.header import ModelHeader
from vaekit.model_file.trained_images import TrainedImages, read_trained_images
from vaekit.models.vae import VAE, evaluating
from vaekit.seeds import normal_rows

IMAGES_AT_ONCE = 1024
"""Images in memory at a time, unless `--batch-size` says otherwise."""


def load(
    path: str | os.PathLike[str], device: str = "auto", *, allow_nonfinite: bool = False
) -> Model:
    """Open a model file, or a run's folder: the network, ready to use, and the file's header.

    Example:
        model = vaekit.load("model.safetensors")
        pictures = model.sample(64)
    """
    file, network = weights.load_weights(
        path, devices.choose_device(device), allow_nonfinite=allow_nonfinite
    )
    return Model(network, file.header, file.path, allow_nonfinite=allow_nonfinite)


class Model:
    """A trained model.

    Images in: uint8 from 0 to 255 or floats in [0, 1], as arrays (N, H, W, C), (N, H, W),
    (H, W, C) or (H, W), or tensors (N, C, H, W); PIL images, paths, open files; lists of these;
    an ImageSet, a torch data set or a loader. Arrays need the model's shape, which also settles
    their axes; pictures and files are converted to it.

    Float tensors come out, on the CPU: latents (N, D), and images (N, C, H, W) that are the mean
    of p(x|z), not clamped.
    """

    def __init__(
        self,
        network: VAE,
        header: ModelHeader,
        path: Path | None = None,
        *,
        allow_nonfinite: bool = False,
    ) -> None:
        self.network = network.eval()
        self.header = header
        self.path = path
        self.allow_nonfinite = allow_nonfinite

    def __repr__(self) -> str:
        height, width, channels = self.network.image
        return (
            f"Model({self.header.model.name}, image={height}x{width}x{channels}, "
            f"latent_dim={self.latent_dim}, likelihood={self.header.likelihood.name})"
        )

    @functools.cached_property
    def trained_images(self) -> TrainedImages | None:
        """Hashes of its training images, read when first asked for; None where they are unknown."""
        return None if self.path is None else read_trained_images(self.path, self.header)

    @property
    def latent_dim(self) -> int:
        """How many numbers describe an image."""
        return self.network.latent_dim

    @property
    def chunk(self) -> int:
        """Rows per call of the network, the same for any number of images."""
        return self.network.chunk

    @property
    def device(self) -> torch.device:
        """The device that holds the network."""
        return next(self.network.parameters()).device

    @functools.cached_property
    def groups(self) -> list[LatentGroup]:
        """The groups of latents, the coarsest first; one in a model that is no ladder."""
        return groups_of(self.header)

    def sample(self, n: int, *, seed: int = 0, temperature: Temperature = 1.0) -> Tensor:
        """Draw `n` images: z from the prior, its spread scaled by `temperature`, then decoded.

        A list gives a temperature for each group of latents, the coarsest first; its last number
        holds for the rest. 0 gives the means. The first 16 of 64 are the 16 of the same seed.
        """
        return self.decode(self.draw_latents(n, seed=seed, temperature=temperature))

    def draw_latents(
        self, n: int, *, seed: int = 0, temperature: Temperature = 1.0, start: int = 0
    ) -> Tensor:
        """Draw latents number `start` to `start + n` from the prior."""
        if n < 1:
            raise UsageError(f"n = {n}: at least one image")
        noise = normal_rows(start, start + n, self.latent_dim, seed, "sample")
        spread = _spread(temperature, self.groups)
        return _latents(self.network, spread * noise, self.network.prior.sample)

    def embed(
        self,
        images: Any,
        *,
        groups: int | None = None,
        sample: bool = False,
        seed: int = 0,
        start: int = 0,
    ) -> Tensor:
        """The latents of images: posterior means, or with `sample` one draw from each posterior.

        With `groups`, those of the first groups alone, which `decode` takes too. A draw is keyed
        by the seed and the image's number, counted from `start`.
        """
        kept = latents_in(self.groups, groups)
        if not sample:
            return self.posterior(images).mean[:, :kept]
        return self.draw(images, seed=seed, start=start).z[:, :kept]

    def draw(self, images: Any, *, seed: int = 0, start: int = 0) -> Draw:
        """One draw from the posterior of each image, that of number `start` first."""
        found = []
        for x in self._batches(images):
            noise = normal_rows(start, start + len(x), self.latent_dim, seed, "posterior")
            found.append(draw_latents(self.network, x, noise))
            start += len(x)
        q = concatenate_normals([drawn.q for drawn in found])
        self.check_finite("latents", q.mean, q.logvar)
        return Draw(torch.cat([drawn.z for drawn in found]), q)

    def posterior(self, images: Any) -> Normal:
        """Means and log-variances of q(z|x)."""
        found = [encode(self.network, x) for x in self._batches(images)]
        posterior = concatenate_normals(found)
        self.check_finite("latents", posterior.mean, posterior.logvar)
        return posterior

    def decode(
        self,
        z: np.ndarray[Any, Any] | Tensor,
        *,
        temperature: Temperature = 0.0,
        seed: int = 0,
        start: int = 0,
    ) -> Tensor:
        """The images of latents, or of the latents of the first groups alone.

        The groups that are left out are at the means of their prior; with a `temperature` they
        are drawn from it, keyed by the seed and the row's number, counted from `start`.
        """
        z = self.completed(as_tensor(z), temperature, seed=seed, start=start)
        images = decode(self.network, z)
        self.check_finite("images", images)
        return images

    def completed(
        self, z: Tensor, temperature: Temperature = 0.0, *, seed: int = 0, start: int = 0
    ) -> Tensor:
        """All latents, from those of the first groups: see `decode`."""
        if z.ndim != 2 or z.shape[1] not in self.widths:
            needed = " or ".join(f"(N, {width})" for width in self.widths)
            raise DataError(f"latents have shape {list(z.shape)}, this model needs {needed}")
        each, kept = temperatures(temperature, self.groups), z.shape[1]
        if kept == self.latent_dim:
            return z
        spread = _spread(each, self.groups)
        noise = normal_rows(start, start + len(z), self.latent_dim, seed, "sample")
        drawn = _latents(self.network, spread * noise, self.network.prior.sample)
        return torch.cat([z, drawn[:, kept:]], 1)

    @property
    def widths(self) -> list[int]:
        """The numbers of latents that `decode` takes: of all groups, or of the first ones alone."""
        return [group.stop for group in reversed(self.groups)]

    def check_finite(self, what: str, *outputs: Tensor) -> None:
        """Refuse outputs with NaN or infinity, which finite weights can give too."""
        if self.allow_nonfinite:
            return
        for values in outputs:
            if values.numel() and not all(math.isfinite(end) for end in values.aminmax()):
                raise ModelFileError(
                    f"{self.path or 'the model'}: its {what} hold NaN or infinity; "
                    "--allow-nonfinite accepts them"
                )

    def reconstruct(
        self,
        images: Any,
        *,
        groups: int | None = None,
        temperature: Temperature = 0.0,
        sample: bool = False,
        seed: int = 0,
    ) -> Tensor:
        """Images through the latents and back.

        With `groups`, the first groups of latents come from the image, and the others from the
        prior at a `temperature`: what the first groups hold, and what they leave open.
        """
        z = self.embed(images, groups=groups, sample=sample, seed=seed)
        return self.decode(z, temperature=temperature, seed=seed)

    def interpolate(
        self,
        a: Any,
        b: Any,
        *,
        steps: int = 10,
        method: str = "slerp",
        groups: int | None = None,
    ) -> Tensor:
        """`steps` images on the way from image `a` to image `b`, both ends exact.

        With `groups`, only the first groups of latents walk; the others are at their prior's means.
        """
        start, end = (self.embed(self._one(image), groups=groups) for image in (a, b))
        return self.decode(latent_path(start[0], end[0], steps, method))

    def traverse(
        self,
        image: Any = None,
        *,
        dims: Sequence[int] | None = None,
        steps: int = 11,
        reach: float = 3.0,
        groups: int | None = None,
    ) -> Tensor:
        """Along each latent dimension from -reach to reach: images (dims, steps, C, H, W).

        The other dimensions stay where `image` has them, or at the prior's mean. All dimensions
        are shown, the most informative first, or those in `dims`, or of the first `groups`.
        """
        base = torch.zeros(self.latent_dim) if image is None else self.embed(self._one(image))[0]
        kl = self.header.latents.kl[: latents_in(self.groups, groups)]
        order = order_by_kl(kl) if dims is None else dims
        return torch.stack([self.decode(traversal(base, dim, steps, reach)) for dim in order])

    def images_at_once(self, batch_size: int | None = None) -> int:
        """How many images to have in memory: the request, rounded down to whole chunks."""
        return self.chunk * max(1, (batch_size or IMAGES_AT_ONCE) // self.chunk)

    def _batches(self, images: Any) -> Iterator[Tensor]:
        """Floats, a few whole chunks at a time: bytes never become floats all at once."""
        blocks = image_blocks(images, self.network.image, self.images_at_once())
        return (as_floats(block) for block in blocks)

    def _one(self, image: Any) -> Tensor:
        return one_image(image, self.network.image)


@torch.no_grad()
def encode(network: VAE, x: Tensor) -> Normal:
    """q(z|x) for images (N, C, H, W) in [0, 1], in fixed chunks, on the CPU."""
    with evaluating(network):
        found = [network.encode(chunk).at_mean().to("cpu") for chunk in _padded(network, x)]
    return concatenate_normals(found)[: len(x)]


@torch.no_grad()
def draw_latents(network: VAE, x: Tensor, noise: Tensor) -> Draw:
    """A draw from q(z|x) for each image and its row of noise, in fixed chunks, on the CPU."""
    both = zip(_padded(network, x), _padded(network, noise), strict=True)
    with evaluating(network):
        found = [network.encode(chunk).draw(rows) for chunk, rows in both]
    z = torch.cat([drawn.z.cpu() for drawn in found])
    return Draw(z[: len(x)], concatenate_normals([d.q.to("cpu") for d in found])[: len(x)])


def decode(network: VAE, z: Tensor) -> Tensor:
    """Means of p(x|z), in fixed chunks, on the CPU."""
    return _latents(network, z, network.mean)


def _spread(temperature: Temperature, groups: Sequence[LatentGroup]) -> Tensor:
    """The standard deviation of each latent of these groups."""
    each = torch.tensor(temperatures(temperature, groups))
    return each.repeat_interleave(torch.tensor([len(group) for group in groups]))


@torch.no_grad()
def _latents(network: VAE, z: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    with evaluating(network):
        done = [function(chunk).cpu() for chunk in _padded(network, z.float())]
    return (done[0] if len(done) == 1 else torch.cat(done))[: len(z)]


def _padded(network: VAE, rows: Tensor) -> Iterator[Tensor]:
    """Whole chunks on the network's device."""
    device = next(network.parameters()).device
    for chunk in torch.split(rows, network.chunk):
        yield pad_rows(chunk, network.chunk).to(device)
