"""Jobs: submit, wait, results, cancel."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ..codec import Decoder
from ..errors import Conflict, FabricError, JobCancelled, Unreachable, WaitTimeout, from_fault
from ..request import Policy, address, call, exchange, get, pages, post, query, send
from ..steps import Close, Emit, Flow, Plan, Read, Request
from ..wire.invocation import Invocation, LogLine
from ..wire.job import ENDED, Audit, DeadLetter, Job, JobPlan, JobResult, JobsDeleted, Task
from . import objects

#: Timeout of a submission, in seconds. Listing a large prefix takes long.
SUBMIT_TIMEOUT = 300.0
#: Timeout of an audit, in seconds. An audit runs tasks again.
AUDIT_TIMEOUT = 1800.0
#: Seconds that one request may wait for a job's end. The server allows at most 60.
LONG_POLL = 50
#: Maximum size of one result in memory, in bytes. Larger results need `content`.
RESULT_LIMIT = 1 << 30
#: Up to this number of results are fetched one by one, which can be resumed. More are fetched in one stream.
FEW = 4
#: Results of more bytes than this are not held in memory together while they are iterated.
AT_ONCE_BYTES = 64 << 20
#: Number of log lines of a failed task in an exception.
TAIL = 20

#: A result: its bytes and its media type.
Part = tuple[bytes, str | None]

ALL = 1 << 31
"""A limit for all entries of a list."""


def submit(policy: Policy, spec: Mapping[str, Any], key: str | None) -> Plan[Job]:
    """Submits a job."""
    return call(replace(post("jobs", key=key, body=spec), timeout=SUBMIT_TIMEOUT), policy, Job)


def plan(policy: Policy, spec: Mapping[str, Any]) -> Plan[JobPlan]:
    """Returns the plan of a job without running it."""
    return call(replace(post("jobs", body=spec, dry_run=True), timeout=SUBMIT_TIMEOUT), policy, JobPlan)


def retry(policy: Policy, job: str, function: str | None, budget_fuel: int | str | None) -> Plan[Job]:
    """Submits an ended job again, as a new job."""
    request = post("jobs", job, "retry", body={"function": function, "budget-fuel": budget_fuel})
    return call(replace(request, timeout=SUBMIT_TIMEOUT), policy, Job)


def listing(policy: Policy, limit: int, **wanted: object) -> Plan[list[Job]]:
    """Lists jobs, newest first."""
    return pages(get("jobs", **wanted), policy, Job, limit)


def look(policy: Policy, job: str) -> Plan[Job]:
    """Returns the current state of a job."""
    return call(get("jobs", job), policy, Job)


class Limit:
    """A deadline for a wait: seconds, or None for no limit."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._until = None if timeout is None else time.monotonic() + timeout

    def remaining(self) -> float | None:
        """Returns the seconds until the deadline, or None for no limit."""
        return None if self._until is None else max(0.0, self._until - time.monotonic())

    def left(self, most: float) -> int:
        """Returns the seconds for the next request, at most `most`. Rounded up, as the server takes whole seconds."""
        left = most if self._until is None else min(most, self._until - time.monotonic())
        return max(0, min(LONG_POLL, math.ceil(left)))

    def check(self, what: str, state: str) -> None:
        """Raises `WaitTimeout` after the deadline."""
        if self._until is not None and time.monotonic() >= self._until:
            raise WaitTimeout(f"{what} is still {state} after {self._timeout} s")


def looks(policy: Policy, job: str, timeout: float | None, every: float) -> Flow[Job]:
    """Yields a job's state every `every` seconds and when it ends. Waits for a server that restarts.

    Raises:
        WaitTimeout: after `timeout` seconds.
    """
    limit = Limit(timeout)
    while True:
        info = yield from call(_poll(get("jobs", job), limit.left(every)), policy, Job)
        yield Emit(info)
        if has_ended(info):
            return
        limit.check(f"job {job}", info.state)


def wait_invocation(policy: Policy, invocation: str, timeout: float | None) -> Plan[Invocation]:
    """Waits for the end of an asynchronous invocation.

    Raises:
        WaitTimeout: after `timeout` seconds.
    """
    limit = Limit(timeout)
    while True:
        request = _poll(get("invocations", invocation), limit.left(LONG_POLL))
        info = yield from call(request, policy, Invocation)
        if has_ended(info):
            return info
        limit.check(f"invocation {invocation}", info.state)


def look_at_invocation(policy: Policy, invocation: str) -> Plan[Invocation]:
    """Returns the current state of an invocation."""
    return call(get("invocations", invocation), policy, Invocation)


def _poll(request: Request, seconds: int) -> Request:
    pairs = query(wait=seconds or None)
    return replace(request, query=request.query + pairs, timeout=seconds + 30.0, patient=True)


def cancel(policy: Policy, job: str) -> Plan[Job | None]:
    """Cancels a job. Returns None if it had already ended."""
    try:
        return (yield from call(post("jobs", job, "cancel"), policy, Job))
    except Conflict:
        return None


