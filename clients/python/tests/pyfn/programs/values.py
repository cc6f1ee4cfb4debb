"""Values as globals, default values and results, and instances as values. See `test_programs.py`."""

from __future__ import annotations

import array
import collections
import copy
import datetime
import decimal
import fractions
import functools
import io
import itertools
import operator
import pathlib
import random
import re
import string
import threading
import types
import uuid
import weakref
from typing import Any

INTS = [0, -1, 2**63, -(2**64), 10**400, True]
FLOATS = [0.1, -0.0, float("inf"), float("-inf"), 1e308, 5e-324, 3.0]
NAN = float("nan")
TEXTS = ["", "ключ", "\ud800", "\x00\n", "😀", "$x", '"\\']
BYTES = [b"", b"\xff\x00", bytearray(b"ab")]


def p_numbers() -> list[Any]:
    return [INTS, FLOATS, [type(one).__name__ for one in INTS + FLOATS], NAN != NAN]


def p_zero_keeps_its_sign() -> list[Any]:
    return [str(FLOATS[1]), str(complex(-0.0, -0.0)), -0.0]


def p_text() -> list[Any]:
    return [TEXTS, [len(one) for one in TEXTS]]


def p_bytes() -> list[Any]:
    return [BYTES, [type(one).__name__ for one in BYTES]]


NESTED = {
    "a": [1, (2, {3: {"b", "c"} - {"c"}})],
    (1, (2, 3)): frozenset([frozenset([1])]),
    None: ...,
    1.5: {True: False},
}


def p_nested_containers() -> Any:
    return [NESTED["a"], NESTED[1, (2, 3)], NESTED[None] is ..., NESTED[1.5]]  # type: ignore[index]


def p_keys_of_equal_value() -> Any:
    return [{1: "int"}, {1.0: "float"}, {True: "bool"}, {"1": "str"}, {"$tuple": [1]}, {"$float": "nan", "b": 1}]


DOLLARS = {"$ref": 0, "$shared": {"$tuple": []}, "$": [{"$object": 1}]}


def p_keys_that_look_like_tags() -> Any:
    return DOLLARS


SETS = [{1, 2}, frozenset("ab"), {(1, 2), (3, (4,))}, set(), {frozenset([1]), frozenset([2])}]


def p_sets() -> Any:
    return [sorted(SETS[0]), sorted(SETS[1]), sorted(SETS[2], key=str), SETS[3], len(SETS[4])]  # type: ignore


SHARED = [1]
PAIR = (SHARED, {"s": SHARED}, [SHARED, SHARED])
CYCLE: list[Any] = [1]
CYCLE.append({"cycle": CYCLE})
CYCLIC_TUPLE: tuple[Any, ...] = ([],)
CYCLIC_TUPLE[0].append(CYCLIC_TUPLE)


def p_shared_values_stay_shared() -> list[bool]:
    return [PAIR[0] is SHARED, PAIR[1]["s"] is SHARED, PAIR[2][0] is PAIR[2][1]]


def p_values_in_cycles() -> bool:
    return CYCLE[1]["cycle"] is CYCLE  # type: ignore[no-any-return]


def p_a_tuple_in_a_cycle() -> bool:
    return CYCLIC_TUPLE[0][0] is CYCLIC_TUPLE


QUEUE = collections.deque([1], maxlen=3)
QUEUE.append(QUEUE)  # type: ignore[arg-type]
FACTORY: Any = collections.defaultdict(list, a=[1])
FACTORY["self"] = FACTORY


def p_a_deque_in_a_cycle() -> bool:
    return QUEUE[1] is QUEUE


def p_a_defaultdict_in_a_cycle() -> bool:
    return FACTORY["self"] is FACTORY


COUNTER: Any = collections.Counter(a=1)
COUNTER["self"] = [COUNTER]
NAMESPACE = types.SimpleNamespace(a=1)
NAMESPACE.me = NAMESPACE
CHAIN_CYCLE: Any = collections.ChainMap({})
CHAIN_CYCLE["me"] = CHAIN_CYCLE


