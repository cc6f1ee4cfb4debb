"""Imports the standard library while the runner is built.

Imported modules are part of the image of each new instance. A running instance has no files, so it cannot import other
modules of the standard library later.
"""

import importlib
import pkgutil
import sys
import warnings

_LEFT_OUT = {
    "_android_support",
    "_apple_support",
    "_ios_support",
    "_pyrepl",
    "antigravity",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pip",
    "pydoc_data",
    "test",
    "this",
    "tkinter",
    "turtle",
    "turtledemo",
    "venv",
}
"""Modules that are useless in a sandbox or print when imported."""


def _wanted(name: str) -> bool:
    parts = name.split(".")
    return parts[0] in sys.stdlib_module_names and parts[0] not in _LEFT_OUT and "__main__" not in parts


def _names() -> list[str]:
    top = sorted(name for name in sys.stdlib_module_names if _wanted(name))
    found = []
    for name in top:
        found.append(name)
        try:
            package = importlib.import_module(name)
        except BaseException:
            continue
        inside = pkgutil.walk_packages(getattr(package, "__path__", []), name + ".", onerror=lambda _: None)
        found += [m.name for m in inside if _wanted(m.name) and ".test" not in m.name]
    return found


def preload() -> list[str]:
    """Imports all modules that can be imported. Returns the names of all imported modules."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _names():
            try:
                importlib.import_module(name)
            except BaseException:  # A module for another system, or one that needs a terminal.
                sys.modules.pop(name, None)
    return sorted(name for name, module in sys.modules.items() if module is not None and _wanted(name))
