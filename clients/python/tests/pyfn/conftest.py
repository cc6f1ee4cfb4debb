"""Fixtures: a server with the Python runner deployed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from server import Server

from fabric_client import Fabric


@pytest.fixture(scope="session")
def with_runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a stopped server that has compiled the runner, which takes a minute.

    FABRIC_TEST_PREPARED names a folder to keep it beside, for who runs the tests again and again with one binary and
    one runner.
    """
    kept = os.environ.get("FABRIC_TEST_PREPARED")
    folder = Path(f"{kept}-python") if kept else tmp_path_factory.mktemp("prepared") / "python"
    if not folder.exists():
        first = Server("--slots", "2")
        with first.connect() as fab:
            assert fab.function(_two).remote() == 2
        first.stop()
        shutil.copytree(first.data, folder)
        first.close()
    return folder


def _two() -> int:
    return 2


@pytest.fixture(scope="session")
def python_server(with_runner: Path) -> Iterator[Server]:
    """A server with the runner, for tests that leave it as it was."""
    running = Server("--slots", "2", like=with_runner)
    yield running
    running.close()


@pytest.fixture
def fab(python_server: Server) -> Iterator[Fabric]:
    """A client of that server."""
    with python_server.connect() as client:
        yield client


@pytest.fixture
def own_python_server(with_runner: Path) -> Iterator[Server]:
    """A server with the runner for one test, which may kill it."""
    running = Server("--slots", "2", like=with_runner)
    yield running
    running.close()
