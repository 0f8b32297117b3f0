"""Signed distances to the outlines of the four shapes: negative inside, 0 on the edge.

Closed forms after Inigo Quilez, https://iquilezles.org/articles/distfunctions2d/. Each shape is
its own mirror image in x = 0, and none is its own image after any part of a turn.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from vaekit.array_types import Float64s


def heart(x: Float64s, y: Float64s) -> Float64s:
    """Two round lobes above, a point below at the origin."""
    x = np.abs(x)
    lobe = np.hypot(x - 0.25, y - 0.75) - np.sqrt(2) / 4
    dip = np.hypot(x, y - 1)
    diagonal = np.maximum(x + y, 0) / 2
    flank = np.hypot(x - diagonal, y - diagonal)
    return np.where(x + y > 1, lobe, np.minimum(dip, flank) * np.sign(x - y))


def drop(x: Float64s, y: Float64s) -> Float64s:
    """A disc of radius 0.55 below, drawn out to a point at height 1.15."""
    radius, tip, height = 0.55, 0.02, 1.15
    x = np.abs(x)
    sine = (radius - tip) / height
    cosine = np.sqrt(1 - sine**2)
    along = cosine * y - sine * x
    beside = cosine * x + sine * y - radius
    disc, point = np.hypot(x, y) - radius, np.hypot(x, y - height) - tip
    return np.where(along < 0, disc, np.where(along > cosine * height, point, beside))


def arrow(x: Float64s, y: Float64s) -> Float64s:
    """A broad head above, a shaft below."""
    corners = [(0, 1), (0.78, 0.12), (0.28, 0.12), (0.28, -0.85), (0, -0.85)]
    return _polygon(np.abs(x), y, corners)


def crescent(x: Float64s, y: Float64s) -> Float64s:
    """A disc of radius 1 less a disc of radius 0.8 that lies 0.45 above it."""
    outer, inner, apart = 1.0, 0.8, 0.45
    x = np.abs(x)
    height = (outer**2 - inner**2 + apart**2) / (2 * apart)
    half = np.sqrt(outer**2 - height**2)
    horn = apart * (y * half - x * height) > apart**2 * np.maximum(half - x, 0)
    body = np.maximum(np.hypot(x, y) - outer, inner - np.hypot(x, y - apart))
    return np.where(horn, np.hypot(x - half, y - height), body)


def _polygon(x: Float64s, y: Float64s, corners: list[tuple[float, float]]) -> Float64s:
    """Half a polygon, to the right of x = 0: the edge along x = 0 is none."""
    nearest = np.full_like(x, np.inf)
    within = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in pairwise(corners):
        dx, dy = bx - ax, by - ay
        along = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - ax - along * dx, y - ay - along * dy))
        if dy:  # a ray to the right crosses this edge
            crossed = (y < ay) != (y < by)
            within ^= crossed & (x < ax + (y - ay) * dx / dy)
    return np.where(within, -nearest, nearest)


OUTLINES = {
    "heart": (heart, 0.02),
    "drop": (drop, 0.03),
    "arrow": (arrow, 0.08),
    "crescent": (crescent, 0.03),
}
"""Name to distance, and by how much the outline is grown, which rounds its corners."""
