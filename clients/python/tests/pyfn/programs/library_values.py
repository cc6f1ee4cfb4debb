"""Objects of the standard library as global variables. See `test_programs.py`."""

# ruff: noqa: UP006, UP007, UP045

import base64
import collections
import collections.abc
import datetime as dt
import decimal
import enum
import fractions
import functools
import graphlib
import http
import ipaddress
import itertools
import json
import logging
import math
import operator
import pathlib
import random
import re
import statistics
import string
import struct
import textwrap
import types
import typing
import urllib.parse
import uuid
from typing import Any

WORD = re.compile(r"(?P<word>\w+)", re.IGNORECASE | re.VERBOSE)
MATCH, SUB, SPLIT = WORD.match, WORD.sub, re.compile(",").split


def p_patterns_and_their_methods() -> Any:
    return MATCH("Ab c")["word"], SUB("x", "a b"), SPLIT("a,b"), WORD.flags, WORD is MATCH.__self__


FLAG = re.IGNORECASE
FLAGS = re.IGNORECASE | re.MULTILINE
FLAG_LIST = [re.ASCII, {"d": re.DOTALL}]


def p_a_flag_of_the_library() -> Any:
    return bool(re.match("A", "a", FLAG))


def p_combined_flags_of_the_library() -> Any:
    return re.findall("^A", "a\na", FLAGS), FLAGS == re.I | re.M


def p_flags_of_the_library_in_containers() -> Any:
    return FLAG_LIST[0] is re.ASCII, re.match(".", "\n", FLAG_LIST[1]["d"]) is not None


STATUS = http.HTTPStatus.NOT_FOUND
STATUSES = {http.HTTPStatus.OK: "fine", http.HTTPStatus.GONE: "gone"}


def p_an_enum_member_of_the_library() -> Any:
    return STATUS.value, STATUS.phrase, STATUS is http.HTTPStatus.NOT_FOUND


def p_enum_members_of_the_library_as_keys() -> Any:
    return STATUSES[http.HTTPStatus(410)], sorted(STATUSES)[0].name


ADDRESS = urllib.parse.urlparse("http://host:80/path?q=1")


def p_a_named_tuple_of_the_library() -> Any:
    return ADDRESS.netloc, ADDRESS.geturl(), tuple(ADDRESS)


GETTER, CALLER, FIELD = (
    operator.itemgetter(1, "a".__len__()),
    operator.methodcaller("split", ","),
    operator.attrgetter("real"),
)
JOIN, FIND, STRIP = ", ".join, "banana".find, str.strip
FROM_BYTES, FROM_KEYS, FROM_HEX = int.from_bytes, dict.fromkeys, bytes.fromhex
FIVE_PLUS = (5).__add__
GET = {"a": 1}.get
FORMAT = "{:>5}|{name}".format
CONTAINS = [1, 2].__contains__
LOWER = operator.methodcaller("lower")


def p_operator_objects() -> Any:
    return GETTER("abc"), CALLER("a,b"), FIELD(3), LOWER("A")


def p_methods_of_builtin_values() -> Any:
    return JOIN("ab"), FIND("n"), STRIP(" a "), GET("a"), GET("b", 2), FORMAT(1, name="n"), CONTAINS(2), FIVE_PLUS(2)


def p_class_methods_of_builtins() -> Any:
    return FROM_BYTES(b"\x01\x00", "big"), FROM_KEYS("ab", 1), FROM_HEX("ff")


loads, root, choice, chain = json.loads, math.sqrt, random.choice, itertools.chain.from_iterable
now, today_of, floor = dt.datetime.fromisoformat, dt.date.fromordinal, math.floor


def p_functions_of_modules_under_other_names() -> Any:
    return (
        loads("[1]"),
        root(4),
        choice([1]),
        list(chain(["a", "b"])),
        now("2024-01-01").year,
        today_of(1).day,
        floor(1.5),
    )


