"""Puts what arrives in any order into the order of the numbers from 0."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class InOrder:
    """Holds what came early until everything before it has come."""

    def __init__(self) -> None:
        self._early: dict[int, Any] = {}
        self._due = 0

    def add(self, number: int, value: Any) -> Iterator[Any]:
        """Adds a value and yields all that are due."""
        self._early[number] = value
        while self._due in self._early:
            yield self._early.pop(self._due)
            self._due += 1

    def rest(self) -> Iterator[Any]:
        """Yields the others, in order. Some numbers may never come."""
        for number in sorted(self._early):
            yield self._early[number]
