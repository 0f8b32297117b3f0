"""Rows 19 to 26, as one meets them in training."""

from __future__ import annotations

import io
import socket
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults.conftest import encoded, photo, refused


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name is found, as without a network."""

    def nothing(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)


@pytest.mark.usefixtures("offline")
def test_data_set_that_is_neither_cached_nor_reachable_says_where_to_put_which_file(
    train: Any, tmp_path: Path
) -> None:
    place = tmp_path / "data" / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    done = train("--dataset", "mnist", "--data-dir", "data")
    first = "cannot download https://ossci-datasets.s3.amazonaws.com/mnist/"
    refused(done, 1, first, "name resolution", f"put it at {place}", "--data-dir")


@pytest.mark.usefixtures("offline")
def test_download_that_was_damaged_on_the_disk_is_removed_and_named(train: Any) -> None:
    raw = Path("data/MNIST/raw")
    raw.mkdir(parents=True)
    damaged = raw / "train-images-idx3-ubyte.gz"
    damaged.write_bytes(b"half of a download")
    done = train("--dataset", "mnist", "--data-dir", "data")
    refused(done, 3, str(damaged), "removed", "run again")
    assert not damaged.exists()


def zip_with(name: str) -> Path:
    with zipfile.ZipFile("set.zip", "w") as archive:
        archive.writestr("good.png", encoded(photo(0), "PNG"))
        archive.writestr(name, encoded(photo(1), "PNG"))
    return Path("set.zip")


def tar_with(name: str) -> Path:
    content = encoded(photo(1), "PNG")
    with tarfile.open("set.tar", "w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return Path("set.tar")


@pytest.mark.parametrize("make", [zip_with, tar_with])
@pytest.mark.parametrize("name", ["../x.png", "/tmp/vaekit-x.png"])
def test_archive_with_a_member_outside_itself_is_refused(
    cli: Any, train: Any, tiny_model: Path, tmp_path: Path, make: Any, name: str
) -> None:
    path = make(name)
    before = {*tmp_path.parent.rglob("x.png")}
    refused(train("--dataset", path), 3, str(path), repr(name), "refused")
    refused(cli("embed", tiny_model, path, "-o", "z.npy"), 3, str(path), repr(name), "refused")
    assert {*tmp_path.parent.rglob("x.png")} == before
    assert not Path("/tmp/vaekit-x.png").exists()


class Bomb:
    """Unpickling this makes a folder."""

    def __reduce__(self) -> Any:
        return Path.mkdir, (Path("exploded"),)


def test_npz_with_python_objects_is_refused_and_never_unpickled(train: Any) -> None:
    objects = np.empty(4, object)
    objects[:] = [Bomb()] * 4
    np.savez("set.npz", x=objects)
    refused(train("--dataset", "set.npz"), 3, "set.npz", "holds Python objects", "refused")
    assert not Path("exploded").exists()
    with np.load("set.npz", allow_pickle=True) as archive:
        archive["x"]
    assert Path("exploded").exists(), "the bomb is a real one"


@pytest.mark.parametrize(
    ("lowest", "highest", "nan", "said"),
    [
        (0.0, 255.0, False, "values range from 0 to 255"),
        (-1.0, 1.0, False, "values range from -1 to 1"),
        (0.25, 0.75, True, "1 value is NaN or infinite, the others range from 0.25 to 0.75"),
    ],
    ids=["bytes as floats", "centred", "NaN"],
)
def test_float_array_outside_0_to_1_says_its_range(
    train: Any, lowest: float, highest: float, nan: bool, said: str
) -> None:
    array = np.linspace(lowest, highest, 10 * 64, dtype=np.float32).reshape(10, 8, 8)
    if nan:
        array[3, 4, 5] = np.nan
    np.save("x.npy", array)
    refused(train("--dataset", "x.npy"), 3, "x.npy", said, "[0, 1]")
