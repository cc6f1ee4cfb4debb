"""Identity: one object under several names, and containers that contain themselves. See `test_programs.py`."""

import collections
import functools
import types
from typing import Any

ITEMS = [1]
ALSO = ITEMS
PAIR = (ITEMS, ITEMS)
BY_NAME = {"a": ITEMS, "b": [ITEMS]}


def p_one_list_under_many_names() -> Any:
    ITEMS.append(2)
    found = ALSO, PAIR[0] is PAIR[1], BY_NAME["a"] is BY_NAME["b"][0], PAIR[0] is ALSO, len(BY_NAME["a"])
    copied = list(ITEMS)
    del ITEMS[1:]
    return copied, found[1:]


OWN_LIST = []
OWN_LIST.append(OWN_LIST)
OWN_DICT = {}
OWN_DICT["me"] = OWN_DICT
OWN_DICT[1] = [OWN_DICT]


def p_a_list_and_a_dict_that_contain_themselves() -> Any:
    return OWN_LIST[0] is OWN_LIST, OWN_DICT["me"] is OWN_DICT, OWN_DICT[1][0] is OWN_DICT


REFUSED = {
    "p_a_set_whose_member_holds_the_set": "contains itself",
    "p_a_tuple_that_contains_itself": "contains itself",
    "p_a_named_tuple_that_contains_itself": "contains itself",
}
LOOP_TUPLE = ([],)
LOOP_TUPLE[0].append(LOOP_TUPLE)


def p_a_tuple_that_contains_itself() -> Any:
    return LOOP_TUPLE[0][0] is LOOP_TUPLE


OWN_DEFAULT = collections.defaultdict(list)
OWN_DEFAULT["me"] = OWN_DEFAULT


def p_a_defaultdict_that_contains_itself() -> Any:
    return OWN_DEFAULT["me"] is OWN_DEFAULT, OWN_DEFAULT["new"]


OWN_DEQUE = collections.deque([1], 5)
OWN_DEQUE.append(OWN_DEQUE)


def p_a_deque_that_contains_itself() -> Any:
    return OWN_DEQUE[1] is OWN_DEQUE, OWN_DEQUE.maxlen


OWN_ORDERED = collections.OrderedDict(a=1)
OWN_ORDERED["me"] = OWN_ORDERED


def p_an_ordered_dict_that_contains_itself() -> Any:
    return OWN_ORDERED["me"] is OWN_ORDERED


OWN_SPACE = types.SimpleNamespace(x=1)
OWN_SPACE.me = OWN_SPACE


def p_a_namespace_that_contains_itself() -> Any:
    return OWN_SPACE.me is OWN_SPACE, OWN_SPACE.x


class Node:
    def __init__(self, name):
        self.name = name
        self.near = set()
        self.parent = None
        self.children = []

    def add(self, child):
        child.parent = self
        self.children.append(child)
        return self


ROOT = Node("root").add(Node("a").add(Node("b"))).add(Node("c"))
ROOT.near.add(ROOT)
for _child in ROOT.children:
    _child.near |= {ROOT, *ROOT.children}


def p_a_tree_with_parents() -> Any:
    a, c = ROOT.children
    return a.parent is ROOT, a.children[0].parent is a, a.near == c.near, ROOT in a.near, ROOT.near == {ROOT}


MEMBERS = {Node("m")}
for _member in MEMBERS:
    _member.near = MEMBERS


def p_a_set_whose_member_holds_the_set() -> Any:
    (member,) = MEMBERS
    return member.near is MEMBERS, member.name


NT = collections.namedtuple("NT", "x y")
OWN_NT = NT([], 1)
OWN_NT.x.append(OWN_NT)


def p_a_named_tuple_that_contains_itself() -> Any:
    return OWN_NT.x[0] is OWN_NT, OWN_NT.y


def _call(log, x):
    log.append(x)
    return len(log)


CALLS = []
PARTIAL = functools.partial(_call, CALLS)
CALLS_AGAIN = {"log": CALLS}


def p_an_argument_of_a_partial_function_is_a_global_list() -> Any:
    CALLS.clear()
    PARTIAL("x")
    return CALLS, CALLS_AGAIN["log"] is CALLS, PARTIAL.args[0] is CALLS


