"""Functions: deploy, list, versions, aliases, calls."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..codec import Reply, encode
from ..errors import NotFound, SettingError
from ..request import Policy, address, call, exchange, get, pages, post, query, to_json, with_key
from ..steps import Plan, Request
from ..text import printable
from ..upload import Upload
from ..wire.function import Alias, Deployed, Deployment, FunctionSummary, InstalledRunner
from ..wire.invocation import Invocation

#: Timeout of a deployment, in seconds. Compiling a large module takes long.
DEPLOY_TIMEOUT = 600.0
#: Maximum size of a result in bytes, to protect the client's memory. The function's own limit is usually lower.
REPLY_LIMIT = 1 << 30


def deploy(
    policy: Policy, module: bytes | str, manifest: str | Mapping[str, Any], note: str | None, promote: bool
) -> Plan[Deployed]:
    """Deploys a module under a manifest (TOML text or a dictionary of the same shape). The digest of a module that the
    server has takes the place of its bytes."""
    if isinstance(manifest, str):
        kind, text = "application/toml", manifest.encode()
    else:
        kind, text = "application/json", to_json(manifest)
    key = secrets.token_hex(16)
    boundary = f"fabric-{key}".encode()
    parts: list[tuple[bytes, str, bytes]] = [(b'"manifest"', kind, text)]
    if note is not None:
        parts.append((b'"note"', "text/plain; charset=utf-8", note.encode()))
    if not promote:
        parts.append((b'"promote"', "text/plain", b"false"))
    if isinstance(module, str):
        parts.append((b'"module_digest"', "text/plain", module.encode()))
    else:
        parts.append((b'"module"; filename="module.wasm"', "application/wasm", module))
    lines: list[bytes] = []
    for name, media, content in parts:
        lines += [b"--" + boundary, b"Content-Disposition: form-data; name=" + name]
        lines += [b"Content-Type: " + media.encode(), b"", content]
    lines += [b"--" + boundary + b"--", b""]
    request = Request(
        "POST",
        address("functions"),
        headers=(("content-type", f"multipart/form-data; boundary={boundary.decode()}"),),
        body=b"\r\n".join(lines),
        timeout=DEPLOY_TIMEOUT,
        repeatable=True,
    )
    return call(with_key(request, key), policy, Deployed)


def deployed(
    policy: Policy, module: bytes, manifest: str | Mapping[str, Any], note: str | None, promote: bool
) -> Plan[FunctionSummary]:
    """Deploys a module, issues the server's warnings as Python warnings, and returns the function."""
    done = yield from deploy(policy, module, manifest, note, promote)
    for warning in done.warnings:
        warnings.warn(f"{done.deployment.function}: {printable(warning)}", stacklevel=5)
    return (yield from summary(policy, done.deployment.function))


def runner(policy: Policy) -> Plan[InstalledRunner | None]:
    """Returns the Python runner of the server, or None if it has none."""
    try:
        return (yield from call(get("python-runner"), policy, InstalledRunner))
    except NotFound:
        return None


def summaries(policy: Policy, q: str | None, tag: str | None, limit: int) -> Plan[list[FunctionSummary]]:
    """Lists functions by name."""
    return pages(get("functions", q=q, tag=tag), policy, FunctionSummary, limit)


def summary(policy: Policy, name: str) -> Plan[FunctionSummary]:
    """Returns one function."""
    return call(get("functions", name), policy, FunctionSummary)


def delete(policy: Policy, name: str) -> Plan[None]:
    """Deletes a function with its versions and aliases."""
    yield from exchange(Request("DELETE", address("functions", name), repeatable=True), policy)


def versions(policy: Policy, name: str, limit: int) -> Plan[list[Deployment]]:
    """Lists versions, oldest first."""
    return pages(get("functions", name, "versions"), policy, Deployment, limit)


def version(policy: Policy, name: str, number: int) -> Plan[Deployment]:
    """Returns one version."""
    return call(get("functions", name, "versions", str(number)), policy, Deployment)


def delete_version(policy: Policy, name: str, number: int) -> Plan[None]:
    """Deletes a version that no alias points to."""
    request = Request("DELETE", address("functions", name, "versions", str(number)), repeatable=True)
    yield from exchange(request, policy)


def aliases(policy: Policy, name: str) -> Plan[list[Alias]]:
    """Lists a function's aliases."""
    return pages(get("functions", name, "aliases"), policy, Alias, 1000)


def set_alias(policy: Policy, name: str, alias: str, targets: Mapping[int, int]) -> Plan[Alias]:
    """Points an alias to versions by weight."""
    document = {"targets": [{"version": v, "weight": w} for v, w in targets.items()]}
    request = Request("PUT", address("functions", name, "aliases", alias), repeatable=True, body=to_json(document))
    return call(request.with_headers(("content-type", "application/json")), policy, Alias)


def rollback(policy: Policy, name: str, to: int | None) -> Plan[Alias]:
    """Points `live` to an older version."""
    return call(post("functions", name, "rollback", body={"to": to}), policy, Alias)


def _invoke(
    function: str,
    value: object,
    params: Mapping[str, Any] | None,
    content_type: str | None,
    key: str | None,
    mode: str,
) -> Request:
    content, kind = encode(value)
    fits = to_json(dict(params)).decode() if params else None
    if fits is not None and len(fits) > 16 << 10:
        raise SettingError("the parameters take more than 16 KiB", hint="send large values as the body")
    request = Request(
        "POST",
        address("functions", function, "invoke"),
        query(mode=mode),
        headers=(("content-type", content_type or kind),),
        body=content,
        # No timeout: the function's own deadline applies.
        timeout=None,
        repeatable=True,
    )
    if fits is not None:
        request = replace(request, query=(*request.query, ("params", fits)))
    if isinstance(content, Upload):
        # No idempotency key: the server would have to store the body to compare it, and not every body can be sent
        # again.
        return replace(request, repeatable=False)
    return with_key(request, key)


def invoke(
    policy: Policy,
    function: str,
    value: object,
    params: Mapping[str, Any] | None,
    content_type: str | None,
    key: str | None,
) -> Plan[Reply]:
    """Calls a function and returns its result."""
    request = _invoke(function, value, params, content_type, key, "sync")
    answer = yield from exchange(replace(request, patient=policy.patient_calls), policy, REPLY_LIMIT)
    about = answer.headers

    def number(name: str) -> int | None:
        text = about.get(name, "")
        return int(text) if text.isascii() and text.isdigit() else None

    return Reply(
        content=answer.body,
        content_type=about.get("content-type"),
        invocation_id=about.get("fabric-invocation-id"),
        version=number("fabric-version"),
        fuel=number("fabric-fuel"),
        cached=about.get("fabric-cached") == "true",
    )


def spawn(
    policy: Policy,
    function: str,
    value: object,
    params: Mapping[str, Any] | None,
    content_type: str | None,
    key: str | None,
) -> Plan[Invocation]:
    """Submits an asynchronous call and returns its description."""
    return call(_invoke(function, value, params, content_type, key, "async"), policy, Invocation)