def cancel_invocation(policy: Policy, invocation: str) -> Plan[Invocation | None]:
    """Cancels an invocation. Returns None if it had already ended."""
    try:
        return (yield from call(post("invocations", invocation, "cancel"), policy, Invocation))
    except Conflict:
        return None


def delete(policy: Policy, job: str) -> Plan[None]:
    """Moves an ended job to the bin."""
    yield from exchange(Request("DELETE", address("jobs", job), repeatable=True), policy)


def delete_all(policy: Policy, for_good: bool, **wanted: object) -> Plan[int]:
    """Deletes the ended jobs that match the filters. Returns their number."""
    deleted, cursor = 0, None
    while True:
        asked = query(now=for_good or None, cursor=cursor, limit=100, **wanted)
        request = Request("DELETE", address("jobs"), query=asked, repeatable=True)
        page = yield from call(request, policy, JobsDeleted)
        deleted += page.deleted
        if page.next is None or page.next == cursor:
            return deleted
        cursor = page.next


def restore(policy: Policy, job: str) -> Plan[Job]:
    """Restores a job from the bin."""
    return call(post("jobs", job, "restore"), policy, Job)


def audit(policy: Policy, job: str, sample: float) -> Plan[Audit]:
    """Runs a sample of a job's tasks again and compares the results."""
    return call(replace(post("jobs", job, "audit", sample=sample), timeout=AUDIT_TIMEOUT), policy, Audit)


def tasks(policy: Policy, job: str, state: str | None, stage: int | None, limit: int) -> Plan[list[Task]]:
    """Lists a job's tasks, by stage and index."""
    return pages(get("jobs", job, "tasks", state=state, stage=stage), policy, Task, limit)


def dead_letters(policy: Policy, job: str | None, limit: int) -> Plan[list[DeadLetter]]:
    """Lists tasks that were given up."""
    return pages(get("dead-letters", job=job), policy, DeadLetter, limit)


def logs(policy: Policy, limit: int, **wanted: object) -> Plan[list[LogLine]]:
    """Lists log lines, oldest first."""
    return pages(get("logs", **wanted), policy, LogLine, limit)


def results(policy: Policy, job: str) -> Plan[list[JobResult]]:
    """Lists the results of a job."""
    request = replace(get("jobs", job, "results"), patient=True)
    return pages(request, policy, JobResult, ALL)


def part(policy: Policy, job: str, index: int) -> Plan[Part]:
    """Returns one result and its media type."""
    request = replace(get("jobs", job, "result", str(index)), patient=True)
    answer = yield from exchange(request, policy, RESULT_LIMIT)
    return answer.body, answer.headers.get("content-type")


def invocation_result(policy: Policy, invocation: str) -> Plan[Part]:
    """Returns the result of an asynchronous invocation and its media type."""
    request = replace(get("invocations", invocation, "result"), patient=True)
    answer = yield from exchange(request, policy, RESULT_LIMIT)
    return answer.body, answer.headers.get("content-type")


def content(policy: Policy, job: str) -> Flow[bytes]:
    """Yields the bytes of all results, in order, as they arrive."""
    found = yield from results(policy, job)
    for result in found:
        request = replace(get("jobs", job, "result", str(result.index)), patient=True)
        yield from objects.download(request, policy)


def failure(policy: Policy, job: Job) -> Plan[FabricError | None]:
    """Returns the error of an ended job, with the failed task's last log lines, or None if it succeeded."""
    if job.state == "cancelled":
        return JobCancelled(f"job {job.id} was cancelled and has no result", job_id=job.id)
    if job.state != "failed":
        return None
    if job.error is None:
        return FabricError(job.remark or f"job {job.id} failed", job_id=job.id)
    error = from_fault(job.error, job_id=job.id)
    try:
        failed = yield from tasks(policy, job.id, "failed", None, 1)
        task = f"{failed[0].stage}/{failed[0].index}" if failed else None
        error.log_tail = yield from tail(policy, job=job.id, task=task)
    except FabricError:
        # The log lines are optional; the error itself must be reported.
        pass
    return error


def invocation_failure(policy: Policy, info: Invocation) -> Plan[FabricError | None]:
    """Returns the error of an ended invocation, or None if it succeeded."""
    if info.state == "cancelled":
        text = f"invocation {info.id} was cancelled and has no result"
        return JobCancelled(text, invocation_id=info.id)
    if info.state != "failed":
        return None
    if info.error is None:
        return FabricError(f"invocation {info.id} failed", invocation_id=info.id)
    return (yield from with_tail(policy, from_fault(info.error, invocation_id=info.id)))


def invocation_value(policy: Policy, info: Invocation, decoder: Decoder) -> Plan[Any]:
    """Returns the value of an ended invocation.

    Raises:
        FabricError: the failure.
    """
    error = yield from invocation_failure(policy, info)
    if error is not None:
        raise error
    content, kind = yield from invocation_result(policy, info.id)
    return decoder(content, kind)


