"""Python values as bodies, and bodies as Python values. No value from a server is ever executed or unpickled."""

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
    """How a job's or a call's result becomes a value. Replace it to give results another meaning."""

    def __call__(self, content: bytes, content_type: str | None) -> Any:
        """The value of a body of this media type."""
        ...


@dataclass(frozen=True)
class Reply:
    """The answer to a call."""

    #: The result as it came.
    content: bytes
    #: The media type that the function gave it.
    content_type: str | None
    #: The id, for `Fabric.logs`.
    invocation_id: str | None
    #: The version that ran.
    version: int | None
    #: Fuel spent.
    fuel: int | None
    #: Whether the result came from an earlier call with the same module, input and parameters.
    cached: bool

    @property
    def value(self) -> Any:
        """The result as a Python value: see `decode`."""
        return decode(self.content, self.content_type)


def encode(value: object) -> tuple[bytes | Upload, str]:
    """A call's body and its media type.

    Bytes go as they are, a `Path` or an open binary file is streamed, a `str` goes as text, everything else as JSON.

    Raises:
        TypeError: for a value that JSON does not have.
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
    """A body as a value, by its media type: JSON as what it says, JSON lines as a list, text as `str`, else bytes.

    Whole numbers are exact, however long; others are floats.

    Raises:
        ProtocolError: for a body that is not of its media type, or has a number beyond the range of a float.
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
            f"the result says it is {kind} and is not: {e}", code="guest-contract", hint="read it as bytes instead"
        ) from e
    return content


__all__ = ["Decoder", "Reply", "Source", "decode", "encode"]
