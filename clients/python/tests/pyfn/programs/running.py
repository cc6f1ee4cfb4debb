"""Generators and asynchronous functions. See `test_programs.py`."""

import asyncio
import contextlib
import functools
import inspect
import itertools
from typing import Any

LOG = []
STEP = 2


def numbers(n, step=STEP):
    for i in range(0, n, step):
        got = yield i
        if got:
            LOG.append(got)
    return "done"


def p_a_generator_with_send_and_a_value() -> Any:
    LOG.clear()
    made = numbers(5)
    found = [next(made), made.send("a"), made.send(None)]
    try:
        next(made)
    except StopIteration as stop:
        found.append(stop.value)
    return found, LOG


def delegating():
    value = yield from numbers(4)
    yield value
    yield from (x * STEP for x in numbers(4))


def p_a_generator_that_delegates() -> Any:
    return list(delegating())


def tree(n):
    if n:
        yield from tree(n - 1)
        yield n
        yield from tree(n - 1)


def p_a_recursive_generator() -> Any:
    return list(tree(3))


def pipeline(source, *stages):
    for stage in stages:
        source = stage(source)
    return source


EVENS = lambda xs: (x for x in xs if x % 2 == 0)  # noqa: E731
SQUARES = functools.partial(map, lambda x: x * x)


def p_a_pipeline_of_generators() -> Any:
    return list(itertools.islice(pipeline(itertools.count(), EVENS, SQUARES), 4))


def primed(f):
    @functools.wraps(f)
    def start(*args):
        made = f(*args)
        next(made)
        return made

    return start


@primed
def averager():
    total, count, average = 0.0, 0, None
    while True:
        total += yield average
        count += 1
        average = total / count


def p_a_primed_generator() -> Any:
    made = averager()
    return made.send(1), made.send(3)


class Iterable:
    def __init__(self, *items):
        self.items = items

    def __iter__(self):
        yield from self.items

    def __reversed__(self):
        return (x for x in self.items[::-1])


ITERABLE = Iterable(1, 2, 3)


def p_an_object_with_a_generator_method() -> Any:
    return list(ITERABLE), list(reversed(ITERABLE)), [*ITERABLE], dict(enumerate(ITERABLE))


async def fetch(x, wait=0):
    await asyncio.sleep(wait)
    return x * STEP


async def gathered():
    return await asyncio.gather(fetch(1), fetch(2), *map(fetch, [3]))


def p_asynchronous_functions() -> Any:
    return asyncio.run(gathered())


async def ticks(n):
    for i in range(n):
        yield i
        await asyncio.sleep(0)


def p_asynchronous_generators_and_comprehensions() -> Any:
    async def run():
        found = [x async for x in ticks(3) if x]
        table = {x: await fetch(x) async for x in ticks(2)}
        async for x in ticks(5):
            if x > 1:
                break
        return found, table, x, [await fetch(y) for y in range(2)]

    return asyncio.run(run())


@contextlib.asynccontextmanager
async def opened(name):
    LOG.append(f"open {name}")
    try:
        yield name
    finally:
        LOG.append(f"close {name}")


class AsyncThing:
    def __init__(self):
        self.left = 2

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc):
        LOG.append(exc[0] is None)

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return self.left

    def __await__(self):
        yield from fetch(self.left).__await__()
        return "awaited"


def p_asynchronous_context_managers_and_iterators() -> Any:
    async def run():
        LOG.clear()
        async with opened("a") as a, AsyncThing() as thing:
            return a, [x async for x in thing], await thing

    return asyncio.run(run()), LOG


def traced_async(f):
    @functools.wraps(f)
    async def wrapper(*args):
        LOG.append(f.__name__)
        return await f(*args)

    return wrapper


@traced_async
async def decorated(x):
    return await fetch(x)


def p_a_decorated_asynchronous_function() -> Any:
    LOG.clear()
    return asyncio.run(decorated(4)), LOG, inspect.iscoroutinefunction(decorated)


def p_a_coroutine_driven_by_hand() -> Any:
    async def two():
        return await one() + 1

    async def one():
        return 1

    try:
        two().send(None)
    except StopIteration as stop:
        return stop.value


def p_an_exception_in_a_coroutine() -> Any:
    async def fails():
        raise ValueError("async")

    async def run():
        found = await asyncio.gather(fails(), fetch(1), return_exceptions=True)
        return [str(found[0]), found[1]]

    return asyncio.run(run())


def _closing(log):
    try:
        yield 1
        yield 2
    finally:
        log.append("closed")


def p_a_generator_is_closed() -> Any:
    log = []
    for x in _closing(log):
        if x == 1:
            break
    with contextlib.closing(_closing(log)) as made:
        next(made)
    return log[-1], len(log)


async def p_the_program_is_asynchronous() -> Any:
    return 1


del p_the_program_is_asynchronous


def _state():
    total = 0

    def add():
        nonlocal total
        while True:
            total += yield total

    return add, lambda: total


ADD, TOTAL = _state()


def p_a_generator_over_a_shared_variable() -> Any:
    before = TOTAL()
    made = ADD()
    next(made)
    made.send(5)
    found = TOTAL() - before
    made.send(-5)
    return found
