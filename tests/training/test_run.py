"""A run gives the same bytes each time, and its files describe it correctly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import vaekit as package
from vaekit import registry
from vaekit.configuration.config import RunConfig
from vaekit.configuration.config_sources import resolve_config
from vaekit.data import ImageSet, load_dataset
from vaekit.data.batches import Batches
from vaekit.errors import DataError, Diverged, UsageError
from vaekit.evaluation.dataset_elbo import evaluate_elbo
from vaekit.model_file.header import read_model_file, sha256
from vaekit.training.run import prepare
from vaekit.training.run_files import run_pictures

TINY = {"dataset": "digits", "limit": 300, "epochs": 3, "hidden": [32], "latent_dim": 4,
        "likelihood": "bce", "threads": 1}  # fmt: skip
SMALL = {**TINY, "limit": 60, "epochs": 1, "hidden": [8]}

KEYS = ["epoch", "step", "seconds", "images_per_second", "lr", "beta", "train_neg_elbo",
        "train_reconstruction", "train_kl", "val_neg_elbo", "val_reconstruction", "val_kl",
        "active_units"]  # fmt: skip


def metrics(folder: Path) -> list[dict[str, float]]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


# Row 38: the same training twice.


def test_the_seed_decides_the_bytes_of_the_file(tiny_model: Path) -> None:
    assert sha256(package.train(**TINY, output="again")) == sha256(tiny_model)
    assert sha256(package.train(**TINY, seed=1, output="other")) != sha256(tiny_model)


def test_the_config_that_a_run_leaves_gives_the_same_file(tiny_run: Path) -> None:
    path = package.train(config=tiny_run / "config.yaml", output="again")
    assert sha256(path) == sha256(tiny_run / "model.safetensors")


def test_where_and_how_a_run_was_made_is_not_in_its_file(tiny_model: Path) -> None:
    path = package.train(
        **TINY, output="deep/named.safetensors", pictures_every=3, project="tsne", compile="off"
    ).path
    assert path == Path("deep/named.safetensors")
    assert path.read_bytes() == tiny_model.read_bytes()
    assert Path("deep/named/config.yaml").exists()


def test_no_time_path_or_host_is_in_the_file(tiny_model: Path) -> None:
    import platform

    header = read_model_file(tiny_model).header.model_dump_json()
    for secret in (str(tiny_model.parent), platform.node(), "seconds", "images_per_second"):
        assert secret not in header


def test_training_leaves_the_global_generators_alone() -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    package.train(**SMALL, output="run")
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


# What the folder holds.


def test_metrics_have_the_keys_of_the_interface(tiny_run: Path) -> None:
    records = metrics(tiny_run)
    assert [list(record) for record in records] == [KEYS] * 3
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert [record["step"] for record in records] == [3, 6, 9]
    for record in records:
        for part in ("train", "val"):
            total = record[f"{part}_reconstruction"] + record[f"{part}_kl"]
            assert record[f"{part}_neg_elbo"] == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize(
    "name",
    ["loss.png", "latents.png", "interpolation.png", "reconstructions/epoch-001.png",
     "reconstructions/epoch-003.png", "samples/epoch-001.png", "samples/epoch-002.png"],
)  # fmt: skip
def test_every_picture_is_there_and_shows_something(tiny_run: Path, name: str) -> None:
    with Image.open(tiny_run / name) as picture:
        picture.load()
        values = np.asarray(picture.convert("L"))
    assert min(values.shape) >= 32
    assert values.std() > 1


def test_the_folder_holds_what_the_interface_lists_and_no_leftovers(tiny_run: Path) -> None:
    names = {path.name for path in tiny_run.iterdir()} - {".lock", ".vaekit-run.json", "checkpoint"}
    assert names == {"model.safetensors", "config.yaml", "metrics.jsonl", "loss.png",
                     "reconstructions", "samples", "latents.png", "interpolation.png"}  # fmt: skip
    assert not list(tiny_run.rglob("*.part"))


def test_the_config_is_plain_yaml_with_nothing_left_open(tiny_run: Path) -> None:
    text = (tiny_run / "config.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load(text)
    assert values["hidden"] == [32]
    assert values["model"] == "mlp"
    assert values["likelihood"] == "bce"
    assert "output" not in values
    settled = resolve_config({}, environ={}, config=tiny_run / "config.yaml")
    assert None not in (settled.model, settled.latent_dim, settled.epochs, settled.hidden)


def test_pictures_come_as_often_as_asked_and_at_the_end() -> None:
    package.train(**{**SMALL, "epochs": 5}, pictures_every=2, output="run")
    names = sorted(path.name for path in Path("run/samples").iterdir())
    assert names == [f"epoch-00{epoch}.png" for epoch in (1, 2, 4, 5)]


# What the model file says of the training.


def test_the_file_holds_the_weights_that_it_says_it_holds() -> None:
    """Its best validation number is found again with the weights in it."""
    path = package.train(**{**TINY, "epochs": 8, "lr": 0.03}, output="run")
    best = read_model_file(path).header.training["best"]
    records = metrics(Path("run"))
    lowest = min(records, key=lambda record: record["val_neg_elbo"])
    assert best == {"epoch": lowest["epoch"], "val_neg_elbo": lowest["val_neg_elbo"]}
    val = load_dataset("digits", "val", limit=300)
    elbo = registry.resolve("objective", "elbo")
    report = evaluate_elbo(
        package.load(path, "cpu").network, elbo, Batches(val).in_order(50), seed=0
    )
    assert report.neg_elbo == pytest.approx(best["val_neg_elbo"], rel=1e-6)


def test_the_header_describes_the_training_correctly(tiny_model: Path, tiny_run: Path) -> None:
    header = read_model_file(tiny_model).header
    training, last = header.training, metrics(tiny_run)[-1]
    data = load_dataset("digits", "train", limit=300)
    assert training["fingerprint"] == data.fingerprint
    assert (training["dataset"], training["n"], training["n_val"]) == ("digits", 300, 156)
    assert (training["steps"], training["epochs"], training["seed"]) == (9, 3, 0)
    for name, value in training["final"].items():
        assert value == last[name]
    assert training["config"]["hidden"] == [32]
    assert header.objective == {"name": "elbo", "beta": 1.0, "kl_warmup": 0.0, "free_bits": 0.0}


def test_the_latent_statistics_are_those_of_the_training_images(tiny_model: Path) -> None:
    data = load_dataset("digits", "train", limit=300)
    z = package.load(tiny_model, "cpu").embed(data.images).double().numpy()
    latents = read_model_file(tiny_model).header.latents
    assert latents.mean == pytest.approx(z.mean(0), abs=1e-5)
    assert latents.std == pytest.approx(z.std(0), abs=1e-5)


def test_large_images_are_never_many_at_once_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set larger than memory ends its run as well as it began it: 512 images were the batch."""
    random = np.random.default_rng(0)
    np.save("large.npy", random.integers(0, 256, (330, 160, 160, 3), dtype=np.uint8))
    sizes: list[int] = []
    gather, as_floats = Batches.gather, run_pictures.as_floats
    monkeypatch.setattr(Batches, "gather", lambda own, at: sizes.append(len(at)) or gather(own, at))
    monkeypatch.setattr(
        run_pictures, "as_floats", lambda images: sizes.append(len(images)) or as_floats(images)
    )
    package.train(dataset="large.npy", model="mlp", hidden=[2], latent_dim=2, epochs=1,
                  batch_size=40, val_split=0.05, threads=1, output="run")  # fmt: skip
    assert sum(sizes) > 3 * 330, "training, statistics, known images and the latent space"
    assert max(sizes) == 64


