"""Exceptions: arguments, chains, notes, attributes, and custom classes. See `test_programs.py`."""

import sys
import traceback
from typing import Any


class Plain(Exception):
    """A plain exception."""


class WithCode(ValueError):
    def __init__(self, message, *, code=0, **more):
        super().__init__(message)
        self.code = code
        self.more = more

    def __str__(self):
        return f"[{self.code}] {self.args[0]} {sorted(self.more)}"


class Derived(WithCode):
    label = "derived"

    def __init__(self, code):
        super().__init__(f"derived {code}", code=code, extra=[code])


class NoArguments(Exception):
    def __init__(self, left, right):
        self.left, self.right = left, right

    def __str__(self):
        return f"{self.left} and {self.right}"


class Missing(KeyError, AttributeError):
    pass


class Quiet(LookupError):
    __slots__ = ("place",)


class Disk(OSError):
    pass


def p_a_builtin_exception() -> Any:
    raise ValueError("bad", 1, None, [2], {"a": (3,)})


def p_a_key_error() -> Any:
    raise KeyError("k\n")


def p_an_exception_without_arguments() -> Any:
    raise RuntimeError


def p_an_exception_with_an_empty_text() -> Any:
    raise Plain("")


def p_a_custom_exception_with_attributes() -> Any:
    raise WithCode("text", code=5, where="here")


def p_a_derived_exception() -> Any:
    raise Derived(7)


def p_an_exception_whose_arguments_are_only_attributes() -> Any:
    raise NoArguments(left=1, right=[2])


def p_an_exception_with_two_bases() -> Any:
    raise Missing("m")


def p_an_exception_with_slots() -> Any:
    error = Quiet("q")
    error.place = 3
    raise error


def p_a_custom_system_error() -> Any:
    raise Disk(5, "broken", "b.txt")


def p_a_unicode_error() -> Any:
    return b"\xff".decode("ascii")


def p_a_syntax_error() -> Any:
    compile("a b", "x", "eval")


def p_an_import_error() -> Any:
    import module_that_nobody_has  # noqa: F401


def p_a_name_error() -> Any:
    return name_that_nobody_has  # noqa: F821


def p_an_attribute_error() -> Any:
    return Plain("x").nothing


def p_an_index_error() -> Any:
    return [][1]


def p_an_assertion() -> Any:
    assert [] == [1], "lists differ"


def p_a_recursion_error() -> Any:
    def down(n):
        return down(n + 1)

    try:
        down(0)
    except RecursionError as error:
        return type(error).__name__


def p_a_chain_of_causes() -> Any:
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise WithCode("second", code=2) from error
    except WithCode as error:
        return type(error.__cause__).__name__, str(error), error.__suppress_context__


def p_a_context_that_is_suppressed() -> Any:
    try:
        try:
            raise Plain("inner")
        except Plain:
            raise Plain("outer") from None
    except Plain as error:
        return str(error), error.__cause__, str(error.__context__)


def p_an_exception_after_a_chain() -> Any:
    try:
        raise Plain("inner")
    except Plain as error:
        raise NoArguments("outer", 1) from error


def p_notes() -> Any:
    error = Plain("noted")
    error.__notes__ = ["one", "two"]
    try:
        raise error
    except Plain as caught:
        return caught.__notes__


def p_the_text_of_a_traceback() -> Any:
    try:
        _thrower()
    except Plain as error:
        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        return names, traceback.format_exception_only(error)[-1][-12:]


def _thrower():
    def inner():
        raise Plain("from inner")

    inner()


def p_the_source_lines_of_a_traceback() -> Any:
    try:
        _thrower()
    except Plain as error:
        return [frame.line for frame in traceback.extract_tb(error.__traceback__)]


ERRORS = (KeyError, Missing, Derived)
HANDLERS = {KeyError: "key", Plain: "plain", WithCode: "code"}
KEPT = ValueError("kept", 1)


def p_exception_classes_in_globals() -> Any:
    found = []
    for make in (lambda: {}["x"], lambda: Derived(1).nothing, lambda: int("x")):
        try:
            make()
        except ERRORS as error:
            found.append(HANDLERS.get(type(error), "none"))
        except Exception as error:
            found.append(type(error).__name__)
    return found


def p_a_builtin_exception_as_a_global() -> Any:
    try:
        raise KEPT
    except ValueError as error:
        return error is KEPT, error.args


OWN_KEPT = Derived(3)


def p_an_own_exception_as_a_global() -> Any:
    try:
        raise OWN_KEPT
    except WithCode as error:
        return error is OWN_KEPT, error.code, str(error), error.more


def p_try_else_finally() -> Any:
    found = []
    for divisor in (1, 0, None):
        try:
            found.append(1 / divisor)
        except ZeroDivisionError:
            found.append("zero")
            continue
        except (TypeError, *ERRORS):
            found.append("type")
        else:
            found.append("else")
        finally:
            found.append("finally")
    return found


def _closing():
    try:
        yield 1
    except GeneratorExit:
        raise
    except WithCode as error:
        yield error.code
    finally:
        LOG.append("closed")


LOG = []


def p_exceptions_in_generators() -> Any:
    LOG.clear()
    one, two = _closing(), _closing()
    found = [next(one), next(two), two.throw(Derived(9))]
    one.close()
    two.close()
    return found, LOG


def _factory(name, base=Exception):
    class Made(base):
        pass

    Made.__name__ = Made.__qualname__ = name
    return Made


FIRST, SECOND = _factory("First"), _factory("Second", Plain)


def p_exception_classes_made_by_a_function() -> Any:
    try:
        raise SECOND("x")
    except FIRST:
        return "first"
    except Plain as error:
        return type(error).__name__, str(error)


if sys.version_info >= (3, 11):

    def p_an_exception_group() -> Any:
        caught, rest = ExceptionGroup("g", [Plain("a"), Derived(1)]).split(Plain)
        return [str(error) for error in caught.exceptions], [str(error) for error in rest.exceptions]


class Chained(Exception):
    def __init__(self, inner):
        super().__init__(f"around {inner}")
        self.inner = inner
        self.retry = lambda: 1


def p_an_exception_with_an_attribute_that_cannot_return() -> Any:
    raise Chained("x")


def p_warnings_as_exceptions() -> Any:
    raise DeprecationWarning("old")


def p_a_stop_in_a_generator() -> Any:
    def stops():
        yield 1
        raise StopIteration("early")

    return list(stops())
