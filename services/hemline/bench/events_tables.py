"""Reports of `bench events` and `bench replay` as people read them."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hemline.bench.cpu import CpuUse
from hemline.bench.freshness import EventsReport
from hemline.bench.latency import Latency
from hemline.bench.replay import ReplayReport
from hemline.bench.tables import targets_table
from hemline.bench.targets import events_targets, replay_targets

DISTURBED = 0.1  # of a core, used by processes that have no part in it


def print_events(out: Console, report: EventsReport) -> None:
    """Latencies, processor time by process, targets, and what to keep in mind."""
    title = (
        f"{report.offered_per_s:,.0f} events/s offered, {report.acknowledged_per_s:,.0f} "
        "acknowledged. Times in ms"
    )
    table = Table("what", "count", "p50", "p90", "p99", "most", title=title, title_justify="left")
    table.add_row("RecordEvent, until acknowledged", *_times(report.load.answered))
    for code, latency in report.load.failed.items():
        table.add_row(f"RecordEvent, until {code}", *_times(latency))
    table.add_row("a probe's event, until acknowledged", *_times(report.probe_acknowledged))
    table.add_row("[b]from then until visible[/]", *_times(report.visible))
    out.print(table)
    if report.cpu:
        out.print(_cpu(report.cpu, "event acknowledged"))
    out.print(targets_table(events_targets(report)))
    for remark in events_remarks(report):
        out.print(f"[dim]{escape(remark)}[/]")


def print_replay(out: Console, report: ReplayReport) -> None:
    """Speed, processor time by process, targets, and what to keep in mind."""
    out.print(
        f"{report.records:,} records applied anew in {report.seconds:.1f} s: {report.per_s:,.0f} a "
        f"second, {report.per_core_s:,.0f} for each second of a core that the updater used"
    )
    out.print(_cpu(report.cpu, "record"))
    out.print(targets_table(replay_targets(report)))
    for remark in replay_remarks(report):
        out.print(f"[dim]{escape(remark)}[/]")


def events_remarks(report: EventsReport) -> list[str]:
    """What a reader of the figures must know."""
    plan, updater = report.plan, report.updater
    said = [
        f"events of {plan.users:,} shoppers, {plan.streamed:.0%} of them in streams "
        f"({report.streamed:,} acknowledged, {report.streams_failed} streams failed); "
        f"{report.probes} probes, {_refused(report)}, {report.late} not visible within 10 s, "
        f"{report.lost} of them never; {report.not_known} not known to the Recommend that followed",
    ]
    if report.looks_refused or report.unanswered:
        said.append(
            f"the gateway refused {report.looks_refused} looks at probes, which were taken again, "
            f"and {report.unanswered} of them got no Recommend"
        )
    if updater:
        said.append(
            f"the updater stored {updater.stored:,} events, {updater.within_250ms:.2%} of them "
            f"within 250 ms of the gateway having them; its lag was {updater.lag_median} records "
            f"at the median and {updater.lag_max} at most"
        )
    if (late := report.load.send_lag_p99_ms) > 2.0:
        said.append(f"the client itself was up to {late:.1f} ms late (p99): too few free cores")
    return said + (_disturbed(report.cpu) if report.cpu else [])


def replay_remarks(report: ReplayReport) -> list[str]:
    """What a reader of the figures must know."""
    plan = report.plan
    said = [
        f"{plan.events:,} of the events are of {plan.users:,} shoppers and were written at "
        f"{report.written_per_s:,.0f} a second, not through a gateway"
    ]
    return said + _disturbed(report.cpu)


def _refused(report: EventsReport) -> str:
    reasons = ", ".join(f"{count} {error}" for error, count in report.probes_refused.items())
    refused = sum(report.probes_refused.values())
    return f"{refused} refused ({reasons})" if refused else "none refused"


def _times(latency: Latency) -> list[str]:
    values = (latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.max_ms)
    return [f"{latency.count:,}", *(f"{value:.1f}" for value in values)]


def _cpu(use: CpuUse, what: str) -> Table:
    table = Table(title="Processor time by process", title_justify="left")
    for name in ("process", f"CPU-ms per {what}", "of a core"):
        table.add_column(name, justify="left" if name == "process" else "right")
    for name, ms in use.ms_per_request_by_process.items():
        table.add_row(name, f"{ms:.4f}", f"{use.server_share_by_process[name]:.1%}")
    table.add_section()
    table.add_row("all", f"{use.ms_per_request:.4f}", f"{use.server_share:.1%}")
    table.add_row("this client", "", f"{use.client_share:.1%}")
    return table


def _disturbed(use: CpuUse) -> list[str]:
    said = []
    if use.elsewhere_share > DISTURBED:
        said.append(
            f"other processes used {use.elsewhere_share:.0%} of a core meanwhile; the figures are "
            "disturbed"
        )
    if use.replaced:
        said.append(f"{', '.join(use.replaced)} changed processes; some CPU time is missing")
    return said
