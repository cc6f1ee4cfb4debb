"""Encodes values of which some occur more than once, or contain themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .codec import CodecError, Encoder, _attributes

_IMMUTABLE = {type(None), bool, int, float, complex, str, bytes, range}
"""Types for which equal values cannot be told apart from the same value, by a reasonable program."""
_FOUND = {"$ref", "$from", "$module"}
"""Tags of what is found by number or name, and needs no sharing. Null, numbers and text, as of a value of numpy, cannot
be shared: `finish` finds shared JSON by its identity, and all nulls of a document are one object."""


class SharingEncoder(Encoder):
    """An encoder that encodes each object once.

    The second occurrence of an object is ``{"$shared": n}``, the number of its JSON in the list that `finish` returns.
    So two names of one list are two names of one list in the sandbox.
    """

    def __init__(self, class_name: Callable[[type], str | None], other: Callable[[Any], Any]) -> None:
        super().__init__(class_name, other)
        self._made: dict[int, Any] = {}
        self._open: set[int] = set()
        self._numbers: dict[int, int] = {}
        # Keeps ids valid.
        self._kept: list[Any] = []

    def json(self, value: Any, depth: int = 0) -> Any:
        """See `Encoder.json`."""
        if type(value) in _IMMUTABLE:
            return super().json(value, depth)
        key = id(value)
        if key in self._open and isinstance(value, tuple | set | frozenset):
            raise CodecError(f"a {type(value).__name__} that contains itself cannot be sent", "use a list or an object")
        if key in self._made or key in self._open:
            return {"$shared": self._numbers.setdefault(key, len(self._numbers))}
        self._open.add(key)
        try:
            made = super().json(value, depth)
        finally:
            self._open.discard(key)
        if not isinstance(made, list | dict) or (isinstance(made, dict) and made.keys() & _FOUND):
            return made
        self._kept.append(value)
        self._made[key] = made
        return made

    def columns(self, items: list[Any]) -> list[str]:
        """See `Encoder.columns`. As columns, a dict that occurs twice would be two."""
        return []

    def attributes(self, value: Any) -> dict[Any, Any]:
        """See `Encoder.attributes`."""
        return _attributes(value)

    def factory(self, value: Any) -> Any:
        """See `Encoder.factory`."""
        return self.json(value)

    def flags(self, value: Any) -> Any:
        """See `Encoder.flags`."""
        return {"$call": [self.json(type(value)), [value.value], None]}

    def finish(self, document: Any) -> tuple[Any, list[Any]]:
        """Returns a document with the JSON of values, and the list of shared values. The first occurrence of a shared
        value is replaced by a reference too."""
        if not self._numbers:
            return document, []
        shared = {id(self._made[key]): number for key, number in self._numbers.items()}

        def replaced(json: Any, top: bool = False) -> Any:
            number = shared.get(id(json))
            if number is not None and not top:
                return {"$shared": number}
            if isinstance(json, list):
                return [replaced(item) for item in json] if set(map(type, json)) & {list, dict} else json
            if isinstance(json, dict):
                return {name: replaced(item) for name, item in json.items()}
            return json

        values = [replaced(self._made[key], True) for key in self._numbers]
        return replaced(document), values
