"""Closures: shared, empty, recursive and late variables of enclosing functions. See `test_programs.py`."""

# ruff: noqa: B023, E731

import json
import math
from typing import Any


def _counter():
    n = 0

    def bump(by=1):
        nonlocal n
        n += by
        return n

    def read():
        return n

    def reset():
        nonlocal n
        n = 0

    return bump, read, reset


BUMP, READ, RESET = _counter()
OTHER_BUMP, OTHER_READ, _ = _counter()


def p_two_functions_share_a_variable() -> Any:
    RESET()
    BUMP()
    BUMP(5)
    return READ()


def p_two_makings_do_not_share_variables() -> Any:
    RESET()
    before = OTHER_READ()
    BUMP(3)
    return OTHER_READ() == before, READ()


def _late():
    def use():
        return value

    value = 1
    value = 2
    return use


LATE = _late()


def p_a_variable_has_its_last_value() -> Any:
    return LATE()


def _loop():
    return [lambda: i for i in range(3)], [(lambda j: lambda: j)(i) for i in range(3)]


ALL_LAST, EACH = _loop()


def p_functions_of_a_loop_share_its_variable() -> Any:
    return [f() for f in ALL_LAST], [f() for f in EACH]


def _empty():
    def use():
        return never

    if math.pi < 0:
        never = 1
    return use


EMPTY = _empty()


def p_a_variable_without_a_value() -> Any:
    try:
        return EMPTY()
    except NameError as error:
        # Its text depends on the version of Python.
        return "never" in str(error)


def _deleted():
    value = 1

    def use(flag):
        return value if flag else "unused"

    del value
    return use


DELETED = _deleted()


def p_a_variable_that_was_deleted() -> Any:
    found = [DELETED(False)]
    try:
        DELETED(True)
    except NameError as error:
        found.append("value" in str(error))
    return found


def _recursive():
    def fact(n):
        return 1 if n < 2 else n * fact(n - 1)

    return fact


FACT = _recursive()


def p_a_nested_function_calls_itself() -> Any:
    return FACT(10)


def _mutual():
    def even(n):
        return True if n == 0 else odd(n - 1)

    def odd(n):
        return False if n == 0 else even(n - 1)

    return even, odd


EVEN, ODD = _mutual()


def p_nested_functions_call_each_other() -> Any:
    return EVEN(10), ODD(7), EVEN(3)


def _named():
    def add():
        return "add"

    def kind():
        """kind"""
        return ["kind", "_named.<locals>.kind", ("kind",), {"kind": "kind"}]

    return add, kind


ADD_NAME, KIND = _named()


def p_a_nested_function_returns_its_own_name() -> Any:
    return ADD_NAME(), KIND(), KIND.__doc__


def p_qualified_names_of_nested_functions() -> Any:
    def inner():
        def innermost():
            pass

        return innermost

    return ADD_NAME.__qualname__, inner.__qualname__, inner().__qualname__, (lambda: 0).__qualname__


def _holding(module, cls, function, nothing):
    def use():
        return module.dumps([1]), cls("3"), function(4), nothing

    return use


HOLDING = _holding(json, int, math.sqrt, None)


def p_variables_that_hold_a_module_a_class_a_function_and_none() -> Any:
    return HOLDING()


class Point:
    def __init__(self, x):
        self.x = x

    def adder(self):
        def add(y):
            self.x += y
            return self.x

        return add

    def private(self):
        __hidden = 5

        def show():
            return __hidden

        def inner():
            nonlocal __hidden
            __hidden = 6
            return __hidden

        return show, inner

    def own_class(self):
        return lambda: (__class__.__name__, type(self) is __class__)


POINT = Point(1)
POINT_ADD = POINT.adder()
SHOW, SHOW_INNER = POINT.private()
OWN_CLASS = POINT.own_class()


def p_a_closure_over_self_is_about_the_same_object() -> Any:
    POINT.x = 1
    POINT_ADD(4)
    return POINT.x


def p_private_variables_of_a_method() -> Any:
    SHOW_INNER()
    return SHOW()


def p_a_nested_function_knows_the_class_around_it() -> Any:
    return OWN_CLASS()


class Child(Point):
    def adder(self):
        def inner():
            return super(Child, self).adder()(10)

        return inner

    def short(self):
        first = self

        def inner(this):
            return super().adder()(100) if this is first else None

        return inner


CHILD = Child(0)
CHILD_ADD, CHILD_SHORT = CHILD.adder(), CHILD.short()


def p_super_in_nested_functions() -> Any:
    CHILD.x = 0
    return CHILD_ADD(), CHILD_SHORT(CHILD)


def _in_list():
    made = []

    def f():
        return made[0] is f, len(made)

    made.append(f)
    return f


IN_LIST = _in_list()


def p_a_variable_holds_a_list_with_the_function_itself() -> Any:
    return IN_LIST()


TABLE = {"a": 1}


def _over_global(table):
    def put(key):
        table[key] = True
        return table is TABLE

    return put


