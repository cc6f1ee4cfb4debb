"""Progress of a job during a wait: a card in a notebook, a tqdm bar on a terminal if tqdm is installed.

Nothing is shown for a job that ends within a second.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .text import count_text, printable

if TYPE_CHECKING:
    from .job import JobBase

#: A function that displays the current state of a job.
Show = Callable[["JobBase"], None]


def in_notebook() -> bool:
    """Returns True in a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


@contextmanager
def announced(what: str) -> Iterator[None]:
    """Tells a user what takes long, and then how long it took: on a card in a notebook, else on a terminal.

    A card, because a notebook shows text on standard error as a warning.
    """
    began = time.monotonic()
    if in_notebook():
        from .notebook.live import Note

        note = Note(f"{what} …")
        yield
        note.update(f"{what}: done in {time.monotonic() - began:.0f} s")
    elif sys.stderr is not None and sys.stderr.isatty():
        _tell(f"fabric: {what} …")
        yield
        _tell(f"fabric: done in {time.monotonic() - began:.0f} s")
    else:
        yield


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@contextmanager
def bar(wanted: bool | None) -> Iterator[Show | None]:
    """Yields a function that displays a job's progress, or None if progress is not shown.

    Args:
        wanted: None to show progress in a notebook or on a terminal only.

    Raises:
        ImportError: if `wanted` is True outside a notebook and tqdm is not installed.
    """
    if wanted is False:
        yield None
    elif in_notebook():
        yield _card()
    elif wanted or (sys.stderr is not None and sys.stderr.isatty()):
        try:
            from tqdm.auto import tqdm
        except ImportError:
            if wanted:
                raise ImportError("a progress bar needs tqdm: pip install 'fabric-client[notebook]'") from None
            yield None
            return
        bars: list[Any] = []
        try:
            yield _tqdm(tqdm, bars)
        finally:
            for shown in bars:
                shown.close()
    else:
        yield None


def _card() -> Show:
    from .notebook.live import Shown

    shown = Shown()

    def show(job: JobBase) -> None:
        if shown or not job.ended:
            shown.update(job)

    return show


def _tqdm(tqdm: Any, bars: list[Any]) -> Show:
    def show(job: JobBase) -> None:
        if not bars:
            if job.ended:
                return
            bars.append(tqdm(unit="task", desc=printable(job.name, 40)))
        (shown,) = bars
        tasks = job.progress
        notes = {"state": job.state, "fuel": count_text(job.cost.fuel)}
        if tasks.failed:
            notes["failed"] = str(tasks.failed)
        shown.total = tasks.total or None
        shown.n = tasks.succeeded + tasks.failed
        shown.set_postfix(notes)

    return show
