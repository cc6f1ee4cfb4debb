"""Wrappers of the standard library: caches, context managers, partial functions and kinds of methods of a module. See `test_programs.py`."""

# ruff: noqa: B019

import contextlib
import functools
import numbers
import operator
from typing import Any

LOG = []


def traced(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        LOG.append(f.__name__)
        return f(*args, **kwargs)

    return wrapper


def scaled(by):
    def decorate(f):
        @functools.wraps(f)
        def wrapper(*args, **kwargs):
            return f(*args, **kwargs) * by

        wrapper.by = by
        return wrapper

    return decorate


FACTOR = 3


@traced
@scaled(FACTOR)
@traced
def stacked(x: int) -> int:
    """Doubles."""
    return x * 2


FACTOR = 1000


@scaled(
    # The argument is on its own line,
    by=(
        2  # and so is this one.
    ),
)
@traced
def long_winded(
    a,
    b=(
        1,
        2,
    ),
    *args,
    c,
    **kwargs,
):
    return [a, b, args, c, kwargs]


class Plain:
    def __init__(self, prefix):
        self.prefix = prefix
        self.table = {}

    def __call__(self, function):
        self.table[self.prefix + function.__name__] = function
        return function

    def route(self, *names, **options):
        def decorate(function):
            for name in names:
                self.table[name] = (function, options)
            return function

        return decorate


REGISTER = Plain("do_")


@REGISTER
def walk():
    return "walking"


@property
def module_property(self):
    return self.x + 1


@staticmethod
def module_static(x):
    return x + 2


@classmethod
def module_class(cls, x=1):
    return cls, x


class Holder:
    x = 1


def p_properties_and_method_kinds_at_module_level() -> Any:
    return (
        module_property.fget(Holder()),
        module_property.__get__(Holder()),
        module_static(1),
        module_class.__func__(1, 2),
        module_class.__get__(None, int)(5)[1],
    )


@functools.cache
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


@functools.lru_cache(maxsize=2, typed=True)
def typed(x):
    return type(x).__name__


@functools.lru_cache
def bare_cache(x):
    return x


def p_cached_functions() -> Any:
    typed.cache_clear()
    found = fib(50), typed(1), typed(1.0), typed(1), bare_cache(3)
    return found, tuple(typed.cache_info()), typed.cache_parameters(), bare_cache.cache_parameters(), typed.__name__


typed_too = typed
fib.label = "numbers"
bare_cache.__doc__ = "Changed."
bare_cache.__name__ = "renamed"


def p_a_cached_function_with_two_names_and_attributes() -> Any:
    typed.cache_clear()
    typed_too(1)
    return typed_too is typed, typed.cache_info().misses, fib.label, fib.__wrapped__.__name__


def p_a_cached_function_whose_name_and_docstring_changed() -> Any:
    return bare_cache.__name__, bare_cache.__doc__


@contextlib.contextmanager
def tag(name, log=LOG):
    log.append(f"<{name}>")
    try:
        yield name
    except KeyError as error:
        log.append(f"caught {error}")
    finally:
        log.append(f"</{name}>")


@tag("as decorator")
def inside():
    return "inside"


def p_context_managers() -> Any:
    LOG.clear()
    with tag("a") as a, tag("b"):
        LOG.append(a)
        raise KeyError("x")
    return LOG, tag.__name__, tag.__wrapped__.__defaults__[0] is LOG


def p_a_context_manager_as_decorator() -> Any:
    LOG.clear()
    return inside(), inside(), LOG


class Ctx(contextlib.ContextDecorator):
    def __init__(self, label):
        self.label = label

    def __enter__(self):
        LOG.append(self.label)
        return self

    def __exit__(self, *exc):
        LOG.append(exc[0] is None)
        return True


@Ctx("c")
def in_ctx(x):
    return 10 // x


def p_a_context_decorator_class() -> Any:
    LOG.clear()
    return in_ctx(5), in_ctx(0), LOG


QUIET = contextlib.suppress(ZeroDivisionError)
NULL = contextlib.nullcontext("n")


def p_context_managers_of_the_library_as_globals() -> Any:
    with QUIET:
        1 // 0  # noqa: B018
    with NULL as n:
        return n


ADD = functools.partial(operator.add, 10)
PAGE = functools.partial(long_winded, 1, c=2)
NESTED = functools.partial(functools.partial(print, sep="-"), "a")
TAGGED = functools.partial(walk)
TAGGED.tag = ["t"]
functools.update_wrapper(TAGGED, stacked)


def p_partial_functions() -> Any:
    return ADD(5), PAGE(3), NESTED.args, NESTED.keywords, NESTED.func is print


def p_partial_functions_with_attributes() -> Any:
    return TAGGED(), TAGGED.tag, TAGGED.__name__, TAGGED.__wrapped__ is stacked


class Noted:
    @staticmethod
    def static() -> int:
        return 1

    @classmethod
    def of_class(cls) -> str:
        return cls.__name__

    @functools.cached_property
    def once(self) -> int:
        """Of the function."""
        return 2


vars(Noted)["static"].note = ["static"]
vars(Noted)["of_class"].note = "class"
vars(Noted)["once"].note = 3
vars(Noted)["once"].__doc__ = "Set later."


def p_attributes_of_method_kinds_set_later() -> Any:
    notes = [vars(Noted)[name].note for name in ("static", "of_class", "once")]
    return notes, Noted.once.__doc__, hasattr(Noted.once, "__name__"), Noted.static(), Noted.of_class(), Noted().once


@functools.singledispatch
def dispatching(x):
    """Of the function."""
    return "any"


dispatching.note = [dispatching]
dispatching.__doc__ = "Set later."
dispatching.__name__ = "renamed"


def p_attributes_of_a_dispatcher_set_later() -> Any:
    return dispatching.note[0] is dispatching, dispatching.__doc__, dispatching.__name__, dispatching(1)
