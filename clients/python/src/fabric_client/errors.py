"""The exceptions of this package, with all details that the server reports.

`FabricError` is the base class. Subclasses name the party at fault. If Python has an exception with the same meaning,
they derive from it too, so that `except TimeoutError` and `except LookupError` work. The server's `docs/errors.md`
explains the stable codes.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Sequence

from .text import printable
from .wire.invocation import LogLine
from .wire.problem import Fault, Frame, Problem

__all__ = [
    "BadRequest",
    "Conflict",
    "Denied",
    "FabricError",
    "Fault",
    "Frame",
    "GuestFault",
    "JobCancelled",
    "LimitExceeded",
    "NotFound",
    "ProtocolError",
    "SettingError",
    "Unavailable",
    "Unreachable",
    "WaitTimeout",
]


class FabricError(Exception):
    """The base of all errors of this package."""

    #: The default code.
    default_code = "internal"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        status: int | None = None,
        invocation_id: str | None = None,
        job_id: str | None = None,
        stderr: Sequence[str] = (),
        backtrace: Sequence[Frame] = (),
        fuel: int = 0,
    ) -> None:
        super().__init__(message)
        #: What happened.
        self.message = message
        #: The stable code, such as `out-of-fuel`.
        self.code = code or self.default_code
        #: What to do next, or None.
        self.hint = hint
        #: The HTTP status of the response, or None.
        self.status = status
        #: The invocation that failed, for `Fabric.logs`.
        self.invocation_id = invocation_id
        #: The job that failed.
        self.job_id = job_id
        #: The guest's last lines on standard error, oldest first, without those in the message.
        self.stderr = tuple(stderr)
        #: The guest's stack, innermost frame first; may be empty.
        self.backtrace = tuple(backtrace)
        #: Fuel spent before the error.
        self.fuel = fuel
        #: The guest's last log lines, oldest first, if they could be read.
        self.log_tail: tuple[LogLine, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.code}: {printable(self.message)}"]
        if self.hint:
            lines.append(f"hint: {printable(self.hint)}")
        # The log lines include them.
        if self.stderr and not self.log_tail:
            lines.append("the guest's last lines on standard error:")
            lines += [f"  {printable(line, 500)}" for line in self.stderr]
        if self.backtrace:
            lines.append("guest backtrace, innermost first:")
            lines += [f"  {printable(str(frame), 300)}" for frame in self.backtrace]
        if self.log_tail:
            lines.append("the guest's last lines:")
            lines += [f"  {line.level}: {printable(line.message, 500)}" for line in self.log_tail]
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        # Process pools pickle exceptions, and the default would lose the keyword arguments.
        return (_rebuild, (type(self), self.message, self.__dict__))


def _rebuild(cls: type[FabricError], message: str, state: dict[str, object]) -> FabricError:
    error = cls.__new__(cls, message)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class GuestFault(FabricError):
    """The function failed or broke its contract: a trap, an exit status, or an error that it returned."""


class LimitExceeded(GuestFault):
    """The function reached a limit, such as fuel, memory or its deadline, or a budget or quota is exhausted."""


class BadRequest(FabricError, ValueError):
    """The request is invalid: its parameters, manifest, path, module or data set."""


class SettingError(FabricError, ValueError):
    """A setting or argument of this client is invalid, such as an address, a token or a context."""

    default_code = "bad-request"


class Denied(FabricError, PermissionError):
    """The token is missing, invalid or not permitted to do this."""


class NotFound(FabricError, LookupError):
    """The item does not exist or belongs to another tenant."""


class Conflict(FabricError):
    """The state of the item does not allow the operation, or a condition does not hold."""

    default_code = "conflict"


class JobCancelled(FabricError, concurrent.futures.CancelledError):
    """The job or invocation was cancelled and has no result."""

    default_code = "cancelled"


class Unavailable(FabricError):
    """The server failed, has no capacity, or is shutting down. The same call may succeed later."""

    default_code = "unavailable"


class Unreachable(FabricError, ConnectionError):
    """The server cannot be reached, or the connection broke."""

    default_code = "unreachable"

    #: True if no process listens at the address, so that an immediate retry is useless.
    refused: bool = False


class WaitTimeout(FabricError, TimeoutError):
    """The caller's timeout passed. The job or invocation continues. The code exists only in this package."""

    default_code = "wait-timeout"


class ProtocolError(FabricError):
    """The response does not match the API: the server is not a Fabric server, or has a defect."""


#: The exception for each code of the server; `tests/test_wire.py` compares them with the OpenAPI document.
KINDS: dict[str, type[FabricError]] = {
    code: kind
    for kind, codes in (
        (
            LimitExceeded,
            "out-of-fuel deadline memory-limit table-limit output-limit log-limit emit-limit host-call-limit"
            " handle-limit budget-exhausted storage-quota",
        ),
        (
            GuestFault,
            "stack-overflow trap:unreachable trap:out-of-bounds-memory trap:bad-indirect-call trap:arithmetic"
            " trap:other guest-contract guest-exit function-failed function-retryable invalid-input process-killed",
        ),
        (
            BadRequest,
            "not-wasm invalid-module unknown-import no-entry compile-limit bad-request invalid-params"
            " invalid-manifest invalid-path invalid-input-spec method-not-allowed unsupported-media-type too-large"
            " range-not-satisfiable",
        ),
        (Denied, "unauthenticated denied"),
        (NotFound, "not-found"),
        (Conflict, "conflict precondition-failed idempotency-mismatch input-changed"),
        (JobCancelled, "cancelled"),
        (Unavailable, "too-many-requests store-unavailable unavailable node-memory node-lost disk-full"),
        (Unreachable, "unreachable"),
        (FabricError, "internal"),
    )
    for code in codes.split()
}

#: Codes after which the client repeats a request. A guest's own `function-retryable` is not included: the caller
#: decides whether to call again.
WORTH_REPEATING = frozenset(("too-many-requests", "unavailable", "node-memory", "store-unavailable", "node-lost"))


def kind_of(code: str) -> type[FabricError]:
    """Returns the exception class for a code; `FabricError` for the unknown code of a newer server."""
    return KINDS.get(code, FabricError)


def from_problem(problem: Problem) -> FabricError:
    """Returns the exception for an error response."""
    return kind_of(problem.code)(
        problem.detail,
        code=problem.code,
        hint=problem.hint,
        status=problem.status,
        invocation_id=problem.invocation_id,
        stderr=problem.stderr,
        backtrace=problem.backtrace,
        fuel=problem.fuel or 0,
    )


def from_fault(fault: Fault, *, invocation_id: str | None = None, job_id: str | None = None) -> FabricError:
    """Returns the exception for the fault of a task or of an asynchronous invocation."""
    return kind_of(fault.code)(
        fault.message,
        code=fault.code,
        hint=fault.hint,
        invocation_id=invocation_id,
        job_id=job_id,
        stderr=fault.stderr,
        backtrace=fault.backtrace,
        fuel=fault.fuel,
    )
