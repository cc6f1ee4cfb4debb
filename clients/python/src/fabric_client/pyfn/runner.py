"""The runner that executes Python functions: where its module is, and its deployment in the tenant."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from ..api import functions
from ..errors import NotFound, SettingError
from ..request import Policy
from ..spec import hyphenated
from ..steps import Plan

VARIABLE = "FABRIC_PYTHON_RUNNER"
"""Names another module file than the one in this package."""


def module() -> bytes:
    """The runner's module.

    Raises:
        SettingError: where this installation has none.
    """
    named = os.environ.get(VARIABLE)
    place = Path(named) if named else resources.files(__package__).joinpath("python-runner.wasm")
    if not place.is_file():
        raise SettingError(
            f"the Python runner is not there: {place}",
            hint=f"install the wheel of fabric-client, run clients/python/runner/build.py, or set {VARIABLE}",
        )
    return place.read_bytes()


def manifest(limits: Mapping[str, Any], grants: Mapping[str, Any]) -> dict[str, Any]:
    """What the server is told of the runner under these limits, but for its name."""
    return {"limits": hyphenated(limits), "grants": hyphenated(grants)}


def deployed(policy: Policy, limits: Mapping[str, Any], grants: Mapping[str, Any]) -> Plan[str]:
    """The runner's deployment, made where it is missing, as `name@version`. Uploading and compiling it takes a minute,
    once for each tenant.

    The name is made of the module and of what it may use, so other limits are another function of the same compiled
    module.
    """
    content = module()
    digest = hashlib.sha256(content).hexdigest()
    sections = manifest(limits, grants)
    text = json.dumps([digest, sections], sort_keys=True)
    name = f"python-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    section = {"name": name, "description": "Runs Python functions.", "tags": ["python"]}
    try:
        found = yield from functions.versions(policy, name, 100)
    except NotFound:
        found = []
    for version in found:
        if version.module == digest:
            return f"{name}@{version.version}"
    done = yield from functions.deploy(policy, content, {"function": section, **sections}, None, True)
    return f"{name}@{done.deployment.version}"
