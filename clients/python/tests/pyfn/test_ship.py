"""Bundles: their content, rejected values, and identical text on every run."""

from __future__ import annotations

import collections.abc
import io
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from fabric_client import Fabric
from fabric_client.pyfn import NotShippable
from fabric_client.pyfn.packages import Packages
from fabric_client.pyfn.ship import Shipment
from pyfn import beside

LOCK = threading.Lock()
OPEN = io.StringIO("text")
UNUSED = memoryview(b"")
STRUCTURED = numpy.zeros(2, dtype=[("a", "i4")])


def bundle(function: Callable[..., Any]) -> dict[str, Any]:
    shipment = Shipment(Packages())
    document: dict[str, Any] = json.loads(shipment.finish(shipment.function(function)).bundle)
    return document


def refused(function: Callable[..., Any]) -> str:
    with pytest.raises(NotShippable) as caught:
        bundle(function)
    assert caught.value.hint
    assert isinstance(caught.value, TypeError)
    return str(caught.value)


def test_what_is_not_used_stays_here() -> None:
    def f(OPEN: int) -> int:
        LOCK = OPEN
        return [LOCK for UNUSED in range(3)][0]

    found = bundle(f)
    assert len(found["definitions"]) == 1
    assert found["variables"] == []


def test_annotations_need_not_be_there() -> None:
    class Frame:
        lock = LOCK

    def f(x: Frame) -> Frame:
        y: Frame = x
        return y

    found = bundle(f)
    assert len(found["definitions"]) == 1
    assert found["variables"] == []


def test_no_path_and_no_line_of_the_file_is_sent() -> None:
    def f(x: int) -> int:
        return x

    text = json.dumps(bundle(f))
    assert str(Path(__file__).parent) not in text
    assert "test_ship.py" not in text


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda: LOCK.acquire(), ("`LOCK`", "one process only")),
        (lambda: OPEN.read(), ("`OPEN`", "an open file cannot be sent")),
        (lambda: UNUSED, ("`UNUSED`", "builtins.memoryview")),
        (lambda: pytest.raises, ("the sandbox has no module", 'packages=["pytest==')),
        (lambda: subprocess.run(["x"]) and beside, ("beside", "from pyfn.beside import")),
        (lambda: socket.socket, None),
    ],
    ids=["lock", "file", "object", "package", "module", "socket"],
)
def test_what_can_not_go_is_refused_with_the_way_to_it(
    function: Callable[..., Any], words: tuple[str, ...] | None
) -> None:
    if words is None:
        bundle(function)
        return
    said = refused(function)
    for word in words:
        assert word in said


def test_values_around_a_function_are_refused_by_name() -> None:
    handle = Path(__file__).open()  # noqa: SIM115
    server = socket.socket()
    numbers = (n for n in range(3))
    local = threading.local()
    with handle, server:
        assert "test_ship.py) cannot be sent" in refused(lambda: handle.read())
        assert "a socket cannot be sent" in refused(lambda: server.accept())
    assert "suspended" in refused(lambda: next(numbers))
    assert "one process only" in refused(lambda: local.x)


def test_native_extensions_are_refused_by_name() -> None:
    import pandas as pd

    generator = numpy.random.default_rng()

    def f() -> object:
        return numpy.zeros(3)

    assert "numpy is a native extension" in refused(f)
    assert "do not run in the sandbox" in refused(lambda: pd.DataFrame())
    assert "numpy (a Generator) is a native extension" in refused(lambda: generator)
    assert "a structured array" in refused(lambda: STRUCTURED)


def test_modules_that_a_sandbox_has_not_are_refused() -> None:
    import ctypes
    import tkinter

    assert "no module ctypes" in refused(lambda: ctypes.c_int(1))
    assert "no module tkinter" in refused(lambda: tkinter.Tk())


def test_the_client_stays_here(fab: Fabric) -> None:
    assert "needs the network" in refused(lambda: fab.url)


def test_generators_are_refused(fab: Fabric) -> None:
    def numbers() -> Any:
        yield 1

    with pytest.raises(NotShippable, match="yields"):
        fab.function(numbers)
    with pytest.raises(TypeError, match="not a function"):
        fab.function(5)  # type: ignore[call-overload]


def test_functions_without_source_are_refused() -> None:
    space: dict[str, Any] = {}
    exec("def typed(x): return x", space)
    assert "the source of typed is not available" in refused(space["typed"])
    many = [lambda x: x, lambda x: x + 0 * len("a")], [(lambda x: (x, 1)), (lambda x: (x, 1.0))]
    assert bundle(many[0][0])["texts"]


class Shelf:
    pass


def test_a_class_that_is_registered_later_is_sent_as_registered() -> None:
    def f() -> bool:
        return isinstance(Shelf(), (collections.abc.Sized, os.PathLike))

    assert "registered with" not in json.dumps(bundle(f))
    collections.abc.Sized.register(Shelf)
    os.PathLike.register(Shelf)
    found = [state["registered with"] for _, state in bundle(f)["classes"]]
    assert found == [[{"$from": ["collections.abc", "Sized"]}, {"$from": ["os", "PathLike"]}]]


SCRIPT = textwrap.dedent(
    """
    import sys
    from fabric_client.pyfn.packages import Packages
    from fabric_client.pyfn.ship import Shipment
    from pyfn.beside import words, Point, Colour, fibonacci
    NAMES = {"a", "b", "c", "d", "e", "f"}
    def f(x):
        return words(x), Point(1), Colour.RED, fibonacci(3), NAMES
    shipment = Shipment(Packages())
    value = shipment.value([NAMES, {"k": NAMES}, Point(2)], "x")
    print(shipment.finish(shipment.function(f)).bundle, value)
    """
)


def test_the_same_function_is_the_same_text_in_another_process(tmp_path: Path) -> None:
    said = set()
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        (folder / "main.py").write_text(SCRIPT + "\n" * int(seed))
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run([sys.executable, folder / "main.py"], env=env, capture_output=True, text=True, check=True)
        said.add(done.stdout)
    assert len(said) == 1


def test_the_same_function_further_down_is_the_same_text(tmp_path: Path) -> None:
    texts = set()
    for blank in (0, 50):
        path = tmp_path / f"down{blank}.py"
        path.write_text("\n" * blank + "def f(x):\n    return x + K\nK = 2\n")
        space: dict[str, Any] = {"__name__": "__main__", "__file__": str(path)}
        exec(compile(path.read_text(), str(path), "exec"), space)
        texts.add(json.dumps(bundle(space["f"])))
    assert len(texts) == 1


def test_cells_of_a_notebook_are_source() -> None:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    try:
        for cell in (
            "from dataclasses import dataclass\nimport math as m",
            "K = 4\n@dataclass\nclass P:\n    x: int",
            "def helper(v):\n    return P(v.x * K)",
            "def f(v):\n    # a comment\n    return helper(v).x + m.floor(1.5)",
        ):
            shell.run_cell(cell, store_history=True).raise_error()
        found = bundle(shell.user_ns["f"])
    finally:
        InteractiveShell.clear_instance()
    names = {part for _, kind, *parts in found["definitions"] for part in parts if isinstance(part, str)}
    assert {"P", "helper", "f"} <= names
    assert [found["modules"].index(["__main__", True]), "K", 4] in found["variables"]
