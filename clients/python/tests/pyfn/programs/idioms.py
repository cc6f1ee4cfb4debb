"""Idioms of real code: registries, event handlers, parsers, caches, plugins and state machines. See `test_programs.py`."""

import argparse
import ast
import bisect
import collections
import contextlib
import copy
import csv
import dataclasses
import enum
import functools
import heapq
import io
import itertools
import json
import operator
import os
import re
import string
import typing
from datetime import datetime, timedelta
from typing import Any

try:
    import numpy_that_nobody_has as np
except ImportError:
    np = None

try:
    from functools import cache
except ImportError:
    cache = functools.lru_cache(maxsize=None)

DEBUG = bool(os.environ.get("A_NAME_THAT_NOBODY_SETS"))
HANDLERS = collections.defaultdict(list)


def on(event, *, first=False):
    def decorate(f):
        HANDLERS[event].insert(0, f) if first else HANDLERS[event].append(f)
        return f

    return decorate


def emit(event, *args):
    return [f(*args) for f in HANDLERS.get(event, ())]


@on("start")
@on("stop")
def log_event(x="none"):
    return f"log {x}"


@on("start", first=True)
def before(x):
    return f"before {x}"


on("stop")(lambda: "anonymous")


def p_event_handlers() -> Any:
    return emit("start", 1), emit("stop"), emit("other"), before is HANDLERS["start"][0]


TOKENS = [("NUMBER", r"\d+"), ("OP", r"[-+*/()]"), ("SKIP", r"\s+")]
SCANNER = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in TOKENS))
OPERATORS = {"+": (1, operator.add), "-": (1, operator.sub), "*": (2, operator.mul), "/": (2, operator.truediv)}


def tokens(text):
    for found in SCANNER.finditer(text):
        if (kind := found.lastgroup) != "SKIP":
            yield kind, found[0]


def evaluate(text):
    stream = collections.deque(tokens(text))

    def atom():
        kind, token = stream.popleft()
        if token == "(":
            value = expression(0)
            stream.popleft()
            return value
        return int(token) if kind == "NUMBER" else -atom()

    def expression(least):
        left = atom()
        while stream and stream[0][1] in OPERATORS and OPERATORS[stream[0][1]][0] > least:
            level, apply = OPERATORS[stream.popleft()[1]]
            left = apply(left, expression(level))
        return left

    return expression(0)


def p_a_parser() -> Any:
    return evaluate("1 + 2 * (3 - 4) / -2"), evaluate("2*3-4")


class State(enum.Enum):
    IDLE = "idle"
    BUSY = "busy"


TRANSITIONS = {}


def transition(start, end):
    def decorate(f):
        TRANSITIONS[start, f.__name__] = (end, f)
        return f

    return decorate


@transition(State.IDLE, State.BUSY)
def begin(log):
    log.append("begin")


@transition(State.BUSY, State.IDLE)
def end(log):
    log.append("end")


def p_a_state_machine() -> Any:
    state, log = State.IDLE, []
    for name in ("begin", "end", "end"):
        if (state, name) not in TRANSITIONS:
            log.append(f"no {name} in {state.value}")
            continue
        state, action = TRANSITIONS[state, name]
        action(log)
    return log, state.name


PLUGINS = {}


class Plugin:
    def __init_subclass__(cls, /, name=None, **more):
        super().__init_subclass__(**more)
        PLUGINS[name or cls.__name__.lower()] = cls

    def run(self, text):
        raise NotImplementedError(type(self).__name__)


class Upper(Plugin):
    def run(self, text):
        return text.upper()


class Other(Plugin, name="reverse"):
    run = staticmethod(lambda text: text[::-1])


class Nothing(Plugin):
    pass


def p_plugins() -> Any:
    found = {name: cls().run("ab") for name, cls in sorted(PLUGINS.items()) if name != "nothing"}
    try:
        PLUGINS["nothing"]().run("x")
    except NotImplementedError as error:
        return found, str(error)


def p_optional_modules() -> Any:
    return np is None, [1.0] if np is None else np.zeros(1), DEBUG