DATE, TIME, SPAN = dt.date(2024, 2, 29), dt.time(1, 2, 3, 4, dt.timezone.utc), dt.timedelta(-1, 5)
ZONE = dt.timezone(dt.timedelta(hours=2), "X")
MOMENT = dt.datetime(2024, 1, 1, 12, tzinfo=ZONE)
UTC = dt.timezone.utc
SMALLEST, RESOLUTION = dt.datetime.min, dt.timedelta.resolution


def p_dates_and_times() -> Any:
    return (
        DATE,
        TIME,
        SPAN,
        MOMENT,
        ZONE.tzname(None),
        MOMENT.astimezone(UTC).hour,
        SMALLEST.year,
        RESOLUTION,
        MOMENT.tzname(),
    )


PRICE, RATIO, NAN_DECIMAL = decimal.Decimal("1.10"), fractions.Fraction(1, 3), decimal.Decimal("sNaN")
CONTEXT = decimal.Context(prec=3, rounding=decimal.ROUND_UP)
ROUNDING = decimal.ROUND_HALF_EVEN


def p_decimals_and_fractions() -> Any:
    return PRICE * 3, RATIO + 1, NAN_DECIMAL.is_snan(), PRICE.quantize(decimal.Decimal("1"), rounding=ROUNDING)


def p_a_decimal_context() -> Any:
    return CONTEXT.divide(decimal.Decimal(1), decimal.Decimal(3)), CONTEXT.prec


Json = typing.Union[dict[str, "Json"], list["Json"], str, None]
MAYBE, UNION, NEW = typing.Optional[int], int | str | None, typing.NewType("NEW", int)
LISTED, MAPPED, CALLED = list[int], typing.Dict[str, int], typing.Callable[[int], str]
LITERAL, NOTED = typing.Literal["a", 1], typing.Annotated[int, "note"]
T = typing.TypeVar("T", int, str)


def p_types_of_typing() -> Any:
    return (
        typing.get_args(MAYBE)[0] is int,
        isinstance(1, UNION),
        isinstance(None, UNION),
        NEW(3),
        LISTED([1]),
        typing.get_origin(MAPPED) is dict,
        typing.get_args(LITERAL),
        typing.get_args(NOTED)[1],
        T.__name__,
        CALLED.__args__[-1] is str,
    )


NAMED_TYPE = typing.List["Unknown"]  # noqa: F821


def p_a_type_with_a_forward_reference() -> Any:
    return typing.get_args(NAMED_TYPE)[0].__forward_arg__


def p_a_type_that_refers_to_itself() -> Any:
    return typing.get_args(Json)[2] is str


PATH = pathlib.PurePosixPath("/a/b.txt")
REAL_PATH = pathlib.Path("c") / "d"


def p_paths() -> Any:
    return PATH.stem, str(PATH.parent), REAL_PATH.name, str(REAL_PATH / "e")


NETWORK = ipaddress.ip_network("10.0.0.0/30")
ID = uuid.UUID(int=5)


def p_network_addresses_and_ids() -> Any:
    return [str(a) for a in NETWORK.hosts()], ID.int, ID


TEMPLATE, WRAPPER = string.Template("$a ${b}"), textwrap.TextWrapper(width=10, initial_indent="* ")
SPACE = types.SimpleNamespace(a=1, b=[2])
RANDOM = random.Random(5)
NORMAL = statistics.NormalDist(1, 2)


def p_objects_of_the_library() -> Any:
    RANDOM.seed(3)
    return TEMPLATE.substitute(a=1, b=2), WRAPPER.wrap("one two three"), SPACE.b, RANDOM.random(), NORMAL.mean


GRAPH = graphlib.TopologicalSorter({"b": ["a"], "c": ["b"]})


def p_objects_with_slots_of_the_library() -> Any:
    return list(graphlib.TopologicalSorter({"b": ["a"]}).static_order()), [n for n in GRAPH._node2info]


LOGGER = logging.getLogger("programs.library")


