"""`vaekit doctor`: checks that everything works on this machine."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import typer

from vaekit.cli.options import Debug, Json
from vaekit.cli.terminal.tables import print_table

if TYPE_CHECKING:
    from rich.text import Text

    from vaekit.installation import Check

WORDS = {True: ("ok", "green"), None: ("absent", "dim"), False: ("FAILED", "bold red")}


def command(
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check the installation: versions, devices, disk, permissions."""
    from vaekit.installation import check_all

    checks = check_all()
    failed = [check.name for check in checks if check.ok is False]
    if as_json:
        listed = [dataclasses.asdict(check) for check in checks]
        print(json.dumps({"ok": not failed, "checks": listed}))
    else:
        print_table(("check", "", "result"), [_line(check) for check in checks])
        print(f"\nfailed: {', '.join(failed)}" if failed else "\nvaekit works here")
    if failed:
        raise typer.Exit(1)


def _line(check: Check) -> tuple[str, Text, str]:
    from rich.text import Text

    return check.name, Text(*WORDS[check.ok]), check.detail
