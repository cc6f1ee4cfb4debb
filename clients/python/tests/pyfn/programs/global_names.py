"""Global variables: rebound, hidden, deleted, and used in unusual places. See `test_programs.py`."""

from __future__ import annotations

import collections.abc
import email.mime.text
import json
import math
import os.path
import sys
import types
import urllib.parse
import xml.etree.ElementTree
from dataclasses import dataclass
from typing import Any

try:
    import module_that_nobody_has as nobody
except ImportError:
    nobody = None

try:
    from json import loads as fast_loads
except ImportError:
    fast_loads = None

NOTHING = None
COUNT = 0
LIMIT = 3
SALT = 7
WORDS = ["a", "b"]


def p_a_global_variable_that_is_none() -> Any:
    return NOTHING is None, nobody is None, "none" if nobody is None else nobody.x, fast_loads("[1]")


def _bump():
    global COUNT
    COUNT += 1


def p_a_global_variable_is_only_counted_up() -> Any:
    global COUNT
    COUNT = 0
    _bump()
    _bump()
    return COUNT


HITS = 5


def _hit():
    global HITS
    HITS += 0


def p_a_global_variable_is_used_only_by_an_augmented_assignment() -> Any:
    _hit()
    return globals()["HITS"]


TEMPORARY = 1


def _forget():
    global TEMPORARY
    del TEMPORARY


def p_a_global_variable_is_deleted() -> Any:
    global TEMPORARY
    kept = 1
    _forget()
    found = "TEMPORARY" in globals()
    TEMPORARY = kept
    return found


def p_a_global_variable_is_made_by_the_function() -> Any:
    global MADE_HERE
    MADE_HERE = 5
    return _read_made() + 1


def _read_made():
    return MADE_HERE


def rebound():
    return 1


_first = rebound


def rebound():
    return _first() + 1


_second = rebound


def rebound():
    return _second() + 1


def p_a_function_that_was_redefined_calls_its_old_self() -> Any:
    return _first(), _second(), rebound()


def countdown(n):
    return "done" if n == 0 else countdown(n - 1)


_old_countdown = countdown


def countdown(n):
    return f"new {n}"


def p_a_recursive_function_uses_the_new_function_of_its_name() -> Any:
    return _old_countdown(3), countdown(1)


def itself():
    return itself.__name__, itself is _also_itself


_also_itself = itself


def p_a_function_with_two_names() -> Any:
    return _also_itself()


def max(*values):
    return sum(values)


def p_a_global_function_hides_a_builtin() -> Any:
    return max(1, 2), _uses_max([3, 4])


def _uses_max(values):
    return max(*values), min(values)


filter = "text"
id = 5


def p_a_global_value_hides_a_builtin() -> Any:
    return filter.upper(), id


def p_a_parameter_hides_a_global_variable() -> Any:
    def inner(WORDS, LIMIT=4):
        return WORDS, LIMIT, [SALT for SALT in range(2)]

    return inner([1]), WORDS, LIMIT, SALT


ONLY_COMPREHENSION = 2
ONLY_CONDITION = 1
ONLY_CLASS = "c"
ONLY_BASE = dict
ONLY_FORMAT = 12.3456
ONLY_SPEC = 8
ONLY_MATCH = 404
ONLY_WALRUS = 3
ONLY_DEFAULT = 9
ONLY_LAMBDA = 4
ONLY_EXCEPT = KeyError
ONLY_DELETE = 0
ONLY_STAR = [1, 2]
ONLY_SUBSCRIPT = 1
ONLY_KEYWORD = {"sep": "-"}


def _twice(f):
    return lambda *a: (f(*a), f(*a))


class Code:
    missing = 404
    found = 200


def p_names_in_comprehensions_only() -> Any:
    return [
        [x * ONLY_COMPREHENSION for x in range(3) if x > ONLY_CONDITION],
        {k: v for k, v in zip(WORDS, range(ONLY_COMPREHENSION))},
        sorted({y for x in [ONLY_STAR] for y in x}),
    ]


def p_names_in_class_bodies_only() -> Any:
    class Inner(ONLY_BASE):
        label = ONLY_CLASS
        numbers = [ONLY_COMPREHENSION for _ in range(2)]

        def get(self):
            return self.label, ONLY_LAMBDA

    return Inner(a=1)["a"], Inner().get(), Inner.numbers


