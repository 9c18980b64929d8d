"""`hemline demo`: the whole of Hemline as a play of five acts, from an empty home to exit 0.

Nothing it says is written in advance: every figure comes from an answer given on the way, and an
answer that is not as promised ends the play with exit 1.
"""

from __future__ import annotations

import os
import signal
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemline.cli.cluster import add_backing
from hemline.cli.verb import Args, Verbs, add_home, add_verb, console, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from hemline.cli.client import Gateway

K = 20
VISIBLE_WITHIN_S = 30.0  # milliseconds, which are shown; but a machine may be busy
RESTART_WITHIN_S = 60.0
LATENCY_CALLS = 50


def add_verbs(verbs: Verbs) -> None:
    demo = add_verb(
        verbs,
        "demo",
        run_demo,
        "train, start the cluster, play three shoppers and a crash, stop",
        "hemline demo\nhemline demo --data ../data/fashion_products --keep",
    )
    demo.add_argument(
        "--data",
        type=Path,
        metavar="PATH",
        help="a catalogue in a format `catalog import` knows (default: a drawn demo catalogue)",
    )
    demo.add_argument("--keep", action="store_true", help="leave the cluster up")
    demo.add_argument("--quick", action="store_true", help="train for a first look only")
    demo.add_argument("--encoder", default="hemline", metavar="CLIP", help="as `train --encoder`")
    add_backing(demo)
    add_home(demo)


def run_demo(args: Args) -> int:
    from hemline.cli.client import Gateway, cluster_in
    from hemline.cli.demo_stage import cluster_up, release_for
    from hemline.local.background import stop_cluster

    began = time.perf_counter()
    out = console(stderr=args.json)
    _curtain(out, "Before the curtain rises: a catalogue, a release, a cluster")
    release = release_for(args, out)
    run = args.home / "run"
    cluster_up(args, out)
    try:
        with Gateway(cluster_in(args.home).gateway) as gateway:
            facts = play(gateway, release.catalogue, run, out)
    finally:
        if not args.keep:
            stopped = stop_cluster(run)
            out.print(f"\n[dim]stopped {', '.join(stopped)}[/]")
    facts["seconds"] = round(time.perf_counter() - began, 1)
    out.print(f"\n[bold green]The end[/], after {facts['seconds']:.0f} s.")
    if args.keep:
        out.print("The cluster is still up: try `hemline recommend you`, then `hemline down`.")
    if args.json:
        print_json({"release": release.id, **facts})
    return 0


def play(gateway: Gateway, catalogue: Any, run: Path, out: Console) -> dict[str, Any]:
    """All acts, against a cluster that is up; returns what was found.

    Raises HemlineError when an answer does not show, in time, what it must.
    """
    facts: dict[str, Any] = {}
    name = uuid.uuid4().hex[:6]  # new shoppers in every run

    _curtain(out, "Act 1. A shopper nobody knows")
    newcomer = f"demo-newcomer-{name}"
    cold = gateway.recommend(newcomer, K)
    _show(out, cold, f"What {newcomer} gets")
    _expect(not cold.info.personal, "the answer to a shopper nobody knows claims to be personal")
    _expect(len(cold.items) == K, f"the newcomer got {len(cold.items)} items, not {K}")

    _curtain(out, "Act 2. Five clicks")
    facts["clicks"] = five_clicks(gateway, catalogue, newcomer, cold, out)
    facts["latency_ms"] = latency(gateway, newcomer, out)

    _curtain(out, "Act 3. A shopper from another platform")
    facts["import"], photo = foreign_shopper(gateway, f"demo-traveller-{name}", out)

    _curtain(out, "Act 4. Searching, in words and by photo")
    facts["search"] = searching(gateway, photo, out)

    _curtain(out, "Act 5. The updater is killed")
    facts["crash"] = crash(gateway, run, newcomer, catalogue, out)
    return facts


