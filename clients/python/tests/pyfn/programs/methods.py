"""Methods and other callables as global variables. See `test_programs.py`."""

import collections
import contextlib
import functools
import operator
from typing import Any

LOG = []


def noted(f):
    def wrapper(*args):
        LOG.append(f.__name__)
        return f(*args)

    return wrapper


class Base:
    def name(self):
        return f"base {self.x}"

    @classmethod
    def kind(cls):
        return f"base of {cls.__name__}"


class Point(Base):
    made = 0

    def __init__(self, x=0):
        self.x = x

    def move(self, by=1):
        self.x += by
        return self.x

    def name(self):
        return "point"

    @noted
    def noted_move(self, by):
        return self.move(by)

    @classmethod
    def create(cls, x):
        cls.made += 1
        return cls(x)

    @staticmethod
    def plain(x):
        return x * 2

    @property
    def double(self):
        return self.x * 2

    @double.setter
    def double(self, value):
        self.x = value // 2

    @functools.lru_cache
    def cached(self, y):
        return [self.x, y]

    @contextlib.contextmanager
    def moved(self, by):
        self.move(by)
        yield self.x
        self.move(-by)

    @functools.singledispatchmethod
    def put(self, value):
        return "other"

    @put.register
    def _(self, value: int):
        return "int"

    def __secret(self):
        return "secret", self.x

    def secret(self):
        return self.__secret

    def base_name(self):
        return super().name

    def base_kind(self):
        return super().kind

    def __call__(self, y):
        return self.x + y

    def __str__(self):
        return f"P{self.x}"

    def __len__(self):
        return 7

    def __add__(self, other):
        return Point(self.x + other)

    half = functools.partialmethod(move, -1)
    again = move
    by_lambda = lambda self: self.x  # noqa: E731


class Child(Point):
    @classmethod
    def create(cls, x):
        return super().create(x + 100)


POINT, CHILD = Point(1), Child(5)
MOVE, NOTED, CREATE, PLAIN, CACHED, MOVED = (
    POINT.move,
    POINT.noted_move,
    Point.create,
    Point.plain,
    POINT.cached,
    POINT.moved,
)
UNBOUND, GETTER, SETTER, CHILD_CREATE, PUT = Point.move, Point.double.fget, Point.double.fset, Child.create, POINT.put
SECRET, BASE_NAME, BASE_KIND, HALF, AGAIN, BY_LAMBDA = (
    POINT.secret(),
    CHILD.base_name(),
    CHILD.base_kind(),
    POINT.half,
    POINT.again,
    POINT.by_lambda,
)


def _reset():
    POINT.x, Point.made = 1, 0
    LOG.clear()


def p_a_bound_method_changes_the_global_object() -> Any:
    _reset()
    return MOVE(4), POINT.x, MOVE.__self__ is POINT


def p_two_bound_methods_of_one_object() -> Any:
    _reset()
    MOVE(1)
    return AGAIN(1), BY_LAMBDA(), MOVE == AGAIN, UNBOUND(POINT, 5)


def p_a_bound_method_of_a_decorator() -> Any:
    _reset()
    return NOTED(2), LOG


def p_class_methods_of_a_base_and_a_child() -> Any:
    _reset()
    return CREATE(3).x, Point.made, type(CHILD_CREATE(1)).__name__, CHILD_CREATE(1).x, CHILD_CREATE.__self__ is Child


def p_a_static_method() -> Any:
    return PLAIN(4), PLAIN is Point.plain


def p_the_functions_of_a_property() -> Any:
    _reset()
    SETTER(POINT, 10)
    return GETTER(POINT), POINT.x


def p_a_bound_cached_method() -> Any:
    _reset()
    return CACHED(2) is CACHED(2), POINT.cached(2) is CACHED(2)


def p_a_bound_context_manager() -> Any:
    _reset()
    with MOVED(10) as x:
        found = x
    return found, POINT.x


def p_a_bound_single_dispatch_method() -> Any:
    return PUT(1), PUT("a")


def p_a_private_bound_method() -> Any:
    _reset()
    return SECRET()