def test_without_validation_the_last_weights_are_the_model() -> None:
    path = package.train(**SMALL, val_split=0.0, output="run")
    training = read_model_file(path).header.training
    assert training["weights"] == "last"
    assert training["best"] is None
    assert training["n_val"] == 0
    (record,) = metrics(Path("run"))
    assert list(record) == [key for key in KEYS if not key.startswith("val_")]


def test_test_images_are_never_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    from vaekit.data.load import OpenDataset

    take, splits = OpenDataset.take, list[str]()

    def watched(opened: OpenDataset, split: str, like: Any = None) -> Any:
        splits.append(split)
        return take(opened, split, like)

    monkeypatch.setattr(OpenDataset, "take", watched)
    package.train(**SMALL, output="run")
    assert splits == ["train", "val"]


# Rows 17 and 39, and other things at the edge.


def test_fewer_images_than_a_batch_train_all_the_same_and_it_is_said(watcher: Any) -> None:
    path = package.train(**SMALL, batch_size=500, watcher=watcher, output="run")
    assert watcher.notes[0].startswith("--batch-size 500: there are 60 images")
    assert read_model_file(path).header.training["steps"] == 1
    assert resolve_config({}, environ={}, config="run/config.yaml").batch_size == 60


def test_the_watcher_is_told_what_happens(watcher: Any) -> None:
    package.train(**{**TINY, "epochs": 2}, watcher=watcher, output="run")
    (facts,) = watcher.facts
    assert (facts.n_train, facts.n_val, facts.image) == (300, 156, (8, 8, 1))
    assert facts.steps_per_epoch == 3
    assert [step.step for step in watcher.steps] == [1, 2, 3, 4, 5, 6]
    assert [step.images for step in watcher.steps] == [128, 256, 300] * 2
    assert [dict(record) for record in watcher.records] == metrics(Path("run"))
    assert watcher.ends == 1


