"""Exceptions that only Python functions raise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING

from ..errors import FabricError, LimitExceeded
from ..text import printable

if TYPE_CHECKING:
    from .source import Definition


class NotShippable(FabricError, TypeError):
    """A value, argument or dependency of the function cannot be sent to the sandbox. Raised before any request."""

    #: True once the message begins with the path to the value.
    located = False

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, code="not-shippable", hint=hint)


class MemoryLimitExceeded(LimitExceeded, MemoryError):
    """The function reached the memory limit of its call."""


_PLACE = re.compile(r"; the last place: (?:(<\d+:([^>]*)> )line (\d+))?(?: ?\(value (\d+)( or later)?\))?$")
"""How the runner names the place that a call has reached: a line of a shipped text, and the value of a task."""


def explained(error: FabricError, texts: Mapping[str, Definition] = MappingProxyType({})) -> FabricError:
    """Returns the error of a call or task in the terms of a Python function: the line that it had reached, the argument
    that raises a limit, and no frames of the interpreter. `texts` are the shipped sources by their names there."""
    if error.code == "memory-limit" and type(error) is LimitExceeded:
        made = MemoryLimitExceeded(error.message)
        vars(made).update(vars(error))
        error = made
    error.backtrace = ()
    error.message = _PLACE.sub(lambda found: _place(found, texts), error.message)
    error.args = (error.message,)
    if error.hint:
        error.hint = re.sub(r"`limits\.([a-z-]+)` in fabric\.toml", _argument, error.hint)
    return error


def _place(found: re.Match[str], texts: Mapping[str, Definition]) -> str:
    file, name, line, value, later = found.groups()
    said = ""
    if file is not None:
        text = texts.get(file.strip())
        number = 0 if text is None else text.first_line + int(line) - 1
        if text is not None and number <= len(text.lines):
            said = f"line {number} of {text.file}: {text.lines[number - 1].strip()}"
        else:
            said = f"line {line} of {name}"
        said = f"; the last new line that it reached is {said}"
    if value is None:
        return said
    return f"{said}; it ran value {value}{' or a later one' if later else ''} of its task"


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


class OutsideFrames:
    """A context manager that removes the frames below its own from an exception of the user's function. These frames
    are of this package and say nothing about the function; its traceback is the exception's `RemoteTraceback`."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if trace is not None and error is not None and isinstance(error.__cause__, RemoteTraceback):
            trace.tb_next = None


class RemoteTraceback(Exception):
    """The traceback in the sandbox, as the `__cause__` of a returned exception."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        #: The traceback in Python's format.
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'
