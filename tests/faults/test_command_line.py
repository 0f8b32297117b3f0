"""Rows 56 to 59 where nothing else types them: tests/cli has the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import refused

# Row 56: numbers that cannot be.


@pytest.mark.parametrize("command", ["sample", "reconstruct", "interpolate"])
@pytest.mark.parametrize("number", ["0", "-1"])
def test_n_0_and_n_minus_1_are_a_wrong_command_line(
    cli: Any, tiny_model: Path, command: str, number: str
) -> None:
    refused(cli(command, tiny_model, "-n", number), 2, "-n", "1")


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--lr", "nan"), ("--lr", "inf"), ("--epochs", "-3"), ("--epochs", "0"), ("--beta", "nan"),
     ("--batch-size", "0"), ("--latent-dim", "0"), ("--limit", "0"), ("--val-split", "1"),
     ("--threads", "0"), ("--seed", "-1"), ("--grad-clip", "nan"), ("--weight-decay", "nan"),
     ("--ema", "1"), ("--kl-warmup", "-1"), ("--free-bits", "nan"), ("--checkpoint-every", "0"),
     ("--pictures-every", "-1"), ("--early-stop", "0"), ("--micro-batch", "0"),
     ("--adam-eps", "nan"), ("--sigma", "0"), ("--image-size", "0")],
    ids=str,
)  # fmt: skip
def test_number_that_cannot_be_is_a_wrong_command_line_that_names_the_flag(
    cli: Any, flag: str, value: str
) -> None:
    refused(cli("train", "-o", "run", flag, value), 2, flag, value)
    assert not Path("run").exists()


# Row 58: misspelt.


@pytest.mark.parametrize(
    ("text", "wrong", "meant"),
    [("latent_dims: 4\n", "latent_dims", "latent_dim"), ("epoch: 4\n", "epoch", "epochs"),
     ("model: restnet\n", "restnet", "resnet"), ("objective: elbow\n", "elbow", "elbo")],
    ids=lambda text: text.strip(),
)  # fmt: skip
def test_misspelt_word_in_a_config_file_is_answered_with_what_was_meant(
    cli: Any, text: str, wrong: str, meant: str
) -> None:
    Path("my.yaml").write_text(text)
    done = cli("train", "--config", "my.yaml", "-o", "run")
    refused(done, 2, "my.yaml", wrong, f"did you mean '{meant}'?")


# Row 59: a device that is not there.


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "tpu:0"])
@pytest.mark.parametrize("command", ["train", "sample", "embed", "evaluate"])
def test_device_that_is_not_there_is_answered_with_those_that_are(
    cli: Any, tiny_model: Path, command: str, device: str
) -> None:
    model = [] if command == "train" else [tiny_model]
    done = cli(command, *model, "--device", device)
    refused(done, 2, f"--device {device}: this machine has ", "cpu")
