"""A TCP proxy between a client and the server that simulates one network fault at a time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit


class Proxy:
    """Forwards bytes: towards the client `chunk` bytes at a time with a delay of `delay_s` seconds. Cuts a connection
    after `cut_after` bytes towards the client, at most `cuts` times.
    """

    def __init__(
        self, url: str, *, chunk: int = 1 << 16, delay_s: float = 0.0, cut_after: int = 0, cuts: int = 0
    ) -> None:
        target = urlsplit(url)
        self._target = (target.hostname or "", target.port or 0)
        self._chunk, self._delay_s = chunk, delay_s
        self._cut_after = cut_after
        self._left = cuts
        #: Connections cut so far.
        self.cut = 0
        #: All bytes that clients have sent.
        self.sent = bytearray()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stops accepting connections."""
        self._listener.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(self._target)
                except OSError:
                    client.close()
                    continue
                for work in (self._up, self._down):
                    threading.Thread(target=work, args=(client, server), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        def note(data: bytes) -> None:
            with self._lock:
                self.sent += data

        _pass_on(client, server, 1 << 16, note)

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        passed = 0

        def limit(data: bytes) -> None:
            nonlocal passed
            passed += len(data)
            if self._delay_s:
                time.sleep(self._delay_s)
            if self._cut_after and passed > self._cut_after:
                with self._lock:
                    if self._left > 0:
                        self._left -= 1
                        self.cut += 1
                        raise ConnectionAbortedError

        _pass_on(server, client, self._chunk, limit)


def _pass_on(source: socket.socket, sink: socket.socket, chunk: int, see: Callable[[bytes], None]) -> None:
    try:
        while data := source.recv(chunk):
            see(data)
            sink.sendall(data)
    except OSError:
        pass
    finally:
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
