"""Dataclasses with parts of Python 3.11. See `test_programs.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, weakref_slot=True)
class WeakSlots:
    a: int = 1


def p_a_dataclass_with_a_slot_for_references() -> bool:
    import weakref

    one = WeakSlots()
    return weakref.ref(one)() is one


WEAK = WeakSlots(4)


def p_an_instance_with_a_slot_for_references() -> list[Any]:
    import weakref

    return [weakref.ref(WEAK)().a, WeakSlots.__slots__, hasattr(WEAK, "__dict__")]  # type: ignore[union-attr]
