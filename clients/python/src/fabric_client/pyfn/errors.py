"""Exceptions that only Python functions raise."""

from __future__ import annotations

from ..errors import FabricError
from ..text import printable


class NotShippable(FabricError, TypeError):
    """A value, argument or dependency of the function cannot be sent to the sandbox. Raised before any request."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, code="not-shippable", hint=hint)


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
