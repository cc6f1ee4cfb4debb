"""Dataclasses: fields, default values, factories and variables of `__init__`. See `test_programs.py`."""

from __future__ import annotations

import functools
from dataclasses import KW_ONLY, InitVar, asdict, dataclass, field, fields, replace
from typing import Any, ClassVar


def _error(call: Any) -> str:
    try:
        return f"no error: {call()}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@dataclass
class Point:
    x: int
    y: int = 2

    def sum(self) -> int:
        return self.x + self.y


@dataclass(frozen=True, order=True)
class Version:
    major: int
    minor: int = 0
    name: str = field(default="", compare=False)


@dataclass(slots=True)
class Slotted:
    a: int
    b: list[int] = field(default_factory=list)

    def who(self) -> str:
        return f"in {__class__.__name__}"


@dataclass(frozen=True, slots=True)
class FrozenSlots:
    a: int
    b: str = "b"


@dataclass(kw_only=True)
class Named:
    a: int
    b: int = 5


@dataclass
class Mixed:
    a: int
    _: KW_ONLY
    b: int = 1
    c: int


POINT, VERSION, SLOTTED, FROZEN_SLOTS = Point(1), Version(1, 2, "n"), Slotted(1, [2]), FrozenSlots(4)


def p_keyword_only_fields() -> list[Any]:
    return [Named(a=1), _error(lambda: Named(1)), Mixed(1, c=2), _error(lambda: Mixed(1, 2, 3))]  # type: ignore


@dataclass
class WithInit:
    base: int
    scale: InitVar[int] = 3
    total: int = field(init=False)
    kind: ClassVar[str] = "kind"
    seen: ClassVar[list[int]] = []

    def __post_init__(self, scale: int) -> None:
        self.total = self.base * scale


WITH_INIT = WithInit(2, 10)


def p_init_variables_and_post_init() -> list[Any]:
    return [repr(WITH_INIT), WithInit(4).total, WithInit.kind, WithInit.scale, [f.name for f in fields(WithInit)]]


@dataclass
class InitNoDefault:
    a: int
    by: InitVar[int]

    def __post_init__(self, by: int) -> None:
        self.a *= by


def p_an_init_variable_without_default() -> list[Any]:
    return [InitNoDefault(2, 3).a, replace(InitNoDefault(1, 1), by=2).a, hasattr(InitNoDefault, "by")]


def _factory(start: int) -> Any:
    count = [start]

    def make() -> list[int]:
        count[0] += 1
        return list(count)

    return make


@dataclass
class Factories:
    a: list[int] = field(default_factory=_factory(10))
    b: dict[str, int] = field(default_factory=lambda: {"k": 1})
    c: Point = field(default_factory=functools.partial(Point, 7))
    d: Any = field(default_factory=lambda: Factories.helper())

    @staticmethod
    def helper() -> str:
        return "helper"


def p_default_factories() -> list[Any]:
    one, two = Factories(), Factories()
    return [two.a[0] - one.a[0], one.b, one.b is two.b, one.c, one.d]


@dataclass
class Meta:
    a: int = field(default=1, metadata={"unit": "m", "more": [1, {"k": (2,)}]})
    b: int = field(default=2, repr=False, compare=False)
    c: int = field(default=3, hash=False, kw_only=True)
    d: int = field(default=4, init=False)


def p_metadata_is_read_only() -> list[Any]:
    one = fields(Meta)[0]
    return [_error(lambda: one.metadata.update(x=1)), type(one.metadata).__name__, fields(Meta)[1].metadata == {}]  # type: ignore


def p_types_of_fields_are_text() -> list[Any]:
    return [[f.type for f in fields(Point)], [str(f.type) for f in fields(WithInit)], Point.__annotations__]


@dataclass
class WithProperty:
    size: int

    @property
    def double(self) -> int:
        return self.size * 2

    @functools.cached_property
    def triple(self) -> int:
        return self.size * 3

    @classmethod
    def of(cls, text: str) -> WithProperty:
        return cls(int(text))


def p_properties_of_dataclasses() -> list[Any]:
    one = WithProperty.of("4")
    return [one.double, one.triple, repr(one), asdict(one)]


@dataclass
class DefaultProperty:
    """A property as the default value of a field, as some people write it."""

    size: int

    @property
    def size(self) -> int:
        return self._size

    @size.setter
    def size(self, value: Any) -> None:
        self._size = 7 if isinstance(value, property) else value


DEFAULT_PROPERTY = DefaultProperty(5)


def p_a_property_as_a_default_value() -> list[Any]:
    return [DefaultProperty().size, DefaultProperty(3).size, repr(DEFAULT_PROPERTY)]


class Positive:
    def __set_name__(self, owner: type, name: str) -> None:
        self.name = "_" + name

    def __get__(self, one: Any, owner: type) -> Any:
        return 11 if one is None else getattr(one, self.name)

    def __set__(self, one: Any, value: int) -> None:
        if value < 0:
            raise ValueError(f"{self.name} is negative")
        setattr(one, self.name, value)


@dataclass
class WithDescriptor:
    a: int = Positive()


WITH_DESCRIPTOR = WithDescriptor(5)


def p_a_descriptor_as_a_default_value() -> list[Any]:
    return [WithDescriptor().a, WITH_DESCRIPTOR.a, _error(lambda: WithDescriptor(-1)), repr(WITH_DESCRIPTOR)]


@dataclass
class WithCallable:
    function: Any = len
    other: Any = lambda self: self.function("abc")
    cls: type = Point
    method: Any = POINT.sum


def p_functions_as_default_values() -> list[Any]:
    one = WithCallable()
    return [one.function([1]), one.other(one), one.cls(5), one.method(), WithCallable(max).function(1, 2)]


SHARED_LIST: list[int] = [1]


@dataclass
class SharedDefault:
    items: list[int] = field(default_factory=lambda: SHARED_LIST)


def p_a_factory_that_shares_a_list() -> list[Any]:
    one, two = SharedDefault(), SharedDefault()
    return [one.items is two.items, one.items is SHARED_LIST]


def p_parameters_of_dataclasses() -> list[Any]:
    import inspect

    return [str(inspect.signature(cls)) for cls in (Point, Named, Mixed, WithInit, FrozenSlots)]


def p_the_docstring_of_a_dataclass() -> list[Any]:
    return [Point.__doc__, DefaultProperty.__doc__ is not None, Slotted.__doc__]


@dataclass
class MixedDefaults:
    a: float = float("nan")
    b: tuple[int, ...] = (1, 2)
    c: str | None = None
    d: Any = ...
    e: frozenset[int] = frozenset([1])
    f: Version = VERSION


def p_default_values_of_many_kinds() -> list[Any]:
    one = MixedDefaults()
    return [repr(one), one.f is VERSION, one.d is ...]


@dataclass
class PrivateField:
    __secret: int = 3

    def get(self) -> int:
        return self.__secret


def p_private_fields() -> list[Any]:
    return [PrivateField().get(), PrivateField(8).get(), [f.name for f in fields(PrivateField)], repr(PrivateField())]
