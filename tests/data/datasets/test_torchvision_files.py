"""What is read from torchvision's classes, so that an upgrade that moves it fails here."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torchvision

from vaekit.data.datasets import torchvision_files as files
from vaekit.errors import DownloadError

MNIST_FILES = [
    f"{stem}-{kind}-ubyte.gz"
    for stem in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
]
REMOTES = {
    **{
        f"{name}/{file}": (files.mnist_file, name, file)
        for name in ("MNIST", "FashionMNIST", "KMNIST")
        for file in MNIST_FILES
    },
    "train_32x32.mat": (files.svhn_file, "train"),
    "test_32x32.mat": (files.svhn_file, "test"),
    "stl10_binary.tar.gz": (files.archive_file, "STL10"),
    "cifar-10-python.tar.gz": (files.archive_file, "CIFAR10"),
    "cifar-100-python.tar.gz": (files.archive_file, "CIFAR100"),
    "img_align_celeba.zip": (files.celeba_file, "img_align_celeba.zip"),
    "list_eval_partition.txt": (files.celeba_file, "list_eval_partition.txt"),
}


@pytest.mark.parametrize("name", REMOTES)
def test_torchvision_says_where_each_file_is_and_its_md5(name):
    function, *arguments = REMOTES[name]
    remote = function(*arguments)
    assert len(bytes.fromhex(remote.md5)) == 16
    assert remote.megabytes > 10
    for url in remote.urls:
        assert url.startswith(("https://", "http://"))
        assert url.endswith(name.rpartition("/")[2]) or "drive.usercontent.google.com" in url


def test_no_two_files_have_one_md5():
    md5s = {function(*arguments).md5 for function, *arguments in REMOTES.values()}
    assert len(md5s) == len(REMOTES)


def test_a_torchvision_that_says_it_otherwise_is_named(monkeypatch):
    monkeypatch.delattr(torchvision.datasets.SVHN, "split_list")
    with pytest.raises(DownloadError, match=r"does not say where SVHN is .*vaekit doctor"):
        files.svhn_file("train")


def test_a_set_on_disk_is_opened_without_importing_torchvision(tmp_path):
    """The import takes seconds, and its tables matter for downloads alone."""
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    for split in ("train", "test"):
        (folder / f"{split}_X.bin").write_bytes(bytes(3 * 96 * 96))
        (folder / f"{split}_y.bin").write_bytes(b"\1")
    (folder / "class_names.txt").write_text("bird")
    code = (
        "import sys, vaekit\n"
        f"data = vaekit.load_dataset('stl10', 'test', data_dir={str(tmp_path)!r})\n"
        "print(len(data), 'torchvision' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "1 False\n", done.stderr
