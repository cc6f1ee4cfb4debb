"""Generic classes, protocols, named tuples, typed dicts and annotations that are objects. See `test_programs.py`.

This file has no `from __future__ import annotations`.
"""

import collections
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    ParamSpec,
    Protocol,
    TypedDict,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    overload,
    runtime_checkable,
)

T = TypeVar("T")
K = TypeVar("K", bound="Stack[Any]")
N = TypeVar("N", int, float)
C_co = TypeVar("C_co", covariant=True)
P = ParamSpec("P")


class Stack(Generic[T]):
    items: list[T]

    def __init__(self, *items: T) -> None:
        self.items = list(items)

    def push(self, item: T) -> "Stack[T]":
        self.items.append(item)
        return self

    def kind(self) -> Any:
        return getattr(self, "__orig_class__", None)


class IntStack(Stack[int]):
    def total(self) -> int:
        return sum(self.items)


class Pair(Generic[T, N]):
    def __init__(self, a: T, b: N) -> None:
        self.a, self.b = a, b


class Swapped(Pair[str, N], Stack[N]):
    pass


STACK, INTS = Stack(1, "a"), IntStack(1, 2)
TYPED = Stack[int](4)


def _error(call: Callable[[], Any]) -> str:
    try:
        return f"no error: {call()}"
    except Exception as error:
        return type(error).__name__


def p_generic_classes() -> list[Any]:
    return [STACK.items, INTS.total(), Stack[str]("x").push("y").items, Stack[int].__origin__ is Stack]


def p_parameters_of_generic_classes() -> list[Any]:
    found = [[one.__name__ for one in cls.__parameters__] for cls in (Stack, IntStack, Pair, Swapped)]
    return [found, [str(one).split(".")[-1] for one in IntStack.__orig_bases__], _error(lambda: IntStack[int])]


def p_an_instance_of_a_generic_alias() -> Any:
    return [get_args(TYPED.kind()) == (int,), TYPED.items]


ALIAS = Stack[int]
NESTED = dict[str, list[Stack[T]]]


def p_aliases_as_globals() -> list[Any]:
    return [
        ALIAS(3).items,
        ALIAS.__origin__ is Stack,
        get_args(ALIAS) == (int,),
        NESTED[int].__args__[0] is str,
        get_origin(NESTED) is dict,
    ]


def p_type_variables() -> list[Any]:
    return [T.__name__, N.__constraints__ == (int, float), C_co.__covariant__, Stack.__parameters__[0] is T, repr(C_co)]


def p_the_bound_of_a_type_variable() -> bool:
    return K.__bound__ is not None


@runtime_checkable
class Closes(Protocol):
    def close(self) -> None: ...


@runtime_checkable
class HasName(Protocol):
    name: str


class NamedCloses(Closes, HasName, Protocol):
    def describe(self) -> str:
        return f"closes {self.name}"


class Door:
    def __init__(self) -> None:
        self.name = "door"

    def close(self) -> None:
        return None


class Explicit(NamedCloses):
    name = "explicit"

    def close(self) -> None:
        return None


class NotChecked(Protocol):
    def close(self) -> None: ...


def p_protocols_at_runtime() -> list[Any]:
    one = Door()
    return [isinstance(one, Closes), isinstance(one, HasName), isinstance(3, Closes), issubclass(Door, Closes)]


def p_protocols_without_checks() -> list[str]:
    return [
        _error(lambda: isinstance(Door(), NotChecked)),
        _error(lambda: Closes()),
        _error(lambda: issubclass(Door, HasName)),
    ]


def p_explicit_protocol_classes() -> list[Any]:
    one = Explicit()
    return [
        one.describe(),
        isinstance(one, NamedCloses),
        isinstance(one, Closes),
        Explicit._is_protocol,
        Closes._is_protocol,
    ]


class Reads(Protocol[C_co]):
    def read(self) -> C_co: ...


class Reader(Reads[int]):
    def read(self) -> int:
        return 3


def p_generic_protocols() -> list[Any]:
    return [Reader().read(), Reads.__parameters__[0].__name__, Reads in Reader.__mro__]


class AbstractProtocol(Protocol):
    attribute: int

    def must(self) -> int: ...

    def given(self) -> int:
        return self.must() + 1


class Must(AbstractProtocol):
    def must(self) -> int:
        return 4


def p_protocols_with_methods() -> int:
    return Must().given()


UserId = NewType("UserId", int)
AdminId = NewType("AdminId", UserId)
StackId = NewType("StackId", Stack)


