"""What users write for an option becomes what they mean, or an error that says what to write."""

from __future__ import annotations

import numpy as np
import pytest

from vaekit.configuration.config import RunConfig
from vaekit.configuration.option_types import parse_size


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (64, (64, 64)),
        ("64", (64, 64)),
        (" 48x64 ", (48, 64)),
        ("48X64", (48, 64)),
        ((48, 64), (48, 64)),
        ([64], (64, 64)),
        (np.int64(7), (7, 7)),
    ],
)
def test_a_size_is_read_in_every_notation(value: object, size: tuple[int, int]) -> None:
    assert parse_size(value) == size


@pytest.mark.parametrize(
    "value",
    [0, -3, "0", "64x", "x64", "1x2x3", "big", "", "9999999", 64.5, "64.0", (1, 2, 3), (), True,
     None, {}],
)  # fmt: skip
def test_what_is_no_size_is_answered_with_how_to_write_one(value: object) -> None:
    with pytest.raises(ValueError, match="such as 48x64, from 1 to 8192"):
        parse_size(value)


@pytest.mark.parametrize("option", ["dataset", "data_dir", "output"])
@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_a_path_that_no_system_takes_is_refused(option: str, value: str) -> None:
    """A config can write such characters; they ended training with an internal error."""
    with pytest.raises(ValueError, match="a character that no path can have"):
        RunConfig(**{option: value})  # type: ignore[arg-type]


def test_a_path_may_hold_bytes_that_are_not_utf_8() -> None:
    assert RunConfig(dataset="photos\udcff").dataset == "photos\udcff"


@pytest.mark.parametrize("value", [0, "0", "off", False])
def test_pictures_can_be_turned_off_in_every_notation(value: object) -> None:
    assert RunConfig(pictures_every=value).pictures_every == "off"  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-1, "-1", "never", True, 2.5])
def test_a_number_of_epochs_between_pictures_is_whole_and_positive(value: object) -> None:
    with pytest.raises(ValueError, match="write a number of epochs, or off"):
        RunConfig(pictures_every=value)  # type: ignore[arg-type]
