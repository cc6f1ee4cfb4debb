"""Reasons for which a value cannot be sent to the sandbox, with alternatives."""

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
    """Returns True if the class belongs to this package."""
    return cls.__module__.partition(".")[0] == __name__.partition(".")[0]


def unwrapped(value: Any) -> Any:
    """Returns the function of a `PyFunction`, and any other value as it is."""
    return value.__fabric_function__ if is_ours(type(value)) and hasattr(value, "__fabric_function__") else value


def known(value: Any) -> None:
    """Rejects values that are known not to be sendable.

    Raises:
        NotShippable: with the reason.
    """
    if isinstance(value, io.IOBase):
        name = getattr(value, "name", None)
        raise NotShippable(
            f"an open file{f' ({name})' if isinstance(name, str) else ''} cannot be sent",
            "pass its content, or store it and map over it: f.map(fab.dataset(path))",
        )
    if isinstance(value, socket.socket):
        raise NotShippable("a socket cannot be sent", "fetch the data first and pass it as an argument")
    if isinstance(value, _LOCKS):
        raise NotShippable(
            f"a {type(value).__name__} is valid in one process only",
            "leave it out: every call runs in its own new sandbox",
        )
    if isinstance(value, _RUNNING):
        raise NotShippable(
            f"a {type(value).__name__} cannot be sent while it is suspended", "convert it to a list first: list(...)"
        )
    top = type(value).__module__.partition(".")[0]
    if top in _NATIVE:
        raise native(f"{_NATIVE[top]} (a {type(value).__name__})")
    if is_ours(type(value)):
        raise NotShippable(
            f"{type(value).__name__} needs the network, which the sandbox does not have",
            "call it outside the function, and pass the result as an argument",
        )


def unknown(value: Any) -> NotShippable:
    """Returns the exception for any other value."""
    cls = type(value)
    return NotShippable(
        f"a value of type {cls.__module__}.{cls.__qualname__} cannot be sent",
        "create it inside the function, or pass numbers, text, bytes, lists, dicts or a dataclass",
    )