def five_clicks(
    gateway: Gateway, catalogue: Any, user: str, cold: Any, out: Console
) -> dict[str, Any]:
    """Clicks on one style, each visible in the next answer; then the whole list is another."""
    from hemline.cli.demo_style import choose_style
    from hemline.v1 import common_pb2

    cold_ids = [scored.item.item_id for scored in cold.items]
    style = choose_style(catalogue, cold_ids)
    out.print(f"{user} likes {style.name}: the shop has {style.items:,}")
    visible_ms = []
    known = cold.info.history_events
    for item_id in style.clicks:
        gateway.record_event(user, item_id, common_pb2.EVENT_KIND_CLICK)
        seconds, answer = _until_known(gateway, user, known, VISIBLE_WITHIN_S)
        known = answer.info.history_events
        visible_ms.append(round(seconds * 1000, 1))
        title = catalogue.titles[catalogue.row_of[item_id]]
        out.print(f"  click on “{title}”: known to the next answer after {visible_ms[-1]:.0f} ms")
    warm = gateway.recommend(user, K)
    warm_ids = [scored.item.item_id for scored in warm.items]
    _show(out, warm, f"What {user} gets after {len(style.clicks)} clicks")
    _expect(warm_ids != cold_ids, "the clicks did not change the answer")
    wanted = {"article_type": style.article_type, "gender": style.gender, "colour": style.colour}
    return {"visible_ms": visible_ms, **shift(cold, warm, wanted, out)}


def shift(before: Any, after: Any, wanted: dict[str, str], out: Console) -> dict[str, Any]:
    """How an answer moved towards the wanted values of attributes, and away from the first."""
    from rich.table import Table

    from hemline.cli.demo_style import share

    table = Table(f"of {K} items", "before", "after")
    shares = {}
    for attribute, value in wanted.items():
        if value:
            then, now = share(before, attribute, value), share(after, attribute, value)
            shares[attribute] = {"value": value, "before": then, "after": now}
            table.add_row(f"{attribute.replace('_', ' ')}: {value}", f"{then:.0%}", f"{now:.0%}")
    first = {scored.item.item_id for scored in before.items}
    overlap = sum(scored.item.item_id in first for scored in after.items)
    table.add_row("still there from before", "", f"{overlap} of {len(after.items)}")
    out.print(table)
    return {"overlap": overlap, "of": len(after.items), "shares": shares}


def latency(gateway: Gateway, user: str, out: Console) -> dict[str, float]:
    """Medians over some calls, one after the other: of each stage, and of the whole round trip."""
    from statistics import median

    from rich.table import Table

    stages: dict[str, list[float]] = {}
    trips = []
    for _ in range(LATENCY_CALLS):
        began = time.perf_counter()
        answer = gateway.recommend(user, K)
        trips.append((time.perf_counter() - began) * 1000)
        for timing in answer.info.timings:
            stages.setdefault(timing.stage, []).append(timing.milliseconds)
    medians = {stage: round(median(values), 2) for stage, values in stages.items()}
    medians["round trip"] = round(median(trips), 2)
    table = Table("stage", "ms", title=f"median of {LATENCY_CALLS} calls")
    for stage, value in medians.items():
        table.add_row(stage, f"{value:.2f}", style="bold" if stage == "round trip" else "")
    out.print(table)
    return medians


def foreign_shopper(gateway: Gateway, user: str, out: Console) -> tuple[dict[str, Any], Any]:
    """History the shop has never seen makes the next answer personal."""
    from hemline.cli.demo_stage import foreign_wardrobe

    wardrobe = foreign_wardrobe()
    before = gateway.recommend(user, K)
    for item in wardrobe:
        out.print(
            f"  brings “{item.title}”, {item.category}, {item.price:.2f} {item.currency}, "
            f"a photo of {len(item.image) / 1024:.0f} KiB"
        )
    began = time.perf_counter()
    imported = gateway.import_history(user, wardrobe, platform="elsewhere", replace=False)
    import_ms = (time.perf_counter() - began) * 1000
    _expect(
        imported.accepted == len(wardrobe),
        f"only {imported.accepted} of {len(wardrobe)} items were accepted",
    )
    seconds, after = _until_known(gateway, user, before.info.history_events, VISIBLE_WITHIN_S)
    out.print(
        f"{imported.accepted} items encoded and logged in {import_ms:.0f} ms, known to the next "
        f"answer {seconds * 1000:.0f} ms later"
    )
    _show(out, after, f"What {user} gets now")
    _expect(after.info.personal, "the answer after the import is not personal")
    out.print(f"personal before the import: {before.info.personal}, now: {after.info.personal}")
    facts = {
        "items": imported.accepted,
        "import_ms": round(import_ms, 1),
        "visible_ms": round(seconds * 1000, 1),
        "personal_before": before.info.personal,
        "personal_after": after.info.personal,
        **shift(before, after, {"article_type": wardrobe[0].category}, out),
    }
    return facts, wardrobe[0]


