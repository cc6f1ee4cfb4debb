"""Decodes values and exceptions from the sandbox. All of this input is untrusted.

The codec decodes values. An exception is reconstructed if its type is built in or a class of the function's module; no
constructor of such a class runs. Frames are shown with local source lines. Text from the sandbox is cleaned of terminal
control characters.
"""

from __future__ import annotations

import builtins
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import FabricError, ProtocolError, SettingError
from ..text import printable
from .codec import EXCEPTION_NAMES, CodecError, Decoder, UnknownClass, loads
from .errors import RemoteError, RemoteTraceback, explained
from .ship import Shipped

_NEVER = (StopIteration, StopAsyncIteration, GeneratorExit)
"""Exceptions with a meaning for the interpreter if a call raises them."""
_MAX_CHAIN = 10
_MAX_FRAMES = 200
_MAX_PRINTED = 100_000
"""Maximum length of a printed text, in characters."""


@dataclass(frozen=True)
class Outcome:
    """The value or the exception of a call."""

    value: Any
    error: BaseException | None
    #: True if the error is that of the whole task, and not the function's for this item.
    from_task: bool = False

    def get(self) -> Any:
        """Returns the value or raises the exception."""
        if self.error is not None:
            raise self.error
        return self.value


class Reader:
    """Decodes outcomes of one function."""

    def __init__(self, shipped: Shipped) -> None:
        self._shipped = shipped
        self._decoder = Decoder(shipped.classes)
        self._shown = False

    def one(self, content: bytes, content_type: str | None = None) -> Any:
        """Returns the value of a single call or raises its exception. Writes what the call printed, the first time. A
        `codec.Decoder` of the client."""
        document = _checked(content)
        printed = document.pop("printed", []) if type(document) is dict else []
        if not self._shown:
            self._shown = True
            _show(printed)
        return self._outcome(document).get()

    def many(self, content: bytes, content_type: str | None = None) -> list[Outcome]:
        """Returns the outcomes of a chunk or partition. A `codec.Decoder` of the client."""
        document = _checked(content)
        if type(document) is not list:
            raise _malformed("a list of outcomes was expected")
        return [self._outcome(one) for one in document]

    def explained(self, error: FabricError) -> FabricError:
        """Returns the error of a call in the terms of this function."""
        return explained(error, self._shipped.texts)

    def _outcome(self, document: Any) -> Outcome:
        if type(document) is not dict or len(document) != 1:
            raise _malformed("an outcome was expected")
        try:
            if "ok" in document:
                return Outcome(self._decoder.of_json(document["ok"]), None)
            return Outcome(None, self._exception(document["error"]))
        except UnknownClass as error:
            raise SettingError(
                f"the result has an object that this process cannot make: {printable(str(error), 300)}",
                hint="define or import the class; a job of another function is read with fab.job(id)",
            ) from None
        except CodecError as error:
            raise _malformed(str(error)) from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _malformed(f"{type(error).__name__}: {str(error)[:200]}") from None

    def _exception(self, chain: Any) -> BaseException:
        if type(chain) is not list or not chain or len(chain) > _MAX_CHAIN:
            raise _malformed("an exception was expected")
        first = chain[0]
        error = self._rebuilt(first)
        error.__cause__ = RemoteTraceback(self._text(chain))
        return error

    def _rebuilt(self, link: Mapping[str, Any]) -> BaseException:
        kind, text = _str(link["type"]), _str(link["text"])
        args = None if link["args"] is None else tuple(self._decoder.of_json(link["args"]))
        cls = self._shipped.classes.get(kind)
        if cls is None and kind.startswith("builtins."):
            cls = getattr(builtins, kind.removeprefix("builtins."), None)
        error: BaseException | None = None
        if isinstance(cls, type) and issubclass(cls, Exception) and not issubclass(cls, _NEVER) and args is not None:
            named = {name: printable(_str(link["named"][name])) for name in EXCEPTION_NAMES if name in link["named"]}
            error = _made(cls, args, self._decoder.of_json(link["attributes"]), named)
        if error is None:
            error = remote = RemoteError(text, code="function-failed")
            remote.type = kind
            remote.args_there = args or ()
        notes = [printable(_str(note)) for note in link["notes"][:10]]
        if notes:
            # Like `add_note` of Python 3.11.
            vars(error)["__notes__"] = notes
        return error

    def _text(self, chain: list[Any]) -> str:
        """Returns the traceback of a chain in Python's format, the oldest exception first."""
        parts = []
        for link in reversed(chain):
            parts.append("Traceback (most recent call last, in the sandbox):\n")
            parts += self._frames(link["frames"])
            name = _str(link["type"]).removeprefix("builtins.").replace(":", ".")
            text = printable(_str(link["text"]))
            parts.append(f"{printable(name, 200)}: {text}\n" if text else f"{printable(name, 200)}\n")
            if link["link"] == "cause":
                parts.append("\nThe above exception was the direct cause of the following exception:\n\n")
            elif link["link"] == "context":
                parts.append("\nDuring handling of the above exception, another exception occurred:\n\n")
        return "".join(parts)

    def _frames(self, frames: Any) -> list[str]:
        summaries = []
        for frame in frames[:_MAX_FRAMES]:
            file, line, name, *_ = frame
            file, name = printable(_str(file), 300), printable(_str(name), 200)
            known = self._shipped.texts.get(file)
            source = ""
            if type(line) is not int:
                raise _malformed("a frame has no line")
            if known is not None:
                file, line = known.file, line + known.first_line - 1
                if 0 < line <= len(known.lines):
                    source = known.lines[line - 1].strip()
            summaries.append(traceback.FrameSummary(file, line, name, line=source))
        return traceback.StackSummary.from_list(summaries).format()


def _show(printed: Any) -> None:
    """Writes what a call printed to the streams of the same names."""
    for piece in printed if type(printed) is list else []:
        if type(piece) is not list or [type(part) for part in piece] != [str, str]:
            raise _malformed("printed text was expected")
        stream = sys.stderr if piece[0] == "err" else sys.stdout
        # None in a program without a console.
        if stream is not None:
            stream.write(printable(piece[1], _MAX_PRINTED))
            stream.flush()


def _made(
    cls: type[Exception], args: tuple[Any, ...], attributes: Any, named: Mapping[str, str]
) -> BaseException | None:
    """Creates an exception with these arguments without running the user's code."""
    try:
        base = next(base for base in cls.__mro__ if base.__module__ == "builtins")
        made: BaseException = base.__new__(cls, *args)
        # That of the built-in class.
        base.__init__(made, *args)  # type: ignore[misc]
        made.args = args
        for name, text in named.items():
            setattr(made, name, text)
        vars(made).update(attributes if type(attributes) is dict else {})
    except Exception:
        return None
    return made


def _checked(content: bytes) -> Any:
    try:
        return loads(content)
    except CodecError as error:
        raise _malformed(str(error)) from None


def _str(value: Any) -> str:
    if type(value) is not str:
        raise _malformed("text was expected")
    return value


def _malformed(what: str) -> ProtocolError:
    return ProtocolError(
        f"the response of the sandbox is malformed: {printable(what, 300)}",
        code="guest-contract",
        hint="check that the function is the Python runner",
    )
