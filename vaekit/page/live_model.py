"""What the live page asks of a model: decode latents, place an image, walk between two."""

from __future__ import annotations

import base64
import io
import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit.array_types import Float64s
from vaekit.data import ImageSet
from vaekit.errors import DataError
from vaekit.evaluation.image_scores import scores
from vaekit.image_arguments import one_image
from vaekit.inference import Model
from vaekit.latents.walks import latent_path
from vaekit.models.vae import evaluating
from vaekit.output.pictures import encode_picture, to_uint8
from vaekit.page.latent_map import LatentPlane, map_plane
from vaekit.page.sprite_sheet import sprite_sheet

NEIGHBOURS = 8
WALK_STEPS = 25
WALK_SIDE, WALK_BYTES = 256, 1_500_000

Answer = dict[str, Any]


class LiveModel:
    """A model and the images on its map. One request at a time uses the network."""

    def __init__(self, model: Model, images: ImageSet, on_map: Sequence[int]) -> None:
        self.model = model
        self.codes: Float64s = (
            model.embed(np.ascontiguousarray(images.images[list(on_map)])).double().numpy()
        )
        self.plane: LatentPlane = map_plane(self.codes)
        self.trained = model.trained_images  # now: training may replace the file later
        self._busy = threading.Lock()

    def page_facts(self) -> Answer:
        """The plane of the map, to turn a place into a latent, and the image to begin with."""
        start = self.decode([0.0] * self.model.latent_dim)["image"]
        plane = self.plane
        return {"origin": plane.origin.tolist(), "axes": plane.axes.tolist(), "start": start}

    def decode(self, z: Any) -> Answer:
        """The image of one latent.

        Alone, not in the padded chunks of `Model.decode`: it must keep up with a slider, and
        nobody compares the last bits of what a slider shows.
        """
        row = self._latent(z)[None].to(self.model.device)
        with self._busy, torch.no_grad(), evaluating(self.model.network):
            image = self.model.network.mean(row).cpu()
        self.model.check_finite("images", image)
        return {"image": picture_uri(image)}

    def place(self, encoded: bytes) -> Answer:
        """An image in any format that the commands read: where it lies, and what is near it."""
        block = one_image(io.BytesIO(encoded), self.model.header.image)
        with self._busy:
            z = self.model.embed(block)
            back = self.model.decode(z)
            numbers = {name: values[0] for name, values in scores(self.model, block).items()}
        code = z[0].double().numpy()
        x, y = ((code - self.plane.origin) @ self.plane.axes.T).tolist()
        distances = np.linalg.norm(self.codes - code, axis=1)
        near = np.argsort(distances, kind="stable")[:NEIGHBOURS]
        return {
            "z": z[0].tolist(),
            "x": x,
            "y": y,
            "image": picture_uri(block),
            "reconstruction": picture_uri(back),
            "numbers": numbers,
            "trained_on": self._trained_on(block),
            "neighbours": near.tolist(),
            "distances": distances[near].tolist(),
        }

    def _trained_on(self, block: Any) -> bool | None:
        """Whether the model was trained on an image; None where its file does not tell."""
        return None if self.trained is None else bool(self.trained.found(to_uint8(block))[0])

    def walk(self, ends: Any) -> Answer:
        """The frames from one latent to another, as one sheet."""
        if not (isinstance(ends, list) and len(ends) == 2):
            raise DataError("a walk needs two latents")
        path = latent_path(self._latent(ends[0]), self._latent(ends[1]), WALK_STEPS)
        with self._busy:
            frames = self.model.decode(path)
        return sprite_sheet(frames, longest_side=WALK_SIDE, most_bytes=WALK_BYTES)

    def _latent(self, values: Any) -> Tensor:
        """A latent of the right width, of finite numbers."""
        width = self.model.latent_dim
        numbers = values if isinstance(values, list) and len(values) == width else None
        if numbers is None or not all(_is_finite(number) for number in numbers):
            raise DataError(f"a latent is a list of {width} finite numbers")
        return torch.tensor(numbers, dtype=torch.float32)


def picture_uri(images: Any) -> str:
    """The first of some images as the data URI of a PNG."""
    encoded = encode_picture(to_uint8(images)[0], "png")
    return "data:image/png;base64," + base64.b64encode(encoded).decode("ascii")


def _is_finite(number: Any) -> bool:
    return type(number) in (int, float) and abs(number) < 1e30 and math.isfinite(number)
