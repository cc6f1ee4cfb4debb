"""Records what a call prints, so that the client can show it where the call was made. All of it goes to the log too."""

import contextlib
import io
import sys
from collections.abc import Iterator

_MOST = 64 << 10
"""Maximum number of characters that are recorded for a call. The log has the rest."""

Printed = list[list[str]]
"""Pieces of text, each with its stream: ``out`` or ``err``."""


class _Recorded(io.TextIOBase):
    """A text stream that records what is written to another one."""

    def __init__(self, stream: io.TextIOWrapper, name: str, printed: Printed, left: list[int]) -> None:
        self._stream, self._name, self._printed, self._left = stream, name, printed, left

    def write(self, text: str) -> int:
        written = self._stream.write(text)
        kept = text[: self._left[0]]
        if kept:
            self._left[0] -= len(kept)
            if self._printed and self._printed[-1][0] == self._name:
                self._printed[-1][1] += kept
            else:
                self._printed.append([self._name, kept])
            if self._left[0] == 0:
                self._printed.append(["err", "\n[the log has the rest]\n"])
        return written

    def flush(self) -> None:
        self._stream.flush()

    def writable(self) -> bool:
        return True

    @property
    def buffer(self) -> io.BufferedIOBase:
        return self._stream.buffer

    @property
    def encoding(self) -> str:
        return self._stream.encoding

    @property
    def errors(self) -> str | None:
        return self._stream.errors


@contextlib.contextmanager
def recorded() -> Iterator[Printed]:
    """Records what is printed. Yields the list that receives it."""
    printed: Printed = []
    left = [_MOST]
    before = sys.stdout, sys.stderr
    sys.stdout = _Recorded(sys.stdout, "out", printed, left)
    sys.stderr = _Recorded(sys.stderr, "err", printed, left)
    try:
        yield printed
    finally:
        sys.stdout, sys.stderr = before
