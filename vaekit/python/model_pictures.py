"""The pictures of a model, as Pillow images, which a notebook shows and `save` writes."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL.Image import Image, fromarray
from torch import Tensor

from vaekit.data import ImageSet
from vaekit.image_arguments import as_floats, image_blocks, one_image
from vaekit.inference import Model
from vaekit.latents.search import Neighbours
from vaekit.latents.walks import informative, marks, order_by_kl
from vaekit.output.pictures import Bytes, grid, rows, strip, to_uint8


def as_picture(pixels: Bytes) -> Image:
    """uint8 (H, W, C) as a Pillow image."""
    return fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def png_tag(picture: Image, *, width: int) -> str:
    """A picture inside HTML."""
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img style="max-width:{width}px;width:100%" src="data:image/png;base64,{data}">'


def sample_grid(images: Tensor, columns: int | None = None) -> Image:
    """Images in a grid."""
    return as_picture(grid(images, columns=columns))


def neighbour_rows(model: Model, query: Any, images: ImageSet, found: Neighbours) -> Image:
    """A row per query: the query first, then its nearest images."""
    blocks = image_blocks(query, model.network.image, len(found.rows))
    queries = to_uint8(torch.cat([as_floats(block) for block in blocks]))
    stacks = [
        np.stack([one, *images.images[rows.numpy()]])
        for one, rows in zip(queries, found.rows, strict=True)
    ]
    headings = ["query", *map(str, range(1, len(stacks[0])))]
    return as_picture(strip(stacks, headings=headings))


def morph_strip(model: Model, a: Any, b: Any, path: Tensor) -> Image:
    """The images on a way from one image to another, between the two originals."""
    first, last = (as_floats(one_image(image, model.network.image)) for image in (a, b))
    headings = ["original", *[""] * len(path), "original"]
    return as_picture(strip(torch.cat([first, path, last]), headings=headings))


def reconstruction_rows(model: Model, images: Any, n: int) -> Image:
    """The first `n` images above their reconstructions."""
    first = next(image_blocks(images, model.network.image, n))
    x = as_floats(first)
    return as_picture(rows([x, model.reconstruct(x)], ["original", "reconstruction"]))


def traversal_rows(
    model: Model, image: Any, dims: Sequence[int] | None, steps: int, reach: float
) -> Image:
    """One row per dimension, labelled with its number and its KL."""
    kl = model.header.latents.kl
    shown = set(informative(kl))
    order = [dim for dim in order_by_kl(kl) if dim in shown][:16] if dims is None else dims
    paths = model.traverse(image, dims=order, steps=steps, reach=reach)
    if image is None:
        start = model.decode(torch.zeros(1, model.latent_dim))
    else:
        start = as_floats(one_image(image, model.network.image))
    labels = [f"z{dim}  {kl[dim]:.2f} nats" for dim in order]
    headings = ["start", *marks(steps, reach)]
    return as_picture(
        strip([torch.cat([start, path]) for path in paths], labels, headings=headings)
    )


def latent_map(
    model: Model,
    data: ImageSet,
    labels: Sequence[Any] | None,
    *,
    project: str,
    thumbnails: bool,
    seed: int,
) -> Image:
    """The latents of a set in two dimensions, coloured by its labels or by those given."""
    from vaekit.output.plot_style import figure_pixels
    from vaekit.output.plots import latent_figure
    from vaekit.output.projection import project_to_plane

    z = model.embed(data).numpy()
    points, axes = project_to_plane(z, project, seed)
    figure = latent_figure(
        points,
        labels=data.labels if labels is None else np.asarray(labels),
        classes=data.classes if labels is None else None,
        title=f"Latent space of {len(points):,} image{'s' * (len(points) != 1)}",
        axes=axes,
        thumbnails=data.images if thumbnails else None,
    )
    return fromarray(figure_pixels(figure))
