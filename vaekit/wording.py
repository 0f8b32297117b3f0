"""Text made safe and clear to print in a message: names from outside, sizes, counts."""

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


def counted(count: int, thing: str) -> str:
    """How many there are, with a plural where one is due.

    >>> counted(1, "image"), counted(1200, "image")
    ('1 image', '1,200 images')
    """
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def size_in_words(height: int, width: int) -> str:
    """The size of an image, in an order that needs no explanation.

    >>> size_in_words(28, 28), size_in_words(16, 20)
    ('28x28', '20 wide x 16 high')
    """
    return f"{width}x{height}" if width == height else f"{width} wide x {height} high"


def image_in_words(height: int, width: int, channels: int) -> str:
    """The size of an image and whether it has colours.

    >>> image_in_words(8, 8, 1), image_in_words(218, 178, 3)
    ('8x8 grey', '178 wide x 218 high colour')
    """
    colour = {1: "grey", 3: "colour"}.get(channels, f"with {channels} channels")
    return f"{size_in_words(height, width)} {colour}"


def unreadable(error: OSError) -> str:
    """Why a file cannot be read, in the system's words."""
    return f"cannot be read ({error.strerror or error})"


def _escaped(character: str) -> str:
    """The escape of a character; a lone surrogate stands for a byte that is not UTF-8."""
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
