"""Which server a client talks to, as whom: arguments, then the environment, then the CLI's `config.toml`, then the
server on this machine, then `http://127.0.0.1:8080`. The same rules as the `fabric` command's.

A token belongs to the address it was stored with: one from a context or from a local server's folder is sent to that
server only, even when the address comes from elsewhere.
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

#: Where a client looks when nothing else is said.
DEFAULT_URL = "http://127.0.0.1:8080"

_FILE_LIMIT = 64 << 10
_KEYS = {"url", "token", "tenant", "ca"}


@dataclass(frozen=True)
class Settings:
    """The settings of a client. Make them with `Settings.resolve`."""

    url: str
    #: The secret to send; None means that none is sent.
    token: str | None = field(default=None, repr=False)
    #: The tenant to act in; None means the token's own.
    tenant: str | None = None
    #: A file of certificates to trust besides the system's, in PEM.
    ca: str | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine."""
        import ipaddress

        host = urlsplit(self.url).hostname or ""
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def sends_token_in_clear(self) -> bool:
        """Whether the token would cross a network unencrypted."""
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
        """Works the settings out.

        Args:
            url: The server; else `FABRIC_URL`, the context in use, the server on this machine, `DEFAULT_URL`.
            token: The secret; else `FABRIC_TOKEN`, the context's, the local server's admin token.
            tenant: The tenant to act in; else `FABRIC_TENANT`, the context's.
            context: A named server of the CLI's configuration file; else `FABRIC_CONTEXT`, the one in use.
            ca: A file of certificates; else `FABRIC_CA`, the context's.
            data_dir: Where the server on this machine keeps its data; else `FABRIC_DATA`, `~/.local/share/fabric`.
            env: The environment to look in; `os.environ` by default.

        Raises:
            SettingError: for an address, a token, a configuration file or a context that can't be used.
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
        address = _checked_url(address)
        stored = stored if _same_server(stored.get("url"), address) else {}
        local = local if _same_server(local.get("url"), address) else {}
        # The variable goes with the address that is in force, unless a context was asked for by name.
        named = stored.get("token") if asked else None
        if token == "" or (token is None and not named and found.get("FABRIC_TOKEN") == ""):
            # It must not stand for another token, such as the local admin's.
            raise SettingError("the token is empty", hint="give one, or unset FABRIC_TOKEN")
        secret = token or named or look("FABRIC_TOKEN") or stored.get("token") or local.get("token")
        if secret is not None and not (secret.isascii() and secret.isprintable()):
            raise SettingError("the token holds characters that no token has", hint="copy it again, without line ends")
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
        raise SettingError(f"{url!r} is not a server address", hint="write it like https://fabric.example.org")
    if parts.username or parts.password:
        raise SettingError("put the token into its own setting, not into the address")
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
    # The standard says that a relative path there is invalid.
    return Path(base) if base and Path(base).is_absolute() else Path.home() / fallback


def _context(asked: str | None, look: Any) -> dict[str, str]:
    """The context asked for, or the one in use; empty where there is none."""
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
        raise SettingError(f"no context {name!r} in {path}", hint=f"there are: {known}" if known else "there are none")
    unknown = set(chosen) - _KEYS
    if unknown or not all(isinstance(v, str) for v in chosen.values()) or "url" not in chosen:
        what = f"unknown key {sorted(unknown)[0]!r}" if unknown else "url, token, tenant and ca are texts"
        raise SettingError(f"{path}: context {name!r}: {what}")
    return dict(chosen)


def _local_server(data_dir: str | os.PathLike[str] | None, look: Any) -> dict[str, str]:
    """The address and the admin's token that a server on this machine left in its data folder."""
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
