"""Saying in words that the latents have died, while there is time to do something."""

from __future__ import annotations

from collections.abc import Mapping

from vaekit.config import RunConfig
from vaekit.reporting import Reporter

DEAD_KL = 0.1
"""Nats of KL per image under which the latents say nothing worth the name."""

SETTLED_STEPS = 500
"""Steps at full beta before a verdict: early on the latents may not have begun to be used."""


class CollapseWatch:
    """Warns once when a verdict is first due, and once more at the end if nothing has changed."""

    def __init__(self, config: RunConfig, steps_per_epoch: int) -> None:
        self._config = config
        self._due = SETTLED_STEPS + config.kl_warmup * steps_per_epoch
        self._judged = False

    def look(self, record: Mapping[str, float], reporter: Reporter, *, last: bool) -> None:
        """Judge an epoch's record, if it is time to."""
        if record["step"] < self._due or (self._judged and not last):
            return
        self._judged = True
        message = collapse(self._config, record)
        if message is not None:
            reporter.warn(message)


def collapse(config: RunConfig, record: Mapping[str, float]) -> str | None:
    """The warning that a record deserves if the decoder ignores its latents; else None."""
    kl = record.get("val_kl", record["train_kl"])
    active = int(record["active_units"])
    if kl >= DEAD_KL and active > 0:
        return None
    return (
        f"posterior collapse: after epoch {record['epoch']:.0f} the KL is {kl:.3f} nats and "
        f"{active} of {config.latent_dim} latent dimensions are active, so images are drawn "
        f"without regard to z; try {_remedy(config)}"
    )


def _remedy(config: RunConfig) -> str:
    """What has not been tried yet, the gentlest first."""
    assert config.lr is not None
    remedies = []
    if config.beta > 1:
        remedies.append("--beta 1")
    if config.kl_warmup == 0:
        remedies.append("--kl-warmup 10")
    if config.free_bits == 0:
        remedies.append("--free-bits 0.1")
    return ", ".join([*remedies, f"--lr {config.lr / 3:.1g}"])
