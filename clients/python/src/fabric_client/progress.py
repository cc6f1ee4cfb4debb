"""What one sees while waiting for a job: in a notebook its card, on a terminal tqdm's bar where tqdm is installed.

Nothing is shown for a job that ends within a second.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .text import count_text, printable

if TYPE_CHECKING:
    from .job import JobBase

#: What shows a job as it is now.
Show = Callable[["JobBase"], None]


def in_notebook() -> bool:
    """Whether this is a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


@contextmanager
def bar(wanted: bool | None) -> Iterator[Show | None]:
    """Gives what shows a job's progress, or None where none is wanted or nobody is looking.

    Args:
        wanted: None for where somebody is looking.

    Raises:
        ImportError: where it is wanted, on no notebook, and tqdm is not installed.
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
