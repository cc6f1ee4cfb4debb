"""The two drivers that run the steps of operations over httpx: one is blocking, one is async. All I/O with the server
is in this module. Logic that both drivers would need is in the operations.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import httpx

from .config import Settings
from .errors import FabricError, SettingError, Unreachable
from .steps import Answer, Close, Emit, Flow, Open, Plan, Read, Request, Step
from .upload import Upload
from .version import __version__

T = TypeVar("T")

#: Timeout of connecting, in seconds.
CONNECT_TIMEOUT = 5.0
#: Timeout of writing without progress, in seconds.
IDLE_TIMEOUT = 60.0
#: Timeout of waiting for a free connection, in seconds.
POOL_TIMEOUT = 600.0

_END = object()


class SyncDriver:
    """Runs operations and blocks. Safe to use from several threads."""

    def __init__(self, settings: Settings, *, max_connections: int = 100) -> None:
        self._base = settings.url
        options = _options(settings)
        self._http = httpx.Client(transport=httpx.HTTPTransport(**_transport(settings, max_connections)), **options)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def run(self, plan: Plan[T]) -> T:
        """Runs an operation and returns its outcome."""
        outcome: list[Any] = []
        try:
            for _ in self._steps(cast("Flow[Any]", plan), outcome):
                raise AssertionError("an operation with one outcome must not yield values")
        except FabricError as error:
            # Frames of the operation's generators would only hide the user's own lines.
            raise error.with_traceback(None) from error.__cause__
        return cast(T, outcome[0])

    def iterate(self, flow: Flow[T]) -> Iterator[T]:
        """Runs an operation and yields its values."""
        return self._steps(flow, [])

    def _steps(self, flow: Flow[T], outcome: list[Any]) -> Iterator[T]:
        opened: list[Answer] = []
        resume: Callable[[], Any] = lambda: next(flow)  # noqa: E731
        try:
            while True:
                step = resume()
                if isinstance(step, Emit):
                    yield step.value
                    resume = lambda: next(flow)  # noqa: E731
                    continue
                try:
                    reply = self._do(step, opened)
                except FabricError as error:
                    resume = _thrower(flow, error)
                else:
                    resume = _sender(flow, reply)
        except StopIteration as stop:
            outcome.append(stop.value)
        finally:
            flow.close()
            for answer in opened:
                answer.handle[0].close()

    def _do(self, step: Step, opened: list[Answer]) -> Any:
        if isinstance(step, Open):
            answer = self._open(step.request)
            opened.append(answer)
            return answer
        if isinstance(step, Read):
            _, chunks = step.answer.handle
            try:
                return next(chunks, b"")
            except httpx.HTTPError as e:
                raise _unreachable(self._base, e, broke_off=True) from None
        if isinstance(step, Close):
            step.answer.handle[0].close()
            opened.remove(step.answer)
            return None
        time.sleep(step.seconds)
        return None

    def _open(self, request: Request) -> Answer:
        body = request.body
        content: Any = body.chunks() if isinstance(body, Upload) else body
        try:
            response = self._http.send(_prepared(self._http, self._base, request, content), stream=True)
        except (httpx.InvalidURL, httpx.LocalProtocolError) as e:
            raise SettingError(f"{request.method} {request.path!r} cannot be sent: {e}") from None
        except httpx.HTTPError as e:
            raise _unreachable(self._base, e) from None
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, handle=(response, _filled(response.iter_raw())))


def _filled(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Drops empty chunks, which would be taken for the end."""
    return (chunk for chunk in chunks if chunk)


class AsyncDriver:
    """Runs operations on the running event loop."""

    def __init__(self, settings: Settings, *, max_connections: int = 100) -> None:
        self._base = settings.url
        options = _options(settings)
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(**_transport(settings, max_connections)), **options
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def run(self, plan: Plan[T]) -> T:
        """Runs an operation and returns its outcome."""
        outcome: list[Any] = []
        try:
            async for _ in self._steps(cast("Flow[Any]", plan), outcome):
                raise AssertionError("an operation with one outcome must not yield values")
        except FabricError as error:
            raise error.with_traceback(None) from error.__cause__
        return cast(T, outcome[0])

    def iterate(self, flow: Flow[T]) -> AsyncIterator[T]:
        """Runs an operation and yields its values."""
        return self._steps(flow, [])

    async def _steps(self, flow: Flow[T], outcome: list[Any]) -> AsyncIterator[T]:
        opened: list[Answer] = []
        resume: Callable[[], Any] = lambda: next(flow)  # noqa: E731
        try:
            while True:
                try:
                    step = resume()
                except StopIteration as stop:
                    outcome.append(stop.value)
                    return
                if isinstance(step, Emit):
                    yield step.value
                    resume = lambda: next(flow)  # noqa: E731
                    continue
                try:
                    reply = await self._do(step, opened)
                except FabricError as error:
                    resume = _thrower(flow, error)
                else:
                    resume = _sender(flow, reply)
        finally:
            flow.close()
            for answer in opened:
                # A cancelled task still releases its connections.
                with suppress(httpx.HTTPError):
                    await asyncio.shield(answer.handle[0].aclose())

    async def _do(self, step: Step, opened: list[Answer]) -> Any:
        if isinstance(step, Open):
            answer = await self._open(step.request)
            opened.append(answer)
            return answer
        if isinstance(step, Read):
            _, chunks = step.answer.handle
            try:
                return await anext(chunks, b"")
            except httpx.HTTPError as e:
                raise _unreachable(self._base, e, broke_off=True) from None
        if isinstance(step, Close):
            await step.answer.handle[0].aclose()
            opened.remove(step.answer)
            return None
        await asyncio.sleep(step.seconds)
        return None

    async def _open(self, request: Request) -> Answer:
        body = request.body
        content: Any = _in_threads(body.chunks()) if isinstance(body, Upload) else body
        try:
            response = await self._http.send(_prepared(self._http, self._base, request, content), stream=True)
        except (httpx.InvalidURL, httpx.LocalProtocolError) as e:
            raise SettingError(f"{request.method} {request.path!r} cannot be sent: {e}") from None
        except httpx.HTTPError as e:
            raise _unreachable(self._base, e) from None
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, handle=(response, _filled_async(response.aiter_raw())))


