"""Builds the Python runner: CPython, its standard library with `_bz2.py`, and `fabric_runner/` as one `fabric:task`
component.

    python runner/build.py

Needs Python 3.10 to 3.14 and PyPI; takes about half a minute. It writes the component to
`target/guests/python-runner.wasm` (or below CARGO_TARGET_DIR) and, for the wheel, to `src/fabric_client/pyfn/`, with
`runner_modules.txt`, the list of modules that it can import. componentize-py and its hashes are in `pins/runner.txt`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

WORLD = "fabric:python-runner/python-runner"
MODULES = re.compile(rb"fabric-runner-modules((?: [\w.]+)+) end")

HERE = Path(__file__).resolve().parent
PINS = HERE.parent / "pins" / "runner.txt"
CLIENT = HERE.parent / "src" / "fabric_client" / "pyfn"
REPOSITORY = HERE.parents[2]


def target() -> Path:
    """Returns the build folder."""
    return Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")).resolve()


def tool() -> Path:
    """Returns the pinned componentize-py, and installs it if it is missing."""
    home = target() / "python" / f"componentize-py-{hashlib.sha256(PINS.read_bytes()).hexdigest()[:16]}"
    folder = home / ("Scripts" if os.name == "nt" else "bin")
    program = folder / "componentize-py"
    if not program.exists():
        venv.create(home, with_pip=True, clear=True)
        install = [folder / "python", "-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", PINS]
        subprocess.run(install, check=True)
    return program


def build(component: Path) -> list[str]:
    """Writes the component and returns the modules that it can import."""
    program = tool()
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "fabric_runner"
        shutil.copytree(HERE / "fabric_runner", package, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(CLIENT / "codec.py", package)
        shutil.copy(HERE / "_bz2.py", folder)
        command = [program, "--wit-path", REPOSITORY / "wit" / "task", "--wit-path", HERE / "wit", "--world", WORLD]
        command += ["componentize", "--python-path", folder, "--output", component, "fabric_runner"]
        # Excludes local site-packages and settings, such as the hash seed, which changes the image.
        env = {k: v for k, v in os.environ.items() if not k.startswith(("VIRTUAL_ENV", "PYTHON"))}
        subprocess.run(command, cwd=folder, env=env, check=True)
    found = MODULES.search(component.read_bytes())
    if found is None:
        sys.exit("error: the list of modules is not in the component's image; see the end of fabric_runner/__init__.py")
    return found[1].decode().split()


def main() -> None:
    """Builds the component and copies the files that the wheel contains."""
    component = target() / "guests" / "python-runner.wasm"
    component.parent.mkdir(parents=True, exist_ok=True)
    modules = build(component)
    shutil.copy(component, CLIENT / component.name)
    (CLIENT / "runner_modules.txt").write_text("".join(f"{name}\n" for name in modules))
    print(f"{component}: {component.stat().st_size:,} bytes, {len(modules)} modules")


if __name__ == "__main__":
    main()
