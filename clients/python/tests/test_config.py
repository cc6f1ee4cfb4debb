"""The resolution of settings, with the rules of the CLI."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from server import Server, binary

from fabric_client import AsyncFabric, Fabric, SettingError, Settings
from fabric_client.config import DEFAULT_URL

CONFIG = """
current = "prod"
[contexts.prod]
url = "https://prod.example/"
token = "p"
tenant = "acme"
[contexts.dev]
url = "https://dev.example"
token = "d"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "server.json").write_text('{"pid":1,"url":"http://127.0.0.1:9999"}')
    (tmp_path / "data" / "admin-token").write_text("local-secret\n")
    return tmp_path


def resolve(
    home: Path, *, config: str = "", env: dict[str, str] | None = None, **given: str
) -> tuple[str, str | None, str | None]:
    (home / "config.toml").write_text(config)
    places = {"FABRIC_CONFIG_HOME": str(home), "FABRIC_DATA": str(home / "data")}
    found = Settings.resolve(given.pop("url", None), given.pop("token", None), env=places | (env or {}), **given)  # type: ignore[arg-type]
    return found.url, found.token, found.tenant


def test_the_server_on_this_machine_is_found_with_its_token(home: Path) -> None:
    assert resolve(home) == ("http://127.0.0.1:9999", "local-secret", None)
    # A folder that was named names a server: no other one is asked.
    for env in ({"FABRIC_DATA": "/nonexistent"}, {"FABRIC_DATA": str(home)}):
        with pytest.raises(SettingError, match="no server runs with the data folder"):
            resolve(home, env=env)
        assert resolve(home, env={**env, "FABRIC_URL": DEFAULT_URL}) == (DEFAULT_URL, None, None)
    (home / "data" / "server.json").write_text("[not json")
    with pytest.raises(SettingError, match="no server runs"):
        resolve(home)


def test_arguments_win_over_the_environment_and_that_over_the_file(home: Path) -> None:
    env = {"FABRIC_URL": "http://env.example", "FABRIC_TOKEN": "e", "FABRIC_TENANT": "envt"}
    assert resolve(home, config=CONFIG) == ("https://prod.example", "p", "acme")
    assert resolve(home, config=CONFIG, env=env) == ("http://env.example", "e", "envt")
    assert resolve(home, config=CONFIG, env=env, url="http://arg.example", token="a")[:2] == ("http://arg.example", "a")
    env.pop("FABRIC_TENANT")
    assert resolve(home, config=CONFIG, env=env, context="dev") == ("https://dev.example", "d", None)
    assert resolve(home, config=CONFIG, env={"FABRIC_CONTEXT": "dev"}) == ("https://dev.example", "d", None)
    # An empty secret must not fall back to another one.
    with pytest.raises(SettingError, match="the token is empty"):
        resolve(home, config=CONFIG, env={"FABRIC_TOKEN": ""})
    assert resolve(home, config=CONFIG, env={"FABRIC_TOKEN": ""}, token="a")[1] == "a"


def test_a_stored_token_never_goes_to_another_server(home: Path) -> None:
    assert resolve(home, config=CONFIG, url="http://other.example") == ("http://other.example", None, None)
    assert resolve(home, config=CONFIG, url="https://PROD.example:443")[1] == "p"
    assert resolve(home, config=CONFIG, url="http://prod.example")[1] is None
    assert resolve(home, config=CONFIG, url="http://127.0.0.1:9999/")[1] == "local-secret"
    assert resolve(home, config=CONFIG, url="http://127.0.0.1:9998")[1] is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"url": "ftp://x"}, "not a server address"),
        ({"url": "fabric.example.org"}, "not a server address"),
        ({"url": "http://"}, "not a server address"),
        ({"url": "http://x:99999999"}, "not a server address"),
        ({"url": "http://user:pass@x"}, "its own setting"),
        ({"token": "two\nlines"}, "invalid characters"),
        ({"tenant": "a\nb"}, "not a tenant name"),
        ({"context": "staging"}, "known contexts: dev, prod"),
        ({"config": "[contexts.prod]\nurl = 'x'\ntokn = 'y'", "context": "prod"}, "tokn"),
        ({"config": "[contexts.prod]\ntoken = 'y'", "context": "prod"}, "url, token"),
        ({"config": "[contexts.prod\n"}, "config.toml"),
        ({"config": "contexts = 7\ncurrent = 'a'"}, "no context"),
    ],
)
def test_mistakes_say_where_they_are(home: Path, given: dict[str, str], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        resolve(home, **({"config": CONFIG} | given))


def test_a_token_over_plain_http_is_warned_of_beyond_loopback() -> None:
    for twin in (Fabric, AsyncFabric):
        with pytest.warns(UserWarning, match="unencrypted"):
            twin("http://example.org", "t")
        for fine in ("https://example.org", "http://localhost:1", "http://[::1]:1", "http://127.0.0.2"):
            twin(fine, "t")


def test_a_token_is_in_no_repr() -> None:
    assert "secret" not in repr(Settings("http://127.0.0.1:1", "secret"))
    assert "secret" not in repr(Fabric("http://127.0.0.1:1", "secret"))


def test_the_cli_and_this_package_find_the_same_server(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    config = str(server.folder / "config")
    command = [binary(), "context", "set", "mine", "--url", server.url, "--token", server.token]
    subprocess.run(command, env=server.environment(), check=True, capture_output=True)
    monkeypatch.setenv("FABRIC_CONFIG_HOME", config)
    with Fabric(context="mine") as fab:
        assert fab.whoami().role == "admin"
    monkeypatch.delenv("FABRIC_DATA")
    with Fabric(data_dir=server.data) as fab:
        assert (fab.url, fab.whoami().name.split(" on ")[0]) == (server.url, "admin of process local")
    with Fabric(server.url, tenant="other") as fab:
        assert fab.whoami().tenant == "other"


def test_a_wrong_token_is_denied(server: Server) -> None:
    with Fabric(server.url, "wrong") as fab, pytest.raises(PermissionError, match="unauthenticated"):
        fab.whoami()
