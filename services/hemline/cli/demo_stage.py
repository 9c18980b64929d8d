"""What stands on the demo's stage: a release for its catalogue, a cluster, a foreign wardrobe."""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections import Counter
from pathlib import Path

from rich.console import Console

from hemline.catalogue import Catalogue
from hemline.catalogue_file import read_images
from hemline.errors import NotFoundError, UnavailableError
from hemline.local.cluster_file import ProcessRecord, read_cluster, supervisor_lock
from hemline.local.ports import DEFAULT_BASE, choose_ports
from hemline.local.up import UpConfig, up_in_background
from hemline.releases import Release, current_id, open_release, promote, release_ids
from hemline.v1 import common_pb2, user_pb2

_STRANGER_SEED = 20_250_701  # any but the shop's own, 0: other designs, brands and prices
_STRANGER_ITEMS = 80
_WARDROBE = 6


def release_for(args: Namespace, out: Console) -> Release:
    """The promoted release of the demo's catalogue; catalogue and release are made if need be.

    Raises UnavailableError when a cluster is up in this home.
    """
    with supervisor_lock(args.home / "run"):
        pass  # better refused now than after a training
    folder = _catalogue(args.home, args.data, out)
    root = args.home / "releases"
    release = _trained_on(folder, root)
    if release is None:
        out.print(f"no release of {folder} yet: training one")
        release = _train(args, folder)
    else:
        out.print(f"release {release.id} was trained on {folder}")
    if current_id(root) != release.id:
        promote(root, release.id)
    return release


def cluster_up(args: Namespace, out: Console) -> None:
    """Start the cluster, at the usual ports if they are free."""
    try:
        base_port = choose_ports(DEFAULT_BASE).base
    except UnavailableError:
        base_port = 0
    cluster = up_in_background(
        UpConfig(
            args.home,
            base_port,
            kafka=args.kafka,
            redis=args.redis,
            prometheus=args.prometheus,
        )
    )
    out.print(f"the gateway answers at {cluster.gateway}")


def process_named(run: Path, name: str) -> ProcessRecord:
    """A process of the cluster as last recorded. Raises NotFoundError."""
    cluster = read_cluster(run)
    for process in cluster.processes if cluster else ():
        if process.name == name:
            return process
    raise NotFoundError(f"no process {name} is recorded in {run}")


def foreign_wardrobe() -> list[user_pb2.ForeignItem]:
    """Garments of one kind that no shop sells: drawn now, by another seed, under other names."""
    from hemline_training.demo_catalogue import write_demo_catalogue

    with tempfile.TemporaryDirectory() as folder:
        write_demo_catalogue(Path(folder), _STRANGER_ITEMS, _STRANGER_SEED, progress=False)
        catalogue = Catalogue.load(Path(folder))
        first = {item.variant_group: item for item in reversed(list(catalogue.items()))}
        products = list(reversed(first.values()))  # one size of each
        [(kind, _)] = Counter((i.gender, i.article_type) for i in products).most_common(1)
        items = [i for i in products if (i.gender, i.article_type) == kind][:_WARDROBE]
        photos = read_images(Path(folder), [catalogue.row_of[item.item_id] for item in items])
    wardrobe = []
    for item, photo in zip(items, photos, strict=True):
        wardrobe.append(
            user_pb2.ForeignItem(
                title=item.title.replace(item.brand or "", "Elsewhere", 1),
                image=photo or b"",
                category=item.article_type or "",
                price=item.price,
                currency=item.currency or "",
                kind=common_pb2.EVENT_KIND_PURCHASE,
            )
        )
    return wardrobe


def _catalogue(home: Path, data: Path | None, out: Console) -> Path:
    """The folder of the catalogue; imported or drawn if it is not there."""
    folder = home / ("catalogue-demo" if data is None else f"catalogue-{data.resolve().name}")
    if (folder / "items.parquet").is_file():
        return folder
    if data is None:
        from hemline_training.demo_catalogue import write_demo_catalogue

        drawn = write_demo_catalogue(folder)
        out.print(f"drew {drawn.rows_out:,} garments into {folder}")
    else:
        from hemline.cli.catalog import import_catalogue

        out.print(import_catalogue(data, folder).to_text(out.width), markup=False)
    return folder


def _trained_on(folder: Path, root: Path) -> Release | None:
    """The newest release of exactly these items."""
    item_ids = Catalogue.load(folder).item_ids
    for release_id in reversed(release_ids(root)):
        release = open_release(root, release_id, verify=False)
        same_name = release.manifest.get("catalogue") == folder.name
        if same_name and release.catalogue.item_ids == item_ids:
            return release
    return None


def _train(args: Namespace, folder: Path) -> Release:
    from hemline.cli.verb import console
    from hemline_training.pipeline import TrainConfig, train

    config = TrainConfig(catalogue=folder, home=args.home, encoder=args.encoder, quick=args.quick)
    return train(config, console=console(stderr=True))