def p_new_types() -> list[Any]:
    one = AdminId(UserId(3))
    return [one + 1, UserId.__name__, AdminId.__supertype__ is UserId, StackId.__supertype__ is Stack]


def p_the_name_of_a_new_type() -> list[str]:
    return [UserId.__module__, UserId.__qualname__, repr(UserId)]


class Movie(TypedDict):
    name: str
    year: int


class Sequel(Movie, total=False):
    before: Movie
    stack: "Stack[int]"


Functional = TypedDict("Functional", {"a b": int, "class": str})


def p_typed_dicts() -> list[Any]:
    one = Sequel(name="n", year=1, before={"name": "b", "year": 0})
    return [
        one,
        sorted(Sequel.__required_keys__),
        sorted(Sequel.__optional_keys__),
        Sequel.__total__,
        Movie(name="x", year=1),
    ]


def p_the_hints_of_a_typed_dict() -> list[Any]:
    return [
        sorted(Movie.__annotations__),
        Movie.__annotations__["year"] is int,
        sorted(Sequel.__annotations__),
        Functional(**{"a b": 1}),
        list(Functional.__annotations__),
    ]


class Point(NamedTuple):
    """A point."""

    x: int
    y: int = 2
    label: str = "p"

    def norm(self) -> int:
        return self.x**2 + self.y**2

    @property
    def flipped(self) -> "Point":
        return self._replace(x=self.y, y=self.x)

    @classmethod
    def origin(cls) -> "Point":
        return cls(0, 0)

    def __add__(self, other: Any) -> "Point":
        return Point(self.x + other.x, self.y + other.y)

    scale = 10


POINT = Point(1)
POINTS = {POINT: [POINT, Point(3)]}


def p_named_tuples_with_methods() -> list[Any]:
    return [POINT, POINT.norm(), POINT.flipped, Point.origin(), POINT + POINT, POINT.scale, Point.__doc__]


def p_the_fields_of_named_tuples() -> list[Any]:
    return [
        Point._fields,
        Point._field_defaults,
        POINT._asdict(),
        Point._make([7, 8, "m"]),
        Point.__annotations__["y"] is int,
        Point.x.__doc__,
    ]


def p_named_tuples_are_tuples() -> list[Any]:
    x, *rest = POINT
    return [
        x,
        rest,
        POINT == (1, 2, "p"),
        POINTS[1, 2, "p"][0] is POINT,
        isinstance(POINT, tuple),
        POINT[-1],
        _error(lambda: Point()),
    ]


class BiggerPoint(Point):
    __slots__ = ()

    def norm(self) -> int:
        return super().norm() + 1000

    def __repr__(self) -> str:
        return f"bigger {super().__repr__()}"


class LoosePoint(Point):
    def __new__(cls, x: int, y: int = 5) -> "LoosePoint":
        made = super().__new__(cls, x, y)
        made.sum = x + y
        return made


BIGGER = BiggerPoint(5)
LOOSE = LoosePoint(1)


def p_a_subclass_of_a_named_tuple() -> list[Any]:
    return [repr(BIGGER), BIGGER.norm(), type(BIGGER._replace(x=1)).__name__, type(BIGGER).__name__, BIGGER[0]]


REFUSED = {"p_a_subclass_of_a_named_tuple_with_attributes": "a named tuple with further attributes cannot be sent"}


def p_a_subclass_of_a_named_tuple_with_attributes() -> list[Any]:
    return [LOOSE.sum, LOOSE.y, LOOSE.norm()]


def p_a_subclass_of_a_named_tuple_made_there() -> list[Any]:
    one = LoosePoint(3)
    return [one.sum, tuple(one)]


Plain = collections.namedtuple("Plain", "a b c", defaults=[2, [3]])
Odd = collections.namedtuple("Odd", ["x", "class", "x", "_y"], rename=True)
Other = collections.namedtuple("DifferentName", "v")


class Inherited(collections.namedtuple("Inherited", "p q")):
    __slots__ = ()

    @property
    def both(self) -> int:
        return self.p + self.q  # type: ignore[no-any-return,attr-defined]


INHERITED, OTHER = Inherited(1, 2), Other(4)


def p_named_tuples_of_collections() -> list[Any]:
    return [Plain(1), Plain(1).c is Plain(2).c, Odd(1, 2, 3, 4), Odd._fields, INHERITED.both, INHERITED, repr(OTHER)]


class GenericTuple(NamedTuple):
    items: list[int]
    more: Mapping[str, "Point"] = {}


