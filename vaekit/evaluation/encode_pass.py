"""Encodes every image once and takes all numbers that follow from its posterior.

The ELBO decodes a draw from the posterior, reconstructions its mean, so an image is decoded twice.
A model of black and white sees two versions of an image, binarized for the ELBO and grey for the
reconstruction; only then it is encoded twice as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vaekit import registry
from vaekit.chunks import pad_rows
from vaekit.evaluation.binarize import binarize
from vaekit.evaluation.dataset_elbo import TERMS, ElboReport, Moments, chunk_terms
from vaekit.evaluation.evaluated_model import EvaluatedModel
from vaekit.evaluation.image_quality import image_quality
from vaekit.gaussian import Normal, Posterior, concatenate_normals
from vaekit.models.vae import VAE, evaluating

EncodedChunk = tuple[dict[str, Tensor], Normal, dict[str, Tensor]]


@dataclass(frozen=True)
class EncodePass:
    """What one pass over all images gives."""

    bound: ElboReport
    posterior: Normal
    """Of all images, on the CPU."""
    per_image: dict[str, Tensor]
    """`neg_elbo`, `reconstruction`, `kl`, `mse`, `psnr` and `ssim`, each of shape (N,)."""

    @property
    def quality(self) -> dict[str, float]:
        """Mean `mse`, `psnr` and `ssim`."""
        return {name: float(self.per_image[name].mean()) for name in ("mse", "psnr", "ssim")}


@torch.no_grad()
def encode_once(subject: EvaluatedModel) -> EncodePass:
    """Pass over the images in the chunks of inference, adding up one chunk at a time.

    So no sum depends on the number of images in memory, not even in its last bits.
    """
    moments, posteriors = Moments(), list[Normal]()
    measured: list[dict[str, Tensor]] = []
    for terms, q, quality in encoded_chunks(subject):
        moments.add(terms)
        posteriors.append(q)
        measured.append({**{name: terms[name].cpu() for name in TERMS}, **quality})
    per_image = {name: torch.cat([one[name] for one in measured]) for name in measured[0]}
    return EncodePass(moments.report(), concatenate_normals(posteriors), per_image)


@torch.no_grad()
def encoded_chunks(subject: EvaluatedModel) -> Iterator[EncodedChunk]:
    """Terms, posteriors and qualities chunk by chunk; several ranks share the chunks."""
    with (
        evaluating(subject.model.network),
        subject.reporter.task("images", len(subject.images)) as task,
    ):
        turns = subject.ranks.in_turns(
            _chunks(subject), lambda given: _encode_chunk(subject, *given)
        )
        for (x, _, _), found in turns:
            yield found
            task.advance(len(x))


def _chunks(subject: EvaluatedModel) -> Iterator[tuple[Tensor, Tensor, int]]:
    """The images as the model sees them, in grey, and the number of the first."""
    size = subject.model.chunk
    for indices, shown in subject.batches.in_order(subject.images_at_once):
        x = binarize(shown, indices, subject.binarization, subject.seed)
        for first in range(0, len(x), size):
            rows = slice(first, first + size)
            yield x[rows], shown[rows], int(indices[first])


def _encode_chunk(subject: EvaluatedModel, x: Tensor, shown: Tensor, start: int) -> EncodedChunk:
    """Terms, posteriors and qualities of one chunk: `x` as the model sees it, `shown` in grey."""
    network, count = subject.model.network, len(x)
    padded = pad_rows(x, network.chunk)
    q = network.encode(padded)
    objective = registry.resolve("objective", "elbo")
    terms = chunk_terms(Encoded(network, q), objective, padded, start, subject.seed)
    at_mean = grey = q.at_mean()
    if subject.binarization is not None:
        grey = network.encode(pad_rows(shown, network.chunk)).at_mean()
    reconstructions = network.mean(pad_rows(grey.mean[:count], network.chunk))[:count].cpu()
    terms = {name: values[:count].cpu() for name, values in terms.items()}
    subject.model.check_finite("ELBO terms", *terms.values())
    subject.model.check_finite("reconstructions", reconstructions)
    return (
        terms,
        at_mean[:count].to("cpu"),
        image_quality(shown.cpu(), reconstructions),
    )


class Encoded:
    """A network whose images are already encoded; the objective uses it like any network."""

    def __init__(self, network: VAE, posterior: Posterior) -> None:
        self.likelihood, self.prior = network.likelihood, network.prior
        self.latent_dim, self.decode = network.latent_dim, network.decode
        self._posterior = posterior

    def encode(self, x: Tensor) -> Posterior:
        """The posterior of these images, computed before."""
        return self._posterior
