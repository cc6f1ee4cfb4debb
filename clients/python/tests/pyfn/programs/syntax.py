"""Ways to write Python: signatures, literals, statements, and places of definitions. See `test_programs.py`."""

# ruff: noqa: W191, E701, E702, E731, UP031

# fmt: off

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

VALUE, OTHER, ITEMS = 3, 4, [1, 2, 3]


def p_texts_that_look_like_code() -> Any:
    text = '''
def p_fake():
    """Doc."""
    return lambda: 0
'''
    return text, "# no comment", 'def f(): pass', r"\def", "if True:\n\treturn", "lambda x: x", b"def"


def tabbed(x):
	if x:
		return [
	x,
			"tab	inside",
		]
	return None


def p_a_function_indented_with_tabs() -> Any:
    return tabbed(1)


if VALUE:
	def tabbed_inside(x):
		y = """
left
	tab
"""
		return x, y
else:
    def tabbed_inside(x):
        return None


def p_a_function_indented_with_tabs_inside_a_condition() -> Any:
    return tabbed_inside(1)


if VALUE > 100:
    def chosen():
        return "first"
elif VALUE == 3:
    def chosen():
        # A comment.
  # A comment further left.
        text = """
at the margin
        """
        return "second", text, (
    1,
  2)
else:
    def chosen():
        return "third"


def p_a_function_in_a_condition() -> Any:
    return chosen()


try:
    raise KeyError
except KeyError:
    def recovered(): return "except"
else:
    def recovered(): return "else"
finally:
    def finished(): return "finally"

with open(__file__) as _file:
    def in_with():
        return "with"

for _i in range(2):
    def in_for(i=_i):
        return i, _i
    while True:
        def in_while(): return "while"
        break

match VALUE:
    case 3:
        def in_match(): return "match"


def p_functions_in_statements() -> Any:
    return recovered(), finished(), in_with(), in_for(), in_while(), in_match()


def one_line(x): y = x + 1; return y


def \
    continued(a, \
              b=2): \
        return a + \
            b


def p_a_function_on_one_line_and_one_with_continued_lines() -> Any:
    return one_line(1), continued(1)


def spread(
    a: int,
    # A comment in the signature: def f():
    /,
    b: "int | None" = None,
    *c: int,
    d: dict[str, "spread"] | None = None,
    e: Iterable[int] = (),
    **f: Any,
) -> (
    "tuple[Any, ...]"
):  # A comment.

    # A comment first.

    return a, b, c, d, e, f


def p_a_signature_over_several_lines() -> Any:
    return spread(1, 2, 3, 4, d={"x": spread}["x"] and None, e=[1], g=5), spread(1)


def unions(x: int | str | None, y: "NotThere | int" = 1, *z: list[int] | None) -> dict[str, int] | None:  # noqa: F821
    v: int | str = x or 0
    w: NotThereEither  # noqa: F821
    return {"v": isinstance(v, int | str), "y": y}


def p_unions_in_annotations() -> Any:
    return unions(1)


def p_local_annotations_are_not_evaluated() -> Any:
    x: never_defined.anywhere = 1  # noqa: F821
    (y): also_never = 2  # noqa: F821
    ITEMS[0]: int = 1
    return x, y


Alias = list[int]


def p_a_nested_class_with_annotations() -> Any:
    class Inner(NamedTuple):
        x: int
        y: Alias
        z: Any = None

    return tuple(Inner(1, [2])), Inner._fields


def p_a_nested_function_with_annotations() -> Any:
    def inner(x: Alias, *y: Any) -> Iterable[int]:
        return x, y

    return inner([1], 2)


def stars(a, *b, c, d=1, **e):
    return a, b, c, d, e


def p_stars_in_every_place() -> Any:
    pair, named = (1, 2), {"c": 3}
    first, *middle, last = [*pair, *ITEMS, *"ab"]
    (x, *y), *z = [[1, 2, 3], 4, 5]
    for i, *js in [(1, 2, 3)]:
        pass
    [head, *_] = ITEMS
    return (
        stars(*pair, *pair, **named, **{"k": 1}),
        stars(0, *pair, c=1, **{"d": 2}),
        (first, middle, last, x, y, z, i, js, head),
        {**named, "d": 4, **{"e": 5}},
        [*{1: 2}, *(x for x in "z")],
        {*ITEMS, *ITEMS},
        print(*[], sep="", end=""),
    )


def p_a_star_in_a_return_and_a_subscript() -> Any:
    def f():
        return 1, *ITEMS

    table = {(0, 1): "t"}
    return f(), table[0, 1], [1, 2, 3][1:][0]


class Point:
    __match_args__ = ("x", "y")

    def __init__(self, x, y):
        self.x, self.y = x, y


def matched(value):
    match value:
        case None | False:
            return "nothing"
        case -1 | 1.5 | "text" | b"b":
            return "literal"
        case 2 - 3j:
            return "complex"
        case Point(0, y=b) | Point(b, 0):
            return "on axis", b
        case Point() as p if p.x == p.y:
            return "diagonal", p.x
        case {"k": [first, *rest], **others}:
            return first, rest, others
        case [Point(x=math.pi), *_]:
            return "pi"
        case (str(s), [int() | float() as n]):
            return s, n
        case [] | {}:
            return "empty"
        case math.inf:
            return "infinite"
        case _ if (n := VALUE) == value:
            return "walrus", n
        case other:
            return "other", type(other).__name__


def p_match_statements() -> Any:
    return [
        matched(x)
        for x in (
            None, -1, b"b", 2 - 3j, Point(0, 5), Point(6, 0), Point(2, 2), {"k": [1, 2], "z": 3},
            [Point(math.pi, 1), 2], ("s", [1.5]), [], math.inf, 3, object,
        )
    ]  # fmt: skip


