"""`hemline evaluate`: recommenders on the same folds, and `evaluate clip` for an encoder."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from hemline.cli.verb import Args, Verbs, add_verb, console

_EXAMPLE = """\
hemline evaluate --data DIR --model popular,ease,blend --json out.json
hemline evaluate --data .hemline/data/ml --split k-fold --folds 5 --model mf-als --json out.json
hemline evaluate clip --catalog .hemline/catalogue --model hemline"""


def add_verbs(verbs: Verbs) -> None:
    evaluate: argparse.ArgumentParser = verbs.add_parser(
        "evaluate",
        help="measure models on what they were not trained on",
        description="Measure models on what they were not trained on. DIR is an imported data "
        "folder, or holds train, perhaps valid, and test as .npy of shape (2, N) or as text of "
        "`user item item …` a line.",
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
    events = read_events(args.data)
    split = args.split or default_split(events)
    folds = list(folds_of(events, split, args.folds, args.seed))
    result = compare(folds, names, config, make, lambda what: err.print(what, style="dim"))
    report = {
        **result,
        "split": split,
        "seed": args.seed,
        "data": {
            "path": str(args.data),
            "events": len(events),
            "users": events.n_users,
            "items": events.n_items,
        },
    }
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")
    print_comparison(report, max(config.ks), console())
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
