"""Why a value can't go to the sandbox, and what to do instead."""

from __future__ import annotations

import io
import socket
import threading
import types
from typing import Any

from .errors import NotShippable
from .modules import native

_LOCKS = (
    type(threading.Lock()),
    type(threading.RLock()),
    threading.Condition,
    threading.Event,
    threading.Semaphore,
    threading.Barrier,
    threading.Thread,
    threading.local,
)
_RUNNING = (
    types.GeneratorType,
    types.AsyncGeneratorType,
    types.CoroutineType,
    types.FrameType,
    types.TracebackType,
)
_NATIVE = {
    "numpy": "numpy",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "polars": "polars",
    "torch": "torch",
    "tensorflow": "tensorflow",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "jax": "jax",
    "cv2": "opencv",
    "PIL": "Pillow",
}


def is_ours(cls: type) -> bool:
    """Whether a class is of this package."""
    return cls.__module__.partition(".")[0] == __name__.partition(".")[0]


def known(value: Any) -> None:
    """Refuses what is known not to travel.

    Raises:
        NotShippable: with the reason.
    """
    if isinstance(value, io.IOBase):
        name = getattr(value, "name", None)
        raise NotShippable(
            f"an open file{f' ({name})' if isinstance(name, str) else ''} stays on this machine",
            "read it here and give its content, or store it and map over it: f.map(fab.dataset(path))",
        )
    if isinstance(value, socket.socket):
        raise NotShippable("a socket stays on this machine", "fetch the data here and give it as an argument")
    if isinstance(value, _LOCKS):
        raise NotShippable(
            f"a {type(value).__name__} means something in one process only",
            "leave it out: every call has a fresh sandbox of its own",
        )
    if isinstance(value, _RUNNING):
        raise NotShippable(
            f"a {type(value).__name__} is half-way through its work", "make a list of it first: list(...)"
        )
    top = type(value).__module__.partition(".")[0]
    if top in _NATIVE:
        raise native(f"{_NATIVE[top]} (a {type(value).__name__})")
    if is_ours(type(value)):
        raise NotShippable(
            f"{type(value).__name__} talks to the server, and the sandbox has no network",
            "call it outside the function, and give the outcome as an argument",
        )


def unknown(value: Any) -> NotShippable:
    """The refusal of any other value."""
    cls = type(value)
    return NotShippable(
        f"a value of type {cls.__module__}.{cls.__qualname__} can't be sent",
        "make it inside the function, or give numbers, text, bytes, lists, dicts or a dataclass",
    )
