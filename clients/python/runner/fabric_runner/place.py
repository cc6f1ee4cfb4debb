"""Tells the host which line of the user's functions was reached, for the error if a limit ends the call.

Only lines that are reached for the first time in a call are told, so that loops run at full speed.
"""

import sys
import types

from wit_world.imports import progress

_MONITOR = sys.monitoring
_TOOL = _MONITOR.PROFILER_ID
_RESTARTS = 64
"""Number of values of a chunk for which lines are told again. Later ones only tell their numbers."""

_value = ""


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
    global _value
    _value = f" (value {number})"
    if number == 0:
        return
    if number < _RESTARTS:
        _MONITOR.restart_events()
    else:
        progress.at(_value.strip())


def _reached(code: types.CodeType, line: int) -> object:
    progress.at(f"{code.co_filename} line {line}{_value}")
    return _MONITOR.DISABLE
