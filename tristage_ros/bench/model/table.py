"""Tables: for the terminal, and for a Markdown file with one chapter per size and device."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

TITLE = "# Benchmarks\n\nWritten by `tristage bench --markdown BENCHMARKS.md`; a run replaces its own chapter.\n"


_LONGEST = 400  # columns


@dataclass(frozen=True)
class Table:
    """Hold rows of text under a title, and what has to be said about them."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    note: str = ""

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [self.columns, ("---", *["--:"] * (len(self.columns) - 1)), *self.rows]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"### {self.title}\n\n{body}\n" + (f"\n{self.note}\n" if self.note else "")


def show(tables: Sequence[Table]) -> None:
    """Print tables, plainly where rich is not installed.

    A table takes the columns that it needs: 100, and more where the terminal has them or the output is a file.
    """
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table as RichTable
    except ImportError:
        print("\n".join(table.markdown() for table in tables))
        return
    terminal = Console()
    widest = terminal.width if terminal.is_terminal else _LONGEST
    console = Console(width=100, highlight=False)
    for table in tables:
        console.print(f"[bold]{table.title}[/bold]")
        drawn = RichTable(box=box.SIMPLE_HEAD)
        for index, column in enumerate(table.columns):
            drawn.add_column(column, justify="right" if index else "left", no_wrap=not index)
        for row in table.rows:
            drawn.add_row(*row)
        needed = Console(width=_LONGEST).measure(drawn).maximum
        Console(width=max(console.width, min(needed, widest)), highlight=False).print(drawn)
        if table.note:
            console.print(f"[dim]{table.note}[/dim]\n")


def write_chapter(path: Path, heading: str, body: str) -> None:
    """Put `body` under the second-level heading in a Markdown file, in the place of what stood there or at the end."""
    text = path.read_text() if path.exists() else TITLE
    head, *chapters = re.split(r"^## ", text, flags=re.MULTILINE)
    headings = [chapter.partition("\n")[0].strip() for chapter in chapters]
    at = headings.index(heading) if heading in headings else len(chapters)
    chapters[at : at + 1] = [f"{heading}\n\n{body}"]
    parts = [head.strip(), *(f"## {chapter.strip()}" for chapter in chapters)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(parts) + "\n")


def ratio(value: float) -> str:
    """Return a ratio for print: 2.34x."""
    return f"{value:.2f}x"


def percent(share: float) -> str:
    """Return a share for print: 12.3 %."""
    return f"{100 * share:.1f} %"
