"""Starting from another model, freezing a part, and going on after the end of a schedule."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import vaekit as package
from vaekit.configuration.config import RunConfig
from vaekit.configuration.yaml_files import read_yaml
from vaekit.errors import DataError, ModelFileError, UsageError
from vaekit.likelihoods import build_likelihood
from vaekit.models.vae import VAE, build
from vaekit.training.initial_weights import freeze, inherited, start_from
from vaekit.training.loop import Trainer
from vaekit.training.step.schedules import learning_rate
from vaekit.training.watcher import SilentWatcher, StepFacts

QUICK = {"dataset": "digits", "limit": 80, "batch_size": 16, "epochs": 2, "threads": 1,
         "pictures_every": "off", "checkpoint_every": "1h"}  # fmt: skip
SMALL = {**QUICK, "hidden": [8], "latent_dim": 2, "likelihood": "bce"}


class Notes(SilentWatcher):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def weights_in(path: Path) -> dict[str, torch.Tensor]:
    """The weights in a model file, without what it tells of its training images."""
    parts = ("encoder.", "posterior.", "decoder.", "output.")
    return {name: t for name, t in load_file(path).items() if name.startswith(parts)}


def network(latent_dim: int = 4, name: str = "mlp", side: int = 8) -> VAE:
    likelihood = build_likelihood("bce")
    settings = {"hidden": [4 * side]} if name == "mlp" else {}
    return build(
        name, image=(side, side, 1), latent_dim=latent_dim, likelihood=likelihood, settings=settings
    )


def test_a_network_of_the_same_shape_gets_all_weights(tiny_model: Path) -> None:
    own, watcher = network(), Notes()
    start_from(own, str(tiny_model), watcher)
    stored = weights_in(tiny_model)
    assert all(torch.equal(tensor, stored[name]) for name, tensor in own.state_dict().items())
    assert watcher.notes == [f"{len(stored)} of {len(stored)} tensors are those of {tiny_model}"]


def test_what_does_not_fit_is_named_and_stays_as_drawn(tiny_model: Path) -> None:
    own, fresh, watcher = network(latent_dim=3), network(latent_dim=3), Notes()
    start_from(own, str(tiny_model.parent), watcher)
    stored = weights_in(tiny_model)
    new = {
        name for name, tensor in fresh.state_dict().items() if tensor.shape != stored[name].shape
    }
    for name, tensor in own.state_dict().items():
        assert torch.equal(tensor, fresh.state_dict()[name] if name in new else stored[name])
    (note,) = watcher.notes
    assert note.startswith(f"{len(stored) - len(new)} of {len(stored)} tensors are those of ")
    assert "; new: posterior.mean.weight (here 3x32, there 4x32), " in note
    assert note.endswith(" and 1 more")


def test_a_model_of_which_nothing_fits_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"that is an mlp of \S+ grey, this run trains an mlp of 9x9"
    ):
        start_from(network(latent_dim=3, side=9), str(tiny_model), Notes())
    with pytest.raises(ModelFileError, match="no such file"):
        package.train(**SMALL, init=tmp_path / "missing.safetensors", output="run")
    assert not Path("run").exists()


def test_the_network_and_the_likelihood_are_those_of_the_model_unless_given(
    tiny_model: Path,
) -> None:
    found = inherited(RunConfig(init=str(tiny_model)))
    assert (found.model, found.latent_dim, found.hidden) == ("mlp", 4, (32,))
    assert (found.likelihood, found.image_size) == ("bce", (8, 8))
    given = inherited(RunConfig(init=str(tiny_model), latent_dim=3, likelihood="mse"))
    assert (given.latent_dim, given.hidden, given.likelihood) == (3, (32,), "mse")
    assert inherited(RunConfig(init=str(tiny_model), model="conv")).latent_dim is None


def test_a_run_starts_from_the_model_and_its_file_names_no_folder(tiny_model: Path) -> None:
    """With a learning rate of next to nothing, the weights stay where they started."""
    run = package.train(**QUICK, init=tiny_model, lr=1e-12, output="run")
    for name, tensor in weights_in(tiny_model).items():
        assert torch.allclose(weights_in(run.path)[name], tensor, atol=1e-6)
    assert run.model.header.training["config"]["init"] == "model.safetensors"
    assert read_yaml(run.folder / "config.yaml")["init"] == str(tiny_model.resolve())
    again = package.train(config="run/config.yaml", output="again")
    assert again.path.read_bytes() == run.path.read_bytes()


CONV = {"model": "conv", "channels": [4], "norm": "batch", "latent_dim": 2, "likelihood": "bce"}


@pytest.mark.parametrize(
    ("part", "kept"), [("encoder", ("encoder.", "posterior.")), ("decoder", ("decoder.", "output"))]
)
def test_a_frozen_part_keeps_its_weights_and_the_statistics_of_its_batch_norms(
    part: str, kept: tuple[str, ...]
) -> None:
    first = package.train(**QUICK, **CONV, output="first")
    second = package.train(**QUICK, init=first, freeze=part, norm="batch", seed=1, output="second")
    before, after = weights_in(first.path), weights_in(second.path)
    assert any("running_mean" in name for name in before)
    for name, tensor in before.items():
        frozen = name.startswith(kept)
        assert torch.equal(after[name], tensor) == frozen or tensor.numel() == 0, name


def test_freezing_what_was_never_trained_is_warned_of() -> None:
    seen: list[str] = []

    class Warnings(SilentWatcher):
        def warn(self, message: str) -> None:
            seen.append(message)

    package.train(**SMALL, freeze="encoder", watcher=Warnings(), output="run")
    assert "--freeze encoder without --init keeps weights that nobody trained" in seen


def test_a_ladder_cannot_freeze_what_it_shares() -> None:
    with pytest.raises(UsageError, match="--freeze encoder: is not for --model ladder"):
        freeze(network(name="ladder", latent_dim=ladder_dim()), "encoder")


def ladder_dim() -> int:
    from vaekit.models.ladder import Ladder

    return Ladder.latent_dim_for((8, 8, 1), Ladder.defaults((8, 8, 1)), None, 0)


# Going on after the end of a schedule.


class Stopper(SilentWatcher):
    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, facts: StepFacts) -> None:
        if facts.step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "steps"])
def test_more_epochs_are_a_new_cycle_from_the_kept_weights(schedule: str) -> None:
    options = {**SMALL, "schedule": schedule, "lr": 1e-3}
    first = package.train(**options, output="run")
    kept = weights_in(first.path)
    steps = int(first.history[-1]["step"]) // 2
    watcher = Notes()
    more = package.train(resume="run", epochs=5, watcher=watcher)
    assert watcher.notes == [f"a new {schedule} cycle of 3 epochs starts from the kept weights"]
    rates = [record["lr"] for record in more.history]
    ends = [epoch * steps - 1 for epoch in (1, 2, 3)]
    lasts = [learning_rate(schedule, 1e-3, end, 3 * steps) for end in ends]
    assert rates[2:] == pytest.approx(lasts)
    assert [record["epoch"] for record in more.history] == [1, 2, 3, 4, 5]
    assert kept.keys() == weights_in(more.path).keys()


def test_a_cycle_starts_at_the_kept_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    first = package.train(**SMALL, lr=0.03, ema=0.9, output="run")
    kept = weights_in(first.path)
    seen: list[bool] = []

    original = Trainer.begin_cycle

    def begin(self: Trainer) -> None:
        original(self)
        for state in (self.network.state_dict(), self.eval_network.state_dict()):
            assert all(torch.equal(tensor, kept[name]) for name, tensor in state.items())
        assert all(not state["exp_avg"].any() for state in self.optimizer.state.values())
        seen.append(True)

    monkeypatch.setattr(Trainer, "begin_cycle", begin)
    package.train(resume="run", epochs=3)
    assert seen == [True]


def test_a_cycle_that_was_stopped_resumes_to_the_same_bytes() -> None:
    for output in ("straight", "stopped"):
        package.train(**{**SMALL, "checkpoint_every": 1}, output=output)
    straight = package.train(resume="straight", epochs=4)
    with pytest.raises(KeyboardInterrupt):
        package.train(resume="stopped", epochs=4, watcher=Stopper(12))
    again = package.train(resume="stopped")
    assert again.path.read_bytes() == straight.path.read_bytes()


def test_an_unfinished_run_and_fewer_epochs_are_refused_with_what_to_do() -> None:
    with pytest.raises(KeyboardInterrupt):
        package.train(**{**SMALL, "checkpoint_every": 1}, output="run", watcher=Stopper(3))
    with pytest.raises(UsageError, match="first finish it, without epochs"):
        package.train(resume="run", epochs=9)
    package.train(resume="run")
    with pytest.raises(UsageError, match=r"epochs 1: 2 epochs are done; .* such as epochs 4"):
        package.train(resume="run", epochs=1)


def test_other_images_get_advice() -> None:
    data = package.load_dataset("digits", "test")
    options = {name: value for name, value in SMALL.items() if name not in ("dataset", "limit")}
    package.train(images=data.images, **options, output="run")
    with pytest.raises(DataError, match=r"starts from its weights: vaekit train --init run"):
        package.train(resume="run", epochs=4, images=data.images[:90])
