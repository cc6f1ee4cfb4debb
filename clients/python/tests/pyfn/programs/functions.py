"""Functions: default values, attributes, and names. See `test_programs.py`."""

from __future__ import annotations

from typing import Any


def _adders() -> list[Any]:
    made = []
    for i in range(3):

        def add(x: int, k: int = i) -> int:
            return x + k

        made.append(add)
    return made


ADD_0, ADD_1, ADD_2 = _adders()
RATE = 2


def pay(x: int, rate: int = RATE) -> int:
    return x * rate


RATE = 100


def p_default_values_are_those_of_the_definition() -> list[int]:
    return [ADD_0(10), ADD_1(10), ADD_2(10)]


def p_a_default_value_outlives_a_change_of_its_variable() -> tuple[int, int]:
    return pay(1), RATE
