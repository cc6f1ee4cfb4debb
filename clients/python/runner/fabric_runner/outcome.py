"""Runs a call of the user's function and encodes its outcome as JSON.

An outcome is ``{"ok": value}`` or ``{"error": [...]}``: the exception and its chain of causes, the last one first, each
with its type, arguments, text, notes and frames.
"""

import inspect
import itertools
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

from . import loop
from .codec import EXCEPTION_NAMES, CodecError, Encoder

_CHAIN = 10
_FRAMES = 200
_TEXT = 8 << 10


def of(encoder: Encoder, call: Callable[[], Any]) -> dict[str, Any]:
    """Runs a call and returns its outcome."""
    try:
        value = call()
        if inspect.iscoroutine(value):
            value = loop.run(value)
        elif inspect.isgenerator(value) or inspect.isasyncgen(value):
            raise CodecError("a generator cannot be sent", "return a list: list(...)")
        return {"ok": encoder.json(value)}
    except CodecError as error:
        hint = f"; {error.hint}" if error.hint else ""
        refused = TypeError(f"the function's result cannot be returned: {error}{hint}")
        return {"error": chain(encoder, refused)}
    except BaseException as error:
        return {"error": chain(encoder, error)}


def say(error: list[dict[str, Any]]) -> None:
    """Writes an exception to the log."""
    for link in reversed(error):
        print(f"{link['type']}: {link['text']}", file=sys.stderr)
        for file, line, name, *_ in link["frames"]:
            print(f"  in {name}, {file} line {line}", file=sys.stderr)


def chain(encoder: Encoder, error: BaseException) -> list[dict[str, Any]]:
    """Encodes an exception and its chain of causes."""
    links: list[dict[str, Any]] = []
    seen: set[int] = set()
    link, current = None, error
    while current is not None and id(current) not in seen and len(links) < _CHAIN:
        seen.add(id(current))
        links.append({**_describe(encoder, current), "link": link})
        if current.__cause__ is not None:
            link, current = "cause", current.__cause__
        elif current.__context__ is not None and not current.__suppress_context__:
            link, current = "context", current.__context__
        else:
            break
    return links


def _text(value: object) -> str:
    try:
        text = str(value)
    except BaseException as error:
        text = f"(str() raised {type(error).__name__})"
    return text[:_TEXT]


def _has_text(error: BaseException, name: str) -> bool:
    try:
        return type(getattr(error, name, None)) is str
    except BaseException:
        return False


def _describe(encoder: Encoder, error: BaseException) -> dict[str, Any]:
    try:
        args = encoder.json(list(error.args))
    except CodecError:
        args = None
    known = encoder.class_name(type(error))
    try:
        attributes = encoder.json(vars(error)) if known else {}
    except CodecError:
        attributes = {}
    return {
        "type": known or f"{type(error).__module__}.{type(error).__qualname__}",
        "args": args,
        "attributes": attributes,
        "named": {name: _text(getattr(error, name)) for name in EXCEPTION_NAMES if _has_text(error, name)},
        "text": _text(error),
        "notes": [_text(note) for note in getattr(error, "__notes__", ())][:10],
        "frames": _frames(error.__traceback__),
    }


def _frames(trace: TracebackType | None) -> list[list[Any]]:
    frames = []
    while trace is not None:
        frame = trace.tb_frame
        if not frame.f_globals.get("__name__", "").startswith("fabric_runner"):
            code = frame.f_code
            where = next(itertools.islice(code.co_positions(), trace.tb_lasti // 2, None), (None, None, None, None))
            _, end, column, end_column = where
            frames.append([code.co_filename, trace.tb_lineno, code.co_qualname, end, column, end_column])
        trace = trace.tb_next
    if len(frames) > _FRAMES:
        del frames[_FRAMES // 2 : len(frames) - _FRAMES // 2]
    return frames
