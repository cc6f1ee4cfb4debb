"""A user's own module. The definitions that functions use are sent by their source, not imported by name."""

from __future__ import annotations

import enum
import functools
import logging
import re
from collections import namedtuple
from dataclasses import dataclass, field

LIMIT = 7
TABLE = {"a": 1, ("b", 2): [1.5, None]}
WORDS = re.compile(r"[a-z]+", re.IGNORECASE)
log = logging.getLogger("beside")

Pair = namedtuple("Pair", "left right")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Point:
    x: int
    y: int = 0
    tags: list[str] = field(default_factory=list)

    def moved(self, by: int) -> Point:
        return Point(self.x + by, self.y + by, self.tags)


@dataclass(frozen=True, order=True)
class Place:
    name: str = "somewhere"


class Account:
    """A plain class with slots, a property and a class variable."""

    __slots__ = ("_balance", "owner")
    opened = 0

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._balance = 0

    @property
    def balance(self) -> int:
        return self._balance

    def pay(self, amount: int) -> None:
        if amount > LIMIT:
            raise TooMuch(amount, limit=LIMIT)
        self._balance += amount


class TooMuch(Exception):
    def __init__(self, amount: int, *, limit: int) -> None:
        super().__init__(f"{amount} is more than {limit}")
        self.amount = amount
        self.limit = limit


def words(text: str) -> list[str]:
    log.warning("counting words")
    return WORDS.findall(text)


@functools.cache
def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def even(n: int) -> bool:
    return True if n == 0 else odd(n - 1)


def odd(n: int) -> bool:
    return False if n == 0 else even(n - 1)
