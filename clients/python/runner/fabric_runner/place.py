"""Tells the host which line of the user's functions was reached, for the error if a limit ends the call.

Only lines that are reached for the first time are told, so that loops run at full speed.
"""

import sys
import types

from wit_world.imports import progress

_MONITOR = sys.monitoring
_TOOL = _MONITOR.PROFILER_ID
_RESTARTS = 16
"""Number of values of a chunk for which lines are told again. This costs a quarter of the fuel of a short call."""

_number: int | None = None
"""Number of the value of the chunk."""


def install() -> None:
    """Registers the monitor. Called while the image is made."""
    _MONITOR.use_tool_id(_TOOL, "fabric")
    _MONITOR.register_callback(_TOOL, _MONITOR.events.LINE, _reached)


def watch(code: types.CodeType) -> None:
    """Watches the lines of a code object, and of the definitions in it."""
    _MONITOR.set_local_events(_TOOL, code, _MONITOR.events.LINE)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            watch(constant)


def begin_value(number: int) -> None:
    """Begins the call for a value of a chunk."""
    global _number
    _number = number
    if 0 < number < _RESTARTS:
        _MONITOR.restart_events()
    elif number == _RESTARTS:
        progress.at(f"(value {number} or later)")


def _reached(code: types.CodeType, line: int) -> object:
    value = "" if _number is None else f" (value {_number})"
    progress.at(f"{code.co_filename} line {line}{value}")
    return _MONITOR.DISABLE