def p_a_counter_in_a_cycle() -> bool:
    return COUNTER["self"][0] is COUNTER


def p_a_namespace_in_a_cycle() -> bool:
    return NAMESPACE.me is NAMESPACE


def p_a_chain_map_in_a_cycle() -> bool:
    return CHAIN_CYCLE["me"] is CHAIN_CYCLE


COLLECTED = [
    collections.OrderedDict(b=1, a=2),
    collections.Counter("hello"),
    collections.defaultdict(int, x=1),
    collections.deque([1, 2], maxlen=2),
    collections.ChainMap({"a": 1}, {"b": 2}),
    types.SimpleNamespace(a=1, b=[2]),
]


def p_containers_of_collections() -> list[Any]:
    made = copy.deepcopy(COLLECTED)
    made[2]["y"] += 5  # type: ignore[index,operator]
    made[3].append(3)  # type: ignore[union-attr]
    return [made[0], made[1], made[2], made[3], made[4]["b"], len(made[4].maps), made[5].b]  # type: ignore


def _make() -> str:
    return "made"


OWN_FACTORY: Any = collections.defaultdict(_make, k="v")
LAMBDA_FACTORY: Any = collections.defaultdict(lambda: collections.defaultdict(int))
LAMBDA_FACTORY["a"]["b"] += 1


def p_a_defaultdict_with_an_own_factory() -> Any:
    return [OWN_FACTORY["k"], OWN_FACTORY["new"]]


def p_a_defaultdict_of_defaultdicts() -> Any:
    made = copy.copy(LAMBDA_FACTORY)
    return [made["a"]["b"], made["x"]["y"]]


CHAIN = collections.ChainMap({"a": 1}, {"a": 2, "b": 3})
SPACE = types.SimpleNamespace(x=1, y=[SHARED], f=lambda x: x + 1)
PROXY = types.MappingProxyType({"a": [1]})


def p_chain_maps() -> Any:
    return [CHAIN["a"], CHAIN["b"], CHAIN.parents["a"], type(CHAIN).__name__]


def p_namespaces_and_proxies() -> Any:
    return [SPACE.x, SPACE.y[0] is SHARED, SPACE.f(1), PROXY["a"], type(PROXY).__name__]


DAY = datetime.date(2024, 2, 29)
EAST = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
NAMED = datetime.timezone(datetime.timedelta(hours=-3), "BRT")
TIMES = [
    datetime.datetime(2024, 1, 2, 3, 4, 5, 6),
    datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc),
    datetime.datetime(2024, 1, 2, tzinfo=EAST, fold=1),
    datetime.datetime(1, 1, 1, tzinfo=NAMED),
    datetime.time(1, 2, 3, tzinfo=EAST),
    datetime.timedelta(days=-1, microseconds=1),
    DAY,
    datetime.datetime.max,
]


def p_dates_and_times() -> Any:
    return [TIMES, TIMES[3].tzname(), TIMES[2].fold, TIMES[1].utcoffset()]  # type: ignore[union-attr]


ZONES = [datetime.timezone.utc, EAST, NAMED]


def p_zones_as_globals() -> Any:
    return [str(one) for one in ZONES] + [ZONES[0] is datetime.timezone.utc]


EXACT = [
    decimal.Decimal("1.10"),
    decimal.Decimal("-0"),
    decimal.Decimal("NaN"),
    decimal.Decimal("sNaN"),
    decimal.Decimal("1E+10"),
]
FRACTION = fractions.Fraction(-3, 7)
ID = uuid.UUID(int=7)


def p_exact_numbers() -> Any:
    return [EXACT, FRACTION, FRACTION + 1, ID, ID.version]


CONTEXT = decimal.Context(prec=5, rounding=decimal.ROUND_UP)


def p_a_decimal_context() -> Any:
    return CONTEXT.divide(decimal.Decimal(1), decimal.Decimal(3))


RANGES = [range(3), range(10, 0, -3), range(10**30)]
SLICES = [slice(1, 2), slice(None, None, -1), slice("a", [1])]


