"""A table in a terminal, or in a file: what lists episodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 240  # characters, where it is no terminal


def print_table(names: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Print rows under names; columns of `right` end at the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in names:
        table.add_column(name, justify="right" if name in right else "left", no_wrap=name in right)
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    (console if console.is_terminal else Console(width=WIDE)).print(table)
