"""A job's card that moves while the job does, shown once and updated in place."""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Any

from ..api import jobs
from ..errors import FabricError

if TYPE_CHECKING:
    from ..job import Job, JobBase

#: Seconds between looks.
EVERY = 1.0


class _Card:
    """A job's card as it is now."""

    def __init__(self, job: JobBase) -> None:
        self._text = repr(job)
        self._html = job._repr_html_()

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return self._html


class Shown:
    """A place in a notebook that holds a job's card, once there is one."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._cell: int | None = None

    def __bool__(self) -> bool:
        return self._handle is not None

    @property
    def here(self) -> bool:
        """Whether it is among the outputs of the cell that runs."""
        return bool(self) and self._cell == _cell()

    def update(self, job: JobBase) -> None:
        """Shows the job as it is now, where it was shown before."""
        from IPython.display import display

        if self._handle is None:
            self._handle = display(_Card(job), display_id=True)
            self._cell, job._shown = _cell(), self
        else:
            self._handle.update(_Card(job))


def _cell() -> int | None:
    """The number of the cell that runs."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return None if shell is None else shell.execution_count


def card(job: JobBase) -> Shown:
    """Shows the job's card in a notebook. A cell that has waited for the job has its card already."""
    shown = job._shown if job._shown is not None and job._shown.here else Shown()
    shown.update(job)
    return shown


def show(job: Job) -> threading.Thread | None:
    """Shows the job's card in a notebook; until the job ends, a thread keeps it up to date."""
    shown = card(job)
    if not shown or job.ended:
        return None
    # The user's own handle changes only when the user looks.
    own = copy.copy(job)

    def follow() -> None:
        try:
            for info in own._fabric._io.iterate(jobs.looks(own._fabric.policy, own.id, None, EVERY)):
                own.info = info
                shown.update(own)
        except (FabricError, RuntimeError):
            # Closed, or gone for longer than it is waited for: the card stays as it was last seen.
            return

    thread = threading.Thread(target=follow, name=f"fabric card of {job.id}", daemon=True)
    thread.start()
    return thread
