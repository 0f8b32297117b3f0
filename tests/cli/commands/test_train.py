"""`vaekit train` as a script sees it: one line on stdout, an exit code, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from vaekit.configuration.config import RunConfig, facts, flag
from vaekit.model_file.header import read_model_file, sha256

SMALL = ["--dataset", "digits", "--limit", "40", "--epochs", "1", "--hidden", "4",
         "--latent-dim", "2", "--threads", "1", "--likelihood", "bce"]  # fmt: skip


def test_stdout_is_the_models_path_alone(cli: Any) -> None:
    done = cli("train", *SMALL, "-o", "run")
    assert (done.code, done.stdout) == (0, "run/model.safetensors\n")
    assert Path("run/model.safetensors").exists()
    for told in ("digits: 40 + ", "latent 2", "bce (not a likelihood)", "on cpu", "run: run",
                 "nats per image", "the best on validation"):  # fmt: skip
        assert told in done.stderr
    done = cli("train", *SMALL)
    assert done.stdout == "runs/digits-mlp/model.safetensors\n"


def test_the_flags_train_the_model_that_python_trains(cli: Any, tiny_model: Path) -> None:
    done = cli("train", "--dataset", "digits",
               "--limit", "300", "--epochs", "3", "--hidden", "32", "--latent_dim", "4",
               "--threads", "1", "--likelihood", "bce",
               "--save-path", "named.safetensors")  # fmt: skip
    assert done.stdout == "named.safetensors\n"
    assert sha256("named.safetensors") == sha256(tiny_model)


@pytest.mark.parametrize("how", [["-q"], ["--quiet"]])
def test_quiet_silences_people_and_not_data_or_errors(cli: Any, how: list[str]) -> None:
    done = cli("train", *SMALL, "-o", "run", *how)
    assert (done.code, done.stdout, done.stderr) == (0, "run/model.safetensors\n", "")
    done = cli("train", *SMALL, "-o", "run", *how)
    assert (done.code, done.stdout) == (2, "")
    assert "holds a run already" in done.stderr


def test_json_is_one_object(cli: Any) -> None:
    done = cli("train", *SMALL, "-o", "run", "--json")
    record = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert record["model"] == "run/model.safetensors"
    assert record["folder"] == "run"
    assert record["best_epoch"] == 1
    assert (
        record["val_neg_elbo"]
        == read_model_file(record["model"]).header.training["best"]["val_neg_elbo"]
    )


def test_underscores_are_taken_for_dashes(cli: Any) -> None:
    done = cli("train", "--batch_size", "8", "--latent_dim=3", "--val_split", "0.2", "--dry_run",
               "--kl_warmup=2", "--no_grayscale")  # fmt: skip
    values = yaml.safe_load(done.stdout)
    assert (values["batch_size"], values["latent_dim"], values["val_split"]) == (8, 3, 0.2)
    assert values["kl_warmup"] == 2.0


def test_an_underscore_in_a_value_stays(cli: Any) -> None:
    done = cli("train", *SMALL, "-q", "-o", "my_run_1")
    assert done.stdout == "my_run_1/model.safetensors\n"


def test_a_dry_run_tells_the_config_and_writes_nothing(cli: Any) -> None:
    done = cli("train", "--dry-run", "--recipe", "mlp-config", "--dataset", "digits", "-o", "run")
    assert done.code == 0
    values = yaml.safe_load(done.stdout)
    assert (values["hidden"], values["latent_dim"], values["epochs"]) == ([400, 400], 20, 50)
    parameters = 64 * 400 + 400 + 400 * 400 + 400 + 2 * (400 * 20 + 20)
    parameters += 20 * 400 + 400 + 400 * 400 + 400 + 400 * 64 + 64
    assert f"# {parameters:,} parameters; about " in done.stdout
    assert not [path for path in Path().iterdir() if path.name != ".cache"]
    Path("again.yaml").write_text(done.stdout, encoding="utf-8")
    again = cli("train", "--dry-run", "--config", "again.yaml")
    assert again.stdout == done.stdout, "what is told can be given back"


def test_a_dry_run_in_json_is_one_object(cli: Any) -> None:
    done = cli(
        "train", "--dry-run", "--json", "--dataset", "digits", "--hidden", "", "--likelihood", "mse"
    )
    record = json.loads(done.stdout)
    assert record["config"]["hidden"] == []
    assert record["parameters"] == 64 * 32 + 32 + 16 * 64 + 64
    assert record["expected_bytes"] >= 16 * record["parameters"]
    assert record["image"] == [8, 8, 1]
    assert record["store_bytes"] == 64 * (record["n_train"] + record["n_val"]) == 64 * 1607
    assert record["steps"] == record["epochs"] * record["steps_per_epoch"] == 100 * 12
    assert record["measured_bytes"] is record["train_seconds"] is record["timed_by"] is None


def test_a_probe_times_the_steps_that_a_dry_run_plans(cli: Any) -> None:
    done = cli("train", *SMALL, "--dry-run", "--probe", "--json")
    record = json.loads(done.stdout)
    assert record["timed_by"] == "probe"
    assert record["train_seconds"] >= record["n_train"] / record["images_per_second"] > 0
    done = cli("train", *SMALL, "--dry-run", "--probe")
    assert yaml.safe_load(done.stdout)["epochs"] == 1
    assert re.search(r"^# time: about \d.* s of training and .* timed on cpu", done.stdout, re.M)
    assert not Path("runs").exists()


def test_flags_beat_variables_which_beat_files_which_beat_recipes(
    cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("my.yaml").write_text("lr: 0.2\nbeta: 2\nseed: 2\n", encoding="utf-8")
    monkeypatch.setenv("VAEKIT_BETA", "3")
    monkeypatch.setenv("VAEKIT_SEED", "3")
    monkeypatch.setenv("VAEKIT_CONFIG", "my.yaml")
    done = cli("train", "--dry-run", "--dataset", "digits", "--recipe", "mlp-config", "--seed", "4")
    values = yaml.safe_load(done.stdout)
    assert (values["seed"], values["beta"], values["lr"]) == (4, 3.0, 0.2)
    assert values["latent_dim"] == 20


# Wrong command lines: 2, and one line that names the flag.


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--lr", "nan"], "--lr = nan"),
        (["--lr", "-1"], "--lr = -1"),
        (["--beta", "-1"], "--beta = -1.0: must be 0 or more"),
        (["--epochs", "-3"], "--epochs = -3: must be 1 or more"),
        (["--max-bad", "5"], "--max-bad = 5.0: must be 1 or less"),
        (["--epochs", "2.5"], "--epochs"),
        (["--batch-size", "0"], "--batch-size = 0"),
        (["--hidden", "4,x"], "--hidden = '4,x'"),
        (["--model", "restnet"], "did you mean 'resnet'?"),
        (["--likelihood", "bernouli"], "did you mean 'bernoulli'?"),
        (["--dataset", "digitz"], "did you mean 'digits'?"),
        (["--recipe", "cifar-conv"], "did you mean 'cifar10-conv'?"),
        (["--epoch", "3"], "--epochs"),
        (["--latent-dims", "3"], "--latent-dim"),
        (["--epochs"], "--epochs"),
        (["stray"], "stray"),
        (
            ["--model", "conv", "--hidden", "4"],
            "--hidden is for --model mlp, not for --model conv, which",
        ),
        (["--dataset", "missing", "--model", "conv", "--hidden", "4"], "--hidden is for --model"),
        (["--dataset", "missing", "--likelihood", "bce", "--sigma", "1"], "--sigma is for"),
        (["-o", "model.pth"], "try model.safetensors"),
        (["--resume", "nowhere"], "--resume nowhere: no such folder"),
        (["--resume", "nowhere", "--dry-run"], "--resume excludes"),
        (["--probe"], "--probe is for --dry-run"),
        (["--dataset", "a.tar", "b.tar"], "write a pattern in quotes: --dataset '*.tar'"),
        (["--config", "missing.yaml"], "cannot read missing.yaml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_line_is_one_line_and_2(cli: Any, arguments: list[str], named: str) -> None:
    done = cli("train", *arguments)
    assert (done.code, done.stdout) == (2, "")
    assert named in done.stderr
    assert done.stderr.startswith("vaekit: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("value", ["0", "off"])
def test_a_run_without_pictures_draws_none_and_is_complete(cli: Any, value: str) -> None:
    options = ["--dataset", "digits", "--limit", "40", "--epochs", "2", "--hidden", "4",
               "--latent-dim", "2", "-o", "run"]  # fmt: skip
    assert cli("train", *options, "--pictures-every", value).code == 0
    assert [*Path("run").rglob("*.png")] == []
    done = cli("train", "--resume", "run")
    assert (done.code, done.stdout) == (0, "run/model.safetensors\n")
    assert "run is finished" in done.stderr


@pytest.mark.parametrize(
    "command", [["train", "--dry-run", "--dataset", "digits"], ["sample"]], ids=str
)
def test_a_misspelt_variable_is_answered_with_the_right_one(
    cli: Any, placed: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """It had no effect, and said nothing."""
    monkeypatch.setenv("VAEKIT_LATENT_DIMS", "3")
    monkeypatch.setenv("VAEKIT_LR", "0.1")
    monkeypatch.setenv("VAEKIT_ZZZZZ", "1")
    done = cli(*command, *([placed] if command == ["sample"] else []))
    assert done.code == 0
    assert (
        "warning: VAEKIT_LATENT_DIMS has no effect: did you mean 'VAEKIT_LATENT_DIM'?\n"
        in done.stderr
    )
    assert "warning: VAEKIT_ZZZZZ has no effect\n" in done.stderr
    assert done.stderr.count("has no effect") == 2


def test_a_device_that_is_not_there_is_answered_with_those_that_are(cli: Any) -> None:
    """Row 59."""
    done = cli("train", "--device", "cuda", "-o", "run")
    assert (done.code, done.stdout) == (2, "")
    assert re.fullmatch(r"vaekit: --device cuda: this machine has (mps, )?cpu\n", done.stderr)
    assert not Path("run").exists()


def test_a_bad_data_set_is_3_and_divergence_is_4(cli: Any) -> None:
    Path("empty").mkdir()
    assert cli("train", "--dataset", "empty").code == 3
    done = cli("train", *SMALL, "--lr", "1e38", "--schedule", "constant", "-o", "run")
    assert (done.code, done.stdout) == (4, "")
    assert "try a lower --lr" in done.stderr


# Flags are the fields.


@pytest.mark.parametrize("width", ["80", "200"])
def test_every_option_of_a_run_has_its_flag_in_the_help(
    cli: Any, monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    done = cli("train", "--help")
    assert done.code == 0
    text = re.sub(r"[│─╭╮╰╯\s]+", " ", done.stdout)
    for name, field in RunConfig.model_fields.items():
        assert re.search(rf" {flag(name)}[ ,/]", text), name
        assert f" {facts(field)['group']} " in text
        if width == "200":
            assert " ".join(field.description.split()) in text, name


def test_every_option_of_a_run_reaches_the_run(cli: Any) -> None:
    """A flag that is listed and then lost would be believed."""
    given = {
        "limit": 50, "val_split": 0.2, "latent_dim": 3, "hidden": [9, 8], "activation": "tanh",
        "likelihood": "gaussian", "sigma": 0.5, "beta": 2.0, "kl_warmup": 1.5, "free_bits": 0.1,
        "epochs": 7, "batch_size": 9, "micro_batch": 3, "lr": 0.01, "schedule": "one-cycle",
        "optimizer": "adamw", "adam_eps": 1e-7, "weight_decay": 0.1, "grad_clip": 1.0, "ema": 0.5,
        "early_stop": 2, "precision": "bfloat16", "compile": "off", "seed": 3, "device": "cpu",
        "threads": 1, "pictures_every": 4, "project": "tsne", "model": "mlp",
    }  # fmt: skip
    arguments = []
    for name, value in given.items():
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        arguments += [flag(name), text]
    done = cli("train", "--dry-run", "--strict", "--grayscale", "--image-size", "6x5", *arguments)
    values = yaml.safe_load(done.stdout)
    shown = {name: float(values[name]) if isinstance(value, float) else values[name]
             for name, value in given.items()}  # fmt: skip
    assert shown == given
    assert values["strict"] is True
    assert values["grayscale"] is True
    assert values["image_size"] == [6, 5]
