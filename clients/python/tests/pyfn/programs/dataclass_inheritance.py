"""Dataclasses: inheritance, generic classes, and classes made by functions. See `test_programs.py`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field, fields, make_dataclass
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


Dynamic = make_dataclass(
    "Dynamic",
    [("x", int), "y", ("z", int, field(default=3))],
    namespace={"sum": lambda self: self.x + self.z},
    frozen=True,
)
DYNAMIC = Dynamic(1, "y")


def p_a_dataclass_made_by_a_call() -> list[Any]:
    return [repr(DYNAMIC), DYNAMIC.sum(), Dynamic(1, "y", 3) == DYNAMIC, _error(lambda: setattr(DYNAMIC, "x", 2))]


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