async def _filled_async(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        if chunk:
            yield chunk


async def _in_threads(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Reads files without blocking the event loop."""
    while (chunk := await asyncio.to_thread(next, chunks, _END)) is not _END:
        yield cast(bytes, chunk)


def _sender(flow: Flow[T], reply: Any) -> Callable[[], Any]:
    return lambda: flow.send(reply)


def _thrower(flow: Flow[T], error: FabricError) -> Callable[[], Any]:
    return lambda: flow.throw(error)


def _options(settings: Settings) -> dict[str, Any]:
    headers = {
        "user-agent": f"fabric-client-python/{__version__}",
        # No decompression: a small compressed body could exhaust the memory.
        "accept-encoding": "identity",
    }
    if settings.token is not None:
        headers["authorization"] = f"Bearer {settings.token}"
    if settings.tenant is not None:
        headers["fabric-tenant"] = settings.tenant
    # A redirect could send the token to another server, and this API uses none.
    return {"headers": headers, "follow_redirects": False}


def _transport(settings: Settings, max_connections: int) -> dict[str, Any]:
    return {
        "verify": _trusted(settings),
        "limits": httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
        # Detects a dead server even during calls without a timeout.
        "socket_options": _keepalive(),
        "proxy": _proxy(settings),
    }


def _proxy(settings: Settings) -> str | None:
    """Returns the environment's proxy (`HTTPS_PROXY`, `NO_PROXY` …); None for a server on this machine."""
    parts = urlsplit(settings.url)
    if settings.is_loopback or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def _trusted(settings: Settings) -> ssl.SSLContext:
    if settings.url.startswith("http://"):
        # Not used for http. Loading the system's certificates takes tens of milliseconds; this context trusts none.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.create_default_context()
    if settings.ca is not None:
        try:
            context.load_verify_locations(cafile=settings.ca)
        except (OSError, ssl.SSLError) as e:
            raise SettingError(f"the CA certificates in {settings.ca} cannot be read: {e}") from e
    return context


def _keepalive() -> list[tuple[int, int, int]]:
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


def _prepared(http: httpx.Client | httpx.AsyncClient, base: str, request: Request, content: Any) -> httpx.Request:
    headers = list(request.headers)
    if isinstance(request.body, Upload) and request.body.length is not None:
        headers.append(("content-length", str(request.body.length)))
    timeout = httpx.Timeout(connect=CONNECT_TIMEOUT, read=request.timeout, write=IDLE_TIMEOUT, pool=POOL_TIMEOUT)
    return http.build_request(
        request.method,
        base + request.path,
        params=list(request.query) or None,
        headers=headers,
        content=content,
        timeout=timeout,
    )


def _unreachable(base: str, error: Exception, *, broke_off: bool = False) -> Unreachable:
    cause: BaseException = error
    while cause.__context__ is not None and not isinstance(cause, OSError):
        cause = cause.__context__
    reason = str(cause) or str(error) or type(error).__name__
    hint = None
    if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
        message = f"{base} did not respond in time"
    elif broke_off or isinstance(error, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError):
        message = f"the connection to {base} broke: {reason}"
    elif "CERTIFICATE" in reason or "certificate" in reason:
        message, hint = f"cannot trust {base}: {reason}", "set the file of its authority: Fabric(ca=…) or FABRIC_CA"
    else:
        message, hint = f"cannot reach {base}: {reason}", "start one: fabric serve"
    found = Unreachable(message, hint=hint)
    found.refused = (isinstance(error, httpx.ConnectError) and "ertificate" in reason) or _refused(error)
    return found


def _refused(error: Exception) -> bool:
    """Returns True if the connection was refused or the host name is unknown."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError | socket.gaierror):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
