"""What an operation asks of the network, without doing it.

Every operation of this package (a request with its retries, waiting for a job, following events) is written once, as a
generator that yields steps and is sent their outcome. Two small drivers carry the steps out: `transport.SyncDriver`
and `transport.AsyncDriver`. So the sync and the async handles share all logic, and the logic can be tested without a
network.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from .upload import Upload

T = TypeVar("T")
E_co = TypeVar("E_co", covariant=True)

#: An error body longer than this many bytes is cut: it is text for people.
PROBLEM_LIMIT = 256 << 10
#: An ordinary JSON answer is a page of at most 1000 items; more bytes than this are refused.
JSON_LIMIT = 64 << 20


@dataclass(frozen=True)
class Request:
    """One HTTP request. `timeout` is the longest silence in seconds until the answer's head; None means no limit."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Upload | None = None
    timeout: float | None = 30.0
    #: Whether the request may be sent again after a failure that does not tell whether the server acted.
    repeatable: bool = False
    #: Whether a server that does not answer at all is waited for (`Policy.reconnect_for`).
    patient: bool = False

    def with_headers(self, *headers: tuple[str, str]) -> Request:
        """The same request with more headers."""
        return replace(self, headers=self.headers + headers)


@dataclass
class Answer:
    """An answer's head, its body where it was read, and the driver's own handle on the rest."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    handle: Any = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether it is a success, or says that nothing changed."""
        return 200 <= self.status < 300 or self.status == 304


@dataclass(frozen=True)
class Open:
    """Sends a request; the outcome is an `Answer` whose body is not read yet."""

    request: Request


@dataclass(frozen=True)
class Read:
    """Reads on; the outcome is the next bytes, empty at the end. `limit_s` is the longest silence in seconds."""

    answer: Answer


@dataclass(frozen=True)
class Close:
    """Gives the connection back. The driver does it for what an operation leaves open, too."""

    answer: Answer


@dataclass(frozen=True)
class Pause:
    """Waits so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Emit(Generic[E_co]):
    """Hands a value to the caller who iterates."""

    value: E_co


Step = Open | Read | Close | Pause
#: An operation with one outcome.
Plan = Generator[Step, Any, T]
#: An operation that gives values as they come.
Flow = Generator[Step | Emit[T], Any, None]
