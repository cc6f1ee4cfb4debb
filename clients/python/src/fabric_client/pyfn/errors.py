"""What can go wrong with a Python function, beyond what can go wrong with any function."""

from __future__ import annotations

from ..errors import FabricError
from ..text import printable


class NotShippable(FabricError, TypeError):
    """Something that the function uses, takes or needs can't go to the sandbox. Raised before anything is sent."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message, code="not-shippable", hint=hint)


class RemoteError(FabricError):
    """The function raised an exception of a type that this process does not have, or that is not rebuilt here."""

    #: The exception's type in the sandbox, such as `json.decoder.JSONDecodeError`.
    type: str = ""
    #: Its arguments, where they travel.
    args_there: tuple[object, ...] = ()

    def __str__(self) -> str:
        return f"{printable(self.type, 200)}: {printable(self.message)}"


class RemoteTraceback(Exception):
    """Where an exception was raised, in the sandbox: the `__cause__` of an exception that came back."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        #: As Python writes it.
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'
