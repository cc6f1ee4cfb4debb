"""Converts Python values to bodies and bodies to Python values. Data from a server is never executed or unpickled."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Protocol

from .errors import ProtocolError
from .request import to_json
from .upload import Source, Upload, body

OCTETS = "application/octet-stream"
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


class Decoder(Protocol):
    """Converts the result of a job or a call to a value. Can be replaced to decode results differently."""

    def __call__(self, content: bytes, content_type: str | None) -> Any:
        """Returns the value of a body with this media type."""
        ...


@dataclass(frozen=True)
class Reply:
    """The response to a call."""

    #: The result as received.
    content: bytes
    #: The media type that the function set.
    content_type: str | None
    #: The invocation id, for `Fabric.logs`.
    invocation_id: str | None
    #: The version that ran.
    version: int | None
    #: Fuel spent.
    fuel: int | None
    #: True if the result is that of an earlier call with the same module, input and parameters.
    cached: bool

    @property
    def value(self) -> Any:
        """The result as a Python value: see `decode`."""
        return decode(self.content, self.content_type)


def encode(value: object) -> tuple[bytes | Upload, str]:
    """Returns a call's body and its media type.

    Bytes are sent unchanged, a `Path` or an open binary file is streamed, a `str` is sent as text, and any other value
    as JSON.

    Raises:
        TypeError: for a value that JSON cannot represent.
        ValueError: for NaN and infinities.
    """
    if isinstance(value, str):
        return value.encode(), TEXT
    if value is None:
        return b"", OCTETS
    if _is_source(value):
        return body(value), OCTETS  # type: ignore[arg-type]
    return to_json(value), JSON


def _is_source(value: object) -> bool:
    from pathlib import Path

    return isinstance(value, bytes | bytearray | memoryview | Path) or hasattr(value, "read")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:40]} is beyond the range of a float")
    return value


def decode(content: bytes, content_type: str | None) -> Any:
    """Decodes a body by its media type: JSON to its value, JSON lines to a list, text to `str`, anything else to bytes.

    Integers of any length are exact. Other numbers are floats.

    Raises:
        ProtocolError: if the body does not match its media type, or a number is beyond the range of a float.
    """
    kind = (content_type or OCTETS).partition(";")[0].strip().lower()
    try:
        if kind == JSON or kind.endswith("+json"):
            return json.loads(content, parse_float=_float)
        if kind in ("application/x-ndjson", "application/jsonl", "application/json-lines"):
            return [json.loads(line, parse_float=_float) for line in content.splitlines() if line.strip()]
        if kind.startswith("text/"):
            return content.decode()
    except (ValueError, RecursionError) as e:
        raise ProtocolError(
            f"the result is not valid {kind}: {e}", code="guest-contract", hint="read it as bytes instead"
        ) from e
    return content


__all__ = ["Decoder", "Reply", "Source", "decode", "encode"]
