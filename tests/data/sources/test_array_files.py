from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaekit.data import load_dataset
from vaekit.errors import DataError

rng = np.random.default_rng(0)
PIXELS = rng.integers(0, 256, (6, 5, 7, 3), np.uint8)


@pytest.fixture
def npy(tmp_path):
    def save(array):
        np.save(tmp_path / "x.npy", array)
        return tmp_path / "x.npy"

    return save


@pytest.fixture(params=[np.savez, np.savez_compressed])
def npz(tmp_path, request):
    def save(**arrays):
        request.param(tmp_path / "set.npz", **arrays)
        return tmp_path / "set.npz"

    return save


def images(path, **options):
    return load_dataset(path, "all", **options).images


def test_bytes_come_back_as_they_are(npy):
    data = load_dataset(npy(PIXELS), "all")
    assert np.array_equal(data.images, PIXELS)
    assert (data.name, data.names[3], data.labels) == ("x.npy", "3", None)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (PIXELS[..., 0], PIXELS[..., :1]),
        (PIXELS[..., :1], PIXELS[..., :1]),
        (PIXELS.transpose(0, 3, 1, 2), PIXELS),
        (np.asfortranarray(PIXELS), PIXELS),
        (PIXELS.astype(np.int64), PIXELS),
        (PIXELS.astype(">u2"), PIXELS),
        (PIXELS / 255, PIXELS),
        ((PIXELS / 255).astype(np.float16), None),
        ((PIXELS / 255).astype(np.float32), PIXELS),
        (PIXELS > 99, (PIXELS > 99) * np.uint8(255)),
        (rng.integers(0, 256, (5, 3, 40, 3), np.uint8), "channels last"),
    ],
)
def test_every_shape_and_type_that_is_taken(npy, array, expected):
    got = images(npy(array))
    if expected is None:
        assert np.abs(got.astype(int) - PIXELS).max() <= 1
    else:
        assert np.array_equal(got, array if isinstance(expected, str) else expected)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[[-0.5, 0.25]]]), r"range from -0\.5 to 0\.25; floats must lie in \[0, 1\]"),
        (np.array([[[0.0, 255.0]]]), "range from 0 to 255"),
        (np.array([[[np.nan, 0.5, 0.1]]]), "1 value is NaN or infinite, the others .*0.1 to 0.5"),
        (np.array([[[np.inf, 0.5, -np.inf]]]), "2 values are NaN or infinite, the others are 0.5"),
        (np.full((2, 2, 2), np.nan), "all values are NaN or infinite; floats must"),
        (np.full((2, 2, 2), 2.0), "all values are 2; floats must lie"),
        (np.full((1, 2, 2), 1 + 1e-9), r"all values are 1\.000000001; floats must lie"),
        (np.array([[[-1, 300]]]), "range from -1 to 300; integers must lie in 0 to 255"),
    ],
)
def test_fault_25_values_out_of_range_say_the_range(npy, npz, array, message):
    for path in (npy(array), npz(x=array)):
        with pytest.raises(DataError, match=message):
            images(path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((8, 8), np.uint8), r"single image \(H, W\) needs a first axis"),
        (np.zeros((2, 8, 8, 4), np.uint8), "RGBA"),
        (np.zeros((2, 8, 8, 5), np.uint8), r"\(2, 8, 8, 5\)"),
        (np.zeros((0, 8, 8), np.uint8), "is empty"),
        (np.zeros((3, 0, 8), np.uint8), "is empty"),
        (np.array(3), r"\(\)"),
        (np.full((1, 2, 2), "a"), "images are numbers"),
        (np.zeros((1, 2, 2), complex), "images are numbers"),
        (np.zeros((1, 2, 2), [("a", "u1")]), "images are numbers"),
    ],
)
def test_what_is_not_images_is_refused_with_what_it_is(npy, array, message):
    with pytest.raises(DataError, match=message):
        images(npy(array))


