"""Python functions in the sandbox of a real server."""

from __future__ import annotations

import array
import asyncio
import collections
import datetime
import decimal
import fractions
import functools
import itertools
import json
import math
import os.path
import random
import sys
import traceback
import uuid

import numpy
import pandas as pd
import pytest
from server import Server

from fabric_client import Fabric, LimitExceeded
from fabric_client.pyfn import NotShippable, RemoteError, RemoteTraceback
from pyfn import beside
from pyfn.beside import Account, Colour, Level, Pair, Place, Point, TooMuch, fibonacci, odd, words

FACTOR = 3


def test_a_function_runs_here_and_there(fab: Fabric) -> None:
    @fab.function
    def where(x: int) -> tuple[int, str]:
        return x * FACTOR, sys.platform

    assert where(2) == (6, sys.platform)
    assert where.remote(2) == (6, "wasi")
    assert where.__name__ == "where"


def test_it_takes_what_it_uses_along(fab: Fabric) -> None:
    offset = 10

    def nested(n: int) -> int:
        return n + offset

    @fab.function()
    def busy(text: str, *, extra: int = FACTOR) -> dict[str, object]:
        import textwrap  # imported inside the function

        return {
            "words": words(text),
            "fibonacci": fibonacci(30),
            "nested": nested(1),
            "odd": odd(7),
            "whole": beside.LIMIT + len(beside.TABLE),
            "extra": extra,
            "imports": [math.isqrt(17), os.path.join("a", "b"), list(itertools.islice(itertools.count(), 2))],
            "inner": textwrap.dedent(" x"),
            "json": json.dumps([1]),
        }

    assert busy.remote("Some words") == busy("Some words")
    assert busy.remote("x", extra=1)["extra"] == 1


def test_closures_may_refer_to_each_other(fab: Fabric) -> None:
    def ping(n: int) -> int:
        return n if n > 5 else pong(n + 1)

    def pong(n: int) -> int:
        return ping(n + 1)

    assert fab.function(ping).remote(0) == ping(0)


def test_a_function_of_ours_calls_another_of_ours(fab: Fabric) -> None:
    @fab.function
    def inner(x: int) -> int:
        return x + 1

    @fab.function(name="outer")
    def outer(x: int) -> int:
        return inner(x) * 2

    assert outer.remote(1) == outer(1) == 4


def test_lambdas_are_cut_out(fab: Fabric) -> None:
    add, multiply = (lambda a, b: a + b), (lambda a, b: a * b)
    assert fab.function(add).remote(2, 5) == 7
    assert fab.function(multiply).remote(2, 5) == 10
    assert fab.function(lambda n: n + FACTOR).remote(1) == 4


VALUES = [
    None,
    True,
    -(2**5000),
    0.1,
    math.inf,
    1 - 2j,
    "grün \ud800 \x00",
    b"\x00\xff",
    bytearray(b"x"),
    [1, [2, (3,)]],
    {"a": {"$set": 1}, "$b": 2},
    {(1, 2): None, frozenset({3}): {4}},
    {1, "a", None},
    datetime.datetime(2024, 2, 29, 1, 2, 3, 4, datetime.timezone.utc),
    datetime.datetime(2024, 2, 29, 1, fold=1),
    datetime.date(1, 1, 1),
    datetime.time(23, 59, tzinfo=datetime.timezone(datetime.timedelta(hours=-3), "here")),
    datetime.timedelta(-1, 5, 7),
    decimal.Decimal("1.10"),
    fractions.Fraction(-1, 3),
    uuid.UUID(int=5),
    range(1, 10, 3),
    collections.Counter("hello"),
    collections.OrderedDict([("b", 1), ("a", 2)]),
    collections.defaultdict(list, {"a": [1]}),
    collections.deque([1, 2], maxlen=2),
    Point(1, 2, ["t"]),
    Place("here"),
    Pair(1, [Pair(2, 3)]),
    Colour.RED,
    Level.HIGH,
]


def test_values_come_back_as_they_went(fab: Fabric) -> None:
    @fab.function
    def same(values: list[object]) -> tuple[list[object], list[str]]:
        return values, [type(v).__name__ for v in values]

    values, kinds = same.remote(VALUES)
    assert values == VALUES
    assert list(map(type, values)) == list(map(type, VALUES))
    assert kinds == [type(v).__name__ for v in VALUES]
    assert values[-5].tags == ["t"]
    assert math.isnan(fab.function(lambda: math.nan).remote())


def test_objects_keep_their_class(fab: Fabric) -> None:
    @fab.function
    def pay(account: Account, amount: int) -> Account:
        account.pay(amount)
        return account

    account = Account("me")
    there = pay.remote(account, 5)
    assert type(there) is Account
    assert (there.owner, there.balance, account.balance) == ("me", 5, 0)


def test_functions_and_classes_are_arguments(fab: Fabric) -> None:
    @fab.function
    def apply(call: object, *args: object) -> object:
        return call(*args)  # type: ignore[operator]

    assert apply.remote(words, "a b") == ["a", "b"]
    assert apply.remote(Point, 1) == Point(1)
    assert apply.remote(math.sqrt, 4) == 2.0
    assert apply.remote(functools.partial(max, 3), 2) == 3
    assert apply.remote(len, [1]) == 1


