"""A real HAProxy before small gateways: nobody notices when one dies, and too many are refused."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

import small_gateway
from free_ports import free_port
from hemline.front_config import BURST, CROWD_MS
from hemline.gate import FEW
from hemline.local.certificates import make_certificates
from hemline.local.front_server import front_spec, install_haproxy
from hemline.local.ports import choose_ports
from hemline.rpc import ServerSettings, connect
from hemline.taking_calls import REFUSED
from hemline.tls import ClientTls
from hemline.v1.event_pb2 import RecordEventRequest, RecordEventsRequest
from hemline.v1.event_pb2_grpc import EventServiceStub
from hemline.v1.recommender_pb2 import RecommendRequest
from hemline.v1.recommender_pb2_grpc import RecommenderServiceStub
from k8s_objects import K8S
from name_server import Names
from running_front import PATIENCE_S, RunningFront, a_front, front_before, stopped_after
from small_gateway import SmallGateway, serving

pytestmark = pytest.mark.integration

CLUSTER_SETTINGS = K8S / "front" / "haproxy.cfg"


@asynccontextmanager
async def before(
    folder: Path, *gateways: SmallGateway, settings: ServerSettings | None = None
) -> AsyncIterator[tuple[RunningFront, grpc.aio.Channel]]:
    """A front that is ready, before these gateways, and a channel to it."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in gateways]
    front = front_before(
        folder,
        [f"server {g.name} {address}" for g, address in zip(gateways, addresses, strict=True)],
    )
    async with _all_serving(gateways, addresses, settings):
        with stopped_after(front):
            await front.start()
            for gateway in gateways:
                await front.until(lambda name=gateway.name: front.is_up(name))
            async with connect(front.address) as channel:
                yield front, channel


@asynccontextmanager
async def _all_serving(gateways, addresses, settings) -> AsyncIterator[None]:
    if not gateways:
        yield
        return
    async with (
        serving(gateways[0], addresses[0], settings),
        _all_serving(gateways[1:], addresses[1:], settings),
    ):
        yield


async def until(true) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.005)


async def recommend(channel: grpc.aio.Channel) -> str:
    """Who answered, or what was said instead."""
    try:
        answer = await RecommenderServiceStub(channel).Recommend(
            RecommendRequest(user_id="ann"), timeout=PATIENCE_S
        )
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name}: {error.details()}"
    return answer.info.request_id


async def many(channel: grpc.aio.Channel, calls: int) -> Counter[str]:
    return Counter(await asyncio.gather(*(recommend(channel) for _ in range(calls))))


async def test_calls_are_spread_over_all_gateways(tmp_path: Path) -> None:
    async with before(tmp_path, SmallGateway("one"), SmallGateway("two")) as (_, channel):
        assert await many(channel, 20) == {"one": 10, "two": 10}


async def test_every_recommend_is_answered_though_a_gateway_dies_with_some_of_them(
    tmp_path: Path,
) -> None:
    well, port = SmallGateway("well"), free_port()
    argv = [sys.executable, small_gateway.__file__, str(port)]
    dying = subprocess.Popen(argv, stdout=subprocess.PIPE)
    address = f"127.0.0.1:{free_port()}"
    front = front_before(tmp_path, [f"server well {address}", f"server dying 127.0.0.1:{port}"])
    try:
        with stopped_after(front):
            async with serving(well, address), connect(front.address) as channel:
                assert dying.stdout is not None
                assert await asyncio.to_thread(dying.stdout.readline) == b"up\n"
                await front.start()
                well.may_answer.clear()
                calls = asyncio.ensure_future(many(channel, 20))
                for _ in range(5):  # it has so many calls, and answers none
                    assert await asyncio.to_thread(dying.stdout.readline) == b"asked\n"
                dying.kill()
                well.may_answer.set()
                assert await calls == {"well": 20}
                await front.until(lambda: not front.is_up("dying"))
                assert await many(channel, 20) == {"well": 20}
    finally:
        dying.kill()
        dying.wait()
        assert dying.stdout is not None
        dying.stdout.close()


