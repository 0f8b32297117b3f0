"""Saying in words that the latents have died, while there is time to do something."""

from __future__ import annotations

from collections.abc import Mapping

from vaekit.config import RunConfig
from vaekit.reporting import Reporter

DEAD_KL = 0.1
"""Nats of KL per image under which the latents say nothing worth the name."""

SETTLED_EPOCHS = 3
"""Epochs at full beta before a verdict: early on the latents may not have begun to be used."""


def collapse(config: RunConfig, record: Mapping[str, float]) -> str | None:
    """The warning that a record deserves: the decoder ignores its latents; or None."""
    if record["epoch"] < SETTLED_EPOCHS + config.kl_warmup:
        return None
    kl = record.get("val_kl", record["train_kl"])
    active = int(record["active_units"])
    if kl >= DEAD_KL and active > 0:
        return None
    return (
        f"posterior collapse: after epoch {record['epoch']:.0f} the KL is {kl:.3f} nats and "
        f"{active} of {config.latent_dim} latent dimensions are active, so images are drawn "
        f"without regard to z; try {_remedy(config)}"
    )


def warn_of_collapse(config: RunConfig, record: Mapping[str, float], reporter: Reporter) -> None:
    """Warn once, at the first epoch at which a verdict is due, and again at the last."""
    due = SETTLED_EPOCHS + config.kl_warmup
    if due <= record["epoch"] < due + 1 or record["epoch"] == config.epochs:
        message = collapse(config, record)
        if message is not None:
            reporter.warn(message)


def _remedy(config: RunConfig) -> str:
    """What has not been tried yet, the gentlest first."""
    remedies = []
    if config.beta > 1:
        remedies.append("--beta 1")
    if config.kl_warmup == 0:
        remedies.append("--kl-warmup 10")
    if config.free_bits == 0:
        remedies.append("--free-bits 0.1")
    return ", ".join([*remedies, f"--lr {config.lr / 3:.1g}"])
