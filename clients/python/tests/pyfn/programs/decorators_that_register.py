"""Decorators that register the function, or return something else than a wrapper. See `test_programs.py`."""

# ruff: noqa: B019

import functools
from typing import Any


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