@cache
def ways(n, coins=(1, 2, 5)):
    if n == 0:
        return 1
    return sum(ways(n - c, tuple(x for x in coins if x <= c)) for c in coins if c <= n)


def p_dynamic_programming() -> Any:
    return ways(20)


@dataclasses.dataclass(order=True)
class Job:
    due: int
    name: str = dataclasses.field(compare=False)
    tags: list = dataclasses.field(default_factory=list, compare=False)


JOBS = [Job(3, "c"), Job(1, "a", ["x"])]


def p_a_queue_of_jobs() -> Any:
    heap = copy.deepcopy(JOBS)
    heapq.heapify(heap)
    heapq.heappush(heap, Job(2, "b"))
    return [heapq.heappop(heap).name for _ in range(3)], JOBS[0] == Job(3, "z"), dataclasses.asdict(JOBS[1])


GRADES, LIMITS = "FDCBA", [60, 70, 80, 90]
grade = lambda x, i=bisect.bisect: GRADES[i(LIMITS, x)]  # noqa: E731


def p_grades() -> Any:
    return [grade(x) for x in (33, 70, 99)]


def deep_get(data, path, default=None, *, sep="."):
    return functools.reduce(lambda d, k: d.get(k, default) if isinstance(d, dict) else default, path.split(sep), data)


CONFIG = {"db": {"host": "h", "ports": [1, 2]}, "debug": False}
settings = functools.partial(deep_get, CONFIG)
host, PORTS = settings("db.host"), CONFIG["db"]["ports"]


def p_settings_by_path() -> Any:
    return settings("db.host"), settings("db.none", 5), host, PORTS is settings("db.ports")


@contextlib.contextmanager
def patched(target, name, value):
    before = getattr(target, name)
    setattr(target, name, value)
    try:
        yield before
    finally:
        setattr(target, name, before)


def p_an_attribute_changed_for_a_while() -> Any:
    with patched(Upper, "run", lambda self, text: "patched") as old:
        found = Upper().run("a")
    return found, Upper().run("a"), old(None, "b")


def read_table(text, types=(("id", int), ("name", str.strip))):
    rows = csv.DictReader(io.StringIO(text))
    return [{name: convert(row[name]) for name, convert in types} for row in rows]


def p_reading_a_table() -> Any:
    return read_table("id,name\n1, a\n2,b \n")


def p_command_line_options() -> Any:
    parser = argparse.ArgumentParser(prog="x")
    parser.add_argument("--n", type=int, default=2)
    parser.set_defaults(func=lambda a: a.n * 2)
    found = parser.parse_args(["--n", "4"])
    return found.func(found)


class Visitor(ast.NodeVisitor):
    def __init__(self):
        self.names = []

    def visit_Name(self, node):
        self.names.append(node.id)
        self.generic_visit(node)


def p_visiting_a_syntax_tree() -> Any:
    visitor = Visitor()
    visitor.visit(ast.parse("a + b(c)"))
    return visitor.names


class Query:
    def __init__(self, rows, steps=()):
        self.rows, self.steps = rows, steps

    def _with(self, step):
        return Query(self.rows, (*self.steps, step))

    def where(self, **equal):
        return self._with(lambda rows: [r for r in rows if all(r[k] == v for k, v in equal.items())])

    def order(self, key, /, *, reverse=False):
        return self._with(functools.partial(sorted, key=operator.itemgetter(key), reverse=reverse))

    def __iter__(self):
        return iter(functools.reduce(lambda rows, step: step(rows), self.steps, self.rows))


QUERY = Query([{"a": 1, "b": 3}, {"a": 1, "b": 2}, {"a": 2, "b": 1}]).where(a=1).order("b")


def p_a_query_built_before() -> Any:
    return [r["b"] for r in QUERY], [r["b"] for r in QUERY.order("b", reverse=True)], len(QUERY.steps)


class Typed:
    def __init__(self, kind):
        self.kind = kind

    def __set_name__(self, owner, name):
        self.name = "_" + name

    def __get__(self, one, owner=None):
        return self if one is None else getattr(one, self.name, None)

    def __set__(self, one, value):
        if not isinstance(value, self.kind):
            raise TypeError(f"{self.name[1:]} must be {self.kind.__name__}")
        setattr(one, self.name, value)


