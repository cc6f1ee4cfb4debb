"""Lambdas: several on a line, nested, over lines, and in unusual places. See `test_programs.py`."""

# ruff: noqa: E731, E702

# fmt: off

import functools
import operator
from typing import Any

RATE = 2
OTHER = 3

ONE, TWO = lambda: 1, lambda: 2
PLUS, TIMES = lambda a, b: a + b, lambda a, b: a * b
USES_RATE, USES_OTHER = lambda x: x * RATE, lambda x: x * OTHER
first = lambda x: ("first", x); second = lambda x: ("second", x)


def p_two_lambdas_on_a_line() -> Any:
    return ONE(), TWO(), PLUS(2, 3), TIMES(2, 3), USES_RATE(1), USES_OTHER(1), first(1), second(2)


SAME_A, SAME_B = lambda x: x + 1, lambda x: x + 1


def p_equal_lambdas_on_a_line() -> Any:
    return SAME_A(1), SAME_B(2), SAME_A is SAME_B


NEST_A, NEST_B = lambda: lambda: RATE, lambda: lambda: OTHER


def p_lambdas_on_a_line_that_differ_in_names_of_inner_lambdas() -> Any:
    return NEST_A()(), NEST_B()()


DEEP_A, DEEP_B = lambda: (lambda: 1), lambda: (lambda: 2)


def p_lambdas_on_a_line_that_differ_in_numbers_of_inner_lambdas() -> Any:
    return DEEP_A()(), DEEP_B()()


COMP_A, COMP_B = lambda xs: [x + 1 for x in xs], lambda xs: [x + 2 for x in xs]


def p_lambdas_on_a_line_that_differ_in_a_comprehension() -> Any:
    return COMP_A([1]), COMP_B([1])


GEN_A, GEN_B = lambda xs: sum(x + 1 for x in xs), lambda xs: sum(x + 2 for x in xs)


def p_lambdas_on_a_line_that_differ_in_a_generator() -> Any:
    return GEN_A([1]), GEN_B([1])


ZERO_A, ZERO_B = lambda: 0.0, lambda: -0.0
TUPLE_A, TUPLE_B = lambda: (1, 2), lambda: (1.0, True)


def p_lambdas_on_a_line_that_differ_in_the_sign_of_zero() -> Any:
    return str(ZERO_A()), str(ZERO_B())


def p_lambdas_on_a_line_that_differ_in_types_of_a_tuple() -> Any:
    return TUPLE_A(), TUPLE_B()


NAMED_A, NAMED_B = lambda a: a, lambda b: b


def p_lambdas_on_a_line_that_differ_in_parameter_names() -> Any:
    return NAMED_A(a=1), NAMED_B(b=2)


DEFAULT_A, DEFAULT_B = lambda x=1: x, lambda x=2: x


def p_lambdas_on_a_line_that_differ_in_default_values() -> Any:
    return DEFAULT_A(), DEFAULT_B()


KIND_A, KIND_B, KIND_C = lambda a, b: (a, b), lambda a, /, b: (a, b), lambda a, *, b: (a, b)


def p_lambdas_on_a_line_that_differ_in_kinds_of_parameters() -> Any:
    found = []
    for f in (KIND_A, KIND_B, KIND_C):
        for args, kwargs in (((1, 2), {}), ((), {"a": 1, "b": 2}), ((1,), {"b": 2})):
            try:
                found.append(f(*args, **kwargs))
            except TypeError:
                found.append(None)
    return found


STAR_A, STAR_B, STAR_C = lambda *a: a, lambda **a: a, lambda a: a


def p_lambdas_on_a_line_that_differ_in_stars() -> Any:
    return STAR_A(1), STAR_B(x=1), STAR_C(1)


def _made(n, m):
    return lambda: n, lambda: m, lambda k=n: (k, m)


MADE = _made(1, 2)


def p_lambdas_on_a_line_that_differ_in_variables() -> Any:
    return [f() for f in MADE]


CURRIED = lambda a: lambda b: lambda c: (a, b, c)
HALF = CURRIED(1)
MOST = HALF(2)


def p_lambdas_inside_lambdas_on_a_line() -> Any:
    return CURRIED(0)(0)(0), HALF(5)(6), MOST(7)


TABLE = {
    "add": lambda x: x + 1,
    "sub": lambda x: x - 1,
    "both": (lambda x: x * 2, lambda x: x * 3),
    "nested": {"deep": [lambda x: [lambda y: x + y]]},
}


def p_lambdas_in_a_table() -> Any:
    return (
        TABLE["add"](1),
        TABLE["sub"](1),
        [f(2) for f in TABLE["both"]],
        TABLE["nested"]["deep"][0](1)[0](2),
    )


LONG = functools.reduce(
    lambda f, g: lambda x: g(f(x)),
    [
        lambda x: x + 1,
        # A comment, with lambda x: x in it.
        lambda x: (
            x * 2  # another: )
        ),
        lambda x: x
        if x > 100
        else [
            x,
            "lambda x: x",
        ],
    ],
)


def p_lambdas_over_several_lines() -> Any:
    return LONG(1), LONG(1000)


SPREAD = (
    lambda
    a,
    b=RATE,
    *c,
    **d: (
        a, b,
        c, d)
)  # fmt: skip


def p_a_lambda_whose_parameters_are_on_other_lines() -> Any:
    return SPREAD(1), SPREAD(1, 2, 3, e=4)


CONTINUED = lambda x: x + \
    1  # fmt: skip


def p_a_lambda_with_a_continued_line() -> Any:
    return CONTINUED(1)


TEXTS = lambda: ["""
lambda: 0
    indented
""", 'it\'s', "(", r"\n", b"\x00", f"{RATE!r:>{OTHER}}"]  # fmt: skip


