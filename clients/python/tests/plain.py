"""Checks of an installation without extras. `ci.sh` runs it in an environment with only the package and httpx."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

import fabric_client
from fabric_client import convert


def failure(kind: type[Exception], call: Callable[[], object]) -> str:
    """Returns the message of the exception that a call raises."""
    try:
        call()
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__}")


def main() -> None:
    for info in pkgutil.walk_packages(fabric_client.__path__, "fabric_client."):
        importlib.import_module(info.name)
    for need, extra in ((convert.to_pandas, "pandas"), (convert.to_arrow, "arrow"), (convert.to_numpy, "numpy")):
        assert f"fabric-client[{extra}]" in failure(ImportError, lambda need=need: need([]))
    fab = fabric_client.Fabric("http://127.0.0.1:1")
    assert "hint: start one: fabric serve" in failure(fabric_client.Unreachable, fab.whoami)


main()
