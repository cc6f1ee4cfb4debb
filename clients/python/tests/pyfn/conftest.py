"""Replaces the fixture `fab` by a client of a server with the Python runner."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from server import Server

from fabric_client import Fabric


@pytest.fixture
def fab(python_server: Server) -> Iterator[Fabric]:
    """A client of a server with the Python runner."""
    with python_server.connect() as client:
        yield client
