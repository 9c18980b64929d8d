"""python -m hemline.updater: applies the event log to the shoppers' states."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import dataclass
from pathlib import Path

from hemline.event_log import DEAD_LETTERS_TOPIC, EVENTS_TOPIC, VECTORS_TOPIC
from hemline.live_following import Follower, following
from hemline.live_items import LiveItems
from hemline.metrics import RELEASE, serve_metrics
from hemline.process import read_config, run_process
from hemline.releases import open_release
from hemline.rpc import Server, ServerSettings, stop_asked
from hemline.stores import check_user_states, open_event_log, open_user_states
from hemline.tls import ClientTlsSettings, triton_tls
from hemline.triton import TritonEncoders
from hemline.updater.dead_letters import MAX_PER_MINUTE, DeadLetterLimit
from hemline.updater.update import Updater

COLLECT_AFTER = 100_000  # objects made and still there; 700 by default


@dataclass(frozen=True)
class Config(ServerSettings, ClientTlsSettings):
    releases: Path  # folder of releases; the promoted one is served
    log: str  # URL of the event log, see hemline.stores
    users: str  # URL of the user state
    triton: str = "127.0.0.1:7111"
    address: str = "127.0.0.1:7103"  # health only
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 7203
    max_dead_letters_per_minute: int = MAX_PER_MINUTE  # and a tenth of all; beyond, it stops


async def main(config: Config) -> None:
    release = open_release(config.releases)
    log = open_event_log(config.log)
    await log.check(reads=(EVENTS_TOPIC, VECTORS_TOPIC), writes=(DEAD_LETTERS_TOPIC,))
    users = open_user_states(config.users)
    await check_user_states(users)
    encoders = TritonEncoders(config.triton, tls=triton_tls(config))
    server = Server(config.address, config)
    serve_metrics(config.metrics_host, config.metrics_port)
    RELEASE.set(release.version)
    asked = asyncio.create_task(stop_asked().wait())
    await server.start()

    stopping = asyncio.Event()
    limit = DeadLetterLimit(config.max_dead_letters_per_minute)
    items = LiveItems(release)
    updater = Updater(log, users, encoders, items, dead_letters=limit)
    spare_the_collector()
    updating = asyncio.create_task(updater.run(stopping))
    try:
        async with following(Follower(log, items)):
            await asyncio.wait((updating, asked), return_when=asyncio.FIRST_COMPLETED)
            stopping.set()
            await updating
    finally:
        await server.stop()
        await encoders.close()
        await users.close()
        await log.close()


def spare_the_collector() -> None:
    """A batch makes a hundred thousand objects, none of them in a cycle; looking for cycles among
    them, and among all that the release consists of, took a fifth of the updater's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


if __name__ == "__main__":
    run_process(main, read_config(Config, "updater"))