class Record:
    count = Typed(int)
    title = Typed((str))

    def __init__(self, **values):
        for name, value in values.items():
            setattr(self, name, value)


RECORD = Record(count=1)


def p_checked_attributes() -> Any:
    try:
        RECORD.title = 5
    except TypeError as error:
        return RECORD.count, str(error), RECORD.title, Record.count.name


def debounced(seconds, now=datetime.now):
    last = datetime.min

    def decorate(f):
        @functools.wraps(f)
        def wrapper(*args, at=None):
            nonlocal last
            at = at or now()
            if at - last < timedelta(seconds=seconds):
                return None
            last = at
            return f(*args)

        def reset():
            nonlocal last
            last = datetime.min

        wrapper.reset = reset
        return wrapper

    return decorate


@debounced(10)
def limited(x):
    return x


def p_a_limited_rate() -> Any:
    limited.reset()
    start = datetime(2024, 1, 1)
    return [limited(i, at=start + timedelta(seconds=i)) for i in (0, 5, 15)]


def compose(*fs):
    return functools.reduce(lambda f, g: lambda *a, **k: f(g(*a, **k)), fs)


slug = compose("-".join, str.split, str.lower, lambda s: s.translate(str.maketrans("", "", string.punctuation)))


def p_composed_text_functions() -> Any:
    return slug("Hello, World!  Again")


T = typing.TypeVar("T")


class Stack(typing.Generic[T]):
    def __init__(self, items: typing.Optional[list[T]] = None) -> None:  # noqa: UP045
        self.items: list[T] = items or []

    def push(self, item: T) -> "Stack[T]":
        self.items.append(item)
        return self


STACK: Stack[int] = Stack[int]([1])


def p_a_generic_stack() -> Any:
    return Stack([*STACK.items]).push(2).items, Stack[str]().push("a").items


class Matrix:
    def __init__(self, rows):
        self.rows = rows

    def __matmul__(self, other):
        return Matrix([[sum(map(operator.mul, row, column)) for column in zip(*other.rows)] for row in self.rows])

    __imatmul__ = __matmul__

    def __eq__(self, other):
        return self.rows == other.rows

    def __hash__(self):
        return hash(str(self.rows))

    def __getitem__(self, place):
        row, column = place
        return self.rows[row][column]


ONE = Matrix([[1, 1], [1, 0]])


def p_a_matrix() -> Any:
    made = ONE
    for _ in range(5):
        made @= ONE
    return made[0, 1], made == ONE, {ONE: "one"}[Matrix([[1, 1], [1, 0]])]


def _rounds(names):
    order = itertools.cycle(names)
    return lambda n: list(itertools.islice(order, n))


def p_json_with_a_default_function() -> Any:
    text = json.dumps(
        {"s": {1}, "d": datetime(2024, 1, 1)}, default=lambda o: sorted(o) if isinstance(o, set) else str(o)
    )
    return json.loads(text, object_hook=lambda d: list(d.items()))


def p_simulated_rounds() -> Any:
    return _rounds("abc")(4)


def build(kind, /, **fields):
    return type(kind, (dict,), {**fields, "shout": lambda self: kind.upper() * len(self)})


def p_classes_made_by_type_inside() -> Any:
    made = build("thing", size=2)(a=1, b=2)
    return made.shout(), made.size, made["a"]


MADE = type("Made", (), {"x": 1, "get": lambda self: self.x, "all": classmethod(lambda cls: [cls.x, RATE])})
RATE = 9


def p_a_class_made_by_type_outside() -> Any:
    return MADE().get(), MADE.all(), MADE.__name__


REDUCERS = {name: getattr(operator, name) for name in ("add", "mul", "or_")}
COMPARE = {"<": operator.lt, ">=": operator.ge, "in": lambda a, b: a in b, "is": operator.is_}


def p_operators_by_name() -> Any:
    return [functools.reduce(f, [1, 2, 3]) for f in REDUCERS.values()], COMPARE["in"](1, [1]), COMPARE["<"](1, 2)