def p_a_logger() -> Any:
    return LOGGER.name, LOGGER is logging.getLogger("programs.library"), LOGGER.isEnabledFor(logging.ERROR)


COUNTED, ORDERED = collections.Counter("abca"), collections.OrderedDict([("z", 1), ("a", 2)])
DEFAULTS, QUEUE = collections.defaultdict(list, {"a": [1]}), collections.deque([1, 2, 3], maxlen=3)
USER, CHAINED = collections.UserDict(a=1), collections.ChainMap({"a": 1}, {"b": 2})
NO_FACTORY = collections.defaultdict(None, {1: 2})


def p_collections() -> Any:
    made = collections.defaultdict(list, DEFAULTS)
    made["n"].append(1)
    return COUNTED.most_common(1), list(ORDERED), made, QUEUE.maxlen, USER["a"], CHAINED["b"], NO_FACTORY


def p_a_defaultdict_makes_new_values() -> Any:
    found = DEFAULTS["missing"]
    del DEFAULTS["missing"]
    return found


RANGE, SLICE, DOTS, NOT = range(10, 0, -3), slice(1, None, 2), ..., NotImplemented
COMPLEX, BIG, BYTES, INFINITE = 1 - 2j, -(2**2000), bytearray(b"\x00"), -math.inf


def p_builtin_values() -> Any:
    return list(RANGE), "abcde"[SLICE], DOTS is ..., NOT is NotImplemented, COMPLEX, BIG, bytes(BYTES), INFINITE


class Color(enum.Enum):
    RED = "r"
    GREEN = ("g", 1)
    CRIMSON = "r"

    @property
    def low(self):
        return self.name.lower()


class Access(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()
    BOTH = READ | WRITE


COLOR, BY_COLOR = Color.CRIMSON, {Color.RED: 1, Color.GREEN: [2]}
BOTH = Access.BOTH
MIXED = Access.READ | Access.WRITE


def p_own_enum_members() -> Any:
    return COLOR is Color.RED, COLOR.low, BY_COLOR[Color("r")], Access.READ in BOTH, BOTH is Access(3), MIXED is BOTH


CYCLE, COUNT, REPEAT = (1, 2), functools.partial(itertools.count, 5), itertools.repeat


def p_iterator_makers() -> Any:
    return (
        list(itertools.islice(itertools.cycle(CYCLE), 3)),
        next(COUNT()),
        list(REPEAT(3, 2)),
    )


CONVERTERS = {"int": int, "text": str.upper, "list": list, "hex": hex, "b64": base64.b64encode, "abs": abs, "max": max}
TYPES = (int, str, collections.abc.Mapping, dict)


def p_builtins_and_classes_in_tables() -> Any:
    values = CONVERTERS["int"]("3"), CONVERTERS["text"]("a"), CONVERTERS["b64"](b"a"), CONVERTERS["max"](1, 2)
    return values, isinstance({}, TYPES), CONVERTERS["list"] is list


ENCODE = json.JSONEncoder(sort_keys=True).encode
ENCODER = json.JSONEncoder(indent=1)


def p_encoders() -> Any:
    return ENCODE({"b": 1, "a": 2}), ENCODER.encode([1])


HEADER = struct.calcsize
PACK = functools.partial(struct.pack, "<I")


def p_struct_functions() -> Any:
    return HEADER("<I"), PACK(1)


INNER = re.compile("x").pattern
PATTERNS = {name: re.compile(p) for name, p in {"int": r"\d+", "id": r"[a-z]+"}.items()}


def p_a_table_of_patterns() -> Any:
    return {name: p.findall("a1 b22") for name, p in PATTERNS.items()}, INNER


CODEC_ERROR = json.JSONDecodeError


def p_an_exception_class_of_the_library() -> Any:
    try:
        json.loads("{")
    except CODEC_ERROR as error:
        return error.pos, isinstance(error, ValueError)


TRANSLATION = str.maketrans("ab", "xy", "c")


def p_a_translation_table() -> Any:
    return "abc".translate(TRANSLATION)
