"""The map of the latents: images as points of a plane, and the plane decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vaekit.array_types import Float64s
from vaekit.data import ImageSet
from vaekit.inference import Model
from vaekit.output.projection import project_to_plane
from vaekit.seeds import numpy_generator

MAP_POINTS = 3000
"""Points of the map; of more images, a seeded choice."""

PLANE_SIDE = 24
"""Decoded images along each side of the plane."""


@dataclass(frozen=True)
class LatentPlane:
    """A plane in the latent space: z = origin + x · axes[0] + y · axes[1]."""

    points: Float64s
    """(N, 2), where the images lie."""
    labels: tuple[str, str]
    origin: Float64s
    axes: Float64s
    """(2, D)."""


def choose_images(count: int, most: int, seed: int, purpose: str) -> list[int]:
    """Up to `most` of `count` indices, a seeded choice in ascending order.

    >>> choose_images(3, 5, 0, "map"), len(choose_images(9, 5, 0, "map"))
    ([0, 1, 2], 5)
    """
    if count <= most:
        return list(range(count))
    chosen = numpy_generator(seed, "report", purpose).permutation(count)[:most]
    return sorted(chosen.tolist())


def map_plane(z: Float64s) -> LatentPlane:
    """The latents themselves where there are two, else their first two principal components."""
    width = z.shape[1]
    if width == 2:
        return LatentPlane(z, ("z0", "z1"), np.zeros(2), np.eye(2))
    points, labels = project_to_plane(z, "pca")
    origin = z.mean(axis=0)
    # Points are centred z times orthonormal axes, so this gives the axes back.
    lengths = np.square(points).sum(axis=0)
    axes = (points.T @ (z - origin)) / np.where(lengths > 0, lengths, 1)[:, None]
    return LatentPlane(points, labels, origin, axes)


def plane_box(points: Float64s) -> list[float]:
    """[left, bottom, right, top] of a square around the points, with a margin.

    >>> plane_box(np.array([[0.0, 0.0], [2.0, 1.0]]))
    [-0.1, -0.6, 2.1, 1.6]
    """
    low, high = points.min(axis=0), points.max(axis=0)
    half = max(float((high - low).max()) * 0.55, 1e-3)
    centre = (low + high) / 2
    return [round(float(edge), 6) for edge in (*(centre - half), *(centre + half))]


def decoded_plane(model: Model, plane: LatentPlane, box: list[float]) -> torch.Tensor:
    """Decode a square grid of the plane, row by row from the top left, at the cells' centres."""
    left, bottom, right, top = box
    steps = (np.arange(PLANE_SIDE) + 0.5) / PLANE_SIDE
    x, y = np.meshgrid(left + steps * (right - left), top - steps * (top - bottom))
    z = plane.origin + np.stack([x.ravel(), y.ravel()], axis=1) @ plane.axes
    return model.decode(torch.from_numpy(z).float())


def map_points(images: ImageSet, chosen: list[int], plane: LatentPlane) -> dict[str, Any]:
    """Places, names and labels of the points, in lists that JSON can hold."""
    labels = None if images.labels is None else [int(images.labels[i]) for i in chosen]
    return {
        "x": [rounded(value) for value in plane.points[:, 0]],
        "y": [rounded(value) for value in plane.points[:, 1]],
        "names": [image_name(images, index) for index in chosen],
        "labels": labels,
        "axes": list(plane.labels),
        "total": len(images),
    }


def image_name(images: ImageSet, index: int) -> str:
    """The name of an image, or its number where it has none."""
    return str(images.names[index]) if len(images.names) else str(index)


def label_name(images: ImageSet, index: int) -> str:
    """The class of an image, or nothing."""
    if images.labels is None:
        return ""
    label = int(images.labels[index])
    known = images.classes is not None and 0 <= label < len(images.classes)
    return images.classes[label] if known and images.classes else str(label)


def image_caption(images: ImageSet, index: int) -> str:
    """The name of an image and its class, as in `a.jpg · class cat`."""
    label = label_name(images, index)
    return f"{image_name(images, index)} · class {label}" if label else image_name(images, index)


def rounded(value: float) -> float:
    """Five significant digits: more cannot be seen, and would double the file.

    >>> rounded(1234.56789)
    1234.6
    """
    return float(f"{float(value):.5g}")
