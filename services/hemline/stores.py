"""Which event log and which user state a process uses, chosen by URL.

sqlite:PATH                     one file, for all processes of one machine (the default)
kafka://HOST:PORT[,HOST:PORT]   `hemline.kafka_event_log`; options in `hemline.kafka_url`
redis://HOST:PORT/DB …          `hemline.redis_user_state`; all forms are in `hemline.redis_url`

A client is imported only when its URL asks for it.
"""

from __future__ import annotations

import logging
from pathlib import Path

from hemline.errors import InvalidInputError, UnavailableError
from hemline.event_log import EventLog
from hemline.user_state import UserStates

logger = logging.getLogger(__name__)


def open_event_log(url: str) -> EventLog:
    """The event log at a URL. Raises InvalidInputError for a URL of no kind above,
    UnavailableError when it cannot be opened."""
    kind, _, rest = url.partition(":")
    if kind == "sqlite":
        from hemline.sqlite_event_log import SqliteEventLog

        return SqliteEventLog(Path(rest))
    if kind == "kafka":
        from hemline.kafka_event_log import KafkaEventLog

        return KafkaEventLog(url)
    raise InvalidInputError("log", f"{url!r} is no event log; it begins with sqlite: or kafka:")


def open_user_states(url: str) -> UserStates:
    """The user state store at a URL. Raises InvalidInputError for a URL of no kind above,
    UnavailableError when it cannot be opened."""
    kind, _, rest = url.partition(":")
    if kind == "sqlite":
        from hemline.sqlite_user_state import SqliteUserStates

        return SqliteUserStates(Path(rest))
    if kind.startswith("redis"):
        from hemline.redis_user_state import RedisUserStates

        return RedisUserStates(url)
    raise InvalidInputError("users", f"{url!r} is no user state; it begins with sqlite: or redis:")


async def check_user_states(users: UserStates) -> None:
    """Refuse to start on a store that cannot serve us; one that is away may come back.

    Raises SetupError.
    """
    try:
        await users.check()
    except UnavailableError as error:
        logger.warning("starting without the user states: %s", error)
