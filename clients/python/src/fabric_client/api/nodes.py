"""Nodes, placement, usage, identity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..request import Policy, call, get, pages, post
from ..steps import Plan
from ..wire.node import Explanation, Identity, Node, Usage


def listing(policy: Policy, limit: int) -> Plan[list[Node]]:
    """All nodes."""
    return pages(get("nodes"), policy, Node, limit)


def set_state(policy: Policy, node: str, verb: str, deadline_s: int | None = None) -> Plan[Node]:
    """Has a node take no work (`cordon`, `drain`) or take it again (`uncordon`); a drain may have a deadline."""
    return call(post("nodes", node, verb, deadline_s=deadline_s), policy, Node)


def explain(policy: Policy, request: Mapping[str, Any]) -> Plan[Explanation]:
    """Where a function would run, and why."""
    return call(post("placements", "explain", body=dict(request)), policy, Explanation)


def usage(policy: Policy, since_ms: int | None, until_ms: int | None) -> Plan[Usage]:
    """What the tenant has used."""
    since, until = (None if ms is None else int(ms) for ms in (since_ms, until_ms))
    return call(get("usage", since_ms=since, until_ms=until), policy, Usage)


def whoami(policy: Policy) -> Plan[Identity]:
    """Who the server takes the token for."""
    return call(get("whoami"), policy, Identity)
