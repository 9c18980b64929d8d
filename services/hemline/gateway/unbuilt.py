"""Calls that are part of the contract and not built yet: they say so, and what to do meanwhile."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import ServiceDescriptor

from hemline.errors import NotBuiltError

MEANWHILE = {
    "FrequentlyBoughtTogether": "use SimilarItems",
    "Explain": "Recommend gives each item's score parts and reason",
    "UpsertItems": "import the catalogue and train a release",
    "DeleteItems": "import the catalogue and train a release",
    "ListReleases": "use `hemline release list`",
    "PromoteRelease": "use `hemline release promote` and restart",
    "RollbackRelease": "use `hemline release rollback` and restart",
}


def with_unbuilt(servicer: Any, service: ServiceDescriptor) -> Any:
    """The servicer, answering UNIMPLEMENTED to the calls of `service` that its class lacks."""
    for method in service.methods:
        if not any(method.name in vars(kind) for kind in _own_classes(servicer)):
            setattr(servicer, method.name, _refuse(f"{service.name}.{method.name}", method.name))
    return servicer


def _own_classes(servicer: Any) -> list[type]:
    """Classes written here, without the generated base whose methods do nothing."""
    return [kind for kind in type(servicer).__mro__ if not kind.__module__.endswith("_pb2_grpc")]


def _refuse(name: str, method: str) -> Any:
    hint = f"; meanwhile, {MEANWHILE[method]}" if method in MEANWHILE else ""

    async def refuse(request: Any, context: Any) -> None:
        raise NotBuiltError(f"{name} is specified but not built yet{hint}")

    return refuse
