"""`%%fabric` and `%fabric`: call a function with the content of a cell, or map it over stored objects.

    %%fabric wordcount
    to be or not to be

    %%fabric montecarlo-pi --each --reduce
    {"seed": 1, "samples": 1000000}
    {"seed": 2, "samples": 1000000}

    %fabric wordcount --input texts/ --split lines:1MiB --reduce --out counts

The client is the notebook's variable `fab`, or else a new one with the default settings.
"""

from __future__ import annotations

import argparse
import json
import shlex
from typing import Any

from ..fabric import Fabric
from ..job import Job


class UsageError(ValueError):
    """A magic line that cannot be parsed."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        # The default exits the process, which is the kernel.
        raise UsageError(f"{message}\n{self.format_usage()}")


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the arguments of `%%fabric`."""
    made = _Parser(prog="%%fabric", add_help=False)
    made.add_argument("function", help="NAME, NAME@VERSION or NAME:ALIAS")
    made.add_argument("-i", "--input", metavar="PATH", help="map over a stored object, or a prefix ending in /")
    made.add_argument("--split", default="object", help="how each object is split [object]")
    made.add_argument("--each", action="store_true", help="map over the cell's lines, each an item")
    made.add_argument("-p", "--param", action="append", default=[], metavar="NAME=VALUE", help="JSON, else text")
    made.add_argument("--reduce", action="store_true", help="merge the partial results")
    made.add_argument("--shuffle", type=int, metavar="N", help="group emitted records by key, in N tasks")
    made.add_argument("--name", help="the job's name")
    made.add_argument("--detach", action="store_true", help="return the job without waiting")
    made.add_argument("-o", "--out", metavar="VARIABLE", help="store the value (with --detach the job) in a variable")
    return made


def run(fabric: Fabric, line: str, cell: str | None) -> tuple[Any, str | None]:
    """Runs a line and its cell. Returns the value, or the job with `--detach`, and the variable to store it in.

    Raises:
        UsageError: if the line cannot be parsed.
        FabricError: if the call or the job fails.
    """
    try:
        words = shlex.split(line)
    except ValueError as e:
        raise UsageError(str(e)) from e
    asked = parser().parse_args(words)
    if asked.out is not None and not asked.out.isidentifier():
        raise UsageError(f"--out {asked.out}: expected a variable name")
    params = dict(_param(text) for text in asked.param)
    function = fabric.function(asked.function)
    body = cell or ""
    if asked.input is None and not asked.each:
        for name in ("reduce", "shuffle", "detach", "name"):
            if getattr(asked, name):
                raise UsageError(f"--{name} needs --input or --each")
        if cell is None:
            raise UsageError("nothing to send: use %%fabric with a cell, or --input")
        return function.invoke(body.removesuffix("\n"), params=params).value, asked.out
    if asked.input is not None and (asked.each or body.strip()):
        raise UsageError("--input maps over stored objects: leave the cell empty, or use --each without --input")
    over: Any = fabric.dataset(asked.input, asked.split) if asked.input is not None else items(body)
    job = function.map(over, params=params, reduce=asked.reduce, shuffle=asked.shuffle, name=asked.name)
    return (job if asked.detach else _waited(job)), asked.out


def _waited(job: Job) -> Any:
    return job.result()


def _param(text: str) -> tuple[str, Any]:
    name, found, value = text.partition("=")
    if not found or not name:
        raise UsageError(f"--param {text}: expected NAME=VALUE")
    return name, _json_or_text(value)


def items(cell: str) -> list[Any]:
    """Returns the items of a cell, one on a line. Only line feeds end a line: other separators are text."""
    return [_json_or_text(line.removesuffix("\r")) for line in cell.split("\n") if line.strip()]


def _json_or_text(text: str) -> Any:
    """Returns the value of JSON. Anything else is text, `NaN` and `Infinity` too, which JSON does not have."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return text


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def load(ipython: Any) -> None:
    """Registers `%fabric` and `%%fabric` in an IPython shell."""

    def fabric(line: str, cell: str | None = None) -> Any:
        held = ipython.user_ns.get("fab")
        try:
            value, name = run(held if isinstance(held, Fabric) else Fabric(), line, cell)
        except UsageError as e:
            from IPython.core.error import UsageError as Shown

            raise Shown(str(e)) from None
        if name is None:
            return value
        ipython.user_ns[name] = value
        return None

    fabric.__doc__ = f"{__doc__}\n{parser().format_help()}"
    ipython.register_magic_function(fabric, magic_kind="line_cell", magic_name="fabric")
