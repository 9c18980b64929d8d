"""kafka-python, made to behave as a serving process needs it; nothing else imports that library.

Its defaults suit batch jobs: it would wait a minute for a broker, half a minute before it tries
again, and 45 s for a dead consumer. Here everything is bounded by a few seconds. Its errors become
Hemline's in `kafka_errors`.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import ConfigResource
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    AuthorizationError,
    CommitFailedError,
    IllegalGenerationError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    RebalanceInProgressError,
    RetriableError,
    SaslAuthenticationFailedError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
    UnsupportedSaslMechanismError,
)
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.structs import OffsetAndMetadata, TopicPartition

from hemline.errors import HemlineError, SetupError, UnavailableError
from hemline.event_log import LOG_AWAY, MAX_RECORD_BYTES
from hemline.kafka_url import PASSWORD, USERNAME, KafkaAddress
from hemline.topics import RECORD_OVERHEAD_BYTES

logging.getLogger("kafka").setLevel(logging.ERROR)  # it tells of every retry; we tell of changes
logging.getLogger("kafka.net").setLevel(logging.CRITICAL)  # of every connection, thrice

CONNECT_TIMEOUT_MS = 3_000
REQUEST_TIMEOUT_MS = 2_500
# Of a consumer: nobody waits for it, and a broker that is merely slow is not to be left. Joining
# a group has a longer one of its own, and whether a member lives is for session_timeout_ms to say.
CONSUMER_REQUEST_TIMEOUT_MS = 10_000
DELIVERY_TIMEOUT_MS = 3_000
LINGER_MS = 2  # its thread wakes up at the first record of several that are sent together
CLOSE_TIMEOUT_S = 3.0
FETCH_BYTES = 32 << 20  # a poll returns fewer records rather than more bytes
# A refusal often arrives together with the end of its connection, and kafka-python sees the end.
LOGIN_TRIES = 4
UNKNOWN_TOPIC, HIDDEN_TOPIC = 3, 29  # error codes
EARLIEST, LATEST = -2, -1  # in place of a time

FENCED = (CommitFailedError, IllegalGenerationError, UnknownMemberIdError)
REBALANCING = (RebalanceInProgressError,)


@contextlib.contextmanager
def kafka_errors(address: KafkaAddress) -> Iterator[None]:
    """Turns whatever kafka-python or the network says into an error naming the cluster."""
    try:
        yield
    except (KafkaError, OSError) as error:
        raise kafka_error(address, error) from error


def kafka_error(address: KafkaAddress, error: BaseException) -> HemlineError:
    """SetupError when the cluster refused us as who we are, else UnavailableError."""
    said = str(error) or type(error).__name__
    if isinstance(error, (SaslAuthenticationFailedError, UnsupportedSaslMechanismError)):
        return SetupError(
            f"Kafka at {address} refused {user_of(address)}: {said}. Name and password are read "
            f"from {USERNAME} and {PASSWORD}",
            public=LOG_AWAY,
        )
    if isinstance(error, AuthorizationError):
        return SetupError(
            f"Kafka at {address} does not let {user_of(address)} do its work: {said}. Give it the "
            "ACLs that are missing (kafka-acls.sh)",
            public=LOG_AWAY,
        )
    return UnavailableError(f"Kafka at {address}: {said}", public=LOG_AWAY)


def user_of(address: KafkaAddress) -> str:
    """For messages."""
    name = address.security.get("sasl_plain_username")
    return f"the user {name!r}" if name else "a client without a name"


def is_passing(error: BaseException) -> bool:
    """Whether a producer that failed a record with this may succeed with the next."""
    # A record that expired leaves a gap in the idempotent producer's count; it may stall there.
    return isinstance(error, RetriableError) and not isinstance(error, KafkaTimeoutError)


def make_producer(address: KafkaAddress, topics: Collection[str]) -> Any:
    """A KafkaProducer that writes each record once and in order, or fails it within 3 s; the first
    to one of these topics, which must exist, does not have to ask for its partitions."""
    producer = _connected(
        KafkaProducer,
        **_common(address),
        enable_idempotence=True,
        acks="all",
        delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
        max_block_ms=1_000,
        max_request_size=MAX_RECORD_BYTES + RECORD_OVERHEAD_BYTES,
        batch_size=131_072,
        linger_ms=LINGER_MS,
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )
    # Asked for one by one, each would wait for retry_backoff_ms after the one before.
    producer._metadata.set_topics(topics)
    try:
        for topic in topics:
            producer.partitions_for(topic)
    except KafkaError:
        close_producer(producer, 0.0)  # or its thread would stay, one for every try of an outage
        raise
    return producer


def close_producer(producer: Any, timeout_s: float) -> None:
    """Waits so long for the records on their way, then fails what is left of them."""
    try:
        producer.close(timeout=timeout_s)
    except KafkaTimeoutError:
        # It gave up before it had closed anything: its thread would go on, and reconnect, for ever.
        producer._sender.force_close()
        producer._sender.join(CLOSE_TIMEOUT_S)
        producer.close(timeout=0)


def make_consumer(address: KafkaAddress, group: str) -> Any:
    """A KafkaConsumer that commits nothing by itself and shares partitions without stopping all.

    Partitions move one by one (cooperative sticky, KIP-429): who keeps one goes on reading it.
    """
    return _connected(
        KafkaConsumer,
        **_common(address) | {"request_timeout_ms": CONSUMER_REQUEST_TIMEOUT_MS},
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        partition_assignment_strategy=[CooperativeStickyAssignor],
        session_timeout_ms=address.session_timeout_ms,
        heartbeat_interval_ms=address.session_timeout_ms // 3,
        fetch_max_bytes=FETCH_BYTES,
        allow_auto_create_topics=False,
        metadata_max_age_ms=30_000,
        metrics_enabled=False,
    )


def make_reader(address: KafkaAddress, topic: str, offsets: Mapping[int, int]) -> Any:
    """A KafkaConsumer of no group that reads these partitions: partition -> where it starts."""
    reader = _connected(
        KafkaConsumer,
        **_common(address),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_bytes=FETCH_BYTES,
        allow_auto_create_topics=False,
        metadata_max_age_ms=30_000,
        metrics_enabled=False,
    )
    reader.assign([TopicPartition(topic, partition) for partition in offsets])
    for partition, offset in offsets.items():
        reader.seek(TopicPartition(topic, partition), offset)
    return reader


def subscribe(
    consumer: Any,
    topic: str,
    assigned: Callable[[set[int]], None],
    gone: Callable[[set[int]], None],
) -> None:
    """Join the topic's group with the next poll; the callables are told of partitions that come
    and go, on kafka-python's own thread."""

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
        def on_partitions_assigned(self, partitions: Collection[Any]) -> None:
            assigned({each.partition for each in partitions})

        def on_partitions_revoked(self, partitions: Collection[Any]) -> None:
            gone({each.partition for each in partitions})

        on_partitions_lost = on_partitions_revoked

    consumer.subscribe([topic], listener=Listener())


