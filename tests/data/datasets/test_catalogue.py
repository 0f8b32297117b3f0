from __future__ import annotations

import subprocess
import sys

import pytest

from vaekit import registry
from vaekit.data import load_dataset
from vaekit.data.datasets.catalogue import CATALOGUE
from vaekit.data.source import Request


def test_every_registered_data_set_is_described_in_the_same_order():
    assert tuple(CATALOGUE) == registry.names("dataset")


@pytest.mark.parametrize("name", [name for name, entry in CATALOGUE.items() if entry.is_embedded])
def test_what_is_said_of_embedded_sets_is_true(name):
    entry = CATALOGUE[name]
    source = registry.resolve("dataset", name)(Request())
    test = load_dataset(name, "test", limit=4)
    assert test.image_shape == entry.shape
    assert len(source.classes) == entry.classes
    assert (source.factor_names or ()) == entry.factors
    sizes = {split: len(part.names) for split, part in source.parts.items()}
    assert sum(sizes.values()) == entry.train + entry.test
    assert sizes.get("test", entry.test) == entry.test


def test_every_opener_resolves():
    for name in registry.names("dataset"):
        assert callable(registry.resolve("dataset", name))


def test_reading_the_catalogue_imports_nothing_heavy():
    code = (
        "import sys, vaekit.data.datasets.catalogue\n"
        "print({'torch', 'numpy', 'PIL', 'sklearn', 'torchvision'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
