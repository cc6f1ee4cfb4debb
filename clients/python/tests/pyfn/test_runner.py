"""The runner itself: its importable modules, and malformed calls."""

from __future__ import annotations

import sys

import pytest
from server import Server

from fabric_client import Fabric, FabricError, SettingError
from fabric_client.pyfn import runner
from fabric_client.pyfn.modules import runner_modules


def test_the_list_of_modules_is_what_the_runner_has(fab: Fabric) -> None:
    there = fab.function(lambda: sorted(sys.modules)).remote()
    assert runner_modules() <= set(there)
    standard = {name for name in there if name.partition(".")[0] in sys.stdlib_module_names}
    assert {"json", "sqlite3", "zoneinfo", "asyncio.tasks", "xml.etree.ElementTree"} <= runner_modules()
    assert len(standard - runner_modules()) < 20


def test_there_is_nothing_outside(fab: Fabric) -> None:
    def look() -> dict[str, str]:
        import os
        import socket
        import threading
        import urllib.request

        def said(call: object) -> str:
            try:
                return str(call())  # type: ignore[operator]
            except Exception as error:
                return type(error).__name__

        return {
            "files": said(lambda: os.listdir("/")),
            "write": said(lambda: open("/tmp/x", "w")),
            "network": said(lambda: urllib.request.urlopen("http://127.0.0.1:1/", timeout=1)),
            "socket": said(lambda: socket.create_connection(("127.0.0.1", 1), 1)),
            "threads": said(lambda: threading.Thread(target=print).start()),
            "processes": said(lambda: os.system("true")),
            "environment": said(lambda: {k: v for k, v in os.environ.items() if "FABRIC" in k or "HOME" in k}),
        }

    found = fab.function(look).remote()
    assert found.pop("environment") == "{}"
    for what, said in found.items():
        assert said.endswith(("rror", "[]")), (what, said)


@pytest.mark.parametrize("body", [b"", b"\n", b"{", b"{}\n{}", b"\xff\n\xff", b'{"steps":5}\n{}', b"[" * 10000])
def test_rubbish_is_answered_or_fails(fab: Fabric, body: bytes) -> None:
    fab.function(len).remote([])
    ref = list(fab._python_runners.values())[-1]
    try:
        answer = fab.function(ref).invoke(body).content
    except FabricError as error:
        assert error.code != "internal"
    else:
        assert answer.startswith(b'{"error":')


def test_limits_are_deployments_of_one_module(own_python_server: Server) -> None:
    with own_python_server.connect() as fab:
        fab.function(len).remote([])
        fab.function(len, limits={"fuel": 10**9}).remote([])
        fab.function(len, limits={"fuel": 10**9}).remote([1])
        found = [f for f in fab.functions(tag="python") if f.name.startswith("python-len-")]
        assert len(found) == 2
        assert len({f.versions()[0].module for f in found}) == 1


def test_a_deployment_has_the_name_of_its_function(own_python_server: Server) -> None:
    with own_python_server.connect() as fab:

        def Total_of(numbers: list[int]) -> int:
            print("adding")
            return sum(numbers)

        call = fab.function(Total_of).spawn([1, 2])
        assert call.result() == 3
        fab.function(lambda: 1).remote()
        names = {f.name.rpartition("-")[0]: f.name for f in fab.functions(tag="python")}
        assert names.keys() >= {"python-lambda", "python-total-of"}
        assert all(map(runner.is_runner, names.values()))
        name = names["python-total-of"]
        (line,) = [line for line in fab.logs(function=name) if line.message == "adding"]
        assert line.function == name
        assert name in {line.function for line in fab.usage().functions}


def test_names_of_deployments() -> None:
    assert runner.deployment_name("a" * 99, "d", {}).startswith("python-" + "a" * 38 + "-")
    assert runner.is_runner(runner.deployment_name("ünïcode", "d", {}))
    assert runner.is_runner(runner.deployment_name("<>", "d", {}))
    assert not runner.is_runner("python-tools")


def test_a_missing_runner_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runner.VARIABLE, "/nonexistent/runner.wasm")
    with pytest.raises(SettingError, match="the Python runner is missing") as caught:
        runner.module()
    assert runner.VARIABLE in (caught.value.hint or "")
