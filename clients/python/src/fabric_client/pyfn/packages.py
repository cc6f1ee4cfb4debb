"""Pure-Python packages of a function: resolved by pip locally, imported from memory in the sandbox."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..errors import SettingError
from .errors import NotShippable
from .modules import NATIVE_ENDINGS

PYTHON = "3.14"
"""The Python of the sandbox."""
MAX_BYTES = 6 << 20
"""Maximum total size of a function's wheels. They are sent with every call, and a job request has at most 16 MiB."""


@dataclass(frozen=True)
class Packages:
    """Wheels and their top-level modules."""

    files: tuple[Path, ...] = ()
    modules: frozenset[str] = frozenset()

    def wheels(self) -> list[str]:
        """Returns the wheels in base64, as in a bundle."""
        return list(_encoded(self.files))


@functools.lru_cache(maxsize=32)
def _encoded(files: tuple[Path, ...]) -> tuple[str, ...]:
    return tuple(base64.b64encode(file.read_bytes()).decode("ascii") for file in files)


def cache_folder() -> Path:
    """Returns the cache of wheels: `fabric/packages` in the user's cache folder. It can be deleted at any time."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fabric" / "packages"


@functools.lru_cache(maxsize=128)
def resolve(requirements: tuple[str, ...]) -> Packages:
    """Returns the wheels of requirements and of their dependencies. Results are cached.

    Raises:
        NotShippable: if a package has no pure-Python wheel.
        SettingError: if pip cannot parse or find a requirement, or is not installed.
    """
    if not requirements:
        return Packages()
    for requirement in requirements:
        if not isinstance(requirement, str) or not re.match(r"[A-Za-z0-9]", requirement):
            raise SettingError(
                f"{requirement!r} is not a requirement", hint='use the syntax of pip: packages=["more-itertools==10.*"]'
            )
    text = "\n".join([PYTHON, *sorted(requirements)])
    folder = cache_folder() / hashlib.sha256(text.encode()).hexdigest()[:32]
    if not folder.is_dir():
        _download(requirements, folder)
    return _read(folder)


def _download(requirements: Sequence[str], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        only_pure = ["--only-binary=:all:", "--platform=any", "--implementation=py", "--abi=none"]
        done = _pip(
            "download", "--quiet", f"--dest={temporary}", f"--python-version={PYTHON}", *only_pure, *requirements
        )
        if done.returncode != 0:
            raise _not_found(done.stderr)
        _check_versions(requirements, temporary, only_pure)
        try:
            temporary.rename(folder)
        except OSError:
            # Another process has created the folder meanwhile, with the same wheels.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_versions(requirements: Sequence[str], folder: Path, only_pure: Sequence[str]) -> None:
    """Compares the downloaded versions with the newest that the requirements allow.

    pip takes an older version if the newest one depends on a package without a pure-Python wheel. An old version that
    nobody asked for is a surprise.

    Raises:
        NotShippable: if it took an older version.
    """
    options = ["--dry-run", "--ignore-installed", "--no-deps", "--quiet", "--report=-", f"--target={folder}"]
    done = _pip("install", *options, f"--python-version={PYTHON}", *only_pure, *requirements)
    if done.returncode != 0:
        return  # A pip before 22.2 has no report.
    got = dict(_name_and_version(file) for file in folder.iterdir())
    for found in json.loads(done.stdout)["install"]:
        # By file names on both sides, because the version in the metadata may be written in another way.
        name, newest = _name_and_version(Path(unquote(urlsplit(found["download_info"]["url"]).path)))
        taken = got.get(name, newest)
        if taken != newest:
            raise NotShippable(
                f"{name} {newest} depends on a package with native extensions, which do not run in the sandbox; the "
                f"newest version that does is {taken}",
                f'ask for it: packages=["{name}=={taken}"]',
            )


def _name_and_version(wheel: Path) -> tuple[str, str]:
    """Returns the name, as PEP 503 compares it, and the version in the name of a wheel's file."""
    name, version, *_ = wheel.name.split("-")
    return re.sub(r"[-_.]+", "-", name).lower(), version


def _pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    if importlib.util.find_spec("pip") is None:
        raise SettingError("packages are resolved with pip, which is not installed", hint="python -m ensurepip")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 — no shell


def _not_found(said: str) -> Exception:
    found = re.search(r"No matching distribution found for (\S+)", said)
    name = re.split(r"[^A-Za-z0-9._-]", found[1])[0] if found else None
    if name and _pip("index", "versions", name).returncode == 0:
        return NotShippable(
            f"the package {name} has no pure-Python wheel, and native extensions do not run in the sandbox",
            "use a pure-Python package, or write a Rust module for native code",
        )
    lines = [line for line in said.splitlines() if "ERROR" in line] or said.splitlines()[-3:]
    return SettingError("pip did not find the packages: " + " ".join(lines)[:1000], hint="check names and versions")


def _read(folder: Path) -> Packages:
    files = tuple(sorted(folder.iterdir()))
    modules: set[str] = set()
    for file in files:
        if not file.name.endswith("-none-any.whl"):
            raise NotShippable(
                f"{file.name} is not a pure-Python wheel (none-any)", "native extensions do not run in the sandbox"
            )
        with zipfile.ZipFile(file) as wheel:
            for name in wheel.namelist():
                if name.endswith(NATIVE_ENDINGS):
                    raise NotShippable(
                        f"{file.name} has the native extension {name}", "native extensions do not run in the sandbox"
                    )
                top = name.partition("/")[0]
                if name.endswith(".py") and not top.endswith((".dist-info", ".data")):
                    modules.add(top.removesuffix(".py"))
    size = sum(file.stat().st_size for file in files)
    if size > MAX_BYTES:
        names = ", ".join(file.name for file in files)
        raise NotShippable(
            f"the packages have {size:,} bytes, and at most {MAX_BYTES:,} can be sent with a function: {names}",
            "leave out large packages, or write a Rust module",
        )
    return Packages(files, frozenset(modules))
