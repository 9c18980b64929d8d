"""What an import did to every row: kept, repaired, dropped, and why, with examples to look at."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from rich.console import Console
from rich.table import Table

from hemline_training.catalogue.items_file import write_atomically

Kind = Literal["dropped", "merged", "added", "repaired", "imputed", "noted"]

EXAMPLES_PER_REASON = 5
_EXAMPLE_CHARACTERS = 160


@dataclass
class Reason:
    """One thing that happened to rows.

    Only "dropped" and "merged" (into an equal one) remove a row, each row at most once; "added" is
    a row that another table made necessary. "imputed" values were guessed, "repaired" ones read.
    """

    kind: Kind
    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class ImportReport:
    """Counts of one import; `rows_in + added - dropped - merged == rows_out` always holds.

    `figures` holds what was measured on the way (shares between 0 and 1, counts); `files` what was
    written, by name.
    """

    source: str
    rows_in: int = 0
    rows_out: int = 0
    reasons: dict[str, Reason] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    rows_are: str = "items"

    def count(self, kind: Kind, reason: str, example: str = "", times: int = 1) -> None:
        """Adds `times` to a reason and keeps the first few examples."""
        entry = self.reasons.setdefault(reason, Reason(kind))
        entry.count += times
        if example and len(entry.examples) < EXAMPLES_PER_REASON:
            entry.examples.append(example[:_EXAMPLE_CHARACTERS])

    def dropped(self) -> int:
        """Rows that did not come out."""
        return sum(r.count for r in self.reasons.values() if r.kind == "dropped")

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers, stable in order."""
        return {
            "source": self.source,
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "reasons": {
                name: {"kind": r.kind, "count": r.count, "examples": r.examples}
                for name, r in self._ordered()
            },
            "figures": self.figures,
            "files": self.files,
        }

    def to_text(self, width: int = 110) -> str:
        """A table for people, without colour codes."""
        table = Table(
            title=f"{self.source}: {self.rows_in:,} rows in, {self.rows_out:,} {self.rows_are} out",
            expand=True,
        )
        table.add_column("what happened", width=13)
        table.add_column("rows", justify="right", width=8)
        table.add_column("why", ratio=3)
        table.add_column("for example", ratio=2, overflow="ellipsis", no_wrap=True)
        for name, reason in self._ordered():
            example = reason.examples[0] if reason.examples else ""
            table.add_row(reason.kind, f"{reason.count:,}", name, _printable(example))
        text = io.StringIO()
        console = Console(file=text, width=width, no_color=True, markup=False, highlight=False)
        console.print(table if self.reasons else table.title)
        for name, value in self.figures.items():
            console.print(f"  {name}: {_figure(value)}")
        for name, path in self.files.items():
            console.print(f"  wrote {name}: {path}", soft_wrap=True)
        return text.getvalue()

    def write(self, path: Path) -> None:
        """Writes `to_json()` to `path`, whole or not at all."""
        text = json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n"
        with write_atomically(path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def _ordered(self) -> list[tuple[str, Reason]]:
        order = get_args(Kind)
        return sorted(
            self.reasons.items(), key=lambda e: (order.index(e[1].kind), -e[1].count, e[0])
        )


def _figure(value: float) -> str:
    return f"{value:,}" if value == int(value) and value != 1.0 else f"{value:.4f}"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
