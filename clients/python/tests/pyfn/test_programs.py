"""Runs small programs here and in the sandbox, and compares value, type and exception text.

A program is a function `p_…` without arguments in `programs/`. A module may list programs in `REFUSED`, with words of
the reason for which they are refused before anything is sent.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fabric_client import Fabric
from fabric_client.pyfn import NotShippable

FILES = sorted(path.stem for path in (Path(__file__).parent / "programs").glob("*.py") if path.stem != "__init__")
LEAST = 900
"""The number of programs that must be found, with any version of Python, so that none is lost when a file is split."""


def programs(module: ModuleType) -> dict[str, Callable[[], Any]]:
    return {name: value for name, value in vars(module).items() if name.startswith("p_")}


def outcome(call: Callable[[], Any]) -> str:
    """Returns the type and the text of a call's value or exception."""
    try:
        value = call()
    except Exception as error:
        return f"raised {_name(type(error))}: {error}"
    return f"{_name(type(value))}: {value!r}"


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


@pytest.mark.parametrize("file", FILES)
def test_programs_do_there_what_they_do_here(fab: Fabric, file: str) -> None:
    module = importlib.import_module(f"pyfn.programs.{file}")
    refused: dict[str, str] = getattr(module, "REFUSED", {})
    differing = []
    for name, program in programs(module).items():
        remote = fab.function(program).remote
        if name in refused:
            with pytest.raises(NotShippable) as caught:
                remote()
            assert refused[name] in str(caught.value), name
            continue
        here, there = outcome(program), outcome(remote)
        if here != there:
            differing.append(f"{name}\n  here  {here}\n  there {there}")
    assert not differing, "\n".join(differing)


def test_there_are_many_programs() -> None:
    found = sum(len(programs(importlib.import_module(f"pyfn.programs.{file}"))) for file in FILES)
    assert found >= LEAST, found
