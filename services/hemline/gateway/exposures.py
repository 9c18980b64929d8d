"""What was shown to whom, logged after the answer: some at a time, and nobody waits for it.

A commit of its own for every answer costs the embedded log as much processor time as a fifth of the
answer.
"""

from __future__ import annotations

import asyncio
import logging

from hemline import metrics
from hemline.errors import HemlineError
from hemline.event_log import EXPOSURES_TOPIC, EventLog
from hemline.v1.event_pb2 import Exposure

logger = logging.getLogger(__name__)

GATHER_S = 0.05
MAX_WAITING = 20_000  # some seconds of a full gateway; beyond, exposures are lost


class ExposureLog:
    """Publishes exposures; those the event log may not have taken count as lost, said once."""

    def __init__(self, log: EventLog, gather_s: float = GATHER_S) -> None:
        self._log = log
        self._gather_s = gather_s
        self._waiting: list[Exposure] = []
        self._writing: asyncio.Task[None] | None = None
        self._lost = 0  # since the event log went away

    def add(self, exposure: Exposure) -> None:
        """Log it soon."""
        if len(self._waiting) >= MAX_WAITING:
            self._lose([exposure], f"{MAX_WAITING} of them wait")
            return
        self._waiting.append(exposure)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def flush(self) -> None:
        """Wait until what was added so far is logged or lost."""
        if self._writing is not None:
            await self._writing

    async def _write(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._gather_s)
            exposures, self._waiting = self._waiting, []
            records = [(shown.user_id, shown.SerializeToString()) for shown in exposures]
            try:
                await self._log.publish_all(EXPOSURES_TOPIC, records)
            except HemlineError as error:
                self._lose(exposures, error)
                continue
            if self._lost:
                logger.warning("exposures are logged again; %d were lost", self._lost)
                self._lost = 0

    def _lose(self, exposures: list[Exposure], reason: object) -> None:
        metrics.EXPOSURES_LOST.inc(len(exposures))
        if not self._lost:  # once for all of them: an outage has thousands
            first = exposures[0].request_id
            logger.warning("exposures are being lost, from request %s on: %s", first, reason)
        self._lost += len(exposures)
