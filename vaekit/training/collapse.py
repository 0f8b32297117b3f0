"""Warns of posterior collapse: latents that the decoder ignores."""

from __future__ import annotations

from collections.abc import Mapping

from vaekit.configuration.config import RunConfig
from vaekit.reporting import Reporter

DEAD_KL = 0.1
"""Nats of KL per image under which the latents carry no useful information."""

SETTLED_STEPS = 500
"""Steps at full beta before the check: early on, the latents may not be used yet."""


class CollapseWatch:
    """Warns once when the check is first due, and again at the end if nothing has changed."""

    def __init__(self, config: RunConfig, steps_per_epoch: int) -> None:
        self._config = config
        self._due = SETTLED_STEPS + config.kl_warmup * steps_per_epoch
        self._checked = False

    def check(self, record: Mapping[str, float], reporter: Reporter, *, last: bool) -> None:
        """Check an epoch's record, if the check is due."""
        if record["step"] < self._due or (self._checked and not last):
            return
        self._checked = True
        message = collapse_warning(self._config, record)
        if message is not None:
            reporter.warn(message)


def collapse_warning(config: RunConfig, record: Mapping[str, float]) -> str | None:
    """The warning for a record whose decoder ignores its latents; else None."""
    kl = record.get("val_kl", record["train_kl"])
    active = int(record["active_units"])
    if kl >= DEAD_KL and active > 0:
        return None
    return (
        f"posterior collapse: after epoch {record['epoch']:.0f} the KL is {kl:.3f} nats and "
        f"{active} of {config.latent_dim} latent dimensions are active: the decoder "
        f"ignores z; try {_remedy(config)}"
    )


def _remedy(config: RunConfig) -> str:
    """Options that the run does not use yet, the gentlest first."""
    assert config.lr is not None
    remedies = []
    if config.beta > 1:
        remedies.append("--beta 1")
    if config.kl_warmup == 0:
        remedies.append("--kl-warmup 10")
    if config.free_bits == 0:
        remedies.append("--free-bits 0.1")
    return ", ".join([*remedies, f"--lr {config.lr / 3:.1g}"])