@pytest.mark.parametrize("val_split", [0.1, 0.0])
def test_a_run_that_diverged_leaves_no_model(val_split: float, watcher: Any) -> None:
    """With or without a validation to find it out; the last step of a run is no exception."""
    options = {**SMALL, "lr": 1e38, "schedule": "constant", "batch_size": 60}
    with pytest.raises(Diverged):
        package.train(**options, val_split=val_split, watcher=watcher, output="run")
    assert not Path("run/model.safetensors").exists()
    assert watcher.ends == 1


LADDER = {
    "model": "ladder",
    "hidden": None,
    "latent_dim": None,
    "channels": "8",
    "latent_groups": "1,0,1,0",
}


@pytest.mark.parametrize(
    "options",
    [
        {"limit": 2, "latent_dim": 1},
        {"limit": 2, "latent_dim": 1, "val_split": 0.0, "project": "tsne"},
        {"limit": 3, "hidden": "", "likelihood": "mse"},
        {
            "likelihood": "bernoulli",
            "binarize": "static",
            "ema": 0.9,
            "grad_clip": 1.0,
            "grad_skip": 1e4,
        },
        {"likelihood": "gaussian", "optimizer": "adamw", "weight_decay": 0.1, "early_stop": 1},
        {"model": "conv", "channels": "4,8", "hidden": None, "precision": "bfloat16", "limit": 20},
        {"model": "resnet", "channels": "8", "hidden": None, "likelihood": "logistic", "limit": 20},
        LADDER | {"micro_batch": 7, "free_bits": 0.01, "limit": 20},
        {"kl_warmup": 0.5, "free_bits": 0.5, "schedule": "one-cycle", "micro_batch": 7},
    ],
    ids=lambda options: ",".join(map(str, options)),
)
def test_unusual_options_train(options: dict[str, Any]) -> None:
    path = package.train(**{**SMALL, **options}, output="run")
    assert package.load(path, "cpu").sample(2).shape == (2, 1, 8, 8)
    assert package.load(path, "cpu").sample(2).isfinite().all()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"model": "conv"}, "hidden is for model mlp, not for model conv"),
        ({"channels": [4]}, "channels is for model conv or model resnet or model ladder, not for"),
        ({"sigma": 1.0}, "sigma is for likelihood gaussian, not bce"),
        ({"likelihood": "gaussian", "sigma": 1e-9}, "sigma 1e-09"),
        ({"binarize": "static"}, "binarize is for likelihood bernoulli"),
        ({"device": "cuda:99"}, "device cuda:99: this machine has"),
        ({"dataset": "digitz"}, "did you mean 'digits'?"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_options_that_do_not_go_together_are_refused_before_anything_is_written(
    options: dict[str, Any], named: str
) -> None:
    with pytest.raises(UsageError, match=named.replace("?", r"\?")):
        package.train(**{**SMALL, **options}, output="run")
    assert not Path("run/config.yaml").exists(), "the same name must be free for the next try"


def test_a_missing_extra_is_said_in_a_line_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"pip install 'vaekit\[tensorboard\]'"):
        package.train(**SMALL, tensorboard=True, output="run")
    assert not Path("run").exists()


