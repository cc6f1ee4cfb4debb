"""Dataclasses. See `test_programs.py`."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import (
    KW_ONLY,
    InitVar,
    asdict,
    astuple,
    dataclass,
    field,
    fields,
    is_dataclass,
    make_dataclass,
    replace,
)
from typing import Any, ClassVar, Generic, TypeVar

T = TypeVar("T")


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


def p_a_dataclass() -> list[Any]:
    return [repr(POINT), Point(1, 2) == POINT, POINT.sum(), Point(y=3, x=4).sum(), POINT]


def p_a_frozen_ordered_dataclass() -> list[Any]:
    ordered = sorted([Version(2), VERSION, Version(1, 1)])
    return [str(ordered), {VERSION: 1}[Version(1, 2, "other")], _error(lambda: setattr(VERSION, "major", 3)), VERSION]


def p_a_dataclass_with_slots() -> list[Any]:
    return [
        repr(SLOTTED),
        Slotted(3).b,
        hasattr(SLOTTED, "__dict__"),
        SLOTTED.who(),
        Slotted.__slots__,
        type(SLOTTED) is Slotted,
    ]


def p_a_frozen_dataclass_with_slots() -> list[Any]:
    return [
        FROZEN_SLOTS,
        _error(lambda: setattr(FROZEN_SLOTS, "a", 1)),
        replace(FROZEN_SLOTS, b="c"),
        hash(FrozenSlots(1)) == hash(FrozenSlots(1)),
    ]


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


def p_replace_with_init_variables() -> list[str]:
    return [repr(replace(WITH_INIT, base=5, scale=2)), repr(replace(WITH_INIT, scale=7))]


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
class Mother:
    a: int
    b: int = 2

    def __post_init__(self) -> None:
        self.log = ["mother"]


@dataclass
class Helper:
    h: str


@dataclass
class Daughter(Mother, Helper):
    b: int = 20
    c: int = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        self.log.append("daughter")


class Plain(Daughter):
    d: int = 40


@dataclass
class Again(Plain):
    e: int = 50


DAUGHTER, AGAIN = Daughter("h", 1), Again("g", 2)


def p_inherited_fields() -> list[Any]:
    return [repr(DAUGHTER), DAUGHTER.log, [f.name for f in fields(Again)], repr(AGAIN), AGAIN.d]


def p_equality_needs_the_same_class() -> list[Any]:
    return [Plain("h", 1) == DAUGHTER, Daughter("h", 1) == DAUGHTER, repr(Plain("h", 1))]


@dataclass(frozen=True)
class FrozenBase:
    a: int = 1


@dataclass(frozen=True)
class FrozenChild(FrozenBase):
    b: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "c", self.a + self.b)


def p_frozen_dataclasses_inherit() -> list[Any]:
    one = FrozenChild(4)
    return [one.c, repr(one), _error(lambda: delattr(one, "a")), len({one, FrozenChild(4), FrozenBase(4)})]  # type: ignore


@dataclass
class Meta:
    a: int = field(default=1, metadata={"unit": "m", "more": [1, {"k": (2,)}]})
    b: int = field(default=2, repr=False, compare=False)
    c: int = field(default=3, hash=False, kw_only=True)
    d: int = field(default=4, init=False)


def p_metadata_and_options_of_fields() -> list[Any]:
    return [
        [(f.name, dict(f.metadata), f.repr, f.compare, f.hash, f.init, f.kw_only) for f in fields(Meta)],
        repr(Meta()),
    ]


def p_metadata_is_read_only() -> list[Any]:
    one = fields(Meta)[0]
    return [_error(lambda: one.metadata.update(x=1)), type(one.metadata).__name__, fields(Meta)[1].metadata == {}]  # type: ignore


def p_types_of_fields_are_text() -> list[Any]:
    return [[f.type for f in fields(Point)], [str(f.type) for f in fields(WithInit)], Point.__annotations__]


@dataclass
class Company:
    name: str
    boss: Point
    staff: list[Point] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)


COMPANY = Company("c", Point(1), [Point(2), Point(3)], {"t": (Point(4), Version(1))})


def p_asdict_and_astuple() -> list[Any]:
    return [
        asdict(COMPANY),
        astuple(COMPANY),
        asdict(POINT, dict_factory=lambda pairs: {k: v for k, v in pairs if v > 1}),
    ]


def p_replace() -> list[Any]:
    made = replace(COMPANY, name="d")
    return [made.staff is COMPANY.staff, made == COMPANY, made.name]


def p_is_dataclass() -> list[bool]:
    return [is_dataclass(one) for one in (Point, POINT, Plain, int, Again("x", 1))]


@dataclass(unsafe_hash=True)
class Hashed:
    a: int
    b: Any = field(hash=False, default=None)


@dataclass(eq=False)
class ByIdentity:
    a: int


@dataclass(repr=False, init=False)
class Bare:
    a: int = 1

    def __repr__(self) -> str:
        return "bare"


@dataclass(eq=True)
class NoHash:
    a: int


HASHED = {Hashed(1, [2]): "found"}
IDENTITY = ByIdentity(1)
BY_ID = {IDENTITY: "by id"}


def p_hashes_of_dataclasses() -> list[Any]:
    return [HASHED[Hashed(1)], BY_ID[IDENTITY], ByIdentity(1) == IDENTITY, _error(lambda: hash(NoHash(1)))]


def p_dataclasses_without_some_methods() -> list[Any]:
    return [repr(Bare()), "__init__" in vars(Bare), _error(lambda: Bare(3)), Bare() == Bare()]


@dataclass
class OwnMethods:
    a: int = 1

    def __init__(self) -> None:
        self.a = 100

    def __repr__(self) -> str:
        return f"own {self.a}"

    def __eq__(self, other: object) -> bool:
        return True


def p_own_methods_win() -> list[Any]:
    return [repr(OwnMethods()), OwnMethods() == 3]


@dataclass
class GenericBox(Generic[T]):
    item: T
    more: list[T] = field(default_factory=list)

    def get(self) -> T:
        return self.item


@dataclass
class IntBox(GenericBox[int]):
    extra: int = 1


BOX = GenericBox[int](3)


def p_generic_dataclasses() -> list[Any]:
    return [repr(BOX), BOX.get(), repr(IntBox(1)), GenericBox[str]("a").get(), str(IntBox.__orig_bases__[0])[-17:]]  # type: ignore


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


Dynamic = make_dataclass(
    "Dynamic",
    [("x", int), "y", ("z", int, field(default=3))],
    namespace={"sum": lambda self: self.x + self.z},
    frozen=True,
)
DYNAMIC = Dynamic(1, "y")


def p_a_dataclass_made_by_a_call() -> list[Any]:
    return [repr(DYNAMIC), DYNAMIC.sum(), Dynamic(1, "y", 3) == DYNAMIC, _error(lambda: setattr(DYNAMIC, "x", 2))]


@dataclass
class Changed:
    a: int = 1
    b: int = 2


Changed.a = 10
Changed.extra = 5
Changed.__repr__ = lambda self: f"changed {self.a}"  # type: ignore[method-assign,assignment]


@dataclass
class ChangedInit:
    a: int = 1


_init = ChangedInit.__init__


def _logged(self: Any, *args: Any) -> None:
    _init(self, *args)
    self.log = ["init"]


ChangedInit.__init__ = _logged  # type: ignore[assignment,method-assign]


def p_a_dataclass_changed_later() -> list[Any]:
    return [repr(Changed()), Changed.a, Changed().extra, fields(Changed)[0].default]


def p_the_init_of_a_dataclass_wrapped_later() -> list[Any]:
    return [ChangedInit(3).log, ChangedInit(3).a, repr(ChangedInit(4))]


@dataclass
class DeletedEq:
    a: int = 1


del DeletedEq.__eq__
del DeletedEq.__repr__


def p_methods_of_a_dataclass_deleted_later() -> list[Any]:
    return [DeletedEq() == DeletedEq(), "__repr__" in vars(DeletedEq), repr(DeletedEq()).startswith("<")]


SHARED_LIST: list[int] = [1]


@dataclass
class SharedDefault:
    items: list[int] = field(default_factory=lambda: SHARED_LIST)


def p_a_factory_that_shares_a_list() -> list[Any]:
    one, two = SharedDefault(), SharedDefault()
    return [one.items is two.items, one.items is SHARED_LIST]


def _scaled(by: int) -> Any:
    @dataclass
    class Scaled:
        x: int = by

        def of(self) -> int:
            return self.x * by

    return Scaled


SCALED_2, SCALED_3 = _scaled(2), _scaled(3)


def p_a_dataclass_of_a_function() -> list[Any]:
    return [SCALED_2().of(), repr(SCALED_2(4))]


def p_two_dataclasses_of_one_function() -> list[Any]:
    return [SCALED_2().of(), SCALED_3().of(), SCALED_2() == SCALED_3()]


@dataclass
class Tree:
    name: str
    parent: Tree | None = field(default=None, repr=False, compare=False)
    children: list[Tree] = field(default_factory=list)

    def add(self, name: str) -> Tree:
        self.children.append(Tree(name, self))
        return self.children[-1]


ROOT = Tree("root")
LEAF = ROOT.add("a").add("b")
LEAF.children.append(ROOT)


def p_dataclasses_in_cycles() -> list[Any]:
    return [repr(ROOT), LEAF.parent.parent is ROOT, LEAF.children[0] is ROOT]


@dataclass
class ExtraAttributes:
    a: int


EXTRA = ExtraAttributes(1)
EXTRA.note = "n"
del EXTRA.a


def p_instances_with_other_attributes() -> list[Any]:
    return [EXTRA.note, hasattr(EXTRA, "a"), vars(EXTRA)]


@dataclass(order=True)
class Task:
    priority: int
    name: str = field(compare=False)
    tags: frozenset[str] = field(default=frozenset({"t"}), compare=False)


def p_a_heap_of_dataclasses() -> list[str]:
    import heapq

    heap: list[Task] = []
    for one in (Task(3, "c"), Task(1, "a"), Task(2, "b")):
        heapq.heappush(heap, one)
    return [heapq.heappop(heap).name for _ in range(3)]


def p_order_with_another_class() -> list[str]:
    return [_error(lambda: Task(1, "a") < 3), _error(lambda: Task(1, "a") < Version(1))]


@dataclass(match_args=False)
class NoMatch:
    a: int


@dataclass
class OwnMatch:
    __match_args__ = ("b",)
    a: int
    b: int


def p_patterns_of_dataclasses() -> list[Any]:
    match Point(1, 5), OwnMatch(1, 2):
        case Point(1, y), OwnMatch(b):
            return [y, b, hasattr(NoMatch, "__match_args__"), Point.__match_args__, Mixed.__match_args__]
        case _:
            return []


def p_dataclasses_made_there() -> list[Any]:
    @dataclass
    class Local(Point):
        z: int = 9

    return [repr(Local(1))[-20:], Local(1).sum(), [f.name for f in dataclasses.fields(Local)]]


@dataclass
class Wrapped:
    a: int = 1

    def __post_init__(self) -> None:
        self.b = "post"


class InheritsPost(Wrapped):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.c = "more"


def p_post_init_of_a_usual_subclass() -> list[Any]:
    one = InheritsPost()
    return [one.a, one.b, one.c]


class PostBase:
    def __post_init__(self) -> None:
        self.b = "base"


@dataclass
class InheritsPostBase(PostBase):
    a: int = 1


@dataclass
class PostLater:
    a: int = 1


PostLater.__post_init__ = lambda self: setattr(self, "b", 1)


def p_post_init_of_a_base() -> Any:
    return InheritsPostBase().b


def p_a_post_init_set_later_does_not_run() -> bool:
    return hasattr(PostLater(), "b")


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


@dataclass(slots=True)
class SlotsBase:
    a: int = 1


@dataclass(slots=True)
class SlotsChild(SlotsBase):
    b: int = 2
    c: ClassVar[int] = 8

    def get(self) -> Any:
        return [SlotsBase.__init__.__qualname__, self.c]


SLOTS_CHILD = SlotsChild(5)


def p_slots_of_dataclasses_inherit() -> list[Any]:
    return [repr(SLOTS_CHILD), SLOTS_CHILD.get(), SlotsChild.__slots__, hasattr(SlotsChild(), "__dict__")]


@functools.total_ordering
@dataclass(eq=False)
class Total:
    a: int
    b: int = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Total) and self.a == other.a

    def __lt__(self, other: Total) -> bool:
        return self.a < other.a


def p_total_ordering_of_a_dataclass() -> list[bool]:
    return [Total(1) >= Total(1, 5), Total(1) > Total(2), Total(1) <= Total(2)]


def p_a_returned_dataclass() -> Any:
    return [Point(5), {"v": Version(1), "s": Slotted(1)}, FrozenChild(3), (Daughter("h", 1),)]


REFUSED = {"p_the_init_of_a_dataclass_wrapped_later": "the source of ChangedInit.__init__ is not available"}
