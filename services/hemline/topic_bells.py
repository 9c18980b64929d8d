"""Bells between the processes of one machine: whoever wrote to a topic rings, its readers wake.

A reader's bell is a named pipe in a folder of its topic. Without bells a reader has to look every
few milliseconds whether something came, which takes 1% of a core each, all day long, and the first
click after a quiet while waits for the next look.

A bell can be missed, when whoever wrote died before ringing. So readers look by themselves too, but
rarely.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import stat
import threading
import time
import uuid
from pathlib import Path

logger = logging.getLogger(__name__)

LOOK_S = 0.25  # for what nobody rang for
LOOK_WITHOUT_BELL_S = 0.02  # where there are no named pipes, or no room for one
_RUNG = b"!"


class Bell:
    """One reader's. `ring` is for any thread, the rest for one at a time."""

    def __init__(self, folder: Path, look_s: float = LOOK_S) -> None:
        """folder: of the topic; made when it is not there. look_s: the longest wait."""
        self._look_s = look_s
        self._path = folder / uuid.uuid4().hex
        self._pipe: int | None = None
        self._closing = threading.Lock()  # a number that is closed may be another file's at once
        hidden = folder / f".{self._path.name}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.mkfifo(hidden, 0o600)
            # Open before anybody can see it: a pipe that nobody reads is taken for a dead reader's.
            self._pipe = os.open(hidden, os.O_RDWR | os.O_NONBLOCK)
            hidden.rename(self._path)
        except OSError as error:
            logger.warning("no bell in %s, so it is looked at more often: %s", folder, error)
            self.close()
            with contextlib.suppress(OSError):
                hidden.unlink()

    def wait(self, timeout_s: float) -> None:
        """Return when it was rung since it was waited for last, or after so many seconds, or
        earlier."""
        if self._pipe is None:
            time.sleep(min(timeout_s, LOOK_WITHOUT_BELL_S))
            return
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        if poll.poll(max(0.0, min(timeout_s, self._look_s)) * 1000):
            with contextlib.suppress(BlockingIOError):
                os.read(self._pipe, 65_536)

    def ring(self) -> None:
        """Wake this reader."""
        with self._closing:
            if self._pipe is not None:
                with contextlib.suppress(BlockingIOError):  # full: it has been rung
                    os.write(self._pipe, _RUNG)

    def close(self) -> None:
        """Take it down."""
        with self._closing:
            if self._pipe is not None:
                os.close(self._pipe)
                self._pipe = None
                with contextlib.suppress(OSError):
                    self._path.unlink()


def ring_all(folder: Path) -> None:
    """Wake every reader of a topic, and take down the bells of those that have died."""
    with contextlib.suppress(OSError):  # nobody ever read this topic
        for bell in folder.iterdir():
            if not bell.name.startswith("."):
                _ring(bell)


def _ring(bell: Path) -> None:
    try:
        pipe = os.open(bell, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nobody has it open
            with contextlib.suppress(OSError):
                bell.unlink()
        return
    try:
        if stat.S_ISFIFO(os.fstat(pipe).st_mode):
            with contextlib.suppress(OSError):  # full: it has been rung
                os.write(pipe, _RUNG)
    finally:
        os.close(pipe)