def tail(policy: Policy, **wanted: object) -> Plan[tuple[LogLine, ...]]:
    """Returns the last log lines, oldest first."""
    newest = yield from logs(policy, TAIL, order="newest", **wanted)
    return tuple(reversed(newest))


def with_tail(policy: Policy, error: FabricError) -> Plan[FabricError]:
    """Returns the error with the last log lines of its invocation."""
    if error.invocation_id is not None:
        # The log lines are optional; the error itself must be reported.
        with suppress(FabricError):
            error.log_tail = yield from tail(policy, invocation=error.invocation_id)
    return error


def values(policy: Policy, job: Job, decoder: Decoder) -> Plan[Any]:
    """Returns the value of an ended job.

    Raises:
        FabricError: the failure.
    """
    found = [decoder(content, kind) for content, kind in (yield from parts(policy, job))]
    return found[0] if job.spec.reduce is not None and len(found) == 1 else found


def parts(policy: Policy, job: Job) -> Plan[list[Part]]:
    """Returns the results of an ended job.

    Raises:
        FabricError: the failure.
    """
    error = yield from failure(policy, job)
    if error is not None:
        raise error
    return (yield from _listed_parts(policy, job.id, (yield from results(policy, job.id))))


def _listed_parts(policy: Policy, job: str, listed: list[JobResult]) -> Plan[list[Part]]:
    found: list[Part] = []
    if len(listed) > FEW:
        try:
            found = yield from _all_at_once(policy, job, listed)
        except Unreachable:
            # This stream cannot be resumed, unlike single results.
            found = []
    for result in listed[len(found) :]:
        found.append((yield from part(policy, job, result.index)))
    return found


def _all_at_once(policy: Policy, job: str, listed: list[JobResult]) -> Plan[list[Part]]:
    """Fetches all results in one stream and splits it by the listed sizes, which saves a request per result."""
    answer = yield from send(replace(get("jobs", job, "result", join="bytes"), patient=True), policy)
    found: list[Part] = []
    held = bytearray()
    while chunk := (yield Read(answer)):
        held += chunk
        at = 0
        while len(found) < len(listed) and at + listed[len(found)].bytes <= len(held):
            result = listed[len(found)]
            found.append((bytes(held[at : at + result.bytes]), result.content_type))
            at += result.bytes
        del held[:at]
    yield Close(answer)
    # Empty results at the end have no chunk.
    found += [(b"", result.content_type) for result in listed[len(found) :] if result.bytes == 0]
    if held or len(found) != len(listed):
        raise Unreachable("the results ended too early")
    return found


def completed(policy: Policy, job: Job, decoder: Decoder, timeout: float | None) -> Flow[tuple[int, Any]]:
    """Yields pairs of a partition's number and its value, as tasks complete. A job with a reduce or a shuffle yields
    its results when it has ended. For a failed job, completed values are yielded before its error is raised.
    """
    limit = Limit(timeout)
    given: set[int] = set()
    # Only in a plain map each task's result is a result of the job.
    plain = job.spec.reduce is None and job.spec.shuffle is None
    first = True
    while True:
        if not has_ended(job):
            # The first request does not wait, since results may exist already.
            request = get("jobs", job.id) if first else _poll(get("jobs", job.id), limit.left(1.0))
            job = yield from call(request, policy, Job)
            first = False
        whole = job.state == "succeeded" and not job.tasks.dead and not given
        if plain and not whole and job.tasks.succeeded > len(given):
            for task in (yield from tasks(policy, job.id, "succeeded", 0, ALL)):
                if task.index not in given:
                    given.add(task.index)
                    content, kind = yield from task_result(policy, job.id, task)
                    yield Emit((task.index, decoder(content, kind)))
        if has_ended(job):
            break
        limit.check(f"job {job.id}", job.state)
    if whole or not plain or job.state != "succeeded":
        error = yield from failure(policy, job)
        if error is not None:
            raise error
        listed = yield from results(policy, job.id)
        if sum(result.bytes for result in listed) > AT_ONCE_BYTES:
            # One at a time, so that the caller decides how much is in memory.
            for index, result in enumerate(listed):
                yield Emit((index, decoder(*(yield from part(policy, job.id, result.index)))))
            return
        for index, (content, kind) in enumerate((yield from _listed_parts(policy, job.id, listed))):
            yield Emit((index, decoder(content, kind)))


def task_result(policy: Policy, job: str, task: Task) -> Plan[Part]:
    """Returns the result of a task that succeeded. Its job may be in any state."""
    request = get("jobs", job, "tasks", str(task.stage), str(task.index), "result")
    answer = yield from exchange(replace(request, patient=True), policy, RESULT_LIMIT)
    return answer.body, answer.headers.get("content-type")


def has_ended(job: Job | Invocation) -> bool:
    """Returns True if the job or invocation has ended."""
    return job.state in ENDED
