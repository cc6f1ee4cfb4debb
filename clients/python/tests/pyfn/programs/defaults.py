"""Default values: of loops, lambdas and classes, shared, changed and self-referring. See `test_programs.py`."""

# ruff: noqa: B006, B008

from __future__ import annotations

import functools
import json
import math
from typing import Any

MISSING = object()
SHARED: list[int] = [1, 2]
NAN = float("nan")
KEPT_NAN = [NAN]


def _inc(x: int) -> int:
    return x + 1


def _dec(x: int) -> int:
    return x - 1


class Box:
    def __init__(self, held: Any = None) -> None:
        self.held = held


def with_sentinel(x: Any = MISSING) -> str:
    return "missing" if x is MISSING else f"given {x}"


def p_a_sentinel_object_is_one_object() -> list[str]:
    return [with_sentinel(), with_sentinel(None), with_sentinel(MISSING)]


def with_function(f: Any = _inc, g: Any = lambda x: x * 10) -> Any:
    return lambda x: g(f(x))


_inc, _old_inc = _dec, _inc


def p_a_function_as_default_value_outlives_its_name() -> list[int]:
    return [with_function()(1), _inc(1), _old_inc(1)]


def with_class(made: type = Box, table: dict[str, type] = {"box": Box}) -> Any:
    return made(3).held, table["box"] is made, made is Box


def p_a_class_as_default_value_is_that_class() -> Any:
    return with_class()


def with_mutable(x: int, seen: list[int] = []) -> list[int]:
    seen.append(x)
    return list(seen)


def p_a_mutable_default_value_remembers_within_a_call() -> Any:
    with_mutable.__defaults__[0].clear()
    return with_mutable(1), with_mutable(2), with_mutable(3, []), with_mutable(4)


def with_shared(x: int, into: list[int] = SHARED) -> list[int]:
    into.append(x)
    return into


def p_a_default_value_is_the_same_list_as_a_global_variable() -> Any:
    del SHARED[2:]
    return with_shared(7) is SHARED, SHARED, with_shared.__defaults__[0] is SHARED


def first(a: Any, b: Any = SHARED) -> Any:
    return b


def second(*, b: Any = SHARED, c: Any = (SHARED, SHARED)) -> Any:
    return b, c


def p_two_functions_share_a_default_value() -> Any:
    b, (c, d) = second()
    return first(0) is b, b is c, c is d


def only_by_name(*, rate: float = 0.5, label: str = "x", **more: Any) -> Any:
    return rate, label, sorted(more)


def p_default_values_by_name_only() -> Any:
    return only_by_name(), only_by_name(label="y", z=1), only_by_name.__kwdefaults__


def only_by_place(a: int, b: int = 2, /, c: int = 3, *, d: int = 4) -> tuple[int, ...]:
    return a, b, c, d


def p_default_values_by_place_only() -> Any:
    try:
        only_by_place(1, b=5)
    except TypeError as error:
        text = str(error)
    return only_by_place(1), only_by_place(1, 5, d=6), text


def named_twice(a: int, /, **a_too: int) -> Any:
    return a, a_too


def p_a_place_and_a_name_do_not_collide() -> Any:
    return named_twice(1, a=2)


def self_referring(x: Any = None) -> Any:
    return x is self_referring


self_referring.__defaults__ = (self_referring,)


def p_a_function_is_its_own_default_value() -> bool:
    return self_referring()


def changed_later(a: int, b: int = 1, *, c: int = 2, d: int = 3) -> Any:
    return a, b, c, d


changed_later.__defaults__ = (10, 20)
changed_later.__kwdefaults__ = {"d": 40, "c": 30}


def p_default_values_that_were_set_later() -> Any:
    return changed_later()


def without_defaults(a: int = 1, *, b: int = 2) -> Any:
    return a, b


without_defaults.__defaults__ = None
without_defaults.__kwdefaults__ = {}


def p_default_values_that_were_removed() -> Any:
    found = []
    for args, kwargs in (((), {}), ((1,), {}), ((1,), {"b": 3})):
        try:
            found.append(without_defaults(*args, **kwargs))
        except TypeError as error:
            found.append(str(error))
    return found


def numbers(
    a: float = math.nan, b: float = -0.0, c: float = math.inf, d: complex = 1j, e: int = 10**400, f: bytes = b"\x00\xff"
) -> Any:
    return math.isnan(a), math.copysign(1, b), c, d, e, f


def p_default_values_that_are_unusual_numbers() -> Any:
    return numbers()


def with_nan(x: Any = NAN) -> Any:
    return x in KEPT_NAN, x is NAN


def p_one_nan_is_in_a_list_that_contains_it() -> Any:
    return with_nan()


SELVES = [lambda x, i=i, *, k=-i: (x, i, k) for i in range(3)]


def p_lambdas_of_a_loop_keep_their_default_values() -> Any:
    return [f("x") for f in SELVES]


def of_lambda(make: Any = lambda x=[1]: x) -> Any:
    return make(), make() is make()


def p_a_lambda_with_a_list_as_default_of_a_default() -> Any:
    return of_lambda()


LOOPED: list[Any] = []
LOOPED.append(LOOPED)


def with_loop(x: Any = LOOPED) -> Any:
    return x[0] is x, x is LOOPED


def p_a_list_that_contains_itself_as_default_value() -> Any:
    return with_loop()


def with_module(dumps: Any = json.dumps, mod: Any = json) -> str:
    return dumps({"a": mod.loads("[1]")})


def p_modules_and_their_functions_as_default_values() -> str:
    return with_module()


def with_partial(f: Any = functools.partial(_dec, 10), g: Any = functools.partial(int, base=2)) -> Any:
    return f(), g("101")


def p_partial_functions_as_default_values() -> Any:
    return with_partial()


def with_shadow(len: int = 3, list: Any = (1, 2), type: str = "t") -> Any:
    return len, list, type


def p_parameters_that_hide_builtins() -> Any:
    return with_shadow(), len([1])


def with_method(add: Any = SHARED.append, count: Any = "banana".count) -> Any:
    del SHARED[2:]
    add(9)
    return SHARED, count("a")


def p_methods_of_values_as_default_values() -> Any:
    return with_method()


def of_types(a: Any = int, b: Any = type(None), c: Any = Exception, d: Any = ..., e: Any = NotImplemented) -> Any:
    return a("3"), isinstance(None, b), issubclass(ValueError, c), d is Ellipsis, e is NotImplemented


def p_types_and_singletons_as_default_values() -> Any:
    return of_types()


def three_deep(x: int = 1) -> Any:
    def two(y=x + 1):
        def three(z=y + 1, *, w=(lambda q=x: q)):
            return x, y, z, w()

        return three

    return two


DEEP = three_deep(5)()


def p_default_values_of_nested_functions() -> Any:
    return DEEP(), three_deep()()()


def with_box(box: Box = Box([1])) -> Any:
    box.held.append(2)
    return len(box.held) > 1 and box is with_box.__defaults__[0]


def p_an_object_as_default_value_is_one_object() -> Any:
    return with_box()


def late(x: Any = None) -> Any:
    if x is None:
        x = late.fallback
    return x


late.fallback = ["f"]


def p_a_default_value_from_an_attribute() -> Any:
    return late(), late() is late.fallback
