"""Enumerations. See `test_programs.py`. Those of Python 3.11 are in `enums_311.py`."""

from __future__ import annotations

import enum
import functools
from dataclasses import dataclass
from typing import Any


class Color(enum.Enum):
    RED = 1
    GREEN = 2
    CRIMSON = 1

    def shout(self) -> str:
        return self.name + "!"

    @property
    def twice(self) -> int:
        return self.value * 2

    @classmethod
    def first(cls) -> Color:
        return next(iter(cls))

    @staticmethod
    def helper() -> str:
        return "helper"


class Auto(enum.Enum):
    A = enum.auto()
    B = enum.auto()
    C = 10
    D = enum.auto()


class Text(str, enum.Enum):
    ONE = "one"
    TWO = "two"

    def __str__(self) -> str:
        return f"text {self.value}"


class Number(enum.IntEnum):
    LOW = 1
    HIGH = 10

    def next(self) -> int:
        return self + 1


class Access(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()
    RUN = enum.auto()
    ALL = READ | WRITE | RUN

    @property
    def letters(self) -> str:
        return "".join(one.name[0] for one in Access if one in self and one.name != "ALL")


class Bits(enum.IntFlag):
    A = 1
    B = 2
    D = 8


def _error(call: Any) -> str:
    try:
        return f"no error: {call()}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def p_members_and_aliases() -> list[Any]:
    return [
        [one.name for one in Color],
        Color.CRIMSON is Color.RED,
        [*Color.__members__],
        Color(2).name,
        Color["CRIMSON"].name,
    ]


def p_methods_of_members() -> list[Any]:
    return [Color.RED.shout(), Color.GREEN.twice, Color.first().name, Color.helper(), repr(Color.RED), str(Color.RED)]


def p_automatic_values() -> list[Any]:
    return [one.value for one in Auto]


def p_text_members() -> list[Any]:
    return [Text.ONE == "one", str(Text.ONE), Text("two").name, Text.TWO.upper(), {"one": 1}[Text.ONE], f"{Text.ONE!s}"]


def p_number_members() -> list[Any]:
    return [
        Number.HIGH + 1,
        Number.LOW.next(),
        Number.LOW < Number.HIGH,
        sorted(Number)[0].name,
        max(Number),
        [*range(Number.HIGH)][-1],
    ]


def p_flags() -> list[Any]:
    both = Access.READ | Access.RUN
    return [
        both.value,
        both.letters,
        Access.ALL.letters,
        Access.WRITE in both,
        (~both).value,
        (both ^ Access.RUN).name,
        bool(both & Access.WRITE),
    ]


def p_integer_flags() -> list[Any]:
    return [
        int(Bits.A | Bits.D),
        (Bits.A | 2) == 3,
        int(Bits.A | 16),
        Bits(3).value,
        Bits.B + 1,
        isinstance(Bits.A & Bits.B, Bits),
    ]


FAVORITES = {Color.RED: "warm", Color.GREEN: "cold"}
SOME = frozenset([Access.READ, Access.RUN])
ORDER = [Color.GREEN, Color.RED, Color.CRIMSON]


def p_members_as_keys() -> list[Any]:
    return [FAVORITES[Color.CRIMSON], Access.READ in SOME, [one.name for one in ORDER], Color.RED in FAVORITES]


COMBINED = Access.READ | Access.WRITE


def p_a_combination_of_flags_as_global() -> list[Any]:
    return [COMBINED.value, COMBINED.letters, COMBINED == Access.READ | Access.WRITE]


NOTHING = Access(0)


def p_no_flags_as_global() -> list[Any]:
    return [bool(NOTHING), NOTHING.value]


def p_lookups_that_fail() -> list[str]:
    return [_error(lambda: Color(99)), _error(lambda: Color["BLUE"]), _error(lambda: Number("x"))]


def p_members_cannot_be_set_or_called() -> list[str]:
    return [_error(lambda: setattr(Color, "RED", 3)).split(":")[0], _error(lambda: delattr(Color, "RED")).split(":")[0]]


class Planet(enum.Enum):
    MERCURY = (3.3e23, 2.4e6)
    EARTH = (5.9e24, 6.3e6)

    def __init__(self, mass: float, radius: float) -> None:
        self.mass = mass
        self.radius = radius
        self.log = [self.name]

    @property
    def gravity(self) -> int:
        return int(6.67e-11 * self.mass / self.radius**2)


def p_an_init_with_several_values() -> list[Any]:
    return [
        Planet.EARTH.gravity,
        Planet.EARTH.log,
        Planet((3.3e23, 2.4e6)).name,
        Planet.MERCURY.value,
        vars(Planet.EARTH)["mass"],
    ]


class Coordinate(bytes, enum.Enum):
    def __new__(cls, value: int, label: str) -> Coordinate:
        made = bytes.__new__(cls, [value])
        made._value_ = value
        made.label = label
        return made

    X = (1, "x axis")
    Y = (2, "y axis")


class OwnNew(enum.Enum):
    def __new__(cls, value: int, label: str) -> OwnNew:
        made = object.__new__(cls)
        made._value_ = value
        made.label = label
        return made

    X = (1, "x axis")
    Y = (2, "y axis")


class Counted(enum.Enum):
    def __new__(cls) -> Counted:
        made = object.__new__(cls)
        made._value_ = len(cls.__members__) * 10
        return made

    A = ()
    B = ()


REFUSED = {
    "p_a_new_of_bytes": "an Enum with the type bytes and its own `__new__` cannot be sent",
    "p_an_own_subclass_of_int_mixed_in": "Whole cannot be sent",
}


def p_a_new_of_bytes() -> list[Any]:
    return [bytes(Coordinate.X), Coordinate.Y.value]


def p_a_new_of_object() -> list[Any]:
    return [OwnNew.X.value, OwnNew.Y.label, OwnNew(2).name, _error(lambda: OwnNew((1, "x axis")))]  # type: ignore


def p_a_new_that_counts() -> list[Any]:
    return [[one.value for one in Counted], Counted(10).name]


class Lenient(enum.Enum):
    UNKNOWN = "unknown"
    YES = "yes"

    @classmethod
    def _missing_(cls, value: object) -> Any:
        if value == "bad":
            return None
        return cls.YES if isinstance(value, str) and value.lower() == "yes" else cls.UNKNOWN


def p_missing_values() -> list[Any]:
    return [Lenient("YES").name, Lenient(3).name, _error(lambda: Lenient("bad"))]


class Named(enum.Enum):
    def _generate_next_value_(name: str, start: int, count: int, last: list[Any]) -> str:  # type: ignore
        return name.lower() + str(count)

    A = enum.auto()
    B = enum.auto()


def p_generated_values() -> list[Any]:
    return [one.value for one in Named]


class Formatted(enum.Enum):
    A = 3.14159

    def __format__(self, spec: str) -> str:
        return format(self.value, spec or ".1f")

    def __repr__(self) -> str:
        return "repr of A"

    def __str__(self) -> str:
        return "str of A"

    def __hash__(self) -> int:
        return 4

    def __eq__(self, other: object) -> bool:
        return other == self.value or other is self

    def __bool__(self) -> bool:
        return False


def p_formats_of_members() -> list[Any]:
    one = Formatted.A
    return [f"{one}", f"{one:.3f}", repr(one), str(one), one == 3.14159, bool(one), hash(one)]


class Host:
    class Kind(enum.Enum):
        A = "a"
        B = "b"

    def __init__(self, kind: Host.Kind = Kind.A) -> None:
        self.kind = kind


HOST = Host(Host.Kind.B)


def p_a_nested_enumeration() -> list[Any]:
    return [HOST.kind.value, Host().kind is Host.Kind.A, repr(HOST.kind), Host.Kind.__qualname__]


Functional = enum.Enum("Functional", "ONE TWO THREE")
Dicted = enum.IntEnum("Dicted", {"A": 5, "B": 6}, module=__name__)
Started = enum.Flag("Started", ["P", "Q"], start=4)


def p_enumerations_made_by_calls() -> list[Any]:
    return [Functional.TWO.value, [*Functional.__members__], Dicted(6).name, Dicted.A + 1, Started.Q.value]  # type: ignore


class WithUnhashable(enum.Enum):
    LIST = [1, 2]  # noqa: RUF012
    DICT = {"a": [1]}  # noqa: RUF012


def p_values_that_have_no_hash() -> list[Any]:
    return [WithUnhashable([1, 2]).name, WithUnhashable.DICT.value, _error(lambda: WithUnhashable([3]))]


class Mixin:
    prefix = "mixin"

    def describe(self: Any) -> str:
        return f"{self.prefix} {self.name.lower()}"


class MixedIn(Mixin, enum.Enum):
    A = 1


class Bare(enum.Enum):
    def both(self) -> list[Any]:
        return [self.name, self.value]


class Extends(Bare):
    X = 4


@dataclass(frozen=True)
class Size:
    width: int
    height: int = 1


class Sizes(enum.Enum):
    SMALL = Size(1)
    LARGE = Size(10, 20)


class Inherits(Size, enum.Enum):
    FLAT = 5, 0
    TALL = 1, 9


class Whole(int):
    def half(self) -> int:
        return self // 2


class WholeEnum(Whole, enum.Enum):
    TEN = 10


def p_mixed_in_classes() -> list[Any]:
    return [MixedIn.A.describe(), Extends.X.both(), issubclass(Extends, Bare)]


def p_dataclasses_as_values() -> list[Any]:
    return [Sizes.LARGE.value.height, Sizes(Size(1)).name, Sizes.SMALL.value == Size(1)]


def p_a_dataclass_mixed_in() -> list[Any]:
    return [Inherits.TALL.height, Inherits.FLAT.width, Inherits((1, 9)).name]  # type: ignore[call-arg,arg-type]


def p_an_own_subclass_of_int_mixed_in() -> list[Any]:
    return [WholeEnum.TEN.half(), WholeEnum.TEN + 1, WholeEnum(10).name]


class Operation(enum.Enum):
    ADD = functools.partial(lambda a, b: a + b)
    MUL = functools.partial(lambda a, b: a * b)

    def __call__(self, *args: int) -> int:
        return self.value(*args)


def p_functions_as_values() -> Any:
    # Python 3.13 takes a partial as a method in the future only.
    return [Operation.ADD(2, 3), Operation.MUL(2, 3)]


class Tupled(enum.Enum):
    A = (lambda x: x + 1, "plus one")
    B = (len, "length")

    def __init__(self, function: Any, text: str) -> None:
        self.function, self.text = function, text


def p_functions_in_tuples_as_values() -> list[Any]:
    return [Tupled.A.function(1), Tupled.B.function("abc"), Tupled.A.text]


Color.RED.extra = ["set later"]
Color.PALE = "a class attribute"
Color.darker = lambda self: f"dark {self.name}"


def p_attributes_set_later() -> list[Any]:
    return [Color.RED.extra, Color.PALE, Color.GREEN.darker(), hasattr(Color.GREEN, "extra"), len(Color)]  # type: ignore


class Private(enum.Enum):
    _PRIVATE = 1
    __secret = 2
    PUBLIC = 3

    def get(self) -> Any:
        return self.__secret


def p_private_names_of_enumerations() -> list[Any]:
    return [[one.name for one in Private], Private.PUBLIC.get() == 2, Private._PRIVATE.value]


class Ignoring(enum.Enum):
    _ignore_ = ["i"]  # noqa: RUF012
    for i in range(3):
        vars()[f"N{i}"] = i * 5


def p_members_made_in_a_loop() -> list[Any]:
    return [(one.name, one.value) for one in Ignoring]


@enum.unique
class Unique(enum.Enum):
    A = 1
    B = 2


def p_a_unique_enumeration() -> list[Any]:
    return [[one.value for one in Unique], Unique.B.name]


class Referring(enum.Enum):
    A = 1
    B = 2

    @property
    def other(self) -> Referring:
        return Referring.B if self is Referring.A else Referring.A


Referring.A.peers = [Referring.A, Referring.B]


def p_members_that_refer_to_members() -> list[Any]:
    return [Referring.A.other.name, Referring.A.peers[0] is Referring.A]


class Meta(enum.EnumMeta):
    def __call__(cls, value: Any, *args: Any, **keys: Any) -> Any:
        return super().__call__(value.lower() if isinstance(value, str) else value, *args, **keys)

    def texts(cls) -> list[str]:
        return [str(one.value) for one in cls]  # type: ignore[attr-defined,var-annotated]


class WithMeta(enum.Enum, metaclass=Meta):
    A = "a"
    B = "b"


def p_an_enumeration_with_a_metaclass() -> list[Any]:
    return [WithMeta("A").name, WithMeta.texts()]


def p_patterns_of_members() -> list[str]:
    found = []
    for one in (Color.RED, Number.HIGH, "other"):
        match one:
            case Color.RED:
                found.append("red")
            case Number.HIGH:
                found.append("high")
            case _:
                found.append("none")
    return found


def p_returned_members() -> Any:
    return [Color.GREEN, Number.HIGH, {Text.ONE: Access.READ}, (Host.Kind.A,)]


def p_identity_of_members(one: Any = Color.RED, many: Any = (Text.ONE, Access.ALL)) -> list[bool]:
    return [one is Color.RED, many[0] is Text.ONE, many[1] is Access.ALL]


def p_members_copied_and_pickled() -> list[Any]:
    import copy
    import pickle

    return [copy.deepcopy([Color.RED])[0] is Color.RED, pickle.loads(pickle.dumps(Number.LOW)) is Number.LOW]


def p_enumerations_made_there() -> list[Any]:
    class Local(Bare):
        A = 7

    return [Local.A.both(), repr(Local.A)]


class Doc(enum.Enum):
    """The docstring of an enumeration."""

    A = 1


def p_docstrings_of_enumerations() -> list[Any]:
    return [Doc.__doc__, Doc.A.__doc__]


class Total(enum.Enum):
    A = 1
    B = 2

    def __lt__(self, other: Total) -> bool:
        return self.value < other.value


Total = functools.total_ordering(Total)


def p_an_ordered_enumeration() -> list[Any]:
    return [Total.A <= Total.B, max(Total).name, Total.A > Total.B]


class Subflag(enum.IntFlag):
    A = 1
    AB = 3
    NEG = -8


def p_odd_integer_flags() -> list[Any]:
    return [Subflag.AB.value, [*Subflag.__members__], (Subflag.AB & 1).name, bool(Subflag(0))]
