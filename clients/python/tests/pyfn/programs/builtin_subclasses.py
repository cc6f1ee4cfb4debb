"""Subclasses of built-in types, and their instances as values. See `test_programs.py`."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import pathlib
import uuid
from typing import Any


class Items(list):  # type: ignore[type-arg]
    kind = "items"

    def total(self) -> int:
        return sum(self)

    def __getitem__(self, key: Any) -> Any:
        return ("got", super().__getitem__(key))


class Table(dict):  # type: ignore[type-arg]
    def __init__(self, *args: Any, **keys: Any) -> None:
        super().__init__(*args, **keys)
        self.reads = 0

    def __getitem__(self, key: Any) -> Any:
        self.reads += 1
        return super().__getitem__(key)

    def __missing__(self, key: Any) -> Any:
        return f"missing {key}"


class Name(str):
    __slots__ = ()

    def shout(self) -> str:
        return self.upper() + "!"

    def __repr__(self) -> str:
        return f"Name({super().__repr__()})"


class Label(str):
    def __new__(cls, text: str, color: str = "red") -> Label:
        made = super().__new__(cls, text)
        made.color = color  # type: ignore[attr-defined]
        return made


class Meters(int):
    def __add__(self, other: int) -> Meters:
        return Meters(super().__add__(other))

    def __repr__(self) -> str:
        return f"{int(self)} m"


class Ratio(float):
    def percent(self) -> str:
        return f"{self * 100:.0f}%"


class Vector(tuple):  # type: ignore[type-arg]
    __slots__ = ()

    def __new__(cls, *items: int) -> Vector:
        return super().__new__(cls, items)

    def __add__(self, other: Any) -> Vector:
        return Vector(*(a + b for a, b in zip(self, other, strict=True)))


class Tags(set):  # type: ignore[type-arg]
    def joined(self) -> str:
        return ",".join(sorted(self))


class Frozen(frozenset):  # type: ignore[type-arg]
    def size(self) -> int:
        return len(self)


class Blob(bytes):
    def size(self) -> int:
        return len(self)


class Queue(collections.deque):  # type: ignore[type-arg]
    def peek(self) -> Any:
        return self[0]


class Defaults(collections.defaultdict):  # type: ignore[type-arg]
    def __missing__(self, key: Any) -> Any:
        return ["own", super().__missing__(key)]


class Ordered(collections.OrderedDict):  # type: ignore[type-arg]
    def first(self) -> Any:
        return next(iter(self))


class UserItems(collections.UserList):  # type: ignore[type-arg]
    def total(self) -> int:
        return sum(self.data)


class UserTable(collections.UserDict):  # type: ignore[type-arg]
    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key.lower(), value)


class UserText(collections.UserString):
    def shout(self) -> str:
        return str(self.upper()) + "!"


class Day(datetime.date):
    def next(self) -> Day:
        return self + datetime.timedelta(1)  # type: ignore[return-value]


class Cents(decimal.Decimal):
    def text(self) -> str:
        return f"{self} ¢"


class Half(fractions.Fraction):
    pass


def _refused(*names: str) -> dict[str, str]:
    return {f"p_{name}": "cannot be sent" for name in names}


REFUSED = _refused(
    "an_instance_of_a_list",
    "an_instance_of_a_dict",
    "an_instance_of_a_str",
    "an_instance_of_a_str_with_attributes",
    "an_instance_of_an_int",
    "an_instance_of_a_float",
    "an_instance_of_a_tuple",
    "an_instance_of_a_set",
    "an_instance_of_a_frozenset",
    "an_instance_of_bytes",
    "an_instance_of_a_deque",
    "an_instance_of_a_defaultdict",
    "an_instance_of_an_ordered_dict",
    "an_instance_of_a_date",
    "an_instance_of_a_decimal",
    "instances_of_built_in_types_as_keys",
    "an_instance_of_a_subclass_of_a_subclass",
    "a_list_subclass_that_contains_itself",
    "an_own_subclass_of_a_path",
    "an_own_subclass_of_counter",
)


def p_classes_of_built_in_types_are_made_there() -> list[Any]:
    items, table = Items([1, 2]), Table(a=1)
    found = [items.total(), items[0], table["a"], table["z"], table.reads, Name("x").shout(), repr(Name("y"))]
    return [
        *found,
        Label("l", "blue").color,
        repr(Meters(3) + 4),
        Ratio(0.5).percent(),
        list(Vector(1, 2) + Vector(3, 4)),
    ]


def p_more_classes_of_built_in_types_are_made_there() -> list[Any]:
    found = [
        Tags("ba").joined(),
        Frozen([1, 1]).size(),
        Blob(b"abc").size(),
        Queue([5, 6]).peek(),
        Ordered(b=1, a=2).first(),
    ]
    return [
        *found,
        Defaults(int)["x"],
        UserItems([1, 2]).total(),
        dict(UserTable(A=1)),
        UserText("a").shout(),
        Cents("3").text(),
    ]


def p_classes_of_dates_and_numbers() -> list[Any]:
    one = Day(2024, 2, 28).next()
    return [one.isoformat(), type(one).__name__, type(Half(1, 2) + Half(1, 2)).__name__]


ITEMS, TABLE, NAME, LABEL, METERS = Items([1, 2]), Table(a=1), Name("n"), Label("l", "green"), Meters(5)
RATIO, VECTOR, TAGS, FROZEN, BLOB = Ratio(0.25), Vector(1, 2), Tags("ab"), Frozen([3]), Blob(b"xy")
QUEUE, DEFAULTS, ORDERED, DAY, CENTS = (
    Queue([1], 3),
    Defaults(list, a=[1]),
    Ordered(z=1, a=2),
    Day(2024, 1, 1),
    Cents("1.50"),
)
USER_ITEMS, USER_TABLE, USER_TEXT = UserItems([1, 2, 3]), UserTable(Ab=1), UserText("hello")
ITEMS.note = "a note"  # type: ignore[attr-defined]


def p_an_instance_of_a_list() -> list[Any]:
    return [type(ITEMS).__name__, ITEMS.total(), ITEMS[1], ITEMS.note, len(ITEMS)]  # type: ignore[attr-defined]


def p_an_instance_of_a_dict() -> list[Any]:
    return [type(TABLE).__name__, TABLE["a"], TABLE["b"], TABLE.reads > 0, list(TABLE)]


def p_an_instance_of_a_str() -> list[Any]:
    return [type(NAME).__name__, NAME.shout(), NAME == "n", repr(NAME), {"n": 1}[NAME]]


def p_an_instance_of_a_str_with_attributes() -> list[Any]:
    return [LABEL + "!", LABEL.color]  # type: ignore[attr-defined]


def p_an_instance_of_an_int() -> list[Any]:
    return [repr(METERS + 1), METERS == 5, [1] * METERS]


def p_an_instance_of_a_float() -> list[Any]:
    return [RATIO.percent(), RATIO + 1]


def p_an_instance_of_a_tuple() -> list[Any]:
    return [list(VECTOR + VECTOR), type(VECTOR).__name__, VECTOR == (1, 2)]


def p_an_instance_of_a_set() -> list[Any]:
    return [TAGS.joined(), type(TAGS).__name__, {"a", "b"} == TAGS]


def p_an_instance_of_a_frozenset() -> list[Any]:
    return [FROZEN.size(), {FROZEN: 1}[frozenset([3])]]  # type: ignore[index]


def p_an_instance_of_bytes() -> list[Any]:
    return [BLOB.size(), BLOB.hex()]


def p_an_instance_of_a_deque() -> list[Any]:
    return [QUEUE.peek(), QUEUE.maxlen]


def p_an_instance_of_a_defaultdict() -> list[Any]:
    return [DEFAULTS["a"], DEFAULTS["b"], type(DEFAULTS).__name__]


def p_an_instance_of_an_ordered_dict() -> list[Any]:
    return [ORDERED.first(), list(ORDERED), type(ORDERED).__name__]


def p_an_instance_of_a_date() -> list[Any]:
    return [DAY.next().isoformat(), datetime.date(2024, 1, 1) == DAY]


def p_an_instance_of_a_decimal() -> list[Any]:
    return [CENTS.text(), CENTS + 1]


def p_an_instance_of_a_user_list() -> list[Any]:
    return [USER_ITEMS.total(), list(USER_ITEMS), USER_ITEMS[1:].total()]


def p_an_instance_of_a_user_dict() -> list[Any]:
    return [USER_TABLE["ab"], dict(USER_TABLE), "ab" in USER_TABLE]


def p_an_instance_of_a_user_string() -> list[Any]:
    return [USER_TEXT.shout(), str(USER_TEXT), USER_TEXT == "hello"]


KEYED = {Name("k"): 1, Meters(1): 2, Vector(1, 2): 3}


def p_instances_of_built_in_types_as_keys() -> list[Any]:
    return [KEYED["k"], KEYED[1], KEYED[1, 2], [type(one).__name__ for one in KEYED]]  # type: ignore[index]


class Deep(Items):
    def total(self) -> int:
        return super().total() + 100


SELF = Items()
SELF.append(SELF)
DEEP = Deep([1])


def p_an_instance_of_a_subclass_of_a_subclass() -> list[Any]:
    return [DEEP.total(), isinstance(DEEP, Items)]


def p_a_list_subclass_that_contains_itself() -> list[Any]:
    return [SELF[0][1] is SELF, len(SELF)]


class Path(pathlib.PurePosixPath):
    def shown(self) -> str:
        return f"<{self}>"


PATH = Path("/a/b")


def p_an_own_subclass_of_a_path() -> list[Any]:
    return [PATH.shown(), (PATH / "c").name, PATH.parent.shown()]


class Id(uuid.UUID):
    def short(self) -> str:
        return self.hex[:4]


ID = Id(int=5)


def p_an_own_subclass_of_uuid() -> list[Any]:
    return [ID.short(), uuid.UUID(int=5) == ID]


class OwnCounter(collections.Counter):  # type: ignore[type-arg]
    def top(self) -> Any:
        return self.most_common(1)


COUNTER = OwnCounter("hello")


def p_an_own_subclass_of_counter() -> list[Any]:
    return [COUNTER.top(), COUNTER["z"]]


def p_keys_made_of_subclasses_there() -> list[Any]:
    return [{Name("a"): 1}["a"], {"a": 2}[Name("a")], Meters(3) in [3], repr(sorted([Meters(3), Meters(1)]))]
