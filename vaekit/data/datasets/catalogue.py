"""The facts of each named data set, for `vaekit datasets`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """The facts of one named data set."""

    title: str
    shape: tuple[int, int, int]
    """(H, W, C) as loaded when no size is asked for."""
    train: int
    """Images for training, before the validation part is cut from them."""
    test: int
    val: int = 0
    """Images in the validation part that it comes with, if it comes with one."""
    classes: int = 0
    factors: tuple[str, ...] = ()
    megabytes: int = 0
    """Size of the download; 0 where there is none."""
    home: str = ""
    licence: str = ""

    @property
    def is_embedded(self) -> bool:
        """Whether it is there without a download."""
        return self.megabytes == 0


CATALOGUE = {
    "digits": Entry(
        title="handwritten digits, very small",
        shape=(8, 8, 1),
        train=1607,
        test=190,
        classes=10,
        home="https://archive.ics.uci.edu/dataset/80",
        licence="CC BY 4.0",
    ),
    "glyphs": Entry(
        title="letters and digits drawn from seven known factors",
        shape=(32, 32, 1),
        train=20_000,
        test=4_000,
        classes=36,
        factors=("letter", "font", "weight", "slant", "size", "x", "y"),
        licence="drawn by vaekit",
    ),
    "shapes": Entry(
        title="shapes drawn from six known factors",
        shape=(64, 64, 3),
        train=20_000,
        test=4_000,
        classes=4,
        factors=("shape", "hue", "scale", "rotation", "x", "y"),
        licence="drawn by vaekit",
    ),
    "mnist": Entry(
        title="handwritten digits",
        shape=(28, 28, 1),
        train=60_000,
        test=10_000,
        classes=10,
        megabytes=12,
        home="http://yann.lecun.com/exdb/mnist/",
        licence="CC BY-SA 3.0",
    ),
    "fashion-mnist": Entry(
        title="pieces of clothing",
        shape=(28, 28, 1),
        train=60_000,
        test=10_000,
        classes=10,
        megabytes=31,
        home="https://github.com/zalandoresearch/fashion-mnist",
        licence="MIT",
    ),
    "kmnist": Entry(
        title="cursive Japanese characters",
        shape=(28, 28, 1),
        train=60_000,
        test=10_000,
        classes=10,
        megabytes=21,
        home="http://codh.rois.ac.jp/kmnist/",
        licence="CC BY-SA 4.0",
    ),
    "cifar10": Entry(
        title="small photographs, ten classes",
        shape=(32, 32, 3),
        train=50_000,
        test=10_000,
        classes=10,
        megabytes=170,
        home="https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
    "cifar100": Entry(
        title="small photographs, a hundred classes",
        shape=(32, 32, 3),
        train=50_000,
        test=10_000,
        classes=100,
        megabytes=169,
        home="https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
    "svhn": Entry(
        title="house numbers in the street",
        shape=(32, 32, 3),
        train=73_257,
        test=26_032,
        classes=10,
        megabytes=246,
        home="http://ufldl.stanford.edu/housenumbers/",
        licence="non-commercial use only",
    ),
    "stl10": Entry(
        title="photographs, ten classes, the labelled part",
        shape=(96, 96, 3),
        train=5_000,
        test=8_000,
        classes=10,
        megabytes=2640,
        home="https://cs.stanford.edu/~acoates/stl10/",
    ),
    "celeba": Entry(
        title="faces, aligned, cropped to the middle",
        shape=(64, 64, 3),
        train=162_770,
        test=19_962,
        val=19_867,
        megabytes=1443,
        home="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        licence="non-commercial research only",
    ),
    "dsprites": Entry(
        title="white shapes from five known factors",
        shape=(64, 64, 1),
        train=663_552,  # about this many: its parts are cut by content
        test=73_728,
        classes=3,
        factors=("shape", "scale", "orientation", "x", "y"),
        megabytes=27,
        home="https://github.com/google-deepmind/dsprites-dataset",
        licence="Apache-2.0",
    ),
}
