"""A real Redis for tests: started, paused, killed, started again on the same port and data."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from free_ports import free_port
from hemline.local.redis_server import install_redis, redis_password, redis_settings
from hemline.redis_user_state import RedisUserStates

READY_S = 60.0
ANSWER_S = 20.0


class RunningRedis:
    """A server on a port of its own with data below `folder`.

    settings: more lines for redis.conf, after Hemline's own, which the last of a name wins over.
    """

    def __init__(self, folder: Path, settings: str = "", port: int = 0) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.password = redis_password(folder)
        self.settings = settings
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, or start it again; returns when it answers."""
        program = install_redis()
        text = redis_settings(self.port, self.folder, self.password) + self.settings
        (self.folder / "redis.conf").write_text(text)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, self.folder / "redis.conf"], stdout=log, stderr=log
            )
        deadline = time.monotonic() + READY_S
        while not self.ask("PING").startswith("+PONG"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"Redis did not start:\n{(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.01)

    def ask(self, *command: str) -> str:
        """The first line Redis answers to one command; empty when it does not."""
        lines = [["AUTH", self.password], list(command)] if self.password else [list(command)]
        try:
            with socket.create_connection(("127.0.0.1", self.port), ANSWER_S) as connection:
                answers = connection.makefile("rb")
                for words in lines:
                    sizes = "".join(f"${len(w.encode())}\r\n{w}\r\n" for w in words)
                    connection.sendall(f"*{len(words)}\r\n{sizes}".encode())
                    answer = answers.readline().decode()
            return answer.strip()
        except OSError:
            return ""

    def pause(self) -> None:
        """It keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)
        assert self.process is not None
        # Its threads stop one by one after the signal; until the last has, it may still answer.
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9."""
        self._signal(signal.SIGKILL)
        self._wait()

    def stop(self) -> None:
        """SIGTERM; harmless when it is not running."""
        if self.process is not None and self.process.poll() is None:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
            self._wait()

    def lose_everything(self) -> None:
        """Delete the data of a server that is not running."""
        for file in sorted(self.folder.glob("appendonlydir/*")):
            file.unlink()

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def _wait(self) -> None:
        assert self.process is not None
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def running_redis(folder: Path, settings: str = "", password: str = "") -> Iterator[RunningRedis]:
    """A started server, stopped at the end; its password is in the environment meanwhile.

    password: where several servers must have the same, instead of one drawn for this one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    server = RunningRedis(folder, settings)
    server.password = password or server.password
    before = os.environ.get("HEMLINE_REDIS_PASSWORD")
    os.environ["HEMLINE_REDIS_PASSWORD"] = server.password
    try:
        server.start()
        yield server
    finally:
        server.stop()
        if before is None:
            os.environ.pop("HEMLINE_REDIS_PASSWORD", None)  # another's end may have removed it
        else:
            os.environ["HEMLINE_REDIS_PASSWORD"] = before


def patient_states(url: str) -> RedisUserStates:
    """A client that gives a Redis on a busy machine the time it needs, where that is no matter."""
    return RedisUserStates(url, read_timeout_s=ANSWER_S, write_timeout_s=ANSWER_S)
