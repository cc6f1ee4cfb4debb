"""A server process: the binary named by FABRIC_BIN, over a temporary folder."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wasmtime

from fabric_client import Fabric

#: Timeout in seconds for a server to become ready and for a condition to hold. Only a failing test waits this long.
PATIENCE = 120.0
#: Polling interval in seconds.
LOOK = 0.01


def binary() -> Path:
    """Returns the binary under test."""
    named = os.environ.get("FABRIC_BIN")
    assert named, "FABRIC_BIN is not set\nhint: cargo build -p fabric-cli && export FABRIC_BIN=…/debug/fabric"
    path = Path(named)
    assert path.is_file(), f"FABRIC_BIN: {path} does not exist\nhint: cargo build -p fabric-cli"
    return path


def guest(name: str) -> Path:
    """Returns the path of a guest module that `cargo xtask guests` built."""
    named = os.environ.get("FABRIC_GUESTS_DIR")
    assert named, "FABRIC_GUESTS_DIR is not set\nhint: cargo xtask guests && export FABRIC_GUESTS_DIR=…/guests"
    path = Path(named) / f"{name}.wasm"
    assert path.is_file(), f"{path} does not exist\nhint: cargo xtask guests"
    return path


def assembled(name: str) -> bytes:
    """Assembles a guest of these tests."""
    return bytes(wasmtime.wat2wasm((Path(__file__).parent / "guests" / f"{name}.wat").read_text()))


def until(what: str, condition: Callable[[], bool]) -> None:
    """Waits until `condition` holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"timed out waiting for: {what}"
        time.sleep(LOOK)


def free_ports(n: int) -> list[int]:
    """Returns distinct ports that were free a moment ago."""
    with contextlib.ExitStack() as held:
        listeners = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(n)]
        return [listener.getsockname()[1] for listener in listeners]


class Server:
    """A server over a new folder or a copy of another server's data. It keeps its address across restarts."""

    def __init__(self, *args: str, like: Path | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fabric-py-"))
        self.data = self.folder / "data"
        if like is not None:
            shutil.copytree(like, self.data)
        self._args = args
        self._listen = f"127.0.0.1:{free_ports(1)[0]}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def environment(self) -> dict[str, str]:
        """Returns the environment without the developer's own settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FABRIC_")}
        # Opening a software GPU at every start would be slow.
        return kept | {"FABRIC_CONFIG_HOME": str(self.folder / "config"), "FABRIC_GPU": "off", "NO_COLOR": "1"}

    def start(self) -> None:
        """Starts the server and waits until it is ready."""
        (self.data / "server.json").unlink(missing_ok=True)
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [binary(), "serve", "--listen", self._listen, "--data", self.data, *self._args],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(),
            )
        process = self._process

        def ready() -> bool:
            assert process.poll() is None, f"the server ended ({process.returncode})"
            return (self.data / "server.json").exists()

        try:
            until("the server is ready", ready)
        except BaseException:
            process.kill()
            process.wait()
            print(self.log())
            raise

    def log(self) -> str:
        """Returns the server's log."""
        return (self.folder / "server.log").read_text(errors="replace")

    @property
    def url(self) -> str:
        """The server's URL."""
        about: dict[str, Any] = json.loads((self.data / "server.json").read_text())
        return str(about["url"])

    @property
    def token(self) -> str:
        """The admin's secret."""
        return (self.data / "admin-token").read_text().strip()

    def connect(self, **options: Any) -> Fabric:
        """Returns a client with the admin's token."""
        return Fabric(self.url, self.token, **options)

    def guests(self) -> int:
        """Returns the number of running guests, from the metrics: node descriptions are up to a second old."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=PATIENCE) as answer:
            text: str = answer.read().decode()
        found = re.search(r"^fabric_node_running_guests (\d+)$", text, re.MULTILINE)
        assert found, text
        return int(found[1])

    def kill(self) -> None:
        """Kills the server with SIGKILL."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Stops the server with SIGTERM and waits until it exits."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(PATIENCE) == 0, self.log()

    def restart(self) -> None:
        """Kills the server and starts it again over the same folder, at the same address."""
        self.kill()
        self.start()

    def close(self) -> None:
        """Kills the server and removes its folder."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
