"""A job's card that is displayed once and updated in place while the job runs."""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Any

from ..api import jobs
from ..errors import FabricError
from .html import note_card

if TYPE_CHECKING:
    from ..job import Job, JobBase

#: Polling interval in seconds.
EVERY = 1.0


class _Card:
    """A snapshot of a job's card."""

    def __init__(self, job: JobBase) -> None:
        self._text = repr(job)
        self._html = job._repr_html_()

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return self._html


class Note:
    """A line of text on a card, which is displayed at once and can be replaced."""

    def __init__(self, text: str) -> None:
        from IPython.display import HTML, display

        self._handle = display(HTML(note_card(text)), display_id=True)

    def update(self, text: str) -> None:
        """Replaces the text."""
        from IPython.display import HTML

        self._handle.update(HTML(note_card(text)))


class Shown:
    """A display of a job's card in a notebook; empty at first."""

    def __init__(self) -> None:
        self._handle: Any = None
        self._cell: int | None = None

    def __bool__(self) -> bool:
        return self._handle is not None

    @property
    def here(self) -> bool:
        """True if the display is an output of the running cell."""
        return bool(self) and self._cell == _cell()

    def update(self, job: JobBase) -> None:
        """Displays the job's current state, in place if it was displayed before."""
        from IPython.display import display

        if self._handle is None:
            self._handle = display(_Card(job), display_id=True)
            self._cell, job._shown = _cell(), self
        else:
            self._handle.update(_Card(job))


def _cell() -> int | None:
    """Returns the number of the running cell."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return None if shell is None else shell.execution_count


def card(job: JobBase) -> Shown:
    """Displays the job's card in a notebook. Reuses the card of a wait in the same cell."""
    shown = job._shown if job._shown is not None and job._shown.here else Shown()
    shown.update(job)
    return shown


def show(job: Job) -> threading.Thread | None:
    """Displays the job's card in a notebook. A thread updates it until the job ends."""
    shown = card(job)
    if not shown or job.ended:
        return None
    # A copy, since the user's handle changes only when the user reads it.
    own = copy.copy(job)

    def follow() -> None:
        try:
            for info in own._fabric._io.iterate(jobs.looks(own._fabric.policy, own.id, None, EVERY)):
                own.info = info
                shown.update(own)
        except (FabricError, RuntimeError):
            # The client was closed or the server is unreachable for too long: the card keeps its last state.
            return

    thread = threading.Thread(target=follow, name=f"fabric card of {job.id}", daemon=True)
    thread.start()
    return thread
