"""Text from servers and guests is hostile: how it is made safe to show, and how figures are written for people."""

from __future__ import annotations

import html
import re

# Control characters can move a terminal's cursor or change its title; line feeds and tabs are fine. The bidirectional
# overrides can make text read as something else.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str, limit: int = 4000) -> str:
    """The text without control characters, at most `limit` characters."""
    clean = _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)
    return clean if len(clean) <= limit else clean[:limit] + "…"


def escape(text: object, limit: int = 400) -> str:
    """Printable and escaped for HTML, in text and in quoted attributes."""
    return html.escape(printable(str(text), limit), quote=True)


def bytes_text(count: int) -> str:
    """A size as people write it: `1.5 KiB`."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"


def count_text(count: int) -> str:
    """A number as people write it: `12,345` or `1.23 G`."""
    if abs(count) < 1_000_000:
        return f"{count:,}"
    size = float(count)
    for unit in ("", "k", "M", "G", "T", "P"):
        if abs(size) < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} E"


def duration_text(ms: float) -> str:
    """A duration as people write it: `12 ms`, `3.2 s`, `4 min 5 s`, `2 h 3 min`."""
    if ms < 1000:
        return f"{ms:.0f} ms"
    seconds = ms / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