PUT = _over_global(TABLE)


def p_a_closure_and_a_global_variable_hold_the_same_dict() -> Any:
    same = PUT("z")
    found = sorted(TABLE)
    del TABLE["z"]
    return same, found


def _three(a):
    def two(b):
        x = a

        def three(c):
            nonlocal x
            x += c
            return a, b, c, x

        return three

    return two


THREE = _three(1)(2)


def p_three_levels_of_functions() -> Any:
    return THREE(0)


def _class_inside(base):
    class Inner:
        offset = base + 1

        def get(self):
            return base, self.offset

        @staticmethod
        def doubled():
            return [base * k for k in range(3)]

    return Inner


INNER = _class_inside(7)


def p_methods_see_the_function_around_their_class() -> Any:
    return INNER().get(), INNER.doubled()


def _comprehended(n):
    def use():
        return (
            [n + i for i in range(2)],
            {n: i for i in range(1)},
            sum(n for _ in range(3)),
            [[n for _ in "a"] for _ in "b"],
        )

    return use


COMPREHENDED = _comprehended(4)


def p_variables_used_in_comprehensions_only() -> Any:
    return COMPREHENDED()


def _shadow():
    len = lambda x: "mine"
    print = None

    def use():
        return len([1]), print

    return use


SHADOW = _shadow()


def p_variables_that_hide_builtins() -> Any:
    return SHADOW(), len([1])


def _same_names(_outer, code, cells):
    def f():
        return _outer, code, cells

    return f


SAME_NAMES = _same_names(1, 2, 3)


def _outer():
    def _outer(x=0):
        return x if x > 2 else _outer(x + 1)

    return _outer


NAMED_OUTER = _outer()


def p_functions_and_variables_called_outer() -> Any:
    return SAME_NAMES(), NAMED_OUTER(), _outer()(1)


def _unused():
    handle = (i for i in range(3))
    used = 1

    def f():
        return used

    def g():
        return list(handle)

    return f, g


UNUSED, _USED = _unused()


def p_a_suspended_generator_beside_the_function_is_not_sent() -> Any:
    return UNUSED()


def _dead(log):
    def f(x):
        if False:
            return log
        return x

    return f


DEAD = _dead([1])


def p_variables_in_code_that_never_runs() -> Any:
    return DEAD(3)


def _composed(*functions):
    def run(x):
        for f in functions:
            x = f(x)
        return x

    return run


COMPOSED = _composed(str, len, float, lambda x: x + 1, _composed(int, hex))


def p_functions_composed_of_functions() -> Any:
    return COMPOSED(12345)


def _y(f):
    return (lambda x: f(lambda v: x(x)(v)))(lambda x: f(lambda v: x(x)(v)))


Y_FACT = _y(lambda rec: lambda n: 1 if n == 0 else n * rec(n - 1))


def p_recursion_without_names() -> Any:
    return Y_FACT(6)


def _nonlocal_class():
    total = 0

    class Adder:
        def add(self, n):
            nonlocal total
            total += n
            return self

        def get(self):
            return total

    return Adder


ADDER = _nonlocal_class()


def p_methods_change_a_variable_around_their_class() -> Any:
    before = ADDER().get()
    return ADDER().add(2).add(3).get() - before


def _accumulators():
    store = {}

    def make(name):
        def add(x):
            store.setdefault(name, []).append(x)
            return len(store)

        return add

    return make, store


MAKE_ACC, STORE = _accumulators()
ACC_A, ACC_B = MAKE_ACC("a"), MAKE_ACC("b")


def p_closures_of_different_levels_share_a_dict() -> Any:
    STORE.clear()
    ACC_A(1)
    ACC_B(2)
    MAKE_ACC("c")(3)
    return STORE


def _reuse():
    x = 1
    f = lambda: x
    x = 2
    g = lambda: x
    return f, g


REUSE_F, REUSE_G = _reuse()


def p_functions_over_the_same_cell() -> Any:
    same = REUSE_F.__closure__[0] is REUSE_G.__closure__[0]
    REUSE_F.__closure__[0].cell_contents = 10
    found = REUSE_G()
    REUSE_F.__closure__[0].cell_contents = 2
    return same, found


def p_a_local_function_with_annotations() -> Any:
    def add(x: int, y: "float" = 1.5) -> Any:
        total: Any = x + y
        return total

    return add(1)


def _argument_cells(a, *args, k=3, **kwargs):
    def f():
        return a, args, k, kwargs

    return f


ARGUMENT_CELLS = _argument_cells(1, 2, 3, z=4)


def p_arguments_as_variables() -> Any:
    return ARGUMENT_CELLS()


def _exception_cell():
    try:
        raise ValueError("kept")
    except ValueError as error:
        kept = error

        def f():
            try:
                return error
            except NameError:
                return str(kept), kept.args

    return f


EXCEPTION_CELL = _exception_cell()


def p_an_exception_as_variable_and_its_deleted_name() -> Any:
    return EXCEPTION_CELL()