def test_an_exception_arrives_as_what_it_is(fab: Fabric) -> None:
    def inside(n: int) -> float:
        return 1 / n

    @fab.function
    def broken(n: int) -> float:
        try:
            return inside(n)
        except ZeroDivisionError as error:
            raise ValueError("no", n) from error

    with pytest.raises(ValueError, match="no") as caught:
        broken.remote(0)
    assert caught.value.args == ("no", 0)
    cause = caught.value.__cause__
    assert isinstance(cause, RemoteTraceback)
    first, _, second = cause.text.partition("direct cause")
    assert "return 1 / n" in first
    assert f'"{__file__}", line {inside.__code__.co_firstlineno + 1}, in ' in first
    assert "ZeroDivisionError: division by zero" in first
    assert 'raise ValueError("no", n) from error' in second
    assert "fabric_runner" not in cause.text
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert [frame.name for frame in frames] == ["test_an_exception_arrives_as_what_it_is", "remote"]


def test_exceptions_of_the_users_own_keep_what_they_know(fab: Fabric) -> None:
    account = Account("me")
    with pytest.raises(TooMuch) as caught:
        fab.function(lambda: account.pay(100)).remote()
    assert (caught.value.amount, caught.value.limit) == (100, 7)


def test_other_exceptions_are_remote_errors(fab: Fabric) -> None:
    with pytest.raises(RemoteError) as caught:
        fab.function(lambda: json.loads("{")).remote()
    assert caught.value.type == "json.decoder.JSONDecodeError"
    with pytest.raises(RemoteError, match="SystemExit: 3"):
        fab.function(lambda: sys.exit(3)).remote()
    with pytest.raises(RemoteError, match="StopIteration"):
        fab.function(lambda: next(iter(()))).remote()
    with pytest.raises(RemoteError, match="KeyboardInterrupt"):
        fab.function(_interrupt).remote()


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_definitions_do_not_run_again(fab: Fabric) -> None:
    assert fab.function(make_made_here).remote() == "linux"


def mark(cls: type) -> type:
    cls.platform = sys.platform  # type: ignore[attr-defined]
    return cls


@mark
class MadeHere:
    platform: str


def make_made_here() -> str:
    return MadeHere().platform


def test_values_of_numpy_and_pandas_become_standard_ones(fab: Fabric) -> None:
    weights = numpy.arange(3, dtype="float32")

    @fab.function
    def about(value: object, scale: object = numpy.float64(2.5)) -> tuple[object, str, object, float]:
        return value, type(value).__name__, scale, sum(weights)

    ints = array.array("q", [0, 1, 2])
    assert about.remote(numpy.arange(3)) == (ints, "array", 2.5, 3.0)
    assert about.remote(numpy.int8(7))[:2] == (7, "int")
    assert about.remote(numpy.ones((2, 2)))[0] == [array.array("d", [1, 1])] * 2
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], "t": pd.to_datetime(["2020-01-01", None])})
    rows = [{"a": 1, "b": "x", "t": datetime.datetime(2020, 1, 1)}, {"a": 2, "b": None, "t": None}]
    assert about.remote(frame)[:2] == (rows, "list")
    assert about.remote(frame["a"])[:2] == (array.array("q", [1, 2]), "array")
    assert about.remote(pd.NaT)[:2] == (None, "NoneType")
    assert about.remote([pd.NaT, None, pd.NaT])[0] == [None, None, None]


ZERO, MISSING = numpy.int64(0), pd.NaT


def test_one_value_of_numpy_in_two_places_leaves_other_numbers_alone(fab: Fabric) -> None:
    assert fab.function(lambda: ([ZERO, ZERO, 0], [MISSING, MISSING, None])).remote() == ([0] * 3, [None] * 3)
    queue = collections.deque([0], maxlen=0 + 3)
    assert fab.function(lambda *args: args).remote([ZERO, ZERO], queue) == ([0, 0], queue)


def test_imports_in_a_body_are_checked_before_anything_is_sent(fab: Fabric) -> None:
    def compute() -> object:
        import numpy

        return numpy.arange(3)

    with pytest.raises(NotShippable, match="numpy is a native extension"):
        fab.function(compute).remote()

    def perhaps() -> str:
        try:
            import numpy  # noqa: F401
        except ImportError:
            return "without"
        return "with"

    assert fab.function(perhaps).remote() == "without"


def test_limits_are_explained_for_python(fab: Fabric) -> None:
    def spin() -> None:
        while True:
            pass

    with pytest.raises(LimitExceeded) as caught:
        fab.function(limits={"fuel": 100_000_000})(spin).remote()
    assert "@fab.function(limits={" in str(caught.value)
    assert "libpython" not in str(caught.value)
    assert "fabric.toml" not in str(caught.value)
    # The line that ran, where it is in this file.
    line = spin.__code__.co_firstlineno + 2
    assert f"the last new line that it reached is line {line} of {__file__}: pass" in str(caught.value)


