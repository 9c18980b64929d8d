"""Every Prometheus metric of Hemline, by name, in one place.

Histograms have few buckets on purpose: `observe` scans them one by one on the hot path.
"""

from __future__ import annotations

import math
import time

from prometheus_client import (
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    start_http_server,
)

# They would be a second series beside each, which nothing of ours reads.
disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

REQUESTS = Counter("hemline_requests_total", "gRPC calls answered", ["method", "code"])
REQUEST_SECONDS = Histogram(
    "hemline_request_seconds", "Time in the server", ["method"], buckets=_SECONDS
)
REQUESTS_IN_FLIGHT = Gauge("hemline_requests_in_flight", "gRPC calls being answered")
STAGE_SECONDS = Histogram(
    "hemline_stage_seconds", "Time of one stage of an answer", ["stage"], buckets=_SECONDS
)
DEGRADED = Counter("hemline_degraded_total", "Stages skipped or replaced", ["stage", "reason"])
CANDIDATES = Histogram(
    "hemline_candidates", "Items scored for an answer", buckets=(10, 50, 100, 200, 300, 500, 1000)
)
RELEASE = Gauge("hemline_release_version", "Version of the release being served")
CLOCK = Gauge("hemline_clock_seconds", "Unix time, by the clock of this machine")
CLOCK.set_function(time.time)
EXPOSURES_LOST = Counter(
    "hemline_exposures_lost_total", "Answers whose exposure record could not be logged"
)

EVENTS_ACCEPTED = Counter("hemline_events_accepted_total", "Events acknowledged", ["kind"])
EVENTS_REJECTED = Counter("hemline_events_rejected_total", "Bad events refused", ["field"])
EVENTS_APPLIED = Counter(
    "hemline_events_applied_total", "Log records by what became of them", ["outcome"]
)
EVENTS_APPLIED.labels("dead_letter")  # shown from the start: the first one must be an increase
EVENT_VISIBLE_SECONDS = Histogram(
    "hemline_event_to_visible_seconds",
    "From the gateway's acknowledgement to the stored user state",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0),
)
EVENTS_FROM_THE_FUTURE = Counter(
    "hemline_events_from_the_future_total",
    "Events applied before the gateway acknowledged them, by the clocks of the two machines",
)
EVENT_PARTITION_LAG = Gauge(
    "hemline_event_partition_lag",
    "Log records a consumer group has not committed yet",
    ["group", "topic", "partition"],
)
EVENT_LAG = Gauge(
    "hemline_event_lag",
    "Log records of the updater's partitions that are not in the user states yet",
)
EVENTS_MISSED = Counter(
    "hemline_events_missed_total", "Log records that were gone before they could be applied"
)
LINEAGES_BEGUN = Counter(
    "hemline_lineages_begun_total",
    "Times the updater set out to apply the log from its start, by why",
    ["reason"],
)
UPDATE_CONFLICTS = Counter(
    "hemline_update_conflicts_total", "User states changed by another writer meanwhile, retried"
)
VECTORS_SKIPPED = Counter(
    "hemline_user_vectors_skipped_total", "States stored without a user vector", ["reason"]
)
USER_STATE_ERRORS = Counter(
    "hemline_user_state_errors_total", "Calls to the user state store that failed", ["reason"]
)
USER_STATE_AWAY = Gauge(
    "hemline_user_state_away", "1 while calls to the user state store are refused without trying"
)
PUBLISH_QUEUE = Gauge("hemline_publish_queue_depth", "Records waiting for the event log")
PUBLISH_SECONDS = Histogram(
    "hemline_publish_seconds", "From publishing a record to its acknowledgement", buckets=_SECONDS
)
PUBLISH_ERRORS = Counter(
    "hemline_publish_errors_total", "Records the event log did not acknowledge", ["reason"]
)
EVENT_LOG_UP = Gauge(
    "hemline_event_log_up",
    "Whether Kafka answered last, 1 or 0; NaN where the event log is a file, or not used",
)
EVENT_LOG_UP.set(math.nan)

ENCODER_SECONDS = Histogram(
    "hemline_encoder_seconds", "Calls to Triton", ["model"], buckets=_SECONDS
)
SEARCH_QUERIES = Counter("hemline_search_queries_total", "Vector queries answered", ["space"])
SEARCH_SECONDS = Histogram(
    "hemline_search_seconds", "Time of one batch of vector queries", buckets=_SECONDS
)
SEARCH_SCANS = Counter(
    "hemline_search_scans_total", "Searches of one vector, by how they were made exact", ["scan"]
)
SEARCH_BATCH = Histogram(
    "hemline_search_batch_queries", "Queries answered in one pass", buckets=(1, 2, 4, 8, 16, 32, 64)
)
SEARCH_WATCHED = Counter(
    "hemline_search_watched_results_total",
    "Results of sampled searches, by what working them out again said of them",
    ["outcome"],
)
SEARCH_WAITING = Gauge("hemline_search_waiting", "Searches that wait for an index")
SEARCH_DROPPED = Counter(
    "hemline_search_dropped_total", "Searches that no index answered, by why", ["reason"]
)
INDEX_ITEMS = Gauge("hemline_index_items", "Items in the index")
LIVE_RECORDS = Counter(
    "hemline_live_records_total",
    "Records of the topic of vectors by what became of them",
    ["outcome"],
)
LIVE_VISIBLE_SECONDS = Histogram(
    "hemline_live_visible_seconds",
    "From the gateway's acknowledgement of an item's change to its being searchable here",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0),
)
LIVE_CAUGHT_UP = Gauge(
    "hemline_live_caught_up", "Whether the live items follow the topic of vectors, 1 or 0"
)
LIVE_SNAPSHOTS = Counter(
    "hemline_live_snapshots_total", "Snapshots of live items by what became of them", ["outcome"]
)
LIVE_FOLDS = Counter(
    "hemline_live_folds_total", "Times that changed items were given indexes, or not", ["outcome"]
)
INDEXED_ITEMS = Counter(
    "hemline_indexed_items_total", "Changed items the indexer published, by how", ["how"]
)

KEYS_REQUIRED = Gauge(
    "hemline_api_keys_required", "1: callers need an API key; 0: anybody may call"
)
KEYS = Gauge("hemline_api_keys", "API keys in force")
KEY_MESSAGES = Counter(
    "hemline_api_key_messages_total", "Messages let in, by API key", ["key", "tenant"]
)
KEY_REFUSALS = Counter(
    "hemline_api_key_refusals_total",
    "Calls refused; key is empty when not known",
    ["key", "reason"],
)
KEY_RELOADS = Counter(
    "hemline_api_key_reloads_total", "Changed files of API keys, used or not", ["outcome"]
)
TLS_CERT_EXPIRES = Gauge(
    "hemline_tls_certificate_expires_timestamp_seconds",
    "Unix time at which the certificate of this server expires; 0: it serves plaintext",
)
TLS_RELOADS = Counter(
    "hemline_tls_certificate_reloads_total", "Changed certificate files, used or not", ["outcome"]
)


def serve_metrics(host: str, port: int) -> None:
    """Answer /metrics over HTTP from a thread of its own. Raises OSError when the port is taken."""
    start_http_server(port, addr=host)
