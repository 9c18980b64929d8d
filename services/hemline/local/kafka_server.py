"""Apache Kafka on this machine, without a container: one broker from Maven Central's jars.

One process is broker and controller (KRaft), on loopback, with a small heap: the real broker for
one machine, the tests and the demo. It keeps one copy of everything, and answers a publish when the
operating system has it: a kill of the broker loses nothing, a power cut may lose the last seconds.
A cluster has three brokers and replication instead.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hemline.errors import HemlineError
from hemline.event_log import MAX_RECORD_BYTES
from hemline.local.child import ChildSpec
from hemline.local.health import why_kafka_unhealthy
from hemline.topics import RECORD_OVERHEAD_BYTES

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
ARCHIVE_TIMEOUT_S = 120.0
HEAP = "384m"
# A killed consumer's partitions go to another after this; a broker's own least is 6 s.
SESSION_TIMEOUT_MS = 3_000
# A killed broker may register again when the controller, which died with it, has not heard from it
# for so long; Kafka's own 9 s and 2 s are for brokers of which others stand in.
BROKER_SESSION_MS = 1_000
BROKER_HEARTBEAT_MS = 200
_DEBIAN = "install Debian's packages default-jre-headless and maven"
_MAVEN = "{http://maven.apache.org/POM/4.0.0}"


class KafkaInstallError(HemlineError):
    """Kafka cannot be installed or run on this machine; the message says what is missing."""


@dataclass(frozen=True)
class KafkaInstall:
    """The folder that `install_kafka` made: jars, and their classes as Java likes them best."""

    folder: Path

    def is_whole(self) -> bool:
        return any(self.folder.glob("kafka_*.jar"))

    @property
    def classes(self) -> Path:
        """Java's archive of a broker's classes; without it, or with that of another Java, a start
        takes twice the processor time."""
        return self.folder / "classes.jsa"

    def java(self, program: str, *arguments: str, options: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The command line of one of Kafka's programmes, logging to stderr."""
        logging = [
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss,SSS",
        ]
        classes = ("-cp", f"{self.folder}{os.sep}*")
        return (_program("java"), *options, *logging, *classes, program, *arguments)


def pom() -> Path:
    """deploy/local/kafka/pom.xml, in a checkout or inside the installed package."""
    here = Path(__file__).resolve()
    checkout = here.parents[3] / "deploy" / "local" / "kafka" / "pom.xml"
    return checkout if checkout.is_file() else here.with_name("kafka_pom.xml")


def kafka_version() -> str:
    """The broker's version, as pinned in the pom."""
    version = ET.parse(pom()).getroot().findtext(f"{_MAVEN}properties/{_MAVEN}kafka.version")
    assert version, f"{pom()} names no kafka.version"
    return version


def kafka_install(home: Path) -> KafkaInstall:
    """Where the broker of a home is, whole or not yet."""
    return KafkaInstall(home.resolve() / "kafka" / kafka_version())


def install_kafka(home: Path) -> KafkaInstall:
    """The broker below `home`/kafka/, fetched by Maven (45 MB to download) if it is not there.

    Several processes may do this at once. Raises KafkaInstallError when Java 17 or Maven is missing
    or Maven fails.
    """
    _check_java()
    install = kafka_install(home)
    if not install.is_whole():
        _fetch(install)
    if not install.classes.exists():
        _archive_classes(install)
    return install


def _fetch(install: KafkaInstall) -> None:
    staging = install.folder.with_name(f".staging-{uuid.uuid4().hex[:8]}")
    staging.mkdir(parents=True)
    try:
        shutil.copy(pom(), staging / "pom.xml")  # Maven writes beside it
        jars = staging / "jars"
        maven = [_program("mvn"), "--batch-mode", "--no-transfer-progress", "--quiet"]
        maven += ["--file", str(staging / "pom.xml"), "dependency:copy-dependencies"]
        done = subprocess.run([*maven, f"-DoutputDirectory={jars}"], capture_output=True, text=True)
        if done.returncode or not KafkaInstall(jars).is_whole():
            said = (done.stdout + done.stderr).strip()[-2_000:]
            raise KafkaInstallError(f"Maven could not fetch Kafka {kafka_version()}:\n{said}")
        try:
            jars.rename(install.folder)
        except OSError:
            if not install.is_whole():  # otherwise another process was faster
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _archive_classes(install: KafkaInstall) -> None:
    """Run a broker once, for Java to write down its classes when it ends (JEP 350)."""
    with tempfile.TemporaryDirectory(dir=install.folder.parent) as scratch:
        archive = Path(scratch) / "classes.jsa"
        port, controller_port = _two_free_ports()
        spec = kafka_spec(install, Path(scratch), port=port, controller_port=controller_port)
        program, *arguments = spec.argv
        command = [program, f"-XX:ArchiveClassesAtExit={archive}", *arguments]
        broker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + ARCHIVE_TIMEOUT_S
            while why_kafka_unhealthy(HOST, port) and broker.poll() is None:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.1)
            broker.terminate()
            broker.wait(ARCHIVE_TIMEOUT_S)
            archive.rename(install.classes)
        except (OSError, subprocess.TimeoutExpired) as error:
            logger.warning("Kafka will start slowly, its classes could not be archived: %s", error)
        finally:
            broker.kill()
            broker.wait()


