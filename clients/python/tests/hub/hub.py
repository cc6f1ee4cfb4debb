"""A JupyterHub with the configuration of `docs/jupyterhub.md`, which tests can stop and restart."""

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
#: The secret of a service unrelated to Fabric, which has access to it nevertheless.
MONITOR = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"

#: Configuration that the document leaves to the operator: addresses, authentication, spawner.
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
    """Returns the configuration in the document."""
    found = re.search(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S)
    assert found, f"{DOCUMENT} has no configuration block"
    return found[1]


def environment() -> Path:
    """Returns the folder that `install.sh` created."""
    hint = "hint: tests/hub/install.sh FOLDER WHEEL && export FABRIC_HUB_ENV=FOLDER"
    named = os.environ.get("FABRIC_HUB_ENV")
    assert named, f"FABRIC_HUB_ENV is not set\n{hint}"
    assert (Path(named) / "bin" / "jupyterhub").is_file(), f"there is no JupyterHub in {named}\n{hint}"
    assert shutil.which("node"), "JupyterHub's proxy needs node, which is missing\nhint: install Node.js 20 or newer"
    return Path(named)


class Hub:
    """A Hub over a new folder. It keeps its addresses and users across restarts."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fabric-hub-"))
        self.url, self._inside, self._proxy = (f"http://127.0.0.1:{port}" for port in free_ports(3))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def api(self) -> str:
        """The URL of the Hub API, which the gateway uses to check tokens."""
        return f"{self._inside}/hub/api"

    def configure(self, fabric_url: str) -> None:
        """Writes the configuration: the operator's own, followed by that of the document."""
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
        """Starts the Hub and waits until it responds and handles signals, which its log reports."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("FABRIC_", "JUPYTER", "PYTEST"))
        }
        # Spawners pass PATH on, so that users' terminals have the `fabric` command.
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
        """Returns the log of the Hub, its proxy and its users' notebook servers."""
        log = self.folder / "hub.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def stop(self) -> None:
        """Stops the Hub, its proxy and all notebook servers with SIGTERM, and waits until it exits."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(PATIENCE) == 0, self.log()

    def close(self) -> None:
        """Stops the Hub and removes its folder."""
        if self._process is not None and self._process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
