"""The runner that executes Python functions: its module and its deployment in the tenant."""

from __future__ import annotations

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


def is_runner(name: str) -> bool:
    """Returns True if a function is a deployment of the runner."""
    return re.fullmatch("python-[0-9a-f]{16}", name) is not None


def module() -> bytes:
    """Returns the runner's module.

    Raises:
        SettingError: if this installation has none.
    """
    named = os.environ.get(VARIABLE)
    place = Path(named) if named else resources.files(__package__).joinpath("python-runner.wasm")
    if not place.is_file():
        raise SettingError(
            f"the Python runner is missing: {place}",
            hint=f"install the wheel of fabric-client, run clients/python/runner/build.py, or set {VARIABLE}",
        )
    return place.read_bytes()


def manifest(limits: Mapping[str, Any], grants: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the runner's manifest with these limits and grants, without its name."""
    return {"limits": hyphenated(limits), "grants": hyphenated(grants)}


def deployed(policy: Policy, limits: Mapping[str, Any], grants: Mapping[str, Any]) -> Plan[str]:
    """Returns the runner's deployment as `name@version`, and deploys it if it is missing. Uploading and compiling takes
    a minute, once per tenant.

    The name is a hash of the module, the limits and the grants, so that other limits give another function with the
    same compiled module.
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
    with announced("preparing Python on the server, up to a minute at its first use"):
        done = yield from functions.deploy(policy, content, {"function": section, **sections}, None, True)
    return f"{name}@{done.deployment.version}"