OWN_ARGS = []
OWN_PARTIAL = functools.partial(_call, OWN_ARGS)
OWN_ARGS.append(OWN_PARTIAL)


def p_a_partial_function_that_contains_itself() -> Any:
    return OWN_PARTIAL.args[0][0] is OWN_PARTIAL


def p_a_list_with_a_partial_function_that_contains_it() -> Any:
    return OWN_ARGS[0].args[0] is OWN_ARGS


QUEUE = collections.deque()
PUSH = QUEUE.append
ADD = ITEMS.append
SEEN = set()
MARK = SEEN.add
COUNTS = collections.Counter("aab")
MOST = COUNTS.most_common


def p_methods_of_containers_change_the_containers() -> Any:
    QUEUE.clear()
    SEEN.clear()
    PUSH(1)
    MARK("s")
    ADD(3)
    found = list(QUEUE), SEEN, ITEMS[-1], MOST(1), MOST.__self__ is COUNTS
    ITEMS.pop()
    return found


VALUES = {"a": 1}
VIEW = types.MappingProxyType(VALUES)


def p_a_view_of_a_dict_shows_its_changes() -> Any:
    VALUES["b"] = 2
    found = dict(VIEW)
    del VALUES["b"]
    return found


LAYERS = collections.ChainMap(VALUES, {"z": 26})


def p_a_chain_of_dicts_shares_them() -> Any:
    VALUES["c"] = 3
    found = LAYERS["c"], LAYERS["z"], LAYERS.maps[0] is VALUES
    del VALUES["c"]
    return found


MARK_A, MARK_B = object(), object()
MARKS = {MARK_A: "a", MARK_B: "b"}
MARK_LIST = [MARK_A, [MARK_A, MARK_B]]


def p_sentinels_in_containers() -> Any:
    return MARKS[MARK_A], MARKS[MARK_LIST[1][1]], MARK_LIST[0] is MARK_LIST[1][0], MARK_A is MARK_B


def _remember(x, seen=CALLS):
    seen.append(x)
    _remember.seen.append(-x)
    return seen


_remember.seen = CALLS


def _maker():
    log = CALLS

    def f():
        log.append("closure")
        return log is CALLS, log is _remember.seen, log is _remember.__defaults__[0]

    return f


MAKER = _maker()


def p_one_list_is_default_value_attribute_variable_and_global() -> Any:
    CALLS.clear()
    _remember(1)
    return MAKER(), CALLS


BUFFER = bytearray(b"abc")
BUFFERS = [BUFFER, BUFFER]


def p_one_buffer_twice() -> Any:
    BUFFER[0] = 97
    return BUFFERS[0] is BUFFERS[1] is BUFFER, bytes(BUFFER)


GRID = [[0] * 2] * 3


def p_rows_of_a_grid_are_one_list() -> Any:
    GRID[0][0] = 5
    found = [list(row) for row in GRID]
    GRID[0][0] = 0
    return found


FUNCTION_TWICE = [_call, _call, {"f": _call}]


def p_functions_and_classes_in_containers_are_the_same() -> Any:
    return FUNCTION_TWICE[0] is _call, FUNCTION_TWICE[2]["f"] is FUNCTION_TWICE[1], Node is type(ROOT)


ITERATOR = iter(ITEMS)


def p_an_iterator_over_a_global_list() -> Any:
    ITEMS.append("new")
    found = list(ITERATOR)[-1:] if len(ITEMS) > 5 else ITERATOR.__length_hint__()
    ITEMS.pop()
    return found


TUPLE = (1, [2])
TUPLES = [TUPLE, TUPLE, {TUPLE[0]: TUPLE}]
FROZEN = frozenset({1, 2})
FROZEN_TWICE = {"a": FROZEN, "b": FROZEN}


def p_one_tuple_and_one_frozenset_twice() -> Any:
    return TUPLES[0] is TUPLES[1] is TUPLE, TUPLES[2][1] is TUPLE, FROZEN_TWICE["a"] is FROZEN_TWICE["b"]


DEEP = []
for _ in range(60):
    DEEP = [DEEP, DEEP]


def p_a_deep_value_with_exponentially_many_paths() -> Any:
    x, n = DEEP, 0
    while x:
        if x[0] is not x[1]:
            return False
        x, n = x[0], n + 1
    return n
