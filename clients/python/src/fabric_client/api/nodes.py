"""Nodes, placement, usage, identity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..request import Policy, call, get, pages, post
from ..steps import Plan
from ..wire.node import Explanation, Identity, Node, Usage


def listing(policy: Policy, limit: int) -> Plan[list[Node]]:
    """Lists all nodes."""
    return pages(get("nodes"), policy, Node, limit)


def set_state(policy: Policy, node: str, verb: str, deadline_s: int | None = None) -> Plan[Node]:
    """Closes a node for new work (`cordon`, `drain`) or opens it again (`uncordon`). A drain may have a deadline."""
    return call(post("nodes", node, verb, deadline_s=deadline_s), policy, Node)


def explain(policy: Policy, request: Mapping[str, Any]) -> Plan[Explanation]:
    """Explains the placement of a function."""
    return call(post("placements", "explain", body=dict(request)), policy, Explanation)


def usage(policy: Policy, since_ms: int | None, until_ms: int | None) -> Plan[Usage]:
    """Returns the tenant's usage."""
    since, until = (None if ms is None else int(ms) for ms in (since_ms, until_ms))
    return call(get("usage", since_ms=since, until_ms=until), policy, Usage)


def whoami(policy: Policy) -> Plan[Identity]:
    """Returns the identity of the token."""
    return call(get("whoami"), policy, Identity)
