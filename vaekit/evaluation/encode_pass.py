"""One look at every image: it is encoded once, and all that rests on its posterior is taken then.

The ELBO decodes a draw from the posterior and the picture of a reconstruction its mean, so that an
image is decoded twice. A model of black and white is shown two versions of an image, drawn pixels
for the ELBO and grey ones for the reconstruction, and only then there are two posteriors as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vaekit import registry
from vaekit.evaluation import image_quality as quality
from vaekit.evaluation.binarize import binarize
from vaekit.evaluation.dataset_elbo import ElboReport, Moments, terms_of
from vaekit.evaluation.evaluated_model import EvaluatedModel
from vaekit.evaluation.latent_health import Aggregate, Gathering
from vaekit.gaussian import Normal
from vaekit.inference import filled
from vaekit.models.vae import VAE, evaluating


@dataclass(frozen=True)
class EncodePass:
    """What was seen of all images."""

    bound: ElboReport
    latents: Aggregate
    quality: dict[str, float]
    """Mean `mse`, `psnr` and `ssim`."""


@torch.no_grad()
def encode_once(subject: EvaluatedModel) -> EncodePass:
    """Go through the images, in the chunks that inference takes too, each added by itself.

    Sums over more at once would have other last bits where other numbers of images are held.
    """
    moments, gathering = Moments(), Gathering()
    measured: list[dict[str, Tensor]] = []
    with (
        evaluating(subject.model.network),
        subject.reporter.task("images", len(subject.images)) as task,
    ):
        for indices, shown in subject.batches.in_order(subject.held):
            x = binarize(shown, indices, subject.binarization, subject.seed)
            for first in range(0, len(x), subject.model.chunk):
                rows = slice(first, first + subject.model.chunk)
                terms, q, qualities = _seen(subject, x[rows], shown[rows], int(indices[first]))
                moments.add(terms)
                gathering.add(q)
                measured.append(qualities)
            task.advance(len(x))
    means = {name: float(torch.cat([m[name] for m in measured]).mean()) for name in measured[0]}
    return EncodePass(moments.report(), gathering.aggregate(), means)


def _seen(
    subject: EvaluatedModel, x: Tensor, shown: Tensor, start: int
) -> tuple[dict[str, Tensor], Normal, dict[str, Tensor]]:
    """One chunk, as the model sees it and as it is shown: terms, posteriors, qualities."""
    network, count = subject.model.network, len(x)
    whole = filled(x, network.chunk)
    q = network.encode(whole)
    objective = registry.resolve("objective", "elbo")
    terms = terms_of(Encoded(network, q), objective, whole, start, subject.seed)
    grey = q if subject.binarization is None else network.encode(filled(shown, network.chunk))
    drawn = network.mean(filled(grey.mean[:count], network.chunk))[:count].cpu()
    return (
        {name: values[:count] for name, values in terms.items()},
        q[:count].to("cpu"),
        quality.measured(shown.cpu(), drawn),
    )


class Encoded:
    """A network that has seen its images: to the objective it is a network like any other."""

    def __init__(self, network: VAE, posterior: Normal) -> None:
        self.likelihood, self.prior = network.likelihood, network.prior
        self.latent_dim, self.decode = network.latent_dim, network.decode
        self._posterior = posterior

    def encode(self, x: Tensor) -> Normal:
        """What it gave for these images."""
        return self._posterior
