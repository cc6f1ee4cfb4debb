"""The Python runner: a `fabric:task` component that runs Python functions which are sent with the call.

- The body of a request is ``BUNDLE`` and ``CALL``, two JSON texts on one line each. A call is
  ``{"args": [...], "kwargs": {...}}``. The response is one outcome, with what the call printed as ``printed``.
- The parameters of a job are ``{"bundle": TEXT, "over": "items" | "star" | "partition", "batch": {…}}``. With
  ``batch`` the function receives the rows or columns of a partition (see `batches.py`), else a text file. An item is a
  JSON list of values, each an argument or, with ``star``, a list of arguments. If an earlier item of the job is the
  same list, it is ``{"again": N, "values": LIST}`` instead, so that both have random numbers of their own. Its result
  is a JSON list of outcomes: one for each value, one for a partition, or a single one if the results are reduced.

The system's random numbers of a pure function depend on the module, the parameters and the item only, so a job can be
repeated. For each value of an item, `random` gets a seed of its own from them and from the value's place in the item.

See `program.py` for bundles and `outcome.py` for outcomes. Every call runs in a new instance.
"""

import functools
import hashlib
import json
import os
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

from wit_world.exports import handler
from wit_world.imports import input as task_input
from wit_world.imports import output, params

from . import batches, files, loop, outcome, place, printed
from .codec import Encoder, dumps, loads
from .image import settle
from .partition import Partition, read_all
from .preload import preload
from .program import Program

CONTENT_TYPE = "application/json"


_seed = b""
"""The seed of this instance."""


def _start(bundle: str | bytes) -> Program:
    global _seed
    _seed = os.urandom(32)
    random.seed(_seed)
    return Program(json.loads(bundle))


def _seed_value(number: int) -> None:
    """Seeds `random` for a value of an item."""
    random.seed(hashlib.sha256(_seed + number.to_bytes(8, "little")).digest())


def _finish(outcomes: list[dict[str, Any]]) -> None:
    failed = [o["error"] for o in outcomes if "error" in o]
    if failed:
        outcome.say(failed[0])
        if len(failed) > 1:
            print(f"and {len(failed) - 1} more exceptions", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()


def _fold(program: Program, values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merges outcomes into one: the first exception, or the values reduced from left to right."""
    for one in values:
        if "error" in one:
            return [one]
    if len(values) < 2:
        return values
    decoded = [program.decoder.of_json(one["ok"]) for one in values]
    return [outcome.of(program.encoder, lambda: functools.reduce(program.reduce, decoded))]


def _broken(error: BaseException) -> dict[str, Any]:
    """Returns the outcome of every call if the function cannot be rebuilt: the exception of its definitions."""
    return {"error": outcome.chain(Encoder(), error)}


def _calls(program: Program, given: dict[str, Any], items: list[Any]) -> Iterator[Callable[[], Any]]:
    entry, over = program.entry, given["over"]
    if over == "partition":
        part, batch = items[0], given.get("batch")
        yield lambda: entry(
            Partition(part) if batch is None else batches.read(part.name, part.offset, read_all(), batch)
        )
        return
    for number, item in enumerate(items):
        value = program.decoder.of_json(item)
        _seed_value(number)
        place.begin_value(number)
        yield functools.partial(entry, *value) if over == "star" else functools.partial(entry, value)


def _map(given: dict[str, Any]) -> list[dict[str, Any]]:
    part = task_input.next_part()
    items = [part] if given["over"] == "partition" else loads(read_all())
    if isinstance(items, dict):
        items = items["values"]
    try:
        program = _start(given["bundle"])
    except BaseException as error:
        return [_broken(error)] * len(items)
    answers = [outcome.of(program.encoder, call) for call in _calls(program, given, items)]
    return answers if program.reduce is None else _fold(program, answers)


def _write(outcomes: list[dict[str, Any]]) -> None:
    _finish(outcomes)
    output.set_content_type(CONTENT_TYPE)
    output.write(dumps(outcomes).encode())


class Handler:
    """Handles one call."""

    def handle(self, request: handler.Request) -> handler.Response:
        bundle, _, rest = request.body.partition(b"\n")
        with printed.recorded() as texts:
            try:
                program = _start(bundle)
                call = json.loads(rest)
                args, kwargs = (program.decoder.of_json(call[part]) for part in ("args", "kwargs"))
            except BaseException as error:
                answer = _broken(error)
            else:
                answer = outcome.of(program.encoder, functools.partial(program.entry, *args, **kwargs))
        _finish([answer])
        if texts:
            answer["printed"] = texts
        return handler.Response(CONTENT_TYPE, dumps(answer).encode())


class Mapper:
    """Calls the function for each item of a chunk, or for a partition."""

    def map(self) -> None:
        _write(_map(json.loads(params.get())))


class Reducer:
    """Merges the outcomes of several chunks into one."""

    def reduce(self) -> None:
        given = json.loads(params.get())
        answers: list[dict[str, Any]] = []
        while task_input.next_part() is not None:
            answers += loads(read_all())
        try:
            program = _start(given["bundle"])
        except BaseException as error:
            answers = [_broken(error)]
        else:
            answers = _fold(program, answers)
        _write(answers)


files.install()
loop.install()
place.install()
# The build reads this list from the image.
MODULES = " ".join(["fabric-runner-modules", *preload(), "end"]).encode()
settle()