async def test_a_gateway_that_drains_gets_no_more_calls_and_no_caller_leaves_with_it(
    tmp_path: Path,
) -> None:
    """Callers that watch health, too: it is not the health of one gateway."""
    one, two = SmallGateway("one"), SmallGateway("two")
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    front = front_before(tmp_path, [f"server one {addresses[0]}", f"server two {addresses[1]}"])
    with stopped_after(front):
        async with (
            serving(one, addresses[0], ServerSettings(drain_s=PATIENCE_S)) as drained,
            serving(two, addresses[1]),
            connect(front.address) as channel,
        ):
            await front.start()
            await front.until(lambda: front.is_up("one") and front.is_up("two"))
            assert await many(channel, 20) == {"one": 10, "two": 10}
            draining = asyncio.create_task(drained.drain())
            meanwhile: Counter[str] = Counter()
            async with asyncio.timeout(PATIENCE_S):
                while await asyncio.to_thread(front.is_up, "one"):
                    meanwhile[await recommend(channel)] += 1
            assert set(meanwhile) <= {"one", "two"}
            assert await many(channel, 20) == {"two": 20}
            draining.cancel()


async def test_without_any_gateway_callers_are_told_so(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    front = front_before(tmp_path, [f"server one {address}"])
    with stopped_after(front):
        async with serving(SmallGateway("one"), address), connect(front.address) as channel:
            await front.start()
            assert await recommend(channel) == "one"
        await front.until(lambda: not front.is_up("one"))
        assert front.page("/ready")[0] == 503 and front.page("/alive")[0] == 200
        async with connect(front.address) as channel:
            assert await recommend(channel) == "UNAVAILABLE: no gateway is up; try again later"
            with pytest.raises(grpc.aio.AioRpcError, match="no gateway is up"):
                await EventServiceStub(channel).RecordEvent(RecordEventRequest())


async def test_too_many_recommends_are_refused_and_nothing_else_is(tmp_path: Path) -> None:
    gateway = SmallGateway("one")
    refused = f"RESOURCE_EXHAUSTED: {REFUSED}"
    async with before(tmp_path, gateway) as (front, channel):
        gateway.may_answer.clear()
        burst = asyncio.ensure_future(many(channel, BURST))
        await until(lambda: gateway.asked == BURST)
        assert await many(channel, 30) == {refused: 30}
        events = EventServiceStub(channel)
        await asyncio.gather(*(events.RecordEvent(RecordEventRequest()) for _ in range(30)))
        assert gateway.events == 30 and gateway.asked == BURST
        gateway.may_answer.set()
        assert await burst == {"one": BURST}
        assert await recommend(channel) == "one"
        counted = {
            labels["proxy"]: value
            for labels, value in await asyncio.to_thread(lambda: list(front.samples()))
            if labels["__name__"] == "haproxy_backend_http_requests_total"
        }
        assert (counted["too_many_recommends"], counted["recommends"]) == (30, BURST + 1)


async def test_in_a_crowd_no_more_than_a_few_are_let_in(tmp_path: Path) -> None:
    gateway = SmallGateway("one")
    async with before(tmp_path, gateway) as (front, channel):

        async def after_a_refusal() -> bool:
            """Whether a call beside a few was refused, because of a refusal just before it."""
            gateway.may_answer.clear()
            asked = gateway.asked
            calls = [asyncio.create_task(recommend(channel)) for _ in range(BURST)]
            await until(lambda: gateway.asked == asked + BURST)
            assert (await recommend(channel)).startswith("RESOURCE_EXHAUSTED")
            for call in calls[FEW:]:
                call.cancel()
            await front.until(lambda: front.recommends_under_way() == FEW)
            one_more = asyncio.create_task(recommend(channel))
            await until(lambda: one_more.done() or gateway.asked > asked + BURST)
            was_refused = one_more.done()
            if was_refused:
                await asyncio.sleep(5 * CROWD_MS / 1000)
                asked = gateway.asked
                late = asyncio.create_task(recommend(channel))
                await until(lambda: late.done() or gateway.asked > asked)
                assert not late.done(), "nobody was refused for a while, and yet"
                calls.append(late)
            gateway.may_answer.set()
            await asyncio.gather(*calls, one_more, return_exceptions=True)
            return was_refused

        async with asyncio.timeout(PATIENCE_S):  # on a busy machine the crowd may be over by then
            while not await after_a_refusal():
                pass


async def test_streams_pass_message_by_message(tmp_path: Path) -> None:
    one, two = SmallGateway("one"), SmallGateway("two")
    async with before(tmp_path, one, two) as (_, channel):
        call = EventServiceStub(channel).RecordEvents()
        for _ in range(500):
            await call.write(RecordEventsRequest())
        await call.done_writing()
        assert (await call).accepted == 500
        assert sorted((one.events, two.events)) == [0, 500]


async def test_with_mutual_tls_nobody_gets_in_without_a_certificate(tmp_path: Path) -> None:
    """As `hemline up --tls --gateways` runs it."""
    made = make_certificates(tmp_path / "tls")
    ports = choose_ports(0, behind=2)
    spec = front_spec(install_haproxy(), ports, made, tmp_path / "front")
    metrics_port = ports.metrics(ports.gateway)
    front = RunningFront(spec.argv, ports.gateway, metrics_port, tmp_path / "front.log")
    server = made.server
    settings = ServerSettings(
        tls_cert=str(server.cert), tls_key=str(server.key), tls_client_ca=str(made.ca)
    )
    gateways = SmallGateway("one"), SmallGateway("two")
    addresses = [f"127.0.0.1:{port}" for port in ports.gateways]
    with stopped_after(front):
        async with _all_serving(gateways, addresses, settings):
            await front.start()
            await front.until(lambda: front.is_up("gateway-1") and front.is_up("gateway-2"))
            async with connect(front.address, made.client) as channel:
                assert await many(channel, 20) == {"one": 10, "two": 10}
            strangers = make_certificates(tmp_path / "strangers")
            for tls in (None, ClientTls(made.ca), replace(strangers.client, ca=made.ca)):
                async with connect(front.address, tls) as channel:
                    assert (await recommend(channel)).startswith("UNAVAILABLE")
    for key in (tmp_path / "front").glob("*.pem"):
        assert key.stat().st_mode & 0o077 == 0


async def test_a_front_told_to_stop_drains_and_no_call_fails(tmp_path: Path) -> None:
    gateway, address = SmallGateway("one"), f"127.0.0.1:{free_port()}"
    lines = [f"server one {address}"]
    fronts = [front_before(tmp_path, lines, fronts=2, drain_s=4) for _ in range(2)]
    heard: Counter[str] = Counter()

    async def keep_asking(channel: grpc.aio.Channel) -> None:
        while True:
            heard[await recommend(channel)] += 1
            await asyncio.sleep(0.005)

    with stopped_after(*fronts):
        async with serving(gateway, address):
            for front in fronts:
                await front.start()
            both = "ipv4:" + ",".join(front.address for front in fronts)
            async with connect(both) as channel:
                asking = [asyncio.create_task(keep_asking(channel)) for _ in range(3)]
                for front in fronts:
                    began = heard.total()
                    await until(lambda least=began + 50: heard.total() > least)
                    assert front.process is not None
                    front.process.send_signal(signal.SIGUSR1)
                    await front.until(lambda front=front: front.page("/ready")[0] == 503)
                    async with connect(front.address) as late:  # who has not heard of it yet
                        assert await recommend(late) == "one"
                    assert await asyncio.to_thread(front.process.wait, PATIENCE_S) == 0
                    began = heard.total()
                    await until(lambda least=began + 50: heard.total() > least)
                    await front.start()
                for task in asking:
                    task.cancel()
                await asyncio.gather(*asking, return_exceptions=True)
    assert set(heard) == {"one"}


async def test_the_cluster_s_front_finds_gateways_by_their_name_and_follows_it(
    tmp_path: Path,
) -> None:
    """The settings of deploy/k8s themselves, beside a name server that knows the pods."""
    port = free_port()
    names = Names("hemline-gateway.test.svc.cluster.local")

    def settings(listen: str, metrics: str) -> str:
        text = CLUSTER_SETTINGS.read_text()
        text = text.replace("cluster.local:7100", f"cluster.local:{port}")
        text = text.replace("parse-resolv-conf", f"nameserver test 127.0.0.1:{names.port}")
        return text.replace("*:7100", listen).replace("*:7200", metrics)

    one, two, three = (SmallGateway(name) for name in ("one", "two", "three"))
    front = a_front(tmp_path, settings)
    async with names.served(), serving(one, f"127.0.0.2:{port}"), serving(two, f"127.0.0.3:{port}"):
        names.addresses = ["127.0.0.2"]
        with stopped_after(front):
            await front.start()
            async with connect(front.address) as channel:
                assert await many(channel, 4) == {"one": 4}
                names.addresses = ["127.0.0.2", "127.0.0.3"]
                await said_by(channel, {"one", "two"})
                async with serving(three, f"127.0.0.4:{port}"):
                    names.addresses = ["127.0.0.3", "127.0.0.4"]
                    await said_by(channel, {"two", "three"})
                    names.addresses = None  # the name server does not answer any more
                    await asyncio.sleep(3)
                    assert set(await many(channel, 10)) == {"two", "three"}


async def said_by(channel: grpc.aio.Channel, names: set[str]) -> None:
    """Wait until these answer and nobody else; meanwhile, every call is answered."""
    async with asyncio.timeout(PATIENCE_S):
        while (said := set(await many(channel, 10))) != names:
            assert not any(":" in name for name in said), said
            await asyncio.sleep(0.05)
