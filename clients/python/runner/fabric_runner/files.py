"""Makes `os.write` write everything to a file.

A file on a volume takes at most 64 KiB at a time. `write` of POSIX may write less too, but hardly does for a file, and
so parts of the standard library, such as `importlib.resources.as_file`, do not look at what it returns.
"""

import os
from typing import Any

_write = os.write


def _write_all(fd: int, data: Any, /) -> int:
    """Writes all bytes and returns their number. See `os.write`."""
    view = memoryview(data).cast("B")
    done = 0
    while True:
        done += _write(fd, view[done:])
        if done >= len(view):
            return done


def install() -> None:
    """Replaces `os.write`."""
    _write_all.__name__ = _write_all.__qualname__ = "write"
    os.write = _write_all
