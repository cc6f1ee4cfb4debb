"""Errors over HTTP (RFC 9457) and the faults of tasks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Frame:
    """One frame of a guest's backtrace."""

    #: The demangled function name, or `<unknown>`.
    function: str
    #: The name of its core module, if any.
    module: str | None = None
    #: Source file and line, if the module has debug information.
    location: str | None = None

    def __str__(self) -> str:
        place = " ".join(p for p in (self.module and f"in {self.module}", self.location and f"at {self.location}") if p)
        return f"{self.function} {place}".rstrip()


@dataclass(frozen=True)
class Fault:
    """The error of a call or an attempt."""

    code: str
    message: str
    hint: str | None = None
    #: The guest's last lines on standard error, oldest first.
    stderr: tuple[str, ...] = ()
    backtrace: tuple[Frame, ...] = ()
    #: Fuel spent before the error.
    fuel: int = 0


@dataclass(frozen=True)
class Problem:
    """The body of an error response."""

    title: str
    status: int
    detail: str
    code: str
    hint: str | None = None
    invocation_id: str | None = None
    #: The guest's last lines on standard error, oldest first.
    stderr: tuple[str, ...] = ()
    backtrace: tuple[Frame, ...] = ()
    fuel: int | None = None
