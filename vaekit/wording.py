"""How names from outside are put into messages."""

from __future__ import annotations


def one_line(name: str) -> str:
    r"""A name that may hold anything, on one line, printable: a newline becomes `\n`.

    >>> one_line("a\nb.png"), one_line("é.png"), one_line("\udcff.png")
    ('a\\nb.png', 'é.png', '\\xff.png')
    """
    return "".join(c if c.isprintable() else _escaped(c) for c in name)


def shown(name: str) -> str:
    """The name of an input in messages.

    >>> shown("-"), shown("a.png")
    ('standard input', 'a.png')
    """
    return "standard input" if name == "-" else one_line(name)


def unreadable(error: OSError) -> str:
    """Why a file cannot be read, in the system's words."""
    return f"cannot be read ({error.strerror or error})"


def _escaped(character: str) -> str:
    """Bytes that are not UTF-8 arrive as lone surrogates; show the byte that was there."""
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
