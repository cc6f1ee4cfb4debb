"""Enumerations with parts of Python 3.11. See `test_programs.py`."""

import enum
from typing import Any


class Text(enum.StrEnum):
    RED = enum.auto()
    Blue = "BLUE"

    def double(self) -> str:
        return self * 2


def p_text_members() -> list[Any]:
    return [str(Text.RED), f"{Text.Blue}", Text.RED.double(), Text("BLUE").name, Text.RED == "red", repr(Text.RED)]


def _error(call: Any) -> str:
    try:
        return f"no error: {call()!r}"
    except Exception as error:
        return f"{type(error).__name__}"


class Strict(enum.Flag, boundary=enum.STRICT):
    A = 1
    B = 2


class Conform(enum.Flag, boundary=enum.CONFORM):
    A = 1
    B = 2


class Eject(enum.IntFlag, boundary=enum.EJECT):
    A = 1
    B = 2


class Keep(enum.Flag, boundary=enum.KEEP):
    A = 1
    B = 2


def p_boundaries() -> list[Any]:
    return [
        _error(lambda: Strict(9)),
        Conform(9).value,
        type(Eject(9)).__name__,
        Eject(9),
        Keep(9).value,
        type(Keep(9)).__name__,
    ]


def p_flags_are_iterable() -> list[Any]:
    return [
        [one.name for one in Strict.A | Strict.B],
        len(Strict.A | Strict.B),
        (~Strict.A).name,
        (Strict.A | Strict.B).name,
    ]


class Members(enum.Enum):
    A = 1
    helper = enum.nonmember("not a member")
    function = enum.member(staticmethod(lambda: "called"))

    @enum.member
    def run(self) -> str:
        return f"ran {self}"

    @enum.nonmember
    class Inner:
        x = 3

    @enum.property
    def shown(self) -> str:
        return f"shown {self.name}"


def p_members_and_others() -> list[Any]:
    return [[one.name for one in Members], Members.helper, Members.Inner.x, Members.A.shown]


def p_functions_that_are_members() -> list[Any]:
    return [Members.run.value("x"), Members["run"].name, Members(1).name]


@enum.verify(enum.UNIQUE, enum.CONTINUOUS)
class Verified(enum.IntEnum):
    A = 1
    B = 2


def p_a_verified_enumeration() -> list[Any]:
    return [Verified.A + Verified.B, [one.name for one in Verified]]


@enum.global_enum
class Global(enum.IntEnum):
    GLOBAL_A = 1
    GLOBAL_B = 2


def p_a_global_enumeration() -> list[Any]:
    return [GLOBAL_A + 1, GLOBAL_A is Global.GLOBAL_A, Global(2).name, str(Global.GLOBAL_B)]  # type: ignore  # noqa: F821


class Repr(enum.IntEnum):
    __str__ = enum.Enum.__str__
    __format__ = enum.Enum.__format__
    A = 1


class ReprOfInt(enum.Enum):
    __repr__ = enum.ReprEnum.__repr__
    A = 1


def p_methods_of_another_enumeration() -> list[Any]:
    return [str(Repr.A), f"{Repr.A}", repr(Repr.A)]


class MixedFormat(int, enum.ReprEnum):
    A = 5


def p_a_mixed_in_type_with_its_text() -> list[Any]:
    return [f"{MixedFormat.A}", str(MixedFormat.A), MixedFormat.A + 1]


ALL = Keep.A | Keep.B | Keep(8)


def p_a_kept_combination_of_flags() -> list[Any]:
    return [ALL.value, Keep.A in ALL]


class Lower(enum.StrEnum):
    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last: list[Any]) -> str:
        return f"{name}-{count}".lower()

    FIRST = enum.auto()
    SECOND = enum.auto()


def p_generated_text() -> list[str]:
    return [*Lower]


def p_generated_text_is_text() -> list[str]:
    return [str(one) for one in Lower]


class Added(enum.Enum):
    @classmethod
    def _missing_(cls, value: object) -> Any:
        made = object.__new__(cls)
        made._name_, made._value_ = f"X{value}", value
        cls._member_map_[made._name_] = made
        cls._value2member_map_[value] = made
        return made

    A = 1


NEW = Added(7)


def p_a_pseudo_member_made_by_missing() -> list[Any]:
    return [NEW.value, NEW.name, Added(1).name]
