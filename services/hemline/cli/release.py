"""Verbs about releases: release list, promote, rollback, verify, fetch, triton-models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemline.cli.verb import Args, Verbs, add_home, add_verb, console, print_json

if TYPE_CHECKING:
    from hemline.releases import Release


def add_verbs(verbs: Verbs) -> None:
    release = verbs.add_parser("release", help="list, promote, roll back or verify releases")
    inner = release.add_subparsers(metavar="VERB", required=True)
    add_home(
        add_verb(inner, "list", run_list, "list all releases, newest first", "hemline release list")
    )
    promote = add_verb(
        inner,
        "promote",
        run_promote,
        "verify a release and make it the current one",
        "hemline release promote r0003-5be1c2d4",
    )
    promote.add_argument("release", metavar="ID")
    add_home(promote)
    add_home(
        add_verb(
            inner,
            "rollback",
            run_rollback,
            "go back to the release before the current one",
            "hemline release rollback",
        )
    )
    verify = add_verb(
        inner,
        "verify",
        run_verify,
        "compare every file of a release with its manifest",
        "hemline release verify r0003-5be1c2d4",
    )
    verify.add_argument("release", metavar="ID", nargs="?", help="default: the current one")
    add_home(verify)
    fetch = add_verb(
        inner,
        "fetch",
        run_fetch,
        "download releases from object storage, checked against their manifests",
        "hemline release fetch s3://my-bucket/releases r0003-5be1c2d4 --promote",
    )
    fetch.add_argument("url", metavar="URL", help="of the folder of releases: s3 https http file")
    fetch.add_argument("releases", metavar="ID", nargs="+")
    fetch.add_argument("--promote", action="store_true", help="make the last of them the current")
    fetch.add_argument("--prune", action="store_true", help="delete the others; nobody may serve")
    add_home(fetch)
    models = add_verb(
        inner,
        "triton-models",
        run_triton_models,
        "write Triton's model repository of all releases in the home",
        "hemline release triton-models .hemline/models --device gpu",
    )
    models.add_argument("folder", metavar="DIR", type=Path, help="replaced, so not a live one")
    models.add_argument(
        "--device", choices=("cpu", "gpu"), default="cpu", help="of the CLIP models"
    )
    add_home(models)


def run_list(args: Args) -> int:
    from rich.table import Table

    from hemline.releases import current_id, open_release, release_ids

    root: Path = args.home / "releases"
    current = current_id(root)
    releases = [
        open_release(root, release_id, verify=False) for release_id in reversed(release_ids(root))
    ]
    if args.json:
        print_json([_summary(release, current) for release in releases])
        return 0
    table = Table("release", "current", "created", "parent", "catalogue", "items", "encoder", "log")
    for release in releases:
        about = _summary(release, current)
        table.add_row(
            release.id,
            "yes" if about["current"] else "",
            about["created"],
            about["parent"] or "",
            about["catalogue"],
            f"{about['items']:,}",
            about["encoder"],
            "SIMULATED" if about["simulated_log"] else "real",
        )
    console().print(table)
    return 0


def run_promote(args: Args) -> int:
    from hemline.releases import current_id, promote

    previous = current_id(args.home / "releases")
    return _switched(args, promote(args.home / "releases", args.release), previous)


def run_rollback(args: Args) -> int:
    from hemline.releases import current_id, rollback

    previous = current_id(args.home / "releases")
    return _switched(args, rollback(args.home / "releases"), previous)


def run_verify(args: Args) -> int:
    from hemline.releases import open_release

    release = open_release(args.home / "releases", args.release, verify=True)
    files = release.manifest["files"]
    size = sum(file["bytes"] for file in files.values())
    if args.json:
        print_json({"release": release.id, "files": len(files), "bytes": size})
    else:
        print(f"release {release.id} is whole: {len(files)} files, {size / 1e6:.1f} MB")
    return 0


def run_fetch(args: Args) -> int:
    from hemline.release_fetch import fetch_release, prune_releases
    from hemline.releases import current_id, promote

    root: Path = args.home / "releases"
    fetched = [fetch_release(args.url, release_id, root) for release_id in args.releases]
    if args.promote and current_id(root) != fetched[-1].id:
        promote(root, fetched[-1].id)
    dropped = prune_releases(root, {release.id for release in fetched}) if args.prune else []
    if args.json:
        ids = [release.id for release in fetched]
        print_json({"releases": ids, "current": current_id(root), "pruned": dropped})
        return 0
    for release in fetched:
        size = sum(file["bytes"] for file in release.manifest["files"].values())
        print(f"release {release.id} is here and whole: {size / 1e6:.1f} MB")
    for release_id in dropped:
        print(f"release {release_id} deleted")
    print(f"the current release is {current_id(root) or 'none: promote one'}")
    return 0


def run_triton_models(args: Args) -> int:
    from hemline.errors import NotFoundError
    from hemline.releases import release_ids, release_version
    from hemline.triton_repository import model_templates, prepare_model_repository

    root: Path = args.home / "releases"
    releases = [(release_version(name), root / name) for name in release_ids(root)]
    if not releases:
        raise NotFoundError(f"no release in {root}; run `hemline release fetch` first")
    prepare_model_repository(model_templates(), args.folder, releases, args.device)
    versions = [version for version, _ in releases]
    if args.json:
        print_json({"folder": str(args.folder), "versions": versions, "device": args.device})
    else:
        named = ", ".join(map(str, versions))
        print(f"{args.folder} has the models of release {named} for the {args.device.upper()}")
    return 0


def _switched(args: Args, release: Release, previous: str | None) -> int:
    from hemline.local.cluster_file import read_cluster, supervisor_pid

    run = args.home / "run"
    cluster = read_cluster(run) if supervisor_pid(run) is not None else None
    serving = cluster.release if cluster else None
    if args.json:
        print_json({"release": release.id, "previous": previous, "serving": serving})
    else:
        print(f"release {release.id} is current now; it was {previous or 'none'}")
        if serving and serving != release.id:
            print(
                f"the running cluster still serves {serving}: `hemline down`, then `hemline up`",
                file=sys.stderr,
            )
    return 0


def _summary(release: Release, current: str | None) -> dict[str, Any]:
    manifest = release.manifest
    return {
        "release": release.id,
        "version": release.version,
        "current": release.id == current,
        "created": manifest["created"],
        "parent": manifest["parent"],
        "catalogue": manifest.get("catalogue", ""),
        "items": manifest.get("items", 0),
        "encoder": manifest["encoder"]["name"],
        "simulated_log": bool(manifest.get("log", {}).get("simulated", False)),
    }
