"""Decorators that users write: wrappers, their attributes and signatures. See `test_programs.py`."""

# ruff: noqa: B019

import abc
import functools
import inspect
import itertools
import json
import math
import time
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


def p_three_decorators() -> Any:
    LOG.clear()
    return stacked(2), LOG, stacked.by, stacked.__name__, stacked.__doc__


def p_wrapped_functions_inside_each_other() -> Any:
    inner = inspect.unwrap(stacked)
    return inner(2), stacked.__wrapped__.__wrapped__.__wrapped__ is inner


def p_the_parameters_of_a_wrapped_function() -> Any:
    return list(inspect.signature(stacked).parameters), stacked.__wrapped__.__name__


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


def p_decorators_and_a_signature_over_several_lines() -> Any:
    return long_winded(1, 2, 3, c=4, d=5)


class Counted:
    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.function = function
        self.calls = 0

    def __call__(self, *args):
        self.calls += 1
        return self.function(*args)


@Counted
def counted(x):
    """Adds one."""
    return x + 1


def p_an_object_with_the_name_of_its_function() -> Any:
    counted.calls = 0
    return counted(1), counted(2), counted.calls, counted.__name__, counted.__doc__


COMMANDS = {}


def command(name=None, *, hidden=False):
    def decorate(f):
        COMMANDS[name or f.__name__] = f
        f.hidden = hidden
        return f

    return decorate(name) if False else decorate


@command()
def start():
    return "started", list(COMMANDS)


def optional(f=None, *, times=2):
    if f is None:
        return functools.partial(optional, times=times)

    @functools.wraps(f)
    def wrapper(*a):
        return [f(*a) for _ in range(times)]

    return wrapper


@optional
def bare(x):
    return x


@optional(times=3)
def called(x):
    return x


def p_a_decorator_with_and_without_arguments() -> Any:
    return bare(1), called(2)


def memoize(f):
    cache = {}

    @functools.wraps(f)
    def wrapper(*args):
        if args not in cache:
            cache[args] = f(*args)
        return cache[args]

    wrapper.cache = cache
    wrapper.clear = cache.clear
    return wrapper


@memoize
def slow(n):
    LOG.append(n)
    return n * n


def p_a_memory_written_by_hand() -> Any:
    LOG.clear()
    slow.clear()
    return slow(3), slow(3), LOG, slow.cache


def retry(times, errors=(ValueError,), wait=0):
    def decorate(f):
        @functools.wraps(f)
        def wrapper(*args, **kwargs):
            for attempt in itertools.count(1):
                try:
                    return f(*args, **kwargs), attempt
                except errors as error:
                    if attempt == times:
                        raise RuntimeError(f"{f.__name__} failed {attempt} times") from error
                    time.sleep(wait)

        return wrapper

    return decorate


@retry(3)
def flaky(log):
    log.append(1)
    if len(log) < 3:
        raise ValueError(len(log))
    return "fine"


@retry(times=2, errors=(KeyError, OSError))
def broken():
    raise KeyError("k")


def p_retries() -> Any:
    return flaky([])


def p_retries_that_fail() -> Any:
    return broken()


def timed(f, clock=time.perf_counter):
    @functools.wraps(f)
    def wrapper(*args):
        start = clock()
        found = f(*args)
        wrapper.spent = clock() - start
        return found

    wrapper.spent = None
    return wrapper


@timed
def quick(x):
    return x


def p_a_timing_decorator_writes_to_its_own_wrapper() -> Any:
    return quick(1), quick.spent >= 0


def self_counting(f):
    def wrapper(*args):
        wrapper.calls += 1
        return f(*args)

    wrapper.calls = 0
    return wrapper


@self_counting
def self_counted():
    return self_counted.calls


def p_a_decorated_function_refers_to_its_wrapper() -> Any:
    self_counted.calls = 0
    return self_counted(), self_counted(), self_counted.__name__, self_counted.__qualname__


CHANGED = {"limit": 1}


def limited(options):
    def decorate(f):
        return lambda x: f(x)[: options["limit"]]

    return decorate


@limited(CHANGED)
def letters(x):
    return x


CHANGED["limit"] = 2


def p_an_argument_of_a_decorator_changed_afterwards() -> Any:
    return letters("abc")


@functools.wraps(json.dumps)
def like_dumps(*args, **kwargs):
    return "like " + json.dumps(*args, **kwargs)


def p_a_function_with_the_name_of_a_library_function() -> Any:
    return like_dumps([1]), like_dumps.__wrapped__ is json.dumps, like_dumps.__module__, like_dumps.__qualname__


@functools.wraps(math.sqrt)
def like_sqrt(x):
    return math.sqrt(x) + 1


def p_a_function_with_the_name_of_a_builtin_function() -> Any:
    return like_sqrt(4), like_sqrt.__name__, like_sqrt.__module__


@functools.wraps(traced)
def inner_names():
    def deep():
        return None

    return deep.__qualname__


def p_qualified_names_inside_a_renamed_function() -> Any:
    return inner_names()


def exit_hook(f):
    return f


@exit_hook
@functools.partial
def hooked():
    return "hooked"


def p_a_partial_function_as_decorator() -> Any:
    return hooked(), hooked.func.__name__


def trampolined(f):
    @functools.wraps(f)
    def run(*args):
        found = f(*args)
        while callable(found):
            found = found()
        return found

    return run


@trampolined
def count_down(n, total=0):
    return total if n == 0 else lambda: count_down.__wrapped__(n - 1, total + n)


def p_a_trampoline() -> Any:
    return count_down(2000)