def p_names_in_format_strings_only() -> Any:
    return f"{ONLY_FORMAT:>{ONLY_SPEC}.{ONLY_COMPREHENSION}f}|{ONLY_CLASS!r}|{ONLY_SUBSCRIPT=}|{{{ONLY_CLASS}}}"


def _matched(x):
    match x:
        case Code.missing:
            return "missing"
        case int(n) if n > ONLY_MATCH:
            return "large"
        case [Code(), *_]:
            return "codes"
        case {"k": ONLY_NEW}:
            return ONLY_NEW
        case _:
            return None


def p_names_in_match_statements() -> Any:
    return [_matched(x) for x in (404, 500, [Code()], {"k": 1}, "x")]


def p_names_with_a_walrus() -> Any:
    if (n := ONLY_WALRUS) > 2 and [m := n + 1, m * 2]:
        return n, m, [last := x for x in range(ONLY_WALRUS)], last
    return None


def p_names_in_default_values_and_decorators_of_nested_functions() -> Any:
    @_twice
    def inner(x=ONLY_DEFAULT):
        return x

    return inner(), (lambda x=ONLY_LAMBDA: x)()


def p_names_in_except_with_and_star() -> Any:
    try:
        raise ONLY_EXCEPT("k")
    except ONLY_EXCEPT as error:
        text = str(error)
    first, *rest = [*ONLY_STAR, *WORDS]
    held = [1, 2, 3]
    del held[ONLY_DELETE]
    return text, first, rest, held[ONLY_SUBSCRIPT], dict(**ONLY_KEYWORD)


def p_names_three_functions_deep() -> Any:
    def one():
        def two():
            def three():
                return math.floor(ONLY_FORMAT), [lambda: SALT][0]()

            return three

        return two

    return one()()()


def _uses_deleted(flag):
    return helper() if flag else "no helper"


def helper():
    return 1


del helper


def p_a_global_name_that_was_deleted() -> Any:
    found = [_uses_deleted(False)]
    try:
        _uses_deleted(True)
    except NameError as error:
        found.append(str(error))
    return found


def p_modules_inside_packages() -> Any:
    return (
        os.path.join("a", "b"),
        urllib.parse.quote("a b"),
        isinstance([], collections.abc.Sequence),
        json.decoder.JSONDecoder().decode("[1]"),
    )


def p_modules_two_levels_inside_packages() -> Any:
    tree = xml.etree.ElementTree.fromstring("<a><b>1</b></a>")
    return tree[0].text


def p_modules_two_levels_inside_packages_by_another_name() -> Any:
    return email.mime.text.MIMEText("x").get_payload()


MODULES = {"j": json, "m": [math]}


def p_modules_inside_containers() -> Any:
    return MODULES["j"].dumps(1), MODULES["m"][0].floor(1.5), MODULES["j"] is json


THIS = sys.modules[__name__]


def p_attributes_of_the_own_module() -> Any:
    return THIS.LIMIT, THIS.WORDS is WORDS, THIS.countdown(2)


def p_the_name_of_the_module() -> Any:
    return __name__ == _bump.__module__, __name__ == Code.__module__


FunctionType = types.FunctionType
NoneType = type(None)
Generator = types.GeneratorType
Maybe = type(NotImplemented)
Views = (type({}.keys()), type({}.items()))


def p_types_without_a_name_in_builtins() -> Any:
    return isinstance(_bump, FunctionType), isinstance(None, NoneType)


def p_the_type_of_none() -> Any:
    return isinstance(None, NoneType), NoneType is type(None), NoneType.__name__


def p_the_type_of_functions() -> Any:
    return isinstance(_bump, FunctionType), isinstance(len, FunctionType)


def p_the_type_of_generators() -> Any:
    return isinstance((x for x in "a"), Generator)


def p_the_type_of_not_implemented() -> Any:
    return Maybe is type(NotImplemented)


def p_types_of_dict_views() -> Any:
    return isinstance({}.keys(), Views[0]), isinstance({}.items(), Views[1])


class Upper:
    def __getattr__(self, name):
        return name.upper()


