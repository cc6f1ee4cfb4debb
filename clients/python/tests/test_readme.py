"""Runs every Python block of the README, in order, in one module. `# →` precedes the expected value of a line."""

from __future__ import annotations

import ast
import linecache
import re
import shutil
import sys
import types
from pathlib import Path

import pytest
from server import Server, guest

README = Path(__file__).parent.parent / "README.md"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.M | re.S)


def shown(line: str) -> str | None:
    """Returns the expected value of a line."""
    _, found, value = line.partition("# → ")
    return value.strip() if found else None


def run(block: str, number: int, names: dict[str, object]) -> int:
    """Runs a block and returns the number of checked values."""
    lines = block.splitlines()
    # Registers the source as a notebook does for its cells: Python functions are sent by their source.
    file = f"{README}, block {number}"
    linecache.cache[file] = (len(block), None, block.splitlines(True), file)
    checked = 0
    for statement in ast.parse(block).body:
        assert statement.end_lineno is not None
        wanted = shown(lines[statement.end_lineno - 1])
        if wanted is None:
            exec(compile(ast.Module([statement], []), file, "exec"), names)
            continue
        assert isinstance(statement, ast.Expr), f"only an expression has a value: {lines[statement.end_lineno - 1]}"
        value = eval(compile(ast.Expression(statement.value), file, "eval"), names)
        assert repr(value) == wanted, lines[statement.end_lineno - 1]
        checked += 1
    return checked


def test_the_readme_is_true(own_python_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("noop", "wordcount", "montecarlo-pi", "trap"):
        shutil.copy(guest(name), tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FABRIC_DATA", str(own_python_server.data))
    module = types.ModuleType("readme")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names: dict[str, object] = vars(module)
    checked = sum(run(block, number, names) for number, block in enumerate(blocks(), 1))
    assert len(blocks()) >= 7
    assert checked == README.read_text().count("# → ")
    names["fab"].close()  # type: ignore[attr-defined]