def p_named_tuples_with_mutable_values() -> list[Any]:
    one = GenericTuple([1])
    one.items.append(2)
    return [one, GenericTuple([3]).more is one.more, one._replace(items=[])]


Point.later = lambda self: f"later {self.x}"
Point.__str__ = lambda self: f"({self.x})"


def p_named_tuples_changed_later() -> list[Any]:
    return [POINT.later(), str(POINT), f"{POINT}"]


def annotated(a: int, b: "Stack[int]", *c: str | None, d: Literal["x", 1] = 1, **e: Callable[[int], str]) -> int | None:
    return a


def p_the_hints_of_a_function() -> list[Any]:
    return [
        sorted(annotated.__annotations__),
        annotated.__annotations__["a"] is int,
        get_args(annotated.__annotations__["return"])[0] is int,
    ]


class Hints:
    a: int = 1
    b: ClassVar[list[str]] = []
    c: Final = 3
    d: Annotated[int, "meta", 5]
    e: "Hints"
    f: int | None = None
    g: Stack[int]
    h: type["Hints"]
    i: Iterable[T]


def p_the_hints_of_a_class() -> list[Any]:
    found = Hints.__annotations__
    return [
        sorted(found),
        found["a"] is int,
        found["d"].__metadata__,
        found["e"],
        get_args(found["f"])[0] is int,
        found["g"].__origin__ is Stack,
    ]


def p_hints_that_are_resolved() -> list[Any]:
    class Local:
        x: int
        y: list[int]

    found = get_type_hints(Hints)
    return [found["e"] is Hints, found["d"] is int, get_type_hints(Local)["x"] is int]


@overload
def double(x: int) -> int: ...
@overload
def double(x: str) -> str: ...
def double(x: Any) -> Any:
    return x * 2


def p_overloads_and_casts() -> list[Any]:
    return [double(2), double("a"), cast(int, "no int"), typing.TYPE_CHECKING]


TYPES: list[Any] = [
    int | None,
    Optional[int],
    list[int],
    Literal["a"],
    Callable[[int], str],
    tuple[int, ...],
    type[int],
    Any,
]


def p_types_as_values() -> list[str]:
    return [str(one) for one in TYPES[2:]]


def p_types_as_values_are_used() -> list[Any]:
    return [
        isinstance(3, TYPES[0]),
        isinstance(None, TYPES[0]),
        get_args(TYPES[4]) == ([int], str),
        TYPES[2](),
        TYPES[3].__args__,
    ]  # type: ignore


def decorate(function: Callable[P, T]) -> Callable[P, list[T]]:
    def call(*args: P.args, **kwargs: P.kwargs) -> list[T]:
        return [function(*args, **kwargs)]

    return call


@decorate
def decorated(x: int) -> int:
    return x + 1


def p_parameter_specifications() -> list[int]:
    return decorated(3)


def local_annotations(x: Any) -> Any:
    local: "list[NotDefinedAnywhere]" = [x]  # type: ignore  # noqa: F821
    other: Stack[int]

    class Inner:
        value: int = 3
        stack: Stack[int]

        def get(self, default: T = None) -> list[T]:  # type: ignore
            return [default, self.value]

    return [local, Inner().get(), sorted(Inner.__annotations__)]


class Slotted(Generic[T]):
    __slots__ = ("x",)

    def __init__(self, x: T) -> None:
        self.x = x


SLOTTED = Slotted(3)


def p_a_generic_class_with_slots() -> list[Any]:
    return [SLOTTED.x, Slotted[int](4).x, hasattr(SLOTTED, "__dict__")]


class Visitor(Generic[T]):
    def __init_subclass__(cls, **keys: Any) -> None:
        super().__init_subclass__(**keys)
        cls.argument = get_args(cls.__orig_bases__[0])[0]


class IntVisitor(Visitor[int]):
    pass


def p_init_subclass_that_reads_the_type_argument() -> Any:
    return IntVisitor.argument is int


class Box(list[T]):
    def first(self) -> T:
        return self[0]


def p_a_subclass_of_an_alias() -> list[Any]:
    return [Box([3]).first(), Box.__bases__ == (list,), Box[int]([1]).first(), Box.__orig_bases__[0].__origin__ is list]  # type: ignore


class Counter(collections.Counter[str]):
    def top(self) -> str:
        return self.most_common(1)[0][0]


def p_a_subclass_of_an_alias_of_collections() -> Any:
    return [Counter("hello").top(), dict(Counter("aab"))]
