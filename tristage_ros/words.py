"""Words of others in our messages: whatever they are, a message stays one printable line that a person reads."""

from __future__ import annotations

import reprlib

MOST = 300  # characters

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 3, 100, 100, 40
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = _SHORT.maxfrozenset = _SHORT.maxdict = 16


def shown(value: object) -> str:
    """Return a value as Python writes it, what is long or nested cut short."""
    try:
        return _cut(_SHORT.repr(value))
    except ValueError:  # Python writes no whole number of thousands of digits
        return f"a {type(value).__name__} that is too long to write"


def one_line(text: object, most: int = MOST) -> str:
    """Return a name, or what an error says, in one line of `most` characters; what does not print is escaped."""
    words = " ".join(
        line.strip() for line in (str(text) if isinstance(text, (str, BaseException)) else shown(text)).splitlines()
    )
    return _cut("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words[: most + 1]), most)


def _cut(text: str, most: int = MOST) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
