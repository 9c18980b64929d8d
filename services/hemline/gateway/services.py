"""Which services the gateway offers; calls not built yet say so, and what to do meanwhile."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import ServiceDescriptor

from hemline.errors import NotBuiltError
from hemline.gateway.catalog_servicer import CatalogServicer
from hemline.gateway.event_servicer import EventServicer
from hemline.gateway.servicer import RecommenderServicer
from hemline.gateway.user_servicer import UserServicer
from hemline.rpc import Server
from hemline.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    catalog_pb2,
    catalog_pb2_grpc,
    event_pb2,
    event_pb2_grpc,
    recommender_pb2,
    recommender_pb2_grpc,
    user_pb2,
    user_pb2_grpc,
)

MEANWHILE = {
    "FrequentlyBoughtTogether": "use SimilarItems",
    "Explain": "Recommend gives each item's score parts and reason",
    "ListReleases": "use `hemline release list`",
    "PromoteRelease": "use `hemline release promote` and restart",
    "RollbackRelease": "use `hemline release rollback` and restart",
}


def add_services(
    server: Server,
    recommender: RecommenderServicer,
    events: EventServicer,
    users: UserServicer,
    catalog: CatalogServicer,
) -> None:
    services = (
        (recommender, recommender_pb2, recommender_pb2_grpc, "RecommenderService"),
        (events, event_pb2, event_pb2_grpc, "EventService"),
        (users, user_pb2, user_pb2_grpc, "UserService"),
        (catalog, catalog_pb2, catalog_pb2_grpc, "CatalogService"),
        (admin_pb2_grpc.AdminServiceServicer(), admin_pb2, admin_pb2_grpc, "AdminService"),
    )
    for servicer, messages, calls, name in services:
        service = messages.DESCRIPTOR.services_by_name[name]
        server.add(
            getattr(calls, f"add_{name}Servicer_to_server"),
            with_unbuilt(servicer, service),
            service.full_name,
            mostly_waits=servicer is events or servicer is catalog,  # for the event log
        )


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
