"""Dataclasses: the methods that `dataclass` makes, instances, and classes changed later. See `test_programs.py`."""

from __future__ import annotations

import functools
from dataclasses import KW_ONLY, InitVar, asdict, astuple, dataclass, field, fields, is_dataclass, replace
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


def p_replace_with_init_variables() -> list[str]:
    return [repr(replace(WITH_INIT, base=5, scale=2)), repr(replace(WITH_INIT, scale=7))]


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


@dataclass(frozen=True)
class FrozenBase:
    a: int = 1


@dataclass(frozen=True)
class FrozenChild(FrozenBase):
    b: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "c", self.a + self.b)


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
