"""JSON objects as files have them: whatever a text is, it is an object or a ValueError of one line."""

from __future__ import annotations

import json
from typing import Any

from tristage_ros.words import one_line, shown


def parse(text: str | bytes) -> dict[str, Any]:
    """Return the object that a JSON text holds.

    Raises:
        ValueError: it holds none; the message is one line.
    """
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except ValueError as error:  # also of bytes that are no text, and of whole numbers of thousands of digits
        raise ValueError(f"not JSON: {one_line(error)}") from None
    if not isinstance(content, dict):
        raise ValueError(f"it holds {shown(content)}, not an object")
    return content
