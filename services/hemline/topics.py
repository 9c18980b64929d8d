"""The topics Hemline keeps in Kafka, and the settings each of them needs.

`compact` keeps the newest record of every key for ever, `delete` keeps every record for a while.
How long, is an operator's choice to change; what would lose or refuse records is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hemline.event_log import (
    CATALOGUE_TOPIC,
    DEAD_LETTERS_TOPIC,
    EVENTS_TOPIC,
    EXPOSURES_TOPIC,
    MAX_RECORD_BYTES,
    VECTORS_TOPIC,
)

_DAY_MS = 24 * 3600 * 1000
RECORD_OVERHEAD_BYTES = 65_536  # what Kafka adds to a record and its batch


@dataclass(frozen=True)
class TopicSettings:
    """partitions: more of them in an existing topic are welcome, fewer are not.

    retention_ms: of a topic whose old records are deleted, when Hemline creates it.
    """

    partitions: int
    cleanup_policy: str = "delete"
    retention_ms: int | None = None
    max_message_bytes: int = MAX_RECORD_BYTES + RECORD_OVERHEAD_BYTES

    def configs(self, replication_factor: int) -> dict[str, str]:
        """Kafka's settings of such a topic, by Kafka's names.

        An acknowledged record is on most of its replicas: any one of three may be lost.
        """
        configs = {
            "cleanup.policy": self.cleanup_policy,
            "max.message.bytes": str(self.max_message_bytes),
            "min.insync.replicas": str(replication_factor // 2 + 1),
        }
        if self.retention_ms is not None:
            configs["retention.ms"] = str(self.retention_ms)
        return configs


TOPICS: Mapping[str, TopicSettings] = {
    # As long as the gateway accepts an event's age: the states are rebuilt from these.
    EVENTS_TOPIC: TopicSettings(12, retention_ms=400 * _DAY_MS),
    EXPOSURES_TOPIC: TopicSettings(12, retention_ms=60 * _DAY_MS),
    DEAD_LETTERS_TOPIC: TopicSettings(1, retention_ms=400 * _DAY_MS),
    CATALOGUE_TOPIC: TopicSettings(6, "compact"),
    VECTORS_TOPIC: TopicSettings(6, "compact"),
}


def faults(
    topic: str,
    wanted: TopicSettings,
    partitions: int,
    configs: Mapping[str, str],
    replication_factor: int,
) -> list[str]:
    """What in an existing topic would lose, mix up or refuse records; one sentence each."""
    least = wanted.configs(replication_factor)
    found = []
    if partitions < wanted.partitions:
        found.append(f"topic {topic} has {partitions} partitions, wanted {wanted.partitions}")
    policy, wanted_policy = configs.get("cleanup.policy", "delete"), wanted.cleanup_policy
    if policy != wanted_policy:
        found.append(f"topic {topic} has cleanup.policy {policy}, wanted {wanted_policy}")
    for name in ("max.message.bytes", "min.insync.replicas"):
        if int(configs.get(name, 0)) < int(least[name]):
            found.append(
                f"topic {topic} has {name} {configs.get(name)}, wanted at least {least[name]}"
            )
    return found