def p_ranges() -> Any:
    return [RANGES, list(RANGES[1])]


def p_slices() -> Any:
    return ["abc"[SLICES[1]], [*range(5)][SLICES[0]], str(SLICES[2])]


SINGLES = [Ellipsis, NotImplemented, None, ...]


def p_singletons() -> Any:
    return [SINGLES[0] is ..., SINGLES[1] is NotImplemented, SINGLES[2] is None]


COMPLEX = [1 + 2j, complex("nan"), complex(-0.0, float("inf"))]


def p_complex_numbers() -> Any:
    return [str(one) for one in COMPLEX]


PATTERN = re.compile(r"(?P<word>\w+)-(\d+)", re.I | re.X)
BYTES_PATTERN = re.compile(rb"\d+")
FIND = re.compile("b+").findall


def p_patterns() -> Any:
    found = PATTERN.match("ABC-12")
    return [
        found and found.groups(),
        PATTERN.flags == re.compile("x", re.I | re.X).flags,
        BYTES_PATTERN.findall(b"1a22"),
    ]


def p_methods_of_patterns() -> Any:
    return FIND("abbab")


ARRAY = array.array("d", [1.5, 2.5])
INT_ARRAY = array.array("i", [1, -2])


def p_arrays() -> Any:
    return [list(ARRAY), ARRAY.typecode, list(INT_ARRAY), INT_ARRAY.itemsize]


PATH = pathlib.PurePosixPath("/a/b.txt")
TEMPLATE = string.Template("$x and $y")
GET = operator.itemgetter(1, "a")
GET_NAME = operator.attrgetter("real", "imag")
CALL = operator.methodcaller("split", ",", maxsplit=1)


def p_objects_of_the_library() -> Any:
    return [str(PATH.with_suffix(".md")), TEMPLATE.substitute(x=1, y=2), GET_NAME(1j), CALL("a,b,c")]


def p_getters() -> Any:
    return [operator.itemgetter(1)([5, 6]), GET({1: "one", "a": "A"})]


RANDOM = random.Random(42)
EXPECTED = random.Random(42).random()


def p_a_random_generator() -> Any:
    return copy.copy(RANDOM).random() == EXPECTED


PARTIAL = functools.partial(pow, 2, mod=5)
OWN_PARTIAL = functools.partial(lambda a, b, c=3: (a, b, c), 1, c=9)
NESTED_PARTIAL = functools.partial(OWN_PARTIAL, 2)
METHODS = [[3, 1].count, "a-b".split, {"k": 1}.get, (1, 2).index, b"ab".hex, {1}.issubset]
KEY = functools.cmp_to_key(lambda a, b: b - a)


def p_partials() -> Any:
    return [PARTIAL(3), OWN_PARTIAL(2), NESTED_PARTIAL(), OWN_PARTIAL.keywords]


def p_methods_of_values() -> Any:
    return [METHODS[0](3), METHODS[1]("-"), METHODS[2]("k"), METHODS[3](2), METHODS[4](), METHODS[5]({1, 2})]  # type: ignore


def p_a_comparison_as_key() -> Any:
    return sorted([1, 3, 2], key=KEY)


BUILT_IN = [
    len,
    max,
    print,
    int,
    dict.fromkeys,
    str.upper,
    int.__add__,
    operator.add,
    list.append,
    object,
    type,
    isinstance,
]


def p_built_in_functions() -> Any:
    return [BUILT_IN[0]("ab"), BUILT_IN[1](1, 2), BUILT_IN[3]("3"), BUILT_IN[4]("ab"), BUILT_IN[7](1, 2)]  # type: ignore


def p_methods_of_built_in_types() -> Any:
    return [BUILT_IN[5]("a"), BUILT_IN[6](1, 2), [*map(str.lower, "AB")]]  # type: ignore


def p_built_in_types() -> Any:
    return [BUILT_IN[9] is object, BUILT_IN[10] is type]


class Thing:
    def __init__(self, name: str) -> None:
        self.name = name
        self.more: Any = None

    def hello(self, other: str = "") -> str:
        return f"{self.name} {other}"