def partitions(consumer: Any, topic: str) -> set[int]:
    """The partitions of the topic subscribed to; none if it does not exist."""
    known = consumer._cluster.partitions_for_topic(topic)
    if known is None:
        # The public `partitions_for_topic` waits for a broker for ever.
        update = consumer._cluster.request_update()
        consumer._net.run(consumer._manager.wait_for, update, REQUEST_TIMEOUT_MS)
        known = consumer._cluster.partitions_for_topic(topic)
    return set(known or ())


def commit(consumer: Any, topic: str, offsets: Mapping[int, int], timeout_ms: int) -> None:
    """offsets: partition -> offset of the next record to read. Raises kafka-python's errors."""
    consumer.commit(
        {TopicPartition(topic, p): OffsetAndMetadata(o, "", -1) for p, o in offsets.items()},
        timeout_ms=timeout_ms,
    )


def seek(consumer: Any, topic: str, partition: int, offset: int) -> None:
    consumer.seek(TopicPartition(topic, partition), offset)


class Admin:
    """Looks at topics and creates them. Raises kafka-python's errors."""

    def __init__(self, address: KafkaAddress) -> None:
        self._client = _connected(KafkaAdminClient, **_common(address))

    def __enter__(self) -> Admin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def cluster_id(self) -> str:
        return str(self._client.describe_cluster()["cluster_id"])

    def topics(self, names: Collection[str]) -> dict[str, dict[str, Any]]:
        """Of those that exist: name -> {"partitions": […], "topic_id": …, "authorized_operations":
        ["READ", …], or None where the broker does not say}."""
        found = self._client.describe_topics(list(names))
        hidden = [each["name"] for each in found if each["error_code"] == HIDDEN_TOPIC]
        if hidden:
            raise TopicAuthorizationFailedError(f"it may not look at {', '.join(sorted(hidden))}")
        return {each["name"]: each for each in found if each["error_code"] != UNKNOWN_TOPIC}

    def extent(self, topic: str, partitions: Collection[int]) -> dict[int, range]:
        """Partition -> offsets from its oldest record to the next one written."""
        wanted = [TopicPartition(topic, partition) for partition in partitions]
        oldest = self._client.list_partition_offsets(dict.fromkeys(wanted, EARLIEST))
        newest = self._client.list_partition_offsets(dict.fromkeys(wanted, LATEST))
        return {p.partition: range(oldest[p].offset, newest[p].offset) for p in wanted}

    def committed(self, group: str, topic: str, partitions: Collection[int]) -> dict[int, int]:
        """Partition -> what the group has committed, for those of which it has committed any."""
        wanted = [TopicPartition(topic, partition) for partition in partitions]
        deadline = time.monotonic() + REQUEST_TIMEOUT_MS / 1000
        while True:
            try:
                found = self._client.list_group_offsets({group: wanted})[group]
                return {
                    p.partition: value.offset for p, value in found.items() if value.offset >= 0
                }
            except RetriableError:  # e.g. a young broker that looks for the group's coordinator
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def configs(self, names: Collection[str]) -> dict[str, dict[str, str]]:
        """Topic -> its settings, the broker's defaults included."""
        wanted = [ConfigResource("TOPIC", name) for name in names]
        found = self._client.describe_configs(wanted, config_filter="all")
        return {
            name: {key: str(each["value"]) for key, each in settings.items()}
            for name, settings in found.get("topic", {}).items()
        }

    def create(
        self, name: str, partitions: int, replication_factor: int, configs: Mapping[str, str]
    ) -> None:
        """Returns once the topic can be written; another process may have been faster."""
        settings = {
            "num_partitions": partitions,
            "replication_factor": replication_factor,
            "configs": dict(configs),
        }
        with contextlib.suppress(TopicAlreadyExistsError):
            self._client.create_topics({name: settings}, timeout_ms=10_000)
        self._client.wait_for_topics([name], timeout_ms=10_000)


