"""Classes: special methods, such as operators, comparisons, containers and iterators. See `test_programs.py`."""

from __future__ import annotations

from typing import Any


class Box:
    def __class_getitem__(cls, item: Any) -> str:
        return f"{cls.__name__}[{item}]"


def p_class_getitem() -> list[str]:
    return [Box[3], Box["x"]]  # type: ignore[type-arg,misc]


class Point:
    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    def __hash__(self) -> int:
        return hash((self.x, self.y))

    def __repr__(self) -> str:
        return f"Point({self.x}, {self.y})"


PLACES = {Point(1, 2): "a", Point(3, 4): "b"}
VISITED = {Point(1, 2), Point(5, 6)}
FROZEN_PLACES = frozenset([Point(0, 0)])


def p_instances_as_keys_and_members() -> list[Any]:
    return [PLACES[Point(1, 2)], Point(3, 4) in PLACES, Point(5, 6) in VISITED, Point(0, 0) in FROZEN_PLACES]


SHARED_POINT = Point(8, 8)
KEYED = {SHARED_POINT: [SHARED_POINT]}
MEMBERS = {SHARED_POINT}


def p_a_key_that_is_shared_with_other_values() -> list[Any]:
    (key,) = KEYED
    return [KEYED[Point(8, 8)][0] is key, key is SHARED_POINT, SHARED_POINT in MEMBERS, KEYED[SHARED_POINT]]


class Loop:
    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: set[Loop] = {self}
        self.by: dict[Loop, str] = {self: name}

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loop) and self.name == other.name


LOOP = Loop("loop")


def p_an_instance_that_is_a_member_of_its_own_set() -> list[Any]:
    return [LOOP in LOOP.seen, LOOP.by[LOOP], Loop("loop") in LOOP.seen, len(LOOP.seen)]


class Unhashable:
    def __eq__(self, other: object) -> bool:
        return True


def p_eq_without_hash() -> list[Any]:
    try:
        hash(Unhashable())
    except TypeError:
        return [Unhashable.__hash__ is None, Unhashable() == 3]
    return ["hashed"]


class Bag:
    def __init__(self, *items: Any) -> None:
        self.items = list(items)
        self.log: list[Any] = []

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Any:
        return iter(self.items)

    def __contains__(self, item: Any) -> bool:
        return item in self.items or item == "always"

    def __getitem__(self, key: Any) -> Any:
        return self.items[key] if isinstance(key, int) else ("slice", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value

    def __delitem__(self, key: int) -> None:
        del self.items[key]

    def __reversed__(self) -> Any:
        return iter(["reversed"])

    def __enter__(self) -> Bag:
        self.log.append("in")
        return self

    def __exit__(self, kind: Any, *rest: Any) -> bool:
        self.log.append(kind.__name__ if kind else None)
        return kind is KeyError


EMPTY, FULL = Bag(), Bag(1, 2, 3)


def p_containers() -> list[Any]:
    bag = Bag(*FULL)
    bag[0] = 10
    del bag[1]
    return [bool(EMPTY), len(FULL), [*bag], 3 in FULL, "always" in EMPTY, str(FULL[1:2]), [*reversed(FULL)]]


def p_a_context_manager() -> list[Any]:
    EMPTY.log.clear()
    with EMPTY as inside:
        inside.log.append("body")
    with EMPTY:
        raise KeyError(1)
    return EMPTY.log


class False_:
    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        return 5


class NeverTrue:
    def __bool__(self) -> bool:
        raise ValueError("neither true nor false")

    def __eq__(self, other: object) -> Any:
        return self

    def __hash__(self) -> int:
        return 1


FALSE, NEVER = False_(), NeverTrue()


def p_false_instances_are_sent_like_others(value: Any = FALSE) -> list[Any]:
    return [bool(FALSE), len(value), value is FALSE]


def p_an_instance_that_refuses_comparison(value: Any = NEVER) -> Any:
    try:
        return bool(value == 1)
    except ValueError as error:
        return [str(error), value is NEVER]


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __add__(self, other: Any) -> Any:
        return Money(self.cents + other.cents) if isinstance(other, Money) else NotImplemented

    def __radd__(self, other: Any) -> Any:
        return self if other == 0 else NotImplemented

    def __mul__(self, by: int) -> Money:
        return Money(self.cents * by)

    __rmul__ = __mul__

    def __iadd__(self, other: Money) -> Money:
        self.cents += other.cents + 1000
        return self

    def __neg__(self) -> Money:
        return Money(-self.cents)

    def __lt__(self, other: Money) -> bool:
        return self.cents < other.cents

    def __matmul__(self, other: Any) -> str:
        return f"{self.cents}@{other}"

    def __index__(self) -> int:
        return self.cents

    def __format__(self, spec: str) -> str:
        return f"<{self.cents:{spec}}>"

    def __str__(self) -> str:
        return f"{self.cents / 100:.2f}"

    def __divmod__(self, by: int) -> tuple[int, int]:
        return divmod(self.cents, by)

    def __round__(self, n: int = 0) -> str:
        return f"round {n}"


PRICES = [Money(300), Money(50)]


def p_operators() -> list[Any]:
    total = sum(PRICES)
    two = 2 * PRICES[0]
    assert isinstance(total, Money)
    total += two
    return [
        str(total),
        str(-two),
        min(PRICES).cents,
        PRICES[0] @ 4,
        [*range(60)][PRICES[1]],
        divmod(two, 7),
        round(two),
    ]


def p_formats() -> list[str]:
    return [f"{PRICES[1]:05d}", f"{PRICES[1]!s:>8}", format(PRICES[1], "x")]


def p_an_operator_that_is_not_implemented() -> Any:
    return PRICES[0] + 3


class Tree:
    def __init__(self, name: str, parent: Tree | None = None) -> None:
        self.name, self.parent, self.children = name, parent, []
        if parent is not None:
            parent.children.append(self)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(map(repr, self.children))})"

    def path(self) -> str:
        return (self.parent.path() + "/" if self.parent else "") + self.name


