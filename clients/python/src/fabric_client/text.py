"""Makes untrusted text from servers and guests safe to display, and formats numbers for display."""

from __future__ import annotations

import html
import re

# Control characters can move a terminal's cursor or change its title; line feeds and tabs are harmless. Bidirectional
# overrides can make text appear as other text.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str, limit: int = 4000) -> str:
    """Returns the text without control characters, at most `limit` characters."""
    clean = _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)
    return clean if len(clean) <= limit else clean[:limit] + "…"


def escape(text: object, limit: int = 400) -> str:
    """Returns printable text that is escaped for HTML text and quoted attributes."""
    return html.escape(printable(str(text), limit), quote=True)


def bytes_text(count: int) -> str:
    """Formats a size: `1.5 KiB`."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"


def count_text(count: int) -> str:
    """Formats a number: `12,345` or `1.23 G`."""
    if abs(count) < 1_000_000:
        return f"{count:,}"
    size = float(count)
    for unit in ("", "k", "M", "G", "T", "P"):
        if abs(size) < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} E"


def duration_text(ms: float) -> str:
    """Formats a duration: `12 ms`, `3.2 s`, `4 min 5 s`, `2 h 3 min`."""
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
