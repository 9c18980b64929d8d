"""The `report` story: evaluations and a release in, one HTML page out.

comparison -> segments -> losses -> map of items -> clusters -> what shoppers would see
-> what would have been clicked -> the page, written whole or not at all
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemline.errors import DataError, InvalidInputError
from hemline.releases import Release
from hemline_training.report import cluster_section, map_section, persona_section
from hemline_training.report.cluster_section import clusters
from hemline_training.report.comparison_section import comparison, in_short
from hemline_training.report.evaluated import Evaluation, of_release, read_evaluations
from hemline_training.report.loss_section import losses
from hemline_training.report.map_section import item_map
from hemline_training.report.off_policy_section import off_policy
from hemline_training.report.page import Section, absent, page
from hemline_training.report.persona_section import recommendations
from hemline_training.report.pictures import Pictures
from hemline_training.report.published import title
from hemline_training.report.segment_section import segments
from hemline_training.report.words_section import words

MAX_BYTES = 5_000_000


@dataclass(frozen=True)
class ReportConfig:
    """evaluations: JSON files of `hemline evaluate`. release: whose items and lists are shown.
    catalogue: the folder with its photos; None where there is none."""

    out: Path
    evaluations: tuple[Path, ...] = ()
    release: Release | None = None
    catalogue: Path | None = None
    seed: int = 0


def write_report(
    config: ReportConfig, stage: Callable[[str], None] = lambda what: None
) -> dict[str, Any]:
    """Write the page; returns {"report", "bytes", "sections": {anchor: whether it is complete}}.

    stage: told what begins. Raises InvalidInputError when there is nothing to report on, DataError
    for a file that is no evaluation and for a page that would be larger than MAX_BYTES.
    """
    if not config.evaluations and config.release is None:
        raise InvalidInputError(
            "arguments",
            "there is nothing to report on: name JSON files of `hemline evaluate` with "
            "--evaluation, or train a release first (`hemline train`)",
        )
    stage("evaluations")
    evaluations = read_evaluations(config.evaluations)
    for one in evaluations:
        one.name = title(one)
    own = of_release(config.release.manifest) if config.release is not None else None
    if own is not None:
        evaluations.insert(0, own)
    ranked = [of for of in evaluations if of.k]  # the others hold logged impressions alone
    sections = [comparison(ranked), segments(ranked)]
    sections.append(losses(ranked, config.release))
    sections += _of_release(config, stage)
    sections += [off_policy(evaluations), words()]
    text = page("What the models learned", _about(config, ranked), sections, _sources(config))
    _write(config.out, text)
    return {
        "report": str(config.out),
        "bytes": len(text.encode()),
        "sections": {section.anchor: section.complete for section in sections},
    }


def _of_release(config: ReportConfig, stage: Callable[[str], None]) -> list[Section]:
    if config.release is None:
        why = "This needs a release: train one with `hemline train`, or name one with --release."
        titles = {
            "map": map_section.TITLE,
            "clusters": cluster_section.TITLE,
            "recommendations": persona_section.TITLE,
        }
        return [absent(anchor, title, why) for anchor, title in titles.items()]
    release = config.release
    pictures = Pictures(release.catalogue, config.catalogue)
    stage("map of items (PCA, t-SNE)")
    found = [item_map(release.catalogue, release.item_content, config.seed)]
    stage("clusters")
    found.append(clusters(release.catalogue, release.item_content, pictures.shelf, config.seed))
    stage("what shoppers would see")
    return [*found, recommendations(release, pictures)]


def _about(config: ReportConfig, evaluations: list[Evaluation]) -> list[str]:
    about = []
    if config.release is not None:
        manifest = config.release.manifest
        about.append(
            f"Release {config.release.id}, trained {str(manifest.get('created', ''))[:10]} on "
            f"{len(config.release.catalogue):,} items."
        )
    return about + [in_short(evaluation) for evaluation in evaluations]


def _sources(config: ReportConfig) -> str:
    parts = [path.name for path in config.evaluations]
    if config.release is not None:
        parts.insert(0, f"release {config.release.id}")
    return f"Made by `hemline report` from {', '.join(parts)}."


def _write(out: Path, text: str) -> None:
    data = text.encode()
    if len(data) > MAX_BYTES:
        raise DataError(
            f"the page would be {len(data):,} bytes, more than {MAX_BYTES:,}; give fewer "
            "evaluations"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    staged = out.with_name(f".{out.name}.part")
    staged.write_bytes(data)
    os.replace(staged, out)  # noqa: PTH105
