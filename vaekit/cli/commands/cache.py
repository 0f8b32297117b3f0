"""`vaekit cache list` and `vaekit cache clear`: the decoded images that vaekit keeps."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vaekit.cli.options import Debug, Json, Quiet
from vaekit.cli.terminal.console import Terminal
from vaekit.cli.terminal.tables import print_table
from vaekit.errors import UsageError
from vaekit.registry import near_miss
from vaekit.wording import image_in_words

if TYPE_CHECKING:
    from vaekit.data.cache_folder import CacheEntry

ACTIONS = ("list", "clear")


def command(
    action: Annotated[
        str,
        typer.Argument(
            metavar="list|clear", help="list the entries, or remove them", show_default=False
        ),
    ],
    quiet: Quiet = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List or clear the cache of decoded images; downloads stay.

    Images are decoded once and kept. When the cache grows beyond 20 GB, or
    VAEKIT_CACHE_LIMIT (such as 500MB), the least recently used go. Clearing
    it costs only the time to decode them again.
    """
    if action not in ACTIONS:
        raise UsageError(f"vaekit cache {action}: {near_miss(action, ACTIONS)}")
    terminal = Terminal(quiet=quiet)
    if action == "list":
        _list(terminal, as_json=as_json)
    else:
        _clear(terminal, as_json=as_json)


def _list(terminal: Terminal, *, as_json: bool) -> None:
    from vaekit.data import cache_folder

    found = cache_folder.entries()
    total, limit = sum(entry.size for entry in found), cache_folder.size_limit()
    folder = cache_folder.decoded_dir()
    if as_json:
        facts = {"folder": str(folder), "bytes": total, "limit": limit}
        print(json.dumps({**facts, "entries": [_record(entry) for entry in found]}))
        return
    if found:
        columns = ("data set", "split", "images", "pixels", "size", "last used")
        print_table(columns, map(_line, reversed(found)))
    terminal.note(f"{folder}: {_size(total)} in {len(found)} entries; the limit is {_size(limit)}")


def _clear(terminal: Terminal, *, as_json: bool) -> None:
    from vaekit.data import cache_folder

    removed = cache_folder.clear()
    freed = sum(entry.size for entry in removed)
    if as_json:
        print(json.dumps({"removed": len(removed), "bytes": freed}))
        return
    kept = len(cache_folder.entries())
    in_use = f"; {kept} in use stay" if kept else ""
    terminal.note(f"removed {len(removed)} entries, {_size(freed)}{in_use}")


def _record(entry: CacheEntry) -> dict[str, Any]:
    facts = {} if entry.facts is None else dataclasses.asdict(entry.facts)
    when = {"bytes": entry.size, "last_used": int(entry.last_used)}
    return {"entry": entry.path.name, **facts, **when}


def _line(entry: CacheEntry) -> tuple[str, ...]:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.last_used))
    if entry.facts is None:
        return "(unusable)", "", "", "", _size(entry.size), when
    count, *sides = entry.facts.shape
    shape = image_in_words(*sides)
    return entry.facts.name, entry.facts.split, f"{count:,}", shape, _size(entry.size), when


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
