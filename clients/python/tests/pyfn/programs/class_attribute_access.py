"""Classes: special methods that make instances, and that get and set their attributes. See `test_programs.py`."""

from __future__ import annotations

from typing import Any


class Single:
    _one: Single | None = None

    def __new__(cls) -> Single:
        if cls._one is None:
            cls._one = super().__new__(cls)
            cls._one.hits = 0
        cls._one.hits += 1
        return cls._one


class MakesOther:
    def __new__(cls, x: int) -> Any:
        return [x] if x > 0 else super().__new__(cls)

    def __init__(self, x: int) -> None:
        self.x = x


def p_a_class_with_its_own_new() -> list[Any]:
    return [MakesOther(3), MakesOther(-1).x]


SINGLE = Single()


def p_an_instance_of_a_class_with_its_own_new() -> bool:
    return Single() is SINGLE


class Call:
    def __init__(self, by: int) -> None:
        self.by = by

    def __call__(self, x: int, *, more: int = 0) -> int:
        return x * self.by + more


CALL = Call(3)


def p_a_callable_instance() -> list[int]:
    return [CALL(2), CALL(2, more=1), *map(CALL, [1, 2])]


class Lazy:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.asked.append(name)
        return name.upper()


LAZY = Lazy()


def p_getattr_makes_attributes() -> list[Any]:
    LAZY.asked.clear()
    return [LAZY.red, LAZY.blue, LAZY.asked]


class Greedy:
    def __getattr__(self, name: str) -> str:
        return f"any {name}"


GREEDY = Greedy()


def p_getattr_that_answers_every_name() -> list[str]:
    return [GREEDY.x, GREEDY.__wrapped__, GREEDY._fields]


class Watching:
    def __init__(self) -> None:
        self.a = 1

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        return found + 100 if name == "a" else found


WATCHING = Watching()


def p_getattribute_does_not_change_what_is_sent() -> int:
    return WATCHING.a


class Doubling:
    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value * 2)

    def __delattr__(self, name: str) -> None:
        super().__setattr__(name, "deleted")


DOUBLING: Any = Doubling()
DOUBLING.x = 4


def p_setattr_does_not_run_again() -> list[Any]:
    made: Any = Doubling()
    made.y = 1
    del made.z
    return [DOUBLING.x, made.y, made.z]


class Frozen:
    __slots__ = ("x",)

    def __init__(self, x: int) -> None:
        object.__setattr__(self, "x", x)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name} cannot be set")


FROZEN = Frozen(3)


def p_an_instance_that_cannot_be_set() -> list[Any]:
    try:
        FROZEN.x = 4
    except AttributeError as error:
        return [FROZEN.x, str(error)]
    return []


REFUSED = {"p_an_instance_of_a_class_with_its_own_new": "Single cannot be sent"}
