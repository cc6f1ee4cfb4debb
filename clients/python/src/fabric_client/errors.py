"""What can go wrong, as exceptions that carry everything a developer needs to mend it.

`FabricError` is the base. Subclasses say whose matter it is; where Python has an exception for the same thing they
derive from that too, so that `except TimeoutError` and `except LookupError` work. The stable codes are explained in the
server's `docs/errors.md`.
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

    #: The code where none is given.
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
        #: What happened, to which thing.
        self.message = message
        #: The stable code, such as `out-of-fuel`.
        self.code = code or self.default_code
        #: What to do next, where there is something to say.
        self.hint = hint
        #: The HTTP status, where a server answered.
        self.status = status
        #: The invocation it is about, for `Fabric.logs`.
        self.invocation_id = invocation_id
        #: The job it is about.
        self.job_id = job_id
        #: The guest's last lines on standard error, oldest first, without those that are in the message.
        self.stderr = tuple(stderr)
        #: The guest's stack, innermost first; empty where there is none.
        self.backtrace = tuple(backtrace)
        #: Fuel spent before it happened.
        self.fuel = fuel
        #: The last lines that the guest wrote before it failed, oldest first, where they could be had.
        self.log_tail: tuple[LogLine, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.code}: {printable(self.message)}"]
        if self.hint:
            lines.append(f"hint: {printable(self.hint)}")
        # The tail of the log has them too.
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
        # Exceptions cross process boundaries in pools; the default would lose the keyword arguments.
        return (_rebuild, (type(self), self.message, self.__dict__))


def _rebuild(cls: type[FabricError], message: str, state: dict[str, object]) -> FabricError:
    error = cls.__new__(cls, message)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class GuestFault(FabricError):
    """The function failed by itself or broke its contract: a trap, an exit status, its own error."""


class LimitExceeded(GuestFault):
    """The function hit one of its limits, such as fuel, memory or its deadline; or a budget is spent."""


class BadRequest(FabricError, ValueError):
    """The request was wrong: parameters, a manifest, a path, a module, a data set."""


class SettingError(FabricError, ValueError):
    """An address, a token, a context or another thing that was given to this client can't be used."""

    default_code = "bad-request"


class Denied(FabricError, PermissionError):
    """No token, not a valid one, or one that does not allow it."""


class NotFound(FabricError, LookupError):
    """There is no such thing, or it is not yours."""


class Conflict(FabricError):
    """It is in a state that does not allow this, or a condition does not hold."""

    default_code = "conflict"


class JobCancelled(FabricError, concurrent.futures.CancelledError):
    """The job or invocation was cancelled and has no result."""

    default_code = "cancelled"


class Unavailable(FabricError):
    """The server failed, has no room, or is shutting down; the same call may succeed later."""

    default_code = "unavailable"


class Unreachable(FabricError, ConnectionError):
    """No connection to the server, or it broke."""

    default_code = "unreachable"

    #: Whether nobody listens there at all, so that trying again at once is of no use.
    refused: bool = False


class WaitTimeout(FabricError, TimeoutError):
    """The time that the caller gave was over. What was waited for goes on. Its code is of this package alone."""

    default_code = "wait-timeout"


class ProtocolError(FabricError):
    """The answer is not one that this API gives: another server, or a defect."""


#: Every code of the server's and what stands for it; a test compares it with the OpenAPI document.
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

#: Codes that say that the same request may be answered well in a moment. A guest's own `function-retryable` is not
#: one: whether to call again is the caller's decision.
WORTH_REPEATING = frozenset(("too-many-requests", "unavailable", "node-memory", "store-unavailable", "node-lost"))


def kind_of(code: str) -> type[FabricError]:
    """The exception that stands for a code; for one of a newer server the base of all."""
    return KINDS.get(code, FabricError)


def from_problem(problem: Problem) -> FabricError:
    """The exception for an error answer."""
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
    """The exception for the fault of a task or of an asynchronous invocation."""
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