class Settings:
    def __init__(self):
        self.values = {"rate": 2}

    def __getattr__(self, name):
        return self.__dict__["values"].get(name)


class Strict:
    def __init__(self):
        self.values = {"rate": 2}

    def __getattr__(self, name):
        return self.__dict__["values"][name]


UPPER, SETTINGS, STRICT = Upper(), Settings(), Strict()


def p_an_object_that_has_every_attribute() -> Any:
    return UPPER.hello, type(UPPER).__name__


def p_settings_whose_missing_attributes_are_none() -> Any:
    return SETTINGS.rate, SETTINGS.other


def p_settings_whose_missing_attributes_raise_key_error() -> Any:
    return STRICT.rate


class Key:
    def __init__(self, name):
        self.name = name

    def __hash__(self):
        return hash(_normal(self.name)) % ZZ_LAST

    def __eq__(self, other):
        return _normal(self.name) == _normal(other.name)


def _normal(name):
    return name.lower()[:ZZ_LAST]


ZZ_LAST = 1000
BY_KEY = {Key("A"): 1, Key("b"): 2}


def p_keys_whose_hash_uses_global_variables() -> Any:
    return BY_KEY[Key("a")], BY_KEY[Key("B")], Key("C") in BY_KEY


def _other_globals():
    return LIMIT


REAL = types.FunctionType(_other_globals.__code__, {"LIMIT": 99, "__name__": __name__})


def p_a_function_with_globals_of_its_own() -> Any:
    return REAL(), _other_globals()


@dataclass
class Pair:
    left: Any
    right: Any


PAIR = Pair(WORDS, WORDS)


def p_an_object_holds_a_global_list_twice() -> Any:
    return PAIR.left is PAIR.right, PAIR.left is WORDS


class Borrowed:
    value = 3


Borrowed.__module__ = "json"


def p_a_class_that_claims_another_module() -> Any:
    return Borrowed().value, json.dumps([1])


def p_builtins_through_their_module() -> Any:
    import builtins

    return builtins.len([1]), builtins.max(1, 2), max(1, 2)


__version__ = "1.2"
__doc_too__ = __doc__


def p_names_with_two_underscores() -> Any:
    return __version__, __doc_too__ == __doc__


def p_an_import_inside() -> Any:
    import json as js
    from collections import OrderedDict as Od

    return js.dumps(Od(a=1))


def p_an_import_inside_that_hides_a_global_name() -> Any:
    import math as json

    return json.floor(1.5)


CONDITIONAL = "yes" if sys.maxsize > 0 else None
A, (B, *C_REST) = 1, (2, 3, 4)
for LOOP_NAME in ("x", "y"):
    pass
with open(os.devnull) as _file:
    FROM_FILE = _file.read()


def p_names_bound_by_unusual_statements() -> Any:
    return CONDITIONAL, A, B, C_REST, LOOP_NAME, FROM_FILE


if (WALRUS := 10) > 5:
    SIZE = "large"
else:
    SIZE = "small"


def p_names_bound_by_a_walrus_and_a_condition() -> Any:
    return WALRUS, SIZE


UNUSUAL_TEXT = "\ud800 \u2028 \x00 é 𝒳 \\ \" ' `"
BYTES = bytes(range(256))


def p_unusual_text_and_bytes() -> Any:
    return UNUSUAL_TEXT.encode("utf-8", "surrogatepass"), BYTES[::51], len(UNUSUAL_TEXT)


DOLLARS = {"$ref": 0, "$tuple": [1], "": None, "a": {"$empty": True}}
EMPTY_MARK = {"$empty": True}


def p_dicts_that_look_like_the_encoding() -> Any:
    return DOLLARS, EMPTY_MARK


ODD_KEYS = {1: "int", "1": "str", None: 0, (1, 2): [3], 2.5: "f", frozenset({1}): "fs", b"b": 1}


def p_dicts_with_unusual_keys() -> Any:
    return ODD_KEYS


SETS = [{1, "a", None}, frozenset({(1, 2), frozenset({3})}), set()]


def p_sets_of_mixed_values() -> Any:
    # Their order depends on hashes.
    return [type(one).__name__ for one in SETS], SETS[0] == {1, "a", None}, SETS[1] == {(1, 2), frozenset({3})}, SETS[2]


REFUSED = {}