def test_labels_factors_and_their_names_travel_along(npz):
    y, factors = np.arange(6) % 2, np.arange(12).reshape(6, 2)
    path = npz(
        x=PIXELS, y=y, factors=factors, classes=np.array(["cat", "dog"]), factor_names=["a", "b"]
    )
    data = load_dataset(path, "all")
    assert data.labels.tolist() == y.tolist()
    assert data.labels.dtype == data.factors.dtype == np.int64
    assert np.array_equal(data.factors, factors)
    assert (data.classes, data.factor_names) == (("cat", "dog"), ("a", "b"))
    assert np.array_equal(data.images, PIXELS)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_rows_stay_together_in_every_split(npz, split):
    x = np.arange(200, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    data = load_dataset(npz(x=x, y=np.arange(200), factors=np.arange(200)[:, None]), split)
    assert 200 * {"train": 0.7, "val": 0.04, "test": 0.04}[split] < len(data) < 200
    assert data.images[:, 0, 0, 0].tolist() == data.labels.tolist() == data.factors[:, 0].tolist()
    assert [int(name) for name in data.names] == data.labels.tolist()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": PIXELS, "z": PIXELS}, "has no array x; it holds images, z"),
        ({"x": PIXELS, "y": np.arange(5)}, r"y: has the shape \(5,\), but .*x has 6 images"),
        ({"x": PIXELS, "factors": np.zeros((7, 2), int)}, r"factors: has the shape \(7, 2\)"),
        ({"x": PIXELS, "y": np.full(6, 0.5)}, "y: must be whole numbers"),
        ({"x": PIXELS, "y": np.full(6, 7), "classes": np.array(["a"])}, "1 classes, but y"),
        (
            {"x": PIXELS, "factors": np.zeros((6, 2), int), "factor_names": np.array(["a"])},
            "1 factor_names for 2 factors",
        ),
    ],
)
def test_what_does_not_fit_together_names_both(npz, arrays, message):
    with pytest.raises(DataError, match=message):
        images(npz(**arrays))


class Bomb:
    """Unpickled, it would say so."""

    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize("key", ["x", "y"])
def test_fault_24_objects_are_refused_and_never_unpickled(npz, npy, key):
    objects = np.empty(6, object)
    objects[:] = [Bomb()] * 6
    with pytest.raises(DataError, match=r"holds Python objects.*refused"):
        images(npz(**{"x": PIXELS, key: objects}))
    with pytest.raises(DataError, match="refused"):
        images(npy(objects))


def test_fault_24_a_pickle_that_nobody_asks_for_is_left_closed(npz):
    objects = np.empty(1, object)
    objects[:] = [Bomb()]
    assert np.array_equal(images(npz(x=PIXELS, metadata=objects)), PIXELS)


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_a_header_that_claims_more_than_there_is_allocates_nothing(tmp_path, ending):
    header = io.BytesIO()
    claim = {"descr": "|u1", "fortran_order": False, "shape": (1 << 40, 64, 64)}
    np.lib.format.write_array_header_1_0(header, claim)
    data = header.getvalue() + b"few"
    path = tmp_path / f"big.{ending}"
    if ending == "npy":
        path.write_bytes(data)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", data)
    with pytest.raises(DataError, match="is truncated: its header claims"):
        images(path)


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 700), at=st.integers(0, 127), to=st.integers(0, 255))
def test_a_damaged_npy_is_a_data_error_or_an_array(tmp_path_factory, cut, at, to):
    buffer = io.BytesIO()
    np.save(buffer, PIXELS)
    data = bytearray(buffer.getvalue())
    data[at] = to
    path = tmp_path_factory.mktemp("npy") / "x.npy"
    path.write_bytes(data[:cut] if cut < 600 else data)
    try:
        got = images(path)
    except DataError:
        return
    assert got.dtype == np.uint8


def test_a_compressed_array_is_read_in_blocks(npz, monkeypatch):
    monkeypatch.setattr("vaekit.data.sources.npy_format.BLOCK_BYTES", 2 * 5 * 7 * 3)
    assert np.array_equal(images(npz(x=PIXELS)), PIXELS)
    assert len(images(npz(x=PIXELS), limit=3)) == 3


def test_arrays_obey_size_colour_and_limit(npy):
    assert images(npy(PIXELS), image_size=16, grayscale=True).shape == (6, 16, 16, 1)
    assert images(npy(PIXELS), image_size="3x4", limit=2).shape == (2, 3, 4, 3)
    assert images(npy(PIXELS[..., 0]), channels=3).shape == (6, 5, 7, 3)


def test_images_of_over_256_pixels_become_64_and_it_is_said(npy, heard):
    assert images(npy(np.zeros((2, 300, 8), np.uint8)), reporter=heard).shape == (2, 64, 64, 1)
    assert any("--image-size" in note for note in heard.notes)