ROOT = Tree("root")
LEAF = Tree("leaf", Tree("twig", ROOT))
Tree("bud", ROOT)


def p_a_tree_with_parents() -> list[Any]:
    return [repr(ROOT), LEAF.path(), LEAF.parent.parent is ROOT, ROOT.children[0].children[0] is LEAF]  # type: ignore


class Repeating:
    def __init__(self) -> None:
        self.me = [self]

    def __repr__(self) -> str:
        return f"<{self.me!r}>" if self.me else "end"


def p_a_repr_that_recurses() -> str:
    one = Repeating()
    try:
        return repr(one)
    except RecursionError:
        return "recursion"


class Counting(dict):
    def __missing__(self, key: Any) -> Any:
        self[key] = made = f"made {key}"
        return made


def p_missing_of_a_subclass_of_dict() -> list[Any]:
    made = Counting(a=1)
    return [made["a"], made["b"], dict(made)]


class Iterating:
    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Iterating:
        return self

    def __next__(self) -> int:
        if self.n == 0:
            raise StopIteration
        self.n -= 1
        return self.n


COUNTDOWN = Iterating(4)
next(COUNTDOWN)


def p_an_iterator_keeps_its_place() -> list[int]:
    return [COUNTDOWN.n, *Iterating(COUNTDOWN.n)]


class GetItem:
    def __getitem__(self, i: int) -> int:
        if i > 2:
            raise IndexError
        return i * 10


def p_iteration_by_getitem() -> list[int]:
    return list(GetItem())


class Async:
    async def get(self) -> int:
        return 3

    async def __aenter__(self) -> int:
        return await self.get()

    async def __aexit__(self, *_: object) -> None:
        return None

    def __aiter__(self) -> Any:
        return self._items()

    async def _items(self) -> Any:
        yield 1
        yield 2


def p_asynchronous_methods() -> list[Any]:
    async def run() -> list[object]:
        async with Async() as got:
            return [got, [i async for i in Async()]]

    try:
        run().send(None)
    except StopIteration as done:
        return done.value
    return []


class OwnEq:
    def __init__(self, n: int) -> None:
        self.n = n

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnEq)

    __hash__ = None

    def __ne__(self, other: object) -> bool:
        return True


def p_both_equal_and_unequal() -> list[bool]:
    return [OwnEq(1) == OwnEq(2), OwnEq(1) != OwnEq(1)]


class Match:
    __match_args__ = ("a", "b")

    def __init__(self, a: int, b: int) -> None:
        self.a, self.b = a, b


def p_patterns_with_positions() -> list[Any]:
    found = []
    for one in (Match(1, 2), Match(3, 4), 5):
        match one:
            case Match(1, b):
                found.append(b)
            case Match(a=3):
                found.append("three")
            case _:
                found.append(None)
    return found
