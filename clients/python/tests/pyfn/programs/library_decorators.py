"""Decorators of the standard library for methods and classes, and dispatch on types. See `test_programs.py`."""

# ruff: noqa: B019

import abc
import functools
import numbers
import types
from collections.abc import Sequence
from typing import Any

LOG = []


def traced(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        LOG.append(f.__name__)
        return f(*args, **kwargs)

    return wrapper


def scaled(by):
    def decorate(f):
        @functools.wraps(f)
        def wrapper(*args, **kwargs):
            return f(*args, **kwargs) * by

        wrapper.by = by
        return wrapper

    return decorate


COMMANDS = {}


def command(name=None, *, hidden=False):
    def decorate(f):
        COMMANDS[name or f.__name__] = f
        f.hidden = hidden
        return f

    return decorate(name) if False else decorate


@command("halt", hidden=True)
def stop():
    return COMMANDS["start"]()


class Methods:
    def __init__(self):
        self.made = 0

    def set_state(self, *path, value=None, **more):
        return path, value, more

    on = functools.partialmethod(set_state, "on", value=1)
    off = functools.partialmethod(set_state, "off")

    @functools.cached_property
    def costly(self):
        self.made += 1
        return [self.made]

    @functools.singledispatchmethod
    def show(self, x):
        return f"other {x}"

    @show.register
    def _(self, x: int):
        return f"int {x}"

    @show.register(list)
    @traced
    def show_list(self, x):
        return [self.show(y) for y in x]

    @functools.lru_cache(maxsize=None)  # noqa: UP033
    def cached(self, x):
        return self, x

    @property
    def level(self):
        """The level."""
        return self.__dict__.get("_level", 0)

    @level.setter
    def level(self, value):
        self._level = value + 1

    @level.deleter
    def level(self):
        self._level = -1

    @staticmethod
    @traced
    def static(x):
        return x

    @classmethod
    @scaled(2)
    def made_by(cls, x):
        return x

    @scaled(3)
    def times(self, x=1):
        return x


OBJECT = Methods()


def p_partial_methods() -> Any:
    return OBJECT.on("x"), Methods().off(k=1)


def p_cached_properties() -> Any:
    one = Methods()
    return one.costly, one.costly is one.costly, one.made, "costly" in vars(one)


def p_single_dispatch_methods() -> Any:
    return OBJECT.show(1), OBJECT.show("a"), OBJECT.show([1, "a"])


def p_cached_methods() -> Any:
    one = Methods()
    return one.cached(1) is one.cached(1), one.cached(1)[0] is one


def p_properties_with_setter_and_deleter() -> Any:
    one = Methods()
    found = [one.level]
    one.level = 5
    found.append(one.level)
    del one.level
    return found, one.level, Methods.level.__doc__


def p_stacked_method_decorators() -> Any:
    return Methods.static(1), OBJECT.static(2), Methods.made_by(3), OBJECT.times(4), OBJECT.times()


@functools.singledispatch
def describe(x):
    return f"object {x}"


@describe.register
def _(x: bool):
    return "bool"


@describe.register(int)
def describe_int(x):
    return f"int, {describe(str(x))}"


@describe.register(str)
@describe.register(bytes)
def _(x):
    return f"text {len(x)}"


describe.register(Sequence, lambda x: [describe(y) for y in x])
describe.register(numbers.Real, lambda x: "real")
describe.register(Methods, lambda x: "methods")


def p_single_dispatch() -> Any:
    values = (None, True, 1, "ab", b"abc", [1, (2.5,)], 1.5, OBJECT)
    return [describe(x) for x in values[1:]], describe.dispatch(bool) is not describe.dispatch(int), describe_int(3)


def p_single_dispatch_is_registered_more() -> Any:
    describe.register(complex, lambda x: "complex")
    return describe(1j)


@functools.singledispatch
def on_none(x):
    return "other"


@on_none.register(type(None))
def _(x):
    return "none"


def p_single_dispatch_on_the_type_of_none() -> Any:
    return on_none(None), on_none(1)


@functools.total_ordering
class Version:
    def __init__(self, *parts):
        self.parts = parts

    def __eq__(self, other):
        return self.parts == other.parts

    def __lt__(self, other):
        return self.parts < other.parts

    def __hash__(self):
        return hash(self.parts)


VERSIONS = [Version(1, 2), Version(1), Version(2)]


def p_total_ordering() -> Any:
    return (
        [v.parts for v in sorted(VERSIONS, reverse=True)],
        VERSIONS[0] >= VERSIONS[1],
        VERSIONS[0] > VERSIONS[2],
        VERSIONS[1] <= Version(1),
    )


class Abstract(abc.ABC):
    @property
    @abc.abstractmethod
    def size(self):
        """The size."""

    @abc.abstractmethod
    def go(self):
        """Goes."""

    def twice(self):
        return self.go() * 2


class Real(Abstract):
    size = 3

    @traced
    def go(self):
        return "go"


def p_abstract_methods() -> Any:
    try:
        Abstract()
    except TypeError:
        return Real().twice(), Real().size, Abstract.go.__isabstractmethod__


@types.coroutine
def suspend(value):
    got = yield value
    return got


def p_a_coroutine_made_of_a_generator() -> Any:
    async def run():
        return await suspend(1), await suspend(2)

    made = run()
    found = [made.send(None), made.send("a")]
    try:
        made.send("b")
    except StopIteration as stop:
        found.append(stop.value)
    return found
