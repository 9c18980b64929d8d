"""`hemline evaluate`: recommenders on the same folds, and `evaluate clip` for an encoder."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hemline.cli.verb import Args, Verbs, add_verb, console

_EXAMPLE = """\
hemline evaluate --data DIR --model popular,ease,blend --json out.json
hemline evaluate --data ../shared/data/zozotown_clicks --model popular,item-knn --json out.json
hemline evaluate --data .hemline/data/ml --split k-fold --folds 5 --model mf-als --json out.json
hemline evaluate clip --catalog .hemline/catalogue --model hemline"""


def add_verbs(verbs: Verbs) -> None:
    evaluate: argparse.ArgumentParser = verbs.add_parser(
        "evaluate",
        help="measure models on what they were not trained on",
        description="Measure models on what they were not trained on. DIR is an imported data "
        "folder, or holds train, perhaps valid, and test as .npy of shape (2, N) or as text of "
        "`user item item …` a line. Logged impressions (a .csv of the Open Bandit Dataset, or "
        "imported events with a propensity) give each model's click-through rate by IPS, SNIPS and "
        "doubly robust.",
        epilog="example:\n" + "\n".join(f"  {line}" for line in _EXAMPLE.splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    evaluate.set_defaults(run=run_evaluate)
    evaluate.add_argument("--data", type=Path, metavar="DIR")
    evaluate.add_argument("--model", metavar="NAME[,NAME…]", help="`--model help` lists them")
    evaluate.add_argument("--json", type=Path, metavar="OUT", help="where the result is written")
    evaluate.add_argument(
        "--split",
        default="",
        help="given, time, random, leave-one-out or k-fold (default: the given one, else by time, "
        "else at random)",
    )
    evaluate.add_argument("--folds", type=int, default=5, help="of k-fold (default: %(default)s)")
    evaluate.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    evaluate.add_argument(
        "--k", default="5,10,20", metavar="K[,K…]", help="cut-offs (default: %(default)s)"
    )
    evaluate.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="the blend's weights, a JSON object by part, instead of learning them on a hold-out",
    )
    inner = evaluate.add_subparsers(metavar="[clip]")
    measure = add_verb(
        inner,
        "clip",
        run_evaluate_clip,
        "measure a CLIP on a catalogue's held-out products, beside chance and simple baselines",
        "hemline evaluate clip --catalog .hemline/catalogue --model hemline",
    )
    measure.add_argument("--catalog", type=Path, required=True, metavar="DIR")
    measure.add_argument("--model", default="hemline", metavar="CLIP", help="as train --encoder")
    measure.add_argument(
        "--photos", type=Path, metavar="FILE", help="parquet (product_id, jpeg) of other photos"
    )


def run_evaluate(args: Args) -> int:
    from hemline.errors import InvalidInputError
    from hemline_training.comparison import CompareConfig, compare, print_comparison
    from hemline_training.datasets import default_split, folds_of, read_events
    from hemline_training.logged_impressions import read_logged
    from hemline_training.policies import evaluate_policies, print_policies
    from hemline_training.recommenders import MODELS, recommender
    from hemline_training.recommenders.blended import Blend, linear_parts

    if args.model == "help":
        print("\n".join(sorted(MODELS)))
        return 0
    if args.data is None or args.model is None:
        raise InvalidInputError("arguments", "--data DIR and --model NAME are needed")
    names = list(dict.fromkeys(name.strip() for name in args.model.split(",")))
    for name in names:
        recommender(name, args.seed)  # a wrong name fails before anything is read
    config = CompareConfig(ks=_cut_offs(args.k), seed=args.seed)
    weights = _weights(args.weights)

    def make(name: str, seed: int) -> Any:
        if name == "blend" and weights is not None:
            return Blend(linear_parts(seed), weights, seed=seed)
        return recommender(name, seed)

    err = console(stderr=True)

    def stage(what: str) -> None:
        err.print(what, style="dim")

    logged = read_logged(args.data)
    judged: dict[str, Any] = {}
    if logged is not None:
        judged = evaluate_policies(logged, names, make, args.seed, config.samples, stage)
    if logged is not None and not (args.data / "events.parquet").is_file():
        report = {**judged, "split": "time", "seed": args.seed}
        size = (len(logged.log), logged.n_users, logged.log.n_items)
        return _finish(args, report, size, lambda: print_policies(report, console()))
    events = read_events(args.data)
    split = args.split or default_split(events)
    folds = list(folds_of(events, split, args.folds, args.seed))
    report = {**compare(folds, names, config, make, stage), "split": split, "seed": args.seed}
    if judged:
        report["off_policy"] = judged["off_policy"]
        for name, of in judged["models"].items():
            report["models"][name]["metrics"] |= of["metrics"]
            report["models"][name]["ci"] |= of["ci"]

    def show() -> None:
        print_comparison(report, max(config.ks), console())
        if judged:
            print_policies(judged, console())

    return _finish(args, report, (len(events), events.n_users, events.n_items), show)


def _finish(
    args: Args, report: dict[str, Any], size: tuple[int, int, int], show: Callable[[], None]
) -> int:
    """Write the JSON, with where the data is and how much of it, then show the table."""
    counts = dict(zip(("events", "users", "items"), size, strict=True))
    report["data"] = {"path": str(args.data), **counts}
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")
    show()
    return 0


def run_evaluate_clip(args: Args) -> int:
    from hemline.encoders.clip import load_clip
    from hemline_training.clip.evaluate import evaluate_clip

    result = evaluate_clip(load_clip(args.model), args.catalog, args.photos)
    sys.stdout.write(result.to_json() if args.json else result.table() + "\n")
    return 0


def _cut_offs(text: str) -> tuple[int, ...]:
    from hemline.errors import InvalidInputError

    try:
        ks = tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        ks = ()
    if not ks or ks[0] < 1:
        raise InvalidInputError("k", f"{text!r} is no list of whole numbers from 1 up")
    return ks


def _weights(file: Path | None) -> dict[str, float] | None:
    from hemline.errors import InvalidInputError
    from hemline_training.recommenders.blended import linear_parts

    if file is None:
        return None
    try:
        found = json.loads(file.read_text())
    except ValueError as error:
        raise InvalidInputError("weights", f"{file} is no JSON: {error}") from error
    parts = set(linear_parts())
    if not isinstance(found, dict) or not set(found) <= parts:
        raise InvalidInputError("weights", f"{file} must be an object of {sorted(parts)}")
    return {name: float(value) for name, value in found.items()}
