"""A Hub and two gateways that trust it: `fabric`, and `strict` with other rules and a cache time of one second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from server import Server

from fabric_client import Fabric

from .hub import Hub
from .person import Person


def _gateway(hub: Hub, like: Path, cache: str, *rules: str) -> Server:
    told = [word for rule in rules for word in ("--jupyterhub-map", rule)]
    return Server("--slots", "2", "--jupyterhub", hub.api, "--jupyterhub-cache", cache, *told, like=like)


@pytest.fixture(scope="package")
def hub() -> Iterator[Hub]:
    """The Hub, started by the fixture `fabric`, whose address it needs."""
    made = Hub()
    yield made
    made.close()


@pytest.fixture(scope="package")
def fabric(hub: Hub, prepared: Path) -> Iterator[Server]:
    """A gateway that admits every user and caches tokens for longer than a test."""
    rules = ("admins=default/admin", "group:astro=astro/developer", "everyone=hub-{user}/developer")
    running = _gateway(hub, prepared, "3600", *rules)
    try:
        hub.configure(running.url)
        hub.start()
        yield running
    finally:
        running.close()


@pytest.fixture(scope="package")
def strict(hub: Hub, fabric: Server, prepared: Path) -> Iterator[Server]:
    """A gateway that admits a group and one user, and caches tokens for one second."""
    running = _gateway(hub, prepared, "1", "user:carol=guests/invoker", "group:astro=lab/tenant-admin")
    yield running
    running.close()


@pytest.fixture(scope="package")
def person(hub: Hub, fabric: Server) -> Iterator[Callable[[str], Person]]:
    """Returns the logged-in user of a name."""
    known: dict[str, Person] = {}
    with ExitStack() as stack:

        def log_in(name: str) -> Person:
            if name not in known:
                known[name] = Person(hub, name)
                stack.callback(known[name].close)
            return known[name]

        yield log_in


@pytest.fixture
def client(person: Callable[[str], Person]) -> Iterator[Callable[..., Fabric]]:
    """Connects to a gateway with a new Hub token of a user."""
    with ExitStack() as stack:

        def connect(server: Server, name: str, **options: Any) -> Fabric:
            return stack.enter_context(Fabric(server.url, person(name).token()["token"], **options))

        yield connect
