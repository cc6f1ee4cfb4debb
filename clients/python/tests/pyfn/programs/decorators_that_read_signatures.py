"""Decorators that read annotations and signatures. See `test_programs.py`."""

# ruff: noqa: B019

import functools
import inspect
from typing import Any


def checked(f):
    hints = dict(f.__annotations__)

    @functools.wraps(f)
    def wrapper(**kwargs):
        for name, value in kwargs.items():
            if name in hints and not isinstance(value, hints[name]):
                raise TypeError(f"{name} must be {hints[name].__name__}, not {value!r}")
        return f(**kwargs)

    return wrapper


@checked
def typed_arguments(a: int, b: str = "x"):
    return a, b


def p_a_decorator_that_read_annotations() -> Any:
    try:
        typed_arguments(a="1")
    except TypeError as error:
        return typed_arguments(a=1), str(error)


def checked_late(f):
    @functools.wraps(f)
    def wrapper(*args):
        bound = inspect.signature(f).bind(*args)
        hints = f.__annotations__
        return [isinstance(value, hints[name]) for name, value in bound.arguments.items()]

    return wrapper


@checked_late
def typed_late(a: int, b: str = "x"):
    return a, b


def p_a_decorator_that_reads_annotations_later() -> Any:
    return typed_late(1, 2)


def p_a_signature_with_annotations() -> Any:
    return str(inspect.signature(typed_late.__wrapped__))


def validated(**checks):
    def decorate(f):
        signature = inspect.signature(f)

        @functools.wraps(f)
        def wrapper(*args, **kwargs):
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return {name: checks[name](value) for name, value in bound.arguments.items() if name in checks}

        return wrapper

    return decorate


@validated(a=lambda x: x > 0, b=str.isdigit)
def with_checks(a, b="7", *rest, **more):
    return a, b


def p_a_decorator_that_keeps_a_signature() -> Any:
    return with_checks(1), with_checks(-1, b="x")
