"""A parser for server-sent events (WHATWG HTML, section 9.2.6), without I/O and with bounded memory. `api/follow.py`
follows a stream across reconnects.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ProtocolError

#: Maximum size of an event, in bytes.
EVENT_LIMIT = 4 << 20


@dataclass(frozen=True)
class Event:
    """A server-sent event."""

    #: The name; `message` by default.
    name: str
    #: The data, with lines joined by line feeds.
    data: str
    #: The last id up to and including this event.
    id: str | None = None


class Parser:
    """Parses chunks of bytes, split at any position, into events."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._held = 0
        self._begun = False
        self._name = ""
        self._data: list[str] = []
        self._size = 0
        self._id: str | None = None
        #: The last id with a complete event, which may be empty.
        self.last_id: str | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        """Parses the next bytes and returns the events that they complete.

        Raises:
            ProtocolError: if an event is too large. The parser must not be used afterwards.
        """
        # A line ends with CR, LF or CR LF. Lines are parsed up to the last line feed, since a CR at the end of a chunk
        # may be half of a CR LF.
        end = chunk.rfind(b"\n") + 1
        if not end:
            return self._keep(chunk)
        lines = b"".join([*self._rest, chunk[:end]]).splitlines()
        self._rest, self._held = [], 0
        self._keep(chunk[end:])
        events = []
        for line in lines:
            event = self._line(line.decode(errors="replace"))
            if event is not None:
                events.append(event)
        return events

    def _keep(self, part: bytes) -> list[Event]:
        """Buffers the beginning of a line."""
        self._rest.append(part)
        self._held += len(part)
        if self._held > EVENT_LIMIT:
            raise ProtocolError(f"an event is longer than {EVENT_LIMIT} bytes")
        return []

    def _line(self, line: str) -> Event | None:
        if not self._begun:
            self._begun = True
            line = line.removeprefix("\ufeff")
        if not line:
            self.last_id = self._id
            name, data, had = self._name, "\n".join(self._data), bool(self._data)
            self._name, self._data, self._size = "", [], 0
            return Event(name or "message", data, self._id) if had else None
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._size += len(value) + 1
            if self._size > EVENT_LIMIT:
                raise ProtocolError(f"an event is longer than {EVENT_LIMIT} bytes")
            self._data.append(value)
        elif field == "id" and "\0" not in value:
            self._id = value
        # Ignored: a comment (an empty field name), `retry`, or an unknown field.
        return None
