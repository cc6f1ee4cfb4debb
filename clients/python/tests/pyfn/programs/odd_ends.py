"""Odd ends that fit nowhere else. See `test_programs.py`."""

import collections
import functools
import json
import os
import sys
import types
import urllib
import urllib.parse
from typing import Any

THIS = sys.modules[__name__]
HERE = urllib
REFUSED = {"p_an_own_subclass_of_partial": "Call cannot be sent"}


def p_a_module_under_a_local_name() -> Any:
    u = urllib
    return u.parse.quote("a b")


def p_a_module_under_another_global_name() -> Any:
    return HERE.parse.quote("a b")


def p_a_module_of_the_own_module() -> Any:
    return THIS.json.dumps([1]), THIS.os.path.join("a", "b")


def p_a_name_set_on_the_own_module_by_attribute() -> Any:
    THIS.added = 5
    found = THIS.added
    del THIS.added
    return found


def _deleting():
    x = 1

    def drop():
        nonlocal x
        del x

    def get():
        return x

    def put(value):
        nonlocal x
        x = value

    return drop, get, put


DROP, GET, PUT = _deleting()


def p_a_variable_that_another_function_deletes() -> Any:
    PUT(2)
    found = [GET()]
    DROP()
    try:
        GET()
    except NameError as error:
        found.append("x" in str(error))
    PUT(3)
    return found, GET()


class Call(functools.partial):
    def twice(self):
        return self(), self()


CALL = Call(len, "abc")


def p_an_own_subclass_of_partial() -> Any:
    return CALL(), CALL.twice()


class Any_:
    def __getattr__(self, name):
        return f"<{name}>"

    def __call__(self, x):
        return x


class Silent:
    def __getattr__(self, name):
        return None


ANY = [Any_(), {"s": Silent()}]
WRAPPED = functools.partial(Any_(), 3)


def _with_any(x=ANY[0], y=Silent()):
    return x.a, y.b, x.__fabric_function__


def p_objects_with_every_attribute_in_containers() -> Any:
    return ANY[0].x, ANY[1]["s"].x, WRAPPED(), _with_any()


class Meta(type):
    def __getattr__(cls, name):
        return f"class {name}"


class WithMeta(metaclass=Meta):
    x = 1


def p_a_class_with_every_attribute() -> Any:
    return WithMeta.x, WithMeta.other, WithMeta().x


class Same:
    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        raise TypeError("never compare")

    __hash__ = None

    def __bool__(self):
        raise TypeError("no truth")

    def __len__(self):
        return -1

    def __iter__(self):
        raise TypeError("no items")

    def get(self):
        return self.x


SAME = Same([1])
SAME_GET = SAME.get
SAMES = [SAME, SAME, {"s": SAME}]


def p_an_object_that_cannot_be_compared_or_tested() -> Any:
    return SAME_GET(), SAMES[0] is SAMES[1] is SAMES[2]["s"] is SAME


def old(x):
    return "old", x


class Namespace:
    def method(self):
        return old(1)


KEPT_METHOD = Namespace.method
KEPT_OBJECT = Namespace()


def old(x):
    return "new", x


def p_a_method_uses_the_latest_function_of_a_name() -> Any:
    return KEPT_METHOD(KEPT_OBJECT), old(2)


COPY = types.FunctionType(old.__code__, globals(), "copied", None, None)
DEFAULTED = types.FunctionType(p_a_module_under_another_global_name.__code__, globals(), "defaulted")
COPY.mark = 1


def p_functions_made_from_code() -> Any:
    return COPY(3), COPY.__name__, COPY.mark, DEFAULTED(), COPY is old


def _shared_code(n):
    def f(x=n):
        return f.tag, x, n

    f.tag = n * 10
    return f


COPIES = [_shared_code(i) for i in range(3)]


def p_functions_of_one_code_with_different_attributes() -> Any:
    return [f() for f in COPIES], COPIES[0].__code__ is COPIES[1].__code__


def __hidden():
    return "hidden"


__value = 4


def p_names_that_begin_with_two_underscores() -> Any:
    return __hidden(), __value


class Hidden:
    def run(self):
        return _Hidden__value, [_Hidden__value for _ in "a"], (lambda: _Hidden__value)()


_Hidden__value = 6


def p_private_global_names_in_a_class() -> Any:
    return Hidden().run()


def _conditional(flag):
    if flag:
        import math

        value = math.floor(1.5)
    else:
        value = 0

    def inner():
        nonlocal value
        value += 1
        return value

    return inner


INNER = _conditional(True)


def p_a_local_import_around_a_closure() -> Any:
    first = INNER()
    return INNER() - first, _conditional(False)()


Entry = collections.namedtuple("Entry", "key value", defaults=(None,))
ENTRIES = [Entry("a"), Entry("b", [1])]
LOOKUP = {entry: entry.key for entry in [Entry("x", 1), Entry("y", (2,))]}


def p_named_tuples_in_containers() -> Any:
    return ENTRIES, LOOKUP[Entry("x", 1)], [e._replace(value=0) for e in ENTRIES]


def p_locals_and_dir() -> Any:
    a, b = 1, [2]
    return sorted(locals()), sorted(vars(types.SimpleNamespace(a=a, b=b)))


def p_eval_with_names_given() -> Any:
    return eval("x + y", {"x": 1}, {"y": 2}), eval("len(z)", {"z": [1]})


def p_code_made_and_run_inside() -> Any:
    space = {"n": 2}
    exec("def f(x):\n    return x * n\ny = [f(i) for i in range(3)]", space)
    return space["y"], space["f"](5)


TEXT = json.dumps({"a": os.sep})
if TEXT:
    DEEP = lambda: (lambda: (lambda: TEXT)())()


def p_a_name_three_lambdas_deep() -> Any:
    return DEEP()


def _gen_class():
    for name in ("A", "B"):

        class Made:
            label = name

            def get(self, name=name):
                return self.label, name, Made.label

        yield Made


MADE_A, MADE_B = _gen_class()


def p_classes_made_in_a_generator() -> Any:
    return MADE_A().get(), MADE_B().get(), MADE_A is MADE_B
