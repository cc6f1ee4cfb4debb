"""A bar while one waits for a job: tqdm's, where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .text import count_text

if TYPE_CHECKING:
    from .job import JobBase


def is_watched() -> bool:
    """Whether somebody is looking: a notebook or a terminal."""
    ipython = sys.modules.get("IPython")
    if ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None:
        return True
    return bool(sys.stderr and sys.stderr.isatty())


@contextmanager
def bar(job: JobBase, wanted: bool | None) -> Iterator[Callable[[JobBase], None] | None]:
    """Gives what shows the job's progress, or None where no bar is wanted or tqdm is not there."""
    if wanted is False or (wanted is None and not is_watched()):
        yield None
        return
    try:
        from tqdm.auto import tqdm
    except ImportError:
        if wanted:
            raise ImportError("a progress bar needs tqdm: pip install 'fabric-client[notebook]'") from None
        yield None
        return
    with tqdm(total=job.progress.total or None, unit="task", desc=job.name[:40]) as shown:

        def show(job: JobBase) -> None:
            tasks = job.progress
            shown.total = tasks.total or None
            notes = {"state": job.state, "fuel": count_text(job.cost.fuel)}
            if tasks.failed:
                notes["failed"] = str(tasks.failed)
            shown.set_postfix(notes, refresh=False)
            shown.update(tasks.succeeded + tasks.failed - shown.n)
            shown.refresh()

        show(job)
        yield show
