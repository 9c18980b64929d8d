"""An answer as people read it: what it says of itself, then its items."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hemline.v1 import common_pb2


def print_answer(
    console: Console,
    title: str,
    info: common_pb2.AnswerInfo,
    items: Iterable[common_pb2.ScoredItem],
    explain: bool = False,
) -> None:
    """`explain` adds a column with what each model contributed to the score."""
    print_info(console, title, info)
    console.print(item_table(items, explain))


def print_info(console: Console, title: str, info: common_pb2.AnswerInfo) -> None:
    """Release, whether it is personal, and how long each stage took."""
    taste = f"personal, {info.history_events} known events" if info.personal else "not personal"
    arm = f", arm {info.arm}" if info.arm else ""
    console.print(
        f"[bold]{escape(title)}[/]: release {info.release}{arm}, {taste}, "
        f"{info.candidates:,} candidates"
    )
    stages = " · ".join(f"{t.stage} {t.milliseconds:.1f}" for t in info.timings)
    total = sum(t.milliseconds for t in info.timings)
    console.print(f"[dim]{total:.1f} ms in stages: {stages}[/]")
    for skipped in info.degraded:
        console.print(
            f"[yellow]degraded[/]: {skipped.stage} ({skipped.reason}), "
            f"instead: {escape(skipped.fallback)}"
        )


def item_table(items: Iterable[common_pb2.ScoredItem], explain: bool = False) -> Table:
    table = Table()
    table.add_column("#", justify="right")
    table.add_column("item", no_wrap=True)
    table.add_column("title", ratio=3)
    table.add_column("price", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("sources", ratio=1)
    table.add_column("parts" if explain else "reason", ratio=2)
    for place, scored in enumerate(items, start=1):
        item = scored.item
        why = " ".join(f"{part.name} {part.contribution:+.3f}" for part in scored.parts)
        table.add_row(
            str(place),
            escape(item.item_id),
            escape(item.title),
            f"{item.price:.2f} {item.currency}" if item.HasField("price") else "",
            f"{scored.score:.3f}",
            ", ".join(scored.sources),
            escape(why if explain else scored.reason),
        )
    return table
