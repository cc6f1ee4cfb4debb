"""Results of a map over items, in the order of the items: values, and the exceptions of items that failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..api import jobs
from ..errors import FabricError, JobCancelled, LimitExceeded, ProtocolError, from_fault
from ..request import Policy
from ..steps import Plan
from ..text import printable
from ..wire.job import Job
from .codec import CodecError, loads
from .errors import explained
from .outcome import Outcome

_SHOWN = 80
"""Maximum length of an item in an exception's note."""


@dataclass(frozen=True)
class Item:
    """An item of a map and its outcome."""

    #: Number of the item, from 0.
    number: int
    outcome: Outcome
    #: Number of its task.
    task: int


@dataclass
class Items:
    """The items of a map, as far as this process knows them."""

    #: Number of items of each task; empty if unknown.
    sizes: list[int] = field(default_factory=list)
    #: The items; empty if unknown.
    values: list[Any] = field(default_factory=list)

    def size(self, job: Job, task: int) -> int:
        """Returns the number of items of a task without a result. A task counts as one item if it is unknown to this
        process and its items are not among the first 100 of the job's specification, as those of a stored object."""
        if task < len(self.sizes):
            return self.sizes[task]
        inline = job.spec.input.get("items", [])
        return _size(inline[task]) if task < len(inline) else 1

    def show(self, number: int) -> str:
        """Returns the beginning of an item's text."""
        if number >= len(self.values):
            return ""
        try:
            text = repr(self.values[number])
        except Exception:
            return ""
        return printable(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…")


def _size(text: Any) -> int:
    """Returns the number of items in a task's text, as `chunks.texts` writes it: a JSON list of the items, or an object
    with this list as `values`."""
    try:
        found = loads(text) if type(text) is str else None
    except CodecError:
        found = None
    values = found.get("values") if type(found) is dict else found
    if type(values) is not list:
        raise ProtocolError("the specification of the job has items that are not those of a Python function")
    return len(values)


Decoder = Callable[[bytes, "str | None"], list[Outcome]]


def of_items(policy: Policy, job: Job, decoder: Decoder, items: Items) -> Plan[list[Item]]:
    """Returns all items of an ended map with their outcomes. An item of a task that failed has the task's error, and an
    item of a task that did not run has the job's."""
    found = yield from _of_tasks(policy, job, decoder)
    listed: list[Item] = []
    for task in range(max(len(items.sizes), max(found, default=-1) + 1)):
        outcomes = found.get(task)
        if not isinstance(outcomes, list):
            missing = outcomes or FabricError("the task did not run", job_id=job.id)
            outcomes = [Outcome(None, missing, True)] * items.size(job, task)
        for outcome in outcomes:
            if outcome.error is not None:
                note(outcome.error, len(listed), items)
            listed.append(Item(len(listed), outcome, task))
    return listed


def _of_tasks(policy: Policy, job: Job, decoder: Decoder) -> Plan[Mapping[int, list[Outcome] | FabricError]]:
    if job.state == "succeeded" and not job.tasks.failed:
        parts = yield from jobs.parts(policy, job)
        return {number: decoder(*part) for number, part in enumerate(parts)}
    failure = yield from jobs.failure(policy, job)
    if isinstance(failure, JobCancelled):
        raise failure
    found: dict[int, list[Outcome] | FabricError] = {}
    for task in (yield from jobs.tasks(policy, job.id, None, 0, jobs.ALL)):
        if task.state == "succeeded":
            content, kind = yield from jobs.task_result(policy, job.id, task)
            found[task.index] = decoder(content, kind)
        elif task.error is not None:
            found[task.index] = hinted(from_fault(task.error, job_id=job.id))
        else:
            found[task.index] = hinted(failure or FabricError("the task did not run", job_id=job.id))
    return found


def note(error: BaseException, number: int, items: Items) -> None:
    """Adds the item's number and text to an exception, as `add_note` of Python 3.11 does."""
    text = items.show(number)
    line = f"item {number}: {text}" if text else f"item {number}"
    notes = vars(error).setdefault("__notes__", [])
    if line not in notes:
        notes.append(line)


def hinted(error: FabricError) -> FabricError:
    """Adds what a user of `map` can do about a limit."""
    error = explained(error)
    if isinstance(error, LimitExceeded):
        more = "the limits apply to all items of a task: use a smaller chunksize, or raise the limits"
        if error.hint is None or more not in error.hint:
            error.hint = f"{error.hint}; {more}" if error.hint else more
    return error
