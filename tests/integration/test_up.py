"""The whole cluster from the command line: trained, started, hurt, stopped; then the demo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hemline.cli.client import Gateway
from hemline.credentials import Credentials
from hemline.errors import ForbiddenError, UnauthenticatedError, UnavailableError
from hemline.key_file import create_key
from hemline.local.certificates import make_certificates
from hemline.local.cluster_file import process_of, supervisor_pid
from hemline.v1.common_pb2 import EVENT_KIND_CLICK
from hemline.v1.recommender_pb2 import SearchRequest
from running_home import Home

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

PATIENCE_S = 120.0
LOADTEST = Path(__file__).parents[2] / "loadtest" / "run.py"


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_up_split_serves_survives_kills_and_leaves_nothing(home: Home) -> None:
    up = home.json("up", "--detach", "--split", "--base-port", 0)
    try:
        status = home.json("status")
        names = ["triton", "retrieval", "reranker", "updater", "indexer", "gateway"]
        assert [process["name"] for process in status["processes"]] == names
        assert status["healthy"] and status["gateway"] == up["gateway"]
        assert home.hemline("up", "--detach", code=1) == ""  # one is enough

        cold = home.json("recommend", "ann")
        assert not cold["info"]["personal"] and not cold["info"]["degraded"]
        liked = home.json("similar", cold["items"][0]["item"]["item_id"], "-k", 3)["items"]
        for scored in liked:
            home.hemline("click", "ann", scored["item"]["item_id"], "--wait")
        warm = home.json("recommend", "ann")
        assert warm["info"]["personal"] and not warm["info"]["degraded"]
        assert home.json("user", "ann")["vector_release"] == up["release"]
        assert home.json("search", "red dress", "-k", 3)["items"]

        # A killed process comes back by itself, and meanwhile the gateway does without it.
        before = home.pid("retrieval")
        os.kill(before, signal.SIGKILL)
        with Gateway(up["gateway"]) as gateway:
            meanwhile = gateway.recommend("ann", 10)
            assert len(meanwhile.items) == 10
            assert [skipped.stage for skipped in meanwhile.info.degraded] in ([], ["retrieval"])
            wait_until(lambda: home.pid("retrieval") != before)
            wait_until(lambda: not gateway.recommend("ann", 10).info.degraded)
        assert [p["restarts"] for p in home.json("status")["processes"]] == [0, 1, 0, 0, 0, 0]

        # Nothing outlives a killed supervisor.
        processes = home.cluster.processes
        os.kill(home.cluster.supervisor_pid, signal.SIGKILL)
        wait_until(lambda: not any(process_of(process) for process in processes))
        wait_until(lambda: supervisor_pid(home.run) is None)
        home.hemline("status", code=1)
    finally:
        home.hemline("down")


def test_up_with_tls_and_api_keys_serves_those_alone_who_have_both(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls, keys = home.folder / "tls", home.folder / "keys.json"
    client = make_certificates(tls).client
    _, key = create_key(keys, "shop", ["recommend", "users"])
    _, load_key = create_key(keys, "load", ["recommend", "events", "users"])
    up = home.json(
        *("up", "--detach", "--split", "--base-port", 0, "--tls", tls, "--api-keys", keys)
    )
    try:
        assert home.json("status")["healthy"]
        with Gateway(up["gateway"], 60.0, Credentials(client, key)) as gateway:
            assert gateway.search(SearchRequest(text="red dress", k=3)).items
            with pytest.raises(ForbiddenError, match="needs the scope 'events'"):
                gateway.record_event("ann", "some item", EVENT_KIND_CLICK)
        with (
            Gateway(up["gateway"], 60.0, Credentials(client)) as without_key,
            pytest.raises(UnauthenticatedError, match="an API key is needed"),
        ):
            without_key.recommend("ann", 3)
        with pytest.raises(UnavailableError, match="no gateway answers in plaintext"):
            Gateway(up["gateway"], 1.0)
        monkeypatch.setenv("HEMLINE_API_KEY", key)  # of the commands started next
        assert not home.json("recommend", "ann")["info"]["degraded"]

        few = ("bench", "serve", "--seconds", 3, "--users", 5, "--rates", "50%", "--timeout", 10)
        home.hemline(*few, code=1)  # this key may not send events
        monkeypatch.setenv("HEMLINE_API_KEY", load_key)
        measured = home.hemline(*few, "--json")
        assert load_key not in measured
        assert json.loads(measured)["quarter"]["load"]["failed"].keys() <= {"RESOURCE_EXHAUSTED"}
        load = [sys.executable, str(LOADTEST), "--home", str(home.folder), "--rate", "20"]
        load += ["--seconds", "2", "--slo-p99-ms", "9000", "--slo-send-lag-p99-ms", "9000"]
        load += ["--slo-sent-share", "0.1", "--slo-failed-share", "0.5", "--deadline-ms", "9000"]
        done = subprocess.run(load, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "PASSED: all objectives were met" in done.stdout
    finally:
        home.hemline("down")


def test_the_demo_plays_to_its_end_and_leaves_nothing(home: Home) -> None:
    facts = home.json("demo", "--quick")
    assert facts["release"] == home.json("release", "list")[0]["release"]
    assert len(facts["clicks"]["visible_ms"]) == 5
    shares = facts["clicks"]["shares"]
    assert shares["article_type"]["after"] > shares["article_type"]["before"]
    assert facts["import"]["personal_after"] and not facts["import"]["personal_before"]
    assert len(facts["search"]["text"]) == len(facts["search"]["image"]) == 5
    assert facts["crash"]["restarts"] == 1 and facts["crash"]["answers_meanwhile"] > 0
    assert {"round trip", "retrieval", "reranker"} <= facts["latency_ms"].keys()

    assert supervisor_pid(home.run) is None and home.cluster.state == "stopped"
    assert not any(process_of(process) for process in home.cluster.processes)
