"""The settings of a client: its server and its token. Sources, by precedence: arguments, environment variables, the
CLI's `config.toml`, the server on this machine, `http://127.0.0.1:8080`. The `fabric` command uses the same rules.

A token belongs to the address it was stored with: one from a context or from a local server's folder is sent to that
server only, even if the address comes from another source.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import SettingError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: The server if no other source names one.
DEFAULT_URL = "http://127.0.0.1:8080"

_FILE_LIMIT = 64 << 10
_KEYS = {"url", "token", "tenant", "ca"}


@dataclass(frozen=True)
class Settings:
    """The settings of a client. Created by `Settings.resolve`."""

    url: str
    #: The secret to send; None to send none.
    token: str | None = field(default=None, repr=False)
    #: The tenant to act in; None for the token's own.
    tenant: str | None = None
    #: A PEM file of certificates to trust in addition to the system's.
    ca: str | None = None

    @property
    def is_loopback(self) -> bool:
        """True if the server is on this machine."""
        import ipaddress

        host = urlsplit(self.url).hostname or ""
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def sends_token_in_clear(self) -> bool:
        """True if the token would be sent over a network unencrypted."""
        return self.token is not None and self.url.startswith("http://") and not self.is_loopback

    @classmethod
    def resolve(
        cls,
        url: str | None = None,
        token: str | None = None,
        *,
        tenant: str | None = None,
        context: str | None = None,
        ca: str | os.PathLike[str] | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Settings:
        """Resolves the settings from all sources.

        Args:
            url: The server; by default `FABRIC_URL`, the current context, the server on this machine, `DEFAULT_URL`.
            token: The secret; by default `FABRIC_TOKEN`, the context's, the local server's admin token.
            tenant: The tenant to act in; by default `FABRIC_TENANT`, the context's.
            context: A named server of the CLI's configuration file; by default `FABRIC_CONTEXT`, the current one.
            ca: A PEM file of certificates; by default `FABRIC_CA`, the context's.
            data_dir: The data folder of the server on this machine; by default `FABRIC_DATA`, `~/.local/share/fabric`.
            env: The environment variables; by default `os.environ`.

        Raises:
            SettingError: if an address, a token, a configuration file or a context is invalid.
        """
        found = os.environ if env is None else env

        def look(name: str) -> str | None:
            return found.get(name) or None

        asked = context or look("FABRIC_CONTEXT")
        stored = _context(asked, look)
        local = _local_server(data_dir, look)
        address = (
            url
            or (stored.get("url") if asked else None)
            or look("FABRIC_URL")
            or stored.get("url")
            or local.get("url")
            or DEFAULT_URL
        )
        missing = data_dir or look("FABRIC_DATA")
        if missing and address == DEFAULT_URL and not (url or look("FABRIC_URL") or stored or local):
            # A request must not reach another server than the one that was named.
            raise SettingError(
                f"no server runs with the data folder {os.fspath(missing)}",
                hint="start one: fabric serve --data FOLDER; or give another address with url or FABRIC_URL",
            )
        address = _checked_url(address)
        stored = stored if _same_server(stored.get("url"), address) else {}
        local = local if _same_server(local.get("url"), address) else {}
        # The environment's token is for the address in effect, unless a context was named explicitly.
        named = stored.get("token") if asked else None
        if token == "" or (token is None and not named and found.get("FABRIC_TOKEN") == ""):
            # An empty token must not fall back to another one, such as the local admin's.
            raise SettingError("the token is empty", hint="pass a token, or unset FABRIC_TOKEN")
        secret = token or named or look("FABRIC_TOKEN") or stored.get("token") or local.get("token")
        if secret is not None and not (secret.isascii() and secret.isprintable()):
            raise SettingError("the token contains invalid characters", hint="copy it again, without line breaks")
        acting = tenant or look("FABRIC_TENANT") or stored.get("tenant")
        if acting is not None and not (acting.isascii() and acting.isprintable()):
            raise SettingError(f"{acting!r} is not a tenant name")
        trusted = str(ca) if ca is not None else (look("FABRIC_CA") or stored.get("ca"))
        return cls(url=address, token=secret, tenant=acting, ca=trusted)


def _checked_url(url: str) -> str:
    parts = urlsplit(url.strip())
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise SettingError(f"{url!r} is not a server address", hint="use an address such as https://fabric.example.org")
    if parts.username or parts.password:
        raise SettingError("the address contains credentials; put the token into its own setting")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _same_server(stored: str | None, url: str) -> bool:
    if stored is None:
        return False
    a, b = urlsplit(stored), urlsplit(url)
    try:
        return (a.scheme, a.hostname, _port(a), a.path.rstrip("/")) == (
            b.scheme,
            b.hostname,
            _port(b),
            b.path.rstrip("/"),
        )
    except ValueError:
        return False


def _port(parts: Any) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _home(variable: str, fallback: str, look: Any) -> Path:
    base = look(variable)
    # The XDG specification declares relative paths invalid.
    return Path(base) if base and Path(base).is_absolute() else Path.home() / fallback


def _context(asked: str | None, look: Any) -> dict[str, str]:
    """Returns the named context, or else the current one; empty if there is none."""
    folder = look("FABRIC_CONFIG_HOME")
    path = (Path(folder) if folder else _home("XDG_CONFIG_HOME", ".config", look) / "fabric") / "config.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as e:
        raise SettingError(f"{path}: {e}") from e
    try:
        config = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise SettingError(f"{path}: {e}") from e
    contexts = config.get("contexts", {})
    name = asked or config.get("current")
    if name is None:
        return {}
    chosen = contexts.get(name) if isinstance(contexts, dict) else None
    if not isinstance(chosen, dict):
        known = ", ".join(sorted(contexts)) if isinstance(contexts, dict) else ""
        raise SettingError(f"no context {name!r} in {path}", hint=f"known contexts: {known}" if known else "none exist")
    unknown = set(chosen) - _KEYS
    if unknown or not all(isinstance(v, str) for v in chosen.values()) or "url" not in chosen:
        what = f"unknown key {sorted(unknown)[0]!r}" if unknown else "url, token, tenant and ca must be strings"
        raise SettingError(f"{path}: context {name!r}: {what}")
    return dict(chosen)


def _local_server(data_dir: str | os.PathLike[str] | None, look: Any) -> dict[str, str]:
    """Returns the address and the admin token from the data folder of a server on this machine."""
    folder = Path(data_dir or look("FABRIC_DATA") or _home("XDG_DATA_HOME", ".local/share", look) / "fabric")
    about = _small_file(folder / "server.json")
    if about is None:
        return {}
    try:
        parsed = json.loads(about)
    except ValueError:
        return {}
    url = parsed.get("url") if isinstance(parsed, dict) else None
    if not isinstance(url, str):
        return {}
    token = (_small_file(folder / "admin-token") or "").strip()
    return {"url": url, "token": token} if token else {"url": url}


def _small_file(path: Path) -> str | None:
    try:
        if not path.is_file() or path.stat().st_size > _FILE_LIMIT:
            return None
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
