"""A real JupyterHub, configured by what `docs/jupyterhub.md` tells operators to write; stopped, started again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import httpx
from server import PATIENCE, binary, free_ports, until

DOCUMENT = Path(__file__).parents[4] / "docs" / "jupyterhub.md"
#: The secret of a service that has nothing to do with Fabric, and is let in all the same.
MONITOR = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"

#: What the document leaves to the operator: addresses, who logs in and how, where notebook servers run.
OPERATORS_OWN = """
c.JupyterHub.bind_url = "{url}"
c.JupyterHub.hub_bind_url = "{inside}"
c.ConfigurableHTTPProxy.api_url = "{proxy}"
c.ConfigurableHTTPProxy.command = ["{environment}/proxy/node_modules/.bin/configurable-http-proxy"]
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {{"head"}}
c.JupyterHub.load_groups = {{"astro": {{"users": ["alice", "head"]}}}}
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "{folder}/home/{{username}}"
c.Spawner.environment = {{"OF_THE_OPERATOR": "kept"}}
c.Spawner.args = ["--allow-root"]
c.Spawner.start_timeout = c.Spawner.http_timeout = {patience}
c.JupyterHub.services = [{{"name": "monitor", "api_token": "{monitor}"}}]
c.JupyterHub.load_roles = [{{"name": "monitor", "services": ["monitor"], "scopes": ["access:services"]}}]
"""


def documented() -> str:
    """The configuration that the document shows, to be added to the operator's own."""
    found = re.search(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S)
    assert found, f"{DOCUMENT} shows no configuration"
    return found[1]


def environment() -> Path:
    """The folder that `install.sh` filled."""
    hint = "hint: tests/hub/install.sh FOLDER WHEEL && export FABRIC_HUB_ENV=FOLDER"
    named = os.environ.get("FABRIC_HUB_ENV")
    assert named, f"FABRIC_HUB_ENV names no folder\n{hint}"
    assert (Path(named) / "bin" / "jupyterhub").is_file(), f"there is no JupyterHub in {named}\n{hint}"
    assert shutil.which("node"), "node is not there, and JupyterHub's proxy needs it\nhint: install Node.js 20 or newer"
    return Path(named)


class Hub:
    """A Hub over a fresh folder, whose users find the Fabric at `fabric_url`. It keeps its addresses and its users."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fabric-hub-"))
        self.url, self._inside, self._proxy = (f"http://127.0.0.1:{port}" for port in free_ports(3))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def api(self) -> str:
        """Where the gateway asks about tokens."""
        return f"{self._inside}/hub/api"

    def configure(self, fabric_url: str) -> None:
        """Writes its configuration: an operator's, and below it what the document shows."""
        own = OPERATORS_OWN.format(
            url=self.url,
            inside=self._inside,
            proxy=self._proxy,
            environment=environment(),
            folder=self.folder,
            monitor=MONITOR,
            patience=int(PATIENCE),
        )
        example = "https://fabric.example.org"
        assert example in documented()
        (self.folder / "jupyterhub_config.py").write_text(own + documented().replace(example, fabric_url))

    def start(self) -> None:
        """Starts it and waits until it answers, and takes signals: it says that it runs when it does."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("FABRIC_", "JUPYTER", "PYTEST"))
        }
        # Spawners hand the path on: a terminal of a user's has the `fabric` command.
        path = os.pathsep.join([str(environment() / "bin"), str(binary().parent), os.environ["PATH"]])
        before = len(self.log())
        with (self.folder / "hub.log").open("ab") as log:
            self._process = subprocess.Popen(
                [environment() / "bin" / "jupyterhub", "-f", "jupyterhub_config.py"],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=kept | {"PATH": path},
            )
        process = self._process

        def answers() -> bool:
            assert process.poll() is None, f"the Hub ended ({process.returncode})\n{self.log()}"
            if "JupyterHub is now running" not in self.log()[before:]:
                return False
            return httpx.get(f"{self.url}/hub/api/", timeout=PATIENCE).status_code == 200

        try:
            until("the Hub answers", answers)
        except BaseException:
            print(self.log())
            raise

    def log(self) -> str:
        """What it, its proxy and its users' notebook servers wrote."""
        log = self.folder / "hub.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def stop(self) -> None:
        """Asks it to end, which ends the proxy and all notebook servers too, and waits for that."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(PATIENCE) == 0, self.log()

    def close(self) -> None:
        """Ends it and removes its folder."""
        if self._process is not None and self._process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
