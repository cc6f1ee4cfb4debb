"""The async classes have the same names and parameters, in the same order, as the sync ones."""

from __future__ import annotations

import inspect
import re

import pytest

import fabric_client
from fabric_client import aio, dataset, fabric, function, invocation, job, node, pyfn

TWINS = [
    (fabric.Fabric, aio.AsyncFabric),
    (function.Function, aio.AsyncFunction),
    (job.Job, aio.AsyncJob),
    (invocation.Invocation, aio.AsyncInvocation),
    (dataset.Dataset, dataset.AsyncDataset),
    (node.Node, node.AsyncNode),
    (pyfn.PyFunction, pyfn.AsyncPyFunction),
    (pyfn.PyJob, pyfn.AsyncPyJob),
    (pyfn.PyInvocation, pyfn.AsyncPyInvocation),
]


def _public(cls: type) -> dict[str, object]:
    return {name: value for name, value in vars(cls).items() if not name.startswith("_")}


def _signature(cls: type, name: str) -> str:
    """Returns a signature without module names and prefixes that differ."""
    return re.sub(r"\bAsync|\w+\.(?=[A-Z])", "", str(inspect.signature(getattr(cls, name))))


@pytest.mark.parametrize(("sync", "twin"), TWINS, ids=lambda cls: cls.__name__)
def test_a_twin_has_the_same_methods(sync: type, twin: type) -> None:
    assert set(_public(sync)) == set(_public(twin))
    for name, method in _public(sync).items():
        other = _public(twin)[name]
        if isinstance(method, property):
            assert isinstance(other, property)
            continue
        assert _signature(sync, name) == _signature(twin, name), name
        assert (inspect.getdoc(other) or "").startswith(f"See `{sync.__name__}.{name}`"), name


def test_all_that_is_public_is_documented() -> None:
    for name in fabric_client.__all__:
        thing = getattr(fabric_client, name)
        assert isinstance(thing, str) or inspect.getdoc(thing), name