class _Manager(KafkaConnectionManager):  # type: ignore[misc]
    """Remembers why a cluster that answers let nobody in: bootstrapping tries on until its time is
    over, and says that."""

    def __init__(self, net: NetworkSelector, **configs: Any) -> None:
        super().__init__(net, **configs)
        self.refusals: list[Exception] = []
        self.hung_up = False  # while we logged in
        self._logs_in = configs["security_protocol"].startswith("SASL")

    def get_connection(self, *args: Any, **options: Any) -> Any:
        connection = super().get_connection(*args, **options)
        connection.init_future.add_errback(self._refused)
        return connection

    def _refused(self, error: Exception) -> None:
        if isinstance(error, (SaslAuthenticationFailedError, UnsupportedSaslMechanismError)):
            self.refusals.append(error)
        elif self._logs_in and isinstance(error, KafkaConnectionError):
            self.hung_up = self.hung_up or "disconnected" in str(error)


def _connected(kind: Any, **settings: Any) -> Any:
    """A client of kafka-python's of this kind. When it cannot connect, its constructor would leave
    a thread and sockets behind, with every try of an outage."""
    for tries_left in reversed(range(LOGIN_TRIES)):
        managers: list[_Manager] = []
        try:
            return kind(**settings, kafka_client=partial(_network, managers))
        except KafkaError as error:
            for manager in managers:
                KafkaNetClient(manager._net, manager).close()
            if refusals := [refusal for manager in managers for refusal in manager.refusals]:
                raise refusals[-1] from error
            if not tries_left or not any(manager.hung_up for manager in managers):
                raise
    raise AssertionError("unreachable")


def _network(managers: list[_Manager], **configs: Any) -> KafkaNetClient:
    selector = NetworkSelector(**configs)
    managers.append(_Manager(selector, **configs))
    return KafkaNetClient(selector, managers[-1], **configs)


def _common(address: KafkaAddress) -> dict[str, Any]:
    return {
        "bootstrap_servers": list(address.servers),
        "bootstrap_timeout_ms": CONNECT_TIMEOUT_MS,
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "reconnect_backoff_max_ms": 250,
        "client_id": "hemline",
        **address.security,
    }
