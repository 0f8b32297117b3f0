"""The map: points where the latents are, and the decoded plane under them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from vaekit.data import ImageSet
from vaekit.inference import Model
from vaekit.page.latent_map import (
    PLANE_SIDE,
    choose_images,
    decoded_plane,
    image_caption,
    map_plane,
    map_points,
    plane_box,
)

Z = np.random.default_rng(0).normal(size=(50, 5)) * [3, 0.1, 2, 0.5, 1] + [1, 0, 2, 0, 0]


def test_many_dimensions_are_shown_by_their_principal_components() -> None:
    plane = map_plane(Z)
    reference = PCA(2).fit(Z)
    assert np.allclose(np.abs(plane.points), np.abs(reference.transform(Z)), atol=1e-8)
    assert np.allclose(plane.axes @ plane.axes.T, np.eye(2), atol=1e-8)
    assert np.allclose((Z - plane.origin) @ plane.axes.T, plane.points, atol=1e-8)
    assert plane.labels[0].startswith("first component")


def test_two_dimensions_are_shown_as_they_are() -> None:
    plane = map_plane(Z[:, :2])
    assert np.array_equal(plane.points, Z[:, :2])
    assert plane.labels == ("z0", "z1")
    assert np.array_equal(plane.origin + plane.points @ plane.axes, Z[:, :2])


@pytest.mark.parametrize("z", [np.full((4, 3), 2.0), Z[:, :1], Z[:1]], ids=["equal", "D=1", "N=1"])
def test_latents_without_a_plane_still_have_a_map(z: np.ndarray) -> None:
    plane = map_plane(z)
    assert np.isfinite(plane.axes).all()
    left, bottom, right, top = plane_box(plane.points)
    assert left < right
    assert bottom < top


def test_the_plane_is_decoded_where_it_is_shown(model: Model, digits: ImageSet) -> None:
    plane = map_plane(model.embed(digits.images).double().numpy())
    left, bottom, right, _ = box = plane_box(plane.points)
    found = decoded_plane(model, plane, box)
    half = (right - left) / PLANE_SIDE / 2
    corner = np.array([right - half, bottom + half])  # the last cell is at the bottom right
    z = plane.origin + corner @ plane.axes
    expected = model.decode(torch.from_numpy(z[None]).float())[0]
    assert len(found) == PLANE_SIDE**2
    assert torch.allclose(found[-1], expected, atol=1e-5)


def test_points_carry_the_names_and_labels_of_their_images() -> None:
    images = ImageSet(
        "x", "all", np.zeros((3, 4, 4, 1), np.uint8), np.array([1, 0, 1]),
        classes=("cat", "dog"), names=("dog/a.png", "cat/b.png", "dog/c.png"),
    )  # fmt: skip
    facts = map_points(images, [0, 2], map_plane(Z[:2, :2]))
    assert facts["names"] == ["dog/a.png", "dog/c.png"]
    assert facts["labels"] == [1, 1]
    assert facts["total"] == 3
    assert np.allclose(facts["x"], Z[:2, 0], rtol=1e-4)
    assert image_caption(images, 1) == "cat/b.png · class cat"
    bare = ImageSet("x", "all", np.zeros((1, 4, 4, 1), np.uint8))
    assert image_caption(bare, 0) == "0"


def test_the_choice_of_points_is_seeded_and_without_repeats() -> None:
    chosen = choose_images(1000, 300, 0, "map")
    assert chosen == choose_images(1000, 300, 0, "map")
    assert len(set(chosen)) == 300
    assert chosen != choose_images(1000, 300, 1, "map")
    assert 350 < np.mean(chosen) < 650, "from the whole set, not its beginning"
