"""A report of `bench serve` as people read it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hemline.bench.overload import Overload
from hemline.bench.phases import Phase
from hemline.bench.serve import ServeReport
from hemline.bench.targets import Target, targets

_COLUMNS_OF_LOAD = ("offered/s", "OK/s", "p50", "p90", "p99", "p99.9", "late", "failed")
_COLUMNS_OF_SERVERS = ("degraded", "candidates", "CPU-ms", "client", "others")


def print_report(out: Console, report: ServeReport) -> None:
    """Phases, processor time by process, overload, targets, and what to keep in mind."""
    out.print(_phases(report))
    cpu = _cpu(report)
    if cpu is not None:
        out.print(cpu)
    if report.overload:
        out.print(_refusals(report.overload))
    out.print(targets_table(targets(report)))
    for remark in remarks(report):
        out.print(f"[dim]{escape(remark)}[/]")


def targets_table(found: Sequence[Target]) -> Table:
    table = Table("target", "measured", "wanted", "", title="Targets", title_justify="left")
    for target in found:
        verdict = "[green]met[/]" if target.met else "[red]missed[/]"
        table.add_row(escape(target.name), f"{target.value:.5g}", target.wanted, verdict)
    return table


def remarks(report: ServeReport) -> list[str]:
    """What a reader of the figures must know."""
    plan = report.plan
    said = [
        f"{report.requests:,} requests for {report.shoppers:,} shoppers with {report.events:,} "
        f"events, k = {plan.k}, over {plan.connections} connections; latency counts from the "
        "scheduled time, failed calls are not in it"
    ]
    if report.repeated_requests:
        said.append(
            f"{report.repeated_requests:,} requests were for a shopper asked for before; "
            "more --users avoid that"
        )
    late = max(phase.load.send_lag_p99_ms for phase in (*report.rates, report.quarter))
    if late > 2.0:
        said.append(
            f"the client itself was up to {late:.1f} ms late (p99): the machine has too few free "
            "cores for these rates, and latencies are too high by as much"
        )
    measured = (*report.rates, report.quarter, *report.empty.values())
    elsewhere = [phase.cpu.elsewhere_share for phase in measured if phase.cpu]
    if elsewhere and max(elsewhere) > 0.1:
        said.append(
            f"other processes used up to {max(elsewhere):.0%} of a core meanwhile; the figures are "
            "disturbed"
        )
    replaced = {name for phase in report.rates if phase.cpu for name in phase.cpu.replaced}
    if replaced:
        said.append(f"{', '.join(sorted(replaced))} changed processes; some CPU time is missing")
    return said


def _phases(report: ServeReport) -> Table:
    table = Table(title_justify="left")
    table.title = (
        f"Recommend: peak {report.peak_per_s:,.0f}/s. Latencies in ms; late: of the client itself "
        "(p99); others: other processes' use of a core"
    )
    table.add_column("load", no_wrap=True)
    for name in (*_COLUMNS_OF_LOAD, *_COLUMNS_OF_SERVERS):
        table.add_column(name, justify="right", no_wrap=True)
    rounds = report.overload.rounds if report.overload else ()
    turns = [(one.alone, one.before, one.over, one.after) for one in rounds]
    for phases in (report.closed, report.rates, tuple(report.empty.values()), *turns):
        for phase in phases:
            open_loop = not phase.in_flight
            table.add_row(*_row(phase, open_loop), end_section=phase is phases[-1])
    return table


def _row(phase: Phase, open_loop: bool) -> list[str]:
    load, cpu, sample = phase.load, phase.cpu, phase.sample
    latency = load.answered
    times = (latency.p50_ms, latency.p90_ms, latency.p99_ms, latency.p999_ms)
    return [
        phase.name,
        f"{load.offered_per_s:,.0f}" if open_loop else "",
        f"{load.answered_per_s:,.0f}",
        *(f"{value:.2f}" for value in times),
        f"{load.send_lag_p99_ms:.2f}" if open_loop else "",
        f"{load.failed_share:.1%}" if load.failed else "0",
        f"{sample.degraded / sample.answers:.1%}" if sample else "",
        f"{sample.candidates_min}…{sample.candidates_median}" if sample else "",
        f"{cpu.ms_per_request:.2f}" if cpu else "",
        f"{cpu.client_share:.0%}" if cpu else "",
        f"{cpu.elsewhere_share:.0%}" if cpu else "",
    ]


def _cpu(report: ServeReport) -> Table | None:
    quarter, idle = report.quarter.cpu, report.idle
    if quarter is None or idle is None:
        return None
    table = Table(title="Processor time by process", title_justify="left")
    for name in ("process", "CPU-ms per request, 25% of peak", "of a core", "idle"):
        table.add_column(name, justify="left" if name == "process" else "right")
    for name, ms in quarter.ms_per_request_by_process.items():
        busy, at_rest = quarter.server_share_by_process[name], idle.server_share_by_process
        rest = f"{at_rest[name]:.1%}" if name in at_rest else ""
        table.add_row(name, f"{ms:.3f}", f"{busy:.1%}", rest)
    table.add_section()
    table.add_row(
        "all",
        f"{quarter.ms_per_request:.3f}",
        f"{quarter.server_share:.1%}",
        f"{idle.server_share:.1%}",
    )
    return table


def _refusals(over: Overload) -> Table:
    title = (
        f"{over.times_peak:g} x peak offered: {over.goodput_share:.0%} of the peak answered, "
        f"their p99 {over.accepted_p99_to_alone:.1f} x the p99 alone "
        f"({over.accepted_p99_to_quarter:.1f} x that at 25% of peak)"
    )
    if over.cpu_ms_per_request:
        least, middle, most = over.cpu_ms_per_request
        title += f". CPU-ms per request at the peaks: {middle:.2f} ({least:.2f} to {most:.2f})"
    columns = ("goodput", "p99 / alone", "not answered", "calls", "p50 ms", "p99 ms")
    table = Table(*columns, title=title, title_justify="left")
    for one in over.rounds:
        shares = (f"{one.goodput_share:.0%}", f"{one.p99_to_alone:.1f}")
        for code, refused in one.over.load.failed.items():
            times = (f"{refused.p50_ms:.2f}", f"{refused.p99_ms:.2f}")
            table.add_row(*shares, code, f"{refused.count:,}", *times)
            shares = ("", "")
    return table
