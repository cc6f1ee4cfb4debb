"""Objects: streamed uploads and downloads."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

from ..errors import BadRequest, Conflict, FabricError, NotFound, SettingError, Unreachable
from ..request import Policy, address, call, exchange, get, pages, query, send
from ..steps import Close, Emit, Flow, Plan, Read, Request
from ..upload import Source, Upload, body
from ..wire.object import ObjectInfo
from .follow import IDLE_TIMEOUT, Patience

#: Maximum length of a path, and of a name in a path, in bytes.
LONGEST_PATH, LONGEST_NAME = 1024, 240


def _broken_rule(path: str) -> str | None:
    """Returns the rule for object paths that `path` violates, or None. The server applies the same rules."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "it is not UTF-8"
    names = path.split("/")
    if not path:
        return "it is empty"
    if path.startswith("/"):
        return "it begins with a slash"
    if path.endswith("/"):
        return "it ends with a slash, so it names a prefix and not an object"
    if size > LONGEST_PATH:
        return f"it is longer than {LONGEST_PATH} bytes"
    if not all(names):
        return "a name between slashes is empty"
    if any(name in (".", "..") for name in names):
        return "`.` and `..` are not names"
    if any(len(name.encode()) > LONGEST_NAME for name in names):
        return f"a name between slashes is longer than {LONGEST_NAME} bytes"
    if "\\" in path:
        return "it has a backslash"
    if any(unicodedata.category(c) == "Cc" for c in path):
        return "it has a control character"
    return None


def checked_path(path: str) -> str:
    """Returns the path, or raises `BadRequest` with the violated rule."""
    rule = _broken_rule(path)
    if rule is not None:
        raise BadRequest(
            f"{path[:80]!r} is not an object path: {rule}",
            code="invalid-path",
            hint="use names separated by single slashes, as in weather/2013.csv",
        )
    return path


def put(
    policy: Policy, path: str, source: Source, content_type: str | None, create: bool, if_match: str | None
) -> Plan[ObjectInfo]:
    """Writes an object."""
    content = body(source)
    request = Request("PUT", address("objects", checked_path(path)), body=content, timeout=None)
    headers: list[tuple[str, str]] = []
    if create:
        headers.append(("if-none-match", "*"))
    if if_match is not None:
        headers.append(("if-match", f'"{if_match}"'))
    if content_type is not None:
        headers.append(("content-type", content_type))
    # A repeated conditional write would conflict with its own first attempt.
    again = not create and if_match is None and not (isinstance(content, Upload) and not content.again)
    return call(replace(request.with_headers(*headers), repeatable=again), policy, ObjectInfo)


def head(policy: Policy, path: str) -> Plan[ObjectInfo | None]:
    """Returns an object's description, or None if it does not exist. `modified_ms` is 0."""
    try:
        request = Request("HEAD", address("objects", checked_path(path)), repeatable=True)
        answer = yield from exchange(request, policy)
    except NotFound:
        return None
    size = answer.headers.get("content-length", "0")
    etag = answer.headers.get("etag", "").strip('"')
    return ObjectInfo(path=path, size=int(size) if size.isdigit() else 0, etag=etag, modified_ms=0)


def delete(policy: Policy, path: str) -> Plan[None]:
    """Deletes an object."""
    yield from exchange(Request("DELETE", address("objects", checked_path(path)), repeatable=True), policy)


def listing(policy: Policy, prefix: str, folders: bool, limit: int) -> Plan[list[ObjectInfo]]:
    """Lists objects by path. With `folders`, lists one level only."""
    request = Request(
        "GET",
        address("objects"),
        query(prefix=prefix or None, delimiter="/" if folders else None),
        repeatable=True,
    )
    return pages(request, policy, ObjectInfo, limit)


def members(policy: Policy, path: str, limit: int) -> Plan[list[ObjectInfo]]:
    """Lists the objects under a prefix, or the object at a path."""
    if path.endswith("/"):
        return (yield from listing(policy, path, False, limit))
    found = yield from head(policy, path)
    return [] if found is None else [found]


def content(policy: Policy, path: str, start: int = 0, length: int | None = None) -> Flow[bytes]:
    """Yields an object's bytes as they arrive, from `start` on."""
    return download(get("objects", checked_path(path)), policy, start, length)


def download(request: Request, policy: Policy, start: int = 0, length: int | None = None) -> Flow[bytes]:
    """Yields a body's bytes as they arrive. Resumes after the last received byte if the connection breaks and the
    content is unchanged. Waits for a server that restarts.

    Raises:
        Unreachable: if the download cannot be resumed within `policy.reconnect_for`.
        Conflict: if the content changed during the download.
    """
    if start < 0 or (length is not None and length < 0):
        raise SettingError("a range must have a start and a length of 0 or more")
    if length == 0:
        return
    end = None if length is None else start + length
    at, etag = start, None
    patience = Patience(policy)
    while True:
        headers: list[tuple[str, str]] = []
        if at > 0 or end is not None:
            headers.append(("range", f"bytes={at}-{'' if end is None else end - 1}"))
        if etag is not None:
            headers.append(("if-match", etag))
            headers.append(("if-range", etag))
        ask = replace(request.with_headers(*headers), timeout=IDLE_TIMEOUT, patient=etag is not None or request.patient)
        answer = yield from send(ask, policy)
        if at > 0 and answer.status != 206:
            raise Conflict("the content changed during the download", hint="start the download again")
        etag = answer.headers.get("etag")
        announced = answer.headers.get("content-length", "")
        missing = int(announced) if announced.isascii() and announced.isdigit() else None
        error: FabricError | None = None
        try:
            while chunk := (yield Read(answer)):
                at += len(chunk)
                missing = None if missing is None else missing - len(chunk)
                patience.refresh()
                yield Emit(chunk)
        except Unreachable as e:
            error = e
        yield Close(answer)
        if error is None and not missing:
            return
        error = error or Unreachable("the body ended too early")
        if etag is None:
            # Without an entity tag, the client cannot check that the rest belongs to the same content.
            raise error
        yield from patience.pause(error)
