"""Whatever form a Python caller has images in, the model sees the same pixels."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from vaekit.data import ImageSet
from vaekit.errors import DataError, ImageError
from vaekit.image_arguments import as_floats, choose_reading, image_blocks, one_image

GREY, COLOUR = (4, 6, 1), (4, 6, 3)


def pixels(shape: tuple[int, int, int], count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def seen(images: Any, shape: tuple[int, int, int], at_once: int = 3) -> np.ndarray:
    """The bytes (N, H, W, C) that a model of this shape sees."""
    blocks = list(image_blocks(images, shape, at_once))
    assert all(len(block) <= at_once for block in blocks)
    floats = torch.cat([as_floats(block) for block in blocks])
    return (floats * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


class Pairs(Dataset[tuple[Any, int]]):
    """A data set of pictures and labels, as torchvision's are."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        if index >= len(self):
            raise IndexError
        return Image.fromarray(self.images[index].squeeze()), index % 2


class Stream(IterableDataset[Tensor]):
    """A data set that can only be iterated."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.images)


def forms(x: np.ndarray) -> dict[str, Any]:
    """The same images in every form that Python callers have."""
    floats = x.astype(np.float64) / 255
    first = torch.from_numpy(x).permute(0, 3, 1, 2)
    plain = x.squeeze(-1) if x.shape[-1] == 1 else x
    pictures = [Image.fromarray(image) for image in plain]
    return {
        "uint8 (N, H, W, C)": x,
        "float (N, H, W, C)": floats,
        "float32 (N, C, H, W)": first.float() / 255,
        "uint8 tensor (N, C, H, W)": first,
        "float numpy (N, C, H, W)": floats.transpose(0, 3, 1, 2),
        "int64 (N, H, W, C)": x.astype(np.int64),
        "squeezed": plain,
        "squeezed floats": floats.squeeze(-1) if x.shape[-1] == 1 else floats,
        "list of arrays": list(x),
        "list of float tensors (C, H, W)": list(first.float() / 255),
        "nested lists": plain.tolist(),
        "nested lists of floats": floats.tolist(),
        "pictures": pictures,
        "tuple of pictures": tuple(pictures),
        "generator": (picture for picture in pictures),
        "mixed": [x[0], pictures[1], first[2].float() / 255, *pictures[3:]],
        "batches": [x[:2], x[2:]],
        "lists of pictures": [pictures[:2], pictures[2:]],
        "ImageSet": ImageSet("mine", "all", x),
        "Dataset of pairs": Pairs(x),
        "list of pairs": list(zip(pictures, range(len(x)), strict=True)),
        "IterableDataset": Stream(first.float() / 255),
        "TensorDataset": TensorDataset(first.float() / 255, torch.arange(len(x))),
        "TensorDataset of images": TensorDataset(first.float() / 255),
        "DataLoader": DataLoader(TensorDataset(first.float() / 255, torch.arange(len(x))), 2),
        "dictionaries": [{"image": picture, "label": 1} for picture in pictures],
    }


@pytest.mark.parametrize("shape", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("name", forms(pixels(GREY)))
def test_every_form_of_the_same_images_is_read_as_the_same_pixels(
    name: str, shape: tuple[int, int, int]
) -> None:
    x = pixels(shape)
    assert np.array_equal(seen(forms(x)[name], shape), x)


@pytest.mark.parametrize("shape", [GREY, COLOUR], ids=["grey", "colour"])
def test_one_image_comes_alone_in_every_form(shape: tuple[int, int, int], tmp_path: Path) -> None:
    x = pixels(shape, 1)
    picture = Image.fromarray(x[0].squeeze())
    picture.save(tmp_path / "one.png")
    encoded = (tmp_path / "one.png").read_bytes()
    with (tmp_path / "one.png").open("rb") as file:
        for form in (
            x[0], x[0].squeeze(), torch.from_numpy(x[0]).permute(2, 0, 1), picture,
            tmp_path / "one.png", str(tmp_path / "one.png"), encoded, io.BytesIO(encoded), file,
            Image.open(tmp_path / "one.png"),
        ):  # fmt: skip
            block = as_floats(one_image(form, shape)) * 255
            assert np.array_equal(block[0].permute(1, 2, 0).numpy(), x[0])


def test_two_images_where_one_is_needed_are_refused() -> None:
    with pytest.raises(DataError, match="one image is needed, not 2"):
        one_image(pixels(GREY, 2), GREY)


def test_paths_are_files_folders_and_arrays_in_the_order_given(tmp_path: Path) -> None:
    x = pixels(COLOUR, 4)
    (tmp_path / "folder").mkdir()
    for i in (0, 1):
        Image.fromarray(x[i]).save(tmp_path / "folder" / f"{i}.png")
    Image.fromarray(x[2]).save(tmp_path / "2.png")
    np.save(tmp_path / "3.npy", x[3:])
    paths = [tmp_path / "folder", str(tmp_path / "2.png"), tmp_path / "3.npy"]
    assert np.array_equal(seen(paths, COLOUR), x)
    assert np.array_equal(seen(tmp_path / "folder", COLOUR), x[:2])


def test_pictures_are_resized_and_recoloured_and_stay_as_they_were(tmp_path: Path) -> None:
    large = Image.new("RGB", (60, 40), (200, 10, 10))
    large.save(tmp_path / "large.jpg", quality=95)
    opened = Image.open(tmp_path / "large.jpg")
    assert seen([large, opened], GREY).shape == (2, *GREY)
    assert opened.size == (60, 40)
    assert np.allclose(seen(opened, COLOUR)[0], (200, 10, 10), atol=4)


def test_a_bad_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(ImageError, match=r"bad\.png") as caught:
        seen([tmp_path / "bad.png"], GREY)
    assert "strict" not in str(caught.value)
    with pytest.raises(ImageError, match="is not an image"):
        seen(io.BytesIO(b"text"), GREY)


@pytest.mark.parametrize(
    ("dims", "shape", "reading"),
    [
        ((5, 3, 8, 3), (8, 3, 3), "NCHW"),
        ((5, 8, 3, 3), (8, 3, 3), "NHWC"),
        ((3, 8, 8), (8, 8, 1), "NHW"),
        ((3, 8, 8), (8, 8, 3), "CHW"),
        ((8, 8, 3), (8, 8, 3), "HWC"),
        ((1, 8, 8), (8, 8, 1), "NHW"),
        ((8, 8, 1), (8, 8, 1), "HWC"),
        ((3, 3, 3), (3, 3, 1), "NHW"),
        ((20, 28), (20, 28, 1), "HW"),
        ((100, 1, 28, 28), None, "NCHW"),
        ((100, 28, 28), None, "NHW"),
    ],
)
def test_the_model_s_shape_settles_the_axes(
    dims: tuple[int, ...], shape: tuple[int, int, int] | None, reading: str
) -> None:
    assert choose_reading(dims, shape) == reading


def test_a_shape_that_fits_two_ways_is_refused_with_both_or_read_by_convention() -> None:
    with pytest.raises(DataError, match=r"\(N, H, W, C\) or \(N, C, H, W\)"):
        choose_reading((5, 3, 3, 3), (3, 3, 3))
    x = pixels((3, 3, 3))
    assert np.array_equal(seen(x, (3, 3, 3)), x)
    assert np.array_equal(seen(torch.from_numpy(x).permute(0, 3, 1, 2) / 255, (3, 3, 3)), x)
    with pytest.raises(DataError, match="can be read as"):
        seen(x / 255, (3, 3, 3))


@pytest.mark.parametrize(
    ("images", "advice"),
    [
        (np.zeros((2, 24), np.uint8), r"reshape them to \(N, 4, 6, 1\)"),
        (np.full((1, *GREY), 255.0), "divide by 255"),
        (np.full((1, *GREY), -1.5), "undo the normalisation"),
        (np.full((1, *GREY), np.nan), "NaN"),
        (np.full((1, *GREY), 256), "whole numbers from 256 to 256: 0 to 255 are taken"),
        (np.zeros((1, 9, 6, 1), np.uint8), "images are 9x6x1, this model takes 4x6x1"),
        (np.zeros((9, 6), np.uint8), "images are 9x6x1, this model takes 4x6x1"),
        (3, "images of type int"),
        ([{"pixels": 1}], "none is `image`"),
        ("-", "standard input"),
        ("nowhere.png", r"nowhere\.png: no such file"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_do(images: Any, advice: str) -> None:
    with pytest.raises(DataError, match=advice):
        seen(images, GREY)


def test_a_mapped_array_is_read_a_few_images_at_a_time(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", pixels(GREY, 9))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    blocks = image_blocks(mapped, GREY, 4)
    assert [len(block) for block in blocks] == [4, 4, 1]
    assert np.array_equal(seen(mapped, GREY), pixels(GREY, 9))


def test_true_is_white_and_false_is_black() -> None:
    mask = pixels(GREY) > 127
    assert np.array_equal(seen(mask, GREY), np.where(mask, 255, 0))


def test_nothing_is_one_empty_block() -> None:
    for nothing in ([], pixels(GREY, 0), iter(())):
        assert [block.shape for block in image_blocks(nothing, GREY, 2)] == [(0, *GREY)]
