"""Cards and tables as HTML, which a notebook shows for handles. They show the state as last read.

All text from the server is untrusted: it is escaped with `text.escape`, and never becomes an address, a style or a
class. Colours are derived from the page's text colour, so that light and dark themes both work without a script. On a
page that removes styles, as forges do, the rest is readable text, separated by `_GAP`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..config import Settings
from ..text import bytes_text, count_text, duration_text, escape
from ..wire.function import FunctionSummary
from ..wire.invocation import Invocation
from ..wire.job import Job, TaskCounts
from ..wire.node import Node

#: Cells of the task strip. With more tasks, a cell stands for several.
CELLS = 80

_GREEN, _TEAL, _BLUE, _RED, _AMBER = "#2e9e5b", "#3aa6a6", "#3b82f6", "#dc4c4c", "#d08a1d"
_STATES = {
    "succeeded": _GREEN,
    "ready": _GREEN,
    "running": _BLUE,
    "failed": _RED,
    "lost": _RED,
    "cancelled": _AMBER,
    "cordoned": _AMBER,
    "draining": _AMBER,
    "drained": _AMBER,
}
_LINE = "color-mix(in srgb, currentColor 22%, transparent)"
_FAINT = "color-mix(in srgb, currentColor 9%, transparent)"
_CARD = (
    f"border:1px solid {_LINE};border-radius:8px;padding:10px 14px;margin:4px 0;max-width:720px;"
    "font:13px/1.45 system-ui,sans-serif;box-sizing:border-box"
)
_SOFT = "opacity:.72"
#: Visible only without styles.
_GAP = '<span style="display:none"> · </span>'
_MONO = "font-family:ui-monospace,monospace;font-size:12px"


def _card(title: str, badge: str, body: Iterable[str]) -> str:
    parts = title + (_GAP + badge if badge else "")
    head = f'<div style="display:flex;gap:10px;align-items:baseline;flex-wrap:wrap">{parts}</div>'
    inside = head + "".join(body)
    return f'<div class="fabric-card" style="{_CARD}">{inside}</div>'


def _title(kind: str, name: str, detail: str = "") -> str:
    rest = f'{_GAP}<span style="{_MONO};{_SOFT}">{escape(detail)}</span>' if detail else ""
    return f'<span style="{_SOFT}">{kind} </span><strong style="font-size:14px">{escape(name, 80)}</strong>{rest}'


def _badge(state: str) -> str:
    colour = _STATES.get(state, "currentColor")
    return (
        f'<span style="margin-left:auto;color:{colour};border:1px solid {colour};border-radius:999px;'
        f'padding:0 9px;font-size:12px">{escape(state, 20)}</span>'
    )


def _facts(pairs: Sequence[tuple[str, str]]) -> str:
    cells = _GAP.join(
        f'<span><span style="{_SOFT}">{label}</span> <b>{escape(value)}</b></span>' for label, value in pairs
    )
    return f'<div style="display:flex;gap:4px 18px;flex-wrap:wrap;margin-top:8px">{cells}</div>'


def _remark(text: str, colour: str = "inherit") -> str:
    return f'<div style="margin-top:6px;color:{colour};white-space:pre-wrap">{escape(text)}</div>' if text else ""


def job_card(job: Job, failed_items: int = 0) -> str:
    """Returns the card of a job: a progress bar, a strip of its tasks and its cost. `failed_items` failed in tasks that
    succeeded."""
    tasks, cost = job.tasks, job.cost
    # Tasks that were given up are among those that failed.
    done = tasks.succeeded + tasks.failed
    share = min(1.0, done / tasks.total) if tasks.total else float(job.state == "succeeded")
    partly = job.state == "succeeded" and (failed_items or tasks.failed)
    colour = _AMBER if partly else _STATES.get(job.state, _BLUE)
    bar = (
        f'<div role="progressbar" aria-valuenow="{share * 100:.0f}" aria-valuemin="0" aria-valuemax="100" '
        f'style="height:6px;border-radius:3px;background:{_FAINT};margin-top:9px;overflow:hidden">'
        f'<div style="width:{share * 100:.1f}%;height:100%;background:{colour}"></div></div>'
    )
    facts = [
        ("tasks", f"{done:,} of {tasks.total:,}"),
        ("fuel", count_text(cost.fuel)),
        ("in sandboxes", duration_text(cost.guest_us / 1000)),
        ("read", bytes_text(cost.bytes_in)),
        ("written", bytes_text(cost.bytes_out)),
        ("took", duration_text(job.run_ms)),
    ]
    if cost.gpu_us:
        facts.insert(3, ("on the GPU", duration_text(cost.gpu_us / 1000)))
    if tasks.retries:
        facts.append(("retries", f"{tasks.retries:,}"))
    error = job.error
    body = [bar, _strip(tasks), _facts(facts)]
    if error is not None:
        body += [_remark(f"{error.code}: {error.message}", _RED), _remark(error.hint or "")]
    elif job.state != "succeeded":
        body.append(_remark(job.waiting or job.remark))
    elif failed_items:
        body.append(_remark(f"{failed_items:,} items failed: see failures() and retry_failed()", _AMBER))
    detail = f"{job.function}@{job.version} · {job.id}"
    return _card(_title("job", job.name, detail), _badge(job.state), body)


def _strip(tasks: TaskCounts) -> str:
    """Returns the tasks as cells by state. Every state with a task has at least one cell."""
    if tasks.total <= 0:
        return ""
    failed = tasks.failed
    kinds = [
        ("done", tasks.succeeded - tasks.cached, _GREEN),
        ("cached", tasks.cached, _TEAL),
        ("failed", failed, _RED),
        ("running", tasks.running, _BLUE),
        ("waiting", tasks.total - tasks.succeeded - failed - tasks.running, _LINE),
    ]
    kinds = [(name, count, colour) for name, count, colour in kinds if count > 0]
    per_cell = max(1.0, tasks.total / CELLS)
    cells = "".join(
        f'<i style="flex:1;height:10px;border-radius:1px;background:{colour}"></i>' * max(1, round(count / per_cell))
        for _, count, colour in kinds
    )
    legend = _GAP.join(
        f'<span><i style="display:inline-block;width:8px;height:8px;border-radius:2px;background:{colour};'
        f'margin-right:4px"></i>{name} {count:,}</span>'
        for name, count, colour in kinds
    )
    return (
        f'<div style="display:flex;gap:1px;margin-top:6px">{cells}</div>'
        f'<div style="display:flex;gap:4px 14px;flex-wrap:wrap;font-size:12px;{_SOFT};margin-top:4px">{legend}</div>'
    )


def note_card(text: str) -> str:
    """Returns a card with a line of text."""
    return _card(f'<span style="{_SOFT}">{escape(text)}</span>', "", [])


def invocation_card(call: Invocation) -> str:
    """Returns the card of a call."""
    facts = [("fuel", count_text(call.fuel))]
    if call.result_bytes is not None:
        facts.append(("result", bytes_text(call.result_bytes)))
    if call.ended_ms is not None:
        facts.append(("took", duration_text(call.ended_ms - call.created_ms)))
    if call.cached:
        facts.append(("from", "the cache"))
    body = [_facts(facts)]
    if call.error is not None:
        body += [_remark(f"{call.error.code}: {call.error.message}", _RED), _remark(call.error.hint or "")]
    return _card(_title("call of", f"{call.function}@{call.version}", call.id), _badge(call.state), body)


def function_card(info: FunctionSummary, ref: str) -> str:
    """Returns the card of a function."""
    entry = info.entry
    can = [word for word, yes in (("call", entry.handler), ("map", entry.mapper), ("reduce", entry.reducer)) if yes]
    live = ", ".join(f"v{t.version}" + (f" × {t.weight}" if len(info.live) > 1 else "") for t in info.live)
    facts = [("kind", entry.kind), ("newest", f"v{info.latest}"), ("live", live or "none")]
    if can:
        facts.insert(1, ("can", ", ".join(can)))
    tags = _GAP.join(
        f'<span style="background:{_FAINT};border-radius:4px;padding:0 6px;margin-right:6px;font-size:12px">'
        f"{escape(tag, 64)}</span>"
        for tag in info.tags[:32]
    )
    body = [_remark(info.description), _facts(facts)]
    if tags:
        body.append(f'<div style="margin-top:8px">{tags}</div>')
    return _card(_title("function", ref), "", body)


def dataset_card(path: str, split: str) -> str:
    """Returns the card of a data set."""
    return _card(_title("data set", path), "", [_facts([("split", split)])])


def fabric_card(settings: Settings) -> str:
    """Returns the card of a server."""
    facts = [("tenant", settings.tenant or "the token's own"), ("token", "yes" if settings.token else "none")]
    return _card(_title("Fabric", settings.url), "", [_facts(facts)])


def node_table(nodes: Sequence[Node]) -> str:
    """Returns a table of nodes."""
    heads = ("node", "state", "slots in use", "queued", "memory used", "modules", "speed", "labels")
    cell = f"padding:4px 10px;text-align:left;border-bottom:1px solid {_LINE}"
    rows = ""
    for node in nodes:
        cells = "".join(f'<td style="{cell}">{text}</td>' for text in _node_cells(node))
        rows += f"<tr>{cells}</tr>"
    head = "".join(f'<th style="{cell};{_SOFT};font-weight:500">{h}</th>' for h in heads)
    table = f'<table style="border-collapse:collapse;margin:0;font-size:13px"><tr>{head}</tr>{rows}</table>'
    return f'<div class="fabric-card" style="{_CARD};max-width:none;overflow-x:auto">{table}</div>'


def _node_cells(node: Node) -> tuple[str, ...]:
    colour = _STATES.get(node.state, "inherit")
    labels = ", ".join(f"{key}={value}" for key, value in sorted(node.labels.items()))
    gpus = f", {node.gpu.name}" if node.gpu else f", {node.gpus} × {node.gpu_model or 'GPU'}" if node.gpus else ""
    return (
        f"<b>{escape(node.id, 80)}</b>",
        f'<span style="color:{colour}">{escape(node.state, 20)}</span>',
        f"{node.running:,} of {node.cpu_slots:,}{escape(gpus)}",
        f"{node.queued:,}",
        f"{bytes_text(node.used_bytes)} of {bytes_text(node.memory_bytes)}",
        f"{node.modules:,}",
        f"{node.speed:.2f}",
        escape(labels) or "–",
    )
