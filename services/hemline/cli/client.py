"""The gateway as the command line sees it: plain calls, typed errors."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hemline.credentials import NO_CREDENTIALS, Credentials
from hemline.errors import NotFoundError, UnauthenticatedError, UnavailableError
from hemline.local.certificates import open_certificates
from hemline.local.cluster_file import ClusterRecord, read_cluster, supervisor_pid
from hemline.rpc import MAX_MESSAGE_BYTES
from hemline.statuses import error_from
from hemline.tls import ClientTlsSettings, client_tls
from hemline.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    common_pb2,
    event_pb2,
    event_pb2_grpc,
    recommender_pb2,
    recommender_pb2_grpc,
    user_pb2,
    user_pb2_grpc,
)

_IMPORT_TIMEOUT_S = 60.0  # 200 photos are encoded one after the other, 10 to 70 ms each on a CPU
_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.enable_http_proxy", 0),
]


class Gateway:
    """One connection. Every call raises the HemlineError that the gateway, or gRPC, gave as reason.

    Use it with `with`. Raises UnavailableError when nobody answers at the address.
    """

    def __init__(
        self,
        address: str,
        timeout_s: float = 10.0,
        credentials: Credentials = NO_CREDENTIALS,
    ) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._metadata = credentials.metadata
        tls = credentials.tls
        self._channel = (
            grpc.secure_channel(address, tls.credentials(), options=_OPTIONS)
            if tls
            else grpc.insecure_channel(address, options=_OPTIONS)
        )
        if not self._answers(min(timeout_s, 3.0)):
            self._channel.close()
            raise UnavailableError(
                f"no gateway answers {'over TLS' if tls else 'in plaintext'} at {address}; is the "
                "cluster up? (`hemline status`) "
                + ("are the certificates those it wants?" if tls else "does it want --tls-ca?")
            )
        # The generated stubs are not typed; the methods below are.
        self._recommender: Any = recommender_pb2_grpc.RecommenderServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._events: Any = event_pb2_grpc.EventServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._users: Any = user_pb2_grpc.UserServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._catalog: Any = catalog_pb2_grpc.CatalogServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._channel.close()

    def recommend(
        self, user_id: str, k: int = 10, condition: common_pb2.Filter | None = None
    ) -> recommender_pb2.RecommendResponse:
        request = recommender_pb2.RecommendRequest(
            user_id=user_id, k=k, filter=condition, surface="cli"
        )
        answer: recommender_pb2.RecommendResponse = self._call(self._recommender.Recommend, request)
        return answer

    def search(self, request: recommender_pb2.SearchRequest) -> recommender_pb2.SearchResponse:
        answer: recommender_pb2.SearchResponse = self._call(self._recommender.Search, request)
        return answer

    def similar(
        self, request: recommender_pb2.SimilarItemsRequest
    ) -> recommender_pb2.SimilarItemsResponse:
        answer: recommender_pb2.SimilarItemsResponse = self._call(
            self._recommender.SimilarItems, request
        )
        return answer

    def record_event(
        self, user_id: str, item_id: str, kind: common_pb2.EventKind
    ) -> event_pb2.RecordEventResponse:
        event = event_pb2.Event(user_id=user_id, item_id=item_id, kind=kind)
        request = event_pb2.RecordEventRequest(event=event)
        answer: event_pb2.RecordEventResponse = self._call(self._events.RecordEvent, request)
        return answer

    def import_history(
        self, user_id: str, items: Iterable[user_pb2.ForeignItem], platform: str, replace: bool
    ) -> user_pb2.ImportHistoryResponse:
        request = user_pb2.ImportHistoryRequest(
            user_id=user_id, items=items, platform=platform, replace=replace
        )
        answer: user_pb2.ImportHistoryResponse = self._call(
            self._users.ImportHistory, request, max(self._timeout_s, _IMPORT_TIMEOUT_S)
        )
        return answer

    def upsert_items(
        self, items: Iterable[catalog_pb2.UpsertItemsRequest]
    ) -> catalog_pb2.UpsertItemsResponse:
        """On one stream, whose items are all durable once this returns."""
        answer: catalog_pb2.UpsertItemsResponse = self._call(self._catalog.UpsertItems, iter(items))
        return answer

    def delete_items(self, item_ids: Iterable[str]) -> catalog_pb2.DeleteItemsResponse:
        request = catalog_pb2.DeleteItemsRequest(item_ids=item_ids)
        answer: catalog_pb2.DeleteItemsResponse = self._call(self._catalog.DeleteItems, request)
        return answer

    def user(self, user_id: str) -> user_pb2.GetUserResponse:
        request = user_pb2.GetUserRequest(user_id=user_id)
        answer: user_pb2.GetUserResponse = self._call(self._users.GetUser, request)
        return answer

    def wait_for_change(self, user_id: str, version: int, within_s: float) -> float:
        """Seconds until the shopper's stored state is newer than `version`.

        Raises UnavailableError when it still is not after `within_s`.
        """
        began = time.perf_counter()
        while self.user(user_id).state_version <= version:
            if time.perf_counter() - began > within_s:
                raise UnavailableError(
                    f"recorded, but not visible after {within_s:g} s; is the updater well? "
                    "(`hemline status`)"
                )
            time.sleep(0.002)
        return time.perf_counter() - began

    def _answers(self, within_s: float) -> bool:
        """Whether anybody is there, be it to say that this is no gateway.

        `grpc.channel_ready_future` would tell, too; but its thread may still ask about the channel
        when that is closed, and then dies with a traceback on the terminal.
        """
        check: Any = health_pb2_grpc.HealthStub(self._channel).Check
        try:
            check(health_pb2.HealthCheckRequest(), timeout=within_s, wait_for_ready=True)
        except grpc.RpcError as error:
            return cast(grpc.Call, error).code() is not grpc.StatusCode.DEADLINE_EXCEEDED
        return True

    def _call(self, method: Any, request: Any, timeout_s: float | None = None) -> Any:
        try:
            timeout_s = timeout_s or self._timeout_s
            return method(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as error:  # of a blocking call: it has all that an AioRpcError has
            typed = error_from(cast(grpc.aio.AioRpcError, error))
            if isinstance(typed, UnauthenticatedError):
                typed = UnauthenticatedError(f"{typed} (here: HEMLINE_API_KEY=hk_… hemline …)")
            raise typed from error


def connect(args: Namespace) -> Gateway:
    """The gateway that --gateway names, else the one that is up in --home.

    Raises NotFoundError when no cluster is up there, InvalidInputError for certificates of no use.
    """
    cluster = None if args.gateway else cluster_in(args.home)
    address = cluster.gateway if cluster else args.gateway
    return Gateway(address, args.timeout, credentials(args, cluster))


def credentials(args: Namespace, cluster: ClusterRecord | None) -> Credentials:
    """What the flags of `verb.add_gateway` and HEMLINE_API_KEY say to show, else the certificates
    of `cluster`, one of this machine.

    Raises InvalidInputError for certificates of no use.
    """
    tls = client_tls(
        ClientTlsSettings(
            tls_ca=args.tls_ca,
            tls_client_cert=args.tls_client_cert,
            tls_client_key=args.tls_client_key,
        )
    )
    if tls is None and cluster and cluster.tls:
        tls = open_certificates(Path(cluster.tls)).client
    return Credentials(tls, os.environ.get("HEMLINE_API_KEY", ""))


def cluster_in(home: Path) -> ClusterRecord:
    """The cluster that is up in this home. Raises NotFoundError when none is."""
    run = home / "run"
    cluster = read_cluster(run) if supervisor_pid(run) is not None else None
    if cluster is None:
        raise NotFoundError(
            f"no cluster is up in {home}; start one with `hemline up`, or name one with --gateway"
        )
    return cluster
