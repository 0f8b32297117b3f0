"""A trained model with every command as a method: what `vaekit.load` returns."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from vaekit.errors import UsageError, methods_with_keyword_names
from vaekit.evaluation.evaluation_record import EvaluationRecord, evaluate
from vaekit.evaluation.image_scores import scores
from vaekit.evaluation.metrics import TEMPERATURES, MetricRequest, NllSettings, parse
from vaekit.evaluation.preconditions import refuse_draws
from vaekit.image_arguments import as_floats, image_blocks
from vaekit.inference import Model, load
from vaekit.latents.search import (
    NearestSearch,
    Neighbours,
    along_vector,
    attribute_vector,
    latent_plane,
)
from vaekit.latents.walks import order_by_kl
from vaekit.model_file import weights
from vaekit.model_file.tensor_file import is_tensor_file
from vaekit.models.vae import parameter_count
from vaekit.output.pictures import to_uint8
from vaekit.python import model_pictures
from vaekit.python.evaluation_images import image_set_for

if TYPE_CHECKING:
    from PIL.Image import Image


def load_model(
    path: str | os.PathLike[str], device: str = "auto", *, allow_nonfinite: bool = False
) -> TrainedModel:
    """Open a model file, or a run's folder: the network, ready to use, and the file's header.

    Example:
        model = vaekit.load("runs/digits-mlp")
        pictures = model.sample(64)
    """
    found = load(path, device, allow_nonfinite=allow_nonfinite)
    return TrainedModel(found.network, found.header, found.path, allow_nonfinite=allow_nonfinite)


def request_of(
    metrics: str | Iterable[str] | None,
    *,
    nll_samples: int | None = None,
    nll: str = "importance",
    nll_temperatures: int = TEMPERATURES,
    seeds: int = 1,
    features: str = "inception",
    inception_weights: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> MetricRequest:
    """The request that these keywords make, as the flags of `vaekit evaluate` do."""
    text = metrics if metrics is None or isinstance(metrics, str) else ",".join(metrics) or None
    names, everything = parse(text)
    return MetricRequest(
        metrics=names,
        everything=everything,
        nll_samples=nll_samples,
        nll=nll,
        nll_temperatures=nll_temperatures,
        seeds=seeds,
        features=features,
        inception_weights=None if inception_weights is None else Path(inception_weights),
        seed=seed,
    )


@methods_with_keyword_names
class TrainedModel(Model):
    """A trained model, with every command as a method.

    Images may be uint8 from 0 to 255 or floats in [0, 1], as arrays (N, H, W, C), (N, H, W),
    (H, W, C) or (H, W), or tensors (N, C, H, W); PIL images, paths, open files; lists of these;
    an ImageSet, a torch data set or a loader. Arrays need the model's shape, which also settles
    their axes; pictures and files are converted to it.

    Float tensors come out, on the CPU: latents (N, D), and images (N, C, H, W) that are the mean
    of p(x|z), not clamped. The methods `plot_...` give Pillow images, which a notebook shows and
    `save` writes.
    """

    def evaluate(
        self,
        images: Any = None,
        *,
        split: str = "test",
        limit: int | None = None,
        metrics: str | Iterable[str] | None = None,
        nll_samples: int | None = None,
        nll: str = "importance",
        nll_temperatures: int = TEMPERATURES,
        seeds: int = 1,
        features: str = "inception",
        inception_weights: str | os.PathLike[str] | None = None,
        seed: int = 0,
    ) -> EvaluationRecord:
        """The numbers of `vaekit evaluate --json`, as a dictionary.

        `images` are an ImageSet, the name or path of a data set (of which `split` is taken), or
        images in any form; by default the named data set that the model was trained on.

        Example:
            model.evaluate("digits", nll_samples=100)["nll"]
        """
        request = request_of(
            metrics,
            nll_samples=nll_samples,
            nll=nll,
            nll_temperatures=nll_temperatures,
            seeds=seeds,
            features=features,
            inception_weights=inception_weights,
            seed=seed,
        )
        data = image_set_for(self, images, split=split, limit=limit, seed=seed)
        return evaluate(self, data, request)

    def score(
        self,
        images: Any,
        *,
        nll_samples: int | None = None,
        nll: str = "importance",
        nll_temperatures: int = TEMPERATURES,
        seed: int = 0,
    ) -> dict[str, Tensor]:
        """The numbers of each image, as `vaekit score` gives them: tensors (N,) by name.

        `trained_on` tells whether the model was trained on an image, and is missing where its file
        does not tell.

        Example:
            strangest = model.score(photos)["outlier"].argmax()
        """
        refuse_draws(self.network, nll_samples, nll, nll_temperatures)
        how = None if nll_samples is None else NllSettings(nll_samples, nll, nll_temperatures)
        found: dict[str, list[float]] = {}
        start = 0
        for block in image_blocks(images, self.network.image, self.chunk):
            numbers = scores(self, block, start=start, nll=how, seed=seed)
            if self.trained_images is not None:
                known = self.trained_images.found(to_uint8(as_floats(block)))
                found.setdefault("trained_on", []).extend(known.tolist())
            for name, column in numbers.items():
                values = (float("nan") if value is None else value for value in column)
                found.setdefault(name, []).extend(values)
            start += len(block)
        return {name: torch.tensor(column) for name, column in found.items()}

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> Path:
        """Write the model to a file, whole or not at all; another model needs `force`."""
        target = Path(path)
        if target.suffix != ".safetensors":
            raise UsageError(f"{target}: a model file ends in .safetensors")
        if not force and is_tensor_file(target):
            raise UsageError(f"{target}: is a model file; --force replaces it")
        trained = self.trained_images
        hashes = None if trained is None else torch.from_numpy(trained.packed())
        weights.save(target, self.header, self.network.state_dict(), hashes)
        return target

    def nearest(self, query: Any, among: Any = None, *, k: int = 8) -> Neighbours:
        """The `k` images whose latents are nearest to those of each query image.

        `among` are images in any form, or latents (N, D); by default the named data set that the
        model was trained on. `rows` (Q, k) says where they are, `distances` (Q, k) how far.

        Example:
            photos[model.nearest(photos[0], photos).rows[0]]
        """
        search = NearestSearch(self.embed(query), k)
        for z in self._latents_of(among):
            search.add(z)
        return search.found

    def _latents_of(self, among: Any) -> Iterator[Tensor]:
        if isinstance(among, Tensor | np.ndarray) and among.shape[1:] == (self.latent_dim,):
            yield torch.as_tensor(among)
            return
        images = image_set_for(self) if among is None else among
        for block in image_blocks(images, self.network.image, self.images_at_once()):
            yield self.embed(block)

    def attribute(self, images: Any, has: Any) -> Tensor:
        """The direction (D,) of an attribute: from the images without it to those with it.

        `has` is true for each image that has it.

        Example:
            smile = model.attribute(faces, smiling)
            model.edit(face, smile, strength=1.5)
        """
        return attribute_vector(self.embed(images), torch.as_tensor(has, dtype=torch.bool))

    def edit(self, image: Any, vector: Tensor, *, strength: float = 1.0, steps: int = 9) -> Tensor:
        """`steps` images on the way from an image to the image moved by `strength` · `vector`."""
        return self.decode(along_vector(self.embed(self._one(image))[0], vector, strength, steps))

    def plot_nearest(self, query: Any, among: Any = None, *, k: int = 8) -> Image:
        """A row per query image: the image, then its nearest."""
        images = image_set_for(self, among)
        return model_pictures.neighbour_rows(self, query, images, self.nearest(query, images, k=k))

    def plot_manifold(self, size: int = 20, dims: tuple[int, int] | None = None) -> Image:
        """A decoded grid over two latent dimensions, in quantiles of the prior."""
        first, second = dims or sorted(order_by_kl(self.header.latents.kl)[:2])
        z = latent_plane(self.latent_dim, (first, second), size)
        return model_pictures.sample_grid(self.decode(z), columns=size)

    def plot_samples(self, n: int = 64, *, seed: int = 0, temperature: float = 1.0) -> Image:
        """A grid of drawn images."""
        return model_pictures.sample_grid(self.sample(n, seed=seed, temperature=temperature))

    def plot_reconstructions(self, images: Any = None, n: int = 16) -> Image:
        """Up to `n` originals above their reconstructions."""
        if images is None:
            images = image_set_for(self, limit=n)
        return model_pictures.reconstruction_rows(self, images, n)

    def plot_interpolation(
        self, a: Any, b: Any, *, steps: int = 10, method: str = "slerp"
    ) -> Image:
        """A strip from one image to another, between the originals."""
        path = self.interpolate(a, b, steps=steps, method=method)
        return model_pictures.morph_strip(self, a, b, path)

    def plot_traversal(
        self,
        image: Any = None,
        *,
        dims: Sequence[int] | None = None,
        steps: int = 11,
        reach: float = 3.0,
    ) -> Image:
        """One row per latent dimension that carries something, from -reach to reach."""
        return model_pictures.traversal_rows(self, image, dims, steps, reach)

    def plot_latents(
        self,
        images: Any = None,
        labels: Sequence[Any] | None = None,
        *,
        project: str = "auto",
        thumbnails: bool = False,
        seed: int = 0,
    ) -> Image:
        """A scatter of the latents in two dimensions, coloured by label."""
        data = image_set_for(self, images)
        return model_pictures.latent_map(
            self, data, labels, project=project, thumbnails=thumbnails, seed=seed
        )

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, {self._history()})"

    def _history(self) -> str:
        """What the model was trained on, in a few words."""
        training = self.header.training
        n, epochs = training.get("n", "?"), training.get("epochs", "?")
        return f"trained on {training.get('dataset', '?')}: {n:,} images, {epochs} epochs"

    def _repr_html_(self) -> str:
        """What a notebook shows: facts and samples."""
        height, width, channels = self.network.image
        facts = {
            "images": f"{width} wide, {height} high, {'grey' if channels == 1 else 'colour'}",
            "latents": str(self.latent_dim),
            "likelihood": self.header.likelihood.name,
            "trained on": self._history().removeprefix("trained on "),
            "weights": f"{parameter_count(self.network):,} on {self.device}",
            "file": str(self.path or "none"),
        }
        rows = "".join(
            f"<tr><th>{name}</th><td>{html.escape(fact)}</td></tr>" for name, fact in facts.items()
        )
        title = html.escape(f"vaekit model: {self.header.model.name}")
        samples = model_pictures.png_tag(self.plot_samples(32), width=480)
        return f"<p><b>{title}</b></p><table>{rows}</table><p>samples:</p>{samples}"
