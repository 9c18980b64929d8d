"""What is looked at before a Kafka cluster is used: its topics, their settings, and our rights.

A setting that would lose records, or a right that is missing, would otherwise show hours later, as
events that nobody applied.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from hemline.errors import SetupError
from hemline.event_log import LOG_AWAY
from hemline.kafka_client import Admin, user_of
from hemline.kafka_url import KafkaAddress
from hemline.topics import TopicSettings, faults

logger = logging.getLogger(__name__)


def ensure_topics(admin: Admin, address: KafkaAddress, topics: Mapping[str, TopicSettings]) -> None:
    """Creates the topics that are missing; looks at the settings of the others.

    Raises SetupError naming each setting, what it is and what it must be, and kafka-python's
    errors.
    """
    existing = admin.topics(topics)
    for name in topics.keys() - existing.keys():
        settings = topics[name]
        configs = settings.configs(address.replication_factor)
        admin.create(name, settings.partitions, address.replication_factor, configs)
        logger.info("created the topic %s with %d partitions", name, settings.partitions)
    shown = {name: topic for name, topic in existing.items() if _may("DESCRIBE_CONFIGS", topic)}
    if unseen := existing.keys() - shown.keys():
        logger.warning("Kafka does not show the settings of %s: unchecked", _names(unseen))
    if not shown:
        return
    configured = admin.configs(shown)
    found = [
        fault
        for name, topic in sorted(shown.items())
        for fault in faults(
            name,
            topics[name],
            len(topic["partitions"]),
            configured.get(name, {}),
            address.replication_factor,
        )
    ]
    if found:
        raise SetupError(
            f"Kafka at {address}: {'; '.join(found)}. Change them with kafka-configs.sh "
            "(partitions with kafka-topics.sh), or let Hemline create the topics itself",
            public=LOG_AWAY,
        )


def check_rights(
    admin: Admin, address: KafkaAddress, reads: Collection[str], writes: Collection[str]
) -> None:
    """Raises SetupError naming the topics that we must read or write and may not, and
    kafka-python's errors."""
    if not (reads or writes):
        return
    topics = admin.topics({*reads, *writes})
    missing = [
        f"{operation} of {_names(lacking)}"
        for operation, names in (("READ", reads), ("WRITE", writes))
        if (lacking := [name for name in names if not _may(operation, topics.get(name, {}))])
    ]
    if missing:
        raise SetupError(
            f"Kafka at {address} does not let {user_of(address)} do its work: it lacks "
            f"{' and '.join(missing)}. Give it the ACLs (kafka-acls.sh --add --operation …)",
            public=LOG_AWAY,
        )


def _may(operation: str, topic: Mapping[str, object]) -> bool:
    allowed = topic.get("authorized_operations")
    return not isinstance(allowed, list) or operation in allowed  # brokers need not say


def _names(topics: Collection[str]) -> str:
    return ", ".join(sorted(topics))