ONE, TWO = Thing("one"), Thing("two")
ONE.more, TWO.more = TWO, ONE
ONE.callback = TWO.hello  # type: ignore[attr-defined]
TWO.callback = lambda: ONE.name  # type: ignore[attr-defined]
BOUND = [ONE.hello, TWO.hello]


def p_instances_in_cycles() -> Any:
    return [ONE.more.more is ONE, ONE.callback("x"), TWO.callback(), BOUND[0]("b"), BOUND[0].__self__ is ONE]  # type: ignore


def _default(items: list[Any] = [SHARED], thing: Thing = ONE) -> Any:  # noqa: B006
    return [items[0] is SHARED, thing is ONE]


def p_default_values_share_with_globals() -> Any:
    return _default()


class WithState:
    def __init__(self) -> None:
        self.kept, self.cache = 1, "heavy"

    def __getstate__(self) -> dict[str, Any]:
        return {"kept": self.kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, cache="restored")


class WithReduce:
    def __init__(self, x: int) -> None:
        self.x = x

    def __reduce__(self) -> Any:
        return (WithReduce, (self.x + 100,))


STATE, REDUCE = WithState(), WithReduce(1)


def p_instances_with_getstate() -> Any:
    return [STATE.kept, hasattr(STATE, "cache")]


def p_instances_with_reduce() -> Any:
    return REDUCE.x in (1, 101)


class WithLock:
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: Any) -> None:
        self.lock = threading.Lock()


WITH_LOCK = WithLock()


def p_an_instance_whose_getstate_leaves_out_a_lock() -> bool:
    return hasattr(WITH_LOCK, "lock")


LOCK, REFERENCE, FILE = threading.Lock(), weakref.ref(ONE), io.StringIO("text")
GENERATOR = (i for i in range(3))
COUNT, ITERATOR, MAPPED = itertools.count(5), iter([1, 2]), map(str, [1])
WEAK: Any = weakref.WeakValueDictionary(a=ONE)
REFUSED = {
    "p_a_lock": "is valid in one process only",
    "p_a_reference": "cannot be sent",
    "p_a_file": "an open file cannot be sent",
    "p_a_generator": "a generator cannot be sent while it is suspended",
    "p_a_weak_dict": "cannot be sent",
    "p_a_lock_in_an_instance": "is valid in one process only",
    "p_an_instance_whose_getstate_leaves_out_a_lock": "is valid in one process only",
    "p_a_tuple_in_a_cycle": "a tuple that contains itself cannot be sent",
    "p_a_comparison_as_key": "cannot be sent",
    "p_a_match_is_refused": "a value of type re.Match cannot be sent",
    "p_a_view_of_a_dict": "cannot be sent",
    "p_a_view_of_bytes": "a value of type builtins.memoryview cannot be sent",
}


def p_a_lock() -> Any:
    return LOCK


def p_a_reference() -> Any:
    return REFERENCE()


def p_a_file() -> Any:
    return FILE.read()


def p_a_generator() -> Any:
    return list(GENERATOR)


def p_a_weak_dict() -> Any:
    return list(WEAK)


LOCKED = Thing("locked")
LOCKED.more = {"lock": [threading.RLock()]}


def p_a_lock_in_an_instance() -> Any:
    return LOCKED.name


def p_copies_and_pickles_there() -> Any:
    import pickle

    made = pickle.loads(pickle.dumps(ONE.more.name))
    deep = copy.deepcopy([SHARED, PAIR])
    return [made, deep[0] is deep[1][0], copy.copy(STATE).cache, copy.deepcopy(REDUCE).x - REDUCE.x]  # type: ignore[index]


def p_an_instance_is_pickled_there() -> Any:
    import pickle

    made = pickle.loads(pickle.dumps(Thing("pickled")))
    return [made.name, type(made) is Thing, made.hello()]


def p_an_instance_is_copied_there() -> Any:
    made = copy.deepcopy(Thing("copied"))
    return [made.name, made.more, copy.copy(ONE).more is TWO]


