"""A Prefect server of the tests' own, and nothing of the Prefect that the user has."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest


def until(found: Callable[[], object], seconds: float = 60) -> object:
    """What `found` returns as soon as it is something."""
    deadline = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < deadline, f"nothing found in {seconds} s"
        time.sleep(0.1)
    return result


@pytest.fixture(scope="session", autouse=True)
def no_prefect_of_the_user(tmp_path_factory):
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        environment.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        environment.setenv("DO_NOT_TRACK", "1")
        for name in ("PREFECT_API_URL", "PREFECT_PROFILE"):
            environment.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory):
    """The address of a real server that is starting up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    log = tmp_path_factory.mktemp("server") / "log"
    command = [Path(sys.executable).with_name("prefect"), "server", "start", "--host", "127.0.0.1", "--port", port]
    environment = os.environ | {"PREFECT_SERVER_UI_ENABLED": "false"}
    with log.open("w") as output, subprocess.Popen(command, stdout=output, stderr=output, env=environment) as server:
        yield f"http://127.0.0.1:{port}/api"
        server.terminate()


@pytest.fixture(scope="session")
def prefect_api(prefect_server):
    """The URL of a real server's API, which answers."""

    def answers() -> bool:
        try:
            return httpx.get(f"{prefect_server}/health").is_success
        except httpx.TransportError:
            return False

    until(answers, 120)
    return prefect_server
