"""Load on a Hemline gateway with locust: open-loop arrivals over gRPC, judged by SLOs.

    locust -f loadtest/locustfile.py --headless --host 127.0.0.1:7100 --shape spike --rate 100

One locust "user" is not a shopper but a sender: a process of arrivals, each of which is a shopper's
call in a greenlet of its own that no other call can hold up. Latency counts from when a call was
due. See loadtest/README.md; `make loadtest` runs this against a cluster it starts.
"""

from __future__ import annotations

import json
import os
import time
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gevent
import gevent.pool
import grpc
import grpc.experimental.gevent as grpc_gevent
import locust.stats
import numpy as np
from locust import User, events, task
from locust.env import Environment
from locust.runners import WorkerRunner
from profiles import SHAPES, Profile, arrivals
from slo import CallFigures, Run, Slo, broken_promises
from tally import Tally
from traffic import Act, Shown, Traffic

from hemline.credentials import Credentials
from hemline.errors import InvalidInputError
from hemline.tls import ClientTlsSettings, client_tls
from hemline.v1 import event_pb2, event_pb2_grpc, recommender_pb2, recommender_pb2_grpc

locust.stats.PERCENTILES_TO_CHART = [0.5, 0.99]

DRAIN_S = 5.0
ITEMS = 20
FAR_AWAY_S = 1e9
tally = Tally()


@events.init_command_line_parser.add_listener
def add_flags(parser: ArgumentParser) -> None:
    slo = Slo()
    parser.add_argument("--shape", choices=list(SHAPES), default="steady", help="see profiles.py")
    parser.add_argument("--rate", type=float, default=50.0, help="requests/s, all senders together")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the profile")
    parser.add_argument("--senders", type=int, default=1, help="as many as there are workers")
    parser.add_argument("--shoppers", type=int, default=10_000, help="who come back")
    parser.add_argument("--newcomers", type=float, default=0.1, help="share of the visits, 0 to 1")
    parser.add_argument("--deadline-ms", type=float, default=1000.0, help="of every call")
    parser.add_argument("--tls-ca", default="", help="PEM file, for a gateway with TLS")
    parser.add_argument("--tls-client-cert", default="", help="PEM file, for mutual TLS")
    parser.add_argument("--tls-client-key", default="", help="PEM file, the key of that")
    parser.add_argument("--report", default="", help="JSON file to write")
    parser.add_argument("--slo-p99-ms", type=float, default=slo.p99_ms)
    parser.add_argument("--slo-failed-share", type=float, default=slo.failed_share)
    parser.add_argument("--slo-degraded-share", type=float, default=slo.degraded_share)
    parser.add_argument("--slo-send-lag-p99-ms", type=float, default=slo.send_lag_p99_ms)
    parser.add_argument("--slo-sent-share", type=float, default=slo.sent_share)


def profile_of(options: Any) -> Profile:
    return Profile(options.shape, options.rate, options.seconds)


def credentials_of(options: Any) -> Credentials:
    """The API key comes from HEMLINE_API_KEY: everybody on a machine can read its command lines."""
    tls = client_tls(
        ClientTlsSettings(
            tls_ca=options.tls_ca,
            tls_client_cert=options.tls_client_cert,
            tls_client_key=options.tls_client_key,
        )
    )
    return Credentials(tls, os.environ.get("HEMLINE_API_KEY", ""))


@events.init.add_listener
def become_greenlets(environment: Environment, **_: Any) -> None:
    """Before the first channel, and after locust has forked its workers."""
    grpc_gevent.init_gevent()


@events.init.add_listener
def run_as_long_as_the_profile(environment: Environment, **_: Any) -> None:
    options: Any = environment.parsed_options
    if options.rate <= 0 or options.seconds <= 0 or options.senders < 1 or options.shoppers < 1:
        raise SystemExit("--rate, --seconds, --senders and --shoppers must be more than 0")
    if not 0 <= options.newcomers <= 1:
        raise SystemExit(f"--newcomers {options.newcomers:g} is outside 0..1")
    try:
        credentials_of(options)
    except InvalidInputError as error:
        raise SystemExit(str(error)) from error
    options.num_users = options.spawn_rate = options.senders
    if not isinstance(environment.runner, WorkerRunner):
        options.run_time = options.run_time or int(options.seconds + 1)
        # gevent's clock stands while nobody waits: the limit would count from before the imports,
        # and on a busy machine be over before the first call.
        gevent.get_hub().loop.update_now()


