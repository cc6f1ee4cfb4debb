"""One request and its answer: addresses, repeats, problems. Every operation goes through here."""

from __future__ import annotations

import json
import random
import secrets
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import quote

from .errors import WORTH_REPEATING, FabricError, ProtocolError, SettingError, Unreachable, from_problem
from .steps import JSON_LIMIT, PROBLEM_LIMIT, Answer, Close, Open, Pause, Plan, Read, Request
from .upload import Upload
from .wire.decode import Mismatch, read
from .wire.problem import Problem

T = TypeVar("T")

_STATUS_CODES = {
    400: "bad-request",
    401: "unauthenticated",
    403: "denied",
    404: "not-found",
    405: "method-not-allowed",
    409: "conflict",
    412: "precondition-failed",
    413: "too-large",
    416: "range-not-satisfiable",
    429: "too-many-requests",
    502: "unavailable",
    503: "unavailable",
    504: "unavailable",
}


@dataclass(frozen=True)
class Policy:
    """When a request is sent again, and after how long. Times are seconds."""

    #: How often a request that may safely be repeated is sent.
    attempts: int = 4
    #: How long those who wait for a job, its events or its results try to reach a server that went away.
    reconnect_for: float = 60.0
    #: Whether calls, too, wait that long for a server that does not answer. By default a call fails after `attempts`,
    #: and at once where nobody listens.
    patient_calls: bool = False
    #: The first pause; each further one is twice as long, with full jitter.
    base: float = 0.1
    #: The longest pause.
    ceiling: float = 5.0
    #: The longest pause that a server may ask for.
    longest_asked: float = 30.0

    def pause(self, attempt: int, asked: float | None) -> float:
        """The pause after failed attempt number `attempt`, from 0."""
        if asked is not None:
            return min(asked, self.longest_asked)
        window: float = min(self.base * 2 ** min(attempt, 16), self.ceiling)
        return max(0.01, window * random.random())  # noqa: S311 — jitter is no secret


def address(*segments: str) -> str:
    """`/v1/` and the segments, percent-encoded; a segment may hold `/` where it is an object's path.

    Raises:
        SettingError: for an empty segment or one that would name another route.
    """
    for part in (part for segment in segments for part in segment.split("/")):
        if part in (".", ".."):
            raise SettingError(f"{part!r} can't be part of a path")
    if not all(segments):
        raise SettingError(
            "a name is empty", hint="give the name of a function, the id of a job, the path of an object"
        )
    try:
        return "/v1/" + "/".join(quote(s, safe="/:@") for s in segments)
    except UnicodeEncodeError as error:
        raise SettingError(f"{error.object!r} is not UTF-8") from None


def query(**pairs: object) -> tuple[tuple[str, str], ...]:
    """Query parameters; those that are None are left out."""
    return tuple(
        (name, str(value).lower() if isinstance(value, bool) else str(value))
        for name, value in pairs.items()
        if value is not None
    )


def get(*segments: str, **pairs: object) -> Request:
    """A GET."""
    return Request("GET", address(*segments), query(**pairs), repeatable=True)


def post(*segments: str, key: str | None = None, body: object = None, **pairs: object) -> Request:
    """A POST with a JSON body, or none. It carries an idempotency key, so it may be sent again."""
    request = Request("POST", address(*segments), query(**pairs), repeatable=True)
    if body is not None:
        request = replace(request, body=to_json(body)).with_headers(("content-type", "application/json"))
    return with_key(request, key)


def with_key(request: Request, key: str | None) -> Request:
    """The request with an idempotency key, a new one by default: the server acts once for each."""
    if key is not None and not (0 < len(key) <= 200 and key.isascii() and key.isprintable()):
        raise SettingError("an idempotency key has 1 to 200 visible ASCII characters")
    return request.with_headers(("idempotency-key", key or secrets.token_hex(16)))


