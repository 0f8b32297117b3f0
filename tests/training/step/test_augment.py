from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.training.small_trainers import epoch, trainer, weights
from vaekit.configuration.config import RunConfig
from vaekit.configuration.config_sources import resolve_config
from vaekit.configuration.option_types import AUGMENTATION_NAMES
from vaekit.errors import UsageError
from vaekit.training.step.augment import AUGMENTATIONS, augmentation, crop, hflip, vflip

X = torch.rand(200, 3, 16, 24, generator=torch.Generator().manual_seed(0))
UNIFORM = torch.rand(200, 2, generator=torch.Generator().manual_seed(1))


def shift(image: Tensor, down: int, across: int) -> Tensor:
    """Pad (C, 16, 24) by reflection and cut out, as random crops are usually written."""
    padded = F.pad(image[None], (3, 3, 2, 2), mode="reflect")[0]
    return padded[:, 2 + down : 18 + down, 3 + across : 27 + across]


@pytest.mark.parametrize(("flip", "axis"), [(hflip, 2), (vflip, 1)])
def test_a_flip_turns_round_the_images_that_were_drawn_and_no_other(flip, axis) -> None:
    flipped = flip(X, UNIFORM)
    for image, result, drawn in zip(X, flipped, UNIFORM[:, 0], strict=True):
        assert torch.equal(result, image.flip(axis) if drawn < 0.5 else image)
    assert 70 < (UNIFORM[:, 0] < 0.5).sum() < 130


def test_a_crop_is_a_cut_out_of_the_image_padded_by_reflection() -> None:
    seen = set()
    for image, result, (u, v) in zip(X, crop(X, UNIFORM), UNIFORM.tolist(), strict=True):
        down, across = int(u * 5) - 2, int(v * 7) - 3
        assert torch.equal(result, shift(image, down, across))
        seen.add((down, across))
    assert len(seen) == 35  # every shift by up to 2 rows of 16 and 3 columns of 24


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (7, 8)])
def test_images_of_any_size_can_be_moved(shape: tuple[int, int]) -> None:
    x = torch.rand(200, 1, *shape)
    moved = crop(x, UNIFORM)
    assert moved.shape == x.shape
    assert all(torch.isin(a, b).all() for a, b in zip(moved, x, strict=True))


def test_the_changes_of_a_step_depend_on_the_seed_and_the_step_alone() -> None:
    def changed(names: tuple[str, ...], seed: int, step: int) -> Tensor:
        return augmentation(names, 200, seed, step).apply(X)

    both = ("hflip", "crop")
    assert torch.equal(changed(both, 3, 8), changed(both, 3, 8))
    assert torch.equal(changed(both, 3, 8), changed(both[::-1], 3, 8))
    assert not torch.equal(changed(both, 3, 8), changed(both, 3, 9))
    assert not torch.equal(changed(both, 3, 8), changed(both, 4, 8))
    assert torch.equal(changed((), 3, 8), X)


def test_micro_batches_see_the_images_that_the_whole_batch_sees() -> None:
    augmented = augmentation(AUGMENTATION_NAMES, 200, 0, 0)
    parts = [augmented.apply(X[start : start + 64], start) for start in range(0, 200, 64)]
    assert torch.equal(torch.cat(parts), augmented.apply(X))


def test_training_sees_changed_images_and_validation_the_images_as_they_are() -> None:
    plain, changed = trainer(val=30), trainer(val=30, augment=("hflip", "crop"))
    assert plain.validate() == changed.validate()
    epoch(plain), epoch(changed)
    assert not torch.equal(weights(plain)[0], weights(changed)[0])


def test_a_step_is_the_same_whatever_came_before_it() -> None:
    """So a resumed run sees the images that it would have seen."""
    runs = [trainer(augment=("hflip",)) for _ in range(2)]
    indices = torch.arange(16)
    runs[0].gradients.of(indices, 5, 1.0)
    values = [run.gradients.of(indices, 9, 1.0)[0] for run in runs]
    assert torch.equal(*values)


def test_every_name_that_the_option_takes_is_a_change_and_is_named_in_the_header() -> None:
    assert tuple(AUGMENTATIONS) == AUGMENTATION_NAMES
    config = resolve_config({"augment": "crop, hflip"}, environ={})
    assert config.shared()["augment"] == ["crop", "hflip"]
    assert RunConfig().shared()["augment"] is None


def test_an_unknown_change_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match=r"--augment = 'hflop': did you mean 'hflip'\?"):
        resolve_config({"augment": "hflop"}, environ={})
