"""The config of a training run: every option (`--beta`, `--lr`, ...), defined once.

A field here is an option everywhere: the flag `--latent-dim`, the YAML key `latent_dim`, the
variable `VAEKIT_LATENT_DIM`, the keyword of `vaekit.train` and the row in the docs all come from
it. `vaekit.training.defaults` chooses the fields that are None once the images are known.

    >>> RunConfig(latent_dim=8).latent_dim
    8
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from vaekit import registry
from vaekit.configuration import dataset_names
from vaekit.configuration.option_types import (
    Augmentations,
    Count,
    Counts,
    Fraction,
    ImageSize,
    Interval,
    NotNegative,
    PicturesEvery,
    Positive,
    Share,
    Sigma,
    Sizes,
    SystemPath,
    Threads,
    known,
    switch,
)
from vaekit.configuration.yaml_files import yaml_text
from vaekit.errors import UsageError

RECIPES = Path(__file__).parents[1] / "recipes"
USUAL_BATCH = 128


def _option(default: Any, group: str, text: str, *, shown: str = "", local: bool = False) -> Any:
    """A field of the run: its default, its group in the help, and its line of help.

    `shown` describes a default that depends on the data. A `local` option says where or how the
    run works on this machine; it does not change what is trained, so it stays out of the model
    file.
    """
    extra: dict[str, Any] = {"group": group, "shown": shown, "local": local}
    return Field(default, description=text, json_schema_extra=extra)


class RunConfig(BaseModel):
    """All options of a training run."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)

    dataset: SystemPath = _option(
        "glyphs", "Data", "a data set's name, a path to images, a quoted pattern, or hf:owner/name"
    )
    data_dir: SystemPath | None = _option(
        None, "Data", "folder for downloads", shown="the user's cache", local=True
    )
    image_size: ImageSize | None = _option(
        None, "Data", "resize to H or HxW pixels", shown="as the images are"
    )
    grayscale: bool = _option(False, "Data", "convert images to grey")
    limit: Count | None = _option(None, "Data", "use at most N images of each split", shown="all")
    val_split: Fraction = _option(0.1, "Data", "share of train kept for validation; 0: none")
    strict: bool = _option(False, "Data", "stop at a bad image; default: skip it")
    max_bad: Share = _option(0.01, "Data", "skip bad images up to this share of all", local=True)
    refresh: bool = _option(
        False, "Data", "decode the images again, whatever the cache holds", local=True
    )

    augment: Augmentations | None = _option(
        None, "Data", "random changes in training: hflip, vflip, crop", shown="none"
    )

    model: Annotated[str, known("model")] | None = _option(
        None,
        "Model",
        "the network: mlp, conv, resnet or ladder",
        shown="mlp for glyphs and under 16 pixels, ladder for few small photos, else conv",
    )
    latent_dim: Count | None = _option(
        None,
        "Model",
        "number of latent dimensions",
        shown="16 glyphs, digits, shapes, 20 grey, 128 colour",
    )
    hidden: Sizes | None = _option(
        None, "Model", 'mlp: hidden layer sizes, e.g. 400,400; "" for none', shown="400,400"
    )
    channels: Sizes | None = _option(
        None, "Model", "conv, resnet, ladder: channels, e.g. 32,64,128", shown="by image size"
    )
    depth: Count | None = _option(
        None, "Model", "resnet, ladder: blocks at each size", shown="by image size"
    )
    size: Literal["small", "base", "large"] | None = _option(
        None, "Model", "ladder: small, base or large", shown="small under 100,000 images"
    )
    latent_groups: Counts | None = _option(
        None, "Model", "ladder: groups of latents at each size, 1x1 first", shown="by size"
    )
    latent_channels: Count | None = _option(
        None, "Model", "ladder: latents in each cell of a group", shown="by size"
    )
    activation: Literal["relu", "leaky-relu", "elu", "gelu", "silu", "tanh"] | None = _option(
        None, "Model", "non-linearity", shown="by model"
    )
    norm: Literal["batch", "group", "none"] | None = _option(
        None, "Model", "conv, resnet: normalisation", shown="by model"
    )

    upsampling: Literal["nearest", "transposed"] | None = _option(
        None, "Model", "conv: how the decoder enlarges", shown="nearest"
    )

    init: str | None = _option(
        None, "Model", "start from this model's weights, where shapes fit", shown="the seed"
    )
    freeze: Literal["encoder", "decoder"] | None = _option(
        None, "Model", "keep the weights of the encoder or the decoder", shown="train both"
    )

    likelihood: Annotated[str, known("likelihood")] | None = _option(
        None,
        "Loss",
        "p(x|z): bce, bernoulli, mse, gaussian, logistic or dmol",
        shown="bce on grey and shapes, logistic on colour and digits",
    )
    sigma: Sigma | None = _option(
        None, "Loss", "gaussian: a number, learned or optimal", shown="optimal"
    )
    mixtures: Count | None = _option(
        None, "Loss", "dmol: logistics in the mixture of a pixel", shown="10"
    )
    binarize: Literal["dynamic", "static", "threshold"] | None = _option(
        None, "Loss", "bernoulli: how greys become 0 and 1", shown="dynamic"
    )
    objective: Annotated[str, known("objective")] = _option("elbo", "Loss", "training objective")
    beta: NotNegative = _option(1.0, "Loss", "weight of the KL in training")
    kl_warmup: NotNegative = _option(0.0, "Loss", "epochs over which beta rises from 0")
    free_bits: NotNegative = _option(0.0, "Loss", "nats of KL per dimension without penalty")

    epochs: Count | None = _option(
        None, "Run", "passes over the images", shown="50, more for few images; 24 glyphs"
    )
    batch_size: Count | None = _option(None, "Run", "images per step", shown="128; 32 for a ladder")
    micro_batch: Count | None = _option(
        None, "Run", "images per forward pass, to save memory", shown="the whole batch"
    )
    sync_bn: bool = _option(
        False, "Run", "several GPUs: batch norm over the images of all ranks", local=True
    )
    lr: Positive | None = _option(
        None,
        "Run",
        "peak learning rate",
        shown="ladder: 0.001; bce and bernoulli with many images: 0.005; else 0.002",
    )
    schedule: Literal["constant", "cosine", "one-cycle", "steps"] = _option(
        "one-cycle", "Run", "how the learning rate changes"
    )
    optimizer: Literal["adam", "adamw"] = _option("adam", "Run", "adam or adamw")
    adam_eps: Positive = _option(1e-8, "Run", "Adam's epsilon")
    weight_decay: NotNegative = _option(0.0, "Run", "weight decay")
    grad_clip: Positive | None = _option(
        None, "Run", "clip the gradient to this norm", shown="no limit"
    )
    grad_skip: Positive | None = _option(
        None, "Run", "skip updates whose gradient norm exceeds this", shown="off"
    )
    ema: Annotated[float, Field(gt=0, lt=1)] | None = _option(
        None, "Run", "average the weights with this decay", shown="off"
    )
    early_stop: Count | None = _option(
        None, "Run", "stop after N epochs without improvement on validation", shown="off"
    )
    precision: Literal["float32", "bfloat16"] = _option(
        "float32", "Run", "arithmetic inside the network"
    )
    compile: Annotated[Literal["auto", "on", "off"], BeforeValidator(switch)] = _option(
        "auto", "Run", "torch.compile: auto (where it pays), on or off", local=True
    )
    seed: Annotated[int, Field(ge=0)] = _option(0, "Run", "random seed")
    device: str = _option("auto", "Run", "auto, cpu, cuda, cuda:N or mps", local=True)
    threads: Threads | None = _option(
        None, "Run", "CPU threads", shown="as torch chooses", local=True
    )

    checkpoint_every: Interval = _option(
        "5min", "Output", "steps or time (5min) between checkpoints", local=True
    )
    pictures_every: PicturesEvery | None = _option(
        None,
        "Output",
        "epochs between pictures, or off",
        shown="about ten pictures a run",
        local=True,
    )
    project: Literal["auto", "pca", "tsne"] = _option(
        "auto",
        "Output",
        "projection for latents.png",
        shown="pca, or tsne where it keeps more neighbourhoods",
        local=True,
    )
    tensorboard: bool = _option(False, "Output", "also log to TensorBoard", local=True)
    output: SystemPath | None = _option(
        None,
        "Output",
        "the run's folder, or NAME.safetensors",
        shown="runs/<dataset>-<model>",
        local=True,
    )

    @property
    def images_per_step(self) -> int:
        """The batch size; where none is set yet, that of most networks."""
        return self.batch_size or USUAL_BATCH

    def shared(self) -> dict[str, Any]:
        """The options that go into the model file: all but the local ones."""
        local = {name for name, field in RunConfig.model_fields.items() if facts(field)["local"]}
        name = dataset_names.short_name(self.dataset)
        init = None if self.init is None else Path(self.init).absolute().name
        return {**self.model_dump(mode="json", exclude=local), "dataset": name, "init": init}

    def reproducible(self) -> RunConfig:
        """The config that repeats this run from any folder: absolute paths, no output."""
        updates: dict[str, Any] = {"output": None}
        if self.dataset not in registry.names("dataset"):
            updates["dataset"] = dataset_names.from_any_folder(self.dataset)
        for name in ("data_dir", "init"):
            if getattr(self, name) is not None:
                updates[name] = str(Path(getattr(self, name)).resolve())
        return self.changed(**updates)

    def changed(self, **updates: Any) -> RunConfig:
        """A copy with other values, validated again."""
        return RunConfig.model_validate({**self.model_dump(), **updates})