def searching(gateway: Gateway, photo: Any, out: Console) -> dict[str, list[str]]:
    """The five best of each search, by title."""
    from hemline.v1 import recommender_pb2

    by_text = gateway.search(recommender_pb2.SearchRequest(text="red dress", k=5))
    _show(out, by_text, "“red dress”", "score")
    by_image = gateway.search(recommender_pb2.SearchRequest(image=photo.image, k=5))
    _show(out, by_image, f"The traveller's photo of “{photo.title}”", "score")
    _expect(len(by_text.items) == len(by_image.items) == 5, "a search found fewer than 5 items")
    return {
        "text": [scored.item.title for scored in by_text.items],
        "image": [scored.item.title for scored in by_image.items],
    }


def crash(gateway: Gateway, run: Path, user: str, catalogue: Any, out: Console) -> dict[str, Any]:
    """Without the updater answers go on; a click made meanwhile counts once it is back."""
    from hemline.cli.demo_stage import process_named
    from hemline.v1 import common_pb2

    before = gateway.recommend(user, K)
    updater = process_named(run, "updater")
    os.kill(updater.pid, signal.SIGKILL)
    killed = time.perf_counter()
    clicked = before.items[0].item
    gateway.record_event(user, clicked.item_id, common_pb2.EVENT_KIND_CLICK)
    out.print(f"killed updater {updater.pid}; {user} clicks on “{clicked.title}” all the same")
    known = before.info.history_events
    answers, slowest_ms = 0, 0.0
    while True:
        began = time.perf_counter()
        answer = gateway.recommend(user, K)  # raises should the gateway not answer
        slowest_ms = max(slowest_ms, (time.perf_counter() - began) * 1000)
        if answer.info.history_events > known:
            break
        answers += 1
        _expect(began - killed < RESTART_WITHIN_S, "a click made without an updater is lost")
    seconds = time.perf_counter() - killed
    again = process_named(run, "updater")
    out.print(
        f"{answers:,} answers were given without an updater, the slowest in {slowest_ms:.0f} ms; "
        f"the supervisor started it again as {again.pid} (restarts: {again.restarts}), and the "
        f"click was known {seconds:.1f} s after the kill"
    )
    return {
        "answers_meanwhile": answers,
        "slowest_ms": round(slowest_ms, 1),
        "visible_s": round(seconds, 2),
        "restarts": again.restarts,
    }


def _until_known(gateway: Gateway, user: str, known: int, within_s: float) -> tuple[float, Any]:
    """Ask until an answer knows more events than `known`; seconds it took, and that answer."""
    began = time.perf_counter()
    while True:
        answer = gateway.recommend(user, K)
        if answer.info.history_events > known:
            return time.perf_counter() - began, answer
        took = time.perf_counter() - began
        _expect(took < within_s, f"after {within_s:g} s no answer knows what the shopper did")


def _expect(true: bool, otherwise: str) -> None:
    from hemline.errors import HemlineError

    if not true:
        raise HemlineError(otherwise)


def _curtain(out: Console, title: str) -> None:
    out.print()
    out.rule(f"[bold]{title}", align="left")


def _show(out: Console, answer: Any, title: str, last: str = "reason", rows: int = 8) -> None:
    from rich.markup import escape
    from rich.table import Table

    info = answer.info
    more = f", the first {rows} of {len(answer.items)}" if len(answer.items) > rows else ""
    table = Table("#", "item", "title", last, title=f"{escape(title)}{more}", title_justify="left")
    for place, scored in enumerate(answer.items[:rows], start=1):
        why = escape(scored.reason) if last == "reason" else f"{scored.score:.3f}"
        table.add_row(str(place), escape(scored.item.item_id), escape(scored.item.title), why)
    out.print(table)
    degraded = ", ".join(d.stage for d in info.degraded) or "nothing"
    out.print(
        f"[dim]release {info.release}, personal: {info.personal}, {info.candidates:,} candidates, "
        f"{sum(t.milliseconds for t in info.timings):.1f} ms, degraded: {degraded}[/]"
    )
