"""What a run is asked for, from five places: whoever reads it wrong trains another model."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vaekit.configuration.config import RECIPES, RunConfig, as_yaml, facts, flag, recipe_names
from vaekit.configuration.config_sources import resolve_config
from vaekit.configuration.option_types import LARGEST_SIDE
from vaekit.configuration.yaml_files import LONGEST_YAML, read_yaml, yaml_text
from vaekit.errors import UsageError

GROUPS = {"Data", "Model", "Loss", "Run", "Output"}


def settled(text: str = "", /, **options: Any) -> RunConfig:
    Path("run.yaml").write_text(text, encoding="utf-8")
    return resolve_config(options, environ={}, config="run.yaml")


def refusal(text: str | bytes = "", /, **options: Any) -> str:
    """The one line that such a YAML file, or such options, are refused with."""
    Path("run.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as caught:
        resolve_config(options, environ={}, config="run.yaml")
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 600
    return message


# Precedence: flags > environment > --config > --recipe > defaults.

LAYERS = ("recipe", "config", "environment", "flag")


@pytest.mark.parametrize("weak", range(4))
@pytest.mark.parametrize("strong", range(4))
def test_of_two_places_the_nearer_one_wins(weak: int, strong: int) -> None:
    Path("run.yaml").write_text("epochs: 101\n", encoding="utf-8")
    given = {LAYERS[weak], LAYERS[strong]}
    config = resolve_config(
        {"epochs": 303} if "flag" in given else {},
        environ={"VAEKIT_EPOCHS": "202"} if "environment" in given else {},
        config="run.yaml" if "config" in given else None,
        recipe="cifar10-conv-small" if "recipe" in given else None,
    )
    assert config.epochs == (15, 101, 202, 303)[max(weak, strong)]


def test_what_no_place_says_has_its_default() -> None:
    assert resolve_config({}, environ={}) == RunConfig()


def test_a_weaker_place_still_speaks_for_what_the_stronger_leaves_open() -> None:
    config = resolve_config({"lr": 0.5}, environ={"VAEKIT_BETA": "2"}, recipe="cifar10-conv-small")
    assert (config.lr, config.beta, config.epochs, config.norm) == (0.5, 2.0, 15, "none")


def test_a_flag_that_was_not_given_hides_nothing() -> None:
    assert resolve_config({"epochs": None}, environ={"VAEKIT_EPOCHS": "7"}).epochs == 7


def test_environment_counts_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAEKIT_LATENT_DIM", "9")
    assert resolve_config({}).latent_dim == 9


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("hidden", "", ()),
        ("hidden", "64,32", (64, 32)),
        ("image_size", "48x64", (48, 64)),
        ("sigma", "0.5", 0.5),
        ("sigma", "learned", "learned"),
        ("grayscale", "true", True),
        ("tensorboard", "0", False),
        ("lr", "1e-4", 1e-4),
        ("dataset", "123", "123"),
        ("compile", "on", "on"),
    ],
)
def test_variables_are_read_as_flags_are(name: str, text: str, value: object) -> None:
    config = resolve_config({}, environ={f"VAEKIT_{name.upper()}": text})
    assert getattr(config, name) == value


@pytest.mark.parametrize("name", ["epochs", "lr", "grayscale", "image_size", "ema"])
def test_a_bad_variable_is_named_as_it_was_written(name: str) -> None:
    with pytest.raises(UsageError, match=f"VAEKIT_{name.upper()} = 'pear'"):
        resolve_config({}, environ={f"VAEKIT_{name.upper()}": "pear"})


# The fields themselves.


@pytest.mark.parametrize("name", RunConfig.model_fields)
def test_every_option_says_what_it_is(name: str) -> None:
    field = RunConfig.model_fields[name]
    assert flag(name) == "--" + name.replace("_", "-")
    assert facts(field)["group"] in GROUPS
    assert field.description
    assert "\n" not in field.description
    if field.default is None:
        assert facts(field)["shown"], "a default that depends on the data is told in words"


@pytest.mark.parametrize(
    ("given", "value"),
    [("", ()), ("400,400", (400, 400)), ("400", (400,)), (" 8, 4 ", (8, 4)), (400, (400,)),
     ([400, 300], (400, 300)), ([], ()), ((5,), (5,))],
)  # fmt: skip
def test_layers_are_taken_in_every_form_people_write(given: object, value: object) -> None:
    assert resolve_config({"hidden": given}, environ={}).hidden == value


@pytest.mark.parametrize("text", ["hidden: 400,400", "hidden: [400, 400]", "hidden: '400, 400'"])
def test_layers_are_taken_in_every_form_in_yaml(text: str) -> None:
    assert settled(text).hidden == (400, 400)


@pytest.mark.parametrize("given", ["4.5", "a", "-4", "0", "4;4", [4.0], [[4]], True, [0], "4,,-1"])
def test_layers_that_are_no_widths_are_refused(given: object) -> None:
    assert refusal(hidden=given).startswith("--hidden = ")


@pytest.mark.parametrize(
    ("given", "value"),
    [("64", (64, 64)), (64, (64, 64)), ("48x64", (48, 64)), ("48X64", (48, 64)),
     ([48, 64], (48, 64)), ((48, 64), (48, 64))],
)  # fmt: skip
def test_image_sizes_are_height_by_width(given: object, value: object) -> None:
    assert resolve_config({"image_size": given}, environ={}).image_size == value


@pytest.mark.parametrize("given", ["0", "x", "64x", "x64", "1x2x3", "-1x4", "6.5", True, [1, 2, 3]])
def test_image_sizes_that_are_none_are_refused(given: object) -> None:
    assert refusal(image_size=given).startswith("--image-size = ")


@pytest.mark.parametrize("given", ["learned", "optimal", "0.5", 0.5, 2])
def test_sigma_is_a_number_or_one_of_two_words(given: object) -> None:
    sigma = resolve_config({"sigma": given}, environ={}).sigma
    assert sigma == (given if given in ("learned", "optimal") else float(str(given)))


@pytest.mark.parametrize("given", ["best", "nan", "inf", "0", "-1", True, ""])
def test_a_sigma_that_is_none_is_refused(given: object) -> None:
    assert refusal(sigma=given).startswith("--sigma = ")


# Row 56 of the faults.


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 0.0])
@pytest.mark.parametrize("name", ["lr", "adam_eps", "grad_clip", "grad_skip", "sigma"])
def test_what_must_be_over_zero_is(name: str, value: float) -> None:
    assert refusal(**{name: value}).startswith(flag(name))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e-9])
@pytest.mark.parametrize("name", ["beta", "free_bits", "kl_warmup", "weight_decay"])
def test_what_must_not_be_negative_is_not(name: str, value: float) -> None:
    assert refusal(**{name: value}).startswith(flag(name))


@pytest.mark.parametrize("value", [0, -3, 2.5, True, "three"])
@pytest.mark.parametrize("name", ["epochs", "batch_size", "latent_dim", "micro_batch", "limit"])
def test_counts_are_whole_and_positive(name: str, value: object) -> None:
    assert refusal(**{name: value}).startswith(f"{flag(name)} = {value!r}: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [("val_split", 1.0), ("val_split", -0.1), ("val_split", float("nan")), ("ema", 1.0),
     ("ema", 0.0), ("ema", float("nan")), ("seed", -1)],
)  # fmt: skip
def test_what_has_bounds_keeps_them(name: str, value: float) -> None:
    assert refusal(**{name: value}).startswith(flag(name))


# YAML is strict: a wrong type is an error that names the key and the file.


@pytest.mark.parametrize(
    "line",
    ["epochs: 2.5", "epochs: '3'", "lr: yes", "grayscale: 1", "grayscale: 'yes'", "dataset: 3",
     "hidden: yes", "hidden: [400.0]", "beta: x", "seed: 1e3", "val_split: no", "lr: .nan",
     "lr: 1e400", "dataset: 2020-01-01", "model: [mlp]", "model: {mlp: 1}", "output: 3"],
)  # fmt: skip
def test_a_wrong_type_in_a_file_names_the_key_and_the_file(line: str) -> None:
    message = refusal(f"# mine\n{line}\n")
    assert message.startswith(f"{line.split(':')[0]} in run.yaml = ")


def test_a_number_in_yaml_is_a_number_in_every_notation() -> None:
    assert settled("lr: 1e-3\nbeta: 1E+1\nadam_eps: .5e-4\nkl_warmup: 2\n").lr == 0.001
    assert settled("lr: 1e-3\nbeta: 1E+1\nadam_eps: .5e-4\nkl_warmup: 2\n").beta == 10.0


def test_a_key_may_have_dashes_and_a_bare_switch_is_a_word() -> None:
    config = settled("latent-dim: 3\ncompile: off\n")
    assert (config.latent_dim, config.compile) == (3, "off")


def test_a_key_null_is_as_if_it_were_not_there() -> None:
    assert settled("latent_dim: null\n") == RunConfig()


@pytest.mark.parametrize(
    "attack",
    [
        "a: &x [1]\nb: *x\n",
        "a: &a [x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n",
        "dataset: !!python/object/apply:os.system ['touch owned']\n",
        "? !!python/name:os.system\n: 1\n",
        "!!python/object/new:subprocess.Popen [['touch', 'owned']]\n",
        "epochs: 2\nepochs: 3\n",
        "batch-size: 2\nbatch_size: 3\n",
        "? [a, b]\n: 1\n",
        "{a: 1}: 2\n",
        "!!map [1, 2]\n",
        'lr: !!int ""\n',
        "lr: !!bool maybe\n",
        "lr: !!timestamp maybe\n",
        "lr: 2001-99-99\n",
        "epochs: " + "9" * 5000,
        "[" * 5000,
        "{a: " * 3000,
        "- epochs\n- 2\n",
        "just text",
        "42",
        "a: b: c\n",
        "---\nepochs: 1\n---\nepochs: 2\n",
        "1: 2\n",
        b"\x00\x01\x02",
        b"\xff\xfe\xfd",
        b"\x80\x04\x95",
        b"dataset: \xe9\n",
    ],
    ids=lambda attack: repr(attack)[:40],
)
def test_yaml_that_is_no_flat_list_of_options_is_refused_in_a_line(attack: str | bytes) -> None:
    assert "run.yaml" in refusal(attack)
    assert not Path("owned").exists()


def test_a_file_too_large_for_a_config_is_not_read_whole() -> None:
    assert "larger than" in refusal(b"# " + b"x" * LONGEST_YAML)


def test_a_missing_config_is_named() -> None:
    with pytest.raises(UsageError, match=r"cannot read missing\.yaml: No such file"):
        resolve_config({}, environ={}, config="missing.yaml")
    Path("folder.yaml").mkdir()
    with pytest.raises(UsageError, match=r"cannot read folder\.yaml: Is a directory"):
        resolve_config({}, environ={}, config="folder.yaml")


# Row 58: what is misspelt is answered with what was meant.


@pytest.mark.parametrize(
    ("text", "wrong", "meant"),
    [
        ("latent_dims: 3", "unknown option latent_dims in run.yaml", "'latent_dim'"),
        ("batchsize: 3", "unknown option batchsize in run.yaml", "'batch_size'"),
        ("model: restnet", "model in run.yaml = 'restnet'", "'resnet'"),
        ("likelihood: bernouli", "likelihood in run.yaml = 'bernouli'", "'bernoulli'"),
        ("objective: elob", "objective in run.yaml = 'elob'", "'elbo'"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_right_one(text: str, wrong: str, meant: str) -> None:
    message = refusal(text)
    assert message.startswith(wrong)
    assert f"did you mean {meant}?" in message


def test_an_option_of_python_that_is_misspelt_is_named() -> None:
    assert refusal(laten_dim=3) == "unknown option --laten-dim: did you mean 'latent_dim'?"


@pytest.mark.parametrize("name", ["cifar-conv", "../config", "/etc/passwd", "", "mlp-config.yaml"])
def test_only_recipes_in_the_list_are_opened(name: str) -> None:
    with pytest.raises(UsageError, match="unknown recipe") as caught:
        resolve_config({}, environ={}, recipe=name)
    assert "cifar10-conv" in str(caught.value)


def test_a_name_with_braces_is_repeated_as_it_is() -> None:
    Path("{name}.yaml").write_text("epochs: no\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"epochs in \{name\}\.yaml = False"):
        resolve_config({}, environ={}, config="{name}.yaml")


# as_yaml and --config are each other's inverse.

TEXTS = st.text(st.characters(exclude_categories=()), max_size=12)
PATHS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
PATHS |= st.binary(max_size=12).map(lambda name: os.fsdecode(name.replace(b"\0", b"")))
COUNTS = st.integers(1, 10**6)
SIDES = st.integers(1, LARGEST_SIDE)
OVER_ZERO = st.floats(1e-12, 1e12)
NOT_NEGATIVE = st.floats(0, 1e12)

CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "dataset": PATHS,
        "data_dir": st.none() | PATHS,
        "image_size": st.none() | st.tuples(SIDES, SIDES),
        "grayscale": st.booleans(),
        "limit": st.none() | COUNTS,
        "val_split": st.floats(0, 1, exclude_max=True),
        "model": st.sampled_from([None, "mlp", "conv", "resnet"]),
        "hidden": st.none() | st.lists(COUNTS, max_size=4).map(tuple),
        "channels": st.none() | st.lists(COUNTS, max_size=4).map(tuple),
        "norm": st.sampled_from([None, "batch", "group", "none"]),
        "sigma": st.sampled_from([None, "learned", "optimal"]) | OVER_ZERO,
        "beta": NOT_NEGATIVE,
        "free_bits": NOT_NEGATIVE,
        "lr": OVER_ZERO,
        "adam_eps": OVER_ZERO,
        "ema": st.none() | st.floats(0, 1, exclude_min=True, exclude_max=True),
        "compile": st.sampled_from(["auto", "on", "off"]),
        "seed": st.integers(0, 2**64),
        "output": st.none() | PATHS,
    },
)


@settings(max_examples=150, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(values=CONFIGS)
def test_a_config_that_is_written_out_is_read_back_the_same(values: dict[str, Any]) -> None:
    config = RunConfig(**values)
    Path("again.yaml").write_text(as_yaml(config, "heading"), encoding="utf-8")
    assert resolve_config({}, environ={}, config="again.yaml") == config


@given(st.one_of(TEXTS, st.booleans(), st.integers(), st.floats(-1e300, 1e300), st.none()))
@settings(max_examples=200, deadline=None)
def test_a_value_is_written_so_that_yaml_reads_the_same(value: object) -> None:
    path = Path("value.yaml")
    path.write_text(f"key: {yaml_text(value)}  # help\n", encoding="utf-8")
    assert read_yaml(path) == {"key": value}


def test_a_config_says_what_each_line_is() -> None:
    text = as_yaml(RunConfig(), "a heading")
    assert text.startswith("# a heading\n")
    assert f"beta: 1.0  # {RunConfig.model_fields['beta'].description}\n" in text
    assert "latent_dim:" not in text, "what is still open is not written"


# What goes into a model file.


def test_a_model_file_never_says_where_it_was_made(tmp_path: Path) -> None:
    secret = tmp_path / "alice-secret"
    config = RunConfig(
        dataset=str(secret / "photos"),
        data_dir=str(secret),
        output=str(secret / "run"),
        device="cuda:3",
        threads=7,
        tensorboard=True,
        pictures_every=9,
        compile="on",
    )
    shared = config.shared()
    assert shared["dataset"] == "photos"
    assert "secret" not in json.dumps(shared)
    local = {n for n, field in RunConfig.model_fields.items() if facts(field)["local"]}
    assert {"data_dir", "output", "device", "threads", "compile"} <= local
    assert not local & set(shared)
    assert shared == RunConfig(dataset="elsewhere/photos").shared()


def test_one_folder_has_one_name_from_wherever_it_is_named(monkeypatch: Any) -> None:
    Path("photos").mkdir()
    outside = RunConfig(dataset="photos/").shared()
    monkeypatch.chdir("photos")
    assert RunConfig(dataset=".").shared() == outside


def test_the_config_of_a_run_works_from_another_folder(monkeypatch: Any) -> None:
    Path("photos").mkdir()
    config = RunConfig(dataset="photos", data_dir="cache", output="here").reproducible()
    assert config.dataset == str(Path("photos").resolve())
    assert config.data_dir == str(Path("cache").resolve())
    assert config.output is None
    assert RunConfig(dataset="digits").reproducible().dataset == "digits"


def test_a_config_cannot_be_changed_by_accident_and_a_change_is_checked() -> None:
    config = RunConfig()
    with pytest.raises(ValueError, match="frozen"):
        config.lr = 1.0  # type: ignore[misc]
    assert config.changed(lr=0.5).lr == 0.5
    with pytest.raises(ValueError, match="greater than 0"):
        config.changed(lr=-1.0)


def test_every_recipe_comes_with_the_package() -> None:
    assert set(recipe_names()) == {path.stem for path in RECIPES.iterdir()}
    assert len(recipe_names()) >= 6
