"""Verbs that make models: train, train clip, train attributes."""

from __future__ import annotations

import sys
from pathlib import Path

from hemline.cli.verb import Args, Verbs, add_home, add_verb, console, print_json


def add_verbs(verbs: Verbs) -> None:
    train = add_verb(
        verbs,
        "train",
        run_train,
        "train everything for a catalogue into a release, and promote it",
        "hemline train\nhemline train --catalog .hemline/catalogue --seed 1",
    )
    train.add_argument(
        "--catalog",
        type=Path,
        metavar="DIR",
        help="folder with items.parquet (default: HOME/catalogue, else a drawn demo catalogue)",
    )
    add_home(train)
    train.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    train.add_argument(
        "--events",
        type=Path,
        metavar="FILE",
        help="parquet of user_id, item_id, kind, occurred_ms (default: a SIMULATED log)",
    )
    train.add_argument(
        "--encoder",
        default="hemline",
        metavar="CLIP",
        help="hemline, a folder, an open_clip name, or hf-hub:ORG/NAME (default: %(default)s)",
    )
    train.add_argument(
        "--epochs", type=int, default=12, help="of the towers (default: %(default)s)"
    )
    train.add_argument("--users", type=int, default=0, help="simulated shoppers (default: by size)")
    train.add_argument("--threads", type=int, default=0, help="default: half of the cores")
    train.add_argument(
        "--quick", action="store_true", help="few users and epochs, for a first look"
    )
    train.add_argument(
        "--no-promote", action="store_true", help="leave the present release current"
    )

    what = train.add_subparsers(metavar="[clip|attributes]")
    clip = add_verb(
        what,
        "clip",
        run_train_clip,
        "train Hemline's own CLIP on a catalogue's photos",
        "hemline train clip --catalog .hemline/catalogue --out .hemline/clip --epochs 20 --resume",
    )
    clip.add_argument("--catalog", type=Path, required=True, metavar="DIR")
    clip.add_argument("--out", type=Path, required=True, metavar="DIR", help="the encoder's folder")
    clip.add_argument("--epochs", type=int, default=20, help="default: %(default)s")
    clip.add_argument("--batch", type=int, default=256, help="default: %(default)s")
    clip.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    clip.add_argument("--device", default="cpu", help="default: %(default)s")
    clip.add_argument("--threads", type=int, default=0, help="default: torch's own choice")
    clip.add_argument("--resume", action="store_true", help="go on from the last checkpoint")

    attributes = add_verb(
        what,
        "attributes",
        run_train_attributes,
        "train the network that reads missing attributes off photos",
        "hemline train attributes --catalog .hemline/catalogue --out .hemline/attributes",
    )
    attributes.add_argument("--catalog", type=Path, required=True, metavar="DIR")
    attributes.add_argument("--out", type=Path, required=True, metavar="DIR", help="its folder")
    attributes.add_argument(
        "--epochs", type=int, default=3, help="of the whole network, 0: heads only (%(default)s)"
    )
    attributes.add_argument("--seed", type=int, default=0, help="default: %(default)s")


def run_train(args: Args) -> int:
    from hemline.releases import promote
    from hemline_training.pipeline import TrainConfig, train

    release = train(
        TrainConfig(
            catalogue=args.catalog or default_catalogue(args.home),
            home=args.home,
            encoder=args.encoder,
            events=args.events,
            seed=args.seed,
            users=args.users,
            epochs=args.epochs,
            quick=args.quick,
            threads=args.threads,
        ),
        console=console(stderr=True),
    )
    if not args.no_promote:
        promote(args.home / "releases", release.id)
    if args.json:
        print_json({**release.manifest, "promoted": not args.no_promote})
    else:
        then = "written" if args.no_promote else "promoted"
        print(f"release {release.id} {then}; serve it with `hemline up`")
    return 0


def default_catalogue(home: Path) -> Path:
    """HOME/catalogue, or a demo catalogue, drawn if it is not there."""
    from hemline_training.demo_catalogue import write_demo_catalogue

    if (home / "catalogue" / "items.parquet").is_file():
        return home / "catalogue"
    demo = home / "catalogue-demo"
    if not (demo / "items.parquet").is_file():
        print(f"drawing a demo catalogue into {demo}", file=sys.stderr)
        write_demo_catalogue(demo)
    return demo


def run_train_clip(args: Args) -> int:
    from hemline_training.clip.train import ClipTrainConfig, train_clip

    folder = train_clip(
        ClipTrainConfig(
            catalog=args.catalog,
            out=args.out,
            epochs=args.epochs,
            batch=args.batch,
            seed=args.seed,
            device=args.device,
            threads=args.threads,
            resume=args.resume,
        )
    )
    if args.json:
        print_json({"encoder": str(folder)})
    else:
        print(f"encoder in {folder}; use it with `hemline train --encoder {folder}`")
    return 0


def run_train_attributes(args: Args) -> int:
    from hemline_training.attributes.train import AttributeTrainConfig, train_attributes

    config = AttributeTrainConfig(epochs=args.epochs, seed=args.seed)
    model = train_attributes(args.catalog, args.out, config)
    figures = model.about["held_out"]
    if args.json:
        print_json({"attributes": str(args.out), **model.about})
        return 0
    for head, of in figures.items():
        print(
            f"{head:16} accuracy {of['accuracy']:.3f} (majority {of['majority']:.3f}); above .8 it "
            f"answers {of['answered_at_0.8']:.0%}, right {of['accuracy_at_0.8'] or 0:.1%}"
        )
    print(f"attribute network in {args.out}")
    return 0