def p_returns_shared_values() -> Any:
    shared = [1]
    return [shared, shared, {"a": shared}]


def p_returns_many_types() -> Any:
    found = [1j, b"x", {1, 2}, (1,), None, collections.deque([1], 2), collections.Counter("aa"), range(3), 2**200]
    return [*found, decimal.Decimal("1.0"), fractions.Fraction(1, 3), uuid.UUID(int=1), DAY, float("-inf"), -0.0]


def p_returns_an_instance() -> str:
    return Thing("returned").hello()


BIG = {f"key {i}": [i, (i, str(i))] for i in range(3000)}


def p_a_large_dict() -> Any:
    return [len(BIG), BIG["key 2999"], list(BIG)[:2], sum(one[0] for one in BIG.values())]  # type: ignore[misc]


DEEP: Any = []
for _ in range(150):
    DEEP = [DEEP]


def p_deep_nesting() -> int:
    depth, left = 0, DEEP
    while left:
        depth, left = depth + 1, left[0]
    return depth


LINKED: Any = None
for _number in range(150):
    _next = Thing(str(_number))
    _next.more = LINKED
    LINKED = _next


def p_a_linked_list() -> list[Any]:
    names, left = [], LINKED
    while left:
        names.append(left.name)
        left = left.more
    return [len(names), names[0], names[-1]]


VERSION = re.match(r"(\d+)", "12")


def p_a_match_is_refused() -> Any:
    return VERSION and VERSION.group(1)


BOUND_PARTIAL = functools.partial(ONE.hello, "partial")
METHOD_TYPE = types.MethodType(lambda self, x: (self.name, x), TWO)
METHOD_ON_LIST = types.MethodType(len, [1, 2, 3])


def p_methods_made_by_hand() -> Any:
    return [BOUND_PARTIAL(), METHOD_TYPE(4), METHOD_TYPE.__self__ is TWO, METHOD_ON_LIST()]


SORTED = sorted(["b", "A"], key=str.lower)
ENVIRONMENT: Any = dict.fromkeys("ab", SHARED)


def p_values_of_fromkeys_are_shared() -> Any:
    return [SORTED, ENVIRONMENT["a"] is ENVIRONMENT["b"], ENVIRONMENT["a"] is SHARED]


VIEW = {"a": 1}.keys()
MEMORY = memoryview(b"abc")


def p_a_view_of_a_dict() -> Any:
    return sorted(VIEW)


def p_a_view_of_bytes() -> Any:
    return bytes(MEMORY)


ODD_KEYS = {Thing: 1, len: 2, ONE: 3, (ONE, 4): 5, ...: 6, PATTERN: 7}


def p_odd_keys() -> Any:
    return [ODD_KEYS[Thing], ODD_KEYS[len], ODD_KEYS[ONE], ODD_KEYS[ONE, 4], ODD_KEYS[...], ODD_KEYS[PATTERN]]


class Empty:
    pass


SENTINEL, OTHER_SENTINEL = object(), Empty()


def _with_sentinel(x: Any = SENTINEL, y: Any = OTHER_SENTINEL) -> list[bool]:
    return [x is SENTINEL, y is OTHER_SENTINEL]


def p_sentinels() -> list[bool]:
    return [*_with_sentinel(), *_with_sentinel(1, 2)]


def p_an_object_as_sentinel() -> bool:
    return SENTINEL is not None


class Holds:
    sentinel = object()
    table = {"s": sentinel}


def p_an_object_shared_inside_a_class() -> bool:
    return Holds.sentinel is Holds.table["s"]


GLOBAL_LIST: list[int] = [1]


class Sharing:
    items = GLOBAL_LIST
    more = {"items": GLOBAL_LIST}

    def get(self, items: Any = GLOBAL_LIST) -> Any:
        return items


def p_class_attributes_share_with_globals() -> Any:
    return [Sharing.items is GLOBAL_LIST, Sharing.more["items"] is GLOBAL_LIST, Sharing().get() is GLOBAL_LIST]