def facts(field: Any) -> dict[str, Any]:
    """What `_option` stored with a field: its group, shown default and whether it is local."""
    return dict(field.json_schema_extra)


def flag(name: str) -> str:
    """A field's name as typed on the command line.

    >>> flag("latent_dim")
    '--latent-dim'
    """
    return "--" + name.replace("_", "-")


def recipe_names() -> tuple[str, ...]:
    """The names of the recipes that come with vaekit."""
    return tuple(sorted(path.stem for path in RECIPES.glob("*.yaml")))


def recipe_path(name: str) -> Path:
    """The file of a recipe; an unknown name is refused."""
    if name not in recipe_names():
        raise UsageError(f"unknown recipe {name!r}: {registry.near_miss(name, recipe_names())}")
    return RECIPES / f"{name}.yaml"


def as_yaml(config: RunConfig, heading: str) -> str:
    """The config as commented YAML that `--config` reads."""
    lines = [f"# {heading}"]
    group = ""
    for name, field in RunConfig.model_fields.items():
        value = getattr(config, name)
        if value is None:
            continue
        if facts(field)["group"] != group:
            group = facts(field)["group"]
            lines += ["", f"# {group}"]
        lines.append(f"{name}: {yaml_text(value)}  # {field.description}")
    return "\n".join(lines) + "\n"
