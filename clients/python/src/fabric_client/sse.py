"""Server-sent events: the parser (WHATWG HTML, section 9.2.6), pure and bounded. Following a stream across reconnects
is in `api/follow.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ProtocolError

#: An event of more bytes than this is a defect of the server.
EVENT_LIMIT = 4 << 20


@dataclass(frozen=True)
class Event:
    """One event."""

    #: Its name; `message` where the server gave none.
    name: str
    #: Its data, lines joined with a line feed.
    data: str
    #: The last id seen up to and including this event.
    id: str | None = None


class Parser:
    """Turns bytes, cut anywhere, into events."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False
        self._name = ""
        self._data: list[str] = []
        self._size = 0
        self._id: str | None = None
        #: The last id whose event, or empty event, is complete.
        self.last_id: str | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        """Takes the next bytes and gives the events that they complete.

        Raises:
            ProtocolError: for an event without an end; the parser is of no use afterwards.
        """
        text = self._rest + chunk
        lines = text.splitlines(keepends=True)
        # A line ends with CR, LF or CR LF; a CR at the end may be half of the last.
        if lines and not lines[-1].endswith(b"\n"):
            self._rest = lines.pop()
        else:
            self._rest = b""
        if len(self._rest) > EVENT_LIMIT:
            raise ProtocolError(f"an event is longer than {EVENT_LIMIT} bytes")
        events = []
        for line in lines:
            event = self._line(line.rstrip(b"\r\n").decode(errors="replace"))
            if event is not None:
                events.append(event)
        return events

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
        # A comment (an empty field name), `retry`, or something newer than this client.
        return None
