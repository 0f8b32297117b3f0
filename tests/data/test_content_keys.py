"""Equal images have equal keys, and a zip knows the key of a file without reading it."""

from __future__ import annotations

import hashlib
import zipfile

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vaekit.data.content_keys import file_key, key_of_bytes, pixel_keys


@given(content=st.binary(max_size=300))
def test_a_zip_states_the_key_of_each_file(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("zip") / "one.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", content)
    info = zipfile.ZipFile(path).getinfo("a.png")
    assert file_key(info.file_size, info.CRC) == key_of_bytes(content)


def test_files_of_different_lengths_have_different_keys():
    """Whatever their CRC-32, which zeros in front do not change enough to rely on."""
    assert len({key_of_bytes(bytes(count)) for count in range(500)}) == 500


def test_the_key_of_pixels_is_their_blake2b_in_any_layout():
    images = np.random.default_rng(0).integers(0, 256, (9, 4, 5, 3), np.uint8)
    expected = [
        int.from_bytes(hashlib.blake2b(image.tobytes(), digest_size=8).digest(), "little")
        for image in images
    ]
    assert pixel_keys(images).tolist() == expected
    turned = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    assert pixel_keys(turned).tolist() == expected
    assert pixel_keys(images[::-2]).tolist() == expected[::-2]
    assert pixel_keys(images[:0]).tolist() == []
