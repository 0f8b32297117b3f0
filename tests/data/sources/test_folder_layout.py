"""The quick way to the natural order gives the natural order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vaekit.data.sources.folder_layout import in_natural_order, natural


@given(st.lists(st.text("aB/0129.é٣", max_size=6), unique=True))
def test_any_names_come_in_natural_order(names: list[str]) -> None:
    assert in_natural_order(names) == sorted(names, key=natural)


@given(st.lists(st.tuples(st.sampled_from(["cat/", "dog/"]), st.integers(0, 999)), unique=True))
def test_numbered_files_do_so_too(found: list[tuple[str, int]]) -> None:
    names = [f"{folder}{number:03d}.png" for folder, number in found]
    assert in_natural_order(names) == sorted(names, key=natural)
