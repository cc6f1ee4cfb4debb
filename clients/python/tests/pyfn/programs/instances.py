"""Instances, library objects and class state that change, as values. See `test_programs.py`."""

from __future__ import annotations

import argparse
import ast
import collections
import contextlib
import dataclasses
import email.message
import fractions
import functools
import http
import inspect
import ipaddress
import itertools
import json
import logging
import operator
import re
import types
from dataclasses import dataclass, field
from typing import Any


class Thing:
    shared: list[Any] = []
    count = 0

    def __init__(self, name: str = "", **more: Any) -> None:
        self.name = name
        self.__dict__.update(more)

    def rename(self, name: str) -> Thing:
        self.name = name
        return self


Thing.shared.append(Thing("in the class"))
Thing.count = 8
CHANGED = Thing("before").rename("after")
del CHANGED.__dict__["name"]
CHANGED.name = "again"


def p_state_changed_later() -> list[Any]:
    return [Thing.count, Thing.shared[0].name, CHANGED.name, Thing.shared is Thing().shared]


def p_changes_there_do_not_leak() -> int:
    Thing.count += 1
    found = Thing.count
    Thing.count -= 1
    return found


STATUS = [http.HTTPStatus.OK, http.HTTPStatus.NOT_FOUND]
FLAGS = [re.I, re.I | re.M]
KINDS = [inspect.Parameter.KEYWORD_ONLY]
LEVEL = logging.WARNING


def p_members_of_library_enumerations() -> list[Any]:
    return [int(STATUS[0]), STATUS[1].phrase, STATUS[0] is http.HTTPStatus.OK]


def p_flags_of_the_library() -> list[Any]:
    return [int(FLAGS[0]), re.findall("a", "aA", FLAGS[0])]


def p_a_combination_of_library_flags() -> int:
    return int(FLAGS[1])


def p_nested_members_of_the_library() -> list[Any]:
    return [KINDS[0].name, KINDS[0] is inspect.Parameter.KEYWORD_ONLY, LEVEL]


ADDRESS = ipaddress.ip_address("10.0.0.1")
NETWORK = ipaddress.ip_network("10.0.0.0/8")
MESSAGE = email.message.EmailMessage()
MESSAGE["Subject"] = "hello"
REFUSED = {
    "p_a_dict_that_is_a_property": "an attribute `__dict__` of its own",
    "p_a_message_is_refused": "cannot be sent",
    "p_a_class_that_is_a_property": "an attribute `__class__` of its own",
}
NAMESPACE = argparse.Namespace(a=1, b=[2])
DECODER = json.JSONDecoder()
LIBRARY_TREE = ast.Name("x")


def p_addresses() -> list[Any]:
    return [str(ADDRESS), ADDRESS in NETWORK, NETWORK.num_addresses]


def p_namespaces_of_arguments() -> list[Any]:
    return [NAMESPACE.a, NAMESPACE.b, vars(NAMESPACE)]


def p_a_message_is_refused() -> str:
    return MESSAGE["Subject"]


class OwnEncoder(json.JSONEncoder):
    def default(self, o: Any) -> Any:
        return {"fraction": str(o)} if isinstance(o, fractions.Fraction) else super().default(o)


def p_an_own_json_encoder() -> str:
    return json.dumps([fractions.Fraction(1, 2), {"a": 1}], cls=OwnEncoder, sort_keys=True)


class OwnVisitor(ast.NodeVisitor):
    def __init__(self) -> None:
        self.names: list[str] = []

    def visit_Name(self, node: ast.Name) -> None:
        self.names.append(node.id)
        self.generic_visit(node)


def p_an_own_visitor() -> list[str]:
    one = OwnVisitor()
    one.visit(ast.parse("a + b(c)"))
    return one.names


class Suppress(contextlib.ContextDecorator):
    def __init__(self, *kinds: type[BaseException]) -> None:
        self.kinds = kinds

    def __enter__(self) -> Suppress:
        return self

    def __exit__(self, kind: Any, *rest: Any) -> bool:
        return kind is not None and issubclass(kind, self.kinds)


SUPPRESS = Suppress(KeyError, ValueError)


@SUPPRESS
def _fails() -> None:
    raise KeyError(1)


@contextlib.contextmanager
def _managed(x: int) -> Any:
    log = [x]
    try:
        yield log
    finally:
        log.append(x + 1)


def p_context_managers_of_contextlib() -> list[Any]:
    with _managed(3) as log, SUPPRESS:
        raise ValueError
    return [log, _fails()]


class Filter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > 10


FILTER = Filter("name")


def p_an_instance_of_a_subclass_of_the_library() -> list[Any]:
    record = logging.LogRecord("name", 20, "", 1, "m", (), None)
    return [FILTER.filter(record), FILTER.name, FILTER.nlen]


