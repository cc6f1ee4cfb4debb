"""The I/O steps of operations, independent of the I/O itself.

Every operation of this package (a request with its retries, waiting for a job, following events) is written once, as a
generator that yields steps and receives their outcomes. Two small drivers run the steps: `transport.SyncDriver` and
`transport.AsyncDriver`. The sync and the async handles thus share all logic, and the logic can be tested without a
network.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from .upload import Upload

T = TypeVar("T")
E_co = TypeVar("E_co", covariant=True)

#: Maximum size of an error body, in bytes. A longer body is truncated.
PROBLEM_LIMIT = 256 << 10
#: Maximum size of a JSON response, in bytes. A page has at most 1000 items.
JSON_LIMIT = 64 << 20


@dataclass(frozen=True)
class Request:
    """An HTTP request. `timeout` is in seconds without data until the head of the response; None for no limit."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Upload | None = None
    timeout: float | None = 30.0
    #: True if the request may be sent again after a failure that leaves open whether the server acted.
    repeatable: bool = False
    #: True to wait for an unreachable server (`Policy.reconnect_for`).
    patient: bool = False

    def with_headers(self, *headers: tuple[str, str]) -> Request:
        """Returns the request with more headers."""
        return replace(self, headers=self.headers + headers)


@dataclass
class Answer:
    """A response: its head, its body once read, and the driver's handle for the rest."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    handle: Any = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """True for a status of 2xx or 304."""
        return 200 <= self.status < 300 or self.status == 304


@dataclass(frozen=True)
class Open:
    """Sends a request. The outcome is an `Answer` whose body is not read yet."""

    request: Request


@dataclass(frozen=True)
class Read:
    """Reads from a response. The outcome is the next bytes, empty at the end."""

    answer: Answer


@dataclass(frozen=True)
class Close:
    """Releases the connection. The driver also releases connections that an operation leaves open."""

    answer: Answer


@dataclass(frozen=True)
class Pause:
    """Waits for `seconds`."""

    seconds: float


@dataclass(frozen=True)
class Emit(Generic[E_co]):
    """Yields a value to the caller that iterates."""

    value: E_co


Step = Open | Read | Close | Pause
#: An operation with one outcome.
Plan = Generator[Step, Any, T]
#: An operation that yields values.
Flow = Generator[Step | Emit[T], Any, None]
