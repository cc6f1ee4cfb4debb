"""Decorators, as users and the standard library write them. See `test_programs.py`."""

# ruff: noqa: B019

import abc
import contextlib
import functools
import inspect
import itertools
import json
import math
import numbers
import operator
import time
import types
from collections.abc import Sequence
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


@REGISTER.route("/a", "/b", method="GET")
def page():
    return "page", sorted(REGISTER.table)


def p_functions_registered_in_an_object() -> Any:
    return (
        REGISTER.table["do_walk"](),
        REGISTER.table["/a"][0](),
        REGISTER.table["/b"][1],
        REGISTER.table["/a"][0] is page,
    )


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


@command("halt", hidden=True)
def stop():
    return COMMANDS["start"]()


def p_functions_registered_in_a_dict() -> Any:
    return COMMANDS["halt"](), {name: f.hidden for name, f in COMMANDS.items()}


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


@lambda f: f()
def result():
    return [1, 2, 3]


@(lambda f: (f.__name__, f))
def in_tuple():
    return "in a tuple"


@str
def as_text():
    pass


def p_decorators_that_return_no_function() -> Any:
    return result, in_tuple[0], in_tuple[1](), as_text.startswith("<function as_text")


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


class Methods:
    def __init__(self):
        self.made = 0

    def set_state(self, *path, value=None, **more):
        return path, value, more

    on = functools.partialmethod(set_state, "on", value=1)
    off = functools.partialmethod(set_state, "off")

    @functools.cached_property
    def costly(self):
        self.made += 1
        return [self.made]

    @functools.singledispatchmethod
    def show(self, x):
        return f"other {x}"

    @show.register
    def _(self, x: int):
        return f"int {x}"

    @show.register(list)
    @traced
    def show_list(self, x):
        return [self.show(y) for y in x]

    @functools.lru_cache(maxsize=None)  # noqa: UP033
    def cached(self, x):
        return self, x

    @property
    def level(self):
        """The level."""
        return self.__dict__.get("_level", 0)

    @level.setter
    def level(self, value):
        self._level = value + 1

    @level.deleter
    def level(self):
        self._level = -1

    @staticmethod
    @traced
    def static(x):
        return x

    @classmethod
    @scaled(2)
    def made_by(cls, x):
        return x

    @scaled(3)
    def times(self, x=1):
        return x


OBJECT = Methods()


def p_partial_methods() -> Any:
    return OBJECT.on("x"), Methods().off(k=1)


def p_cached_properties() -> Any:
    one = Methods()
    return one.costly, one.costly is one.costly, one.made, "costly" in vars(one)


def p_single_dispatch_methods() -> Any:
    return OBJECT.show(1), OBJECT.show("a"), OBJECT.show([1, "a"])


def p_cached_methods() -> Any:
    one = Methods()
    return one.cached(1) is one.cached(1), one.cached(1)[0] is one


def p_properties_with_setter_and_deleter() -> Any:
    one = Methods()
    found = [one.level]
    one.level = 5
    found.append(one.level)
    del one.level
    return found, one.level, Methods.level.__doc__


def p_stacked_method_decorators() -> Any:
    return Methods.static(1), OBJECT.static(2), Methods.made_by(3), OBJECT.times(4), OBJECT.times()


@functools.singledispatch
def describe(x):
    return f"object {x}"


@describe.register
def _(x: bool):
    return "bool"


@describe.register(int)
def describe_int(x):
    return f"int, {describe(str(x))}"


@describe.register(str)
@describe.register(bytes)
def _(x):
    return f"text {len(x)}"


describe.register(Sequence, lambda x: [describe(y) for y in x])
describe.register(numbers.Real, lambda x: "real")
describe.register(Methods, lambda x: "methods")


def p_single_dispatch() -> Any:
    values = (None, True, 1, "ab", b"abc", [1, (2.5,)], 1.5, OBJECT)
    return [describe(x) for x in values[1:]], describe.dispatch(bool) is not describe.dispatch(int), describe_int(3)


def p_single_dispatch_is_registered_more() -> Any:
    describe.register(complex, lambda x: "complex")
    return describe(1j)


@functools.singledispatch
def on_none(x):
    return "other"


@on_none.register(type(None))
def _(x):
    return "none"


def p_single_dispatch_on_the_type_of_none() -> Any:
    return on_none(None), on_none(1)


@functools.total_ordering
class Version:
    def __init__(self, *parts):
        self.parts = parts

    def __eq__(self, other):
        return self.parts == other.parts

    def __lt__(self, other):
        return self.parts < other.parts

    def __hash__(self):
        return hash(self.parts)


VERSIONS = [Version(1, 2), Version(1), Version(2)]


def p_total_ordering() -> Any:
    return (
        [v.parts for v in sorted(VERSIONS, reverse=True)],
        VERSIONS[0] >= VERSIONS[1],
        VERSIONS[0] > VERSIONS[2],
        VERSIONS[1] <= Version(1),
    )


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


CHAIN = []


def also(f):
    CHAIN.append(f)
    return CHAIN[0]


@also
def chain_one():
    return 1, len(CHAIN)


@also
def chain_two():
    return 2, chain_one is chain_two


def p_a_decorator_that_returns_another_function() -> Any:
    return chain_two(), [f() for f in CHAIN], chain_two.__name__


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


class Abstract(abc.ABC):
    @property
    @abc.abstractmethod
    def size(self):
        """The size."""

    @abc.abstractmethod
    def go(self):
        """Goes."""

    def twice(self):
        return self.go() * 2


class Real(Abstract):
    size = 3

    @traced
    def go(self):
        return "go"


def p_abstract_methods() -> Any:
    try:
        Abstract()
    except TypeError:
        return Real().twice(), Real().size, Abstract.go.__isabstractmethod__


@types.coroutine
def suspend(value):
    got = yield value
    return got


def p_a_coroutine_made_of_a_generator() -> Any:
    async def run():
        return await suspend(1), await suspend(2)

    made = run()
    found = [made.send(None), made.send("a")]
    try:
        made.send("b")
    except StopIteration as stop:
        found.append(stop.value)
    return found


def overloaded(*cases):
    def decorate(f):
        f.cases = {case: make(case) for case in cases for make in [lambda c: lambda: (c, f.__name__)]}
        return f

    return decorate


@overloaded("a", "b")
def with_cases(case):
    return with_cases.cases[case]()


def p_a_decorator_that_adds_functions_as_attributes() -> Any:
    return with_cases("a"), with_cases("b")


def singleton(cls):
    instances = {}

    @functools.wraps(cls)
    def get(*args):
        if cls not in instances:
            instances[cls] = cls(*args)
        return instances[cls]

    return get


@singleton
class Only:
    def __init__(self, x=1):
        self.x = x


def p_a_class_decorator_that_returns_a_function() -> Any:
    return Only() is Only(), Only.__name__, Only.__wrapped__.__name__, Only().x


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


REFUSED = {}