@dataclass
class Registry:
    handlers: dict[str, Any] = field(default_factory=dict)

    def register(self, name: str) -> Any:
        def wrap(function: Any) -> Any:
            self.handlers[name] = function
            return function

        return wrap

    def run(self, name: str, *args: Any) -> Any:
        return self.handlers[name](*args)


REGISTRY = Registry()


@REGISTRY.register("double")
def _double(x: int) -> int:
    return REGISTRY.run("add", x, x)  # type: ignore[no-any-return]


@REGISTRY.register("add")
def _add(a: int, b: int) -> int:
    return a + b


@REGISTRY.register("class")
class Made:
    def __init__(self, x: int) -> None:
        self.x = x


def p_a_registry_of_functions() -> list[Any]:
    return [REGISTRY.run("double", 4), REGISTRY.run("class", 3).x, REGISTRY.handlers["add"] is _add]


class Observer:
    def __init__(self) -> None:
        self.seen: list[Any] = []

    def notify(self, what: Any) -> None:
        self.seen.append(what)


class Subject:
    def __init__(self) -> None:
        self.listeners: list[Any] = []

    def fire(self, what: Any) -> None:
        for listener in self.listeners:
            listener(what)


OBSERVER, SUBJECT = Observer(), Subject()
SUBJECT.listeners += [OBSERVER.notify, lambda what: OBSERVER.seen.append(("lambda", what)), OBSERVER.seen.append]


def p_observers_by_bound_methods() -> list[Any]:
    OBSERVER.seen.clear()
    SUBJECT.fire(1)
    return OBSERVER.seen


class Lru:
    def __init__(self) -> None:
        self.get = functools.lru_cache(maxsize=4)(self._get)
        self.calls = 0

    def _get(self, x: int) -> int:
        self.calls += 1
        return x * 2


LRU = Lru()


def p_a_cache_of_a_bound_method() -> list[Any]:
    before = LRU.calls
    LRU.get.cache_clear()
    return [LRU.get(2), LRU.get(2), LRU.calls - before, LRU.get.cache_info().hits]


class Chain:
    def __init__(self) -> None:
        self.steps: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args: self._with(name, args)

    def _with(self, name: str, args: Any) -> Chain:
        made = Chain()
        made.steps = [*self.steps, (name, args)]
        return made


CHAIN = Chain().select("a").where(1, 2)


def p_a_fluent_interface() -> list[Any]:
    return [CHAIN.steps, CHAIN.limit(3).steps[-1]]


class Proxy:
    def __init__(self, target: Any) -> None:
        object.__setattr__(self, "_target", target)

    def __getattribute__(self, name: str) -> Any:
        if name in ("__class__", "__dict__"):
            return getattr(object.__getattribute__(self, "_target"), name)
        return getattr(object.__getattribute__(self, "_target"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(object.__getattribute__(self, "_target"), name, value)


TARGET = Thing("target")
PROXY = Proxy(TARGET)


def p_a_proxy_that_hides_its_class() -> list[Any]:
    return [PROXY.name, isinstance(PROXY, Thing), type(PROXY).__name__, PROXY.rename("target") is TARGET]


class Virtual:
    """Instances whose `__dict__` is a property."""

    __slots__ = ("real",)

    def __init__(self) -> None:
        self.real = {"x": 1}

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        return self.real


VIRTUAL = Virtual()


def p_a_dict_that_is_a_property() -> list[Any]:
    return [VIRTUAL.real, vars(VIRTUAL), hasattr(VIRTUAL, "x")]


class ClassProperty:
    @property
    def __class__(self) -> Any:  # type: ignore[override]
        return int


MASKED = ClassProperty()


def p_a_class_that_is_a_property() -> list[Any]:
    return [isinstance(MASKED, int), type(MASKED).__name__]


class Money:
    def __init__(self, amount: int) -> None:
        self.amount = amount

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and self.amount == other.amount

    def __hash__(self) -> int:
        return hash(self.amount)


class Wallet:
    def __init__(self) -> None:
        self.items = {Money(1): "one"}
        self.owner = {self: "me"}
        self.known = frozenset([Money(2)])


WALLET = Wallet()


def p_keys_inside_instances() -> list[Any]:
    return [WALLET.items[Money(1)], WALLET.owner[WALLET], Money(2) in WALLET.known]


EQUAL_MEMBERS = {"a": {Money(1), Money(2)}, "b": [Money(1), Money(1)]}


def p_equal_instances_stay_apart() -> list[Any]:
    first, second = EQUAL_MEMBERS["b"]
    return [first == second, first is second, len(EQUAL_MEMBERS["a"])]


class HashByParts:
    def __init__(self, parts: Any) -> None:
        self.parts = parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HashByParts) and self.parts == other.parts


INNER = HashByParts((1, 2))
OUTER = HashByParts((INNER, INNER))
INDEX = {OUTER: "outer", INNER: "inner"}
MANY = {HashByParts(n): n for n in range(20)}


def p_keys_whose_hash_needs_other_keys() -> list[Any]:
    return [
        INDEX[HashByParts((INNER, INNER))],
        INDEX[HashByParts((1, 2))],
        sum(MANY[HashByParts(n)] for n in range(20)),
    ]


class HashCycle:
    """Its hash needs an attribute that is set after the instance is in a set."""

    def __init__(self, name: str) -> None:
        self.peers: set[HashCycle] = set()
        self.name = name

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HashCycle) and self.name == other.name


