"""The runner that executes Python functions: its module and its deployment in the tenant."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from ..api import functions
from ..errors import NotFound, SettingError
from ..progress import announced
from ..request import Policy
from ..spec import hyphenated
from ..steps import Plan

VARIABLE = "FABRIC_PYTHON_RUNNER"
"""Environment variable with the path of another module file than the packaged one."""
_ANNOUNCEMENT = "preparing Python on the server, up to a minute at its first use"
_NAME_LENGTH = 38
"""Maximum length of the readable part of a deployment's name. A function's name has at most 63 characters."""
_DESCRIPTION_LENGTH = 200


_NAME = re.compile(r"python-(?:[a-z0-9-]+-)?[0-9a-f]{16}")


def is_runner(name: str) -> bool:
    """Returns True if a function is a deployment of the runner."""
    return _NAME.fullmatch(name) is not None


def module() -> bytes | None:
    """Returns the runner's module, or None if this installation has none.

    Raises:
        SettingError: if the variable names a missing file.
    """
    named = os.environ.get(VARIABLE)
    place = Path(named) if named else resources.files(__package__).joinpath("python-runner.wasm")
    if place.is_file():
        return place.read_bytes()
    if named:
        raise SettingError(f"the Python runner is missing: {place}", hint=f"correct or unset {VARIABLE}")
    return None


def manifest(limits: Mapping[str, Any], grants: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the runner's manifest with these limits and grants, without its name."""
    return {"limits": hyphenated(limits), "grants": hyphenated(grants)}


def deployment_name(function: str, digest: str, sections: Mapping[str, Any]) -> str:
    """Returns the name of a deployment for a Python function. It begins with that function's name, as logs and usage
    show it, and ends with a hash of the module, the limits and the grants."""
    text = json.dumps([digest, sections], sort_keys=True)
    readable = re.sub("[^a-z0-9]+", "-", function.lower()).strip("-")[:_NAME_LENGTH].strip("-")
    parts = ["python", readable, hashlib.sha256(text.encode()).hexdigest()[:16]]
    return "-".join(part for part in parts if part)


def deployed(policy: Policy, function: str, limits: Mapping[str, Any], grants: Mapping[str, Any]) -> Plan[str]:
    """Returns the runner's deployment for a Python function as `name@version`, and creates it if it is missing.

    The module is deployed by its digest if the server has it, and is uploaded otherwise, once per tenant. The server
    compiles it once; that takes up to a minute.

    Raises:
        SettingError: if neither this installation nor the server has a runner.
    """
    own = module()
    offered = yield from functions.runner(policy)
    if own is not None:
        digest = hashlib.sha256(own).hexdigest()
    elif offered is not None:
        digest = offered.module
    else:
        raise SettingError(
            "neither this installation nor the server has the module that runs Python functions",
            hint="install the wheel of fabric-client; in a checkout, run `python clients/python/runner/build.py`",
        )
    sections = manifest(limits, grants)
    name = deployment_name(function, digest, sections)
    description = f"Runs the Python function {function}."[:_DESCRIPTION_LENGTH]
    section = {"name": name, "description": description, "tags": ["python"]}
    try:
        found = yield from functions.versions(policy, name, 100)
    except NotFound:
        found = []
    for version in found:
        if version.module == digest:
            return f"{name}@{version.version}"
    document = {"function": section, **sections}
    is_slow = offered is not None and offered.module == digest and not offered.compiled
    try:
        with announced(_ANNOUNCEMENT) if is_slow else contextlib.nullcontext():
            done = yield from functions.deploy(policy, digest, document, None, True)
    except NotFound:
        if own is None:
            raise
        with announced(_ANNOUNCEMENT):
            done = yield from functions.deploy(policy, own, document, None, True)
    return f"{name}@{done.deployment.version}"
