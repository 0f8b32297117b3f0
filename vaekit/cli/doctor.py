"""`vaekit doctor`: whether everything works here."""

from __future__ import annotations

import dataclasses
import json

import typer

from vaekit.cli.options import Debug, Json
from vaekit.cli.tables import show


def command(
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check the installation: versions, devices, a training step on each, disk, permissions."""
    from vaekit.installation import check_all

    checks = check_all()
    if as_json:
        print(json.dumps({"ok": all(c.ok for c in checks),
                          "checks": [dataclasses.asdict(c) for c in checks]}))  # fmt: skip
    else:
        lines = [("ok" if c.ok else "FAILED", c.name, c.detail) for c in checks]
        show(("", "check", "what was found"), lines)
    if not all(c.ok for c in checks):
        raise typer.Exit(1)