LEFT, RIGHT = HashCycle("left"), HashCycle("right")
LEFT.peers.add(RIGHT)
RIGHT.peers.add(LEFT)


@dataclass(frozen=True)
class Key:
    name: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Composite:
    key: Key
    more: frozenset[Key] = frozenset()


COMPOSITE = {Composite(Key("a"), frozenset([Key("b", ("t",))])): 1}


def p_frozen_dataclasses_as_keys() -> list[Any]:
    return [COMPOSITE[Composite(Key("a"), frozenset([Key("b", ("t",))]))], Composite(Key("a")) in COMPOSITE]


class Weekday:
    MONDAY: Weekday
    TUESDAY: Weekday
    ALL: list[Weekday] = []

    def __init__(self, number: int) -> None:
        self.number = number
        self.ALL.append(self)


Weekday.MONDAY, Weekday.TUESDAY = Weekday(0), Weekday(1)


def p_instances_as_attributes_of_their_class() -> list[Any]:
    return [Weekday.MONDAY.number, Weekday.ALL[1] is Weekday.TUESDAY, len(Weekday.ALL), Weekday.MONDAY.TUESDAY.number]


class Lookup:
    table = {"self": lambda self: self.x, "static": len}  # noqa: RUF012
    x = 3

    def run(self, name: str, *args: Any) -> Any:
        return self.table[name](*args)


def p_functions_in_a_table_of_the_class() -> list[Any]:
    one = Lookup()
    return [one.run("self", one), one.run("static", "ab")]


class Counter:
    total = itertools.count(5)

    def next(self) -> int:
        return next(self.total)


def p_an_iterator_as_class_attribute() -> bool:
    return Counter().next() < Counter().next()


def _configure(cls: Any, **options: Any) -> Any:
    for name, value in options.items():
        setattr(cls, name, value)
    return cls


Configured = _configure(
    type("Configured", (Thing,), {}), level=3, run=lambda self: self.level, make=classmethod(lambda cls: cls())
)


def p_a_class_configured_by_a_function() -> list[Any]:
    return [Configured().run(), Configured.make().level, Configured.__mro__[1] is Thing]


class Moved:
    def method(self) -> str:
        return f"{type(self).__name__} {__class__.__name__}"  # type: ignore[name-defined]


CONVERTED = Thing("was a thing")
CONVERTED.__class__ = Moved  # type: ignore[assignment]


def p_an_instance_with_another_class() -> list[Any]:
    return [CONVERTED.method(), CONVERTED.name, isinstance(CONVERTED, Thing)]  # type: ignore[attr-defined]


MODULE = types.ModuleType("made_by_hand")
MODULE.x = 4  # type: ignore[attr-defined]


def p_a_module_made_by_hand() -> int:
    return MODULE.x  # type: ignore[attr-defined,no-any-return]


Row = collections.namedtuple("Row", "a b")
ROWS = [Row(1, [Thing("x")]), Row(operator.add, Row)]


def p_named_tuples_with_other_values() -> list[Any]:
    return [ROWS[0].b[0].name, ROWS[1].a(1, 2), ROWS[1].b is Row]


def p_arguments_by_default(x: Any = ROWS, y: Any = CHANGED, *, z: Any = WALLET) -> list[bool]:
    return [x is ROWS, y is CHANGED, z is WALLET]


@dataclass
class Settings:
    names: list[str] = field(default_factory=lambda: ["a"])
    limits: dict[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self.limits.setdefault("max", 1)


SETTINGS = Settings()
SETTINGS.names.append("b")
SETTINGS.limits["max"] = 50


def p_state_is_not_made_again() -> list[Any]:
    return [SETTINGS.names, SETTINGS.limits, Settings().limits]


SIGNATURE = inspect.signature(lambda a, b=1: a)
ATTRIBUTE = operator.attrgetter("name")


def p_the_signature_of_a_lambda() -> list[str]:
    return list(SIGNATURE.parameters)


def p_getters_of_instances() -> list[str]:
    return [ATTRIBUTE(CHANGED), *map(ATTRIBUTE, Thing.shared)]