def p_a_lambda_with_texts() -> Any:
    return TEXTS()


ÄÖÜ = ["äöü", "日本語", lambda x: x + "é𝒳", lambda x: x + "日本"]; AFTER = lambda: "ß"  # noqa


def p_lambdas_after_wide_characters() -> Any:
    return ÄÖÜ[2]("a"), ÄÖÜ[3]("b"), AFTER()


WALRUS = lambda x: (y := x + 1, y * 2, [z := i for i in range(3)], z)


def p_a_lambda_with_a_walrus() -> Any:
    return WALRUS(1)


IN_COMPREHENSION = [lambda x, i=i: (x, i, j) for i in range(2) for j in "ab"]
IN_DICT = {k: (lambda v: lambda: (k, v))(k * 2) for k in range(2)}
IN_GENERATOR = list((lambda: i) for i in range(2))


def p_lambdas_made_in_comprehensions() -> Any:
    return [f(0) for f in IN_COMPREHENSION], [f() for f in IN_DICT.values()], [f() for f in IN_GENERATOR]


CONDITIONAL = (lambda x: "yes") if RATE > 1 else (lambda x: "no")
CHOSEN = None or (lambda x: "or"), True and (lambda x: "and")


def p_lambdas_in_conditions() -> Any:
    return CONDITIONAL(1), CHOSEN[0](1), CHOSEN[1](1)


YIELDING = lambda n: (yield from range(n))
YIELDING_TOO = lambda: (yield)


def p_lambdas_that_yield() -> Any:
    return list(YIELDING(3)), list(YIELDING_TOO())


SELF = lambda n: 1 if n < 2 else n * SELF(n - 1)


def p_a_lambda_that_calls_itself() -> Any:
    return SELF(5)


CALLED = (lambda f: f(3))(lambda x: lambda: x)
STORED = []
STORED.append(lambda: len(STORED)); STORED.append(lambda: STORED[0] is STORED[1])


def p_lambdas_given_to_calls() -> Any:
    return CALLED(), STORED[0](), STORED[1]()


class Math:
    half = lambda self: self.x / 2
    double = staticmethod(lambda x: x * 2)
    name = classmethod(lambda cls: cls.__name__)
    size = property(lambda self: self.x, lambda self, x: setattr(self, "x", x))
    __hidden, __more = lambda self: self.__x, lambda self: self.__y
    by_name = {"a": lambda: RATE}

    def __init__(self):
        self.x, self.__x, self.__y = 5, "private x", "private y"

    def both(self):
        return self.__hidden(), self.__more()


MATH = Math()


def p_lambdas_in_a_class() -> Any:
    MATH.size = 6
    return MATH.half(), MATH.double(2), Math.name(), MATH.size, Math.by_name["a"]()


def p_lambdas_on_a_line_with_private_names() -> Any:
    return MATH.both()


DECORATED = functools.lru_cache(None)(lambda x: [x]); PARTIAL = functools.partial(lambda a, b: (a, b), 1)


def p_lambdas_in_wrappers() -> Any:
    return DECORATED(1) is DECORATED(1), PARTIAL(2)


RENAMED = lambda: "renamed"
RENAMED.__name__ = RENAMED.__qualname__ = "new_name"
RENAMED.__doc__ = "A docstring."
RENAMED.extra = [1]


def p_a_lambda_with_a_name() -> Any:
    return RENAMED(), RENAMED.__name__, RENAMED.__qualname__, RENAMED.__doc__, RENAMED.extra


SORTED_BY = sorted([(2, "a"), (1, "b")], key=lambda pair: pair[0]); KEY = lambda pair: pair[1]


def p_a_lambda_beside_one_that_is_gone() -> Any:
    return SORTED_BY, sorted(SORTED_BY, key=KEY)


REPLACE = operator.methodcaller("replace", "A", "B")
PIPE = [("strip", lambda s: s.strip()), ("title", lambda s: s.title()), ("op", REPLACE)]


def p_lambdas_in_a_pipeline() -> Any:
    text = "  a b "
    for _, step in PIPE:
        text = step(text)
    return text


if True: IN_IF = lambda: "if"  # noqa: E701
try: IN_TRY = lambda: "try"  # noqa: E701
finally: IN_FINALLY = lambda: "finally"  # noqa: E701


def p_lambdas_after_a_colon() -> Any:
    return IN_IF(), IN_TRY(), IN_FINALLY()


IN_SUBSCRIPT = {0: lambda: "zero"}[(lambda: 0)()]
IN_TEXT = []
f"{IN_TEXT.append(lambda: 'made in text')}"
f"{IN_TEXT.append(lambda: RATE)} and {IN_TEXT.append(lambda: OTHER)}"


def p_a_lambda_made_in_a_subscript() -> Any:
    return IN_SUBSCRIPT()


def p_a_lambda_made_in_a_format_string() -> Any:
    return [f() for f in IN_TEXT]


COMPARED = lambda a, b=lambda: RATE, *, c=lambda: OTHER: (a, b(), c())


def p_a_lambda_with_lambdas_as_default_values() -> Any:
    return COMPARED(1), COMPARED(1, lambda: 5)


STARRED = lambda *args, **kwargs: (lambda *a, **k: (a, k))(*args, *args, **kwargs, **{"z": 1})


def p_a_lambda_with_stars_everywhere() -> Any:
    return STARRED(1, x=2)


ASSERTING = lambda x: x if isinstance(x, (int, float)) else (_ for _ in ()).throw(TypeError("bad"))


def p_a_lambda_that_raises() -> Any:
    try:
        ASSERTING("a")
    except TypeError as error:
        return ASSERTING(1), str(error)
