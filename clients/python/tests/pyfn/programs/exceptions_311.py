"""Exceptions with parts of Python 3.11: notes and groups. See `test_programs.py`."""

from __future__ import annotations

from typing import Any


class Simple(Exception):
    pass


class WithArguments(Exception):
    def __init__(self, code: int, message: str = "failed") -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class Missing(KeyError):
    pass


class Group(ExceptionGroup):  # type: ignore[type-arg]
    def derive(self, found: Any) -> Group:
        return Group(self.message, found)


def p_groups_there() -> list[Any]:
    caught = []
    try:
        raise Group("many", [Simple(1), WithArguments(2), Missing("k")])
    except Group as group:
        simple, rest = group.split(Simple)
        caught.append([type(simple).__name__, len(simple.exceptions)])
        caught.append([type(rest).__name__, [str(one) for one in rest.exceptions]])
    return caught


def p_notes_there() -> list[str]:
    error = Simple("x")
    error.add_note("a note")
    try:
        raise error
    except Simple as found:
        return found.__notes__


def p_raises_with_notes() -> None:
    error = WithArguments(1)
    error.add_note("a note")
    raise error


NOTED = Simple("noted")
NOTED.add_note("note")


def p_an_exception_with_notes_as_global() -> Any:
    return [str(NOTED), NOTED.__notes__]


class Carrying(ExceptionGroup):  # type: ignore[type-arg]
    def __new__(cls, found: Any, code: int) -> Carrying:
        made = super().__new__(cls, f"group {code}", found)
        made.code = code  # type: ignore[attr-defined]
        return made

    def derive(self, found: Any) -> Carrying:
        return Carrying(found, self.code)  # type: ignore[attr-defined]


def p_a_group_with_its_own_new() -> list[Any]:
    try:
        raise Carrying([Simple(1), KeyError(2)], 7)
    except ExceptionGroup as group:
        found, rest = group.split(KeyError)
        return [group.code, str(found), len(found.exceptions), type(rest).__name__, rest.code]  # type: ignore


def p_raises_with_several_notes() -> None:
    error = Missing("k")
    for note in ("first", "second\nline"):
        error.add_note(note)
    raise error


def p_parts_of_a_group() -> list[Any]:
    group = Group("many", [Simple(1), Group("inner", [Missing("k"), Simple(2)])])
    matched, rest = group.split(Simple)
    return [len(matched.exceptions), str(rest), type(rest).__name__, str(group.subgroup(KeyError))]  # type: ignore[union-attr]
