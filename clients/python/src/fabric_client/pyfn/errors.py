"""Exceptions that only Python functions raise."""

from __future__ import annotations

import re

from ..errors import FabricError, LimitExceeded
from ..text import printable


class NotShippable(FabricError, TypeError):
    """A value, argument or dependency of the function cannot be sent to the sandbox. Raised before any request."""

    #: True once the message begins with the path to the value.
    located = False

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, code="not-shippable", hint=hint)


class MemoryLimitExceeded(LimitExceeded, MemoryError):
    """The function reached the memory limit of its call."""


def explained(error: FabricError) -> FabricError:
    """Returns the error of a call or task in the terms of a Python function: the argument that raises a limit, and no
    frames of the interpreter."""
    if error.code == "memory-limit" and type(error) is LimitExceeded:
        made = MemoryLimitExceeded(error.message)
        vars(made).update(vars(error))
        error = made
    error.backtrace = ()
    if error.hint:
        error.hint = re.sub(r"`limits\.([a-z-]+)` in fabric\.toml", _argument, error.hint)
    return error


def _argument(found: re.Match[str]) -> str:
    name = found[1].replace("-", "_")
    value = {"fuel": "10**12", "deadline_ms": "600_000"}.get(name, '"1GiB"')
    return f'the limit: @fab.function(limits={{"{name}": {value}}})'


class RemoteError(FabricError):
    """The function raised an exception whose type is unknown in this process or cannot be reconstructed."""

    #: The exception's type in the sandbox, such as `json.decoder.JSONDecodeError`.
    type: str = ""
    #: Its arguments, if they could be encoded.
    args_there: tuple[object, ...] = ()

    def __str__(self) -> str:
        return f"{printable(self.type, 200)}: {printable(self.message)}"


class RemoteTraceback(Exception):
    """The traceback in the sandbox, as the `__cause__` of a returned exception."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        #: The traceback in Python's format.
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'
