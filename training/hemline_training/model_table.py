"""One table over all models: each measured in a process of its own, beside what was published.

    python -m hemline_training.model_table run --data DIR --split time --k 10 OUT.json
    python -m hemline_training.model_table data HOME DIR
    python -m hemline_training.model_table write PAGE.md docs/benchmarks/evaluate-*.json

`run` calls `hemline evaluate` once for every model, so that peak memory is the model's own, and
adds what it measured to OUT.json; a model that is there already is not measured again, and one that
the data does not fit is written down with the reason. `data` makes a data folder of the newest
release of a home and the log it was trained on. `write` puts the tables between the markers
of a page.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hemline.releases import open_release
from hemline_training.data.trained_log import write_trained_log
from hemline_training.recommenders import MODELS

BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"

# What the authors or the boards that README names report on the very split (Gowalla, Amazon Baby)
# or on another draw of the same kind (MovieLens 100k): NDCG at the table's k.
PUBLISHED = {
    "gowalla": {
        "popular": 0.0317,
        "item-knn": 0.1214,
        "ease": 0.1467,
        "lightgcn": 0.1547,
        "gf-cf": 0.1518,
        "bspm": 0.1597,
        "ncf-bce": 0.1212,
    },
    "amazon-baby": {"ease": 0.0395, "lightgcn": 0.0328},
    "movielens-100k": {"ncf-bce": 0.396, "lightgcn": 0.420},
}


def run(data: Path, out: Path, names: Sequence[str], options: Sequence[str], limit_s: int) -> None:
    """Measure what OUT lacks, one model after another; what is there is kept when it stops."""
    report = json.loads(out.read_text()) if out.is_file() else {"models": {}, "left_out": {}}
    for name in names:
        if name in report["models"] or name in report["left_out"]:
            continue
        print(f"{out.stem}: {name}", file=sys.stderr, flush=True)
        measured, reason = _measure(data, name, options, limit_s)
        if measured is None:
            report["left_out"][name] = reason
        else:
            report["models"][name] = _brief(measured["models"][name])
            report |= {key: measured[key] for key in ("split", "seed", "cases")}
            report["data"] = {k: v for k, v in measured["data"].items() if k != "path"}
        out.write_text(json.dumps(report, indent=1) + "\n")


def _measure(
    data: Path, name: str, options: Sequence[str], limit_s: int
) -> tuple[dict[str, Any] | None, str]:
    """The report of one `hemline evaluate`, or None and the reason there is none."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "out.json"
        call = [sys.executable, "-m", "hemline.cli", "evaluate", "--data", str(data)]
        call += ["--model", name, "--json", str(found), *options]
        try:
            done = subprocess.run(call, capture_output=True, text=True, timeout=limit_s)
        except subprocess.TimeoutExpired:
            return None, f"stopped after {limit_s} s"
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            return None, said[-1].removeprefix("hemline: ")
        return json.loads(found.read_text()), ""


def _brief(model: dict[str, Any]) -> dict[str, Any]:
    """Without the curves of learning, and rounded: a table shows four digits."""
    kept = {key: value for key, value in model.items() if key not in ("losses", "folds")}
    rounded: dict[str, Any] = json.loads(
        json.dumps(kept), parse_float=lambda number: round(float(number), 6)
    )
    return rounded


def table(title: str, report: dict[str, Any]) -> str:
    """Markdown: a line a model, best NDCG first, then what was left out and why."""
    k = max(
        int(name.split("@")[1])
        for m in report["models"].values()
        for name in m["metrics"]
        if "@" in name
    )
    groups = [name for name, cases in report["cases"].items() if name != "all" and cases]
    cold = any(m.get("cold_items", {}).get(f"recall@{k}") for m in report["models"].values())
    published = PUBLISHED.get(title, {})
    heads = [f"recall@{k}", f"NDCG@{k}", "95%", *(f"{group} known" for group in groups)]
    exposed = any("cold_exposure" in model for model in report["models"].values())
    heads += (
        [f"cold items' recall@{k}"] * cold
        + ["shown per twin"] * exposed
        + ["fit CPU s", "score CPU s", "MB"]
    )
    heads += [f"published NDCG@{k}"] * bool(published)
    data = report["data"]
    lines = [
        f"**{title}**: {report['split']} split, {data['events']:,} events, "
        f"{data['users']:,} users, {data['items']:,} items, {report['cases']['all']:,} cases, "
        f"seed {report['seed']}.",
        "",
        "| model | " + " | ".join(heads) + " |",
        "|---|" + "--:|" * len(heads),
    ]
    ranked = sorted(report["models"].items(), key=lambda m: -m[1]["metrics"][f"ndcg@{k}"])
    for name, model in ranked:
        low, high = model["ci"][f"ndcg@{k}"]
        cells = [
            _figure(model["metrics"][f"recall@{k}"]),
            _figure(model["metrics"][f"ndcg@{k}"]),
            f"{_figure(low)} to {_figure(high)}",
            *(_figure(model["segments"][group][f"ndcg@{k}"]) for group in groups),
        ]
        if cold:
            cells.append(_figure(model.get("cold_items", {}).get(f"recall@{k}")))
        if exposed:
            cells.append(_figure(model["cold_exposure"][0]["ratio"]))
        cells += [f"{model[key]:.1f}" for key in ("fit_cpu_seconds", "score_cpu_seconds")]
        cells.append(f"{model['peak_rss_mb']:,.0f}")
        if published:
            cells.append(_figure(published.get(name)))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    of_reason: dict[str, list[str]] = {}
    for name, why in report["left_out"].items():
        of_reason.setdefault(why, []).append(name)
    if of_reason:
        lines += ["", "Left out:", ""]
        lines += [f"- {', '.join(sorted(names))}: {why}" for why, names in of_reason.items()]
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}".replace("0.", ".", 1)


def write(page: Path, reports: Sequence[Path]) -> None:
    """Put the table of every report between the markers of `page`. Raises ValueError without."""
    text = page.read_text()
    if BEGIN not in text or END not in text:
        raise ValueError(f"{page} has no line {BEGIN} and no line {END} after it")
    tables = [
        table(file.stem.removeprefix("evaluate-"), json.loads(file.read_text())) for file in reports
    ]
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text("\n\n".join([before + BEGIN, *tables, END + after]))


def main() -> None:
    parser = argparse.ArgumentParser(prog="hemline_training.model_table", description=__doc__)
    inner = parser.add_subparsers(dest="verb", required=True)
    runs = inner.add_parser("run")
    runs.add_argument("--data", type=Path, required=True)
    runs.add_argument("--models", default=",".join(MODELS), help="default: all of them")
    runs.add_argument("--split", default="")
    runs.add_argument("--k", default="20")
    runs.add_argument("--limit", type=int, default=3600, help="seconds a model may take")
    runs.add_argument("out", type=Path)
    makes = inner.add_parser("data")
    makes.add_argument("home", type=Path)
    makes.add_argument("out", type=Path)
    writes = inner.add_parser("write")
    writes.add_argument("page", type=Path)
    writes.add_argument("reports", type=Path, nargs="+")
    args = parser.parse_args()
    if args.verb == "run":
        options = ["--k", args.k] + (["--split", args.split] if args.split else [])
        run(args.data, args.out, args.models.split(","), options, args.limit)
    elif args.verb == "data":
        log = max((args.home / "logs").glob("*.parquet"))
        release = open_release(args.home / "releases")
        print(f"{args.out}: {write_trained_log(release, log, args.out):,} events of {log}")
    else:
        write(args.page, args.reports)


if __name__ == "__main__":
    main()
