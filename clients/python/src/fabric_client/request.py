"""Requests and responses: paths, retries, problems. Every operation uses this module."""

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
    """The retry policy. Times are in seconds."""

    #: Maximum number of attempts of a request that can be repeated safely.
    attempts: int = 4
    #: Time for which waits for a job, its events or its results try to reach an unreachable server.
    reconnect_for: float = 60.0
    #: Also wait that long in calls. By default a call fails after `attempts`, or immediately if the connection is
    #: refused.
    patient_calls: bool = False
    #: The first pause. Each further pause is twice as long, with full jitter.
    base: float = 0.1
    #: The maximum pause.
    ceiling: float = 5.0
    #: The maximum pause that a server may request.
    longest_asked: float = 30.0

    def pause(self, attempt: int, asked: float | None) -> float:
        """Returns the pause after failed attempt number `attempt`, from 0."""
        if asked is not None:
            return min(asked, self.longest_asked)
        window: float = min(self.base * 2 ** min(attempt, 16), self.ceiling)
        return max(0.01, window * random.random())  # noqa: S311 — jitter is no secret


def address(*segments: str) -> str:
    """Returns `/v1/` and the percent-encoded segments. A segment that is an object's path may contain `/`.

    Raises:
        SettingError: if a segment is empty or would name another route.
    """
    for part in (part for segment in segments for part in segment.split("/")):
        if part in (".", ".."):
            raise SettingError(f"{part!r} is not allowed in a path")
    if not all(segments):
        raise SettingError(
            "a name is empty", hint="pass the name of a function, the id of a job or the path of an object"
        )
    try:
        return "/v1/" + "/".join(quote(s, safe="/:@") for s in segments)
    except UnicodeEncodeError as error:
        raise SettingError(f"{error.object!r} is not UTF-8") from None


def query(**pairs: object) -> tuple[tuple[str, str], ...]:
    """Returns query parameters without those that are None."""
    return tuple(
        (name, str(value).lower() if isinstance(value, bool) else str(value))
        for name, value in pairs.items()
        if value is not None
    )


def get(*segments: str, **pairs: object) -> Request:
    """Creates a GET request."""
    return Request("GET", address(*segments), query(**pairs), repeatable=True)


def post(*segments: str, key: str | None = None, body: object = None, **pairs: object) -> Request:
    """Creates a POST request with an optional JSON body. Its idempotency key makes it repeatable."""
    request = Request("POST", address(*segments), query(**pairs), repeatable=True)
    if body is not None:
        request = replace(request, body=to_json(body)).with_headers(("content-type", "application/json"))
    return with_key(request, key)


def with_key(request: Request, key: str | None) -> Request:
    """Adds an idempotency key, by default a new one. The server acts once for each key."""
    if key is not None and not (0 < len(key) <= 200 and key.isascii() and key.isprintable()):
        raise SettingError("an idempotency key must have 1 to 200 printable ASCII characters")
    return request.with_headers(("idempotency-key", key or secrets.token_hex(16)))


def to_json(value: object) -> bytes:
    """Encodes a value as compact JSON.

    Raises:
        TypeError: for a value that JSON cannot represent.
        ValueError: for NaN and infinities.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def send(request: Request, policy: Policy) -> Plan[Answer]:
    """Sends a request, with retries if they are safe and useful. Does not read the body of the response.

    Raises:
        FabricError: the problem in the response, or `Unreachable` without a response.
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
            # The connection was refused: the caller decides whether to wait for a server.
            refused = isinstance(error, Unreachable) and getattr(error, "refused", False)
            hopeless = attempt + 1 >= policy.attempts or refused
        # A conflict with `retry-after` means that the first attempt with the same key is still running.
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
        ProtocolError: if the body exceeds `limit` bytes.
        Unreachable: if the connection breaks.
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
            raise ProtocolError(f"the response is larger than {limit} bytes", code="too-large")
    yield Close(answer)
    return b"".join(chunks)


def exchange(request: Request, policy: Policy, limit: int = JSON_LIMIT) -> Plan[Answer]:
    """Sends a request and reads the body. Repeats the request if the body breaks off."""
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
    """Sends a request and reads the response as a model."""
    answer = yield from exchange(request, policy)
    return parse(answer.body, model)


def parse(text: bytes | str, model: type[T]) -> T:
    """Reads JSON as a model.

    Raises:
        ProtocolError: if the JSON does not match the model.
    """
    try:
        return read(model, json.loads(text))
    except (ValueError, RecursionError) as e:
        what = str(e) if isinstance(e, Mismatch) else "not JSON"
        raise ProtocolError(f"unexpected response: {what}", hint="check that the address is a Fabric server") from e


def page(request: Request, policy: Policy, model: type[T]) -> Plan[tuple[list[T], str | None]]:
    """Returns one page of a list and the cursor of the next."""
    answer = yield from exchange(request, policy)
    try:
        document: Any = json.loads(answer.body)
        items = [read(model, item, f"$.items[{i}]") for i, item in enumerate(document["items"])]
        following = document.get("next")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise ProtocolError(f"unexpected response: {e}", hint="check that the address is a Fabric server") from e
    return items, following if isinstance(following, str) else None


def pages(request: Request, policy: Policy, model: type[T], limit: int) -> Plan[list[T]]:
    """Reads a list page by page, at most `limit` items."""
    found: list[T] = []
    cursor: str | None = None
    while len(found) < limit:
        more = query(cursor=cursor, limit=min(1000, limit - len(found)))
        items, following = yield from page(replace(request, query=request.query + more), policy, model)
        found += items[: limit - len(found)]
        # An unchanged cursor or an empty page would loop forever.
        if following is None or following == cursor or not items:
            break
        cursor = following
    return found


def retry_after(answer: Answer) -> float | None:
    """Returns the pause in seconds that a server requests, or None."""
    try:
        return max(0.0, float(int(answer.headers.get("retry-after", ""))))
    except ValueError:
        return None


def _problem(answer: Answer) -> Plan[FabricError]:
    """Reads an error response. One without a problem document is converted by its status."""
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
        return ProtocolError(f"unexpected status {answer.status}", hint="check that the address is a Fabric server")
    short = text[:300].decode(errors="replace")
    return from_problem(Problem(title=code, status=answer.status, detail=short or f"status {answer.status}", code=code))