def to_json(value: object) -> bytes:
    """JSON as it goes over the wire.

    Raises:
        TypeError: for what JSON does not have.
        ValueError: for NaN and infinities, which JSON does not have either.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def send(request: Request, policy: Policy) -> Plan[Answer]:
    """Sends a request, again where that is safe and worth it; the answer's body is not read yet.

    Raises:
        FabricError: the problem that the server answered with; `Unreachable` where it did not.
    """
    again = request.repeatable and not (isinstance(request.body, Upload) and not request.body.again)
    attempt = 0
    waited = 0.0
    while True:
        asked = None
        try:
            answer: Answer = yield Open(request)
            if answer.ok:
                return answer
            asked = retry_after(answer)
            error: FabricError = yield from _problem(answer)
        except Unreachable as e:
            error = e
        out_of_reach = isinstance(error, Unreachable)
        if out_of_reach and request.patient:
            hopeless = waited >= policy.reconnect_for
        else:
            # Nobody listens: waiting for that to change is the caller's decision.
            refused = isinstance(error, Unreachable) and getattr(error, "refused", False)
            hopeless = attempt + 1 >= policy.attempts or refused
        # With a pause asked for, a conflict means that the first try with the same key is still under way.
        under_way = error.code == "conflict" and asked is not None
        if not again or hopeless or not (out_of_reach or under_way or error.code in WORTH_REPEATING):
            raise error
        pause = policy.pause(attempt, asked)
        attempt += 1
        waited += pause
        yield Pause(pause)


def body(answer: Answer, limit: int = JSON_LIMIT) -> Plan[bytes]:
    """Reads the whole body.

    Raises:
        ProtocolError: beyond `limit` bytes.
        Unreachable: where it broke off.
    """
    chunks: list[bytes] = []
    size = 0
    while True:
        chunk: bytes = yield Read(answer)
        if not chunk:
            break
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            yield Close(answer)
            raise ProtocolError(f"the answer is larger than {limit} bytes", code="too-large")
    yield Close(answer)
    return b"".join(chunks)


def exchange(request: Request, policy: Policy, limit: int = JSON_LIMIT) -> Plan[Answer]:
    """Sends a request and reads the body; a body that breaks off is asked for again like any other failure."""
    attempt = 0
    while True:
        answer = yield from send(request, policy)
        try:
            answer.body = yield from body(answer, limit)
        except Unreachable:
            attempt += 1
            if not request.repeatable or attempt >= policy.attempts or isinstance(request.body, Upload):
                raise
            yield Pause(policy.pause(attempt, None))
            continue
        return answer


def call(request: Request, policy: Policy, model: type[T]) -> Plan[T]:
    """Sends a request and reads the answer as a model."""
    answer = yield from exchange(request, policy)
    return parse(answer.body, model)


def parse(text: bytes | str, model: type[T]) -> T:
    """Reads JSON as a model.

    Raises:
        ProtocolError: where it is not of that shape.
    """
    try:
        return read(model, json.loads(text))
    except (ValueError, RecursionError) as e:
        what = str(e) if isinstance(e, Mismatch) else "not JSON"
        raise ProtocolError(f"unexpected answer: {what}", hint="is that address a Fabric server?") from e


def page(request: Request, policy: Policy, model: type[T]) -> Plan[tuple[list[T], str | None]]:
    """One page of a list and the cursor of the next."""
    answer = yield from exchange(request, policy)
    try:
        document: Any = json.loads(answer.body)
        items = [read(model, item, f"$.items[{i}]") for i, item in enumerate(document["items"])]
        following = document.get("next")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise ProtocolError(f"unexpected answer: {e}", hint="is that address a Fabric server?") from e
    return items, following if isinstance(following, str) else None


def pages(request: Request, policy: Policy, model: type[T], limit: int) -> Plan[list[T]]:
    """Items of a list, page after page, at most `limit`."""
    found: list[T] = []
    cursor: str | None = None
    while len(found) < limit:
        more = query(cursor=cursor, limit=min(1000, limit - len(found)))
        items, following = yield from page(replace(request, query=request.query + more), policy, model)
        found += items[: limit - len(found)]
        # A cursor that does not move would loop for ever, and so would one that brings nothing.
        if following is None or following == cursor or not items:
            break
        cursor = following
    return found


def retry_after(answer: Answer) -> float | None:
    """The pause in seconds that a server asks for."""
    try:
        return max(0.0, float(int(answer.headers.get("retry-after", ""))))
    except ValueError:
        return None


def _problem(answer: Answer) -> Plan[FabricError]:
    """Reads an error answer. One that is no problem document becomes one, by its status."""
    chunks: list[bytes] = []
    while sum(map(len, chunks)) < PROBLEM_LIMIT:
        chunk: bytes = yield Read(answer)
        if not chunk:
            break
        chunks.append(chunk)
    yield Close(answer)
    text = b"".join(chunks)[:PROBLEM_LIMIT]
    try:
        return from_problem(read(Problem, json.loads(text)))
    except (ValueError, RecursionError):
        pass
    code = _STATUS_CODES.get(answer.status, "internal" if answer.status >= 500 else None)
    if code is None:
        return ProtocolError(f"unexpected status {answer.status}", hint="is that address a Fabric server?")
    short = text[:300].decode(errors="replace")
    return from_problem(Problem(title=code, status=answer.status, detail=short or f"status {answer.status}", code=code))