def p_bound_methods_of_super() -> Any:
    return BASE_NAME(), BASE_KIND(), CHILD.name()


def p_a_bound_partial_method() -> Any:
    _reset()
    return HALF(), POINT.x


LENGTH, TEXT, ADDED, CALL = POINT.__len__, POINT.__str__, POINT.__add__, POINT.__call__
INT_ADD, OBJECT_REPR, TUPLE_NEW, DICT_GET = int.__add__, object.__repr__, tuple.__new__, dict.get
LIST_APPEND, STR_JOIN, FLOAT_HEX, TYPE_CALL = list.append, str.join, float.fromhex, type.__call__


def p_special_methods() -> Any:
    _reset()
    return LENGTH(), TEXT(), ADDED(1).x, CALL(1), POINT(2)


def p_methods_of_builtin_types() -> Any:
    made = [1]
    LIST_APPEND(made, 2)
    return INT_ADD(1, 2), TUPLE_NEW(tuple, [1]), DICT_GET({1: 2}, 1), made, STR_JOIN("-", "ab"), FLOAT_HEX("0x1p1")


def p_the_repr_of_object() -> Any:
    return OBJECT_REPR(POINT).startswith("<"), TYPE_CALL(Point, 9).x


TABLE = {"move": POINT.move, "create": Point.create, "len": len, "point": POINT, "class": Point}
STEPS = [MOVE, functools.partial(MOVE, 2), lambda: MOVE(3)]


def p_methods_in_containers() -> Any:
    _reset()
    TABLE["move"](1)
    return [step() for step in STEPS], POINT.x, TABLE["class"] is Point, TABLE["move"].__self__ is TABLE["point"]


class Emitter:
    def __init__(self):
        self.listeners = []
        self.seen = []
        self.add(self.record)

    def add(self, listener):
        self.listeners.append(listener)
        return self

    def record(self, x):
        self.seen.append(x)

    def emit(self, x):
        for listener in self.listeners:
            listener(x)
        return self.seen


OTHER = []
EMITTER = Emitter().add(OTHER.append).add(LOG.append)


def p_an_object_that_holds_its_own_methods() -> Any:
    _reset()
    EMITTER.seen.clear()
    EMITTER.emit(1)
    return EMITTER.seen, EMITTER.listeners[0].__self__ is EMITTER, LOG


def _over(method):
    def call(*args):
        return method(*args)

    call.method = method
    return call


OVER = _over(POINT.move)


def p_a_bound_method_as_variable_and_attribute() -> Any:
    _reset()
    return OVER(1), OVER.method(1), OVER.method.__self__ is POINT


def _patched(self):
    return f"patched {self.x}"


PATCHED = Point(8)
PATCHED.name = _patched.__get__(PATCHED)
PATCHED.move = lambda by=0: ("lambda", by)


def p_methods_set_on_an_object() -> Any:
    return PATCHED.name(), PATCHED.move(2), Point.name(PATCHED)


QUEUE = collections.deque([3, 1, 2])
POP, EXTEND = QUEUE.popleft, QUEUE.extend


def p_methods_of_a_deque() -> Any:
    first = POP()
    EXTEND([first])
    found = list(QUEUE)
    QUEUE.rotate(1)
    return first, found, POP.__self__ is QUEUE


SORTED_BY = functools.partial(sorted, key=operator.attrgetter("x"))
MAKE_MANY = functools.partial(map, Point)


def p_partials_of_builtins_and_classes() -> Any:
    return [p.x for p in SORTED_BY(MAKE_MANY([3, 1]))]


CHAIN = lambda x: x  # noqa: E731
for _i in range(1500):
    CHAIN = (lambda f: lambda x: f if x < 0 else x)(CHAIN)


def p_a_chain_of_many_closures() -> Any:
    f, n = CHAIN, 0
    while (g := f(-1)) != -1:
        f, n = g, n + 1
    return n


def _linked(n):
    found = None
    for i in range(n):
        found = (lambda i, rest: lambda: (i, rest))(i, found)
    return found


LINKED = _linked(5)


def p_a_list_made_of_closures() -> Any:
    found, left = [], LINKED
    while left:
        i, left = left()
        found.append(i)
    return found
