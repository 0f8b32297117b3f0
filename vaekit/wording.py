"""Text from outside (file names, headers) made safe to print in a message."""

from __future__ import annotations


def one_line(name: str) -> str:
    r"""A name on one printable line: control characters are escaped, a newline becomes `\n`.

    >>> one_line("a\nb.png"), one_line("é.png"), one_line("\udcff.png")
    ('a\\nb.png', 'é.png', '\\xff.png')
    """
    return "".join(c if c.isprintable() else _escaped(c) for c in name)


def shown(name: str) -> str:
    """An input's name for messages; `-` is standard input.

    >>> shown("-"), shown("a.png")
    ('standard input', 'a.png')
    """
    return "standard input" if name == "-" else one_line(name)


def unreadable(error: OSError) -> str:
    """Why a file cannot be read, in the system's words."""
    return f"cannot be read ({error.strerror or error})"


def _escaped(character: str) -> str:
    """The escape of a character; a lone surrogate stands for a byte that is not UTF-8."""
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