def test_one_image_is_too_few() -> None:
    np.save("one.npy", np.zeros((1, 8, 8, 1), np.uint8))
    with pytest.raises(DataError, match="at least two are needed"):
        package.train(dataset="one.npy", val_split=0.0, output="run")


def test_several_archives_train_and_resume_as_one_does() -> None:
    """They are one store: the same images in the same order, shuffled as a whole."""
    Path("photos").mkdir()
    for n in range(60):
        pixels = np.random.default_rng(n).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(f"photos/{n:02d}.png")
    for number in range(3):
        names = [f"{n:02d}.png" for n in range(20 * number, 20 * number + 20)]
        subprocess.run(["tar", "-cf", f"s-{number}.tar", "-C", "photos", *names], check=True)
    options = {**TINY, "limit": None, "batch_size": 16, "schedule": "constant", "epochs": 2}
    whole = package.train(**{**options, "dataset": "photos"}, output="whole")
    package.train(**{**options, "dataset": "s-*.tar", "epochs": 1}, output="shards")
    shards = package.train(resume="shards", epochs=2)
    first, second = (read_model_file(run.path).header for run in (whole, shards))
    assert first.digest == second.digest
    assert first.training["fingerprint"] == second.training["fingerprint"]
    assert second.training["config"]["dataset"] == "s-*.tar"


def test_binarized_images_are_drawn_once(watcher: Any) -> None:
    config = RunConfig(dataset="digits", limit=50, likelihood="bernoulli", binarize="threshold")
    data = prepare(config, watcher)[1]
    grey = load_dataset("digits", "train", limit=50)
    assert ((data.train.images == 255) == (grey.images > 127)).all()
    assert set(np.unique(data.train.images)) == {0, 255}
    assert data.train.fingerprint != grey.fingerprint


# Looking at a model must not change it.


def test_pictures_shape_no_weights_even_with_batch_norm() -> None:
    """A batch norm learns from whatever passes through it in training mode."""
    options = {**TINY, "model": "conv", "channels": [8], "norm": "batch", "hidden": None}
    often = package.train(**options, pictures_every=1, output="often")
    once = package.train(**options, pictures_every=100, output="once")
    assert sha256(often) == sha256(once)


def test_the_latents_in_the_picture_are_those_of_the_model_with_batch_norm() -> None:
    from vaekit import inference
    from vaekit.likelihoods import build_likelihood
    from vaekit.models.vae import build

    network = build("conv", image=(8, 8, 1), latent_dim=2, likelihood=build_likelihood("bce"))
    x = torch.rand(5, 1, 8, 8)
    calm = inference.encode(network.eval(), x).mean
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert torch.equal(inference.encode(network.train(), x).mean, calm)
    inference.decode(network, calm)
    assert network.training
    assert all(torch.equal(before[name], t) for name, t in network.state_dict().items())


# Data that cannot be learned from.


@pytest.mark.parametrize("pixels", [0, 7, 255])
def test_a_data_set_of_one_image_again_and_again_is_named(watcher: Any, pixels: int) -> None:
    np.save("same.npy", np.full((60, 12, 12, 1), pixels, np.uint8))
    prepare(resolve_config({"dataset": "same.npy", "val_split": 0.0}), watcher)
    assert watcher.warnings == ["same.npy: all 60 training images are the same"]


def test_images_that_a_threshold_makes_the_same_are_named(watcher: Any) -> None:
    images = np.arange(60, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 12, 12, 1), np.uint8)
    np.save("dark.npy", images)
    options = {"dataset": "dark.npy", "val_split": 0.0}
    prepare(resolve_config(options), watcher)
    assert watcher.warnings == []
    black = {**options, "binarize": "threshold", "likelihood": "bernoulli"}
    _, data = prepare(resolve_config(black), watcher)
    assert watcher.warnings == [
        f"dark.npy: all {len(data.train)} training images are the same after --binarize threshold"
    ]


def test_one_pixel_that_differs_is_enough() -> None:
    images = np.full((60, 12, 12, 3), 100, np.uint8)
    assert ImageSet("x", "train", images).all_equal
    images[59, 11, 11, 2] = 101
    assert not ImageSet("x", "train", images).all_equal