class Sender(User):
    """Lets calls arrive by its share of the profile, and never waits for an answer."""

    def on_start(self) -> None:
        options: Any = self.environment.parsed_options
        rng = np.random.default_rng()
        self._traffic = Traffic(options.shoppers, options.newcomers, rng)
        credentials = credentials_of(options)
        channel_options = [("grpc.enable_http_proxy", 0)]
        self._channel = (
            grpc.secure_channel(self.host, credentials.tls.credentials(), channel_options)
            if credentials.tls
            else grpc.insecure_channel(self.host, channel_options)
        )
        self._how = {"timeout": options.deadline_ms / 1000, "metadata": credentials.metadata}
        self._recommender = recommender_pb2_grpc.RecommenderServiceStub(self._channel)
        self._events = event_pb2_grpc.EventServiceStub(self._channel)
        self._calls: dict[str, Callable[[Act], Any]] = {
            "Recommend": self._recommend,
            "RecordEvent": self._record_event,
            "SimilarItems": self._similar_items,
            "Search": self._search,
        }
        self._in_flight = gevent.pool.Group()
        self._arrivals = arrivals(profile_of(options).shared_among(options.senders), rng)
        self._began = time.perf_counter()
        self._due = next(self._arrivals, FAR_AWAY_S)

    def on_stop(self) -> None:
        self._in_flight.join(timeout=DRAIN_S)
        self._channel.close()

    def wait_time(self) -> float:
        return max(0.0, self._began + self._due - time.perf_counter())

    @task
    def let_arrive(self) -> None:
        """Start every call that is due by now."""
        while self._began + self._due <= time.perf_counter():
            self._in_flight.spawn(self._act, self._traffic.next(), self._began + self._due)
            self._due = next(self._arrivals, FAR_AWAY_S)

    def _act(self, act: Act, due: float) -> None:
        tally.sent(time.perf_counter() - due)
        answer, failure = None, None
        try:
            answer = self._calls[act.call](act)
        except grpc.RpcError as error:
            failure = _Failed(error)
        self.environment.events.request.fire(
            request_type="gRPC",
            name=act.call,
            response_time=(time.perf_counter() - due) * 1000,
            response_length=answer.ByteSize() if answer is not None else 0,
            exception=failure,
        )
        if answer is not None and act.call != "RecordEvent":
            tally.answered([skipped.stage for skipped in answer.info.degraded])
            items = [scored.item for scored in answer.items]
            self._traffic.saw(Shown(act.user_id, answer.info.request_id, items))

    def _recommend(self, act: Act) -> Any:
        request = recommender_pb2.RecommendRequest(user_id=act.user_id, k=ITEMS, surface="loadtest")
        return self._recommender.Recommend(request, **self._how)

    def _record_event(self, act: Act) -> Any:
        event = event_pb2.Event(
            user_id=act.user_id,
            item_id=act.item.item_id if act.item else "",
            kind=act.kind,
            request_id=act.request_id,
            position=act.position,
        )
        request = event_pb2.RecordEventRequest(event=event)
        return self._events.RecordEvent(request, **self._how)

    def _similar_items(self, act: Act) -> Any:
        item_id = act.item.item_id if act.item else ""
        request = recommender_pb2.SimilarItemsRequest(
            item_id=item_id, k=ITEMS, user_id=act.user_id, user_weight=0.2
        )
        return self._recommender.SimilarItems(request, **self._how)

    def _search(self, act: Act) -> Any:
        request = recommender_pb2.SearchRequest(text=act.search_text, k=ITEMS)
        return self._recommender.Search(request, **self._how)


class _Failed(Exception):
    """A failed call, worded so that locust counts equal failures as one, and reports the status."""

    def __init__(self, error: Any) -> None:
        super().__init__(error.code().name)

    def __repr__(self) -> str:
        return str(self)


@events.report_to_master.add_listener
def report_counts(client_id: str, data: dict[str, Any], **_: Any) -> None:
    data["tally"] = tally.take()


@events.worker_report.add_listener
def add_counts(client_id: str, data: dict[str, Any], **_: Any) -> None:
    tally.add(data["tally"])


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    """Write the report, say whether the promises were kept, and set the exit code."""
    if isinstance(environment.runner, WorkerRunner):
        return
    options: Any = environment.parsed_options
    profile = profile_of(options)
    slo = Slo(**{name: getattr(options, f"slo_{name}") for name in asdict(Slo())})
    run = Run(
        calls={entry.name: _figures(entry) for entry in environment.stats.entries.values()},
        expected=profile.expected_arrivals,
        answers=tally.answers,
        degraded=tally.degraded,
        send_lag_p99_ms=tally.lag_p99_ms(),
    )
    broken = broken_promises(run, slo)
    environment.process_exit_code = 1 if broken else 0
    if options.report:
        errors = [error.to_dict() for error in environment.stats.errors.values()]
        report = {
            "gateway": environment.host,
            "profile": asdict(profile),
            "passed": not broken,
            "broken": broken,
            "slo": asdict(slo),
            **asdict(run),
            "degraded_stages": dict(tally.degraded_stages),
            "errors": errors,
        }
        Path(options.report).write_text(json.dumps(report, indent=2) + "\n")
    verdict = "FAILED: " + "; ".join(broken) if broken else "PASSED: all objectives were met"
    print(f"\n{verdict}", flush=True)


def _figures(entry: locust.stats.StatsEntry) -> CallFigures:
    p50, p90, p99, p999 = (
        float(entry.get_response_time_percentile(share)) for share in (0.5, 0.9, 0.99, 0.999)
    )
    return CallFigures(
        calls=entry.num_requests,
        failed=entry.num_failures,
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        p999_ms=p999,
        max_ms=round(entry.max_response_time, 1),
    )
