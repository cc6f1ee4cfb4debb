"""A user of the Hub: logs in, requests tokens, starts a notebook server and runs notebooks there."""

from __future__ import annotations

import base64
import json
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from server import PATIENCE
from websockets.sync.client import connect

from .hub import Hub


def cells(notebook: Path) -> list[str]:
    """Returns the code cells of a notebook."""
    return [
        "".join(cell["source"]) for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"
    ]


class Person:
    """A logged-in user of the Hub."""

    def __init__(self, hub: Hub, name: str) -> None:
        self._hub = hub
        self._browser = httpx.Client(base_url=hub.url, timeout=PATIENCE)
        self._me = f"/hub/api/users/{quote(name, safe='')}"
        self._home = f"/user/{quote(name, safe='')}"
        self._browser.get("/hub/login")
        form = {"username": name, "password": "any will do", "_xsrf": self._xsrf()}
        answer = self._browser.post("/hub/login", data=form, follow_redirects=False)
        assert answer.status_code == 302, answer.text

    def token(self, *scopes: str) -> Any:
        """Requests a token like the Hub's token page; it has `id` and `token`. Without scopes it has those of its
        owner."""
        asked = {"note": "for Fabric"} | ({"scopes": scopes} if scopes else {})
        return self._ask("POST", f"{self._me}/tokens", json=asked).json()

    def revoke(self, token: Any) -> None:
        """Revokes a token."""
        self._ask("DELETE", f"{self._me}/tokens/{token['id']}")

    def start_server(self) -> None:
        """Starts the notebook server and waits until it is ready."""
        self._ask("POST", f"{self._me}/server")
        with self._browser.stream("GET", f"{self._me}/server/progress") as events:
            told = [json.loads(line.removeprefix("data:")) for line in events.iter_lines() if line.startswith("data:")]
        assert told[-1].get("ready"), (told, self._hub.log())

    def stop_server(self) -> None:
        """Stops the notebook server."""
        self._ask("DELETE", f"{self._me}/server")

    def upload(self, file: Path) -> None:
        """Uploads a file to the home folder through the notebook server."""
        model = {"type": "file", "format": "base64", "content": base64.b64encode(file.read_bytes()).decode()}
        self._at_home("PUT", f"/api/contents/{file.name}", model)

    def run(self, *cells: str) -> list[str]:
        """Runs cells in a new kernel of the notebook server. Returns the output of each."""
        kernel = self._at_home("POST", "/api/kernels", {"name": "python3"})["id"]
        address = f"{self._hub.url.replace('http', 'ws', 1)}{self._home}/api/kernels/{kernel}/channels"
        with connect(address, additional_headers=self._token(), max_size=None) as channels:
            written = [_run(cell, channels) for cell in cells]
        self._at_home("DELETE", f"/api/kernels/{kernel}")
        return written

    def close(self) -> None:
        """Closes the browser."""
        self._browser.close()

    def _xsrf(self) -> str:
        return next(cookie.value or "" for cookie in self._browser.cookies.jar if cookie.name == "_xsrf")

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self._browser.request(method, path, headers={"X-XSRFToken": self._xsrf()}, **more)
        assert answer.is_success, (method, path, answer.status_code, answer.text, self._hub.log())
        return answer

    def _token(self) -> dict[str, str]:
        return {"Authorization": f"token {self.token()['token']}"}

    def _at_home(self, method: str, path: str, body: Any = None) -> Any:
        answer = httpx.request(
            method, f"{self._hub.url}{self._home}{path}", json=body, headers=self._token(), timeout=PATIENCE
        )
        assert answer.is_success, (method, path, answer.status_code, answer.text, self._hub.log())
        return answer.json() if answer.content else None


def _run(code: str, channels: Any) -> str:
    """Runs code in a kernel to completion. Returns its output."""
    number = uuid.uuid4().hex
    header = {"msg_id": number, "msg_type": "execute_request", "username": "", "session": number, "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
    asked = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    channels.send(json.dumps(asked | {"buffers": []}))
    written = ""
    while True:
        message = json.loads(channels.recv(PATIENCE))
        kind, about = message["msg_type"], message["content"]
        if message["parent_header"].get("msg_id") != number:
            continue
        assert kind != "error", "\n".join(about["traceback"])
        if kind == "stream":
            written += about["text"]
        elif kind == "execute_result":
            written += about["data"]["text/plain"] + "\n"
        elif kind == "status" and about["execution_state"] == "idle":
            return written
