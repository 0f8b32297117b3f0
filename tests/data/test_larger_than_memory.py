"""Sets larger than memory can be trained on, shuffled: they are memory-mapped."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="bounds memory by RLIMIT_DATA, and looks into /proc"
)

START = """
import resource, sys
import numpy as np
import torch

torch.set_num_threads(1)

def own():
    for line in open("/proc/self/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) << 10

def bounded(extra):
    used = next(int(l.split()[1]) << 10 for l in open("/proc/self/status") if "VmData" in l)
    resource.setrlimit(resource.RLIMIT_DATA, (used + extra, used + extra))
"""

EPOCH = """
from vaekit.data.batches import Batches, epoch_order

images = np.load(sys.argv[1], mmap_mode="r")
batches, visits = Batches(images), epoch_order(len(images), 0, 1)
assert sorted(visits.tolist()) == list(range(len(images)))  # a full shuffle
next(batches.in_order(64, visits))
bounded(96 << 20)
before = own()
for _, x in batches.in_order(64, visits):
    assert x.shape[1:] == (3, 64, 64)
assert images.nbytes > 3 * (96 << 20)
print((own() - before) >> 20)
"""

RUN = """
import vaekit
import vaekit.training.run

bounded(600 << 20)
vaekit.train(
    dataset=sys.argv[1], model="mlp", hidden=[8], latent_dim=2, epochs=1, batch_size=2048,
    val_split=0.01, output=sys.argv[2], threads=1
)
print("trained")
"""


def in_a_process(code, *arguments):
    command = [sys.executable, "-c", START + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()[-1]


def of_zeros(path, count, shape):
    """An array as a file with a hole in place of its values: it takes no room on the disk."""
    import numpy as np

    np.lib.format.open_memmap(path, "w+", np.uint8, (count, *shape))
    return path


def test_an_epoch_over_mapped_images_needs_no_memory_for_them(tmp_path):
    """With room for 96 MiB, a shuffled pass over 370 MB; what remains is the work on a batch."""
    path = of_zeros(tmp_path / "images.npy", 30_000, (64, 64, 3))
    assert int(in_a_process(EPOCH, path)) < 64


@pytest.mark.slow
def test_training_works_on_more_images_than_memory(tmp_path):
    """From an array of 1.2 GB, copied into the store, with room for 600 MiB."""
    path = of_zeros(tmp_path / "images.npy", 400_000, (32, 32, 3))
    assert in_a_process(RUN, path, tmp_path / "run") == "trained"
