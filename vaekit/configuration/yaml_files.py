"""Reads and writes YAML: one flat mapping of plain values."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from vaekit.errors import UsageError

LONGEST_YAML = 50_000
"""Bytes of the largest config that is read; one with every option has a few thousand."""

LARGEST = 10**100
"""The largest whole number that is read; Python refuses to print much larger ones."""


class _Loader(yaml.SafeLoader):
    """The safe loader, which reads `1e-3` as a float and refuses aliases and tags.

    YAML 1.1 reads `1e-3` as text. An alias can make a small file expand without end, a tag can
    give a value a wrong type, and no config needs either.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not supported")
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) is not None:
            raise yaml.YAMLError("tags (!) are not supported")
        return super().compose_node(parent, index)

    def construct_yaml_int(self, node: Any) -> int:
        value = int(super().construct_yaml_int(node))
        if abs(value) > LARGEST:
            raise yaml.YAMLError("a number is too large")
        return value

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError("a key is a list or a mapping")
            if key.value in seen:
                raise yaml.YAMLError(f"the key {key.value!r} occurs twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)$"),
    list("-+.0123456789"),
)


def read_yaml(path: Path) -> dict[str, Any]:
    """A flat mapping from a YAML file; anything else is an error."""
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_YAML + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    if len(content) > LONGEST_YAML:
        raise UsageError(f"{path} is larger than {LONGEST_YAML:,} bytes: not a config")
    return _mapping(content, path)


def _mapping(content: bytes, path: Path) -> dict[str, Any]:
    try:
        # _Loader is a SafeLoader: it builds plain values only.
        values = yaml.load(content, Loader=_Loader)  # noqa: S506
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())[:200]}") from None
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UsageError(f"{path} is not a list of `option: value` lines")
    named = {key.replace("-", "_"): value for key, value in values.items()}
    if len(named) < len(values):
        raise UsageError(f"{path} has a key twice, with a dash and with an underscore")
    return named


def yaml_text(value: Any) -> str:
    """One plain value as YAML, mostly as JSON writes it; a float keeps all its digits.

    >>> yaml_text((400, 400)), yaml_text("cifar10"), yaml_text(1e-3)
    ('[400, 400]', 'cifar10', '0.001')
    """
    if not isinstance(value, str):
        return json.dumps(value)
    plain = re.fullmatch(r"[A-Za-z][\w./-]*", value) and yaml.safe_load(value) == value
    return value if plain else f'"{"".join(map(_escaped, value))}"'


def _escaped(character: str) -> str:
    """A character in double quotes; JSON's surrogate pairs would be read as two characters."""
    if character.isprintable() and character not in '"\\':
        return character
    return f"\\U{ord(character):08x}"