def test_the_value_that_ran_at_a_limit_is_named(fab: Fabric) -> None:
    def spin(n: int) -> int:
        while n == 2:
            pass
        return n

    job = fab.function(limits={"fuel": 300_000_000})(spin).map(range(4), chunksize=4)
    with pytest.raises(LimitExceeded, match=r"line 3 of spin; it ran value 2 of its task"):
        job.result()

    def stuck(n: int) -> int:
        return n if n != 30 else sum(iter(int, 1))

    job = fab.function(limits={"fuel": 300_000_000})(stuck).map(range(40), chunksize=40)
    with pytest.raises(LimitExceeded, match=r"spent; it ran value 16 or a later one of its task"):
        job.result()


def test_a_spawned_call_is_found_again(fab: Fabric, python_server: Server) -> None:
    call = fab.function(lambda: Point(3)).spawn()
    with python_server.connect() as other:
        assert other.invocation(call.id).result(60) == Point(3)


def test_results_that_do_not_travel_are_type_errors(fab: Fabric) -> None:
    with pytest.raises(TypeError, match="generator"):
        fab.function(lambda: (n for n in "abc")).remote()
    with pytest.raises(TypeError, match=r"re\.Match"):
        fab.function(lambda: [beside.WORDS.match("a")]).remote()
    with pytest.raises(TypeError, match="contains itself"):
        fab.function(_cycle).remote()


def _cycle() -> list[object]:
    found: list[object] = []
    found.append(found)
    return found


def test_coroutines_run(fab: Fabric) -> None:
    @fab.function
    async def gather(n: int) -> list[int]:
        async def one(i: int) -> int:
            await asyncio.sleep(0.001)
            return i * i

        return await asyncio.gather(*map(one, range(n)))

    assert gather.remote(4) == asyncio.run(gather(4)) == [0, 1, 4, 9]
    assert fab.function(lambda: asyncio.run(asyncio.sleep(0, "ran"))).remote() == "ran"
    with pytest.raises(RuntimeError, match="never comes"):
        fab.function(lambda: asyncio.run(asyncio.Event().wait())).remote()


def test_what_it_prints_is_logged(fab: Fabric) -> None:
    @fab.function
    def loud(word: str) -> None:
        print("first", word)
        print("to stderr", file=sys.stderr)
        raise ValueError("and this")

    call = loud.spawn("unheard-of")
    assert isinstance(call.exception(60), ValueError)
    lines = [line.message for line in call.logs()]
    assert "first unheard-of" in lines
    assert "to stderr" in lines
    assert "builtins.ValueError: and this" in lines
    with pytest.raises(ValueError, match="and this"):
        call.result()


def test_what_it_prints_is_shown_here(fab: Fabric, capsys: pytest.CaptureFixture[str]) -> None:
    @fab.function
    def loud(word: str) -> str:
        print("first", word)
        print("to stderr", file=sys.stderr)
        print("\x1b[2J\u202e", end="")
        return word

    assert loud.remote("heard") == "heard"
    shown = capsys.readouterr()
    assert shown.out == "first heard\n\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}"
    assert shown.err == "to stderr\n"
    call = loud.spawn("later")
    assert [call.result(60), call.result()] == ["later", "later"]
    assert capsys.readouterr().out.count("first later") == 1

    def fails() -> float:
        print("before")
        return 1 / 0

    with pytest.raises(ZeroDivisionError):
        fab.function(fails).remote()
    assert capsys.readouterr().out == "before\n"

    def much() -> None:
        print("x" * 200_000)

    fab.function(much).remote()
    shown = capsys.readouterr()
    assert (len(shown.out), shown.err) == (64 << 10, "\n[the log has the rest]\n")


def test_a_spawned_call(fab: Fabric) -> None:
    call = fab.function(lambda a, b: a | {b}).spawn({1}, 2)
    assert call.result(60) == {1, 2}
    assert call.exception() is None


def test_the_sandbox_is_repeatable(fab: Fabric) -> None:
    @fab.function
    def draw(_: int) -> tuple[float, str, str]:
        return random.random(), str(uuid.uuid4()), str(datetime.datetime.now())

    assert draw.remote(1) == draw.remote(1)
    assert draw.remote(1) != draw.remote(2)
    assert draw.remote(1)[2].startswith("2000-01-01")
    free = fab.function(grants={"clocks": True})(lambda: datetime.datetime.now().year)
    assert free.remote() > 2000


def test_limits_hold(fab: Fabric) -> None:
    def spin() -> None:
        while True:
            pass

    with pytest.raises(LimitExceeded) as caught:
        fab.function(limits={"fuel": 100_000_000})(spin).remote()
    assert caught.value.code == "out-of-fuel"
    greedy = fab.function(limits={"memory_bytes": "96MiB"})(lambda: len(bytearray(96 << 20)))
    with pytest.raises((MemoryError, LimitExceeded)):
        greedy.remote()


def test_deep_recursion_is_an_exception(fab: Fabric) -> None:
    def deep(n: int) -> int:
        return deep(n + 1)

    with pytest.raises(RecursionError):
        fab.function(deep).remote(0)