def _two_free_ports() -> tuple[int, int]:
    with socket.create_server((HOST, 0)) as one, socket.create_server((HOST, 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


def kafka_spec(
    install: KafkaInstall,
    folder: Path,
    *,
    port: int,
    controller_port: int,
    settings: Mapping[str, str] | None = None,
) -> ChildSpec:
    """The broker that keeps its data in `folder`, formatted here the first time.

    settings: of server.properties, on top of or instead of those below.
    Raises KafkaInstallError when the folder cannot be formatted, or holds another version's data.
    """
    folder.mkdir(parents=True, exist_ok=True)
    properties = folder / "server.properties"
    values = _settings(folder / "data", port, controller_port) | dict(settings or {})
    properties.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    if not (folder / "data" / "meta.properties").exists():
        _format(install, properties)
    address = f"{HOST}:{port}"
    options = [f"-Xmx{HEAP}", f"-Xms{HEAP}", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"]
    # Half of what a start cost was Java's second compiler, at work on what runs once.
    options.append("-XX:TieredStopAtLevel=1")
    if install.classes.exists():
        options.append(f"-XX:SharedArchiveFile={install.classes}")
    return ChildSpec(
        name="kafka",
        argv=install.java("kafka.Kafka", str(properties), options=tuple(options)),
        address=address,
        health=(f"kafka://{address}",),
        ready_timeout_s=120.0,
        grace_s=20.0,
    )


def _settings(data: Path, port: int, controller_port: int) -> dict[str, str]:
    record = MAX_RECORD_BYTES + RECORD_OVERHEAD_BYTES
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        # Topics are made by Hemline, with their settings; a mistyped name makes none.
        "auto.create.topics.enable": "false",
        "default.replication.factor": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "2",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "2",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "message.max.bytes": str(record),
        "replica.fetch.max.bytes": str(record),
        # A consumer that comes or goes is noticed at once.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "broker.session.timeout.ms": str(BROKER_SESSION_MS),
        "broker.heartbeat.interval.ms": str(BROKER_HEARTBEAT_MS),
        # Threads and buffers for one machine.
        "num.network.threads": "2",
        "num.io.threads": "4",
        "log.cleaner.dedupe.buffer.size": "4194304",
        # Data that a killed broker had not flushed is checked by one thread at the next start.
        "num.recovery.threads.per.data.dir": "1",
        "log.segment.bytes": str(128 << 20),
    }


def _format(install: KafkaInstall, properties: Path) -> None:
    cluster_id = uuid.uuid4().hex[:22]
    command = install.java(
        "kafka.tools.StorageTool", "format", "--cluster-id", cluster_id, "--config", str(properties)
    )
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-2_000:]
        raise KafkaInstallError(f"Kafka's storage could not be formatted:\n{said}")


def _check_java() -> None:
    try:
        said = subprocess.run(
            [_program("java"), "-XshowSettings:properties", "-version"],
            capture_output=True,
            text=True,
        ).stderr
    except OSError as error:
        raise KafkaInstallError(f"java cannot run here: {error}; {_DEBIAN}") from error
    found = java_version(said)
    if found < 17:
        raise KafkaInstallError(f"Kafka needs Java 17 or newer, and this is {found}: {_DEBIAN}")


def java_version(listing: str) -> int:
    """The feature version in what `java -XshowSettings:properties` lists; 0 if it is not there."""
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "java.specification.version":
            return int(value.strip().removeprefix("1."))
    return 0


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise KafkaInstallError(
            f"`{name}` is not on PATH, and Kafka needs it: {_DEBIAN} "
            "(apt-get install default-jre-headless maven)"
        )
    return path
