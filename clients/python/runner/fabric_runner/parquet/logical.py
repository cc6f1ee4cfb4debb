"""Makes Python values from stored ones: https://github.com/apache/parquet-format/blob/master/LogicalTypes.md."""

import array
import datetime as dt
import decimal
import struct
import uuid
from collections.abc import Callable
from typing import Any

from . import encodings
from .encodings import Values
from .schema import Field

_EPOCH = dt.datetime(1970, 1, 1)
_EPOCH_DAY = _EPOCH.toordinal()
_JULIAN_EPOCH = 2_440_588
"""Julian day of 1970-01-01, from which the days of an INT96 are counted."""
_EXACT = decimal.Context(prec=decimal.MAX_PREC, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)


def values(found: Values, kind: int, field: Field) -> Values:
    """Returns the values of a column. Numbers without an annotation stay as they are."""
    match field.annotation:
        case ("integer", 32 | 64 as bits, False) if isinstance(found, array.array):
            return array.array("I" if bits == 32 else "Q", found.tobytes())
        case ("float16",):
            return array.array("f", [struct.unpack("<e", value)[0] for value in found])
    make = _maker(kind, field)
    if make is None:
        return found
    try:
        # A text or a day is often repeated.
        made: dict[Any, Any] = {}
        for value in found:
            if value not in made:
                made[value] = make(value)
        return [made[value] for value in found]
    except (OverflowError, UnicodeDecodeError) as error:
        raise ValueError(f"column {field.name} has a value that is no {field.annotation[0]}: {error}") from error


def _maker(kind: int, field: Field) -> Callable[[Any], Any] | None:
    match field.annotation:
        case ("string",):
            return bytes.decode
        case ("decimal", scale):
            return lambda value: _decimal(value, scale)
        case ("date",):
            return lambda days: dt.date.fromordinal(_EPOCH_DAY + days)
        case ("time", per_second):
            return lambda ticks: (_EPOCH + _since(ticks, per_second)).time()
        case ("timestamp", per_second, is_utc):
            zone = dt.UTC if is_utc else None
            return lambda ticks: (_EPOCH + _since(ticks, per_second)).replace(tzinfo=zone)
        case ("uuid",):
            return lambda value: uuid.UUID(bytes=value)
    return _legacy_timestamp if kind == encodings.INT96 else None


def _since(ticks: int, per_second: int) -> dt.timedelta:
    """Returns the time since midnight or the epoch, in whole microseconds, rounded down."""
    return dt.timedelta(microseconds=ticks * 10**6 // per_second)


def _legacy_timestamp(value: bytes) -> dt.datetime:
    nanoseconds, day = struct.unpack("<qi", value)
    return _EPOCH + dt.timedelta(days=day - _JULIAN_EPOCH, microseconds=nanoseconds // 1000)


def _decimal(value: int | bytes, scale: int) -> decimal.Decimal:
    number = int.from_bytes(value, "big", signed=True) if isinstance(value, bytes) else value
    return decimal.Decimal(number).scaleb(-scale, _EXACT)


def with_missing(found: Values, definitions: list[int], field: Field) -> Values:
    """Returns the values of a column that is not nested, with None for missing ones."""
    if len(found) == len(definitions) or not field.definition:
        return found
    there = iter(found)
    most = field.definition
    return [next(there) if level == most else None for level in definitions]
