"""Annotations under `from __future__ import annotations`. See `test_programs.py`."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from decimal import Decimal as Never


def outer(x: int, y: Never = None) -> Never:  # type: ignore
    return x  # type: ignore


class Class:
    a: int
    b: Never
    c: Missing.part | None = None  # noqa: F821

    def method(self, x: Never) -> Class:
        return self


def p_annotations_of_a_class_are_text() -> Any:
    return Class.__annotations__


def p_nested_functions_with_annotations_that_do_not_exist() -> Any:
    def inner(x: Never, *y: Missing) -> list[Never]:  # type: ignore  # noqa: F821
        return [x]

    return inner(3)


def p_annotations_of_nested_functions_are_text() -> Any:
    def inner(x: int, y: Never) -> str:
        return ""

    return inner.__annotations__


def p_nested_classes_with_annotations_that_do_not_exist() -> Any:
    class Inner:
        a: Never
        b: Missing[int] = 3  # type: ignore  # noqa: F821

        def get(self) -> Never:
            return self.b

    return [Inner().get(), sorted(Inner.__annotations__)]


def p_annotations_of_nested_classes_are_text() -> Any:
    class Inner:
        a: int
        b: Never

    return Inner.__annotations__


def p_dataclasses_made_there_with_text() -> Any:
    from dataclasses import dataclass, fields

    @dataclass
    class Inner:
        a: int
        b: Never = None

    return [[one.type for one in fields(Inner)], Inner(1).b]


class Row(NamedTuple):
    a: int
    b: Never  # type: ignore


def p_annotations_of_named_tuples() -> Any:
    return [sorted(Row.__annotations__), Row(1, 2)]  # type: ignore


def p_local_variables_with_annotations() -> Any:
    x: Never = 3
    y: Missing.deep[int]  # type: ignore  # noqa: F821
    return x


def p_the_parameters_of_functions() -> list[str]:
    return [*inspect.signature(outer).parameters, *inspect.signature(Class.method).parameters]
