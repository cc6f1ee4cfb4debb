"""Fixtures: a shared server for tests that do not change it, and a separate server for each test that kills it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from server import Server, assembled, guest

from fabric_client import Fabric

#: The environment variables that the tests themselves read.
KEPT = ("FABRIC_BIN", "FABRIC_GUESTS_DIR", "FABRIC_HUB_ENV", "FABRIC_TEST_PREPARED")


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_developer() -> None:
    for name in list(os.environ):
        if name.startswith("FABRIC_") and name not in KEPT:
            del os.environ[name]
    os.environ["FABRIC_CONFIG_HOME"] = "/nonexistent"
    os.environ["FABRIC_DATA"] = "/nonexistent"


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a stopped server with the usual guests, compiled once for all servers.

    FABRIC_TEST_PREPARED names a folder to keep it in, for repeated runs with the same binary.
    """
    kept = os.environ.get("FABRIC_TEST_PREPARED")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("prepared") / "data"
    if not folder.exists():
        with _kept(folder) as fab:
            for name in ("noop", "wordcount", "montecarlo-pi", "trap", "sleep"):
                fab.deploy(guest(name))
            fab.deploy(guest("endless-loop"), limits={"fuel": 10_000_000})
            fab.deploy(assembled("echo"), "echo", limits={"memory_bytes": "1MiB"})
            fab.deploy(assembled("mixed"), "mixed", limits={"fuel": 10**15, "deadline_ms": 600_000})
            # With this fuel limit it runs until it is stopped.
            fab.deploy(guest("endless-loop"), "endless", limits={"fuel": 10**15, "deadline_ms": 600_000})
    return folder


@contextmanager
def _kept(folder: Path) -> Iterator[Fabric]:
    """Yields a client of a new server, and copies the server's data to `folder` on success."""
    first = Server("--slots", "2")
    try:
        with first.connect() as fab:
            yield fab
        first.stop()
        shutil.copytree(first.data, folder)
    finally:
        first.close()


@pytest.fixture(scope="session")
def server(prepared: Path) -> Iterator[Server]:
    """A shared server with the usual guests."""
    running = Server("--slots", "2", like=prepared)
    yield running
    running.close()


@pytest.fixture
def fab(server: Server) -> Iterator[Fabric]:
    """A client of the shared server."""
    with server.connect() as client:
        yield client


@pytest.fixture
def own_server(prepared: Path) -> Iterator[Server]:
    """A server with the usual guests for one test, which may kill it."""
    running = Server("--slots", "2", like=prepared)
    yield running
    running.close()


@pytest.fixture(scope="session")
def with_runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a stopped server that has compiled the runner, which takes a minute.

    It is kept next to the folder FABRIC_TEST_PREPARED, for repeated runs with the same binary and runner.
    """
    kept = os.environ.get("FABRIC_TEST_PREPARED")
    folder = Path(f"{kept}-python") if kept else tmp_path_factory.mktemp("prepared") / "python"
    if not folder.exists():
        with _kept(folder) as fab:
            assert fab.function(_two).remote() == 2
    return folder


def _two() -> int:
    return 2


@pytest.fixture(scope="session")
def python_server(with_runner: Path) -> Iterator[Server]:
    """A shared server with the runner."""
    running = Server("--slots", "2", like=with_runner)
    yield running
    running.close()


@pytest.fixture
def own_python_server(with_runner: Path) -> Iterator[Server]:
    """A server with the runner for one test, which may kill it."""
    running = Server("--slots", "2", like=with_runner)
    yield running
    running.close()
