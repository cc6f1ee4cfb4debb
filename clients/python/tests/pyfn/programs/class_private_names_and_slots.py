"""Classes: private names and slots. See `test_programs.py`."""

from __future__ import annotations

from typing import Any


class Private:
    __limit = 3
    __slots__ = ("_Private__direct", "__count")

    def __init__(self) -> None:
        self.__count = 1
        self._Private__direct = 9

    def __step(self, __by: int = 2) -> int:
        self.__count += __by
        return self.__count

    def go(self) -> list[int]:
        return [self.__step(), self.__step(5), self.__limit, Private.__limit, self.__direct]


class __Hidden:
    """Its name begins with underscores, which private names leave out."""

    __value = 5

    def get(self) -> int:
        return self.__value

    def names(self) -> list[str]:
        return sorted(name for name in dir(self) if "value" in name)


HIDDEN = __Hidden()


def p_private_attributes_methods_and_slots() -> list[int]:
    return Private().go()


def p_a_class_with_underscores_has_private_names_without_them() -> list[Any]:
    return [HIDDEN.get(), HIDDEN.names()]


class ___:
    __x = 1

    def get(self) -> Any:
        try:
            return self.__x
        except AttributeError as error:
            return str(error)


def p_a_class_of_underscores_only_has_no_private_names() -> Any:
    return ___().get()


TAKEN = Private.go
STEP = Private._Private__step


def p_methods_taken_out_of_the_class_keep_private_names() -> list[Any]:
    one = Private()
    return [TAKEN(one), STEP(one, 100), STEP.__name__, STEP.__qualname__]


_Glob__hidden = 77


class Glob:
    def get(self) -> int:
        return __hidden  # noqa: F821

    def inner(self) -> int:
        def deeper() -> int:
            return __hidden + 1  # noqa: F821

        return deeper()


def p_private_names_of_globals() -> list[int]:
    return [Glob().get(), Glob().inner()]


class PrivateChild(Private):
    __slots__ = ("__count", "extra")

    def __init__(self) -> None:
        super().__init__()
        self.__count = 50
        self.extra = "e"

    def both(self) -> list[Any]:
        return [self.__count, self._Private__count, self.extra]


CHILD = PrivateChild()
CHILD.go()


def p_an_instance_with_equal_private_slots_of_two_classes() -> list[Any]:
    return CHILD.both()


class OneSlot:
    __slots__ = "only"

    def __init__(self, only: int) -> None:
        self.only = only


class DictSlots:
    __slots__ = {"a": "the a", "b": "the b"}

    def __init__(self) -> None:
        self.a = 1


class WithDict(OneSlot):
    def __init__(self) -> None:
        super().__init__(1)
        self.other = 2


class SlotsAndDict:
    __slots__ = ("__dict__", "__weakref__", "a")

    def __init__(self) -> None:
        self.a = 1
        self.b = 2


class IteratorSlots:
    __slots__ = iter(["p", "q"])

    def __init__(self) -> None:
        self.p, self.q = 1, 2


ONE, DICT_SLOTS, WITH_DICT, BOTH = OneSlot(4), DictSlots(), WithDict(), SlotsAndDict()


def _refused(thing: Any, name: str) -> bool:
    """Returns True if an attribute of this name cannot be set."""
    try:
        setattr(thing, name, 1)
    except AttributeError:
        return True
    delattr(thing, name)
    return False


def p_slots_as_one_string() -> list[Any]:
    return [ONE.only, _refused(ONE, "other"), OneSlot.__slots__]


def p_slots_as_a_dict_of_docstrings() -> list[Any]:
    return [DICT_SLOTS.a, hasattr(DICT_SLOTS, "b"), DictSlots.__slots__, DictSlots.a.__name__]


def p_a_subclass_without_slots_has_a_dict() -> list[Any]:
    return [WITH_DICT.only, vars(WITH_DICT), _refused(WITH_DICT, "more")]


def p_slots_with_a_dict() -> list[Any]:
    return [BOTH.a, vars(BOTH), _refused(BOTH, "c"), SlotsAndDict.__slots__]


def p_slots_from_an_iterator() -> list[Any]:
    made = IteratorSlots()
    return [made.p, made.q, _refused(made, "r")]


def p_an_unset_slot() -> list[str]:
    try:
        return [str(DICT_SLOTS.b)]
    except AttributeError as error:
        return [error.name, type(error).__name__]


class EmptySlots(OneSlot):
    __slots__ = ()


def p_empty_slots_of_a_subclass() -> list[Any]:
    return [_refused(EmptySlots(1), "x"), EmptySlots(2).only, EmptySlots.__slots__]


class DeletedSlot:
    __slots__ = ("kept", "taken")

    def __init__(self) -> None:
        self.kept, self.taken = 1, 2


del DeletedSlot.taken


def p_a_slot_deleted_from_its_class() -> str:
    try:
        DeletedSlot()
    except AttributeError:
        return "not there"
    return "there"


class RenamedSlot:
    __slots__ = ("raw",)


RenamedSlot.nice = RenamedSlot.raw


def p_a_slot_with_a_second_name() -> Any:
    made = RenamedSlot()
    made.raw = 4
    return made.nice


class WrappedSlot:
    __slots__ = ("raw",)

    def __init__(self) -> None:
        self.raw = 3


WRAPPED_RAW = WrappedSlot.raw
WrappedSlot.raw = property(lambda self: WRAPPED_RAW.__get__(self) * 10, WRAPPED_RAW.__set__)  # type: ignore


def p_a_slot_replaced_by_a_property_on_it() -> int:
    return WrappedSlot().raw