def p_a_walrus_everywhere() -> Any:
    if (a := 1) and (b := a + 1):
        c = [d := b, d**2]
    while (a := a + 1) < 4:
        pass
    f = lambda x: (y := x) + y
    text = f"{(h := 5)!r}{h:>{(k := 3)}}"
    return a, b, c, [e := i for i in range(3) if (g := i)], e, g, f(3), text, k, (m := 1, 2), m


def p_format_strings() -> Any:
    d, name, n, w, p = {"a": [1], 'b': "x"}, "n", 3.14159, 10, 2
    return (
        f"{d['a'][0]} {d['b']!r:>5}",
        f'''{d["a"]}'"{d['b']}"''',
        f"""{d["a"]}\n'"'{d['b']}\\""",
        f"{n:{w}.{p}f}|{n=:.2f}|{n = }|{{}}|{{{n}}}",
        f"{'nested ' + f'{name}' + str(f'{n:.{p}f}')}",
        f"{name}" "{name}" f'{name!a}',
        f"{(lambda x: x * 2)(3)}{ {1: 2}[1] }{[x for x in 'ab']}",
        rf"\d{name}\n", f"\N{BULLET}{name}\t",
        f"{VALUE if name else OTHER:>4}", f"{n:%}" f"{d!s:.5}",
        "%s %(a)s" % {"a": 1} if False else "%s" % (name,), "{} {0}".replace("{0}", "{}").format(1, 2),
    )  # fmt: skip


def p_numbers_and_texts() -> Any:
    return (
        0x_FF, 0b1_0, 0o17, 1_000.5e-3, 1e400, -0.0, 1j * -1, 10**30, ... is Ellipsis,
        "\x41\u00e9\N{SNOWMAN}\101\
continued", b"\xff\101", r'\'', "u", "a" 'b' """c
d""", "\r\n\t\0\v\f", '\'"',
    )  # fmt: skip


def größe(größer=1, *, naïve="ï", 名前="n", **ﬁeld):
    """Größe — 大きさ."""
    π = math.pi
    return größer, naïve, 名前, ﬁeld, round(π, 2), "ﬁ"


ÜBER = "über"
ﬁne = "normalized"
class Größe:
    größe = 5
    def ändern(self, ñ): self.größe += ñ; return self.größe


def p_names_in_other_scripts() -> Any:
    return größe(2, naïve="x", 名前=ÜBER, field=1), Größe().ändern(2), fine, größe.__name__, größe.__doc__


def p_lines_after_wide_characters() -> Any:
    ä = "日本語"; f = lambda é: é + ä; return f("é"), [lambda: "ö", lambda: "ü"][1]()


def with_everything(a, /, b: int = 1, *args: "int", c: str = "c", d=(lambda: [1]), **kwargs: "Any") -> "Any":
    """Doc."""
    global MADE_GLOBAL
    MADE_GLOBAL = a
    nonlocal_value = 0

    def one(x=b):
        nonlocal nonlocal_value
        nonlocal_value += x

        class Two:
            attribute = nonlocal_value

            def three(self, k=a):
                return [(k, self.attribute, __class__.__name__, v) for v in args for _ in [kwargs]]

        return Two

    del_me = 1
    del del_me
    assert one, "text"
    try:
        return one()().three(), nonlocal_value, c, d(), MADE_GLOBAL
    finally:
        MADE_GLOBAL = None


def p_a_function_with_everything() -> Any:
    return with_everything(1, 2, 3, 4, k=5), with_everything.__doc__


def p_conditions_and_operators() -> Any:
    a, b = 5, [1, 2]
    a += 1; a -= 2; a **= 2; a //= 3; a %= 4; a <<= 3; a >>= 1; a |= 1; a ^= 2; a &= 0xFF; b *= 2
    return a, b, 1 < 2 < 3 != 4, not a or (b and None), -a ** 2, ~a, (a if b else 0), 1 in b is not None, b[-1:], b[::2]


def p_loops_with_else() -> Any:
    found = []
    for x in range(3):
        if x == 5: break
    else: found.append("for else")
    while found:
        if len(found) > 2: break
        found.append(x)
        continue
    else: found.append("never")
    return found


def p_a_nested_function_that_is_global() -> Any:
    def fa():
        global f_abc, f

        def f_abc(): return f_abc.__qualname__

        class f: pass

        return f_abc(), f.__qualname__

    return fa(), _outer_global()


def _outer_global():
    global _outer_global_inner

    def _outer_global_inner(): pass

    class _Local: pass

    return _outer_global_inner.__qualname__, _Local.__qualname__


def p_names_of_the_runner() -> Any:
    def _outer(_outer=1): return _outer
    return _outer(), __name__ == p_names_of_the_runner.__module__


class Private:
    __count = 1
    __slots = [2]

    def __bump(self, __by=1):
        self.__count += __by
        __local = [self.__count for __x in range(2)]
        return lambda: (self.__slots, __local, __by)

    def run(self):
        def inner():
            return self.__bump(__by)()
        __by = 5
        return inner()

    @staticmethod
    def helper(): return _Private__helper(), __also()


def _Private__helper(): return "helper"
def _Private__also(): return "also"


def p_private_names() -> Any:
    return Private().run(), Private.helper()


def empty_body(): ...
def only_pass(): pass


def p_functions_without_a_body() -> Any:
    return empty_body(), only_pass()


def p_a_long_expression() -> Any:
    return 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1


def	odd_spaces	(  x , y = ( 1 ) , )	:	return	x , y


def p_odd_spaces() -> Any:
    return odd_spaces ( 1 )
