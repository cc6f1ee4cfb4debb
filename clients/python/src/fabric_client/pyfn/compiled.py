"""The code of packages' modules, compiled once in the sandbox, so that no call compiles them again.

The sandbox has another Python, so the code comes from there. It is kept beside the wheels, apart for each server, since
a server decides what it returns. Here it is bytes only; nothing loads it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import tempfile
from collections.abc import Collection
from pathlib import Path

from ..progress import announced
from ..steps import Plan
from .codec import dumps
from .outcome import Reader
from .packages import Packages, cache_folder
from .ship import Shipment

NAME = "packages"
"""The display name of the function that compiles."""
MAX_BYTES = 8 << 20
"""Maximum size of wheels and code together. Without code, the sandbox compiles what a call imports."""

_ENTRY = {"$from": ["fabric_runner.wheels", "code_of"]}


def file(server: str, packages: Packages, modules: Collection[str]) -> Path:
    """Returns the file with the code of these modules and of what they import."""
    wheels = [f"{wheel.parent.name}/{wheel.name}" for wheel in packages.files]
    text = "\n".join([server, *wheels, "", *sorted(modules)])
    return cache_folder().parent / "code" / hashlib.sha256(text.encode()).hexdigest()[:32]


def request(packages: Packages, modules: Collection[str]) -> tuple[bytes, Reader]:
    """Returns the body of a call of the runner that compiles modules, and the reader of its result."""
    shipped = Shipment(packages).finish(_ENTRY)
    call = {"args": [sorted(modules)], "kwargs": {}}
    return f"{shipped.bundle}\n{dumps(call)}".encode("ascii"), Reader(shipped)


def code(kept: Path, packages: Packages, making: Plan[bytes]) -> Plan[str | None]:
    """Returns the code for a bundle, or None if it is too large or could not be made: packages work without it.

    Args:
        kept: The file that keeps it.
        packages: The wheels.
        making: Makes the code in the sandbox.
    """
    if kept.is_file():
        content = kept.read_bytes()
    else:
        try:
            with announced("compiling packages in the sandbox, once"):
                content = yield from making
        except Exception:
            # The call itself raises an error that keeps it from running.
            return None
        # A cache that cannot be written is not needed for this call.
        with contextlib.suppress(OSError):
            _write(kept, content)
    if len(content) + sum(wheel.stat().st_size for wheel in packages.files) > MAX_BYTES:
        return None
    return base64.b64encode(content).decode("ascii")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
